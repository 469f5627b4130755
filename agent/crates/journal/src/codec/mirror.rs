//! Codec 2, and everything else that is kept in rows: the one place where bincode is used.
//!
//! bincode 2.0.1 is the last of its line (RUSTSEC-2025-0141), so it is held at arm's length: private mirrors of the
//! nouns with explicit sizes, golden bytes in `golden.rs`, a limit on every decode. A mirror changes only with a
//! version. Should bincode have to go, this file is what has to be written anew.

use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use model::{
    Clock, Event, EventKind, Fact, Gap, GapReason, InstrumentId, Quality, QuantityId, RangeSet, Reading, Record, Seq,
    SeqRange, Series, Stamp, Timestamp, Value,
};

use super::varint::Damaged;
use crate::cursor::{Cursor, NamedBatch};

/// Most that a decode may claim: sheets (cursors, gaps) are the largest.
const BYTES_MAX: usize = 1 << 20;

/// A [`Record`] as it is stored.
#[derive(Encode, Decode)]
struct RowMirror {
    time: i64,
    mono_ms: u64,
    clock: u8,
    body: BodyMirror,
}

#[derive(Encode, Decode)]
enum BodyMirror {
    Reading { series: SeriesMirror, value: ValueMirror, quality: u8 },
    Event { kind: u8, instrument: Option<String>, quantity: Option<String>, facts: Vec<(String, FactMirror)> },
}

#[derive(Encode, Decode)]
struct SeriesMirror {
    instrument: String,
    quantity: String,
    unit: String,
    tags: Vec<(String, String)>,
}

#[derive(Encode, Decode)]
enum ValueMirror {
    Number(f64),
    Text(String),
    Missing,
}

#[derive(Encode, Decode)]
enum FactMirror {
    Integer(i64),
    Number(f64),
    Text(String),
}

#[derive(Encode, Decode)]
struct CursorMirror {
    confirmed: Vec<(u64, u64)>,
    named: Vec<NamedMirror>,
}

#[derive(Encode, Decode)]
struct NamedMirror {
    first: u64,
    next: u64,
    key: String,
    sealed: bool,
}

#[derive(Encode, Decode)]
struct GapMirror {
    range: Option<(u64, u64)>,
    count: u64,
    times: Option<(i64, i64)>,
    reason: u8,
}

/// Positions on disk. Append only.
const GAP_REASONS: [GapReason; 5] =
    [GapReason::Quota, GapReason::Corrupt, GapReason::Overrun, GapReason::Quarantine, GapReason::Thinned];
const CLOCKS: [Clock; 3] = [Clock::Synced, Clock::Corrected, Clock::Untrusted];

fn config() -> Configuration<LittleEndian, Varint, Limit<BYTES_MAX>> {
    bincode::config::standard().with_limit::<BYTES_MAX>()
}

fn put<T: Encode>(out: &mut Vec<u8>, mirror: &T) {
    bincode::encode_into_std_write(mirror, out, config()).expect("a Vec takes any bytes, mirrors are encodable");
}

fn get<T: Decode<()>>(bytes: &[u8]) -> Result<T, Damaged> {
    let (mirror, read) = bincode::decode_from_slice(bytes, config()).map_err(|_| Damaged)?;
    if read == bytes.len() { Ok(mirror) } else { Err(Damaged) }
}

fn position<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let at = all.iter().position(|each| each == one).expect("all are listed");
    u8::try_from(at).expect("short lists")
}

fn at<T: Copy>(all: &[T], position: u8) -> Result<T, Damaged> {
    all.get(usize::from(position)).copied().ok_or(Damaged)
}

/// Appends a block of rows.
pub(crate) fn put_rows<'a>(out: &mut Vec<u8>, records: impl Iterator<Item = &'a Record>) {
    put(out, &records.map(row_of).collect::<Vec<_>>());
}

/// Reads a block of rows.
pub(crate) fn get_rows(block: &[u8]) -> Result<Vec<Record>, Damaged> {
    get::<Vec<RowMirror>>(block)?.into_iter().map(record_of).collect()
}

/// Appends a series.
pub(crate) fn put_series(out: &mut Vec<u8>, series: &Series) {
    put(out, &series_mirror(series));
}

/// Reads a series.
pub(crate) fn get_series(bytes: &[u8]) -> Result<Series, Damaged> {
    series_of(get(bytes)?)
}

/// A list of series.
pub(crate) fn put_all_series(out: &mut Vec<u8>, all: &[Arc<Series>]) {
    let mirrors: Vec<_> = all.iter().map(|series| series_mirror(series)).collect();
    put(out, &mirrors);
}

/// A list of series.
pub(crate) fn get_all_series(bytes: &[u8]) -> Result<Vec<Series>, Damaged> {
    get::<Vec<SeriesMirror>>(bytes)?.into_iter().map(series_of).collect()
}

/// Appends a cursor.
pub(crate) fn put_cursor(out: &mut Vec<u8>, cursor: &Cursor) {
    let confirmed = cursor.confirmed.ranges().iter().map(|range| (range.first.0, range.next.0)).collect();
    let named = cursor.named.iter().map(|batch| NamedMirror {
        first: batch.range.first.0,
        next: batch.range.next.0,
        key: batch.key.clone(),
        sealed: batch.sealed,
    });
    put(out, &CursorMirror { confirmed, named: named.collect() });
}

