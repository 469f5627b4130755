//! What a sink has confirmed, and the batches it has named: a set of positions, nearly always one range.

use model::{RangeSet, Seq, SeqRange};

/// A batch that was named before it was sent, so that a retry after a crash sends the same range under the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBatch {
    /// The positions in it.
    pub range: SeqRange,
    /// Its object key or whatever else the far side knows it by.
    pub key: String,
    /// Whether its bytes stand in the [`SealedStore`](crate::SealedStore).
    pub sealed: bool,
}

/// The progress of one sink. In memory until [`CursorFile::store`](crate::CursorFile::store) returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) confirmed: RangeSet,
    pub(crate) named: Vec<NamedBatch>,
}

impl Cursor {
    /// A cursor of a sink that wants nothing before `seq`.
    pub fn starting_at(seq: Seq) -> Self {
        let mut cursor = Self::default();
        cursor.confirm(SeqRange::new(Seq::FIRST, seq));
        cursor
    }

    /// What the far side has confirmed.
    pub fn confirmed(&self) -> &RangeSet {
        &self.confirmed
    }

    /// The batches named and not confirmed, oldest first.
    pub fn named(&self) -> &[NamedBatch] {
        &self.named
    }

    /// Names a batch. It must be one that [`Cursor::next_unconfirmed`] offers: neither confirmed nor named.
    pub fn begin(&mut self, batch: NamedBatch) {
        let is_free = self.taken().missing(batch.range) == [batch.range];
        assert!(is_free, "a batch is named once: {} is confirmed, named or empty", batch.range);
        self.named.push(batch);
    }

    /// The far side has `range`, durably. Named batches that it covers are done.
    pub fn confirm(&mut self, range: SeqRange) {
        self.confirmed.insert(range);
        let confirmed = &self.confirmed;
        self.named.retain(|batch| !confirmed.missing(batch.range).is_empty());
    }

    /// Takes the name from a batch whose sealed bytes are gone: its records are cut and named anew.
    pub fn forget(&mut self, range: SeqRange) {
        self.named.retain(|batch| batch.range != range);
    }

    /// Puts a range back, to be delivered again.
    pub fn replay(&mut self, range: SeqRange) {
        self.confirmed.remove(range);
    }

    /// The first part of `within` that is neither confirmed nor named.
    pub fn next_unconfirmed(&self, within: SeqRange) -> Option<SeqRange> {
        self.taken().missing(within).into_iter().next()
    }

    /// All below it are confirmed.
    pub fn low_water(&self) -> Seq {
        match self.confirmed.ranges().first() {
            Some(range) if range.first <= Seq::FIRST => range.next,
            _ => Seq::FIRST,
        }
    }

    /// Behind the last that is confirmed or named.
    pub(crate) fn high_water(&self) -> Seq {
        self.taken().ranges().last().map_or(Seq::FIRST, |range| range.next)
    }

    fn taken(&self) -> RangeSet {
        let mut taken = self.confirmed.clone();
        self.named.iter().for_each(|batch| taken.insert(batch.range));
        taken
    }
}
