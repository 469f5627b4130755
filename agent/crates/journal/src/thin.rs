//! Thinning: a sealed generation is rewritten with less detail, so that a long outage costs detail and not days.
//!
//! Per instrument and quantity a window of time becomes five readings: its minimum, mean, maximum, last value and count.
//! They are readings like any other, of the same instrument, quantity and tags, with two tags more:
//!
//! ```text
//! thinned = "1m" | "10m" | "1h"      statistic = "min" | "mean" | "max" | "last" | "count"
//! ```
//!
//! They stand at the first five positions of what they replace, which keeps them in order and unique; minimum, maximum
//! and last value keep the time at which they were taken, mean and count that of the last. The quality is the worst one
//! that went in. What has no more than five readings in a window, texts and events stay as they are; readings without
//! a value go, unless there is no other.
//!
//! A gap `thinned` is noted before the rewritten generation takes the place of the old one. It counts what is gone. The
//! note `<generation>/thinned` says how far it went, so that a reader takes the holes for what they are. A neighbour that
//! was thinned as far and is small is joined on the way, and the note says up to where: an empty generation costs half a
//! MiB.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use model::{Gap, GapReason, Quality, Reading, Record, Seq, SeqRange, Series, Stamp, Timestamp, Value};

use crate::codec;
use crate::codec::encoder::{Encoder, Pending};
use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation};
use crate::journal::Journal;
use crate::seal::{Filling, swap_in};
use crate::series::Numbering;
use crate::shelf::dir_of;

/// The windows, one a level: their name and their length in milliseconds.
const WINDOWS: [(&str, i64); 3] = [("1m", 60_000), ("10m", 600_000), ("1h", 3_600_000)];
/// Readings that stand for a window.
const STATISTICS: [&str; 5] = ["min", "mean", "max", "last", "count"];
const THINNED: &str = "thinned";
const STATISTIC: &str = "statistic";
/// Records of a window held in memory; a window with more is cut in two.
const WINDOW_RECORDS_MAX: usize = 8_192;
/// Values between two looks at how large the copy has become.
const VALUES_PER_LOOK: u32 = 64;

/// How far the generation at `dir` was thinned: 0 not at all.
pub(crate) fn level_at(dir: &Path) -> Result<u8, JournalError> {
    let Some(bytes) = disk::read(&dir.join(THINNED))? else { return Ok(0) };
    let name = bytes.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let found = WINDOWS.iter().zip(1..).find(|((known, _), _)| known.as_bytes() == name);
    // Unreadable: holes there are, and it is not to be thinned again.
    Ok(found.map_or(u8::try_from(WINDOWS.len()).expect("three"), |(_, level)| level))
}

/// The end of what was joined to the generation at `dir`, if something was.
fn joined_until(dir: &Path) -> Result<Option<Seq>, JournalError> {
    let Some(bytes) = disk::read(&dir.join(THINNED))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split_whitespace();
    let is_known = words.next().is_some_and(|name| WINDOWS.iter().any(|(known, _)| *known == name));
    let numbers: Vec<Seq> = words.filter_map(|word| word.parse().ok()).map(Seq).collect();
    // Twice the same, so that damage does not pass for a number.
    Ok(numbers.first().filter(|first| is_known && numbers.len() == 2 && numbers.last() == Some(first)).copied())
}

/// Removes what was joined to the generation before it and is still there: the power went between the two. Left, it
/// would be thinned and told again.
pub(crate) fn settle_joins(path: &Path, firsts: &mut Vec<Seq>) -> Result<(), JournalError> {
    let mut at = 0;
    while at < firsts.len() {
        let until = joined_until(&dir_of(path, firsts[at]))?.unwrap_or(firsts[at]);
        while let Some(&joined) = firsts.get(at + 1).filter(|next| **next < until) {
            disk::remove(&dir_of(path, joined))?;
            firsts.remove(at + 1);
        }
        at += 1;
    }
    Ok(())
}

