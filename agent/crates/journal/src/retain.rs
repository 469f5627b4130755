//! What goes by age: generations that every sink has confirmed and the replay window does not cover. What goes for want
//! of space is the budget's business.
//!
//! Whole directories go, so the space comes back at once and no key is ever deleted.

use model::{Gap, GapReason, Seq, SeqRange};

use crate::budget::GROWTH_BYTES;
use crate::disk;
use crate::error::JournalError;
use crate::journal::Journal;
use crate::quarantine::quarantine;
use crate::settings::Moment;
use crate::shelf::{Sealed, dir_of};

impl Journal {
    /// Removes what is not to be kept any longer. All below `drained` every sink has confirmed.
    ///
    /// Returns the losses that this made, and any other not yet told: append their events. They are noted on disk
    /// until an event for each is durable.
    pub fn retain(&mut self, drained: Seq, now: Moment) -> Result<Vec<Gap>, JournalError> {
        self.owe_found(drained)?;
        self.drained = drained;
        self.sweep();
        self.quarantine_broken(drained)?;
        self.remove_expired(drained, now)?;
        self.make_room(GROWTH_BYTES, now)?;
        // A look may have found more that does not open.
        self.quarantine_broken(drained)?;
        Ok(self.owed_gaps())
    }

    fn sealed(&self) -> Vec<(Seq, Sealed)> {
        self.shelf.rack().sealed.iter().map(|(&first, sealed)| (first, sealed.clone())).collect()
    }

    pub(crate) fn quarantine_broken(&mut self, drained: Seq) -> Result<(), JournalError> {
        let broken: Vec<_> = self.sealed().into_iter().filter(|(_, sealed)| sealed.is_broken).collect();
        for (first, sealed) in broken {
            let lost = SeqRange::new(first.max(drained), sealed.next);
            let gap = Gap { range: Some(lost), count: lost.len(), times: None, reason: GapReason::Corrupt };
            self.owed.owe(if lost.is_empty() { Vec::new() } else { vec![gap] })?;
            quarantine(&self.shelf.path, first)?;
            let mut rack = self.shelf.rack();
            rack.forget(first);
            let tail = rack.tail();
            rack.holes.note([SeqRange::new(first, sealed.next)], tail)?;
        }
        Ok(())
    }

    fn remove_expired(&mut self, drained: Seq, now: Moment) -> Result<(), JournalError> {
        for (first, sealed) in self.sealed() {
            if sealed.next > drained {
                break;
            }
            let survey = self.shelf.rack().survey(&self.shelf.path, first)?;
            let latest = survey.and_then(|survey| survey.times).map(|(_, latest)| latest.as_millis());
            let age_ms = latest.map_or(i64::MAX, |latest| now.wall.as_millis().saturating_sub(latest));
            if age_ms < i64::try_from(self.settings.keep_delivered_ms).unwrap_or(i64::MAX) {
                break;
            }
            self.remove(first)?;
        }
        Ok(())
    }

    /// Removes a generation; refused, it stays on the list, to be removed the next time.
    pub(crate) fn remove(&mut self, first: Seq) -> Result<(), JournalError> {
        let dir = dir_of(&self.shelf.path, first);
        // Off the list and out of its place at once: a reader that finds it there can still open it.
        let mut rack = self.shelf.rack();
        let doomed = if dir.is_dir() { disk::doom(&dir).map(drop) } else { Ok(()) };
        // Out of its place it is, even if that is not durable yet.
        if !dir.is_dir() {
            rack.forget(first);
            self.doomed.push(disk::with_suffix(&dir, ".tmp"));
        }
        drop(rack);
        self.sweep();
        doomed
    }

    /// Empties what no name of ours leads to any more. What does not go counts, and goes later or at the next open.
    fn sweep(&mut self) {
        self.doomed.retain(|doomed| {
            let removed = disk::remove(doomed);
            if let Err(error) = &removed {
                tracing::warn!(%error, "what is left of a removed generation stays for now");
            }
            removed.is_err()
        });
    }
}
