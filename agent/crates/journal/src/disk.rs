//! The few file system moves the journal is made of. Every one that is meant to last is synced here, file and
//! directory, because a rename that is not can be undone by a power cut.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::JournalError;
use crate::files::ask;

/// `st_blocks` counts in these, whatever the file system's own block is (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), JournalError> {
    let opened = File::open(path);
    opened.and_then(|dir| ask(|files| files.sync(&dir, path))).map_err(JournalError::io("sync the directory", path))
}

/// Makes a directory, its entries and the files in it durable.
pub(crate) fn sync_tree(path: &Path) -> Result<(), JournalError> {
    for entry in entries(path)? {
        if entry.is_dir() {
            sync_tree(&entry)?;
        } else {
            let opened = File::open(&entry);
            opened.and_then(|file| ask(|files| files.sync(&file, &entry))).map_err(JournalError::io("sync", &entry))?;
        }
    }
    sync_dir(path)
}

/// `fdatasync` of a file that somebody else writes: sled.
pub(crate) fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    ask(|files| files.sync_data(file, path))
}

/// Creates a directory, with those above it that are missing, and makes each of them durable.
pub(crate) fn create_dir(path: &Path) -> Result<(), JournalError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match (ask(|files| files.make_dir(path)), parent) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(parent)?;
            ask(|files| files.make_dir(path))
        }
        (made, _) => made,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(JournalError::io("create", path))?,
    }
    parent.map_or(Ok(()), sync_dir)
}

/// The paths in a directory, in name order; none if it is not there.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let listing = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(JournalError::io("list", path))?,
    };
    let paths: io::Result<Vec<_>> = listing.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(JournalError::io("list", path))?;
    paths.sort();
    Ok(paths)
}

/// The bytes of a file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}

/// Replaces a file's content so that a cut at any point leaves the old or the new, never a mixture.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let tmp = with_suffix(path, ".tmp");
    write(&tmp, bytes)?;
    rename(&tmp, path)
}

/// Writes a file in place and makes its content durable; its directory entry is the caller's to sync.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let written = ask(|files| files.write(path, bytes));
    let written = written.and_then(|file| ask(|files| files.sync(&file, path)));
    written.map_err(JournalError::io("write", path))
}

/// Renames durably, within one directory or between two.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    ask(|files| files.rename(from, to)).map_err(JournalError::io("rename", from))?;
    let (from, to) = (from.parent(), to.parent());
    to.map_or(Ok(()), sync_dir)?;
    if from == to { Ok(()) } else { from.map_or(Ok(()), sync_dir) }
}

/// Removes a file or a directory with all that is in it, durably; not being there is fine.
///
/// A directory goes in one piece: it takes a name that says so first, because a power cut in the middle of emptying it
/// would leave a generation that is half there.
pub(crate) fn remove(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() {
        return remove_dir(path);
    }
    match ask(|files| files.remove_file(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(JournalError::io("remove", path))?,
    }
    path.parent().map_or(Ok(()), sync_dir)
}

fn remove_dir(path: &Path) -> Result<(), JournalError> {
    let doomed = doom(path)?;
    ask(|files| files.remove_tree(&doomed)).map_err(JournalError::io("remove", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Gives a directory the name that says that it is to go, durably; says that name.
pub(crate) fn doom(path: &Path) -> Result<PathBuf, JournalError> {
    if path.extension().is_some_and(|extension| extension == "tmp") {
        return Ok(path.to_owned());
    }
    let doomed = with_suffix(path, ".tmp");
    if doomed.is_dir() {
        remove_dir(&doomed)?;
    }
    rename(path, &doomed)?;
    Ok(doomed)
}

/// Space taken on the disk by a directory and all that is below it: blocks, not lengths.
pub(crate) fn bytes_of(path: &Path) -> Result<u64, JournalError> {
    entries(path)?.iter().try_fold(bytes_of_dir_alone(path)?, |bytes, entry| Ok(bytes + bytes_of_one(entry)?))
}

/// Space taken by a file, or by a directory and all that is below it.
pub(crate) fn bytes_of_one(path: &Path) -> Result<u64, JournalError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => bytes_of(path),
        Ok(metadata) => Ok(metadata.blocks() * STAT_BLOCK_BYTES),
        // Removed while we looked, as sled does with its snapshots.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(JournalError::io("measure", path)(error)),
    }
}

/// Space taken by a directory's own entries.
pub(crate) fn bytes_of_dir_alone(path: &Path) -> Result<u64, JournalError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.blocks() * STAT_BLOCK_BYTES),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(JournalError::io("measure", path)(error)),
    }
}

/// Takes the lock of the journal at `path`, whose lock file is `file`; held until the file is closed.
pub(crate) fn lock(path: &Path, file: File) -> Result<File, JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", path)(error)),
    }
}

/// The same path with more at its end.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
