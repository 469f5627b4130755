//! A file layer that counts every change and every sync, and at the one it is told to refuses, or cuts the power.
//!
//! A cut freezes what would be on the disk: the directory is copied as it is at that instant, and then what nobody has
//! synced yet is undone in the copy. A file's bytes count as durable once it is synced, a name once its directory is.
//! Names are undone from the newest backwards, one copy for each length; bytes are emptied, halved or zeroed. sled's
//! own writes do not pass here and stay as they are: those are for the real power cuts. Nothing is really synced, which
//! no power cut that is played can tell.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use journal::files::{Files, System};

use crate::support::{copy_tree, entries};

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    MakeDir,
    Write,
    Sync,
    SyncData,
    Rename,
    RemoveFile,
    RemoveTree,
}

/// What happens, and at which call, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Count,
    /// The power goes when the call begins, or, `is_half`, in the middle of it.
    Cut {
        at: usize,
        is_half: bool,
    },
    /// The call is refused with this errno; and all after it if it `stays`.
    Refuse {
        at: usize,
        errno: i32,
        stays: bool,
    },
}

/// What a power cut would still take back.
#[derive(Debug)]
enum Unsynced {
    Made(PathBuf),
    Moved { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf, kept: PathBuf },
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    names: Vec<Unsynced>,
    bytes: Vec<PathBuf>,
    kept: usize,
    is_cut: bool,
}

/// The layer, over the journal at `root`. It keeps what it needs beside it, in `aside`.
#[derive(Debug)]
pub struct Faulty {
    root: PathBuf,
    aside: PathBuf,
    plan: Plan,
    state: RefCell<State>,
}

impl Faulty {
    pub fn new(root: &Path, aside: &Path, plan: Plan) -> Self {
        fs::create_dir_all(aside).expect("a place for what is kept");
        Self { root: root.to_owned(), aside: aside.to_owned(), plan, state: RefCell::default() }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state.borrow().calls.clone()
    }

    pub fn is_cut(&self) -> bool {
        self.state.borrow().is_cut
    }

    /// The disks that the cut may have left.
    pub fn frozen(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = entries(&self.aside);
        found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("frozen")));
        found.sort();
        found
    }

    /// Whether the call may go on; `half` does the half of it that a cut in the middle leaves.
    fn step(&self, call: Call, half: impl FnOnce()) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let n = state.calls.len();
        state.calls.push(call);
        if state.is_cut {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        match self.plan {
            Plan::Cut { at, is_half } if n == at => {
                if is_half {
                    half();
                }
                state.is_cut = true;
                self.freeze(&state);
                Err(io::Error::from_raw_os_error(EIO))
            }
            Plan::Refuse { at, errno, stays } if n == at || (stays && n > at) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            Plan::Count | Plan::Cut { .. } | Plan::Refuse { .. } => Ok(()),
        }
    }

    fn freeze(&self, state: &State) {
        let spoils: &[Option<Spoil>] = if state.bytes.is_empty() {
            &[None]
        } else {
            &[None, Some(Spoil::Emptied), Some(Spoil::Halved), Some(Spoil::Zeroed)]
        };
        let mut number = 0;
        for undone in 0..=state.names.len() {
            for spoil in spoils {
                let place = self.aside.join(format!("frozen{number:03}"));
                number += 1;
                copy_tree(&self.root, &place);
                if let Some(spoil) = spoil {
                    state.bytes.iter().for_each(|path| spoil.apply(&self.within(&place, path)));
                }
                state.names.iter().rev().take(undone).for_each(|name| self.undo(&place, name));
            }
        }
    }

    fn within(&self, place: &Path, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| self.aside.join("elsewhere"), |inside| place.join(inside))
    }

    fn undo(&self, place: &Path, name: &Unsynced) {
        match name {
            Unsynced::Made(path) => erase(&self.within(place, path)),
            Unsynced::Moved { from, to } => {
                fs::rename(self.within(place, to), self.within(place, from)).expect("what was moved is there");
            }
            Unsynced::Removed { path, kept } => copy_tree(kept, &self.within(place, path)),
        }
    }

    /// Puts what stands at `path` aside before it goes, so that it can come back.
    fn keep(&self, path: &Path) -> Option<Unsynced> {
        path.symlink_metadata().ok()?;
        let mut state = self.state.borrow_mut();
        state.kept += 1;
        let kept = self.aside.join(format!("kept{}", state.kept));
        copy_tree(path, &kept);
        Some(Unsynced::Removed { path: path.to_owned(), kept })
    }
}

/// Linux's number for an error of the device, the same on all targets (errno(3)).
const EIO: i32 = 5;

/// What becomes of bytes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Spoil {
    Emptied,
    Halved,
    Zeroed,
}

impl Spoil {
    fn apply(self, path: &Path) {
        let Ok(mut bytes) = fs::read(path) else { return };
        match self {
            Spoil::Emptied => bytes.clear(),
            Spoil::Halved => bytes.truncate(bytes.len() / 2),
            Spoil::Zeroed => bytes.fill(0),
        }
        fs::write(path, bytes).expect("a copy takes it");
    }
}

impl Files for Faulty {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Call::MakeDir, || {})?;
        System.make_dir(path)?;
        self.state.borrow_mut().names.push(Unsynced::Made(path.to_owned()));
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        self.step(Call::Write, || fs::write(path, &bytes[..bytes.len() / 2]).expect("writes half"))?;
        let is_new = !path.try_exists()?;
        let file = System.write(path, bytes)?;
        let mut state = self.state.borrow_mut();
        if is_new {
            state.names.push(Unsynced::Made(path.to_owned()));
        }
        state.bytes.push(path.to_owned());
        Ok(file)
    }

    fn sync(&self, _file: &File, path: &Path) -> io::Result<()> {
        self.step(Call::Sync, || {})?;
        let mut state = self.state.borrow_mut();
        state.bytes.retain(|unsynced| unsynced != path);
        let is_here = |name: &Path| name.parent() == Some(path);
        state.names.retain(|name| match name {
            Unsynced::Made(name) | Unsynced::Removed { path: name, .. } => !is_here(name),
            // Between two directories, the one that has it now is the one that counts.
            Unsynced::Moved { to, .. } => !is_here(to),
        });
        Ok(())
    }

    fn sync_data(&self, _file: &File, _path: &Path) -> io::Result<()> {
        self.step(Call::SyncData, || {})
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Call::Rename, || {})?;
        let replaced = self.keep(to);
        System.rename(from, to)?;
        let mut state = self.state.borrow_mut();
        state.names.extend(replaced);
        state.names.push(Unsynced::Moved { from: from.to_owned(), to: to.to_owned() });
        state.bytes.iter_mut().filter(|path| *path == from).for_each(|path| to.clone_into(path));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(Call::RemoveFile, || {})?;
        let kept = self.keep(path);
        System.remove_file(path)?;
        let mut state = self.state.borrow_mut();
        state.bytes.retain(|unsynced| unsynced != path);
        state.names.extend(kept);
        Ok(())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        // Every second entry is gone: a generation without its `conf`, or without its `db`.
        self.step(Call::RemoveTree, || entries(path).iter().step_by(2).for_each(|entry| erase(entry)))?;
        let kept = self.keep(path);
        System.remove_tree(path)?;
        self.state.borrow_mut().names.extend(kept);
        Ok(())
    }
}

fn erase(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("erases");
}
