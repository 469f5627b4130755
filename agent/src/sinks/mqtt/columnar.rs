//! `columnar`: the batch's readings as one block of the journal's columns, for links that are paid by the byte.
//!
//! ```text
//! [version u8 = 1][heading 8 bytes][packed readings: journal::pack][JSON, where there is more to say]
//! ```
//!
//! The JSON has `series`, those that the heading does not name, numbered on behind it, and `events` as in `json`: both
//! are rare, and words. The first byte tells it from a zstd frame and from JSON. What it is not is a copy of the blocks
//! on disk: those are larger, and their times are as they were taken, not as they were put right.

use std::collections::HashMap;
use std::sync::Arc;

use journal::{Packed, pack};
use model::{Numbered, Record, SeqRange, Series};
use serde::Serialize;

use super::envelope::Rows;
use super::heading::{Heading, SeriesJson};

/// Bytes are the limit that counts; this bounds what a decoder must hold.
pub const RECORDS_MAX: usize = 65_536;

const VERSION: u8 = 1;

#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<SeriesJson<'a>>,
    #[serde(skip_serializing_if = "Rows::is_empty")]
    events: Rows<'a>,
}

/// Encodes the records of `range`.
pub fn encode(heading: &Heading, range: SeqRange, records: &[Numbered]) -> serde_json::Result<Vec<u8>> {
    let mut more = More { series: Vec::new(), events: Rows::events(records) };
    let mut brought: HashMap<&Arc<Series>, u32> = HashMap::new();
    let mut readings = Vec::with_capacity(records.len());
    for Numbered { seq, record, .. } in records {
        let Record::Reading(reading) = record else { continue };
        let series = heading.number(&reading.series).unwrap_or_else(|| {
            *brought.entry(&reading.series).or_insert_with(|| {
                more.series.push(SeriesJson::of(&reading.series));
                u32::try_from(heading.len() + more.series.len() - 1).expect("at most two messages' worth")
            })
        });
        readings.push(Packed { seq: *seq, series, reading });
    }
    let mut out = vec![VERSION];
    out.extend_from_slice(&heading.id);
    pack(&mut out, range, &readings);
    if !more.series.is_empty() || !more.events.is_empty() {
        serde_json::to_writer(&mut out, &more)?;
    }
    Ok(out)
}
