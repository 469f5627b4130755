//! A small file with a checksum: cursors, the note of owed gaps, sealed batches.
//!
//! ```text
//! [magic 4][version u8 = 1][counter u64][body][crc32c u32 over all before]     big-endian
//! ```

use crate::codec::crc32c;
use crate::codec::varint::{Damaged, Input};

const VERSION: u8 = 1;
/// Magic, version and counter.
pub(crate) const HEADER_BYTES: usize = 4 + 1 + 8;
pub(crate) const CRC_BYTES: usize = 4;

/// What kind of sheet: a file under the wrong name is not taken for another kind.
pub(crate) type Magic = [u8; 4];

/// The bytes of a sheet.
pub(crate) fn frame(magic: Magic, counter: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&counter.to_be_bytes());
    bytes.extend_from_slice(body);
    let crc = crc32c(&[&bytes]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The counter and the body of a sheet.
pub(crate) fn open(magic: Magic, bytes: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    let body_end = bytes.len().checked_sub(CRC_BYTES).ok_or(Damaged)?;
    let (covered, crc) = bytes.split_at(body_end);
    let mut input = Input::new(covered);
    let (found, version) = (input.array::<4>()?, input.byte()?);
    let counter = u64::from_be_bytes(input.array()?);
    if found != magic || version != VERSION || crc32c(&[covered]).to_be_bytes() != crc {
        return Err(Damaged);
    }
    Ok((counter, &covered[HEADER_BYTES..]))
}
