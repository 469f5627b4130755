//! Where an update stands, for whoever asks: the agent's own part of it, and what the installer has written down.

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, Signed};
use super::rollout::{Ending, Rollout, Step};
use super::staging::Staging;
use crate::config::UpdateConfig;

/// Where an update stands. Public: names and meanings stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `none`, `downloading`, `staged`, `switching`, `checking`, `going-back`, `done`, `failed` or `rolled-back`.
    pub state: String,
    /// The version that it brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// SHA-256 of manifest and signature, by which it is told from others of its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Bytes that are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// What went wrong, or what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Report {
    fn only(state: &str) -> Self {
        let state = state.to_owned();
        Self { state, version: None, from: None, manifest: None, bytes: None, of: None, why: None }
    }
}

/// What a download has run into.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trouble {
    /// Of this offer.
    pub of: Signed,
    /// What it was.
    pub why: String,
}

/// Where the last update stands. `trouble` is what the download last ran into.
pub fn read(config: &UpdateConfig, trouble: Option<Trouble>) -> Report {
    let staging = Staging::at(&config.staging);
    let rollout = Rollout::load(&config.rollback).ok().flatten();
    let is_new = |digest: &str| rollout.as_ref().is_none_or(|rollout| rollout.digest != digest);
    let staged = staging.staged().filter(|staged| is_new(&staged.digest()));
    let offered = staging.offered().filter(|offered| is_new(&offered.digest()));
    let refused = staging.refused().filter(|refused| is_new(&refused.of.digest()));
    let newer = offered
        .map(|offered| ("downloading", offered))
        .or_else(|| staged.map(|staged| ("staged", staged)))
        .or_else(|| refused.as_ref().map(|refused| (Ending::Failed.as_str(), refused.of.clone())));
    if let Some((state, signed)) = newer {
        // For the screen; whoever acts on it looks at the signature.
        let manifest: Option<Manifest> = serde_json::from_str(&signed.manifest).ok();
        let bytes = manifest.as_ref().map(|manifest| staging.bytes_of(manifest));
        return Report {
            version: manifest.as_ref().map(|manifest| manifest.version.clone()),
            manifest: Some(signed.digest()),
            bytes,
            of: manifest.map(|manifest| manifest.size),
            why: match state {
                "downloading" => trouble.filter(|trouble| trouble.of == signed).map(|trouble| trouble.why),
                "staged" => None,
                _ => refused.map(|refused| refused.why),
            },
            ..Report::only(state)
        };
    }
    let Some(rollout) = rollout else { return Report::only("none") };
    let state = match (rollout.step, rollout.result) {
        (Step::Switching, _) => "switching",
        (Step::Checking, _) => "checking",
        (Step::GoingBack, _) => "going-back",
        (Step::Ended, Some(result)) => result.as_str(),
        (Step::Ended, None) => "none",
    };
    Report {
        version: Some(rollout.to.version),
        from: Some(rollout.from.version),
        manifest: Some(rollout.digest),
        why: rollout.why,
        ..Report::only(state)
    }
}
