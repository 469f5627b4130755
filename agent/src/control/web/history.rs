//! The last 24 hours, quantity by quantity, in steps of five minutes: what the page's charts are drawn from.
//!
//! The journal is read from its newest record back until 24 hours ago, so that it need not be known where that is, and
//! what is shown first is what happened last. What was read is kept as least, mean and most a step, and read on from there: a
//! record is looked at once. A question reads for [`READ_MS_MAX`] at most and is answered with what there is by then; the next
//! one goes on. One question reads at a time, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use journal::{JournalError, Reader};
use model::{EventKind, InstrumentId, Quality, QuantityId, Reading, Record, Seq, SeqRange, Timestamp, Value};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::config::Config;

/// What a step of the memory is.
const STEP_MS: i64 = 5 * 60 * 1_000;
const HOUR_MS: i64 = 3_600_000;
/// How far back it goes.
pub const HOURS_MAX: i64 = 24;
/// Steps an answer has of a quantity: a phone has no more pixels.
const POINTS_MAX: i64 = 144;
/// How long a question reads.
const READ_MS_MAX: u64 = 250;
/// Records read at once: what it takes of memory, some hundred bytes each.
const CHUNK_RECORDS: u64 = 4_096;
/// A head that has run away by more than this is begun at anew: newest first.
const AHEAD_RECORDS_MAX: u64 = 1 << 20;
/// What was read so long ago is fresh, once all of it is there.
const FRESH_MS: u64 = 20_000;
/// The same while it is not.
const HURRY_MS: u64 = 500;
/// Quantities kept, 288 steps of 32 bytes each at most.
const QUANTITIES_MAX: usize = 128;
/// Alarms kept of a quantity.
const ALARMS_MAX: usize = 32;
/// A range is told in so many steps: finer can not be seen.
const RESOLUTION: f64 = 400.0;

/// What was read so far, for all who ask.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Past>>);

impl History {
    /// The last `hours` as JSON.
    pub async fn of(
        &self,
        reader: Reader,
        clock: Clock,
        config: Arc<Config>,
        hours: i64,
    ) -> Result<Bytes, JournalError> {
        let mut past = self.0.clone().lock_owned().await;
        let work = move || {
            past.read_on(&reader, &clock, &config)?;
            let told = past.told(clock.now(), hours.clamp(1, HOURS_MAX));
            Ok(Bytes::from(serde_json::to_vec(&told).expect("plain data")))
        };
        // Whoever asked may go in between: it is read to its end all the same, and kept.
        tokio::task::spawn_blocking(work).await.expect("it does not panic, and nobody aborts it")
    }
}

#[derive(Debug, Default)]
struct Past {
    /// What it is the past of; another: begun anew.
    of: Option<Of>,
    /// What has been looked at.
    read: Option<SeqRange>,
    /// Whether that reaches back far enough.
    is_back: bool,
    /// And to the head as it was then.
    is_whole: bool,
    read_at_ms: Option<u64>,
    lines: BTreeMap<InstrumentId, BTreeMap<QuantityId, Line>>,
}

/// What makes everything that was read so far worthless when it changes.
#[derive(Debug, PartialEq, Eq)]
struct Of {
    epoch: Option<model::Epoch>,
    config: String,
    /// Times of this boot are put right from then on.
    is_anchored: bool,
}

/// One quantity.
#[derive(Debug)]
struct Line {
    unit: String,
    cells: BTreeMap<i64, Cell>,
    alarms: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    min: f64,
    max: f64,
    sum: f64,
    count: u32,
}

impl Cell {
    fn of(number: f64) -> Self {
        Self { min: number, max: number, sum: number, count: 1 }
    }

    fn take(&mut self, other: Cell) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count = self.count.saturating_add(other.count);
    }

    fn mean(&self) -> f64 {
        (self.sum / f64::from(self.count)).clamp(self.min, self.max)
    }
}

