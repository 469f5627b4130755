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
/// The budget holds at least so many generations, so that keeping it never means dropping most of the journal.
const GENERATIONS_IN_BUDGET_MIN: u64 = 4;

/// An empty generation takes half a MiB (a sled segment); sealing before it has grown beyond would seal every commit.
const SEAL_BYTES_MIN: u64 = 1 << 20;

/// The settings of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its directory.
    pub path: PathBuf,
    /// A generation is sealed at this size on disk; at a quarter of `max_bytes` if that is less, but not below 1 MiB.
    pub generation_bytes: u64,
    /// A generation is sealed at this age, by the monotonic clock.
    pub generation_age_ms: u64,
    /// What all generations may take on disk. Less than 4 MiB can not be kept. Quarantine is not counted.
    pub max_bytes: u64,
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
            keep_delivered_ms: KEEP_DELIVERED_MS_DEFAULT,
            probe: None,
        }
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
