//! `[journal]`: where readings become durable, how soon, and how much of them is kept.

use std::path::PathBuf;
use std::time::Duration;

use journal::WhenFull;

use super::device::DeviceConfig;
use super::section::{Misfit, Section};
use super::value::{choice, duration, integer, size, text};

/// `[journal]`
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The journal's folder.
    pub path: PathBuf,
    /// A reading is durable at most this long after its last byte arrived.
    pub commit_interval: Duration,
    /// Or as soon as so many wait.
    pub commit_readings: usize,
    /// Measured on disk.
    pub max_bytes: u64,
    /// What goes when it is spent.
    pub when_full: WhenFull,
    /// The replay window.
    pub keep_delivered: Duration,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/tidegate/journal"),
            commit_interval: Duration::from_secs(1),
            commit_readings: 1024,
            max_bytes: 2 << 30,
            when_full: WhenFull::DropOldest,
            keep_delivered: Duration::from_secs(7 * 86_400),
        }
    }
}

const WHEN_FULL: &[(&str, WhenFull)] =
    &[("drop-oldest", WhenFull::DropOldest), ("drop-newest", WhenFull::DropNewest), ("thin", WhenFull::Thin)];

/// Sealed batches of one sink: a window of objects, and an eighth of a small budget for all sinks.
const SEALED_BYTES_MAX: u64 = 64 << 20;
const SEALED_SHARE: u64 = 8;
/// Batches that one far side refused for good, for a person to look at; a sixteenth of a small budget for all sinks.
const QUARANTINED_BYTES_MAX: u64 = 16 << 20;
const QUARANTINED_SHARE: u64 = 16;

/// What a sink may keep on disk beside the journal's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkBytes {
    /// Sealed batches.
    pub sealed: u64,
    /// Batches set aside.
    pub quarantined: u64,
}

impl JournalConfig {
    /// What each of `sinks` may keep on disk.
    pub fn sink_bytes(&self, sinks: usize) -> SinkBytes {
        let count = u64::try_from(sinks.max(1)).unwrap_or(u64::MAX);
        SinkBytes {
            sealed: SEALED_BYTES_MAX.min(self.max_bytes / SEALED_SHARE / count),
            quarantined: QUARANTINED_BYTES_MAX.min(self.max_bytes / QUARANTINED_SHARE / count),
        }
    }

    /// The part of the budget that is kept free for them all.
    pub fn reserved_bytes(&self, sinks: usize) -> u64 {
        let SinkBytes { sealed, quarantined } = self.sink_bytes(sinks);
        (sealed + quarantined) * u64::try_from(sinks).unwrap_or(u64::MAX)
    }
}

pub(super) fn read(root: &Section<'_>, device: &DeviceConfig) -> JournalConfig {
    let mut config = JournalConfig::default();
    let Some(section) = root.section("journal") else { return config };
    let path = section.get("path", |node| device.expand(&text(node)?).map(PathBuf::from).map_err(Misfit::new));
    config.path = path.unwrap_or(config.path);
    let interval = Duration::from_millis(50)..=Duration::from_secs(60);
    config.commit_interval = section.get("commit_interval", duration(interval)).unwrap_or(config.commit_interval);
    config.commit_readings = section.get("commit_readings", integer(1..=65_536)).unwrap_or(config.commit_readings);
    config.max_bytes = section.get("max_bytes", size(8 << 20..=1 << 40)).unwrap_or(config.max_bytes);
    let window = Duration::ZERO..=Duration::from_secs(3_650 * 86_400);
    config.keep_delivered = section.get("keep_delivered", duration(window)).unwrap_or(config.keep_delivered);
    config.when_full = section.get("when_full", choice(WHEN_FULL)).unwrap_or(config.when_full);
    section.finish();
    config
}
