//! What an instrument would say: lines made of a template and slow waves, so that a profile carries its own simulator.
//!
//! A line is a pure function of the spec, the seed and its number: a test knows what it will get, two runs agree, and
//! any line can be made without those before it.

mod noise;
mod template;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

pub(crate) use noise::float;
use noise::noise;
use template::{Part, parse_template};

/// Most decimals of a value: no instrument prints more.
pub const DECIMALS_MAX: u8 = 9;

/// Longest template, in bytes: as the longest frame that a decoder would take.
pub const TEMPLATE_BYTES_MAX: usize = crate::limits::FRAME_BYTES_MAX;

/// A simulator as written in a profile (`[simulate]`).
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationSpec {
    /// Milliseconds from line to line.
    pub every_ms: u64,
    /// What a line looks like, its end included. `{name}` is a value, `{n}` the line's number from 0, `{nmea}` the
    /// NMEA 0183 checksum of what stands between the last `$` and the last `*` before it, `{xor}` that of what stands
    /// between the last STX and ETX. A brace around anything
    /// but a name stands for itself, as JSON needs.
    pub line: String,
    /// The values, by name.
    pub values: BTreeMap<String, Wave>,
}

/// A value that swings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// Its middle, in the instrument's unit.
    pub mean: f64,
    /// How far it swings to either side.
    pub swing: f64,
    /// Length of one swing, in seconds.
    pub period_s: f64,
    /// How far noise takes it to either side, evenly spread.
    pub noise: f64,
    /// Decimals printed, at most [`DECIMALS_MAX`].
    pub decimals: u8,
}

/// A simulator that can not be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// Lines without time between them.
    #[error("`every` must be longer than nothing")]
    NoInterval,
    /// No template, or one longer than [`TEMPLATE_BYTES_MAX`].
    #[error("`line` must have 1 to {TEMPLATE_BYTES_MAX} bytes, not {0}")]
    Length(usize),
    /// A value in the line that is not given.
    #[error("`line` has {{{0}}}, but there is no value of that name")]
    UnknownValue(String),
    /// A value given that is not in the line, or has a name that means something else there.
    #[error("value {0:?} is nowhere in `line`")]
    UnusedValue(String),
    /// A value that is not finite, never swings to its end or has too many decimals.
    #[error("value {0:?}: numbers must be finite, `period` longer than nothing, `decimals` at most {DECIMALS_MAX}")]
    BadWave(String),
}

/// A checked simulator.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    every_ms: u64,
    seed: u64,
    parts: Vec<Part>,
}

impl Simulation {
    /// Checks and takes a simulator; the seed makes the noise.
    pub fn parse(spec: &SimulationSpec, seed: u64) -> Result<Self, SimulationError> {
        if spec.every_ms == 0 {
            return Err(SimulationError::NoInterval);
        }
        if spec.line.is_empty() || spec.line.len() > TEMPLATE_BYTES_MAX {
            return Err(SimulationError::Length(spec.line.len()));
        }
        if let Some((name, _)) = spec.values.iter().find(|(_, wave)| !wave.is_sound()) {
            return Err(SimulationError::BadWave(name.clone()));
        }
        let parts = parse_template(&spec.line, &spec.values)?;
        Ok(Self { every_ms: spec.every_ms, seed, parts })
    }

    /// Milliseconds from line to line.
    pub fn every_ms(&self) -> u64 {
        self.every_ms
    }

    /// The bytes of the line of this number, as said at `number * every_ms`.
    pub fn line(&self, number: u64) -> Vec<u8> {
        let mut line = String::new();
        self.render(number, &mut line).expect("a String takes whatever is written");
        line.into_bytes()
    }

    fn render(&self, number: u64, line: &mut String) -> fmt::Result {
        let seconds = float(number) * float(self.every_ms) / 1000.0;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => line.push_str(text),
                Part::Number => write!(line, "{number}")?,
                Part::NmeaChecksum => {
                    let checksum = checksum(line);
                    write!(line, "{checksum:02X}")?;
                }
                Part::Xor => {
                    let checksum = xor_between(line);
                    write!(line, "{checksum:02X}")?;
                }
                Part::Value(wave) => {
                    let decimals = usize::from(wave.decimals);
                    let value = wave.at(seconds) + wave.noise * noise(self.seed, number, index);
                    write!(line, "{value:.decimals$}")?;
                }
            }
        }
        Ok(())
    }
}

