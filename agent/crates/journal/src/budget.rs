//! The budget: what lies on the disk is measured, and room is made before anything is written.
//!
//! ```text
//! max_bytes = reserved (sealed batches, each store keeps its own bound)
//!           + generations, quarantine, cursors, notes, ledgers   measured, in blocks
//!           + room for the next step of a commit                 GROWTH_BYTES, never used up
//! ```
//!
//! Room is made in this order: generations that every sink has, damaged ones in quarantine, then what
//! [`WhenFull`] says, oldest first.

use model::{Gap, GapReason, Record, Seq, SeqRange};

use crate::disk;
use crate::error::JournalError;
use crate::generation::Generation;
use crate::journal::Journal;
use crate::quarantine::QUARANTINE;
use crate::seal;
use crate::settings::{Moment, WhenFull};
use crate::shelf::dir_of;

/// What one step of a commit ([`STEP_BYTES_MAX`](crate::journal::STEP_BYTES_MAX)), a sled that collects its garbage
/// behind it, and the small files of the sinks add at most between two looks. `tests/budget.rs` measures it.
pub(crate) const GROWTH_BYTES: u64 = 2 << 20;
/// An empty generation: one of sled's segments and its small files.
pub(crate) const NEW_GENERATION_BYTES: u64 = 1 << 20;
/// Room that `drop-newest` keeps for events and gaps.
const EVENTS_BYTES: u64 = 512 << 10;
/// The stores that keep a bound of their own, for which `reserved_bytes` is kept free.
const RESERVED: [&str; 2] = ["sealed", "quarantined"];

impl Journal {
    /// Whether `wanted` bytes may be written now; drops what may be dropped until they may.
    pub(crate) fn make_room(&mut self, wanted: u64, now: Moment) -> Result<bool, JournalError> {
        let limit = self.settings.limit_bytes();
        if self.used_at_most + wanted <= limit {
            return Ok(true);
        }
        loop {
            self.measure()?;
            if self.used_at_most + wanted <= limit {
                return Ok(true);
            }
            let is_smaller = self.drop_delivered()?
                || self.drop_quarantined()?
                || match self.settings.when_full {
                    WhenFull::DropNewest => return Ok(false),
                    WhenFull::DropOldest => false,
                    WhenFull::Thin => self.thin_oldest()?,
                }
                || self.drop_oldest()?
                || self.seal_to_drop(now)?;
            if !is_smaller {
                return Ok(false);
            }
        }
    }

    /// Whether records may be written now. While only events may, readings are taken out of what waits, counted into
    /// a gap that goes on, and `false` means that not even events can be stored.
    pub(crate) fn make_room_for_step(&mut self, now: Moment) -> Result<bool, JournalError> {
        match self.settings.when_full {
            WhenFull::DropNewest => {}
            WhenFull::DropOldest => return self.make_room(GROWTH_BYTES, now),
            // The copy is made when room is short: room for it is kept.
            WhenFull::Thin => return self.make_room(GROWTH_BYTES + self.settings.copy_bytes(), now),
        }
        if self.make_room(GROWTH_BYTES + EVENTS_BYTES, now)? {
            self.owed.end_run();
            return Ok(true);
        }
        self.refuse(|record| matches!(record, Record::Reading(_)))?;
        self.make_room(GROWTH_BYTES, now)
    }

