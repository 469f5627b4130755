//! What was found on a port, as the part of a configuration that reads it. For `detect` and `setup`.

use std::fmt::Write as _;

use crate::acquire::detect::{Candidate, Fit, LineSetting};
use crate::config::BusConfig;
use crate::config::bus::{DataBits, Dtr, Flow, Parity, StopBits};
use crate::config::millis;

/// A bus and the instrument on it.
pub struct Stanza<'a> {
    /// The bus, and its section's name.
    pub bus: &'a str,
    /// The instrument's section's name.
    pub instrument: &'a str,
    /// What the port is called.
    pub port: &'a str,
    /// The line that it is on.
    pub line: LineSetting,
    /// The unit of a Modbus line, where it is not the profile's.
    pub unit: Option<u8>,
    /// The address of an SDI-12 sensor, where it is not the profile's.
    pub address: Option<char>,
    /// The profile.
    pub candidate: &'a Candidate,
}

impl<'a> Stanza<'a> {
    /// That of a profile that fits.
    pub fn of(fit: &Fit, candidate: &'a Candidate, bus: &'a str, instrument: &'a str, port: &'a str) -> Self {
        Self { bus, instrument, port, line: fit.line, unit: fit.unit, address: fit.address, candidate }
    }

    /// That of a profile as it is delivered.
    pub fn as_delivered(candidate: &'a Candidate, bus: &'a str, instrument: &'a str, port: &'a str) -> Self {
        Self { bus, instrument, port, line: candidate.line(), unit: None, address: None, candidate }
    }

    /// `[bus.*]`
    pub fn bus(&self) -> String {
        let mut text = format!("[bus.{}]\nport = {}\nbaud = {}\n", self.bus, quoted(self.port), self.line.baud);
        for (key, value) in rest_of_line(self.line).into_iter().chain(manners(&self.candidate.bus)) {
            writeln!(text, "{key} = {value}").expect("a String takes any text");
        }
        text
    }

    /// `[instrument.*]`
    pub fn instrument(&self) -> String {
        let mut text = format!(
            "[instrument.{}]\nbus = \"{}\"\nprofile = \"{}\"\n",
            self.instrument, self.bus, self.candidate.profile
        );
        if let Some(unit) = self.unit {
            writeln!(text, "protocol.unit = {unit}").expect("a String takes any text");
        }
        if let Some(address) = self.address {
            writeln!(text, "protocol.address = \"{address}\"").expect("a String takes any text");
        }
        text
    }
}

/// A text as TOML has it.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A name for a section: small letters, digits, and hyphens.
pub fn section_name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(32).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "line".to_owned() } else { name.to_owned() }
}

/// The same as comments, for somebody to choose from.
pub fn commented(text: &str) -> String {
    text.lines().flat_map(|line| ["#", line, "\n"]).collect()
}

fn rest_of_line(line: LineSetting) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    if line.data_bits == DataBits::Seven {
        keys.push(("data_bits", "7".to_owned()));
    }
    match line.parity {
        Parity::None => {}
        Parity::Even => keys.push(("parity", quoted("even"))),
        Parity::Odd => keys.push(("parity", quoted("odd"))),
    }
    if line.stop_bits == StopBits::Two {
        keys.push(("stop_bits", "2".to_owned()));
    }
    keys
}

/// What the profile's own bus has beside its line.
fn manners(bus: &BusConfig) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    match bus.flow {
        Flow::None => {}
        Flow::Hardware => keys.push(("flow", quoted("hardware"))),
        Flow::Software => keys.push(("flow", quoted("software"))),
    }
    match bus.dtr {
        Dtr::Untouched => {}
        Dtr::On => keys.push(("dtr", quoted("on"))),
        Dtr::Off => keys.push(("dtr", quoted("off"))),
    }
    for (key, time) in [("settle", bus.settle), ("pause", bus.pause)] {
        if !time.is_zero() {
            keys.push((key, quoted(&format!("{}ms", millis(time)))));
        }
    }
    keys
}