impl Journal {
    /// Thins the generation that was thinned least, of those the oldest. `false`: there is nothing left to thin.
    pub(crate) fn thin_oldest(&mut self) -> Result<bool, JournalError> {
        loop {
            let rack = self.shelf.rack();
            let least =
                rack.sealed.iter().filter(|(_, sealed)| !sealed.is_broken).min_by_key(|(_, sealed)| sealed.level);
            let Some((&first, sealed)) = least else { return Ok(false) };
            let (level, bytes) = (sealed.level, sealed.bytes);
            let Some(&window) = WINDOWS.get(usize::from(level)) else { return Ok(false) };
            let range = SeqRange::new(first, sealed.next);
            let before = rack.sealed.range(..first).next_back().filter(|(_, sealed)| sealed.level == level + 1);
            let before = before.filter(|(_, sealed)| sealed.next == first && !sealed.is_broken);
            let before =
                before.filter(|(_, sealed)| sealed.bytes < self.settings.seal_bytes()).map(|(&first, _)| first);
            drop(rack);
            let is_smaller = self.thin(range, before, window)?;
            if let Some(sealed) = self.shelf.rack().sealed.get_mut(&first) {
                // Also where it did not get smaller: it is not tried at this level again.
                sealed.level = level + 1;
            }
            tracing::info!(%range, window = window.0, bytes, is_smaller, "generation thinned for want of space");
            if is_smaller {
                return Ok(true);
            }
        }
    }

    /// Rewrites the generation of `range`, behind the one that begins at `before` if there is one to join.
    fn thin(&mut self, range: SeqRange, before: Option<Seq>, window: (&str, i64)) -> Result<bool, JournalError> {
        let path = self.shelf.path.clone();
        let place = before.unwrap_or(range.first);
        let copy = disk::with_suffix(&dir_of(&path, place), ".tmp");
        disk::remove(&copy)?;
        let room = self.settings.limit_bytes().saturating_sub(self.used_at_most).min(self.settings.copy_bytes());
        let bytes_before = self.shelf.rack().bytes();
        let Some(thinned) = self.fill(&copy, range, before, window, room)? else {
            disk::remove(&copy)?;
            return Ok(false);
        };
        let note = if before.is_some() {
            format!("{} {} {}\n", window.0, range.next, range.next)
        } else {
            window.0.to_owned()
        };
        disk::write(&copy.join(THINNED), note.as_bytes())?;
        // What was joined shares a window with what follows it.
        let among = SeqRange::new(place, range.next);
        let gap = Gap { range: Some(among), count: thinned.gone, times: thinned.times, reason: GapReason::Thinned };
        self.owed.owe(if thinned.gone > 0 { vec![gap] } else { Vec::new() })?;
        swap_in(self, place)?;
        // From now on it has holes that are no damage, whether it got smaller or not.
        if let Some(sealed) = self.shelf.rack().sealed.get_mut(&place) {
            sealed.is_thinned = true;
        }
        if before.is_some() {
            let mut rack = self.shelf.rack();
            rack.forget(range.first);
            if let Some(joined) = rack.sealed.get_mut(&place) {
                joined.next = range.next;
                joined.survey = None;
            }
            drop(rack);
            self.remove(range.first)?;
        }
        Ok(self.shelf.rack().bytes() < bytes_before)
    }

    /// Writes the copy; `None` if it does not get smaller, or something in it does not read.
    fn fill(
        &self,
        copy: &Path,
        range: SeqRange,
        before: Option<Seq>,
        window: (&str, i64),
        room: u64,
    ) -> Result<Option<Thinned>, JournalError> {
        let first = before.unwrap_or(range.first);
        let generation = Generation::make(copy, first).map_err(Fault::into_error)?;
        let writer = Filling { generation: &generation, numbering: Numbering::default(), encoder: Encoder::default() };
        let mut thinner = Thinner::new(writer, window, self.drained);
        for first in before.into_iter().chain([range.first]) {
            let mut rack = self.shelf.rack();
            let is_thinned = rack.sealed.get(&first).is_some_and(|sealed| sealed.is_thinned);
            let Some(source) = rack.open(&self.shelf.path, first)? else { return Ok(None) };
            drop(rack);
            let next = if first == range.first { range.next } else { range.first };
            let is_fit = |at: Seq, found: Seq| at == found || is_thinned;
            let is_small = || disk::bytes_of(copy).is_ok_and(|bytes| bytes + COPY_SLACK_BYTES <= room);
            if !thinner.take_all(&source, SeqRange::new(first, next), is_fit, is_small)? {
                return Ok(None);
            }
        }
        thinner.end_window()?;
        generation.flush()?;
        Ok(Some(thinner.thinned))
    }
}

