//! A patient made in a folder: its `/proc`, `/sys` and the rest are files that a test writes.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::journal::Probe;

use super::{Agent, Patient};
use crate::clock::Clock;
use crate::config::{Layers, load};
use crate::control::check::{Check, Verdict};

/// A patient and its folder.
pub struct Rig {
    folder: tempfile::TempDir,
    /// To be looked at.
    pub patient: Patient,
}

impl Rig {
    /// With this configuration (`{dir}` is the folder), where no agent runs.
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tidegate.toml");
        let journal = folder.path().join("journal");
        fs::create_dir(&journal).expect("a folder");
        let text = format!("[journal]\npath = \"{{dir}}/journal\"\n\n{text}");
        fs::write(&file, text.replace("{dir}", folder.path().to_str().expect("UTF-8"))).expect("a file");
        let config = load(&Layers { file, env: std::collections::BTreeMap::new() }).expect("a good configuration");
        let patient = Patient {
            root: folder.path().join("root"),
            config: Ok(Arc::new(config)),
            journal,
            socket: folder.path().join("socket"),
            agent: Agent::Absent,
            clock: Clock::of_this_boot(),
            probe: Probe { program: "/bin/false".into(), args: Vec::new(), limit: Duration::from_secs(1) },
            is_offline: true,
            listen: None,
            unreached: Mutex::default(),
        };
        Self { folder, patient }
    }

    /// Writes a file of the machine's.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.patient.at(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// The folder, to be kept, and the patient.
    pub fn apart(self) -> (tempfile::TempDir, Patient) {
        (self.folder, self.patient)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Name, verdict and what was seen of each check of this name.
#[track_caller]
pub fn one(checks: &[Check], name: &str) -> (Verdict, String) {
    let found: Vec<_> = checks.iter().filter(|check| check.check == name).collect();
    assert_eq!(found.len(), 1, "{name} in {checks:#?}");
    let is_told = found[0].verdict == Verdict::Ok || found[0].fix.as_ref().is_some_and(|fix| !fix.is_empty());
    assert!(is_told, "no fix in {:#?}", found[0]);
    (found[0].verdict, found[0].seen.clone())
}
