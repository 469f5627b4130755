//! The first number of the newest generation, `<path>/newest`: if that generation is gone as a whole, numbering must
//! not go on where the one before it ends.

use std::path::Path;

use model::Seq;

use crate::disk;
use crate::error::JournalError;

/// Reads the note; `None` if there is none, or none that reads: then the directories are all there is to go by.
pub(crate) fn read(path: &Path) -> Result<Option<Seq>, JournalError> {
    let Some(bytes) = disk::read(&path.join("newest"))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    // Twice the same, so that damage does not pass for a number.
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    let (first, again) = (words.next().flatten(), words.next().flatten());
    Ok(first.filter(|_| first == again && text.ends_with('\n')).map(Seq))
}

/// Notes `first`, durably; writes nothing if it stands there already.
pub(crate) fn note(path: &Path, first: Seq) -> Result<(), JournalError> {
    if read(path)? == Some(first) {
        return Ok(());
    }
    disk::replace(&path.join("newest"), format!("{first} {first}\n").as_bytes())
}