impl Past {
    fn read_on(&mut self, reader: &Reader, clock: &Clock, config: &Config) -> Result<(), JournalError> {
        let began_ms = clock.mono_ms();
        let of = Of { epoch: reader.epoch(), config: config.hash.clone(), is_anchored: clock.has_anchor() };
        let (head, tail) = (reader.head(), reader.tail());
        let is_behind = |read: SeqRange| head < read.next || head.0 - read.next.0 > AHEAD_RECORDS_MAX;
        if self.of.as_ref() != Some(&of) || self.read.is_some_and(is_behind) {
            *self = Self { of: Some(of), lines: lines(config), ..Self::default() };
        }
        let fresh_ms = if self.is_whole { FRESH_MS } else { HURRY_MS };
        if self.read_at_ms.is_some_and(|at| began_ms.saturating_sub(at) < fresh_ms) {
            return Ok(());
        }
        let has_time = || clock.mono_ms().saturating_sub(began_ms) < READ_MS_MAX;
        let mut read = self.read.unwrap_or(SeqRange::new(head, head));
        while read.next < head && has_time() {
            let end = read.next.plus(CHUNK_RECORDS).min(head);
            self.look_at(reader, clock, SeqRange::new(read.next, end))?;
            read.next = end;
            self.read = Some(read);
        }
        let cutoff = Timestamp::from_millis(window(clock.now(), HOURS_MAX, STEP_MS).0 * STEP_MS);
        while !self.is_back && has_time() {
            let start = Seq(read.first.0.saturating_sub(CHUNK_RECORDS)).max(tail).min(read.first);
            let newest = self.look_at(reader, clock, SeqRange::new(start, read.first))?;
            read.first = start;
            self.is_back = start <= tail || newest.is_some_and(|newest| newest < cutoff);
            self.read = Some(read);
        }
        self.is_whole = self.is_back && read.next >= head;
        self.forget(cutoff);
        self.read_at_ms = Some(clock.mono_ms());
        Ok(())
    }

    /// Takes in a range; gives the latest time in it.
    fn look_at(&mut self, reader: &Reader, clock: &Clock, range: SeqRange) -> Result<Option<Timestamp>, JournalError> {
        let mut newest = None;
        let records = usize::try_from(range.len()).unwrap_or(usize::MAX);
        for mut numbered in reader.read(range, records)?.records {
            clock.correct(numbered.boot, &mut numbered.record);
            newest = newest.max(Some(numbered.record.stamp().time));
            self.take(&numbered.record);
        }
        Ok(newest)
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::Reading(reading) => {
                if let Some(number) = number(reading)
                    && let Some(line) = self.line(&reading.series.instrument, &reading.series.quantity)
                    && line.unit == reading.series.unit
                {
                    let step = reading.stamp.time.as_millis().div_euclid(STEP_MS);
                    let cell = Cell::of(number);
                    line.cells.entry(step).and_modify(|held| held.take(cell)).or_insert(cell);
                }
            }
            Record::Event(event) if event.kind == EventKind::Alarm => {
                if let Some((instrument, quantity)) = event.instrument.as_ref().zip(event.quantity.as_ref())
                    && let Some(line) = self.line(instrument, quantity)
                {
                    line.alarms.insert(event.stamp.time.as_millis());
                    if line.alarms.len() > ALARMS_MAX {
                        line.alarms.pop_first();
                    }
                }
            }
            Record::Event(_) => {}
        }
    }

    fn line(&mut self, instrument: &InstrumentId, quantity: &QuantityId) -> Option<&mut Line> {
        self.lines.get_mut(instrument)?.get_mut(quantity)
    }

    fn forget(&mut self, cutoff: Timestamp) {
        let step = cutoff.as_millis().div_euclid(STEP_MS);
        for line in self.lines.values_mut().flat_map(BTreeMap::values_mut) {
            line.cells = line.cells.split_off(&step);
            line.alarms = line.alarms.split_off(&cutoff.as_millis());
        }
    }

    fn told(&self, now: Timestamp, hours: i64) -> Told<'_> {
        // Whole steps of the memory, and no more of them than can be seen.
        let step_ms = (hours * HOUR_MS + POINTS_MAX * STEP_MS - 1) / (POINTS_MAX * STEP_MS) * STEP_MS;
        let (first, last) = window(now, hours, step_ms);
        let all = self.lines.iter().flat_map(|(instrument, lines)| lines.iter().map(move |line| (instrument, line)));
        let series = all.map(|(instrument, (quantity, line))| line.told(instrument, quantity, (first, last), step_ms));
        Told {
            now_ms: now.as_millis(),
            from_ms: first * step_ms,
            step_ms,
            hours,
            is_whole: self.is_whole,
            series: series.collect(),
        }
    }
}

