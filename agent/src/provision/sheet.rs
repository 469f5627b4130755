//! How far a device has come to its certificate, as it is kept on disk; and, once it has one, who it is there.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// `provision.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// Version of this format.
    pub v: u8,
    /// How far.
    pub state: State,
    /// What for.
    pub purpose: Purpose,
    /// The certificate that the key was given.
    pub issued: Option<Issued>,
    /// What it was registered as, this time or before.
    pub registered: Option<Registered>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There may be a key.
    Requesting,
    /// There is a certificate for it, and a token to register that with.
    Issued,
    /// It is registered: it can be used.
    Registered,
    /// It takes the place of the one before.
    Switching,
    /// It has; nobody has used it yet.
    Switched,
    /// The one before takes its place again.
    RollingBack,
    /// It is in use.
    Done,
}

/// What a certificate is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It is the device's first, asked for with a claim.
    Claim,
    /// It takes the place of one of its own, with which it is asked for.
    Renewal,
    /// Somebody brings it.
    ByHand,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// Its name at the far side.
    pub certificate_id: String,
    /// The certificate.
    pub pem: String,
    /// Registers it, once; nothing when it has.
    pub token: Option<String>,
    /// When, by this device's clock.
    pub at: Timestamp,
}

/// What a template made of the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The thing.
    pub thing: String,
    /// What the template gives along: a prefix, a role alias, a bucket.
    pub configuration: serde_json::Value,
}

impl Default for Sheet {
    fn default() -> Self {
        Self::begun(Purpose::Claim)
    }
}

impl Sheet {
    /// Nothing has happened yet.
    pub fn begun(purpose: Purpose) -> Self {
        Self { v: 1, state: State::Requesting, purpose, issued: None, registered: None }
    }

    /// The same for a device that may be somebody already: until it is somebody else.
    #[must_use]
    pub fn begun_again(self, purpose: Purpose) -> Self {
        Self { registered: self.registered, ..Self::begun(purpose) }
    }
}
