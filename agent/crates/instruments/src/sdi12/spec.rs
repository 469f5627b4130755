//! What the configuration says of an SDI-12 sensor.

use crate::spec::{Fault, Place, SpecError};

/// An SDI-12 sensor (`type = "sdi12"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdi12Spec {
    /// Its address: `0` to `9`, `a` to `z`, `A` to `Z` (SDI-12 v1.4 §4.3).
    pub address: char,
    /// What is measured: `M`, `MC`, `M1` to `M9`, `MC1` to `MC9`, the same with `C`, and `R0` to `R9`, `RC0` to `RC9`.
    pub command: String,
    /// What the port is.
    pub line: Sdi12Line,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// How often a command is said again when nothing comes.
    pub retries: u32,
}

/// What is between the port and the sensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sdi12Line {
    /// A bridge that takes commands as text and makes the break itself.
    #[default]
    Bridge,
    /// The sensor's own line at 1200 baud, 7E1: a command begins with a break.
    Bare,
}

/// A command understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    pub kind: Kind,
    pub has_crc: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Others on the bus wait, and the sensor may ask for service.
    Measure,
    /// Others may be asked meanwhile; the sensor says nothing by itself (§4.4.7).
    Concurrent,
    /// The values come at once (§4.4.8).
    Continuous,
}

impl Command {
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (letter, rest) = text.split_at_checked(1).unwrap_or_default();
        let (has_crc, number) = rest.strip_prefix('C').map_or((false, rest), |number| (true, number));
        let kind = match (letter, number.as_bytes()) {
            ("M", [] | [b'1'..=b'9']) => Kind::Measure,
            ("C", [] | [b'1'..=b'9']) => Kind::Concurrent,
            ("R", [b'0'..=b'9']) => Kind::Continuous,
            _ => return Err(Place::Key("command").fault(Fault::NotACommand(text.to_owned()))),
        };
        Ok(Self { kind, has_crc })
    }
}
