//! When each of the last bytes arrived: one entry a chunk, not one a byte.

use std::collections::VecDeque;

use model::Stamp;

/// The arrival of bytes in a row, the oldest first. Holds at most one entry a byte.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    runs: VecDeque<(usize, Stamp)>,
    len: usize,
}

impl Stamps {
    pub fn push(&mut self, count: usize, at: Stamp) {
        if count == 0 {
            return;
        }
        self.len += count;
        match self.runs.back_mut() {
            Some((run, stamp)) if *stamp == at => *run += count,
            _ => self.runs.push_back((count, at)),
        }
    }

    /// When the oldest byte arrived.
    pub fn first(&self) -> Option<Stamp> {
        self.runs.front().map(|(_, at)| *at)
    }

    /// Forgets the oldest bytes.
    pub fn drop_first(&mut self, mut count: usize) {
        self.len = self.len.saturating_sub(count);
        while let Some((run, _)) = self.runs.front_mut() {
            if *run > count {
                *run -= count;
                return;
            }
            count -= *run;
            self.runs.pop_front();
        }
    }

    /// Forgets all but the newest bytes.
    pub fn keep_last(&mut self, count: usize) {
        self.drop_first(self.len.saturating_sub(count));
    }

    pub fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, Timestamp};

    use super::*;

    fn at(mono_ms: u64) -> Stamp {
        Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Synced }
    }

    #[test]
    fn the_oldest_byte_is_the_one_that_is_left() {
        let mut stamps = Stamps::default();
        stamps.push(3, at(1));
        stamps.push(0, at(9));
        stamps.push(2, at(2));
        stamps.push(1, at(2));
        assert_eq!((stamps.first(), stamps.runs.len()), (Some(at(1)), 2));
        stamps.drop_first(2);
        assert_eq!(stamps.first(), Some(at(1)));
        stamps.keep_last(3);
        assert_eq!(stamps.first(), Some(at(2)));
        stamps.drop_first(7);
        assert_eq!((stamps.first(), stamps.len), (None, 0));
    }
}
