//! Records as bytes: one value of a generation is a header and a block.
//!
//! ```text
//! [version u8 = 1][codec u8][count u32][crc32c u32][boot u64][time_min i64][time_max i64][block]     big-endian
//! ```
//!
//! `codec` 1 is a block of readings in columns ([`columns`]), 2 is rows ([`mirror`]). The checksum covers the key
//! (the first sequence number) and everything but itself, so that a value which turns up under another key is
//! damaged too. All records of a value are of one boot.

pub(crate) mod bits;
pub(crate) mod columns;
pub(crate) mod encoder;
#[cfg(test)]
mod golden;
pub(crate) mod ints;
pub(crate) mod mirror;
pub(crate) mod numbers;
pub(crate) mod varint;

use std::sync::Arc;

use crc::{CRC_32_ISCSI, Crc, Table};
use model::{BootId, Record, Seq, SeqRange, Series, Timestamp};

use varint::{Damaged, Input};

/// sled moves pages above a quarter segment (128 KiB) into blob files that it never syncs; a page has up to 16
/// values, so 7 KiB keeps clear of that with room for keys.
pub(crate) const VALUE_BYTES_MAX: usize = 7 * 1024;
/// What a reader decodes at once. Half a minute of lines at the highest rate asked for.
pub(crate) const BLOCK_RECORDS_MAX: usize = 4096;

const VERSION: u8 = 1;
pub(crate) const COLUMNS: u8 = 1;
pub(crate) const ROWS: u8 = 2;
const CRC_AT: usize = 6;
/// Bytes before the block.
pub(crate) const HEADER_BYTES: usize = 34;

/// The Castagnoli polynomial, sixteen bytes a step.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The CRC32C of pieces laid end to end.
pub(crate) fn crc32c(pieces: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

/// What a value says about itself, with its checksum already verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) codec: u8,
    pub(crate) range: SeqRange,
    pub(crate) boot: BootId,
    pub(crate) times: (Timestamp, Timestamp),
}

impl Header {
    /// How many records stand in the block.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.range.len()).expect("checked against BLOCK_RECORDS_MAX")
    }
}

fn sealed_crc(first: Seq, value: &[u8]) -> u32 {
    crc32c(&[&first.0.to_be_bytes(), &value[..CRC_AT], &value[CRC_AT + 4..]])
}

/// Fills in the header of a value whose first [`HEADER_BYTES`] bytes were left free.
fn put_header(value: &mut [u8], codec: u8, range: SeqRange, boot: BootId, times: (Timestamp, Timestamp)) {
    let count = u32::try_from(range.len()).expect("at most BLOCK_RECORDS_MAX");
    value[0] = VERSION;
    value[1] = codec;
    value[2..CRC_AT].copy_from_slice(&count.to_be_bytes());
    value[10..18].copy_from_slice(&boot.0.to_be_bytes());
    value[18..26].copy_from_slice(&times.0.as_millis().to_be_bytes());
    value[26..HEADER_BYTES].copy_from_slice(&times.1.as_millis().to_be_bytes());
    let crc = sealed_crc(range.first, value);
    value[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Verifies a value and splits it into header and block.
pub(crate) fn open_value(first: Seq, value: &[u8]) -> Result<(Header, &[u8]), Damaged> {
    let mut input = Input::new(value);
    let [version, codec] = input.array()?;
    let count = u32::from_be_bytes(input.array()?);
    let crc = u32::from_be_bytes(input.array()?);
    let boot = BootId(u64::from_be_bytes(input.array()?));
    let time_min = Timestamp::from_millis(i64::from_be_bytes(input.array()?));
    let time_max = Timestamp::from_millis(i64::from_be_bytes(input.array()?));
    let count_fits = (1..=BLOCK_RECORDS_MAX).contains(&usize::try_from(count).map_err(|_| Damaged)?);
    if version != VERSION || !count_fits || crc != sealed_crc(first, value) {
        return Err(Damaged);
    }
    let range = SeqRange::new(first, first.plus(u64::from(count)));
    Ok((Header { codec, range, boot, times: (time_min, time_max) }, &value[HEADER_BYTES..]))
}

/// Decodes the block behind a verified header. `series` resolves the generation's ids.
pub(crate) fn open_block(header: &Header, block: &[u8], series: &[Arc<Series>]) -> Result<Vec<Record>, Damaged> {
    let records = match header.codec {
        COLUMNS => columns::get(block, header.count(), series)?.into_iter().map(Record::Reading).collect(),
        ROWS => mirror::get_rows(block)?,
        _ => return Err(Damaged),
    };
    if records.len() == header.count() { Ok(records) } else { Err(Damaged) }
}
