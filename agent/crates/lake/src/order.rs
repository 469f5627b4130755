//! The order of rows in a table: by instrument, quantity and time, what has none first, what shares them by position.
//!
//! Neighbours then resemble each other, which is most of what makes an object small. One number a row is kept, not a
//! copy of it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ptr;

use model::{InstrumentId, Numbered, QuantityId, Record, Series};

use crate::row::Row;

/// Whose row it is.
pub(crate) type SeriesKey<'a> = (Option<&'a InstrumentId>, Option<&'a QuantityId>);

/// The records of a batch in table order, without moving them.
pub(crate) struct TableOrder<'a> {
    records: &'a [Numbered],
    indices: Vec<u32>,
}

/// The series that a record belongs to.
pub(crate) fn series_key(record: &Record) -> SeriesKey<'_> {
    match record {
        Record::Reading(reading) => (Some(&reading.series.instrument), Some(&reading.series.quantity)),
        Record::Event(event) => (event.instrument.as_ref(), event.quantity.as_ref()),
    }
}

impl<'a> TableOrder<'a> {
    /// Orders `records`, which are in ascending order of their positions: counts each series, lays out its share, fills
    /// it, and sorts it by time.
    pub(crate) fn of(records: &'a [Numbered]) -> Self {
        let mut groups = Groups::default();
        for numbered in records {
            let group = groups.of(&numbered.record);
            groups.lengths[group] += 1;
        }
        let mut starts = groups.starts();
        let mut indices = vec![0; records.len()];
        for (index, numbered) in (0u32..).zip(records) {
            let start = &mut starts[groups.of(&numbered.record)];
            indices[*start] = index;
            *start += 1;
        }
        let mut rest = indices.as_mut_slice();
        for length in groups.by_name.values().map(|group| groups.lengths[*group]) {
            let (share, behind) = rest.split_at_mut(length);
            // Indices ascend with positions: they break ties, and the unstable sort needs no memory.
            share.sort_unstable_by_key(|index| (at(records, *index).record.stamp().time, *index));
            rest = behind;
        }
        Self { records, indices }
    }

    /// The records, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a Numbered> {
        self.indices.iter().map(|index| at(self.records, *index))
    }
}

/// The series in a batch.
#[derive(Default)]
struct Groups<'a> {
    by_name: BTreeMap<SeriesKey<'a>, usize>,
    /// Readings share their series: its address finds the group without comparing names. Looked up, never iterated.
    by_address: HashMap<*const Series, usize>,
    /// How many records each has.
    lengths: Vec<usize>,
}

impl<'a> Groups<'a> {
    fn of(&mut self, record: &'a Record) -> usize {
        let Self { by_name, by_address, lengths } = self;
        let mut by_name = || {
            *by_name.entry(series_key(record)).or_insert_with(|| {
                lengths.push(0);
                lengths.len() - 1
            })
        };
        match record {
            Record::Reading(reading) => *by_address.entry(ptr::from_ref(&*reading.series)).or_insert_with(by_name),
            Record::Event(_) => by_name(),
        }
    }

    /// Where each begins, in order of their names.
    fn starts(&self) -> Vec<usize> {
        let mut starts = vec![0; self.lengths.len()];
        let mut next = 0;
        for group in self.by_name.values() {
            starts[*group] = next;
            next += self.lengths[*group];
        }
        starts
    }
}

/// The order of rows that were read back: the same.
pub(crate) fn compare_rows(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (row.time, row.seq);
    let names = a.instrument.cmp(&b.instrument).then_with(|| a.quantity.cmp(&b.quantity));
    names.then_with(|| key(a).cmp(&key(b)))
}

fn at(records: &[Numbered], index: u32) -> &Numbered {
    &records[usize::try_from(index).expect("32 bits fit every target")]
}
