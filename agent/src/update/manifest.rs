//! What is to be installed, signed by whoever may say so.
//!
//! The document is `{"manifest": "<text>", "signature": "<128 hex digits>"}`. What is signed is the line
//! `tidegate update v1` and behind it the text as it stands, so nothing has to be written anew to be checked, and
//! a signature of anything else, a manifest line of the lake's say, is none of an update. The text is JSON; fields that
//! are not known are passed over, those that matter come with another `v`.

use lake::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::version::Version;

/// What stands before the text when it is signed.
const SIGNED_HEAD: &str = "tidegate update v1\n";
/// Version of the manifest.
const MANIFEST_VERSION: u32 = 1;
/// Largest document: a manifest has half a kilobyte.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 10;
/// Largest update: the package has 5 MiB at most, and a development build fits.
pub const UPDATE_BYTES_MAX: u64 = 512 << 20;
/// Longest address.
const URL_BYTES_MAX: usize = 4096;
/// Formats of the journal that a release reads.
const FORMATS_MAX: usize = 64;

/// A manifest with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The text that is signed.
    pub manifest: String,
    /// Ed25519, in hex digits.
    pub signature: String,
}

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest.
    pub v: u32,
    /// The agent's version.
    pub version: String,
    /// What it runs on, as Rust names it: `aarch64-unknown-linux-gnu`.
    pub target: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub url: String,
    /// SHA-256 of its bytes, in hex digits.
    pub sha256: String,
    /// How many there are.
    pub size: u64,
    /// What it makes of journals.
    pub journal: Formats,
    /// It may be older than what runs. Signed, so that nobody can have an old release installed by showing its manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub downgrade: bool,
}

/// As much of a manifest as one of any version has.
#[derive(Deserialize)]
struct Head {
    v: u32,
}

/// What an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The program itself.
    Binary,
    /// A package, for the package manager.
    Deb,
}

/// The formats of journals that a release knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// Those that it reads.
    pub reads: Vec<u32>,
    /// The one that it writes.
    pub writes: u32,
}

/// What an update is held against.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The version that is installed.
    pub version: &'a str,
    /// What this device is.
    pub target: &'a str,
    /// The format of the journal on disk; `None`: there is no journal.
    pub journal: Option<u32>,
}

/// An update that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody may update this device.
    #[error("this device takes no updates: no `key` in [update]")]
    NoKey,
    /// The key can not be used.
    #[error("the key {path} can not be used: {reason}")]
    Key {
        /// Its file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The document is none.
    #[error("it is no signed manifest: {0}")]
    Document(String),
    /// Somebody else signed it, or it was changed.
    #[error("the signature is wrong: it is not of the key in [update], or the manifest was changed")]
    Signature,
    /// What was signed is no manifest.
    #[error("it is no manifest: {0}")]
    Manifest(String),
    /// It is for others.
    #[error("it is for {found}, and this is {ours}")]
    Target {
        /// What for.
        found: String,
        /// What this is.
        ours: String,
    },
    /// It is older than what runs.
    #[error("{found} is older than {installed}, and the manifest does not say `downgrade`")]
    Downgrade {
        /// Its version.
        found: String,
        /// The one that runs.
        installed: String,
    },
    /// It does not read the journal of this device.
    #[error("it can not read this device's journal: its format is {found}, and {version} reads {reads:?}")]
    Unreadable {
        /// The format on disk.
        found: u32,
        /// Its version.
        version: String,
        /// What it reads.
        reads: Vec<u32>,
    },
    /// There would be no way back from it.
    #[error(
        "it writes the journal in the format {writes}, which {installed} does not read: there would be no way back. \
         First install a release that reads it"
    )]
    OneWay {
        /// The format it writes.
        writes: u32,
        /// The version that runs.
        installed: String,
    },
    /// It was tried before.
    #[error("it was tried before, and {result}: {why}. Sign another manifest to have it tried again")]
    Tried {
        /// How that ended.
        result: &'static str,
        /// Why.
        why: String,
    },
    /// It can not be written down.
    #[error("it can not be kept: {0}")]
    Disk(String),
}

impl Signed {
    /// Signs a manifest.
    pub fn by(key: &SigningKey, manifest: &Manifest) -> Self {
        let text = serde_json::to_string(manifest).expect("a manifest is plain JSON");
        let signature = key.signature(&signed_bytes(&text));
        Self { manifest: text, signature }
    }

    /// Reads a document.
    pub fn parse(document: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(document).map_err(|error| Refused::Document(error.to_string()))
    }

    /// The document.
    pub fn document(&self) -> String {
        serde_json::to_string(self).expect("two texts are plain JSON")
    }

    /// By what it is told from others, also from one with the same text that somebody else has signed.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(format!("{}\n{}", self.manifest, self.signature)))
    }

    /// What it says, once the signature is found right.
    pub fn open(&self, key: &VerifyingKey) -> Result<Manifest, Refused> {
        let signature = hex::decode(&self.signature).unwrap_or_default();
        if !key.verifies(&signed_bytes(&self.manifest), &signature) {
            return Err(Refused::Signature);
        }
        Manifest::parse(&self.manifest)
    }
}

fn signed_bytes(text: &str) -> Vec<u8> {
    [SIGNED_HEAD.as_bytes(), text.as_bytes()].concat()
}

