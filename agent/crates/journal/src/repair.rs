//! A fresh journal from what reads of a damaged one: made beside it, swapped in by two renames, the old one kept whole.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Gap, Seq};

use crate::disk;
use crate::error::JournalError;
use crate::journal::Journal;
use crate::open::lock_offline;
use crate::settings::{Moment, Settings};

/// What a repair did.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Where the old journal stands now.
    pub kept: PathBuf,
    /// Records in the fresh one.
    pub saved: u64,
    /// Losses that its next start tells.
    pub gaps: Vec<Gap>,
}

/// Repairs the journal at `settings.path`, which nobody may have open.
///
/// Works on a copy, so it needs as much space again. Cursors, sealed batches and owed gaps are carried over; numbers
/// go on behind all that were given out.
pub fn repair(settings: &Settings, now: Moment, epoch_bits: u64) -> Result<Repaired, JournalError> {
    let path = settings.path.as_path();
    let lock = lock_offline(path)?;
    let fresh = disk::with_suffix(path, ".repair.tmp");
    disk::remove(&fresh)?;
    copy_tree(path, &fresh)?;
    disk::remove(&fresh.join("quarantine"))?;
    let (saved, gaps) = put_right(&Settings { path: fresh.clone(), ..settings.clone() }, now, epoch_bits)?;
    disk::remove(&fresh.join("quarantine"))?;
    disk::sync_tree(&fresh)?;
    let kept = free_name(path)?;
    disk::rename(path, &kept)?;
    disk::rename(&fresh, path)?;
    drop(lock);
    Ok(Repaired { kept, saved, gaps })
}

/// Has every generation looked at and what is missing noted, as a running agent would over time.
fn put_right(settings: &Settings, now: Moment, epoch_bits: u64) -> Result<(u64, Vec<Gap>), JournalError> {
    let (mut journal, reader) = Journal::open(settings.clone(), now, epoch_bits)?;
    let mut at = Some(reader.tail());
    while let Some(from) = at {
        at = reader.audit(from)?.next;
    }
    journal.owe_found(Seq::FIRST)?;
    journal.quarantine_broken(Seq::FIRST)?;
    let (mut saved, mut at) = (0, Some(reader.tail()));
    while let Some(from) = at {
        let audit = reader.audit(from)?;
        (saved, at) = (saved + audit.records, audit.next);
    }
    Ok((saved, journal.owed_gaps()))
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), JournalError> {
    fs::create_dir(to).map_err(JournalError::io("create", to))?;
    for entry in disk::entries(from)? {
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy_tree(&entry, &target)?;
        } else {
            fs::copy(&entry, &target).map_err(JournalError::io("copy", &entry))?;
        }
    }
    Ok(())
}

/// `<path>.damaged-<n>`, the first that is free.
fn free_name(path: &Path) -> Result<PathBuf, JournalError> {
    for n in 1..u32::MAX {
        let name = disk::with_suffix(path, &format!(".damaged-{n}"));
        if !name.try_exists().map_err(JournalError::io("look for", &name))? {
            return Ok(name);
        }
    }
    Err(JournalError::NotAJournal { path: path.to_owned() })
}
