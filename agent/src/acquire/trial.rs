//! One instrument by itself, watched: what is sent, what frames, what a check says, what becomes a reading.
//!
//! The station, its protocol and its judges are those of the daemon; a trial only feeds them a byte at a time and
//! writes down what came of it. As no cut of the bytes changes what is decoded, a byte at a time is as good as any; and
//! as a stamp is handed through as it is, its wall time serves to number the bytes: a frame says where it began.
//!
//! A file has no times. An instrument that talks is simply heard. One that is asked is asked, and the bytes are what it
//! answers: whenever its protocol waits for an answer it is given the next bytes, and no more than it needs. `init` is
//! left out, since a capture seldom has its answers. Modbus answers do not say which registers they hold: they are
//! taken in the order of the questions. What time would judge (`rate`, `flat`) is not judged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use instruments::{Mechanics, Note, Sample, SpecError, Step, Turn};
use model::{Clock, Event, EventKind, Reading, Record, Stamp, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_serial::SerialStream;

use super::line::{Action, Line};
use super::port;
use super::station::Station;
use crate::config::{BusConfig, InstrumentConfig};
use crate::telemetry::health::InstrumentHealth;

/// What is seen, in its order. Offsets count the bytes heard, from 0.
#[derive(Debug)]
pub enum Sight {
    /// These bytes go out, or would.
    Sent(Vec<u8>),
    /// The line is held in a break, or would be.
    Break,
    /// Bytes that belong to no frame.
    Skipped {
        /// Where they begin.
        from: usize,
        /// What they are.
        bytes: Vec<u8>,
    },
    /// A frame, and what became of it.
    Frame {
        /// Where it begins.
        from: usize,
        /// What was done with it.
        note: Note,
        /// Its values, as they are judged.
        values: Vec<Judged>,
    },
    /// A reading that no frame said: reckoned from others.
    Derived(Reading),
    /// An alarm, or the end of one.
    Alarm(Event),
    /// A turn of an instrument that is asked is over.
    Turn(Turn),
    /// The bytes ended while this was waited for: an answer, or the end of a frame.
    Unfinished {
        /// Where what is there of it begins.
        from: usize,
        /// What is there of it.
        bytes: Vec<u8>,
    },
}

/// A value and what was thought of it.
#[derive(Debug)]
pub struct Judged {
    /// What the instrument said.
    pub sample: Sample,
    /// What became of it; none: it is not worth a reading (report by exception, said again).
    pub reading: Option<Reading>,
}

/// What it all came to, by the daemon's own counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes heard.
    pub bytes: u64,
    /// Frames found.
    pub frames: u64,
    /// Frames that were neither data nor error.
    pub ignored: u64,
    /// Frames refused.
    pub refused: u64,
    /// Values taken.
    pub samples: u64,
    /// Bytes that belong to no frame.
    pub skipped: u64,
}

/// An instrument on trial.
pub struct Trial {
    station: Station,
    heard: Vec<u8>,
    /// Up to where the bytes are told.
    told: usize,
    totals: Totals,
    see: Box<dyn FnMut(Sight)>,
}

/// The last of a conversation that is a file: no byte is left, or the protocol is through with the turn.
enum Pause {
    Over,
    OutOfBytes,
}

impl Trial {
    /// A trial of the instrument; everything seen is handed to `see` as it happens.
    pub fn try_new(mut config: InstrumentConfig, see: impl FnMut(Sight) + 'static) -> Result<Self, SpecError> {
        if let Mechanics::Poll(poll) = &mut config.protocol.mechanics {
            poll.init.clear();
        }
        Self::with_init(config, see)
    }

    fn with_init(config: InstrumentConfig, see: impl FnMut(Sight) + 'static) -> Result<Self, SpecError> {
        let station = watched(config)?;
        Ok(Self { station, heard: Vec::new(), told: 0, totals: Totals::default(), see: Box::new(see) })
    }

    /// Runs the bytes of a file through.
    pub fn replay(mut self, bytes: &[u8]) -> Totals {
        let mut now = 0;
        if self.station.config().every.is_none() {
            self.hear_all(bytes, now);
            // The end of a file is a silence, to those whom silence ends a frame.
            if let Some(until_mono_ms) = self.station.silence_ends_at(now) {
                now = until_mono_ms;
                self.hear(&[], now);
            }
        } else {
            let mut left = bytes;
            while left.iter().any(|byte| !is_line_end(*byte)) {
                let before = left.len();
                let pause = self.answer(&mut left, &mut now);
                if matches!(pause, Pause::OutOfBytes) || left.len() == before {
                    break;
                }
            }
            self.hear_all(left, now);
        }
        self.finish()
    }

