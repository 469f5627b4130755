//! The few file system moves that an update is made of: each lasts when it returns, and a cut at any point leaves the old
//! or the new.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub use crate::lasting::{remove, rename, replace, sync_folder_of};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

/// What is read or copied at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// A program that everybody may run and nobody but its owner may change.
const PROGRAM_MODE: u32 = 0o755;

/// All of a small file; `None` if it is not there.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => read_bounded(file, bytes_max).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of what was opened, refused when it is longer than it may be.
pub fn read_bounded(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Opens a plain file in a folder that somebody else may write to: no link is followed, and no pipe is waited for.
pub fn open_beneath(folder: &Path, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let folder = rustix::fs::open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
    let file = File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// SHA-256 of a file, in hex digits.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&chunk[..read]),
        }
    }
}

/// Copies a program to a fresh file and puts that in the place of `to`, unless its bytes are others than `sha256`
/// says. Another process never sees less than a whole one there.
pub fn put_program(from: &mut File, to: &Path, sha256: &str) -> io::Result<()> {
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fresh = to.with_file_name(format!(".{name}.new"));
    let put = copy(from, &fresh, sha256).and_then(|()| rename(&fresh, to));
    if put.is_err() {
        // What is left of it would be in the way of nobody; the error matters more.
        remove(&fresh).ok();
    }
    put
}

fn copy(from: &mut File, to: &Path, sha256: &str) -> io::Result<()> {
    remove(to)?;
    let mut copy = File::create_new(to)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk)? {
            0 => break,
            read => {
                digest.update(&chunk[..read]);
                copy.write_all(&chunk[..read])?;
            }
        }
    }
    let found = hex::encode(digest.finalize());
    if found != sha256 {
        return Err(io::Error::other(format!("its SHA-256 is {found}, not {sha256}")));
    }
    copy.set_permissions(fs::Permissions::from_mode(PROGRAM_MODE))?;
    copy.sync_all()
}

/// Whether two are the same file on the same file system.
pub fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_put_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, vec![7; 200_000]).expect("a file");
        fs::write(&to, "old").expect("a file");
        let open = || File::open(&from).expect("a file");
        assert!(put_program(&mut open(), &to, &"0".repeat(64)).is_err());
        assert_eq!(fs::read(&to).expect("a file"), b"old");
        put_program(&mut open(), &to, &digest(&from).expect("a digest")).expect("the right bytes");
        assert_eq!(fs::read(&to).expect("a file"), vec![7; 200_000]);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 2, "nothing is left over");
    }

    #[test]
    fn nothing_but_a_plain_file_is_read_from_a_folder_of_somebody_elses() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("plain"), "words").expect("a file");
        std::os::unix::fs::symlink("plain", dir.path().join("link")).expect("a link");
        fs::create_dir(dir.path().join("folder")).expect("a folder");
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .expect("a pipe");
        let open = |name| open_beneath(dir.path(), name);
        assert_eq!(read_bounded(open("plain").expect("a plain file"), 5).expect("five bytes"), b"words");
        assert!(read_bounded(open("plain").expect("a plain file"), 4).is_err());
        for name in ["link", "folder", "pipe", "absent"] {
            assert!(open(name).is_err(), "{name}");
        }
    }
}
