//! What the fuzz targets in `fuzz/` call, and the test that replays their corpus: any bytes, any answer but a panic, and
//! what reads is written and read again as the same.
//!
//! Checksums are put right first: a fuzzer would hardly ever get past them, a bug or a lucky flip might.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BootId, InstrumentId, QuantityId, Seq, SeqRange, Series, Timestamp};

use crate::carve::Carved;
use crate::codec::{self, BLOCK_RECORDS_MAX, COLUMNS, Header, ROWS, mirror};
use crate::sheet::{self, Magic};
use crate::{cursor_file, owed, sealed};

/// Series that a block may name.
const SERIES: [&str; 2] = ["dissolved_oxygen", "status"];

/// `[codec u8][count u16][block]`, and the same bytes as a whole value.
pub fn block(bytes: &[u8]) {
    if let Ok((header, _)) = codec::open_value(Seq::FIRST, bytes) {
        assert!(header.count() <= BLOCK_RECORDS_MAX, "what a reader decodes at once is bounded");
    }
    let Some((&[codec, high, low], block)) = bytes.split_first_chunk() else { return };
    let count = usize::from(u16::from_be_bytes([high, low])) % BLOCK_RECORDS_MAX + 1;
    let codec = if codec % 2 == 1 { COLUMNS } else { ROWS };
    let range = SeqRange::new(Seq::FIRST, Seq::FIRST.plus(u64::try_from(count).expect("small")));
    let header =
        Header { codec, range, boot: BootId(1), times: (Timestamp::from_millis(0), Timestamp::from_millis(1)) };
    if let Ok(records) = codec::open_block(&header, block, &SERIES.map(series)) {
        assert_eq!(records.len(), count, "as many as the header says");
    }
}

/// A slot of a cursor.
pub fn cursor(bytes: &[u8]) {
    let each = each_body(cursor_file::MAGIC, bytes);
    for cursor in each.iter().filter_map(|body| mirror::get_cursor(body).ok()) {
        let mut body = Vec::new();
        mirror::put_cursor(&mut body, &cursor);
        assert_eq!(mirror::get_cursor(&body).as_ref(), Ok(&cursor));
    }
}

/// The note of owed gaps.
pub fn owed(bytes: &[u8]) {
    let each = each_body(owed::MAGIC, bytes);
    for gaps in each.iter().filter_map(|body| mirror::get_gaps(body).ok()) {
        let mut body = Vec::new();
        mirror::put_gaps(&mut body, &gaps);
        assert_eq!(mirror::get_gaps(&body).as_ref(), Ok(&gaps));
    }
}

/// The file of a sealed batch.
pub fn sealed(bytes: &[u8]) {
    for body in each_body(sealed::MAGIC, bytes) {
        let framed = sheet::frame(sealed::MAGIC, 7, &body);
        assert_eq!(sheet::open(sealed::MAGIC, &framed), Ok((7, &body[..])));
    }
}

/// The log of a generation, or what is left of one: what is found in it decodes or does not, and has a place of its own.
pub fn log(bytes: &[u8]) {
    let carved = Carved::of(bytes.to_vec(), Seq::FIRST);
    let mut end = Seq::FIRST;
    for header in carved.values() {
        assert!(header.range.first >= end, "in order, and none in the place of another");
        end = header.range.next;
        if let Some(records) = carved.decode(header) {
            assert_eq!(records.len(), header.count(), "as many as the header says");
        }
    }
    assert!(carved.end().is_none_or(|highest| highest >= end));
}

/// The body as the sheet says, if it does, and everything taken for a body.
fn each_body(magic: Magic, bytes: &[u8]) -> Vec<Vec<u8>> {
    let framed = sheet::open(magic, bytes).ok().map(|(_, body)| body.to_vec());
    let stripped = bytes.get(sheet::HEADER_BYTES..bytes.len().saturating_sub(sheet::CRC_BYTES)).map(<[u8]>::to_vec);
    [framed, stripped, Some(bytes.to_vec())].into_iter().flatten().collect()
}

fn series(quantity: &str) -> Arc<Series> {
    Arc::new(Series {
        instrument: InstrumentId::try_new("do-4").expect("a name"),
        quantity: QuantityId::try_new(quantity).expect("a name"),
        unit: "mg/L".to_owned(),
        tags: BTreeMap::new(),
    })
}
