//! Files that last: what is written here is on the disk when it returns, and a cut at any point leaves the old file or the
//! new one, whole. The journal has its own file layer; an append (the lake's ledger) is its owner's business.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid, fchown};

/// Puts bytes in a file's place. What is written beside it and was cut off (`<name>.part`) is written over next time.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = beside(path, ".part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&part, path)
}

/// Writes a fresh file, and takes the place of what was left there. It belongs to whom its folder belongs: root sets up and
/// provisions, and the agent reads.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // What was cut off before may have had another mode.
    remove(path)?;
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    if rustix::process::geteuid().is_root() {
        let folder = fs::metadata(folder_of(path))?;
        fchown(&file, Some(Uid::from_raw(folder.uid())), Some(Gid::from_raw(folder.gid())))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file another name in the same folder, where one may be already.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Removes a file that may be there. That it is gone lasts when its folder is synced.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a file's name last.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Where a file stands; a name by itself stands in the folder that the process is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file's path with something behind its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("sheet.json");
        replace(&file, b"the old one").expect("a fresh file");
        fs::write(beside(&file, ".part"), "what a cut left of another, and longer").expect("a file");
        replace(&file, b"new").expect("the same file");
        assert_eq!(fs::read(&file).expect("a file"), b"new");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
        remove(&file).expect("a file");
        remove(&file).expect("none, which is as good");
    }
}
