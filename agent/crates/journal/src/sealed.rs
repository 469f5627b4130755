//! The bytes of named batches, `<path>/sealed/<sink>/<first>-<next>`, kept until the far side has them: a retry, even
//! after a crash, sends the same bytes under the same key.

use std::path::{Path, PathBuf};

use model::{Seq, SeqRange, SinkId};

use crate::disk;
use crate::error::JournalError;
use crate::inventory::SealedStat;
use crate::sheet::{self, Magic};

pub(crate) const MAGIC: Magic = *b"TGSB";
/// A file takes whole blocks of the file system, and its directory one more now and then.
const BLOCK_BYTES: u64 = 4096;
/// What the frame adds to a batch, at most.
const FRAME_BYTES_MAX: u64 = 64;

/// The sealed batches of one sink.
#[derive(Debug)]
pub struct SealedStore {
    dir: PathBuf,
    bytes_max: u64,
}

/// What stands on disk of every sink; changes nothing.
pub(crate) fn stats(path: &Path) -> Result<Vec<SealedStat>, JournalError> {
    let mut stats = Vec::new();
    for dir in disk::entries(&path.join("sealed"))? {
        let sink = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut stat = SealedStat { sink, batches: 0, damaged: 0, bytes: disk::bytes_of(&dir)? };
        for batch in disk::entries(&dir)?.iter().filter(|entry| entry.extension().is_none()) {
            // Removed while we looked: delivered.
            let Some(bytes) = disk::read(batch)? else { continue };
            stat.batches += 1;
            stat.damaged += usize::from(sheet::open(MAGIC, &bytes).is_err());
        }
        stats.push(stat);
    }
    Ok(stats)
}

impl SealedStore {
    /// Opens the store of `sink` below the journal at `path`. What a crash left half written is removed.
    ///
    /// All batches together take at most `bytes_max` on disk: [`SealedStore::put`] refuses what is beyond.
    pub fn open(path: &Path, sink: &SinkId, bytes_max: u64) -> Result<Self, JournalError> {
        let parent = path.join("sealed");
        disk::create_dir(&parent)?;
        let dir = parent.join(sink.as_str());
        disk::create_dir(&dir)?;
        for entry in disk::entries(&dir)? {
            if entry.extension().is_some_and(|extension| extension == "tmp") {
                disk::remove(&entry)?;
            }
        }
        Ok(Self { dir, bytes_max })
    }

    /// The same for one who only looks; changes nothing, also where there is no store yet.
    pub fn look(path: &Path, sink: &SinkId) -> Self {
        Self { dir: path.join("sealed").join(sink.as_str()), bytes_max: 0 }
    }

    /// What is kept, in the order of the journal.
    pub fn ranges(&self) -> Result<Vec<SeqRange>, JournalError> {
        let entries = disk::entries(&self.dir)?;
        let range = |entry: &PathBuf| {
            let (first, next) = entry.file_name()?.to_str()?.split_once('-')?;
            Some(SeqRange::new(Seq(first.parse().ok()?), Seq(next.parse().ok()?)))
        };
        Ok(entries.iter().filter_map(range).collect())
    }

    /// Seals the bytes of a batch: durable when it returns.
    pub fn put(&self, range: SeqRange, bytes: &[u8]) -> Result<(), JournalError> {
        let size = u64::try_from(bytes.len()).expect("usize has at most 64 bits");
        let on_disk = (size + FRAME_BYTES_MAX).next_multiple_of(BLOCK_BYTES);
        if disk::bytes_of(&self.dir)?.saturating_add(on_disk + BLOCK_BYTES) > self.bytes_max {
            return Err(JournalError::SealedFull { bytes: size, bytes_max: self.bytes_max });
        }
        disk::replace(&self.file_of(range), &sheet::frame(MAGIC, range.first.0, bytes))
    }

    /// The bytes of a batch as they were sealed; `None` if it was not.
    pub fn get(&self, range: SeqRange) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.file_of(range);
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        match sheet::open(MAGIC, &bytes) {
            Ok((first, body)) if first == range.first.0 => Ok(Some(body.to_vec())),
            _ => Err(JournalError::SealedDamaged { path }),
        }
    }

    /// Forgets a batch: the far side has it.
    pub fn remove(&self, range: SeqRange) -> Result<(), JournalError> {
        disk::remove(&self.file_of(range))
    }

    fn file_of(&self, range: SeqRange) -> PathBuf {
        self.dir.join(format!("{:020}-{:020}", range.first.0, range.next.0))
    }
}