impl Wave {
    fn is_sound(&self) -> bool {
        let numbers = [self.mean, self.swing, self.period_s, self.noise];
        numbers.iter().all(|number| number.is_finite()) && self.period_s > 0.0 && self.decimals <= DECIMALS_MAX
    }

    fn at(&self, seconds: f64) -> f64 {
        // Whole swings are taken off first: the sine of a huge angle is noise.
        let turns = (seconds / self.period_s).fract();
        self.mean + self.swing * (std::f64::consts::TAU * turns).sin()
    }
}

fn checksum(line: &str) -> u8 {
    let body = line.rsplit_once('*').map_or(line, |(before, _)| before);
    let body = body.rsplit_once('$').map_or(body, |(_, after)| after);
    crate::sentence::xor(body.as_bytes())
}

fn xor_between(line: &str) -> u8 {
    let body = line.rsplit_once('\u{3}').map_or(line, |(before, _)| before);
    let body = body.rsplit_once('\u{2}').map_or(body, |(_, after)| after);
    crate::sentence::xor(body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Wave {
        Wave { mean: 2.3, swing: 0.5, period_s: 60.0, noise: 0.05, decimals: 1 }
    }

    fn spec(line: &str, names: &[&str]) -> SimulationSpec {
        let values = names.iter().map(|name| ((*name).to_owned(), wave())).collect();
        SimulationSpec { every_ms: 1000, line: line.to_owned(), values }
    }

    #[test]
    fn a_line_is_made_of_its_template() {
        let line = |text, names: &[&str], number| {
            String::from_utf8(Simulation::parse(&spec(text, names), 1).unwrap().line(number)).unwrap()
        };
        assert_eq!(line("$SDDBT,7.7,f,2.3,M,1.3,F*{nmea}\r\n", &[], 0), "$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n");
        assert_eq!(line("{n},{ n },{}\n", &[], 42), "42,{ n },{}\n");
        let json = line("{\"d\":{\"w\":{depth}}}\n", &["depth"], 0);
        assert!(json.starts_with("{\"d\":{\"w\":2.") && json.ends_with("}}\n"), "{json}");
    }

    #[test]
    fn the_same_seed_says_the_same_and_another_says_otherwise() {
        let said = |seed| -> Vec<Vec<u8>> {
            let simulation = Simulation::parse(&spec("{a},{b}", &["a", "b"]), seed).unwrap();
            (0..100).map(|number| simulation.line(number)).collect()
        };
        assert_eq!(said(7), said(7));
        assert_ne!(said(7), said(8));
        for line in said(7) {
            for value in String::from_utf8(line).unwrap().split(',') {
                let value: f64 = value.parse().unwrap();
                assert!((1.7..=2.9).contains(&value), "{value}");
            }
        }
    }

    #[test]
    fn a_simulator_that_can_not_be_is_told() {
        let refuse = |spec| Simulation::parse(&spec, 0).unwrap_err();
        assert_eq!(refuse(spec("{a}", &[])), SimulationError::UnknownValue("a".to_owned()));
        assert_eq!(refuse(spec("x", &["a"])), SimulationError::UnusedValue("a".to_owned()));
        assert_eq!(refuse(spec("{n}", &["n"])), SimulationError::UnusedValue("n".to_owned()));
        assert_eq!(refuse(spec("", &[])), SimulationError::Length(0));
        assert_eq!(refuse(SimulationSpec { every_ms: 0, ..spec("x", &[]) }), SimulationError::NoInterval);
        let mut still = spec("{a}", &["a"]);
        still.values.insert("a".to_owned(), Wave { period_s: 0.0, ..wave() });
        assert_eq!(refuse(still), SimulationError::BadWave("a".to_owned()));
    }
}
