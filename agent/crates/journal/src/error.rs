//! What can go wrong, with the facts.

use std::io;
use std::path::{Path, PathBuf};

/// Why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process, most likely the daemon, has the journal open.
    #[error("the journal {} is in use by another process", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// There is no journal at this place.
    #[error("{} is no journal", path.display())]
    NotAJournal {
        /// The place.
        path: PathBuf,
    },
    /// A later release wrote it.
    #[error("the journal's format is {found}, this release knows {known}")]
    Format {
        /// The version that was found.
        found: String,
        /// The version that is known.
        known: u32,
    },
    /// The store below refused or is damaged; its own words are the source.
    #[error("cannot use the generation {}", path.display())]
    Store {
        /// The generation.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Records could not be made durable. Never retried: what the kernel dropped it does not report twice.
    #[error("cannot make records durable in {}", path.display())]
    Sync {
        /// The generation.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A commit failed earlier; only a restart tells what is durable.
    #[error("cannot commit after a failed flush")]
    Poisoned,
    /// The disk is full: not enough is free for a commit.
    #[error("the disk of {} is full: {} KiB are free, {} KiB are needed", path.display(), free / 1024, needed / 1024)]
    NoSpace {
        /// The journal.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that a commit may take.
        needed: u64,
    },
    /// Another folder stands where the journal was: a card was pulled out, a file system mounted over it.
    #[error("{} is not the folder any more that the journal was opened in", path.display())]
    Replaced {
        /// The place.
        path: PathBuf,
    },
    /// The journal is not open now: its disk has failed, and is waited for.
    #[error("the journal is not open: its disk is waited for")]
    Unavailable,
    /// The bound for sealed batches is spent.
    #[error("cannot seal {bytes} bytes more, the bound is {bytes_max}")]
    SealedFull {
        /// Size of the batch.
        bytes: u64,
        /// The bound for all batches of the sink.
        bytes_max: u64,
    },
    /// A sealed batch does not read back as it was written.
    #[error("the sealed batch {} is damaged", path.display())]
    SealedDamaged {
        /// Its file.
        path: PathBuf,
    },
}

impl JournalError {
    /// Whether waiting may help: the disk is full, gone or refuses. Not so what is no matter of the disk (another
    /// process, a later format), and not a failed sync, which is never retried.
    pub fn is_disk(&self) -> bool {
        use JournalError as E;
        match self {
            E::Io { .. }
            | E::Store { .. }
            | E::NoSpace { .. }
            | E::Replaced { .. }
            | E::Unavailable
            | E::Poisoned
            | E::SealedFull { .. }
            | E::SealedDamaged { .. } => true,
            E::Locked { .. } | E::NotAJournal { .. } | E::Format { .. } | E::Sync { .. } => false,
        }
    }

    /// An adapter for `map_err`: what was attempted, and on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| JournalError::Io { action, path, source }
    }
}
