//! Our values, found in the raw bytes of a generation's log, whatever sled thinks of them.
//!
//! sled stops reading a log, or a part of it, at the first message that is damaged. Our values do not need it: each has
//! a checksum of its own over its number and its content. So a look at a generation begins here, before sled opens it.
//!
//! A value stands in the log in one of two shapes, most in both:
//!
//! ```text
//! link    [0][8][number: 8 bytes][length][value]                          one insert
//! page    [0][0][p][lo][hi][0][n] n x [8 - p][number without the first p bytes of lo]  n x [length][value]
//! ```
//!
//! lo and hi are lengths and bytes; series are the same with 4 bytes in the place of 8. The shapes only say where to
//! look: what counts is a number and a value whose checksum holds. One that is damaged hides none behind it.
//!
//! # Why what is found may be believed
//!
//! Bytes that sled has given up stay in the file until it writes there again. They can only mislead if a number is used
//! twice for different content. That never happens as long as each open looks here first and numbers on behind the
//! highest value that is found, whether it was acknowledged or not: then what is written later has another number than
//! all that is in the file. A value that is torn has no checksum that holds, and so no number. A salvage, a repack and a
//! thinning write files of their own. Where a journal was opened without this look and there are two values for a
//! number after all, neither counts. The same holds for the numbers of series.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use model::{Record, Seq, SeqRange, Series};

use crate::codec::{self, BLOCK_RECORDS_MAX, Header, VALUE_BYTES_MAX};
use crate::framing::{Framing, read_number};
use crate::generation::{is_refusal, open_series, seq_of};
use crate::open::GENERATION_RECORDS_MAX;
use crate::series::SERIES_MAX;
use crate::twin;

/// A generation is sealed at 8 MiB, and what sled rewrites meanwhile has never doubled that. What is larger is not one
/// of ours, and is not looked at: it all stands in the memory of the process that looks.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// What a device fails to read at once, at least.
const PAGE_BYTES: usize = 4096;
/// sled splits a page of more than sixteen values.
const PAGE_VALUES_MAX: usize = 64;
/// Bytes that may be checked for each that there is, so that no content makes a look take for ever. A sound log needs
/// fewer than two.
const CHECKED_FACTOR: usize = 16;
/// A record's number as a key, and a series'.
const NUMBER_BYTES: usize = 8;
const SERIES_NUMBER_BYTES: usize = 4;
/// sled writes lengths up to 67,823 in at most three bytes.
const LENGTH_BYTES_MAX: usize = 3;
/// A series is a handful of words; a record's texts have 4 KiB at most.
const SERIES_BYTES_MAX: usize = 8 << 10;

/// What was found in a log.
#[derive(Debug, Default)]
pub(crate) struct Carved {
    bytes: Vec<u8>,
    values: BTreeMap<Seq, Found<Header>>,
    series: Table,
    is_orderly: bool,
}

/// One value, or a series, and where its bytes stand.
#[derive(Debug)]
struct Found<T> {
    what: T,
    at: Range<usize>,
    /// Whether it stands where sled reads it.
    is_held: bool,
    /// Another one of the same number says something else.
    is_disputed: bool,
}

impl Carved {
    /// Looks through the log of the generation at `dir`, whose first number is `first`. A log that is not there has
    /// nothing in it.
    pub(crate) fn read(dir: &Path, first: Seq) -> io::Result<Self> {
        let file = match File::open(dir.join("db")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::of(Vec::new(), first)),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        if length > LOG_BYTES_MAX {
            tracing::warn!(dir = %dir.display(), length, "log is too large to be looked through");
            return Ok(Self { is_orderly: true, ..Self::default() });
        }
        let (bytes, is_readable) = read_pages(&file, usize::try_from(length).expect("checked against LOG_BYTES_MAX"))?;
        let mut carved = Self::of(bytes, first);
        carved.series.fill_in(&twin::read(dir));
        Ok(Self { is_orderly: carved.is_orderly && is_readable, ..carved })
    }

