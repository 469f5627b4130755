//! How far an update is, and how the last one ended: written by the installer, read by everybody.
//!
//! One file, replaced before every step that changes something outside of it. Whoever finds a step that is not the last one
//! finishes it: the file says everything that is needed for that, so neither a configuration nor what was fetched is needed
//! any more.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;
use super::install::health::Picture;
use super::manifest::Kind;

/// Name of the file.
const FILE: &str = "state.json";
/// Largest such file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// An update under way, or the last one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollout {
    /// Version of this file.
    pub v: u32,
    /// Which signed manifest it is of.
    pub digest: String,
    /// What it is.
    pub kind: Option<Kind>,
    /// What ran before.
    pub from: Build,
    /// What is to run.
    pub to: Build,
    /// How far it is.
    pub step: Step,
    /// How it ended.
    pub result: Option<Ending>,
    /// Why it ended like that, or has to.
    pub why: Option<String>,
    /// How often its health was looked at from the start: a device that ends each time has an update that is not well.
    pub attempts: u32,
    /// The program in the package that is kept for going back, where one is.
    pub package_kept: Option<String>,
    /// What it needs.
    pub settings: Settings,
    /// How the agent was before.
    pub before: Option<Picture>,
}

/// Version of the file.
pub const ROLLOUT_VERSION: u32 = 1;

/// A program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// SHA-256 of its bytes; empty where it was never looked at.
    pub sha256: String,
}

/// How far an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The new program goes to its place.
    Switching,
    /// It is there, and is looked at.
    Checking,
    /// The old one goes back.
    GoingBack,
    /// Nothing is left to do.
    Ended,
}

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It runs and is well.
    Done,
    /// Nothing was touched.
    Failed,
    /// The old one runs again.
    RolledBack,
}

impl Ending {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Failed => "failed",
            Ending::RolledBack => "rolled-back",
        }
    }
}

/// What an installer needs to finish.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The program that is replaced.
    pub binary: PathBuf,
    /// The agent's configuration.
    pub config: PathBuf,
    /// Where the agent answers.
    pub socket: PathBuf,
    /// Starts the agent anew.
    pub restart: Vec<String>,
    /// Installs a package.
    pub package: Vec<String>,
    /// An update that is not well after so many milliseconds is taken back.
    pub health_within_ms: u64,
    /// One process of it has to last so many.
    pub healthy_for_ms: u64,
}

impl Rollout {
    /// The one in this folder; none where there was none, or where a file says nothing that is understood.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = files::read(&folder.join(FILE), FILE_BYTES_MAX)? else { return Ok(None) };
        let rollout: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(rollout.filter(|rollout| rollout.v == ROLLOUT_VERSION))
    }

    /// Writes it down, durably.
    pub fn store(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        files::replace(&folder.join(FILE), &text)
    }
}