/// Reads a cursor.
pub(crate) fn get_cursor(bytes: &[u8]) -> Result<Cursor, Damaged> {
    let mirror: CursorMirror = get(bytes)?;
    let mut confirmed = RangeSet::new();
    for range in mirror.confirmed {
        confirmed.insert(range_of(range)?);
    }
    let mut named = Vec::with_capacity(mirror.named.len());
    for batch in mirror.named {
        let range = range_of((batch.first, batch.next))?;
        named.push(NamedBatch { range, key: batch.key, sealed: batch.sealed });
    }
    Ok(Cursor { confirmed, named })
}

/// Appends the note of owed gaps.
pub(crate) fn put_gaps(out: &mut Vec<u8>, gaps: &[Gap]) {
    let mirrors: Vec<_> = gaps
        .iter()
        .map(|gap| GapMirror {
            range: gap.range.map(|range| (range.first.0, range.next.0)),
            count: gap.count,
            times: gap.times.map(|(from, to)| (from.as_millis(), to.as_millis())),
            reason: position(&GAP_REASONS, &gap.reason),
        })
        .collect();
    put(out, &mirrors);
}

/// Reads the note of owed gaps.
pub(crate) fn get_gaps(bytes: &[u8]) -> Result<Vec<Gap>, Damaged> {
    let gap_of = |mirror: GapMirror| {
        Ok(Gap {
            range: mirror.range.map(range_of).transpose()?,
            count: mirror.count,
            times: mirror.times.map(|(from, to)| (Timestamp::from_millis(from), Timestamp::from_millis(to))),
            reason: at(&GAP_REASONS, mirror.reason)?,
        })
    };
    get::<Vec<GapMirror>>(bytes)?.into_iter().map(gap_of).collect()
}

fn range_of((first, next): (u64, u64)) -> Result<SeqRange, Damaged> {
    if first <= next { Ok(SeqRange::new(Seq(first), Seq(next))) } else { Err(Damaged) }
}

fn row_of(record: &Record) -> RowMirror {
    let stamp = record.stamp();
    let body = match record {
        Record::Reading(reading) => BodyMirror::Reading {
            series: series_mirror(&reading.series),
            value: match &reading.value {
                Value::Number(number) => ValueMirror::Number(*number),
                Value::Text(text) => ValueMirror::Text(text.as_ref().to_owned()),
                Value::Missing => ValueMirror::Missing,
            },
            quality: reading.quality.flag(),
        },
        Record::Event(event) => BodyMirror::Event {
            kind: position(&EventKind::ALL, &event.kind),
            instrument: event.instrument.as_ref().map(|id| id.as_str().to_owned()),
            quantity: event.quantity.as_ref().map(|id| id.as_str().to_owned()),
            facts: event.facts.iter().map(|(name, fact)| (name.clone(), fact_mirror(fact))).collect(),
        },
    };
    let clock = position(&CLOCKS, &stamp.clock);
    RowMirror { time: stamp.time.as_millis(), mono_ms: stamp.mono_ms, clock, body }
}

fn record_of(row: RowMirror) -> Result<Record, Damaged> {
    let time = Timestamp::from_millis(row.time);
    let stamp = Stamp { time, mono_ms: row.mono_ms, clock: at(&CLOCKS, row.clock)? };
    match row.body {
        BodyMirror::Reading { series, value, quality } => Ok(Record::Reading(Reading {
            stamp,
            series: Arc::new(series_of(series)?),
            value: match value {
                ValueMirror::Number(number) => Value::Number(number),
                ValueMirror::Text(text) => Value::Text(Arc::from(text)),
                ValueMirror::Missing => Value::Missing,
            },
            quality: Quality::from_flag(quality).ok_or(Damaged)?,
        })),
        BodyMirror::Event { kind, instrument, quantity, facts } => Ok(Record::Event(Box::new(Event {
            stamp,
            kind: at(&EventKind::ALL, kind)?,
            instrument: instrument.map(InstrumentId::try_from).transpose().map_err(|_| Damaged)?,
            quantity: quantity.map(QuantityId::try_from).transpose().map_err(|_| Damaged)?,
            facts: facts.into_iter().map(|(name, fact)| (name, fact_of(fact))).collect(),
        }))),
    }
}

fn fact_mirror(fact: &Fact) -> FactMirror {
    match fact {
        Fact::Integer(integer) => FactMirror::Integer(*integer),
        Fact::Number(number) => FactMirror::Number(*number),
        Fact::Text(text) => FactMirror::Text(text.clone()),
    }
}

fn fact_of(mirror: FactMirror) -> Fact {
    match mirror {
        FactMirror::Integer(integer) => Fact::Integer(integer),
        FactMirror::Number(number) => Fact::Number(number),
        FactMirror::Text(text) => Fact::Text(text),
    }
}

fn series_mirror(series: &Series) -> SeriesMirror {
    SeriesMirror {
        instrument: series.instrument.as_str().to_owned(),
        quantity: series.quantity.as_str().to_owned(),
        unit: series.unit.clone(),
        tags: series.tags.iter().map(|(name, word)| (name.clone(), word.clone())).collect(),
    }
}

fn series_of(mirror: SeriesMirror) -> Result<Series, Damaged> {
    Ok(Series {
        instrument: InstrumentId::try_from(mirror.instrument).map_err(|_| Damaged)?,
        quantity: QuantityId::try_from(mirror.quantity).map_err(|_| Damaged)?,
        unit: mirror.unit,
        tags: mirror.tags.into_iter().collect(),
    })
}