    /// Looks through `bytes`.
    pub(crate) fn of(bytes: Vec<u8>, first: Seq) -> Self {
        let framing = Framing::of(&bytes);
        let mut search = Search {
            bytes: &bytes,
            framing: &framing,
            numbers: SeqRange::new(first, first.plus(2 * GENERATION_RECORDS_MAX)),
            values: BTreeMap::new(),
            series: BTreeMap::new(),
            left: bytes.len().saturating_mul(CHECKED_FACTOR),
        };
        search.run();
        let Search { mut values, series, .. } = search;
        dispute_overlaps(&mut values);
        let is_held = values.values().all(|found| found.is_held) && series.values().all(|found| found.is_held);
        Self { values, series: Table::of(series), is_orderly: framing.is_orderly && is_held, bytes }
    }

    /// Whether sled reads all that is here, as far as can be told without it.
    pub(crate) fn is_orderly(&self) -> bool {
        self.is_orderly
    }

    /// The values that count, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Header> {
        self.values.values().filter(|found| !found.is_disputed).map(|found| &found.what)
    }

    /// Behind the highest number that a value has, whether it counts or not.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.values.values().map(|found| found.what.range.next).max()
    }

    /// Decodes a value, all of it; `None` if it names a series that was not found.
    pub(crate) fn decode(&self, header: &Header) -> Option<Vec<Record>> {
        let found = self.values.get(&header.range.first)?;
        let block = self.bytes.get(found.at.clone())?.get(codec::HEADER_BYTES..)?;
        let records = codec::open_block(header, block, &self.series.known).ok()?;
        let is_known = |record: &Record| match record {
            Record::Reading(reading) => !self.series.is_missing(&reading.series),
            Record::Event(_) => true,
        };
        records.iter().all(is_known).then_some(records)
    }
}

/// Reads a file; pages that the device does not give are zeros. Whether there were none.
fn read_pages(file: &File, length: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = vec![0; length];
    if file.read_exact_at(&mut bytes, 0).is_ok() {
        return Ok((bytes, true));
    }
    for (page, at) in bytes.chunks_mut(PAGE_BYTES).zip((0..).step_by(PAGE_BYTES)) {
        match file.read_exact_at(page, at) {
            Err(error) if is_refusal(&error) => return Err(error),
            Err(_) => page.fill(0),
            Ok(()) => {}
        }
    }
    Ok((bytes, false))
}

/// Numbers that two values claim belong to neither.
fn dispute_overlaps(values: &mut BTreeMap<Seq, Found<Header>>) {
    let mut reach: Option<SeqRange> = None;
    let mut disputed = Vec::new();
    for found in values.values() {
        let range = found.what.range;
        if let Some(before) = reach.filter(|before| range.first < before.next) {
            disputed.extend([before.first, range.first]);
        }
        reach = Some(reach.filter(|before| before.next >= range.next).unwrap_or(range));
    }
    for first in disputed {
        if let Some(found) = values.get_mut(&first) {
            found.is_disputed = true;
        }
    }
}

/// Series by their numbers, as a decoder wants them. Where one was not found stands another in its place, which is told
/// by its place in memory: no content makes another series it.
#[derive(Debug, Default)]
struct Table {
    known: Vec<Arc<Series>>,
    missing: Option<Arc<Series>>,
}

impl Table {
    fn of(found: BTreeMap<u32, Found<Arc<Series>>>) -> Self {
        let mut table = Self::default();
        for (number, series) in found.into_iter().filter(|(_, found)| !found.is_disputed) {
            let missing = table.missing.get_or_insert_with(|| Arc::new(Series::clone(&series.what)));
            table.known.resize(usize::try_from(number).expect("below SERIES_MAX"), Arc::clone(missing));
            table.known.push(series.what);
        }
        table
    }

    /// Puts those of a twin where none was found.
    fn fill_in(&mut self, twin: &[Arc<Series>]) {
        let Some(first) = twin.first().filter(|_| twin.len() <= SERIES_MAX) else { return };
        let missing = Arc::clone(self.missing.get_or_insert_with(|| Arc::new(Series::clone(first))));
        if self.known.len() < twin.len() {
            self.known.resize(twin.len(), Arc::clone(&missing));
        }
        for (known, series) in self.known.iter_mut().zip(twin) {
            if Arc::ptr_eq(known, &missing) {
                *known = Arc::clone(series);
            }
        }
    }

