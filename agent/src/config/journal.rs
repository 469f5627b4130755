//! `[journal]`: where readings become durable, how soon, and how much of them is kept.

use std::path::PathBuf;
use std::time::Duration;

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
            keep_delivered: Duration::from_secs(7 * 86_400),
        }
    }
}

const WHEN_FULL: &[(&str, bool)] = &[("drop-oldest", true), ("drop-newest", false), ("thin", false)];

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
    if section.get("when_full", choice(WHEN_FULL)) == Some(false) {
        let misfit = Misfit::new("only \"drop-oldest\" is there yet in this version");
        section.refuse("when_full", misfit.help("when_full = \"drop-oldest\""));
    }
    section.finish();
    config
}
