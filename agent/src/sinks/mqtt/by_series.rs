//! The readings of a batch by what they are readings of, each in the order of the journal.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Numbered, Reading, Record, Seq, Series};

/// The readings of one series, never none.
pub struct OfSeries<'a> {
    /// Of what.
    pub series: &'a Series,
    /// The readings with their positions.
    pub readings: Vec<(Seq, &'a Reading)>,
}

/// Sorts the readings among `records` by series, in the order in which those first appear.
pub fn by_series(records: &[Numbered]) -> Vec<OfSeries<'_>> {
    let mut places: HashMap<&Arc<Series>, usize> = HashMap::new();
    let mut all: Vec<OfSeries<'_>> = Vec::new();
    for numbered in records {
        let Record::Reading(reading) = &numbered.record else { continue };
        let place = *places.entry(&reading.series).or_insert(all.len());
        if place == all.len() {
            all.push(OfSeries { series: &reading.series, readings: Vec::new() });
        }
        all[place].readings.push((numbered.seq, reading));
    }
    all
}