    /// Takes what waits and fits `is_refused` out, for a gap that grows until there is room again.
    pub(crate) fn refuse(&mut self, is_refused: impl Fn(&Record) -> bool) -> Result<(), JournalError> {
        let times: Vec<_> = self
            .pending
            .iter()
            .filter(|pending| is_refused(&pending.record))
            .map(|pending| pending.record.stamp().time)
            .collect();
        let (Some(from), Some(to)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
        let count = u64::try_from(times.len()).expect("64 bits");
        if !self.owed.is_running() {
            tracing::error!("journal is full, new readings are refused and will be named in a gap");
        }
        // Noted first: a crash before the next line tells of records that nobody was promised.
        self.owed.run_on(Gap { range: None, count, times: Some((*from, *to)), reason: GapReason::Quota })?;
        self.pending.retain(|pending| !is_refused(&pending.record));
        self.refused_total += count;
        self.count_pending();
        Ok(())
    }

    /// Looks at what lies on the disk.
    pub(crate) fn measure(&mut self) -> Result<(), JournalError> {
        let beside = self.bytes_beside()?;
        let active = disk::bytes_of(self.active.dir())?;
        let mut rack = self.shelf.rack();
        rack.active_bytes = active;
        // sled writes to a sealed generation, too, while it is open: snapshots.
        for first in rack.opened() {
            let bytes = disk::bytes_of(&dir_of(&self.shelf.path, first))?;
            if let Some(sealed) = rack.sealed.get_mut(&first) {
                sealed.bytes = bytes;
            }
        }
        self.used_at_most = rack.bytes() + beside;
        Ok(())
    }

    /// All but the generations and the stores with a bound of their own.
    fn bytes_beside(&self) -> Result<u64, JournalError> {
        let mut bytes = 0;
        for entry in disk::entries(&self.shelf.path)? {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_generation = name.starts_with('g') && name.len() == 21;
            if is_generation || RESERVED.contains(&name) {
                continue;
            }
            bytes += disk::bytes_of_one(&entry)?;
        }
        // The directory itself.
        Ok(bytes + disk::bytes_of_dir_alone(&self.shelf.path)?)
    }

    fn drop_delivered(&mut self) -> Result<bool, JournalError> {
        let drained = self.drained;
        let oldest = self.shelf.rack().sealed.first_key_value().map(|(&first, sealed)| (first, sealed.next));
        let Some((first, _)) = oldest.filter(|(_, next)| *next <= drained) else { return Ok(false) };
        self.remove(first)?;
        Ok(true)
    }

    fn drop_quarantined(&mut self) -> Result<bool, JournalError> {
        let held = disk::entries(&self.shelf.path.join(QUARANTINE))?;
        let Some(oldest) = held.first() else { return Ok(false) };
        tracing::warn!(path = %oldest.display(), "journal is over its budget, a damaged generation is no longer kept");
        disk::remove(oldest)?;
        Ok(true)
    }

    fn drop_oldest(&mut self) -> Result<bool, JournalError> {
        let oldest = self.shelf.rack().sealed.first_key_value().map(|(&first, sealed)| (first, sealed.next));
        let Some((first, next)) = oldest else { return Ok(false) };
        // Noted once, however often its removal is refused.
        if self.dropping != Some(first) {
            let gap = self.loss_of(first, SeqRange::new(first.max(self.drained), next))?;
            self.owed.owe(gap.into_iter().collect())?;
            self.dropping = Some(first);
        }
        self.remove(first)?;
        Ok(true)
    }

    /// The gap for what goes with a generation: what was thinned out of it before, or lies behind a damage that was
    /// told, is not counted again.
    fn loss_of(&mut self, first: Seq, lost: SeqRange) -> Result<Option<Gap>, JournalError> {
        if lost.is_empty() {
            return Ok(None);
        }
        let generation = self.shelf.rack().open(&self.shelf.path, first)?;
        let Some(generation) = generation else {
            return Ok(Some(Gap { range: Some(lost), count: lost.len(), times: None, reason: GapReason::Corrupt }));
        };
        let held = generation.held(lost)?;
        let range = SeqRange::new(lost.first, lost.next.min(held.end));
        let gap = Gap { range: Some(range), count: held.records, times: held.times, reason: GapReason::Quota };
        Ok((held.records > 0).then_some(gap))
    }

    /// Nothing sealed is left: the active generation goes, to be dropped in the next round.
    fn seal_to_drop(&mut self, now: Moment) -> Result<bool, JournalError> {
        if self.shelf.head() == self.active.first() {
            return Ok(false);
        }
        seal::seal(self, now)?;
        Ok(true)
    }
}

/// What a part of a generation holds.
pub(crate) struct Held {
    pub(crate) records: u64,
    pub(crate) end: Seq,
    pub(crate) times: Option<(model::Timestamp, model::Timestamp)>,
}

impl Generation {
    /// Counts the records that read in `range`, by the headers.
    pub(crate) fn held(&self, range: SeqRange) -> Result<Held, JournalError> {
        let mut held = Held { records: 0, end: range.first, times: None };
        self.each_value(range, |header, _| {
            held.records += header.range.intersection(&range).len();
            held.end = header.range.next;
            let (from, to) = held.times.unwrap_or(header.times);
            held.times = Some((header.times.0.min(from), header.times.1.max(to)));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(held)
    }
}
