//! A folder as a store: the same tree as S3, for a USB stick, a test or the demo.
//!
//! An object is written beside its place, synced and renamed, so that a stick pulled out at any time holds whole
//! objects only. The folder itself is made, the one above it is not: a stick that is not plugged in must not be
//! taken for an empty folder on the SD card.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use lake::Digest;
use model::Timestamp;

use super::DeliverError;
use super::lake::shelf::{Expect, Found, Listed, Put, ShelfError, Tag};
use crate::lasting;

/// A folder that holds objects.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A store in `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What lies under a key, if it has at most so many bytes.
    pub fn get(&self, key: &str, bytes_max: u64) -> Result<Found, ShelfError> {
        let path = self.root.join(key);
        self.look(read(&path, bytes_max), &path).map(|found| found.unwrap_or(Found::Nothing))
    }

    /// The size of what lies under a key.
    pub fn size(&self, key: &str) -> Result<Option<u64>, ShelfError> {
        let path = self.root.join(key);
        self.look(fs::metadata(&path).map(|facts| facts.len()), &path)
    }

    /// Makes the folder, if it is not there; the one above it is not made.
    pub fn make(&self) -> Result<(), ShelfError> {
        make(&self.root).map_err(|error| ShelfError::disk(&self.root, error))
    }

    /// Every file whose key begins so; the beginning is a folder.
    pub fn list(&self, beginning: &str) -> Result<Vec<Listed>, ShelfError> {
        let mut listed = Vec::new();
        let folder = self.root.join(beginning);
        list(&self.root, &folder, &mut listed).map_err(|error| ShelfError::disk(&folder, error))?;
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// Puts an object under a key where what was expected lies.
    pub fn put_if(&self, key: &str, bytes: &[u8], expect: Expect<'_>) -> Result<Put, ShelfError> {
        let path = self.root.join(key);
        let put = replace(&self.root, &path, bytes, expect);
        put.map_err(|error| ShelfError::disk(&path, error))
    }

    /// The same name has the same bytes: writing it again changes nothing, and mends a file that a stick lost.
    pub fn put_sealed(&self, key: &str, bytes: &[u8]) -> Result<(), DeliverError> {
        let path = self.root.join(key);
        write(&self.root, &path, bytes).map_err(|error| DeliverError::retry(format!("{}: {error}", path.display())))
    }

    /// A file that is not there is an answer, as long as the folder is.
    fn look<T>(&self, found: io::Result<T>, path: &Path) -> Result<Option<T>, ShelfError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) && self.root.is_dir() => Ok(None),
            Err(error) if is_absent(&error) => Err(ShelfError::Away(format!("{} is not there", self.root.display()))),
            Err(error) => Err(ShelfError::disk(path, error)),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Found> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > bytes_max {
        return Ok(Found::Larger(size));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    let tag = tag_of(&bytes);
    Ok(Found::Bytes(bytes.into(), tag))
}

fn make(root: &Path) -> io::Result<()> {
    match fs::create_dir(root) {
        Ok(()) => sync_folder(root.parent()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn list(root: &Path, folder: &Path, listed: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        if entry?.is_dir() {
            list(root, &path, listed)?;
        } else if let Ok(key) = path.strip_prefix(root) {
            let modified = fs::metadata(&path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let modified = Timestamp::from_millis(i64::try_from(modified.as_millis()).unwrap_or(i64::MAX));
            listed.push(Listed { key: key.to_string_lossy().into_owned(), modified });
        }
    }
    Ok(())
}

fn tag_of(bytes: &[u8]) -> Tag {
    Tag(Digest::of(bytes).to_string())
}

/// Looks and writes while nobody else does: who wants to write there, too, waits for the folder.
fn replace(root: &Path, path: &Path, bytes: &[u8], expect: Expect<'_>) -> io::Result<Put> {
    make(root)?;
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    let folder = File::open(folder)?;
    match folder.lock() {
        // A file system without locks, as some network shares are: one writer at a time is all that can be had.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        locked => locked?,
    }
    let there = match fs::read(path) {
        Ok(there) => Some(tag_of(&there)),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    let is_expected = match expect {
        Expect::Nothing => there.is_none(),
        Expect::Tag(tag) => there.as_ref() == Some(tag),
    };
    if !is_expected {
        return Ok(Put::Other);
    }
    write(root, path, bytes)?;
    Ok(Put::Done(tag_of(bytes)))
}

fn write(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    make(root)?;
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    lasting::replace(path, bytes)?;
    // Every folder on the way may be new; a name is durable when the folder that holds it is.
    let on_the_way = folder.ancestors().take_while(|folder| folder.starts_with(root));
    on_the_way.map(Some).try_for_each(sync_folder)
}

fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_that_is_not_plugged_in_is_no_folder_to_fill() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let root = above.path().join("media/usb");
        assert!(write(&root, &root.join("a/b"), b"x").is_err());
        assert!(!root.try_exists().expect("readable"));
        fs::create_dir(above.path().join("media")).expect("the stick");
        write(&root, &root.join("a/b"), b"x").expect("now it is there");
        write(&root, &root.join("a/b"), b"x").expect("and once more");
        assert_eq!(fs::read(root.join("a/b")).expect("the object"), b"x");
        assert_eq!(fs::read_dir(root.join("a")).expect("the folder").count(), 1);
    }
}
