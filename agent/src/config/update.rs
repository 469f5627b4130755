//! `[update]`: whose updates of the agent are taken, where they lie, what they may cost, and when one counts as well.

use std::path::PathBuf;
use std::time::Duration;

use super::device::DeviceConfig;
use super::journal::JournalConfig;
use super::proxy::{self, ProxyConfig};
use super::section::{Misfit, Section};
use super::sink::SpendingConfig;
use super::value::{duration, file, list, size, text};

/// `[update]`
#[derive(Debug, Clone)]
pub struct UpdateConfig {
    /// Public Ed25519 key in PEM: what it has signed is taken. None: no update is.
    pub key: Option<PathBuf>,
    /// What the agent has fetched.
    pub staging: PathBuf,
    /// What the installer keeps: how far it is, and the way back. The agent can not write there.
    pub rollback: PathBuf,
    /// The program that is replaced.
    pub binary: PathBuf,
    /// PEM file of the roots that the server of updates is held against; none: the system's.
    pub ca: Option<PathBuf>,
    /// What stands in between.
    pub proxy: Option<ProxyConfig>,
    /// What a download may cost.
    pub spending: SpendingConfig,
    /// An update that is not well after so long is taken back.
    pub health_within: Duration,
    /// One process of it has to last so long. Longer than the service manager's watchdog, so that one who hangs is found out.
    pub healthy_for: Duration,
    /// The command that starts the agent anew.
    pub restart: Vec<String>,
    /// The command that installs a package, whose name is put behind it.
    pub package: Vec<String>,
}

/// Where the installer keeps its things, for one that can not read its configuration.
pub const ROLLBACK_DEFAULT: &str = "/var/lib/tidegate-update";

/// Words of a command.
const WORDS_MAX: usize = 32;

const RATE: std::ops::RangeInclusive<u64> = 256..=1 << 40;
const BUDGET: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 50;

impl UpdateConfig {
    fn new(journal: &JournalConfig) -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            key: None,
            staging: journal.path.with_file_name("update"),
            rollback: PathBuf::from(ROLLBACK_DEFAULT),
            binary: PathBuf::from("/usr/bin/tidegate"),
            ca: None,
            proxy: None,
            spending: SpendingConfig { max_rate: None, budget: None },
            health_within: Duration::from_secs(10 * 60),
            healthy_for: Duration::from_secs(3 * 60),
            // Not waited for: a program that never says that it is ready would be waited for in vain.
            restart: words(&["systemctl", "restart", "--no-block", "tidegate.service"]),
            // What the operator has changed in a configuration stays, and nobody is there to be asked.
            package: words(&["dpkg", "--force-confdef", "--force-confold", "--install"]),
        }
    }
}

pub(super) fn read(root: &Section<'_>, device: &DeviceConfig, journal: &JournalConfig) -> UpdateConfig {
    let mut config = UpdateConfig::new(journal);
    let Some(section) = root.section("update") else { return config };
    config.key = section.get("key", file(device));
    config.ca = section.get("ca", file(device));
    config.proxy = proxy::read(&section, device);
    for (key, path) in
        [("staging", &mut config.staging), ("rollback", &mut config.rollback), ("binary", &mut config.binary)]
    {
        if let Some(written) = section.get(key, file(device)) {
            *path = written;
        }
    }
    config.spending.max_rate = section.get("max_rate", size(RATE));
    config.spending.budget = section.get("budget", size(BUDGET));
    let minutes = Duration::from_secs(1)..=Duration::from_secs(3_600);
    config.health_within = section.get("health_within", duration(minutes.clone())).unwrap_or(config.health_within);
    config.healthy_for = section.get("healthy_for", duration(minutes)).unwrap_or(config.healthy_for);
    for (key, command) in [("restart", &mut config.restart), ("package", &mut config.package)] {
        let Some(words) = section.get(key, list(text)) else { continue };
        if words.is_empty() || words.len() > WORDS_MAX {
            section.refuse(key, Misfit::new(format!("a command has 1 to {WORDS_MAX} words")));
        }
        *command = words;
    }
    if config.healthy_for > config.health_within {
        let misfit = Misfit::new("`healthy_for` is longer than `health_within`: no update would ever count as well");
        section.refuse(if section.has("healthy_for") { "healthy_for" } else { "health_within" }, misfit);
    }
    section.finish();
    config
}
