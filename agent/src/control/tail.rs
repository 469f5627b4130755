//! `tail`: records from the journal as NDJSON, the same from the daemon and from a journal at rest.

use journal::{JournalError, Reader};
use model::{Numbered, Record, Row, Seq, SeqRange, Timestamp};
use serde::{Deserialize, Serialize};

/// Records read at once.
const READ_RECORDS_MAX: usize = 512;

/// What to show.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Query {
    /// Only this instrument's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instrument: Option<String>,
    /// Only from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// Go on with what comes.
    #[serde(default)]
    pub follow: bool,
    /// Only what is no reading.
    #[serde(default)]
    pub events: bool,
}

/// Events are few: so many records are looked through for them at most, and what lies before is not asked.
const EVENTS_LOOK_MAX: u64 = 1_000_000;

/// Records shown without `-n` and `--since`.
const SHOWN_DEFAULT: usize = 10;

impl Query {
    fn wants(&self, numbered: &Numbered) -> bool {
        if self.events && matches!(numbered.record, Record::Reading(_)) {
            return false;
        }
        let Some(wanted) = &self.instrument else { return true };
        match &numbered.record {
            Record::Reading(reading) => reading.series.instrument.as_str() == wanted,
            Record::Event(event) => event.instrument.as_ref().is_some_and(|id| id.as_str() == wanted),
        }
    }
}

/// What is there already, oldest first, and where to go on.
pub fn past(reader: &Reader, query: &Query) -> Result<(Vec<u8>, Seq), JournalError> {
    let (tail, head) = (reader.tail(), reader.head());
    let (first, limit) = match (query.since, query.n) {
        (Some(since), n) => (reader.find_time(since)?, n.unwrap_or(usize::MAX)),
        (None, n) => (tail, n.unwrap_or(SHOWN_DEFAULT)),
    };
    let first = if query.events { first.max(Seq(head.0.saturating_sub(EVENTS_LOOK_MAX))) } else { first };
    let found = last_wanted(reader, query, SeqRange::new(first, head), limit)?;
    let mut out = Vec::new();
    for numbered in &found {
        write_line(&mut out, numbered, reader);
    }
    Ok((out, head))
}

/// The last `limit` wanted records of a range, in order. Reads from the end backwards, in growing steps, so that the
/// last ten of forty million cost as much as the last ten of a hundred.
fn last_wanted(reader: &Reader, query: &Query, within: SeqRange, limit: usize) -> Result<Vec<Numbered>, JournalError> {
    let mut parts: Vec<Vec<Numbered>> = Vec::new();
    let (mut end, mut step, mut count) = (within.next, 64_u64, 0);
    while end > within.first && count < limit {
        let start = Seq(end.0.saturating_sub(step)).max(within.first);
        let mut part = read_wanted(reader, query, SeqRange::new(start, end))?;
        part.drain(..part.len().saturating_sub(limit - count));
        count += part.len();
        parts.push(part);
        (end, step) = (start, (step * 2).min(16_384));
    }
    Ok(parts.into_iter().rev().flatten().collect())
}

fn read_wanted(reader: &Reader, query: &Query, within: SeqRange) -> Result<Vec<Numbered>, JournalError> {
    let (mut out, mut next) = (Vec::new(), within.first);
    while next < within.next {
        let chunk = reader.read(SeqRange::new(next, within.next), READ_RECORDS_MAX)?;
        if chunk.next <= next {
            break;
        }
        out.extend(chunk.records.into_iter().filter(|numbered| query.wants(numbered)));
        next = chunk.next;
    }
    Ok(out)
}

/// What has become durable since `from`, a bounded piece of it, and where to go on.
pub fn piece(reader: &Reader, query: &Query, from: Seq) -> Result<(Vec<u8>, Seq), JournalError> {
    let from = from.max(reader.tail());
    let chunk = reader.read(SeqRange::new(from, reader.head()), READ_RECORDS_MAX)?;
    let mut out = Vec::new();
    for numbered in chunk.records.iter().filter(|numbered| query.wants(numbered)) {
        write_line(&mut out, numbered, reader);
    }
    Ok((out, chunk.next.max(from)))
}

fn write_line(out: &mut Vec<u8>, numbered: &Numbered, reader: &Reader) {
    let epoch = reader.epoch();
    let row = Row { numbered, epoch: epoch.as_ref() };
    serde_json::to_writer(&mut *out, &row).expect("a row is plain data and a Vec takes it");
    out.push(b'\n');
}
