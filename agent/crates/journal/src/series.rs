//! A generation's numbers for its series, so that a block names them in a byte or less.

use std::collections::HashMap;
use std::sync::Arc;

use model::Series;

/// Series a generation numbers; what comes beyond is written out in rows. Twenty thousand instruments' worth.
pub(crate) const SERIES_MAX: usize = 65_536;

/// The writer's side: finds the number of a series.
///
/// A line repeats its order, so the successor of the last series is tried first: a pointer comparison a reading.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    known: Vec<Arc<Series>>,
    numbers: HashMap<Arc<Series>, u32>,
    /// What came after each, the last time.
    after: Vec<u32>,
    last: u32,
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits at least")
}

impl Numbering {
    /// Takes up the numbers that were given before.
    pub(crate) fn from_known(known: Vec<Arc<Series>>) -> Self {
        let mut numbering = Self::default();
        for series in known {
            numbering.add(series);
        }
        numbering
    }

    /// The number of a series that has one.
    pub(crate) fn find(&mut self, series: &Arc<Series>) -> Option<u32> {
        let guess = self.after.get(index(self.last)).copied().unwrap_or_default();
        let is_guessed = self.known.get(index(guess)).is_some_and(|known| Arc::ptr_eq(known, series));
        let found = if is_guessed { guess } else { *self.numbers.get(series)? };
        if !is_guessed {
            // The same words in another allocation, as after a restart: the next guess compares with this one.
            self.known[index(found)] = Arc::clone(series);
        }
        if let Some(after) = self.after.get_mut(index(self.last)) {
            *after = found;
        }
        self.last = found;
        Some(found)
    }

    /// Gives the next number to a series; `None` when there are no more.
    pub(crate) fn add(&mut self, series: Arc<Series>) -> Option<u32> {
        if self.known.len() >= SERIES_MAX {
            return None;
        }
        let number = u32::try_from(self.known.len()).expect("below SERIES_MAX");
        self.known.push(Arc::clone(&series));
        self.after.push(0);
        self.numbers.insert(series, number);
        Some(number)
    }
}
