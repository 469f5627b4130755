//! The reading side: any number of readers on any thread, none of which the writer waits for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Epoch, GapReason, Seq, SeqRange, Timestamp};

use crate::chunk::Chunk;
use crate::error::JournalError;
use crate::generation::Generation;
use crate::shelf::{Place, Shelf};

/// Reads what is durable. Cheap to clone. The journal's lock is held until the last reader is gone.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) shelf: Arc<Shelf>,
}

/// One generation, as [`Reader::stat`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationStat {
    /// Its positions, to the head if it is the active one.
    pub range: SeqRange,
    /// On disk.
    pub bytes: u64,
    /// Whether it is held open.
    pub is_open: bool,
}

/// The journal's measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The first position that is not durable yet.
    pub head: Seq,
    /// The first position that is kept.
    pub tail: Seq,
    /// What the generations take on disk, measured in blocks.
    pub bytes: u64,
    /// Records appended and not durable yet: what a power cut now would cost.
    pub pending: u64,
    /// The generations, oldest first; the last is the active one.
    pub generations: Vec<GenerationStat>,
}

impl Reader {
    /// Minted when the journal was created.
    pub fn epoch(&self) -> Epoch {
        self.shelf.epoch.clone()
    }

    /// The first position that is not durable yet.
    pub fn head(&self) -> Seq {
        self.shelf.head()
    }

    /// The first position that is kept.
    pub fn tail(&self) -> Seq {
        self.shelf.tail()
    }

    /// The journal's measures as of the last commit.
    pub fn stat(&self) -> Stat {
        let head = self.head();
        let rack = self.shelf.rack();
        let mut generations: Vec<_> = rack
            .sealed
            .iter()
            .map(|(&first, sealed)| GenerationStat {
                range: SeqRange::new(first, sealed.next),
                bytes: sealed.bytes,
                is_open: rack.is_open(first),
            })
            .collect();
        let range = SeqRange::new(rack.active.first(), head);
        generations.push(GenerationStat { range, bytes: rack.active_bytes, is_open: true });
        let pending = self.shelf.pending.load(Ordering::Relaxed);
        Stat { head, tail: rack.tail(), bytes: rack.bytes(), pending, generations }
    }

    /// The time of the oldest and of the newest record; none where the generation does not read.
    pub(crate) fn times(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), JournalError> {
        let span = |seq: Seq| match self.shelf.place_of(seq)? {
            Place::Generation(generation, _) => Ok(generation.survey()?.times),
            Place::Broken(_) | Place::Removed(_) => Ok::<_, JournalError>(None),
        };
        let (oldest, newest) = (span(self.tail())?, span(Seq(self.head().0.saturating_sub(1)).max(self.tail()))?);
        Ok((oldest.map(|times| times.0), newest.map(|times| times.1)))
    }

    /// Records from `within.first` on, at most `records_max` and never beyond the head.
    ///
    /// What does not read any more is named in [`Chunk::lost`] and passed over: never an error, never wrong data. An
    /// error is the machine's (no descriptor, no memory) and may be gone the next time.
    pub fn read(&self, within: SeqRange, records_max: usize) -> Result<Chunk, JournalError> {
        let end = within.next.min(self.head());
        let mut chunk = Chunk::starting_at(within.first);
        while chunk.next < end && chunk.records.len() < records_max {
            match self.shelf.place_of(chunk.next)? {
                Place::Generation(generation, range) => {
                    let part = SeqRange::new(chunk.next, range.next.min(end));
                    generation.read(&mut chunk, part, records_max)?;
                }
                Place::Broken(range) => chunk.lose(range.next.min(end), GapReason::Corrupt),
                Place::Removed(tail) => chunk.lose(tail.min(end), GapReason::Quota),
            }
        }
        Ok(chunk)
    }

    /// The first position at or after a wall time; the head if there is none.
    ///
    /// Goes back from the newest generation while they reach past `at`, then forward by the headers. Where the clock
    /// was set back, it is the first such position behind the last generation that lies wholly before `at`.
    pub fn find_time(&self, at: Timestamp) -> Result<Seq, JournalError> {
        let mut starts: Vec<Seq> = self.stat().generations.iter().map(|generation| generation.range.first).collect();
        let mut from = starts.len();
        while from > 0 && self.reaches(starts[from - 1], at)? {
            from -= 1;
        }
        for first in starts.split_off(from) {
            if let Place::Generation(generation, range) = self.shelf.place_of(first)?
                && let Some(seq) = self.find_in(&generation, range, at)?
            {
                return Ok(seq);
            }
        }
        Ok(self.head())
    }

    /// Whether a generation has something at or after `at`. The active one, and what does not open, might.
    fn reaches(&self, first: Seq, at: Timestamp) -> Result<bool, JournalError> {
        let mut rack = self.shelf.rack();
        if !rack.sealed.contains_key(&first) {
            return Ok(true);
        }
        let survey = rack.survey(&self.shelf.path, first)?;
        Ok(survey.is_none_or(|survey| survey.times.is_none_or(|(_, latest)| latest >= at)))
    }

    fn find_in(&self, generation: &Generation, range: SeqRange, at: Timestamp) -> Result<Option<Seq>, JournalError> {
        let mut block = None;
        generation.each_value(SeqRange::new(range.first, range.next.min(self.head())), |header, _| {
            if header.times.1 < at {
                return ControlFlow::Continue(());
            }
            block = Some(header.range);
            ControlFlow::Break(())
        })?;
        let Some(range) = block else { return Ok(None) };
        let records = self.read(range, usize::MAX)?.records;
        let found = records.iter().find(|numbered| numbered.record.stamp().time >= at);
        Ok(Some(found.map_or(range.first, |numbered| numbered.seq)))
    }
}
