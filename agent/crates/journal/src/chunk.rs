//! What a read gives: records in order, where to go on, and what could not be given.

use model::{GapReason, Numbered, Seq, SeqRange};

/// Positions that do not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub range: SeqRange,
    /// `Quota`: below the tail; `Thinned`: less detail is left; `Corrupt`: damaged on disk.
    pub reason: GapReason,
}

/// A piece of the journal. `records` and `lost` together cover all from where the read began to `next`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The records, in order.
    pub records: Vec<Numbered>,
    /// Where to go on reading.
    pub next: Seq,
    /// What is missing among them.
    pub lost: Vec<Lost>,
}

impl Chunk {
    pub(crate) fn starting_at(next: Seq) -> Self {
        Self { records: Vec::new(), next, lost: Vec::new() }
    }

    /// Names all up to `next` lost; nothing if the chunk is already there.
    pub(crate) fn lose(&mut self, next: Seq, reason: GapReason) {
        if next <= self.next {
            return;
        }
        let range = SeqRange::new(self.next, next);
        match self.lost.last_mut().filter(|last| last.reason == reason && last.range.next == range.first) {
            Some(last) => last.range.next = next,
            None => self.lost.push(Lost { range, reason }),
        }
        self.next = next;
    }
}
