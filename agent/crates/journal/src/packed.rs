//! Readings outside of the journal: the columns of its blocks, cut anew for a message on a link that is paid by the byte.
//!
//! A block as it lies on disk serves its generation: 34 bytes of header, a commit's worth of lines, a monotonic clock
//! that nobody outside can use, times from before they were put right. Eighty values a second in commits of a second
//! are 44 bytes a line of four as they lie, 7 to 8 behind zstd. Here a batch is one block: 5 bytes a line in batches of
//! ten seconds and 3 in batches of a minute, without zstd. (`tests/bench bytes` measures whole messages.)
//!
//! ```text
//! [varint first][varint positions][varint readings]            the rest only where there are readings
//! [varint runs, runs x (varint skipped, varint length)]        their positions, from `first` on
//! [varint lines][ints length][ints time][ints clock]           a line: consecutive readings of one time and clock
//! [varint misses, misses x (varint hits before, varint series)]
//! [ints state]                                                 of all readings, series by series
//! for each series, in order of first appearance, of its readings alone:
//!     [numbers]                                                if any is a number
//!     [varint n, n x (varint length, UTF-8)][ints which]       if any is a text
//! ```
//!
//! The series of a reading is guessed: the one that came after the last reading's series the time before; the next
//! number, where none did; 0 at the start. Where the guess is wrong there is a miss. Lines that repeat cost nothing,
//! whatever order the instruments speak in.
//!
//! The decoder is `cloud/tidegate_rows`; a Rust one stands in the tests. `docs/FORMAT.md` has the columns.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Reading, Seq, SeqRange, Value};

use crate::codec::columns::{clock_number, put_texts, state_of};
use crate::codec::varint::{put_size, put_varint};
use crate::codec::{ints, numbers};

/// A reading, its position, and its series by the number that the message's reader knows it by.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// Its position.
    pub seq: Seq,
    /// Its series' number.
    pub series: u32,
    /// The reading.
    pub reading: &'a Reading,
}