impl Manifest {
    /// Reads a manifest.
    fn parse(text: &str) -> Result<Self, Refused> {
        let refuse = |words: &str| Err(Refused::Manifest(words.to_owned()));
        let head: Head = serde_json::from_str(text).map_err(|error| Refused::Manifest(error.to_string()))?;
        if head.v != MANIFEST_VERSION {
            return refuse(&format!("its version is {}, and {MANIFEST_VERSION} is known", head.v));
        }
        let manifest: Self = serde_json::from_str(text).map_err(|error| Refused::Manifest(error.to_string()))?;
        if Version::parse(&manifest.version).is_none() {
            return refuse("`version` is no version, such as 1.4.0");
        }
        // It names a file.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if manifest.sha256.len() != 64 || !manifest.sha256.bytes().all(is_digit) {
            return refuse("`sha256` is not 64 hex digits in lower case");
        }
        if manifest.size == 0 || manifest.size > UPDATE_BYTES_MAX {
            return refuse(&format!("`size` is not between 1 and {UPDATE_BYTES_MAX}"));
        }
        if manifest.url.len() > URL_BYTES_MAX || manifest.journal.reads.len() > FORMATS_MAX {
            return refuse("a field is too long");
        }
        Ok(manifest)
    }

    /// A manifest of the version that is known here.
    pub fn new(version: String, target: String, kind: Kind, url: String, of: (String, u64)) -> Self {
        let (sha256, size) = of;
        let journal = Formats { reads: journal::FORMATS_READ.to_vec(), writes: journal::FORMAT };
        Self { v: MANIFEST_VERSION, version, target, kind, url, sha256, size, journal, downgrade: false }
    }

    /// Whether this device can run it, and come back from it.
    pub fn judge(&self, ground: Ground<'_>) -> Result<(), Refused> {
        if self.target != ground.target {
            return Err(Refused::Target { found: self.target.clone(), ours: ground.target.to_owned() });
        }
        if !self.downgrade && Version::parse(&self.version) < Version::parse(ground.version) {
            let (found, installed) = (self.version.clone(), ground.version.to_owned());
            return Err(Refused::Downgrade { found, installed });
        }
        if let Some(found) = ground.journal
            && !self.journal.reads.contains(&found)
        {
            let (version, reads) = (self.version.clone(), self.journal.reads.clone());
            return Err(Refused::Unreadable { found, version, reads });
        }
        if !journal::FORMATS_READ.contains(&self.journal.writes) {
            return Err(Refused::OneWay { writes: self.journal.writes, installed: ground.version.to_owned() });
        }
        Ok(())
    }
}

/// What this device is, as Rust names it.
pub fn target() -> String {
    let arch = std::env::consts::ARCH;
    let library = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    if cfg!(target_arch = "arm") {
        format!("armv7-unknown-linux-{library}eabihf")
    } else {
        format!("{arch}-unknown-linux-{library}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn manifest() -> Manifest {
        let of = ("ab".repeat(32), 7);
        Manifest::new("1.4.0".into(), "here".into(), Kind::Binary, "https://updates.example/a".into(), of)
    }

    fn ground() -> Ground<'static> {
        Ground { version: "1.3.9", target: "here", journal: Some(journal::FORMAT) }
    }

    #[test]
    fn what_the_key_has_signed_is_opened_and_nothing_else() {
        let key = SigningKey::from_pem(PRIVATE.as_bytes()).expect("a key");
        let signed = Signed::by(&key, &manifest());
        assert_eq!(Signed::parse(signed.document().as_bytes()).expect("a document"), signed);
        assert_eq!(signed.open(&key.public()), Ok(manifest()));
        let manifest = signed.manifest.replace("1.4.0", "1.4.1");
        let changed = Signed { manifest, ..signed.clone() };
        assert_eq!(changed.open(&key.public()), Err(Refused::Signature));
        // The text alone, as a line of the lake would be signed.
        let signature = key.signature(signed.manifest.as_bytes());
        assert_eq!(Signed { signature, ..signed }.open(&key.public()), Err(Refused::Signature));
    }

    #[test]
    fn a_manifest_names_what_can_be_fetched_and_held_against_it() {
        let text = serde_json::to_string(&manifest()).expect("JSON");
        assert!(Manifest::parse(&text).is_ok());
        assert!(Manifest::parse(&text.replacen('{', "{\"later\":1,", 1)).is_ok(), "fields that are not known");
        for (good, bad) in [
            ("\"v\":1", "\"v\":2"),
            ("1.4.0", "latest"),
            ("abab", "../x"),
            ("abab", "ABab"),
            ("\"size\":7", "\"size\":0"),
            ("\"size\":7", "\"size\":99999999999"),
            ("binary", "rpm"),
        ] {
            assert!(matches!(Manifest::parse(&text.replacen(good, bad, 1)), Err(Refused::Manifest(_))), "{bad}");
        }
    }

    #[test]
    fn what_can_not_run_here_or_not_be_taken_back_is_refused_beforehand() {
        assert_eq!(manifest().judge(ground()), Ok(()));
        assert!(matches!(manifest().judge(Ground { target: "there", ..ground() }), Err(Refused::Target { .. })));
        let newer = Ground { version: "1.4.1", ..ground() };
        assert!(matches!(manifest().judge(newer), Err(Refused::Downgrade { .. })));
        assert_eq!(Manifest { downgrade: true, ..manifest() }.judge(newer), Ok(()));
        let later = Ground { journal: Some(journal::FORMAT + 1), ..newer };
        assert!(matches!(Manifest { downgrade: true, ..manifest() }.judge(later), Err(Refused::Unreadable { .. })));
        let formats = Formats { reads: vec![journal::FORMAT, journal::FORMAT + 1], writes: journal::FORMAT + 1 };
        assert!(matches!(Manifest { journal: formats, ..manifest() }.judge(ground()), Err(Refused::OneWay { .. })));
        assert_eq!(manifest().judge(Ground { journal: None, ..ground() }), Ok(()));
    }
}
