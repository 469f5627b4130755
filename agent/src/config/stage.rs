//! The revisions of the configuration that came from afar, as they are kept on disk: the confirmed one, and the one that
//! is being tried. One file, replaced as a whole and synced before anything acts on it, so that whoever is killed at any
//! line finds either what was or what is to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::lasting;

/// Starts with a revision that was not confirmed, after which it is rolled back: whatever it does, the agent does not live
/// to confirm it.
pub const STARTS_MAX: u32 = 3;
/// Largest file that is read back.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Names of revisions that are remembered.
const USED_MAX: usize = 64;

/// A revision of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Its name.
    pub revision: String,
    /// A JSON merge patch (RFC 7386) over what stands on the device.
    pub config: Value,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When, by the author's clock (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A revision that is being tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What.
    #[serde(flatten)]
    pub revision: Revision,
    /// Starts of the agent with it.
    pub starts: u32,
}

/// What became of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is in force, and has to show that the broker can be reached with it.
    Pending,
    /// It has.
    Applied,
    /// It was never in force.
    Rejected,
    /// It was in force, and did not reach the broker in time.
    RolledBack,
}

/// Something that is wrong with a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The dotted path of the key; empty: the document itself.
    pub path: String,
    /// What.
    pub message: String,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled-back",
        }
    }
}

impl Fault {
    /// In one line.
    pub fn words(&self) -> String {
        if self.path.is_empty() { self.message.clone() } else { format!("{}: {}", self.path, self.message) }
    }
}

/// What became of the revision that was asked for last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub revision: String,
    /// The digest of the whole.
    pub sha256: String,
    /// What became of it.
    pub status: Status,
    /// Why not.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// Whether the journal has the event.
    #[serde(default)]
    pub is_told: bool,
}

/// A name that was used, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    revision: String,
    sha256: String,
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// In force, unless one is being tried.
    pub confirmed: Option<Revision>,
    /// In force, and rolled back unless it is confirmed.
    pub trial: Option<Trial>,
    /// What `reported` says.
    pub last: Option<Outcome>,
    used: Vec<Used>,
}

/// The file: what is kept, and a digest that tells a damaged one.
#[derive(Serialize, Deserialize)]
struct Sheet {
    v: u8,
    sha256: String,
    stage: Value,
}

/// Puts bytes in the place of a file of `remote/`; that folder is made in a journal that is there.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = lasting::folder_of(file);
    if !folder.is_dir() {
        fs::create_dir(folder)?;
        lasting::sync_folder_of(folder)?;
    }
    lasting::replace(file, bytes)
}

impl Revision {
    /// SHA-256 over author, configuration, name and time, keys in their order: what a broker does to spelling does not count.
    pub fn sha256(&self) -> String {
        digest(&serde_json::to_value(self).unwrap_or_default())
    }
}

fn digest(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(&object[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

impl Stage {
    /// The file, in the folder of a journal.
    pub fn file(journal: &Path) -> PathBuf {
        journal.join("remote").join("revision.json")
    }

    /// Reads it. One that is not there is empty; one that is damaged is put aside and is empty, too: what stands on the
    /// device is in force then, and the broker still has the revision.
    pub fn load(journal: &Path) -> io::Result<Self> {
        let file = Self::file(journal);
        match fs::metadata(&file) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error),
            Ok(about) if about.len() > FILE_BYTES_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&file)?;
        let sheet: Sheet = serde_json::from_str(&text)?;
        if digest(&sheet.stage) != sheet.sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its digest is another"));
        }
        Ok(serde_json::from_value(sheet.stage)?)
    }

    /// Puts it in the old one's place, durably.
    pub fn store(&self, journal: &Path) -> io::Result<()> {
        let stage = serde_json::to_value(self)?;
        let sheet = serde_json::to_string(&Sheet { v: 1, sha256: digest(&stage), stage })?;
        replace(&Self::file(journal), sheet.as_bytes())
    }

    /// The revision in force.
    pub fn current(&self) -> Option<&Revision> {
        self.trial.as_ref().map(|trial| &trial.revision).or(self.confirmed.as_ref())
    }

    /// What a name was used for before.
    pub fn used_for(&self, revision: &str) -> Option<&str> {
        self.used.iter().rev().find(|used| used.revision == revision).map(|used| used.sha256.as_str())
    }

    /// Begins a trial.
    pub fn begin(&mut self, revision: Revision) {
        self.remember(&revision.revision, revision.sha256());
        self.conclude(&revision, Status::Pending, Vec::new());
        self.trial = Some(Trial { revision, starts: 0 });
    }

    /// The revision that was tried is the confirmed one.
    pub fn confirm(&mut self) {
        if let Some(Trial { revision, .. }) = self.trial.take() {
            self.conclude(&revision, Status::Applied, Vec::new());
            self.confirmed = Some(revision);
        }
    }

    /// Back to the confirmed one, or to what stands on the device.
    pub fn roll_back(&mut self, why: &str) {
        if let Some(Trial { revision, .. }) = self.trial.take() {
            let errors = vec![Fault { path: String::new(), message: why.to_owned() }];
            self.conclude(&revision, Status::RolledBack, errors);
        }
    }

    /// Puts down what became of a revision.
    pub fn conclude(&mut self, revision: &Revision, status: Status, errors: Vec<Fault>) {
        let (revision, sha256) = (revision.revision.clone(), revision.sha256());
        self.last = Some(Outcome { revision, sha256, status, errors, is_told: false });
    }

    fn remember(&mut self, revision: &str, sha256: String) {
        self.used.push(Used { revision: revision.to_owned(), sha256 });
        let surplus = self.used.len().saturating_sub(USED_MAX);
        self.used.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn revision(name: &str) -> Revision {
        Revision {
            revision: name.to_owned(),
            config: json!({"b": 1, "a": {"y": 2.5, "x": null}}),
            author: None,
            at: None,
        }
    }

    #[test]
    fn what_is_stored_is_read_back_and_what_is_damaged_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Stage::load(folder.path()).unwrap(), Stage::default());
        let mut stage = Stage::default();
        stage.begin(revision("r1"));
        stage.store(folder.path()).unwrap();
        assert_eq!(Stage::load(folder.path()).unwrap(), stage);
        let file = Stage::file(folder.path());
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("2.5", "2.4")).unwrap();
        assert_eq!(Stage::load(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_order_of_keys_does_not_make_another_revision() {
        let turned = Revision { config: json!({"a": {"x": null, "y": 2.5}, "b": 1}), ..revision("r1") };
        assert_eq!(turned.sha256(), revision("r1").sha256());
        assert_ne!(revision("r2").sha256(), revision("r1").sha256());
    }

    #[test]
    fn a_trial_ends_as_the_confirmed_one_or_not_at_all() {
        let mut stage = Stage::default();
        stage.begin(revision("r1"));
        stage.confirm();
        stage.begin(revision("r2"));
        assert_eq!(stage.current().map(|current| current.revision.as_str()), Some("r2"));
        stage.roll_back("the broker was not reached");
        assert_eq!(stage.current().map(|current| current.revision.as_str()), Some("r1"));
        assert_eq!(stage.last.as_ref().map(|last| last.status), Some(Status::RolledBack));
        assert!(stage.used_for("r2").is_some() && stage.used_for("r3").is_none());
    }
}