    fn is_missing(&self, series: &Arc<Series>) -> bool {
        self.missing.as_ref().is_some_and(|missing| Arc::ptr_eq(missing, series))
    }
}

struct Search<'a> {
    bytes: &'a [u8],
    framing: &'a Framing,
    /// What a value's number may be.
    numbers: SeqRange,
    values: BTreeMap<Seq, Found<Header>>,
    series: BTreeMap<u32, Found<Arc<Series>>>,
    /// Bytes that may still be checked.
    left: usize,
}

impl Search<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while at < self.bytes.len() {
            let end = match self.bytes[at] {
                0 => self.try_page(at),
                1 if is_value_head(&self.bytes[at..]) => self.try_linked_value(at),
                4 if self.bytes[at + 1..].starts_with(&[0, 0]) => self.try_linked_series(at),
                _ => None,
            };
            // Bytes under a checksum that holds are no front of anything else.
            at = end.unwrap_or(at + 1);
        }
    }

    /// A value that begins at `at`, with its length and its number before it. Says where it ends, if it is one.
    fn try_linked_value(&mut self, at: usize) -> Option<usize> {
        (1..=LENGTH_BYTES_MAX).find_map(|length_bytes| {
            let length_at = at.checked_sub(length_bytes)?;
            let (length, read) = read_number(&self.bytes[length_at..])?;
            let number = seq_of(&self.bytes[length_at.checked_sub(NUMBER_BYTES)?..length_at])?;
            if read == length_bytes { self.try_value(number, at, length) } else { None }
        })
    }

    fn try_linked_series(&mut self, at: usize) -> Option<usize> {
        let number_at = at + 1;
        let number: [u8; SERIES_NUMBER_BYTES] = *self.bytes.get(number_at..)?.first_chunk()?;
        let length_at = number_at + SERIES_NUMBER_BYTES;
        let (length, read) = read_number(&self.bytes[length_at..])?;
        self.try_series(&number, length_at + read, length)
    }

    /// A page of values or series that begins with `[0][0][p]` at `at`. Says where it ends, if all of it reads.
    fn try_page(&mut self, at: usize) -> Option<usize> {
        let page = Page::read(self.bytes, at)?;
        let mut next = page.values_at;
        let mut is_all = true;
        let mut numbers = page.numbers.iter();
        while let Some(number) = numbers.next() {
            let (length, read) = self.bytes.get(next..).and_then(read_number)?;
            let taken = match seq_of(number) {
                Some(seq) => self.try_value(seq, next + read, length),
                None => self.try_series(number, next + read, length),
            };
            if let Some(end) = taken {
                next = end;
                continue;
            }
            is_all = false;
            // Damaged, or not a page at all. If its length holds, the next one stands behind it; if not, what looks
            // like a value next is one of those that are left.
            let behind = usize::try_from(length).ok().filter(|&length| length <= VALUE_BYTES_MAX);
            match behind.map(|length| next + read + length).filter(|&behind| self.is_value_at(behind)) {
                Some(behind) => next = behind,
                None => {
                    self.try_rest(next + 1, numbers.filter_map(|number| seq_of(number)).collect());
                    return None;
                }
            }
        }
        is_all.then_some(next)
    }

    /// Values whose numbers are known and in order, and whose places are not.
    fn try_rest(&mut self, from: usize, mut numbers: Vec<Seq>) {
        let until = self.bytes.len().min(from + (numbers.len() + 1) * VALUE_BYTES_MAX);
        let mut at = from;
        while at < until && !numbers.is_empty() {
            let found = if is_value_head(&self.bytes[at..]) { self.try_numbers(at, &numbers) } else { None };
            if let Some((taken, _)) = found {
                numbers.drain(..=taken);
            }
            at = found.map_or(at + 1, |(_, end)| end);
        }
    }

    /// Which of `numbers` the value at `at` has, and where it ends.
    fn try_numbers(&mut self, at: usize, numbers: &[Seq]) -> Option<(usize, usize)> {
        (1..=LENGTH_BYTES_MAX).find_map(|length_bytes| {
            let (length, read) = read_number(&self.bytes[at.checked_sub(length_bytes)?..])?;
            let mut each = numbers.iter().enumerate().filter(|_| read == length_bytes);
            each.find_map(|(n, &number)| Some((n, self.try_value(number, at, length)?)))
        })
    }

    /// Whether a length and the head of a value stand at `at`.
    fn is_value_at(&self, at: usize) -> bool {
        let read = self.bytes.get(at..).and_then(read_number);
        read.and_then(|(_, read)| self.bytes.get(at + read..)).is_some_and(is_value_head)
    }

    /// Takes the value at `at` if its checksum holds for `number`; says where it ends.
    fn try_value(&mut self, number: Seq, at: usize, length: u64) -> Option<usize> {
        let length = usize::try_from(length).ok().filter(|length| *length <= VALUE_BYTES_MAX.min(self.left))?;
        let value = self.bytes.get(at..at + length).filter(|value| is_value_head(value))?;
        if !self.numbers.contains(number) {
            return None;
        }
        self.left -= length;
        let (header, _) = codec::open_value(number, value).ok()?;
        note(self.bytes, self.framing, &mut self.values, (number, header, at..at + length));
        Some(at + length)
    }

    fn try_series(&mut self, number: &[u8], at: usize, length: u64) -> Option<usize> {
        let length = usize::try_from(length).ok().filter(|length| *length <= SERIES_BYTES_MAX.min(self.left))?;
        let value = self.bytes.get(at..at + length).filter(|value| value.first() == Some(&1))?;
        self.left -= length;
        let series = open_series(number, value)?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        if usize::try_from(number).is_ok_and(|number| number < SERIES_MAX) {
            note(self.bytes, self.framing, &mut self.series, (number, Arc::new(series), at..at + length));
        }
        Some(at + length)
    }
}