/// The first and the last step of the last `hours`, the one under way included.
fn window(now: Timestamp, hours: i64, step_ms: i64) -> (i64, i64) {
    let last = now.as_millis().div_euclid(step_ms);
    (last - hours * HOUR_MS / step_ms + 1, last)
}

fn lines(config: &Config) -> BTreeMap<InstrumentId, BTreeMap<QuantityId, Line>> {
    let mut lines: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for series in config.series().into_iter().take(QUANTITIES_MAX) {
        let line = Line { unit: series.unit.clone(), cells: BTreeMap::new(), alarms: BTreeSet::new() };
        lines.entry(series.instrument.clone()).or_default().insert(series.quantity.clone(), line);
    }
    lines
}

/// What goes into a chart: no text, nothing that is known to be wrong, and of what was thinned no count.
fn number(reading: &Reading) -> Option<f64> {
    let Value::Number(number) = reading.value else { return None };
    let is_count = reading.series.tags.get("statistic").is_some_and(|statistic| statistic == "count");
    let is_wrong = matches!(reading.quality, Quality::Fail | Quality::Missing);
    (number.is_finite() && !is_count && !is_wrong).then_some(number)
}

/// The answer. Public: names and meanings stay.
#[derive(Debug, Serialize)]
struct Told<'p> {
    /// The device's clock.
    now_ms: i64,
    /// When the first step begins.
    from_ms: i64,
    step_ms: i64,
    hours: i64,
    /// Whether all that the journal has of it has been read; if not, ask again.
    is_whole: bool,
    series: Vec<ToldLine<'p>>,
}

/// A quantity: four lists of the same length, a step an entry, null where nothing was read.
#[derive(Debug, Serialize)]
struct ToldLine<'p> {
    instrument: &'p str,
    quantity: &'p str,
    unit: &'p str,
    /// How many steps after `from_ms` the lists begin.
    first: i64,
    min: Vec<Option<f64>>,
    mean: Vec<Option<f64>>,
    max: Vec<Option<f64>>,
    count: Vec<u32>,
    /// When an alarm was raised.
    alarms: Vec<i64>,
}

impl Line {
    fn told<'p>(
        &'p self,
        instrument: &'p InstrumentId,
        quantity: &'p QuantityId,
        (first, last): (i64, i64),
        step_ms: i64,
    ) -> ToldLine<'p> {
        let mut cells: BTreeMap<i64, Cell> = BTreeMap::new();
        for (step, cell) in &self.cells {
            let step = (step * STEP_MS).div_euclid(step_ms);
            if (first..=last).contains(&step) {
                cells.entry(step).and_modify(|held| held.take(*cell)).or_insert(*cell);
            }
        }
        let low = cells.values().map(|cell| cell.min).fold(f64::INFINITY, f64::min);
        let high = cells.values().map(|cell| cell.max).fold(f64::NEG_INFINITY, f64::max);
        let short = |of: fn(&Cell) -> f64| -> Vec<Option<f64>> {
            steps(&cells).map(|cell| cell.map(|cell| shortened(of(cell), high - low))).collect()
        };
        let begin = cells.keys().next().map_or(0, |step| step - first);
        let since = self.alarms.range(first * step_ms..).copied().collect();
        ToldLine {
            instrument: instrument.as_str(),
            quantity: quantity.as_str(),
            unit: &self.unit,
            first: begin,
            min: short(|cell| cell.min),
            mean: short(Cell::mean),
            max: short(|cell| cell.max),
            count: steps(&cells).map(|cell| cell.map_or(0, |cell| cell.count)).collect(),
            alarms: since,
        }
    }
}

