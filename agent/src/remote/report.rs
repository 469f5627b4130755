//! What is said of a revision: `revision`, `status`, `errors`, what is in force, and the hash of the whole.

use model::Timestamp;
use serde_json::{Value, json};

use crate::config::stage::{Outcome, Revision, Status};

/// Most errors that are said: a document that is wrong all over fits into a message all the same.
const ERRORS_MAX: usize = 32;

/// What became of a revision.
pub struct Report<'a> {
    /// Of which one, and what.
    pub outcome: &'a Outcome,
    /// The revision in force.
    pub in_force: Option<&'a Revision>,
    /// Over all keys and values in force.
    pub config_hash: &'a str,
    /// Now.
    pub at: Timestamp,
}

impl Report<'_> {
    /// Whether what is wanted is in force.
    pub fn is_applied(&self) -> bool {
        self.outcome.status == Status::Applied
    }

    pub fn json(&self) -> Value {
        let Outcome { revision, status, errors, .. } = self.outcome;
        json!({
            "revision": revision,
            "status": status,
            "errors": errors.iter().take(ERRORS_MAX).collect::<Vec<_>>(),
            "in_force": self.in_force.map(|revision| revision.revision.as_str()),
            "config_hash": self.config_hash,
            "version": env!("CARGO_PKG_VERSION"),
            "at": self.at,
        })
    }
}
