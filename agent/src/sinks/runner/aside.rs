//! Batches that a far side refused for good: set aside with the reason and the bytes, below `<journal>/quarantined`, until a
//! person has them sent again or drops them. What names them on disk names them for ever: a start changes nothing.

use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use journal::{JournalError, SealedStore};
use model::{GapReason, SeqRange, SinkId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use tracing::{error, warn};

use super::Runner;
use super::replay::Forget;
use super::sealed::{sealed_bytes, unseal};
use crate::sinks::{Batch, Sink};

/// The folder below the journal's.
const FOLDER: &str = "quarantined";

/// A batch that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The positions that it answers for.
    pub range: SeqRange,
    /// When, and why; not known of one that an older version has set aside.
    pub note: Option<Note>,
    /// What it would have taken to send it; none where it was too much to keep, or never came to be.
    pub bytes: usize,
}

/// What is written down beside the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: String,
    /// What the far side said.
    pub reason: String,
}

/// The store of a sink's, below the journal's folder.
pub(super) fn store(journal: &Path, sink: &SinkId, bytes_max: u64) -> Result<SealedStore, JournalError> {
    SealedStore::open(&journal.join(FOLDER), sink, bytes_max)
}

/// What stands aside of a sink, in the order of the journal. Only looks.
pub fn list(journal: &Path, sink: &SinkId) -> Result<Vec<Aside>, JournalError> {
    let store = SealedStore::look(&journal.join(FOLDER), sink);
    let read = |range| {
        let batch = match store.get(range) {
            Ok(None) => return None, // Taken away while we looked.
            Ok(Some(bytes)) => unseal(range, String::new(), &bytes),
            Err(_) => None, // It does not read, and is there all the same.
        };
        let note = batch.as_ref().and_then(|batch| serde_json::from_slice(&batch.note).ok());
        Some(Aside { range, note, bytes: batch.map_or(0, |batch| batch.bytes.len()) })
    };
    Ok(store.ranges()?.into_iter().filter_map(read).collect())
}

impl<S: Sink> Runner<S> {
    /// Sets aside what the far side will never take, or what can not be written as it wants it.
    pub(super) fn set_aside(&mut self, range: SeqRange, batch: Option<&Batch>, reason: &str) {
        error!(sink = %self.with.id, %range, reason, "batch refused for good, set aside");
        let now: Timestamp = self.with.clock.now();
        let note = Note { at: now.to_string(), reason: reason.to_owned() };
        let note: Bytes = serde_json::to_vec(&note).expect("two texts").into();
        let without = Batch { range, key: String::new(), bytes: Bytes::new(), note: note.clone() };
        let whole = batch.map_or_else(|| without.clone(), |batch| Batch { note, ..batch.clone() });
        let kept = self.quarantined.put(range, &sealed_bytes(&whole)).or_else(|error| {
            warn!(sink = %self.with.id, %error, "the bytes of the refused batch could not be kept");
            self.quarantined.put(range, &sealed_bytes(&without))
        });
        if let Err(error) = kept {
            warn!(sink = %self.with.id, %error, "the refused batch is not on the list of those set aside, the gap names it");
        }
        self.with.health.quarantined_batches.fetch_add(1, Ordering::Relaxed);
        self.with.health.last_error.set(Some(reason.to_owned()));
        self.report_lost(range, GapReason::Quarantine);
    }

    /// Forgets a batch: nobody wants it any more.
    pub(super) fn forget(&mut self, forget: Forget) -> Result<(), JournalError> {
        block_in_place(|| self.quarantined.remove(forget.range))?;
        self.one_less();
        // Who asked may have gone.
        forget.reply.send(()).ok();
        Ok(())
    }

    /// What goes again as a whole is not set aside any more; it will be again where it is refused again.
    pub(super) fn not_aside_any_more(&mut self, again: &[SeqRange]) -> Result<(), JournalError> {
        for aside in self.quarantined.ranges()? {
            if again.iter().any(|range| range.first <= aside.first && aside.next <= range.next) {
                block_in_place(|| self.quarantined.remove(aside))?;
                self.one_less();
            }
        }
        Ok(())
    }

    fn one_less(&self) {
        let less = |count: u64| Some(count.saturating_sub(1));
        // The closure always gives a number.
        self.with.health.quarantined_batches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }
}