    /// One turn, answered from the bytes that are left.
    fn answer(&mut self, left: &mut &[u8], now: &mut u64) -> Pause {
        self.station.begin(*now);
        let mut due = None;
        loop {
            match self.station.next(*now) {
                Step::Send(bytes) => {
                    due = None;
                    (self.see)(Sight::Sent(bytes));
                }
                Step::Break => (self.see)(Sight::Break),
                Step::Pause { until_mono_ms } => *now = until_mono_ms,
                Step::Wait { until_mono_ms } => {
                    let is_measuring = *due.get_or_insert(until_mono_ms) != until_mono_ms && self.is_sdi12();
                    if is_measuring && !is_service_request(left) {
                        *now = until_mono_ms;
                        continue;
                    }
                    let Some((byte, rest)) = left.split_first() else { return Pause::OutOfBytes };
                    *left = rest;
                    self.hear(&[*byte], *now);
                    // Deadlines are told apart by when they were set; nothing here takes as long as one.
                    *now += u64::from(*byte == b'\n');
                }
                Step::Idle { .. } => return Pause::Over,
                Step::Done(turn) => {
                    self.end_turn(turn);
                    return Pause::Over;
                }
            }
        }
    }

    fn is_sdi12(&self) -> bool {
        matches!(self.station.config().protocol.mechanics, Mechanics::Sdi12(_))
    }

    fn hear_all(&mut self, bytes: &[u8], mono_ms: u64) {
        for byte in bytes {
            self.hear(&[*byte], mono_ms);
        }
    }

    /// Gives a byte, or silence, to the station, and sees what came of them.
    fn hear(&mut self, bytes: &[u8], mono_ms: u64) {
        let offset = i64::try_from(self.heard.len()).unwrap_or(i64::MAX);
        let at = Stamp { time: Timestamp::from_millis(offset), mono_ms, clock: Clock::Untrusted };
        self.heard.extend_from_slice(bytes);
        let mut records = Vec::new();
        self.station.receive(bytes, at, &mut records);
        let output = self.station.output();
        let (counts, notes) = (output.counts, output.notes.clone());
        self.totals.frames += counts.frames;
        self.totals.ignored += counts.ignored;
        self.totals.refused += counts.refused;
        let (mut readings, alarms) = part(records);
        for note in notes {
            self.tell(note, &mut readings);
        }
        self.conclude(readings, alarms);
    }

    /// A turn is over; what was to be reckoned from all of its answers is now.
    fn end_turn(&mut self, turn: Turn) {
        let mut records = Vec::new();
        self.station.end_turn(&mut records);
        let (readings, alarms) = part(records);
        self.conclude(readings, alarms);
        (self.see)(Sight::Turn(turn));
    }

    /// What is left was reckoned from others, not said.
    fn conclude(&mut self, readings: Vec<Reading>, alarms: Vec<Event>) {
        for reading in readings {
            (self.see)(Sight::Derived(reading));
        }
        for event in alarms {
            (self.see)(Sight::Alarm(event));
        }
    }

    fn tell(&mut self, note: Note, readings: &mut Vec<Reading>) {
        let end = self.heard.len();
        let from = match self.station.config().protocol.mechanics {
            // What is stamped there is the first byte since the request, which may be a stray one.
            Mechanics::ModbusRtu(_) => end.saturating_sub(note.len),
            _ => usize::try_from(note.at.time.as_millis()).unwrap_or(end),
        };
        let from = from.clamp(self.told, end);
        self.skip_to(from);
        self.told = if note.frame.len() == note.len { end } else { (from + note.frame.len()).min(end) };
        let samples = match &note.end {
            instruments::End::Taken { samples, .. } => samples.clone(),
            _ => Vec::new(),
        };
        self.totals.samples += u64::try_from(samples.len()).unwrap_or(u64::MAX);
        let quantities = &self.station.config().quantities;
        let judged = |sample: Sample| {
            let series = &quantities[sample.field].series;
            let index = readings.iter().position(|reading| Arc::ptr_eq(&reading.series, series));
            Judged { sample, reading: index.map(|index| readings.remove(index)) }
        };
        let values = samples.into_iter().map(judged).collect();
        (self.see)(Sight::Frame { from, note, values });
    }

