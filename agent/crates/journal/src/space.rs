//! The disk below the journal: whether it is there, may be written and has room, asked before sled is touched.
//!
//! A sled that has met a full disk is lost: what it wrote by half it does not write again. So a commit asks first, and a
//! disk that somebody else has filled costs nothing but time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Advice, StatVfsMountFlags, fadvise, statvfs};

use crate::error::JournalError;
use crate::journal::Journal;
use crate::shelf::{dir_of, generations_at};

/// What must be free: a step of a commit, a new generation, and what sled and the sinks write meanwhile.
const FREE_BYTES_MIN: u64 = 4 << 20;

impl Journal {
    /// Whether the disk can take a commit now.
    pub fn check_disk(&self) -> Result<(), JournalError> {
        let path = &self.shelf.path;
        let here = fs::metadata(path.join("lock")).map_err(JournalError::io("find", path))?;
        let held = self.shelf.lock().metadata().map_err(JournalError::io("look at the lock of", path))?;
        if (here.dev(), here.ino()) != (held.dev(), held.ino()) {
            return Err(JournalError::Replaced { path: path.clone() });
        }
        check_path(path)
    }
}

/// Whether the file system at `path` can take a commit now.
pub(crate) fn check_path(path: &Path) -> Result<(), JournalError> {
    let stat = statvfs(path).map_err(io::Error::from).map_err(JournalError::io("ask for free space in", path))?;
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(JournalError::io("write to", path)(io::ErrorKind::ReadOnlyFilesystem.into()));
    }
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < FREE_BYTES_MIN {
        return Err(JournalError::NoSpace { path: path.to_owned(), free, needed: FREE_BYTES_MIN });
    }
    Ok(())
}

/// Whether `wanted` bytes can be written without using up what must stay free.
pub(crate) fn is_room_for(path: &Path, wanted: u64) -> bool {
    statvfs(path).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= wanted.saturating_add(FREE_BYTES_MIN))
}

/// Lets go of what the kernel keeps in memory of the last generation of the journal at `path`.
///
/// After a failed sync the kernel takes the pages that it could not write for written: whoever reads them back sees
/// records that are not on the disk, and a second sync says that all is well. What is opened is read from the disk.
pub(crate) fn forget_cache(path: &Path) {
    let Ok(Some(last)) = generations_at(path).map(|mut firsts| firsts.pop()) else { return };
    let db = dir_of(path, last).join("db");
    let forgotten = File::open(&db).and_then(|file| Ok(fadvise(&file, 0, None, Advice::DontNeed)?));
    if let Err(error) = forgotten {
        tracing::debug!(%error, path = %db.display(), "what the kernel holds of it can not be let go");
    }
}
