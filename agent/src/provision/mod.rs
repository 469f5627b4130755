//! How the device comes by a certificate of its own, and by the next one. Its key is made here and never leaves.
//!
//! ```text
//! key.new  ->  issued  ->  registered  ->  cert.new  ->  switching  ->  switched  ->  done
//!  (made)     (the request  (the token    (beside the    (renamed,      (a good       (the claim goes,
//!             is answered)  is used up)    old pair)      key first)     connection)   or the old pair)
//! ```
//!
//! Each arrow is durable before the next begins, in the files themselves and in `provision.json` (`sheet`): whoever is
//! killed at any of them goes on from there. Until a connection was made with the new pair nothing that worked before is
//! given away: by claim that is the claim, in a renewal the old pair, which comes back where the new one does not work.
//!
//! 1. Nothing but the request leaves the device: public key, name, signature.
//! 2. `switching` is finished by whoever comes next, before anything reads the pair (`files::Places::settle`).
//! 3. One at a time: the folder is locked.
//! 4. A token is used once and lives for an hour; one that is refused, or may be, is asked for anew.

mod files;
mod key;
mod request;
mod sheet;

mod ask;
mod course;

pub mod by_hand;
pub mod claim;
pub mod renewal;

use std::path::PathBuf;

pub use ask::AskError;
pub use course::Step;
pub use files::Places;
pub use key::{DeviceKey, KeyError};
pub use sheet::{Purpose, Registered, Sheet, State};

use crate::config::Config;
use crate::telemetry::logs::chain;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The configuration lacks something that this needs.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A file.
    #[error("can not {doing} {path}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A key, or a certificate, that is none or not the one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No answer, or a no.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Somebody else is at it.
    #[error("somebody else provisions this device right now")]
    Busy,
}

/// Finishes what was cut off while certificate and key were exchanged. Called before anything reads them.
pub fn settle(config: &Config) {
    let Some(provision) = &config.provision else { return };
    let places = Places::of(provision);
    // Who holds the lock is about to do it.
    let settled = match places.lock() {
        Ok(_lock) => places.settle().map(drop),
        Err(ProvisionError::Busy) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(error = chain(&error), "what a new certificate was cut off at can not be finished");
    }
}