    /// Tells of the bytes before the next frame that belong to none.
    fn skip_to(&mut self, from: usize) {
        let (from, bytes) = bare(self.told, &self.heard[self.told..from]);
        if !bytes.is_empty() {
            self.totals.skipped += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (self.see)(Sight::Skipped { from, bytes });
        }
    }

    fn finish(mut self) -> Totals {
        let (from, bytes) = bare(self.told, &self.heard[self.told..]);
        if !bytes.is_empty() {
            (self.see)(Sight::Unfinished { from, bytes });
        }
        self.totals.bytes = u64::try_from(self.heard.len()).unwrap_or(u64::MAX);
        self.totals
    }
}

/// A station by itself, that notes what becomes of each frame.
pub(super) fn watched(config: InstrumentConfig) -> Result<Station, SpecError> {
    let quantity =
        |quantity: &crate::config::QuantityConfig| (quantity.series.quantity.to_string(), quantity.series.unit.clone());
    let quantities = config.quantities.iter().map(quantity).collect();
    let health = Arc::new(InstrumentHealth::new(config.id.clone(), config.bus.clone(), quantities));
    Station::watched(config, health)
}

/// Readings, and alarms; refusals are told where they stand.
fn part(records: Vec<Record>) -> (Vec<Reading>, Vec<Event>) {
    let (mut readings, mut alarms) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Reading(reading) => readings.push(reading),
            Record::Event(event) if event.kind != EventKind::FrameRejected => alarms.push(*event),
            Record::Event(_) => {}
        }
    }
    (readings, alarms)
}

/// Without the ends of lines around: they are between frames and nothing to tell of.
fn bare(from: usize, bytes: &[u8]) -> (usize, Vec<u8>) {
    let first = bytes.iter().position(|byte| !is_line_end(*byte)).unwrap_or(bytes.len());
    let last = bytes.iter().rposition(|byte| !is_line_end(*byte)).map_or(first, |last| last + 1);
    (from + first, bytes[first..last].to_vec())
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// SDI-12 v1.4 §4.4.6: an address alone.
fn is_service_request(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.len() < bytes.len() && line.trim_ascii().len() == 1
}

/// Listens to the instrument on its port, or asks it once, for at most `limit`. The bus has this one instrument.
pub async fn converse(bus: &BusConfig, limit: Duration, see: impl FnMut(Sight) + 'static) -> anyhow::Result<Totals> {
    let Some(config) = bus.instruments.first() else { anyhow::bail!("there is no instrument on the bus") };
    let mut port = port::open(bus)?;
    let mut trial = Trial::with_init(config.clone(), see)?;
    let mut line = Line::new(bus);
    let began = Instant::now();
    let elapsed_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_asked = config.every.is_some();
    let mut buffer = [0; 4096];
    line.open(0);
    while began.elapsed() < limit {
        let now = elapsed_ms();
        let action = line.next(std::slice::from_mut(&mut trial.station), now);
        match action {
            Action::Listen { until_mono_ms } => {
                let silence_ms = trial.station.silence_ends_at(now);
                let until_mono_ms = until_mono_ms.into_iter().chain(silence_ms).min().unwrap_or(u64::MAX);
                let wait = Duration::from_millis(until_mono_ms.saturating_sub(now));
                let wait = wait.min(limit.saturating_sub(began.elapsed()));
                let count = read(&mut port, &mut buffer, wait).await?;
                if count > 0 {
                    line.heard(elapsed_ms());
                    trial.hear_all(&buffer[..count], elapsed_ms());
                } else if silence_ms.is_some_and(|at| at <= elapsed_ms()) {
                    trial.hear(&[], elapsed_ms());
                }
            }
            Action::Write(bytes) => {
                // What came up to now is no answer to this.
                let count = read(&mut port, &mut buffer, Duration::ZERO).await?;
                trial.hear_all(&buffer[..count], elapsed_ms());
                port.write_all(&bytes).await?;
                line.wrote(bytes.len(), elapsed_ms());
                (trial.see)(Sight::Sent(bytes));
            }
            Action::Break => {
                port::make_break(&port).await?;
                (trial.see)(Sight::Break);
            }
            Action::End { turn, .. } => {
                trial.end_turn(turn);
                if is_asked && !trial.station.wants_turn() {
                    break;
                }
            }
        }
    }
    Ok(trial.finish())
}

/// Reads what comes within `wait`; nothing: 0.
pub(super) async fn read(port: &mut SerialStream, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
    match tokio::time::timeout(wait, port.read(buffer)).await {
        Ok(Ok(0)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the port was closed")),
        Ok(read) => read,
        Err(_quiet) => Ok(0),
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