/// Appends the readings of `range`, in the order of their positions.
pub fn pack(out: &mut Vec<u8>, range: SeqRange, readings: &[Packed<'_>]) {
    put_varint(out, range.first.0);
    put_varint(out, range.len());
    put_size(out, readings.len());
    if readings.is_empty() {
        return;
    }
    let mut scratch = ints::Scratch::default();
    put_positions(out, range.first, readings);
    put_lines(out, readings, &mut scratch);
    put_misses(out, readings);
    let groups = groups_of(readings);
    let states: Vec<i64> = groups.iter().flatten().map(|reading| state_of(reading)).collect();
    ints::put(out, &states, &mut scratch);
    let mut numbers_scratch = numbers::Scratch::default();
    for group in groups {
        let numbers: Vec<f64> = group.iter().filter_map(|reading| number_of(&reading.value)).collect();
        if !numbers.is_empty() {
            numbers::put(out, &numbers, &mut numbers_scratch);
        }
        let texts: Vec<Arc<str>> = group.iter().filter_map(|reading| text_of(&reading.value)).collect();
        if !texts.is_empty() {
            put_texts(out, &texts, &mut scratch);
        }
    }
}

fn number_of(value: &Value) -> Option<f64> {
    if let Value::Number(number) = value { Some(*number) } else { None }
}

fn text_of(value: &Value) -> Option<Arc<str>> {
    if let Value::Text(text) = value { Some(Arc::clone(text)) } else { None }
}

/// Events stand between the readings, and what was lost is missing: mostly one run.
fn put_positions(out: &mut Vec<u8>, first: Seq, readings: &[Packed<'_>]) {
    let runs: Vec<_> = readings.chunk_by(|a, b| a.seq.plus(1) == b.seq).collect();
    put_size(out, runs.len());
    let mut at = first;
    for run in runs {
        put_varint(out, run[0].seq.0 - at.0);
        put_size(out, run.len());
        at = run[run.len() - 1].seq.plus(1);
    }
}

fn put_lines(out: &mut Vec<u8>, readings: &[Packed<'_>], scratch: &mut ints::Scratch) {
    let stamp = |packed: &Packed<'_>| (packed.reading.stamp.time, packed.reading.stamp.clock);
    let lines: Vec<_> = readings.chunk_by(|a, b| stamp(a) == stamp(b)).collect();
    let length = |line: &&[Packed<'_>]| i64::try_from(line.len()).expect("fewer than 2^63");
    put_size(out, lines.len());
    ints::put(out, &lines.iter().map(length).collect::<Vec<_>>(), scratch);
    ints::put(out, &lines.iter().map(|line| stamp(&line[0]).0.as_millis()).collect::<Vec<_>>(), scratch);
    ints::put(out, &lines.iter().map(|line| clock_number(stamp(&line[0]).1)).collect::<Vec<_>>(), scratch);
}

fn put_misses(out: &mut Vec<u8>, readings: &[Packed<'_>]) {
    let mut guesses = Guesses::default();
    let (mut misses, mut hits) = (Vec::new(), 0);
    for packed in readings {
        if guesses.next() == packed.series {
            hits += 1;
        } else {
            misses.push((std::mem::take(&mut hits), packed.series));
        }
        guesses.learn(packed.series);
    }
    put_size(out, misses.len());
    for (hits, series) in misses {
        put_varint(out, hits);
        put_varint(out, u64::from(series));
    }
}

/// What came after each series the last time.
#[derive(Default)]
struct Guesses {
    after: HashMap<u32, u32>,
    last: Option<u32>,
}

impl Guesses {
    fn next(&self) -> u32 {
        self.last.map_or(0, |last| self.after.get(&last).copied().unwrap_or(last.wrapping_add(1)))
    }

    fn learn(&mut self, series: u32) {
        if let Some(last) = self.last.replace(series) {
            self.after.insert(last, series);
        }
    }
}

/// The readings of each series, in order of first appearance.
fn groups_of<'a>(readings: &[Packed<'a>]) -> Vec<Vec<&'a Reading>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<&Reading>> = Vec::new();
    for packed in readings {
        let place = *places.entry(packed.series).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(packed.reading);
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Clock, InstrumentId, Quality, QuantityId, Series, Stamp, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::codec::columns::get_texts;
    use crate::codec::varint::{Damaged, Input};

    /// Position, series, time, clock, quality flag, and the value as its bits or words.
    type Plain = (u64, u32, i64, i64, i64, String);

    fn plain_value(value: &Value) -> String {
        match value {
            Value::Number(number) => format!("{:016x}", number.to_bits()),
            Value::Text(text) => format!("text {text}"),
            Value::Missing => "missing".to_owned(),
        }
    }

    fn plain(packed: &Packed<'_>) -> Plain {
        let Reading { stamp, value, quality, .. } = packed.reading;
        let (time, clock) = (stamp.time.as_millis(), clock_number(stamp.clock));
        (packed.seq.0, packed.series, time, clock, i64::from(quality.flag()), plain_value(value))
    }

    /// The decoder, after the module's drawing.
    fn unpack(bytes: &[u8]) -> Result<Vec<Plain>, Damaged> {
        let mut input = Input::new(bytes);
        let (first, _, count) = (input.varint()?, input.varint()?, input.size(1 << 20)?);
        if count == 0 {
            input.end()?;
            return Ok(Vec::new());
        }
        let (mut seqs, mut at) = (Vec::new(), first);
        for _ in 0..input.size(count)? {
            at += input.varint()?;
            let length = input.varint()?;
            seqs.extend(at..at + length);
            at += length;
        }
        let lines = input.size(count)?;
        let lengths = ints::get(&mut input, lines)?;
        let (times, clocks) = (ints::get(&mut input, lines)?, ints::get(&mut input, lines)?);
        let mut stamps = Vec::new();
        for ((length, time), clock) in lengths.into_iter().zip(times).zip(clocks) {
            stamps.extend((0..length).map(|_| (time, clock)));
        }
        let mut misses = Vec::new();
        for _ in 0..input.size(count)? {
            misses.push((input.varint()?, u32::try_from(input.varint()?).map_err(|_| Damaged)?));
        }
        let (mut misses, mut guesses, mut hits, mut series) = (misses.into_iter(), Guesses::default(), 0, Vec::new());
        let mut miss = misses.next();
        for _ in 0..count {
            let is_miss = miss.is_some_and(|(after, _)| after == hits);
            let one = if is_miss { miss.ok_or(Damaged)?.1 } else { guesses.next() };
            (hits, miss) = if is_miss { (0, misses.next()) } else { (hits + 1, miss) };
            guesses.learn(one);
            series.push(one);
        }
        let states = ints::get(&mut input, count)?;
        let (mut order, mut members) = (Vec::new(), HashMap::<u32, Vec<usize>>::new());
        for (at, &one) in series.iter().enumerate() {
            if !members.contains_key(&one) {
                order.push(one);
            }
            members.entry(one).or_default().push(at);
        }
        let mut rows: Vec<Option<Plain>> = vec![None; count];
        let mut states = states.into_iter();
        for one in order {
            let here: Vec<(usize, i64)> = members[&one].iter().copied().zip(states.by_ref()).collect();
            let of_kind = |kind| here.iter().filter(|(_, state)| state % 4 == kind).count();
            let numbers = if of_kind(0) > 0 { numbers::get(&mut input, of_kind(0))? } else { Vec::new() };
            let texts = if of_kind(1) > 0 { get_texts(&mut input, of_kind(1))? } else { Vec::new() };
            let (mut numbers, mut texts) = (numbers.into_iter(), texts.into_iter());
            for (at, state) in here {
                let value = match state % 4 {
                    0 => numbers.next().map(Value::Number),
                    1 => texts.next().map(Value::Text),
                    _ => Some(Value::Missing),
                };
                let value = plain_value(&value.ok_or(Damaged)?);
                rows[at] = Some((seqs[at], one, stamps[at].0, stamps[at].1, state / 4, value));
            }
        }
        input.end()?;
        rows.into_iter().map(|row| row.ok_or(Damaged)).collect()
    }

    fn series() -> Arc<Series> {
        Arc::new(Series {
            instrument: InstrumentId::try_new("do-4").expect("a name"),
            quantity: QuantityId::try_new("dissolved_oxygen").expect("a name"),
            unit: "mg/L".to_owned(),
            tags: BTreeMap::new(),
        })
    }

    fn reading(ms: i64, clock: Clock, value: Value, quality: Quality) -> Reading {
        let time = Timestamp::from_millis(1_790_000_000_000 + ms);
        Reading { stamp: Stamp { time, mono_ms: 7, clock }, series: series(), value, quality }
    }

    fn packed(range: SeqRange, readings: &[Packed<'_>]) -> usize {
        let mut out = Vec::new();
        pack(&mut out, range, readings);
        assert_eq!(unpack(&out), Ok(readings.iter().map(plain).collect()), "{out:02x?}");
        out.len()
    }

    /// A farm of twenty instruments, each with a clock of its own that is a little off, so that their order changes.
    #[test]
    fn a_minute_of_twenty_instruments_is_small_whatever_order_they_speak_in() {
        let mut random = 20_260_101_u64;
        println!("seed {random}");
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut levels = [782_i64, 2153, 731, 41_250].repeat(20);
        let mut lines: Vec<(i64, u32)> = Vec::new();
        for instrument in 0..20 {
            let phase = i64::try_from(draw(1000)).expect("small");
            lines.extend(
                (0..60).map(|second| (phase + second * 1000 + i64::try_from(draw(5)).expect("small"), instrument)),
            );
        }
        lines.sort_unstable();
        let mut readings = Vec::new();
        for (ms, instrument) in lines {
            for quantity in 0..4u32 {
                let series = instrument * 4 + quantity;
                let level = &mut levels[usize::try_from(series).expect("small")];
                *level += i64::try_from(draw(5)).expect("small") - 2;
                let scale = if quantity == 3 { 1.0 } else { 100.0 };
                let value = Value::Number(f64::from(i32::try_from(*level).expect("small")) / scale);
                readings.push((series, reading(ms, Clock::Synced, value, Quality::Pass)));
            }
        }
        let of = |count: usize| {
            let range = SeqRange::new(Seq(1), Seq(u64::try_from(count).expect("64 bits") + 1));
            let all = (1..).map(Seq).zip(&readings[..count]);
            let all: Vec<_> = all.map(|(seq, (series, reading))| Packed { seq, series: *series, reading }).collect();
            packed(range, &all)
        };
        let (ten, minute) = (of(800), of(4800));
        println!("10 s: {ten} bytes, 60 s: {minute} bytes");
        assert!(ten < 200 * 8, "{ten} bytes for 200 lines");
        assert!(minute < 1200 * 4, "{minute} bytes for 1200 lines");
    }

    #[test]
    fn a_batch_without_readings_says_its_range_and_no_more() {
        assert_eq!(packed(SeqRange::new(Seq(5), Seq(7)), &[]), 3);
    }

    proptest! {
        /// Any readings, to the bit, with holes between them and series in any order.
        #[test]
        fn any_readings_read_back_to_the_bit(
            drawn in prop::collection::vec((0u64..3, 0u32..6, -3i64..40, 0usize..3, 0usize..5, any::<u64>(), 0u8..6), 0..300),
        ) {
            let mut ms = 0;
            let mut seq = 10;
            let mut readings = Vec::new();
            for (skip, series, step, clock, quality, bits, kind) in drawn {
                (seq, ms) = (seq + 1 + skip / 2, ms + step / 10 * 10);
                let value = match kind {
                    0 => Value::Missing,
                    1 => Value::Text(Arc::from(format!("tag {}", bits % 3))),
                    2 => Value::Number(f64::from_bits(bits)),
                    _ => Value::Number(f64::from(u32::try_from(bits % 4096).expect("small")) / 100.0),
                };
                let clock = [Clock::Synced, Clock::Corrected, Clock::Untrusted][clock];
                readings.push((Seq(seq), series, reading(ms, clock, value, Quality::ALL[quality])));
            }
            let all = readings.iter().map(|(seq, series, reading)| Packed { seq: *seq, series: *series, reading });
            packed(SeqRange::new(Seq(10), Seq(seq + 1)), &all.collect::<Vec<_>>());
        }
    }
}
