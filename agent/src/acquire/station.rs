//! One instrument on its bus: decoder, calibration, judges, what is derived, and counters. Bytes in, records out.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use instruments::{Output, Protocol, Refused, Sample, SampleValue, SpecError, Standing, Step};
use model::{Event, EventKind, Quality, Reading, Record, Stamp, Value};
use tracing::warn;

use super::derive::Derivations;
use super::judge::{Judge, Verdict};
use crate::config::{InstrumentConfig, QuantityConfig};
use crate::telemetry::health::{InstrumentHealth, LastValue};

/// At most one `frame-rejected` event an instrument in this time: a wrong baud rate must not fill the journal.
const REJECTED_EVENT_EVERY_MS: u64 = 60_000;

/// Of a refused frame, so much is shown in `status`: what tells one protocol from another, on one line of a screen.
const SHOWN_BYTES_MAX: usize = 32;

/// An instrument being listened to.
pub struct Station {
    config: InstrumentConfig,
    protocol: Box<dyn Protocol>,
    /// One a quantity, in the order of the fields and then of what is derived.
    judges: Vec<Judge>,
    derivations: Derivations,
    output: Output,
    health: Arc<InstrumentHealth>,
    next_rejected_event_ms: u64,
    refused_since_event: u64,
}

impl Station {
    /// A station for an instrument whose protocol was bound when the configuration was checked.
    pub fn new(config: InstrumentConfig, health: Arc<InstrumentHealth>) -> Self {
        let protocol = bind(&config);
        let judges = config.quantities.iter().map(Judge::new).collect();
        let derivations = Derivations::new(&config.quantities);
        Self {
            config,
            protocol,
            judges,
            derivations,
            output: Output::default(),
            health,
            next_rejected_event_ms: 0,
            refused_since_event: 0,
        }
    }

    /// The same, with a note of what became of each frame: for a trial.
    pub fn watched(config: InstrumentConfig, health: Arc<InstrumentHealth>) -> Result<Self, SpecError> {
        let protocol = instruments::bind_watched(&config.protocol, &config.fields())?;
        Ok(Self { protocol, ..Self::new(config, health) })
    }

    /// What the last bytes came to, but for the samples, which are readings by now.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The instrument's health.
    pub fn health(&self) -> &InstrumentHealth {
        &self.health
    }

    /// Whether its health is this one: then it is the same instrument, configured the same.
    pub fn is_of(&self, health: &Arc<InstrumentHealth>) -> bool {
        Arc::ptr_eq(&self.health, health)
    }

    /// The instrument's configuration.
    pub fn config(&self) -> &InstrumentConfig {
        &self.config
    }

    /// Forgets half a frame that will never be finished.
    pub fn reset(&mut self) {
        self.protocol = bind(&self.config);
        self.judges.iter_mut().for_each(Judge::forget);
        self.derivations.forget();
    }

    /// The line was talking when it was opened: what comes first may be the tail of a frame.
    pub fn distrust_first_frame(&mut self) {
        self.protocol.resync();
    }

    /// Begins a turn.
    pub fn begin(&mut self, now_mono_ms: u64) {
        self.protocol.begin(now_mono_ms);
    }

    /// Whether the instrument must be set up.
    pub fn wants_turn(&self) -> bool {
        self.protocol.wants_turn()
    }

    /// What is to be done for it now.
    pub fn next(&mut self, now_mono_ms: u64) -> Step {
        self.protocol.next(now_mono_ms)
    }

    /// When silence ends the frame that an instrument that talks by itself is in the middle of.
    pub fn silence_ends_at(&mut self, now_mono_ms: u64) -> Option<u64> {
        if self.config.every.is_some() || self.protocol.wants_turn() {
            return None;
        }
        match self.protocol.next(now_mono_ms) {
            Step::Idle { until_mono_ms } => until_mono_ms,
            _ => None,
        }
    }

    /// Takes bytes off the wire; what they say is added to `records`.
    pub fn receive(&mut self, bytes: &[u8], at: Stamp, records: &mut Vec<Record>) {
        self.output.clear();
        self.protocol.receive(bytes, at, &mut self.output);
        self.take_readings(at, records);
        self.take_refused(at, records);
    }

    /// Its turn is over: what was not said in it will not be.
    pub fn end_turn(&mut self, records: &mut Vec<Record>) {
        self.conclude(records);
    }

