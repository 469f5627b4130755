//! What the journal asks of the file system for its own files and directories, as a trait: so that a test can stand
//! between the two, count, refuse and cut the power at each call in turn.
//!
//! Production uses [`System`], which is the calls themselves. sled's own files do not pass here (it has no such door),
//! only our `fdatasync` of them does.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

thread_local! {
    /// What stands between this thread and the system; `None` in production.
    static DECORATOR: RefCell<Option<Rc<dyn Files>>> = const { RefCell::new(None) };
}

/// Everything that changes or syncs one of the journal's own files. The defaults are the system's calls.
pub trait Files {
    /// Makes a directory whose parent is there.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Makes or empties a file and writes it; nothing of it is durable yet.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    /// `fsync` of an open file or directory.
    fn sync(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    /// `fdatasync` of an open file.
    fn sync_data(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }

    /// `rename`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Removes a directory and all below it, in any order.
    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// The file system as it is.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Files for System {}

/// Runs `body` with `files` between this thread's journals and the system.
pub fn with_files<T>(files: Rc<dyn Files>, body: impl FnOnce() -> T) -> T {
    /// Takes the decorator away again, also on a panic.
    struct Within;
    impl Drop for Within {
        fn drop(&mut self) {
            DECORATOR.set(None);
        }
    }
    DECORATOR.set(Some(files));
    let _within = Within;
    body()
}

/// Asks whoever stands there for this thread.
pub(crate) fn ask<T>(question: impl FnOnce(&dyn Files) -> io::Result<T>) -> io::Result<T> {
    let decorator = DECORATOR.with_borrow(Clone::clone);
    question(decorator.as_deref().unwrap_or(&System))
}
