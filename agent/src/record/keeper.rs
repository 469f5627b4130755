//! Who holds the journal while its disk is there, and waits for it while it is not.
//!
//! ```text
//!            the disk is full                  a write failed, the folder is gone or read-only
//!  open ------------------------> open, not touched        open ----------------> closed
//!       <------------------------                               <---------------- opened as a start would
//!            there is room again                         the same journal is there again
//! ```
//!
//! A commit asks the disk first, so that plain want of space never meets sled half way. What fails in the middle of a
//! write ends that journal: it is closed, and opened again from what the disk really holds. What that turns out to have
//! of the failed commit is not written twice, and numbers that were given out are not given out again. A failed
//! `fdatasync` is no matter of waiting: it ends the process.

use journal::{Journal, JournalError, Reader, Settings};
use model::{Epoch, Gap, Record, Seq};
use tracing::{error, info, warn};

use super::ring::Ring;
use crate::clock::Clock;
use crate::telemetry::logs::chain;

/// How often a disk that failed is looked at again.
pub const RETRY_MS: u64 = 1_000;

/// The journal or the wait for it.
pub struct Keeper {
    settings: Settings,
    clock: Clock,
    reader: Reader,
    journal: Option<Journal>,
    /// Which journal it is and how far it had come, once it was open.
    known: Option<(Epoch, Seq)>,
    /// What the commit that failed was about to write: each record, and whether the journal tells it by itself.
    unacked: Vec<(Record, bool)>,
    /// Why it can not be written now, and since when.
    trouble: Option<String>,
    next_try_ms: u64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// The durable head.
    pub head: Seq,
    /// Records that left memory: written, or refused by a full journal.
    pub settled: u64,
    /// Those of them that were refused.
    pub refused: u64,
}

impl Keeper {
    /// Opens the journal. A disk that does not let it is waited for; anything else is an error.
    pub fn open(settings: Settings, clock: &Clock) -> Result<(Self, Reader), JournalError> {
        let reader = Reader::detached();
        let (clock, journal, known) = (clock.clone(), None, None);
        let (unacked, trouble) = (Vec::new(), None);
        let mut keeper =
            Self { settings, clock, reader: reader.clone(), journal, known, unacked, trouble, next_try_ms: 0 };
        match keeper.reopen() {
            Ok(()) => {}
            // At a start nobody has been told that a sync has failed: it is tried again by opening afresh.
            Err(error) if error.is_disk() || matches!(error, JournalError::Sync { .. }) => keeper.note(&error),
            Err(error) => return Err(error),
        }
        Ok((keeper, reader))
    }

    /// Why nothing can be written now.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When the disk is looked at next, while it is waited for.
    pub fn next_try_ms(&self) -> Option<u64> {
        self.trouble.is_some().then_some(self.next_try_ms)
    }

    /// Records that a failed commit left in memory.
    pub fn waiting(&self) -> usize {
        self.unacked.len() + self.journal.as_ref().map_or(0, Journal::pending)
    }

    /// Writes what the ring holds and `gaps`; `None` while the disk is waited for: then everything stays where it is.
    pub fn commit(&mut self, ring: &mut Ring, gaps: &mut Vec<Gap>) -> Result<Option<Kept>, JournalError> {
        match self.try_commit(ring, gaps) {
            Ok(kept) => {
                if self.trouble.take().is_some() {
                    info!(head = %kept.head, "the journal is written again");
                }
                Ok(Some(kept))
            }
            Err(error) if error.is_disk() || (matches!(error, JournalError::Locked { .. }) && self.known.is_some()) => {
                self.note(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes how the journal is kept; its place stays.
    pub fn adjust(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        if let Some(journal) = &mut self.journal {
            journal.adjust(self.settings.clone());
        }
    }

    /// Removes what is not to be kept, and gives the losses to be told.
    pub fn retain(&mut self, drained: Seq) -> Result<Vec<Gap>, JournalError> {
        let Some(journal) = self.journal.as_mut().filter(|_| self.trouble.is_none()) else { return Ok(Vec::new()) };
        match journal.retain(drained, self.clock.moment()) {
            Err(error) if error.is_disk() => {
                self.note(&error);
                Ok(Vec::new())
            }
            done => done,
        }
    }

    fn try_commit(&mut self, ring: &mut Ring, gaps: &mut Vec<Gap>) -> Result<Kept, JournalError> {
        if self.journal.is_none() {
            self.reopen()?;
        }
        let (now, boot) = (self.clock.moment(), self.clock.boot());
        let Some(journal) = &mut self.journal else { return Err(JournalError::Unavailable) };
        if let Err(error) = journal.check_disk() {
            if matches!(error, JournalError::Replaced { .. } | JournalError::Io { .. }) {
                self.close();
            }
            return Err(error);
        }
        let stamp = self.clock.stamp();
        // Without a failed commit nothing waits in there; what does goes first, and no more is added to it.
        if journal.pending() == 0 {
            let unacked = std::mem::take(&mut self.unacked).into_iter().map(|(record, _)| record);
            journal.append(boot, unacked.collect());
            gaps.extend(journal.owed_gaps());
            let told = gaps.drain(..).map(|gap| Record::Event(Box::new(gap.into_event(stamp))));
            journal.append(boot, told.collect());
            journal.append(boot, ring.take(stamp));
        }
        let (pending, refused) = (journal.pending(), journal.refused_total());
        match journal.commit(now) {
            Ok(head) => {
                let refused = journal.refused_total() - refused;
                self.known = Some((journal.epoch().clone(), head));
                Ok(Kept { head, settled: u64::try_from(pending).unwrap_or(u64::MAX), refused })
            }
            Err(error) => {
                if journal.is_poisoned() {
                    self.close();
                }
                Err(error)
            }
        }
    }

    /// Opens the journal as a start would. One that was open before must be the same.
    fn reopen(&mut self) -> Result<(), JournalError> {
        if let Some((epoch, _)) = &self.known
            && journal::epoch_at(&self.settings.path)?.as_ref() != Some(epoch)
        {
            return Err(JournalError::Replaced { path: self.settings.path.clone() });
        }
        let now = self.clock.moment();
        let (mut journal, reader) = Journal::open(self.settings.clone(), now, fastrand::u64(..))?;
        let found = reader.head();
        if let Some((_, head)) = self.known {
            journal.skip_to(head, now)?;
            // What the failed commit did get onto the disk stands there under its own numbers.
            let survived = usize::try_from(found.0.saturating_sub(head.0)).unwrap_or(usize::MAX);
            self.unacked.drain(..survived.min(self.unacked.len()));
        }
        self.unacked.retain(|(_, is_told)| !is_told);
        self.known = Some((journal.epoch().clone(), reader.head()));
        self.reader.attach(&reader);
        self.journal = Some(journal);
        Ok(())
    }

    fn close(&mut self) {
        self.reader.detach();
        if let Some(mut journal) = self.journal.take() {
            let head = self.known.as_ref().map_or(Seq::FIRST, |(_, head)| *head);
            // Steps of the commit that failed may have been durable.
            self.known = Some((journal.epoch().clone(), journal.head().max(head)));
            self.unacked.extend(journal.take_back());
        }
    }

    /// Says once what is wrong.
    fn note(&mut self, trouble: &JournalError) {
        let text = chain(trouble);
        self.next_try_ms = self.clock.mono_ms() + RETRY_MS;
        match &self.trouble {
            None => error!(error = text, "the journal can not be written, the newest readings are kept in memory"),
            Some(before) if *before != text => warn!(error = text, "the journal can still not be written"),
            Some(_) => {}
        }
        self.trouble = Some(text);
    }
}
