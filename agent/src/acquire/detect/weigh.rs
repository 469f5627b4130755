//! What speaks for a profile: the daemon's own station reads what was heard, and its frames are counted.

use std::fmt::Write as _;

use instruments::{End, Ignored, Mechanics, Note, SampleValue, SpecError};
use model::{Clock, Quality, Reading, Record, Stamp, Timestamp, Value};

use super::super::station::Station;
use super::super::trial::watched;
use super::proof;
use crate::config::InstrumentConfig;

/// Frames of which the proof is weighed: the best of them counts.
const WEIGHED_MAX: u32 = 3;

/// One frame of so much proof is enough.
const STRONG: u32 = 30;
/// Three of so much, also among many that are refused.
const FAIR: u32 = 24;
/// Three of so much, and most of all frames.
const FAINT: u32 = 18;

/// Frames that make a profile conclusive.
const ENOUGH: u64 = 3;

/// What was heard, as one profile reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Frames whole, checked where there is a check, and with plausible values.
    pub good: u64,
    /// Frames with a value out of its `valid` range.
    pub doubtful: u64,
    /// Frames refused.
    pub refused: u64,
    /// Frames that were neither data nor error.
    pub ignored: u64,
    /// How much a frame proves, in bits; see `proof`.
    pub proof: u32,
    /// What the last good frame said: `water_depth 2.3 m`.
    pub said: Vec<String>,
    /// The last good frame.
    pub frame: Vec<u8>,
    /// It was said to a question.
    pub is_answer: bool,
}

impl Evidence {
    /// Whether the profile is this instrument's, beyond what chance or another instrument's lines would give.
    pub fn is_proof(&self) -> bool {
        let is_plausible = self.doubtful.saturating_mul(2) <= self.good;
        let is_enough = match self.proof {
            FAINT.. if self.is_answer => self.good >= 1 && self.refused == 0,
            STRONG.. => self.good >= 1,
            FAIR.. => self.good >= ENOUGH && self.good.saturating_mul(10) >= self.all(),
            FAINT.. => self.good >= ENOUGH && self.is_most(),
            _ => false,
        };
        is_plausible && is_enough
    }

    /// Whether the profile reads most of it: the instrument may be this one, or any other that says the like.
    pub fn is_possible(&self) -> bool {
        self.good >= 2 && self.is_most()
    }

    /// Whether no more of the same would change anything.
    pub fn is_conclusive(&self) -> bool {
        self.is_proof() && self.good >= ENOUGH
    }

    /// What orders profiles that fit: the best is the greatest.
    pub fn weight(&self) -> (u32, u64, usize) {
        (self.proof.min(proof::CHECKED), self.good, self.said.len())
    }

    /// Frames that say something about the profile; the first refused one may have been heard from its middle on.
    fn all(&self) -> u64 {
        self.good + self.doubtful + self.refused.saturating_sub(1)
    }

    fn is_most(&self) -> bool {
        self.good.saturating_mul(2) >= self.all()
    }
}

/// A profile on the scales.
pub struct Weigher {
    pub(super) station: Station,
    evidence: Evidence,
    weighed: u32,
    is_open: bool,
}

impl Weigher {
    /// Nothing heard yet. `init` is left out: it is never said here.
    pub fn try_new(mut config: InstrumentConfig) -> Result<Self, SpecError> {
        if let Mechanics::Poll(poll) = &mut config.protocol.mechanics {
            poll.init.clear();
        }
        Ok(Self { station: watched(config)?, evidence: Evidence::default(), weighed: 0, is_open: false })
    }

    /// What comes is said to a question; `is_open`: by a unit that has registers everywhere.
    pub fn asks(&mut self, is_open: bool) {
        self.evidence.is_answer = true;
        self.is_open = is_open;
    }

    /// What speaks for it so far.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Takes what was heard at `mono_ms`; nothing: it was quiet up to then.
    pub fn hear(&mut self, bytes: &[u8], mono_ms: u64) {
        if bytes.is_empty() {
            if self.station.silence_ends_at(mono_ms).is_some_and(|at| at <= mono_ms) {
                self.receive(&[], mono_ms);
            }
            return;
        }
        // Byte by byte, so that the readings are known to be of the frame that just ended.
        for byte in bytes {
            self.receive(std::slice::from_ref(byte), mono_ms);
        }
    }

    fn receive(&mut self, bytes: &[u8], mono_ms: u64) {
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Untrusted };
        let mut records = Vec::new();
        self.station.receive(bytes, at, &mut records);
        if self.station.output().notes.is_empty() {
            return;
        }
        let notes = self.station.output().notes.clone();
        let readings: Vec<Reading> = records
            .into_iter()
            .filter_map(|record| if let Record::Reading(reading) = record { Some(reading) } else { None })
            .collect();
        for note in notes {
            self.take(&note, &readings);
        }
    }

    fn take(&mut self, note: &Note, readings: &[Reading]) {
        let evidence = &mut self.evidence;
        let samples = match &note.end {
            End::Refused(_) => {
                evidence.refused += 1;
                return;
            }
            // Overheard between others, or an echo of what was asked: no frame of the instrument's.
            End::Ignored(Ignored::NoAnswer | Ignored::NotAsked) => return,
            End::Ignored(_) => {
                evidence.ignored += 1;
                return;
            }
            End::Taken { samples, .. } => samples,
        };
        if samples.iter().all(|sample| sample.value == SampleValue::Missing) {
            evidence.ignored += 1;
            return;
        }
        let is_beyond = readings.iter().any(|reading| reading.quality == Quality::Fail || is_minute(&reading.value));
        if is_beyond {
            evidence.doubtful += 1;
            return;
        }
        evidence.good += 1;
        evidence.frame.clone_from(&note.frame);
        let said: Vec<String> = readings.iter().filter_map(said).collect();
        if let Mechanics::ModbusRtu(spec) = &self.station.config().protocol.mechanics {
            // Its answers are the parts of one.
            evidence.proof += proof::of_registers(spec, samples, self.is_open);
            evidence.said.extend(said);
            return;
        }
        evidence.said = said;
        if self.weighed < WEIGHED_MAX {
            self.weighed += 1;
            evidence.proof = evidence.proof.max(proof::of(self.station.config(), &note.frame));
        }
    }
}

/// Bits that are no floating point number, read as one.
fn is_minute(value: &Value) -> bool {
    matches!(value, Value::Number(number) if *number != 0.0 && number.abs() < 1e-9)
}

fn said(reading: &Reading) -> Option<String> {
    let mut text = format!("{} ", reading.series.quantity);
    match &reading.value {
        Value::Number(number) => write!(text, "{number} {}", reading.series.unit),
        Value::Text(words) => write!(text, "{words}"),
        Value::Missing => return None,
    }
    .ok()?;
    Some(text.trim_end().to_owned())
}