/// Takes what was found in, beside what was found under the same number before.
fn note<K: Ord, T>(
    bytes: &[u8],
    framing: &Framing,
    all: &mut BTreeMap<K, Found<T>>,
    (number, what, at): (K, T, Range<usize>),
) {
    let is_held = framing.holds(&at);
    match all.get_mut(&number) {
        None => drop(all.insert(number, Found { what, at, is_held, is_disputed: false })),
        Some(known) if bytes[known.at.clone()] == bytes[at] => known.is_held |= is_held,
        Some(known) => known.is_disputed = true,
    }
}

/// Whether `bytes` look like the beginning of a value: enough to keep almost all others from being checked.
fn is_value_head(bytes: &[u8]) -> bool {
    let Some(&[version, codec, 0, 0, high, low]) = bytes.first_chunk::<6>() else { return false };
    let count = usize::from(u16::from_be_bytes([high, low]));
    version == 1 && (codec == codec::COLUMNS || codec == codec::ROWS) && (1..=BLOCK_RECORDS_MAX).contains(&count)
}

/// The front of one of sled's pages.
struct Page {
    /// The numbers of its values, whole.
    numbers: Vec<Vec<u8>>,
    values_at: usize,
}

impl Page {
    /// Reads the page whose second number (a page that is being merged into it: none ever is) stands at `at`.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let &[0, 0, stripped, low_bytes] = bytes.get(at..)?.first_chunk::<4>()? else { return None };
        let stripped = usize::from(stripped);
        let low_bytes = usize::from(low_bytes);
        if stripped >= NUMBER_BYTES || low_bytes > NUMBER_BYTES || low_bytes < stripped {
            return None;
        }
        let low = bytes.get(at + 4..at + 4 + low_bytes)?;
        let high_at = at + 4 + low_bytes;
        let high_bytes = usize::from(*bytes.get(high_at)?);
        let (&[0, count, number_bytes], front) = bytes.get(high_at + 1 + high_bytes..)?.split_first_chunk::<3>()?
        else {
            return None;
        };
        let (count, number_bytes) = (usize::from(count), usize::from(number_bytes));
        let whole = number_bytes + stripped;
        let is_one = whole == NUMBER_BYTES || whole == SERIES_NUMBER_BYTES;
        if !is_one || number_bytes == 0 || high_bytes > NUMBER_BYTES || !(1..=PAGE_VALUES_MAX).contains(&count) {
            return None;
        }
        // The first of the lengths was read above. One of the others may be damaged.
        let each = number_bytes + 1;
        let fronts = front.get(..count * each - 1)?;
        let lengths = fronts.iter().skip(number_bytes).step_by(each);
        if lengths.filter(|length| usize::from(**length) != number_bytes).count() > 1 {
            return None;
        }
        let numbers =
            (0..count).map(|n| [&low[..stripped], &fronts[n * each..n * each + number_bytes]].concat()).collect();
        Some(Self { numbers, values_at: bytes.len() - front.len() + fronts.len() })
    }
}

