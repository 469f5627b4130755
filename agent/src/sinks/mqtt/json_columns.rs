//! `json-columns`: the envelope with one entry a series and arrays inside. `docs/MQTT.md` says how it is read.
//!
//! Nothing is written twice that a reader can know: positions and times are steps, an array goes on with its last step,
//! a series has the times of the one before it unless it says otherwise, quality and clock stand only where they are
//! not the usual ones. Values stand as they are: a number is exact, and zstd does the rest.

use model::{Clock, Epoch, Numbered, Quality, SeqRange, Tags, Timestamp, Value};
use serde::Serialize;

use super::by_series::{OfSeries, by_series};
use super::envelope::{Rows, VERSION, is_empty};
use crate::config::DeviceConfig;

#[derive(Serialize)]
struct Envelope<'a> {
    v: u8,
    device: &'a str,
    site: &'a str,
    epoch: &'a Epoch,
    first: u64,
    next: u64,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
    /// What the first step of every `time` is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    series: Vec<Column<'a>>,
    #[serde(skip_serializing_if = "Rows::is_empty")]
    events: Rows<'a>,
}

#[derive(Serialize)]
struct Column<'a> {
    instrument: &'a str,
    quantity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
    seq: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Vec<i64>>,
    value: Vec<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Marks<Quality>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Marks<Clock>>,
}

/// The same for all, or runs of it.
#[derive(Serialize)]
#[serde(untagged)]
enum Marks<T> {
    All(T),
    Runs(Vec<(T, usize)>),
}

/// Encodes the records of `range`.
pub fn encode(
    device: &DeviceConfig,
    epoch: &Epoch,
    range: SeqRange,
    records: &[Numbered],
) -> serde_json::Result<Vec<u8>> {
    let all = by_series(records);
    let time = all.first().map(|first| first.readings[0].1.stamp.time);
    serde_json::to_vec(&Envelope {
        v: VERSION,
        device: device.id.as_str(),
        site: device.site.as_str(),
        epoch,
        first: range.first.0,
        next: range.next.0,
        tags: &device.tags,
        time,
        series: columns(&all, signed(range.first.0), time.map_or(0, Timestamp::as_millis)),
        events: Rows::events(records),
    })
}

fn columns<'a>(all: &[OfSeries<'a>], first: i64, time: i64) -> Vec<Column<'a>> {
    let mut before = None;
    let mut columns = Vec::with_capacity(all.len());
    for OfSeries { series, readings } in all {
        let each = || readings.iter().map(|(_, reading)| *reading);
        let times = Some(steps(time, each().map(|reading| reading.stamp.time.as_millis())));
        columns.push(Column {
            instrument: series.instrument.as_str(),
            quantity: series.quantity.as_str(),
            unit: &series.unit,
            tags: &series.tags,
            seq: steps(first, readings.iter().map(|(seq, _)| signed(seq.0))),
            time: times.clone().filter(|_| times != before),
            value: each().map(|reading| &reading.value).collect(),
            quality: marks(Quality::Pass, each().map(|reading| reading.quality)),
            clock: marks(Clock::Synced, each().map(|reading| reading.stamp.clock)),
        });
        before = times;
    }
    columns
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).expect("no journal lives to number 2^63")
}

/// The way from each value to the next, the first from `from`; without what only repeats the last one.
fn steps(from: i64, values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut before = from;
    let mut steps: Vec<i64> = values.map(|value| value - std::mem::replace(&mut before, value)).collect();
    while steps.len() > 1 && steps[steps.len() - 1] == steps[steps.len() - 2] {
        steps.pop();
    }
    steps
}

/// Nothing where all are the usual one.
fn marks<T: PartialEq + Copy>(usual: T, each: impl Iterator<Item = T>) -> Option<Marks<T>> {
    let mut runs: Vec<(T, usize)> = Vec::new();
    for mark in each {
        match runs.last_mut() {
            Some((last, count)) if *last == mark => *count += 1,
            _ => runs.push((mark, 1)),
        }
    }
    match runs[..] {
        [(mark, _)] if mark == usual => None,
        [(mark, _)] => Some(Marks::All(mark)),
        _ => Some(Marks::Runs(runs)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_ends_where_it_only_repeats_its_last_step() {
        assert_eq!(steps(1041, [1041, 1121, 1201, 1281].into_iter()), [0, 80]);
        assert_eq!(steps(0, [5, 5, 5].into_iter()), [5, 0]);
        assert_eq!(steps(0, [7, 14, 21].into_iter()), [7]);
        assert_eq!(steps(10, [3, 9, 8].into_iter()), [-7, 6, -1]);
    }

    #[test]
    fn the_usual_mark_is_not_written_one_mark_is_a_word_and_more_are_runs() {
        let json = |each: &[Quality]| serde_json::to_string(&marks(Quality::Pass, each.iter().copied())).expect("data");
        assert_eq!(json(&[Quality::Pass, Quality::Pass]), "null");
        assert_eq!(json(&[Quality::Suspect, Quality::Suspect]), r#""suspect""#);
        assert_eq!(json(&[Quality::Pass, Quality::Fail, Quality::Fail]), r#"[["pass",1],["fail",2]]"#);
    }
}