/// Every step from the first that has something to the last.
fn steps(cells: &BTreeMap<i64, Cell>) -> impl Iterator<Item = Option<&Cell>> {
    let (first, next) = (cells.keys().next().copied().unwrap_or(0), cells.keys().last().map_or(0, |last| last + 1));
    (first..next).map(|step| cells.get(&step))
}

/// As few digits as a chart of that range can show.
fn shortened(number: f64, range: f64) -> f64 {
    let quantum = if range > 0.0 { range } else { number.abs() } / RESOLUTION;
    if !quantum.is_normal() {
        return number;
    }
    let decimals = (0_u8..12).find(|decimals| 0.1_f64.powi(i32::from(*decimals)) <= quantum).unwrap_or(12);
    format!("{number:.*}", usize::from(decimals)).parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_can_be_seen() {
        assert!((shortened(7.123_456, 2.9) - 7.123).abs() < 1e-12);
        assert!((shortened(1_013.248_1, 12.0) - 1_013.25).abs() < 1e-9);
        assert!((shortened(123_456.7, 5_000.0) - 123_457.0).abs() < 1e-9);
        assert!((shortened(0.0, 0.0)).abs() < 1e-12);
        assert!((shortened(25.0, 0.0) - 25.0).abs() < 1e-12);
        assert!((shortened(0.000_012_34, 0.000_01) - 0.000_012_34).abs() < 1e-9);
    }

    fn line(cells: &[(i64, f64)]) -> Line {
        let mut line = Line { unit: "1".to_owned(), cells: BTreeMap::new(), alarms: BTreeSet::new() };
        for (step, number) in cells {
            let cell = Cell::of(*number);
            line.cells.entry(*step).and_modify(|held| held.take(cell)).or_insert(cell);
        }
        line
    }

    #[test]
    fn steps_are_joined_and_what_lacks_is_null() {
        let now = Timestamp::from_millis(1_000 * HOUR_MS + 1);
        let (first, last) = window(now, 24, 2 * STEP_MS);
        assert_eq!((last - first + 1, last), (144, 6_000));
        // Two steps of five minutes to one of ten; the one before the window is left out.
        let line = line(&[(first * 2 - 1, 99.0), (first * 2 + 6, 1.0), (first * 2 + 7, 4.0), (first * 2 + 10, 9.0)]);
        let (instrument, quantity) = (InstrumentId::try_new("a").unwrap(), QuantityId::try_new("b").unwrap());
        let told = line.told(&instrument, &quantity, (first, last), 2 * STEP_MS);
        assert_eq!((told.first, told.count), (3, vec![2, 0, 1]));
        assert_eq!((told.min, told.max), (vec![Some(1.0), None, Some(9.0)], vec![Some(4.0), None, Some(9.0)]));
        assert_eq!(told.mean, [Some(2.5), None, Some(9.0)]);
    }

    #[test]
    fn an_answer_has_no_more_steps_than_can_be_seen() {
        let past = Past::default();
        let now = Timestamp::from_millis(1_000 * HOUR_MS);
        for (hours, step_min) in [(1, 5), (12, 5), (13, 10), (24, 10)] {
            assert_eq!(past.told(now, hours).step_ms, step_min * 60_000, "{hours}");
        }
    }
}