/// Two of sled's segments: what it may add between two looks.
const COPY_SLACK_BYTES: u64 = 1 << 20;

/// What thinning took away.
#[derive(Debug, Clone, Copy)]
struct Thinned {
    /// Records that are gone and that not every sink had.
    gone: u64,
    times: Option<(Timestamp, Timestamp)>,
}

/// One instrument's quantity in one window.
struct Fold {
    /// The first of what came, as many as there are statistics.
    first: Vec<(Seq, Pending)>,
    /// The last without a value.
    valueless: Option<(Seq, Pending)>,
    taken: u64,
    min: Option<(Stamp, f64)>,
    max: Option<(Stamp, f64)>,
    last: Option<(Stamp, f64)>,
    sum: f64,
    count: f64,
    /// A mean that waits for its count.
    mean: f64,
    quality: Quality,
}

/// Takes records in order and writes what is left of them.
struct Thinner<'a> {
    writer: Filling<'a>,
    window: (&'a str, i64),
    drained: Seq,
    key: Option<(model::BootId, i64)>,
    folds: BTreeMap<Arc<Series>, Fold>,
    kept: Vec<(Seq, Pending)>,
    thinned: Thinned,
}

impl<'a> Thinner<'a> {
    fn new(writer: Filling<'a>, window: (&'a str, i64), drained: Seq) -> Self {
        let thinned = Thinned { gone: 0, times: None };
        let (folds, kept) = (BTreeMap::new(), Vec::new());
        Self { writer, window, drained, key: None, folds, kept, thinned }
    }

    /// Takes a generation. `false`: something in it does not read where it should, and what is damaged must not pass for
    /// thinned; or the copy is no longer small.
    fn take_all(
        &mut self,
        source: &Generation,
        range: SeqRange,
        is_fit: impl Fn(Seq, Seq) -> bool,
        is_small: impl Fn() -> bool,
    ) -> Result<bool, JournalError> {
        let known = source.known();
        let (mut at, mut values, mut is_good, mut outcome) = (range.first, 0, true, Ok(()));
        source.each_value(range, |header, block| {
            values += 1;
            let records = codec::open_block(&header, block, &known).ok().filter(|_| is_fit(at, header.range.first));
            let is_seen_small = values % VALUES_PER_LOOK != 0 || is_small();
            let Some(records) = records.filter(|_| is_seen_small) else {
                is_good = false;
                return ControlFlow::Break(());
            };
            at = header.range.next;
            let numbered = (header.range.first.0..).map(Seq).zip(records).take_while(|(seq, _)| *seq < range.next);
            for (seq, record) in numbered {
                outcome = self.take(seq, Pending { boot: header.boot, record });
                if outcome.is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        outcome?;
        Ok(is_good && is_fit(at, range.next))
    }

    fn take(&mut self, seq: Seq, pending: Pending) -> Result<(), JournalError> {
        let time = pending.record.stamp().time;
        let key = (pending.boot, time.as_millis().div_euclid(self.window.1));
        if self.key != Some(key) || self.kept.len() + self.folds.len() * STATISTICS.len() > WINDOW_RECORDS_MAX {
            self.end_window()?;
            self.key = Some(key);
        }
        if seq >= self.drained {
            self.thinned.gone += 1;
            let (from, to) = self.thinned.times.unwrap_or((time, time));
            self.thinned.times = Some((from.min(time), to.max(time)));
        }
        match &pending.record {
            Record::Reading(Reading { value: Value::Number(_) | Value::Missing, series, .. }) => {
                let base = base_of(series);
                self.folds.entry(base).or_insert_with(Fold::new).take(seq, pending);
            }
            Record::Reading(_) | Record::Event(_) => self.kept.push((seq, pending)),
        }
        Ok(())
    }

    /// Writes what stands for the window.
    fn end_window(&mut self) -> Result<(), JournalError> {
        for (base, fold) in std::mem::take(&mut self.folds) {
            fold.give(&base, self.window.0, &mut self.kept);
        }
        self.kept.sort_by_key(|(seq, _)| *seq);
        let kept = std::mem::take(&mut self.kept);
        let gone_not = kept.iter().filter(|(seq, _)| *seq >= self.drained).count();
        self.thinned.gone -= u64::try_from(gone_not).expect("64 bits");
        for run in kept.chunk_by(|a, b| a.0.plus(1) == b.0) {
            let mut at = run[0].0;
            let mut pending = run.iter().map(|(_, pending)| pending.clone()).collect();
            self.writer.write(&mut at, &mut pending)?;
        }
        Ok(())
    }
}

impl Fold {
    fn new() -> Self {
        let (min, max, last) = (None, None, None);
        let quality = Quality::Pass;
        let (first, valueless) = (Vec::new(), None);
        Self { first, valueless, taken: 0, min, max, last, sum: 0.0, count: 0.0, mean: 0.0, quality }
    }

    fn take(&mut self, seq: Seq, pending: Pending) {
        self.taken += 1;
        if let Record::Reading(reading) = &pending.record {
            if let Value::Number(value) = reading.value {
                self.fold(reading, value);
            } else {
                self.valueless = Some((seq, pending.clone()));
            }
        }
        if self.first.len() < STATISTICS.len() {
            self.first.push((seq, pending));
        }
    }

    fn fold(&mut self, reading: &Reading, value: f64) {
        let at = (reading.stamp, value);
        self.quality = self.quality.max(reading.quality);
        let statistic = reading.series.tags.get(STATISTIC).filter(|_| reading.series.tags.contains_key(THINNED));
        let lower = |held: Option<(Stamp, f64)>| Some(held.filter(|held| held.1 <= value).unwrap_or(at));
        let higher = |held: Option<(Stamp, f64)>| Some(held.filter(|held| held.1 >= value).unwrap_or(at));
        match statistic.map(String::as_str) {
            Some("min") => self.min = lower(self.min),
            Some("max") => self.max = higher(self.max),
            Some("last") => self.last = Some(at),
            Some("mean") => self.mean = value,
            Some("count") => {
                self.sum += self.mean * value;
                self.count += value;
            }
            _ => {
                (self.min, self.max, self.last) = (lower(self.min), higher(self.max), Some(at));
                self.sum += value;
                self.count += 1.0;
            }
        }
    }

    /// What stands for it: itself, if that is not more.
    fn give(self, base: &Arc<Series>, window: &str, kept: &mut Vec<(Seq, Pending)>) {
        if self.taken <= u64::try_from(STATISTICS.len()).expect("five") {
            kept.extend(self.first);
            return;
        }
        let (Some(min), Some(max), Some(last)) = (self.min, self.max, self.last) else {
            kept.extend(self.valueless);
            return;
        };
        let values = [min, (last.0, self.sum / self.count), max, last, (last.0, self.count)];
        for (((seq, first), statistic), (stamp, value)) in self.first.into_iter().zip(STATISTICS).zip(values) {
            let series = Arc::new(derived(base, window, statistic));
            let reading = Reading { stamp, series, value: Value::Number(value), quality: self.quality };
            kept.push((seq, Pending { boot: first.boot, record: Record::Reading(reading) }));
        }
    }
}

/// The series that was thinned, itself where it was not.
fn base_of(series: &Arc<Series>) -> Arc<Series> {
    if !series.tags.contains_key(THINNED) {
        return Arc::clone(series);
    }
    let mut base = Series::clone(series);
    base.tags.remove(THINNED);
    base.tags.remove(STATISTIC);
    Arc::new(base)
}

fn derived(base: &Series, window: &str, statistic: &str) -> Series {
    let mut series = base.clone();
    series.tags.insert(THINNED.to_owned(), window.to_owned());
    series.tags.insert(STATISTIC.to_owned(), statistic.to_owned());
    series
}