    fn take_readings(&mut self, at: Stamp, records: &mut Vec<Record>) {
        let Some(last) = self.output.samples.last() else { return };
        self.health.last_reading_at.store(last.at.time.as_millis(), Ordering::Relaxed);
        self.health.last_reading_mono_ms.store(at.mono_ms, Ordering::Relaxed);
        let is_asked = self.config.every.is_some();
        let mut samples = std::mem::take(&mut self.output.samples);
        let (mut frame, mut derived) = (0, Vec::new());
        for sample in samples.drain(..) {
            if !is_asked && sample.frame != frame {
                self.conclude(records);
            }
            frame = sample.frame;
            let mut reading = reading(&self.config.quantities[sample.field], &sample);
            let verdict = self.judges[sample.field].judge(&mut reading);
            self.derivations.take(sample.field, &reading, &mut derived);
            self.tell(sample.field, reading, verdict, records);
            self.tell_derived(&mut derived, records);
        }
        if !is_asked {
            self.conclude(records);
        }
        self.output.samples = samples;
    }

    fn conclude(&mut self, records: &mut Vec<Record>) {
        let mut derived = Vec::new();
        self.derivations.conclude(&mut derived);
        self.tell_derived(&mut derived, records);
    }

    fn tell_derived(&mut self, derived: &mut Vec<(usize, Reading)>, records: &mut Vec<Record>) {
        for (index, mut reading) in derived.drain(..) {
            let verdict = self.judges[index].judge(&mut reading);
            self.tell(index, reading, verdict, records);
        }
    }

    /// A reading that was judged: into health, and into the records where it is reported.
    fn tell(&mut self, index: usize, reading: Reading, verdict: Verdict, records: &mut Vec<Record>) {
        let Verdict { event, is_reported } = verdict;
        self.health.readings_total.fetch_add(1, Ordering::Relaxed);
        let last = LastValue { time: reading.stamp.time, value: reading.value.clone(), quality: reading.quality };
        self.health.values.lock()[index] = Some(last);
        if is_reported {
            records.push(Record::Reading(reading));
        }
        if let Some(event) = event {
            warn!(instrument = %self.config.id, facts = ?event.facts, "{}", event.kind.as_str());
            records.push(Record::Event(Box::new(event)));
        }
    }

    fn take_refused(&mut self, at: Stamp, records: &mut Vec<Record>) {
        let count = self.output.counts.refused;
        if count == 0 {
            return;
        }
        self.health.frames_refused_total.fetch_add(count, Ordering::Relaxed);
        self.refused_since_event += count;
        self.count_refused(count, at.mono_ms);
        let Some(refused) = self.output.refused.first() else { return };
        self.health.last_error.set(Some(format!("frame refused: {}", refused.why)));
        if at.mono_ms < self.next_rejected_event_ms {
            return;
        }
        warn!(instrument = %self.config.id, why = %refused.why, frame = %printable(&refused.frame), "frame refused");
        records.push(Record::Event(Box::new(self.rejected_event(refused))));
        self.next_rejected_event_ms = at.mono_ms + REJECTED_EVENT_EVERY_MS;
        self.refused_since_event = 0;
    }

    fn count_refused(&self, count: u64, mono_ms: u64) {
        let mut refused = self.health.frames_refused.lock();
        refused.count(count, mono_ms);
        if let Some(last) = self.output.refused.last() {
            refused.last_hex = Some(hex(&last.frame[..last.frame.len().min(SHOWN_BYTES_MAX)]));
        }
    }

    fn rejected_event(&self, refused: &Refused) -> Event {
        Event::new(refused.at, EventKind::FrameRejected)
            .of(&self.config.id)
            .with("why", refused.why.to_string())
            .with("frame_hex", hex(&refused.frame))
            .with("frame_bytes", u64::try_from(refused.len).unwrap_or(u64::MAX))
            .with("frames_refused", self.refused_since_event)
    }
}

fn bind(config: &InstrumentConfig) -> Box<dyn Protocol> {
    instruments::bind(&config.protocol, &config.fields()).expect("bound once when the configuration was checked")
}

/// Scale and offset: a sample becomes a reading.
fn reading(quantity: &QuantityConfig, sample: &Sample) -> Reading {
    let (value, quality) = match &sample.value {
        SampleValue::Missing => (Value::Missing, Quality::Missing),
        SampleValue::Text(text) => (Value::Text(text.clone()), Quality::NotEvaluated),
        SampleValue::Number(raw) => number(quantity, *raw),
    };
    let quality = match (sample.standing, quality) {
        (Standing::Bad, Quality::Pass | Quality::Suspect | Quality::NotEvaluated) => Quality::Fail,
        (Standing::Suspect, Quality::Pass | Quality::NotEvaluated) => Quality::Suspect,
        (_, quality) => quality,
    };
    Reading { stamp: sample.at, series: quantity.series.clone(), value, quality }
}

/// Quality is the judge's to say.
fn number(quantity: &QuantityConfig, raw: f64) -> (Value, Quality) {
    let value = raw * quantity.scale + quantity.offset;
    if value.is_finite() { (Value::Number(value), Quality::NotEvaluated) } else { (Value::Missing, Quality::Missing) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
