//! Codec 1: readings of one boot in columns.
//!
//! A *line* is what arrived together: consecutive readings with one stamp. Times are stored once a line, and the
//! monotonic time as its distance from the wall time, which only moves when the clock is set.
//!
//! ```text
//! [varint lines][ints length][ints time][ints time - mono][ints clock]      one value a line
//! [ints series]                                                             one value a reading
//! for each series, in order of first appearance, of its readings alone:
//!     [ints state]        quality flag x 4 + kind (0 number, 1 text, 2 missing)
//!     [numbers]           if any is a number
//!     [varint n, n x (varint length, UTF-8)][ints which]    if any is a text
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use model::{Clock, Quality, Reading, Series, Stamp, Timestamp, Value};

use super::varint::{Damaged, Input, put_size};
use super::{BLOCK_RECORDS_MAX, VALUE_BYTES_MAX, ints, numbers};

const CLOCKS: [Clock; 3] = [Clock::Synced, Clock::Corrected, Clock::Untrusted];
const NUMBER: i64 = 0;
const TEXT: i64 = 1;
const MISSING: i64 = 2;
const KINDS: i64 = 4;

/// A reading, and its series by the generation's number for it.
pub(crate) struct Item<'a> {
    pub(crate) series: u32,
    pub(crate) reading: &'a Reading,
}

/// Room for the columns, kept between blocks so that a reading allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    lengths: Vec<i64>,
    times: Vec<i64>,
    offsets: Vec<i64>,
    clocks: Vec<i64>,
    series: Vec<i64>,
    /// Where a series' group is: by the generation's number for it.
    group_of: Vec<Option<usize>>,
    groups: Vec<Group>,
    ints: ints::Scratch,
    numbers: numbers::Scratch,
}

#[derive(Debug, Default)]
struct Group {
    states: Vec<i64>,
    numbers: Vec<f64>,
    texts: Vec<Arc<str>>,
}

pub(crate) fn state_of(reading: &Reading) -> i64 {
    let kind = match reading.value {
        Value::Number(_) => NUMBER,
        Value::Text(_) => TEXT,
        Value::Missing => MISSING,
    };
    i64::from(reading.quality.flag()) * KINDS + kind
}

pub(crate) fn clock_number(clock: Clock) -> i64 {
    match clock {
        Clock::Synced => 0,
        Clock::Corrected => 1,
        Clock::Untrusted => 2,
    }
}