#[cfg(test)]
mod tests {
    use model::{BootId, Clock, Event, EventKind, Stamp, Timestamp};

    use super::*;
    use crate::codec::encoder::{Encoder, Pending};

    /// The value that holds one event, under `number`.
    fn value(number: u64, n: u64) -> Vec<u8> {
        let stamp = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
        let record = Record::Event(Box::new(Event::new(stamp, EventKind::Alarm).with("n", n)));
        let mut out = Vec::new();
        let number_of = |_: &Arc<Series>| Ok::<_, ()>(None);
        let store = |_, value: &[u8]| {
            out = value.to_vec();
            Ok(())
        };
        let pending = [Pending { boot: BootId(1), record }];
        Encoder::default().encode(Seq(number), &pending, number_of, store).expect("stores");
        out
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).expect("short")], bytes].concat()
    }

    fn link(number: u64, n: u64) -> Vec<u8> {
        [&[0, 8][..], &number.to_be_bytes(), &sized(&value(number, n))].concat()
    }

    /// A page whose numbers share all bytes but the last.
    fn page(numbers: &[u64]) -> Vec<u8> {
        let low = [8, 0, 0, 0, 0, 0, 0, 0, 1];
        let high = [8, 0, 0, 0, 0, 0, 0, 0, 200];
        let mut out = [&[0, 0, 7][..], &low, &high, &[0, u8::try_from(numbers.len()).expect("few")]].concat();
        out.extend(numbers.iter().flat_map(|number| [1, number.to_be_bytes()[7]]));
        out.extend(numbers.iter().flat_map(|&number| sized(&value(number, number))));
        out
    }

    fn found(bytes: Vec<u8>) -> Vec<u64> {
        Carved::of(bytes, Seq::FIRST).values().map(|header| header.range.first.0).collect()
    }

    #[test]
    fn values_are_found_in_links_and_pages_whatever_stands_around_them() {
        let noise: Vec<u8> = (0..999u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let bytes =
            [noise.clone(), link(3, 3), noise.clone(), page(&[7, 8, 9]), vec![0; 99], link(4, 4), noise].concat();
        assert_eq!(found(bytes), [3, 4, 7, 8, 9]);
    }

    #[test]
    fn a_flipped_bit_anywhere_hides_one_value_of_a_page_or_the_page() {
        let whole = page(&[7, 8, 9, 10]);
        let front = whole.len() - sized(&value(7, 7)).len() * 4;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let left = found(bytes).len();
                assert!(left >= 3 || at < front, "bit {bit} at {at} leaves {left}");
            }
        }
    }

    #[test]
    fn of_two_values_for_a_number_neither_counts_and_the_number_is_used() {
        let carved = Carved::of([link(3, 3), link(4, 4), link(4, 5), link(3, 3)].concat(), Seq::FIRST);
        assert_eq!(carved.values().map(|header| header.range.first.0).collect::<Vec<_>>(), [3]);
        assert_eq!(carved.end(), Some(Seq(5)));
    }

    #[test]
    fn a_value_of_another_generation_is_none_of_this() {
        assert_eq!(Carved::of(link(3, 3), Seq(4)).values().count(), 0);
    }
}
