//! Damaged generations, kept as evidence in `<path>/quarantine/`.

use std::path::Path;

use model::Seq;

use crate::disk;
use crate::error::JournalError;
use crate::shelf::dir_of;

/// Damaged generations kept as evidence: the oldest goes for the fifth.
const QUARANTINED_MAX: usize = 4;
pub(crate) const QUARANTINE: &str = "quarantine";

/// Puts a generation out of the way, where a person can look at it.
pub(crate) fn quarantine(path: &Path, first: Seq) -> Result<(), JournalError> {
    quarantine_dir(path, &dir_of(path, first), first)
}

/// Puts the generation that begins at `first` and now stands at `dir` out of the way.
pub(crate) fn quarantine_dir(path: &Path, dir: &Path, first: Seq) -> Result<(), JournalError> {
    let place = path.join(QUARANTINE);
    disk::create_dir(&place)?;
    let target = dir_of(&place, first);
    disk::remove(&target)?;
    let held = disk::entries(&place)?;
    for oldest in held.iter().take((held.len() + 1).saturating_sub(QUARANTINED_MAX)) {
        disk::remove(oldest)?;
    }
    if !dir.try_exists().map_err(JournalError::io("look for", dir))? {
        return Ok(());
    }
    disk::rename(dir, &target)
}