/// Appends the block of `items`, at most [`BLOCK_RECORDS_MAX`] of one boot.
pub(crate) fn put(out: &mut Vec<u8>, items: &[Item<'_>], columns: &mut Columns) {
    columns.fill_lines(items);
    let used = columns.fill_groups(items);
    put_size(out, columns.lengths.len());
    for column in [&columns.lengths, &columns.times, &columns.offsets, &columns.clocks, &columns.series] {
        ints::put(out, column, &mut columns.ints);
    }
    for group in &columns.groups[..used] {
        ints::put(out, &group.states, &mut columns.ints);
        if !group.numbers.is_empty() {
            numbers::put(out, &group.numbers, &mut columns.numbers);
        }
        if !group.texts.is_empty() {
            put_texts(out, &group.texts, &mut columns.ints);
        }
    }
}

impl Columns {
    fn fill_lines(&mut self, items: &[Item<'_>]) {
        for column in [&mut self.lengths, &mut self.times, &mut self.offsets, &mut self.clocks] {
            column.clear();
        }
        for line in items.chunk_by(|a, b| a.reading.stamp == b.reading.stamp) {
            let stamp = &line[0].reading.stamp;
            self.lengths.push(i64::try_from(line.len()).expect("at most BLOCK_RECORDS_MAX"));
            self.times.push(stamp.time.as_millis());
            self.offsets.push(stamp.time.as_millis().wrapping_sub_unsigned(stamp.mono_ms));
            self.clocks.push(clock_number(stamp.clock));
        }
    }

    /// Sorts values by series; says how many groups that made.
    fn fill_groups(&mut self, items: &[Item<'_>]) -> usize {
        self.series.clear();
        self.group_of.clear();
        let mut used = 0;
        for item in items {
            self.series.push(i64::from(item.series));
            let series = usize::try_from(item.series).expect("32 bits at least");
            if series >= self.group_of.len() {
                self.group_of.resize(series + 1, None);
            }
            if self.group_of[series].is_none() {
                self.start_group(used);
                self.group_of[series] = Some(used);
                used += 1;
            }
            let at = self.group_of[series].expect("started above");
            self.groups[at].push(item.reading);
        }
        used
    }

    fn start_group(&mut self, at: usize) {
        if at == self.groups.len() {
            self.groups.push(Group::default());
        }
        self.groups[at].clear();
    }
}

impl Group {
    fn clear(&mut self) {
        self.states.clear();
        self.numbers.clear();
        self.texts.clear();
    }

    fn push(&mut self, reading: &Reading) {
        self.states.push(state_of(reading));
        match &reading.value {
            Value::Number(number) => self.numbers.push(*number),
            Value::Text(text) => self.texts.push(Arc::clone(text)),
            Value::Missing => {}
        }
    }
}

/// Statuses repeat: each text stands once.
pub(crate) fn put_texts(out: &mut Vec<u8>, texts: &[Arc<str>], scratch: &mut ints::Scratch) {
    let mut numbers = HashMap::new();
    let mut distinct = Vec::new();
    let mut which = Vec::with_capacity(texts.len());
    for text in texts {
        which.push(*numbers.entry(text).or_insert_with(|| {
            distinct.push(text);
            i64::try_from(distinct.len() - 1).expect("at most BLOCK_RECORDS_MAX")
        }));
    }
    put_size(out, distinct.len());
    for text in distinct {
        put_size(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
    ints::put(out, &which, scratch);
}

/// Reads the block of `count` readings.
pub(crate) fn get(block: &[u8], count: usize, series: &[Arc<Series>]) -> Result<Vec<Reading>, Damaged> {
    let mut input = Input::new(block);
    let stamps = get_lines(&mut input, count)?;
    let mut group_of = vec![None; series.len()];
    let mut sizes: Vec<usize> = Vec::new();
    let mut places = Vec::with_capacity(count);
    for id in ints::get(&mut input, count)? {
        let id = usize::try_from(id).map_err(|_| Damaged)?;
        let group = group_of.get_mut(id).ok_or(Damaged)?.get_or_insert_with(|| {
            sizes.push(0);
            sizes.len() - 1
        });
        sizes[*group] += 1;
        places.push((id, *group));
    }
    let mut groups = Vec::with_capacity(sizes.len());
    for size in sizes {
        groups.push(get_group(&mut input, size)?.into_iter());
    }
    input.end()?;
    let mut readings = Vec::with_capacity(count);
    for ((id, group), stamp) in places.into_iter().zip(stamps) {
        let (value, quality) = groups[group].next().ok_or(Damaged)?;
        readings.push(Reading { stamp, series: Arc::clone(&series[id]), value, quality });
    }
    Ok(readings)
}

/// The stamp of every reading, from those of the lines.
fn get_lines(input: &mut Input<'_>, count: usize) -> Result<Vec<Stamp>, Damaged> {
    let lines = input.size(count)?;
    let lengths = ints::get(input, lines)?;
    let times = ints::get(input, lines)?;
    let offsets = ints::get(input, lines)?;
    let clocks = ints::get(input, lines)?;
    let mut stamps = Vec::with_capacity(count);
    for (((length, time), offset), clock) in lengths.into_iter().zip(times).zip(offsets).zip(clocks) {
        let length = usize::try_from(length).map_err(|_| Damaged)?;
        let clock = usize::try_from(clock).ok().and_then(|at| CLOCKS.get(at)).ok_or(Damaged)?;
        let mono_ms = time.wrapping_sub(offset).cast_unsigned();
        if length > count - stamps.len() {
            return Err(Damaged);
        }
        let stamp = Stamp { time: Timestamp::from_millis(time), mono_ms, clock: *clock };
        stamps.resize(stamps.len() + length, stamp);
    }
    if stamps.len() == count { Ok(stamps) } else { Err(Damaged) }
}

fn get_group(input: &mut Input<'_>, count: usize) -> Result<Vec<(Value, Quality)>, Damaged> {
    let states = ints::get(input, count)?;
    let of_kind = |kind| states.iter().filter(|&&state| state % KINDS == kind).count();
    let (number_count, text_count) = (of_kind(NUMBER), of_kind(TEXT));
    let numbers = if number_count > 0 { numbers::get(input, number_count)? } else { Vec::new() };
    let texts = if text_count > 0 { get_texts(input, text_count)? } else { Vec::new() };
    let (mut numbers, mut texts) = (numbers.into_iter(), texts.into_iter());
    let mut values = Vec::with_capacity(count);
    for state in states {
        let value = match state % KINDS {
            NUMBER => numbers.next().map(Value::Number),
            TEXT => texts.next().map(Value::Text),
            MISSING => Some(Value::Missing),
            _ => None,
        };
        let quality = u8::try_from(state / KINDS).ok().and_then(Quality::from_flag);
        values.push((value.ok_or(Damaged)?, quality.ok_or(Damaged)?));
    }
    Ok(values)
}

pub(crate) fn get_texts(input: &mut Input<'_>, count: usize) -> Result<Vec<Arc<str>>, Damaged> {
    let mut distinct: Vec<Arc<str>> = Vec::new();
    for _ in 0..input.size(BLOCK_RECORDS_MAX)? {
        let length = input.size(VALUE_BYTES_MAX)?;
        let text = std::str::from_utf8(input.take(length)?).map_err(|_| Damaged)?;
        distinct.push(Arc::from(text));
    }
    let which = ints::get(input, count)?.into_iter();
    which.map(|at| usize::try_from(at).ok().and_then(|at| distinct.get(at)).cloned().ok_or(Damaged)).collect()
}
