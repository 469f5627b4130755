//! The reading side: any number of readers on any thread, none of which the writer waits for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Epoch, GapReason, RangeSet, Seq, SeqRange, Timestamp};

use crate::chunk::Chunk;
use crate::error::JournalError;
use crate::generation::Generation;
use crate::shelf::{Place, Shelf};
use crate::slot::Slot;

/// Reads what is durable. Cheap to clone; all clones see the journal close and open again.
///
/// The journal's lock is held until it is closed or the last reader is gone.
#[derive(Debug, Clone)]
pub struct Reader {
    slot: Arc<Slot>,
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
    pub(crate) fn of(held: Arc<Shelf>) -> Self {
        Self { slot: Arc::new(Slot::of(held)) }
    }

    /// A reader of a journal that is not open yet: [`Reader::attach`] makes it read.
    pub fn detached() -> Self {
        Self { slot: Arc::default() }
    }

    /// All clones of this reader read what `other` reads from now on.
    pub fn attach(&self, other: &Reader) {
        self.slot.put_in(other.slot.shelf());
    }

    /// No clone of this reader holds the journal open any more, once the reads that are under way have ended. What was
    /// last known is still told; reads fail with [`JournalError::Unavailable`].
    pub fn detach(&self) {
        let last = self.slot.shelf().map(|held| (held.epoch.clone(), stat_of(&held)));
        self.slot.take_out(last);
    }

    /// Whether the journal is open.
    pub fn is_attached(&self) -> bool {
        self.slot.shelf().is_some()
    }

    /// Minted when the journal was created; `None` while it was never open.
    pub fn epoch(&self) -> Option<Epoch> {
        let held = self.slot.shelf();
        held.map(|held| held.epoch.clone()).or_else(|| self.slot.last().map(|(epoch, _)| epoch))
    }

    /// The first position that is not durable yet.
    pub fn head(&self) -> Seq {
        self.slot.shelf().map_or_else(|| self.last().head, |held| held.head())
    }

    /// The first position that is kept.
    pub fn tail(&self) -> Seq {
        self.slot.shelf().map_or_else(|| self.last().tail, |held| held.tail())
    }

    /// The journal's measures as of the last commit.
    pub fn stat(&self) -> Stat {
        self.slot.shelf().map_or_else(|| self.last(), |held| stat_of(&held))
    }

    fn last(&self) -> Stat {
        let nothing = || Stat { head: Seq::FIRST, tail: Seq::FIRST, bytes: 0, pending: 0, generations: Vec::new() };
        self.slot.last().map_or_else(nothing, |(_, stat)| stat)
    }

    /// What is open behind it.
    pub(crate) fn shelf(&self) -> Result<Arc<Shelf>, JournalError> {
        self.slot.open()
    }

    /// The earliest time of the oldest block that reads, and the latest of the newest one: whatever a clock did in between,
    /// all of the others are not read for it. None where the generation does not read.
    pub(crate) fn times(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), JournalError> {
        let open = self.slot.open()?;
        let span = |range: SeqRange, is_first: bool| {
            let Place::Generation(generation, ..) = open.place_of(range.first)? else { return Ok(None) };
            let mut times = None;
            generation.each_value(range, |header, _| {
                times = Some(header.times);
                if is_first { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok::<_, JournalError>(times)
        };
        let (tail, head) = (self.tail(), self.head());
        let oldest = span(SeqRange::new(tail, head), true)?;
        let newest = span(SeqRange::new(Seq(head.0.saturating_sub(1)).max(tail), head), false)?;
        Ok((oldest.map(|times| times.0), newest.map(|times| times.1)))
    }

    /// Records from `within.first` on, at most `records_max` and never beyond the head.
    ///
    /// What does not read any more is named in [`Chunk::lost`] and passed over: never an error, never wrong data. An
    /// error is the machine's (no descriptor, no memory) and may be gone the next time.
    pub fn read(&self, within: SeqRange, records_max: usize) -> Result<Chunk, JournalError> {
        let held = self.slot.open()?;
        let end = within.next.min(held.head());
        let mut chunk = Chunk::starting_at(within.first);
        while chunk.next < end && chunk.records.len() < records_max {
            match held.place_of(chunk.next)? {
                Place::Generation(generation, range, missing) => {
                    let part = SeqRange::new(chunk.next, range.next.min(end));
                    generation.read(&mut chunk, part, records_max, missing)?;
                }
                Place::Broken(range) => chunk.lose(range.next.min(end), GapReason::Corrupt),
                Place::Removed(tail) => chunk.lose(tail.min(end), GapReason::Quota),
            }
        }
        Ok(chunk)
    }

    /// What of a range that does not read the journal has not told, and does not owe, as a gap of its own: damage that
    /// came after its generation was looked at. Whoever finds that tells it.
    pub fn untold(&self, lost: SeqRange) -> Vec<SeqRange> {
        let Some(open) = self.slot.shelf() else { return Vec::new() };
        let rack = open.rack();
        let mut known = RangeSet::new();
        rack.found.iter().for_each(|found| known.insert(*found));
        rack.holes.untold(&[lost]).into_iter().flat_map(|part| known.missing(part)).collect()
    }

    /// The first position at or after a wall time; the head if there is none.
    ///
    /// Goes back from the newest generation while they reach past `at`, then forward by the headers. Where the clock
    /// was set back, it is the first such position behind the last generation that lies wholly before `at`.
    pub fn find_time(&self, at: Timestamp) -> Result<Seq, JournalError> {
        let held = self.slot.open()?;
        let mut starts: Vec<Seq> = stat_of(&held).generations.iter().map(|generation| generation.range.first).collect();
        let mut from = starts.len();
        while from > 0 && reaches(&held, starts[from - 1], at)? {
            from -= 1;
        }
        for first in starts.split_off(from) {
            if let Place::Generation(generation, range, _) = held.place_of(first)?
                && let Some(seq) = self.find_in(&generation, range, at)?
            {
                return Ok(seq);
            }
        }
        Ok(self.head())
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

fn stat_of(shelf: &Shelf) -> Stat {
    let head = shelf.head();
    let rack = shelf.rack();
    let sealed = rack.sealed.iter().map(|(&first, sealed)| GenerationStat {
        range: SeqRange::new(first, sealed.next),
        bytes: sealed.bytes,
        is_open: rack.is_open(first),
    });
    let mut generations: Vec<_> = sealed.collect();
    let range = SeqRange::new(rack.active.first(), head);
    generations.push(GenerationStat { range, bytes: rack.active_bytes, is_open: true });
    let pending = shelf.pending.load(Ordering::Relaxed);
    Stat { head, tail: rack.tail(), bytes: rack.bytes(), pending, generations }
}

/// Whether a generation has something at or after `at`. The active one, and what does not open, might.
fn reaches(shelf: &Shelf, first: Seq, at: Timestamp) -> Result<bool, JournalError> {
    let mut rack = shelf.rack();
    if !rack.sealed.contains_key(&first) {
        return Ok(true);
    }
    let survey = rack.survey(&shelf.path, first)?;
    Ok(survey.is_none_or(|survey| survey.times.is_none_or(|(_, latest)| latest >= at)))
}
