//! Batches that are sealed: written down with their names before the first attempt, the same bytes to the same key after a
//! crash, and confirmed in the order of the journal.

use journal::{JournalError, NamedBatch};
use model::SeqRange;
use tokio::task::block_in_place;
use tracing::warn;

use super::Runner;
use crate::sinks::{Batch, Sink};

/// Room in the store of sealed batches for the frame, the directory and a batch whose removal waits.
const SEALED_SLACK_BYTES: u64 = 64 << 10;

impl<S: Sink> Runner<S> {
    /// Batches that were named before the last end go first, the same bytes to the same key.
    pub(super) fn resume_named(&mut self) {
        for named in self.cursor.named().to_vec() {
            self.claimed.insert(named.range);
            match self.sealed.get(named.range) {
                Ok(Some(bytes)) => {
                    if let Some(batch) = unseal(named.range, named.key, &bytes) {
                        self.send(batch);
                        continue;
                    }
                    warn!(sink = %self.with.id, range = %named.range, "sealed batch unreadable, encoding it again");
                }
                Ok(None) => {}
                Err(error) => warn!(sink = %self.with.id, %error, "sealed batch damaged, encoding it again"),
            }
            // The loop finds the hole and cuts it again; the same version makes the same bytes.
            self.claimed.remove(named.range);
            self.cursor.forget(named.range);
        }
    }

    /// How large a batch may be that is sealed, so that a window of them fits.
    pub(super) fn sealed_batch_bytes_max(&self) -> usize {
        let window = u64::try_from(self.sink.limits().window.max(1)).unwrap_or(u64::MAX);
        let bytes = (self.with.bytes.sealed / window).saturating_sub(SEALED_SLACK_BYTES);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Name the batch before sending it.
    pub(super) fn seal(&mut self, batch: &Batch) -> Result<(), JournalError> {
        block_in_place(|| self.sealed.put(batch.range, &sealed_bytes(batch)))?;
        self.cursor.begin(NamedBatch { range: batch.range, key: batch.key.clone(), sealed: true });
        self.store()
    }

    /// Sealed batches are confirmed in the order of the journal: one that has arrived waits for those before it.
    pub(super) fn settle(&mut self) -> Result<(), JournalError> {
        while let Some(entry) = self.arrived.first_entry() {
            if self.going.first().is_some_and(|going| going < entry.key()) {
                break;
            }
            block_in_place(|| self.sink.settle(entry.get())).map_err(|source| JournalError::Io {
                action: "settle a batch",
                path: self.with.folder.clone(),
                source,
            })?;
            let range = entry.remove().range;
            self.confirm(range, range.len())?;
        }
        Ok(())
    }
}

/// A sealed batch on disk: the note's length, the note, the bytes.
pub(super) fn sealed_bytes(batch: &Batch) -> Vec<u8> {
    let length = u32::try_from(batch.note.len()).expect("a note is one manifest line");
    [&length.to_be_bytes()[..], &batch.note, &batch.bytes].concat()
}

pub(super) fn unseal(range: SeqRange, key: String, sealed: &[u8]) -> Option<Batch> {
    let (length, rest) = sealed.split_first_chunk::<4>()?;
    let (note, bytes) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(Batch { range, key, bytes: bytes.to_vec().into(), note: note.to_vec().into() })
}

#[cfg(test)]
mod tests {
    use model::Seq;

    use super::*;

    #[test]
    fn a_sealed_batch_reads_back_as_it_was() {
        let range = SeqRange::new(Seq(3), Seq(9));
        let batch =
            Batch { range, key: "k".to_owned(), bytes: vec![1_u8, 2, 3].into(), note: b"{\"v\":1}".to_vec().into() };
        let read = unseal(range, "k".to_owned(), &sealed_bytes(&batch)).expect("whole");
        assert_eq!((read.bytes, read.note), (batch.bytes, batch.note));
        assert!(unseal(range, "k".to_owned(), &[0, 0, 0, 9, 1]).is_none());
        assert!(unseal(range, "k".to_owned(), &[0]).is_none());
    }
}
