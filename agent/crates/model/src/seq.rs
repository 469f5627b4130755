//! Positions in one device's journal: numbers, half-open ranges and sets of ranges.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Position of a record in the journal. The first is 1; none is ever used twice within an [`Epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The first number a journal gives out.
    pub const FIRST: Seq = Seq(1);

    /// The number `count` further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Seq {
        Seq(self.0.saturating_add(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of positions: `first` is in it, `next` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeqRange {
    /// The first position in the range.
    pub first: Seq,
    /// The first position behind the range.
    pub next: Seq,
}

impl SeqRange {
    /// The range `[first, next)`; empty when `next` is not behind `first`.
    pub fn new(first: Seq, next: Seq) -> Self {
        Self { first, next: next.max(first) }
    }

    /// How many positions are in it.
    pub fn len(&self) -> u64 {
        self.next.0 - self.first.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Whether `seq` is in it.
    pub fn contains(&self, seq: Seq) -> bool {
        self.first <= seq && seq < self.next
    }

    /// What both ranges hold; empty if nothing.
    #[must_use]
    pub fn intersection(&self, other: &SeqRange) -> SeqRange {
        SeqRange::new(self.first.max(other.first), self.next.min(other.next))
    }
}

impl fmt::Display for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.next)
    }
}

/// Minted when the journal was created. With the device and a [`Seq`] it names a record for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Length of an epoch's text.
    pub const LENGTH: usize = 8;
    /// Lower case letters and digits without the pairs that people misread (0/o, 1/l).
    pub const ALPHABET: &'static [u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

    /// Makes an epoch of 40 random bits.
    pub fn from_bits(bits: u64) -> Self {
        let text: String = (0..Self::LENGTH)
            .map(|i| {
                let index = (bits >> (5 * i)) & 31;
                char::from(Self::ALPHABET[usize::try_from(index).expect("five bits")])
            })
            .collect();
        Self(Arc::from(text))
    }

    /// Takes an epoch as it was written; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(Arc::from(text)))
    }

    /// The epoch as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of positions as sorted, disjoint, non-adjacent ranges: nearly always one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeSet {
    ranges: Vec<SeqRange>,
}

impl RangeSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[SeqRange] {
        &self.ranges
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many positions are in it.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(SeqRange::len).sum()
    }

    /// Whether `seq` is in it.
    pub fn contains(&self, seq: Seq) -> bool {
        self.ranges.iter().any(|range| range.contains(seq))
    }

    /// Adds a range; what touches is joined.
    pub fn insert(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|held| held.next < range.first);
        let to = self.ranges.partition_point(|held| held.first <= range.next);
        let joined = self.ranges[from..to]
            .iter()
            .fold(range, |joined, held| SeqRange::new(joined.first.min(held.first), joined.next.max(held.next)));
        self.ranges.splice(from..to, [joined]);
    }

    /// Takes a range out again.
    pub fn remove(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        self.ranges = self
            .ranges
            .iter()
            .flat_map(|held| {
                [
                    SeqRange::new(held.first, held.next.min(range.first)),
                    SeqRange::new(held.first.max(range.next), held.next),
                ]
            })
            .filter(|piece| !piece.is_empty())
            .collect();
    }

    /// The parts of `within` that are not in the set, in order.
    pub fn missing(&self, within: SeqRange) -> Vec<SeqRange> {
        let mut out = Vec::new();
        let mut at = within.first;
        for held in &self.ranges {
            let hole = SeqRange::new(at, held.first.min(within.next));
            if !hole.is_empty() {
                out.push(hole);
            }
            at = at.max(held.next);
        }
        let rest = SeqRange::new(at, within.next);
        if !rest.is_empty() {
            out.push(rest);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, next: u64) -> SeqRange {
        SeqRange::new(Seq(first), Seq(next))
    }

    #[test]
    fn ranges_that_touch_are_joined_and_holes_are_found() {
        let mut set = RangeSet::new();
        set.insert(range(10, 20));
        set.insert(range(30, 40));
        assert_eq!(set.missing(range(5, 50)), [range(5, 10), range(20, 30), range(40, 50)]);
        set.insert(range(20, 30));
        assert_eq!(set.ranges(), [range(10, 40)]);
        set.remove(range(15, 16));
        assert_eq!(set.ranges(), [range(10, 15), range(16, 40)]);
        assert_eq!(set.len(), 29);
        assert!(set.missing(range(16, 40)).is_empty());
    }

    #[test]
    fn a_set_of_ranges_is_a_set_of_numbers() {
        // A small exhaustive model: every pair of operations on 0..8 against a bit set.
        for a in 0..8u64 {
            for b in a..8 {
                for c in 0..8u64 {
                    for d in c..8 {
                        let mut set = RangeSet::new();
                        set.insert(range(a, b));
                        set.insert(range(c, d));
                        set.remove(range(b / 2, d / 2));
                        for n in 0..8 {
                            let held = ((a..b).contains(&n) || (c..d).contains(&n)) && !(b / 2..d / 2).contains(&n);
                            assert_eq!(set.contains(Seq(n)), held, "{a}..{b} + {c}..{d} at {n}");
                        }
                        assert!(set.ranges().windows(2).all(|pair| pair[0].next < pair[1].first));
                    }
                }
            }
        }
    }

    #[test]
    fn an_epoch_reads_back() {
        let epoch = Epoch::from_bits(0x0123_4567_89ab_cdef);
        assert_eq!(epoch.as_str().len(), Epoch::LENGTH);
        assert_eq!(Epoch::parse(epoch.as_str()), Some(epoch));
        assert_eq!(Epoch::parse("../x"), None);
    }
}
