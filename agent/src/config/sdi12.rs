//! SDI-12 sensors: the keys of `[instrument.*.protocol]`.

use std::time::Duration;

use instruments::{Sdi12Line, Sdi12Spec};

use super::poll::TIMEOUT_MAX;
use super::section::{Misfit, Section};
use super::value::{choice, duration, integer, millis, text};

/// A sensor answers within 15 ms and a line takes 8 ms a character; a bridge may think a while.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

const LINES: &[(&str, Sdi12Line)] = &[("bridge", Sdi12Line::Bridge), ("bare", Sdi12Line::Bare)];

pub(super) fn read(section: &Section<'_>) -> Option<Sdi12Spec> {
    let address = section.require("address", |node| {
        let address = text(node)?;
        let mut characters = address.chars();
        match (characters.next(), characters.next()) {
            (Some(address), None) => Ok(address),
            _ => Err(Misfit::new("an address is one character").help("address = \"0\"")),
        }
    });
    let command = section.get("command", text).unwrap_or_else(|| "M".to_owned());
    let line = section.get("line", choice(LINES)).unwrap_or_default();
    let timeout = section.get("timeout", duration(Duration::from_millis(10)..=TIMEOUT_MAX)).unwrap_or(TIMEOUT_DEFAULT);
    // SDI-12 v1.4 §7.3: a recorder tries three times.
    let retries = section.get("retries", integer(0..=10)).unwrap_or(2);
    section.finish();
    Some(Sdi12Spec { address: address?, command, line, timeout_ms: millis(timeout), retries })
}
