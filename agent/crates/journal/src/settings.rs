//! What the caller decides: where, how much, how long.

use std::path::PathBuf;

use model::Timestamp;

use crate::probe::Probe;

/// Bytes after which a generation is sealed, unless told otherwise: what a start reads at most.
pub const GENERATION_BYTES_DEFAULT: u64 = 8 << 20;
/// Age at which a generation is sealed, unless told otherwise.
pub const GENERATION_AGE_MS_DEFAULT: u64 = 3_600_000;
/// `keep_delivered = "7d"`.
const KEEP_DELIVERED_MS_DEFAULT: u64 = 7 * 86_400_000;
/// `max_bytes = "2GiB"`.
const MAX_BYTES_DEFAULT: u64 = 2 << 30;
/// The budget holds at least so many generations, so that keeping it never means dropping most of the journal, and
/// the copy that a repack makes never takes much of it.
const GENERATIONS_IN_BUDGET_MIN: u64 = 8;

/// An empty generation takes half a MiB (a sled segment); sealing before it has grown beyond would seal every commit.
const SEAL_BYTES_MIN: u64 = 1 << 20;

/// The copy of a thinned generation: an empty one, and something in it.
const COPY_BYTES_MIN: u64 = 2 << 20;

/// What goes when the budget is spent and nothing is left that every sink has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest generation.
    DropOldest,
    /// What is appended: readings are refused until there is room again, events as long as a reserve holds.
    DropNewest,
    /// The detail of the oldest: minutes, then ten minutes, then hours; then the oldest generation.
    Thin,
}

/// The settings of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its directory.
    pub path: PathBuf,
    /// A generation is sealed at this size on disk; at an eighth of `max_bytes` if that is less, but not below 1 MiB.
    pub generation_bytes: u64,
    /// A generation is sealed at this age, by the monotonic clock.
    pub generation_age_ms: u64,
    /// What all below `path` may take on disk, at any instant. Less than 4 MiB beside `reserved_bytes` can not be kept.
    pub max_bytes: u64,
    /// The part of it that is kept free for the [`SealedStore`](crate::SealedStore)s: the sum of their bounds.
    pub reserved_bytes: u64,
    /// What goes when it is spent.
    pub when_full: WhenFull,
    /// How long records are kept that every sink has confirmed, by the wall clock.
    pub keep_delivered_ms: u64,
    /// The program that opens a generation before this process does. Without one they are opened directly, and a
    /// damaged file may end the process.
    pub probe: Option<Probe>,
}

impl Settings {
    /// The defaults of `docs/CONFIG.md`, at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            generation_bytes: GENERATION_BYTES_DEFAULT,
            generation_age_ms: GENERATION_AGE_MS_DEFAULT,
            max_bytes: MAX_BYTES_DEFAULT,
            reserved_bytes: 0,
            when_full: WhenFull::DropOldest,
            keep_delivered_ms: KEEP_DELIVERED_MS_DEFAULT,
            probe: None,
        }
    }

    /// What the generations and the small files beside them may take.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.max_bytes.saturating_sub(self.reserved_bytes)
    }

    /// What the copy that thinning makes may take.
    pub(crate) fn copy_bytes(&self) -> u64 {
        self.seal_bytes().max(COPY_BYTES_MIN)
    }

    pub(crate) fn seal_bytes(&self) -> u64 {
        self.generation_bytes.min(self.max_bytes / GENERATIONS_IN_BUDGET_MIN).max(SEAL_BYTES_MIN)
    }
}

/// Now, by both of the board's clocks. Time comes in as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall time: decides what is old enough to go.
    pub wall: Timestamp,
    /// Milliseconds since the boot: decides when a generation is sealed.
    pub mono_ms: u64,
}
