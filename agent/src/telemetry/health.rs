//! The health of every part, written by its owner and read by `control`: counters and last words, never data's way.
//!
//! Each part has one writer. Locks are held for a copy and never across an await.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use model::{BusId, InstrumentId, Quality, SinkId, Timestamp, Value};

/// A value under a lock that outlives a panic of its writer: health is shown as it last was.
#[derive(Debug, Default)]
pub struct Shown<T>(Mutex<T>);

impl<T> Shown<T> {
    /// A value to show.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the value.
    pub fn set(&self, value: T) {
        *self.lock() = value;
    }
}

impl<T: Clone> Shown<T> {
    /// A copy.
    pub fn get(&self) -> T {
        self.lock().clone()
    }
}

/// Health of everything.
#[derive(Debug)]
pub struct Health {
    /// One an instrument, in the order of the configuration.
    pub instruments: Shown<Vec<Arc<InstrumentHealth>>>,
    /// One a sink.
    pub sinks: Shown<Vec<Arc<SinkHealth>>>,
    /// The journal's.
    pub journal: Arc<JournalHealth>,
    /// What became of the revision that was asked for last.
    pub remote: Shown<Option<RemoteHealth>>,
}

/// What became of a revision of the configuration that came from afar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteHealth {
    /// Its name.
    pub revision: String,
    /// `pending`, `applied`, `rejected` or `rolled-back`.
    pub status: String,
    /// Why not, in words.
    pub errors: Vec<String>,
}

/// Whether an instrument's port is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortState {
    /// Not opened yet, or lost.
    Closed,
    /// Open.
    Open,
}

/// The last value of a quantity.
#[derive(Debug, Clone)]
pub struct LastValue {
    /// When.
    pub time: Timestamp,
    /// What.
    pub value: Value,
    /// How good.
    pub quality: Quality,
}

/// Frames that were no reading: how many lately, and the last one.
#[derive(Debug, Clone, Default)]
pub struct RefusedFrames {
    /// Of the minute under way and the one before.
    counts: [u64; 2],
    /// When the minute under way began, by the boot's clock.
    began_ms: u64,
    /// The last one, in hex.
    pub last_hex: Option<String>,
}

const MINUTE_MS: u64 = 60_000;

impl RefusedFrames {
    /// Counts frames.
    pub fn count(&mut self, frames: u64, mono_ms: u64) {
        let minutes = mono_ms.saturating_sub(self.began_ms) / MINUTE_MS;
        if minutes > 0 {
            self.counts = [0, if minutes == 1 { self.counts[0] } else { 0 }];
            self.began_ms += minutes * MINUTE_MS;
        }
        self.counts[0] += frames;
    }

    /// How many there were in the last minute: of the one before, the share that is not a minute ago yet.
    pub fn per_minute(&self, mono_ms: u64) -> u64 {
        let mut now = self.clone();
        now.count(0, mono_ms);
        let passed = mono_ms.saturating_sub(now.began_ms);
        now.counts[0] + now.counts[1] * (MINUTE_MS - passed.min(MINUTE_MS)) / MINUTE_MS
    }
}

/// Health of one instrument.
#[derive(Debug)]
pub struct InstrumentHealth {
    /// Its name.
    pub id: InstrumentId,
    /// Its line.
    pub bus: BusId,
    /// Names and units of its quantities, in the order of `values`.
    pub quantities: Vec<(String, String)>,
    /// Its port.
    pub port: Shown<PortState>,
    /// Readings taken.
    pub readings_total: AtomicU64,
    /// Frames that were no reading.
    pub frames_refused_total: AtomicU64,
    /// More about them.
    pub frames_refused: Shown<RefusedFrames>,
    /// Readings that found the journal's door full.
    pub readings_overrun_total: AtomicU64,
    /// Polls that nothing answered.
    pub polls_failed_total: AtomicU64,
    /// Polls that were due and did not run, because the bus was still at the one before.
    pub polls_skipped_total: AtomicU64,
    /// Whether it has not answered for so many polls that it is down.
    pub is_unanswering: AtomicBool,
    /// Nothing for so long, in milliseconds: silent.
    pub silent_after_ms: AtomicU64,
    /// When the last reading was taken, by the boot's clock; 0: never.
    pub last_reading_mono_ms: AtomicU64,
    /// When the last reading was taken, by wall time.
    pub last_reading_at: AtomicI64,
    /// The last thing that went wrong.
    pub last_error: Shown<Option<String>>,
    /// The last value of each quantity.
    pub values: Shown<Vec<Option<LastValue>>>,
}

/// What an instrument is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstrumentState {
    /// Readings come.
    Up,
    /// The port is open and nothing comes.
    Silent,
    /// Bytes come and none of them decodes: a wrong baud rate or profile.
    Garbled,
    /// The port is not there or can not be opened.
    Down,
}

impl InstrumentState {
    /// The word in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstrumentState::Up => "up",
            InstrumentState::Silent => "silent",
            InstrumentState::Garbled => "garbled",
            InstrumentState::Down => "down",
        }
    }
}

/// An instrument that said nothing for so long is silent. Longer than the slowest usual interval of a streaming
/// instrument, ten minutes on weather packages in power-saving mode being the exception.
const SILENT_AFTER_MS: u64 = 300_000;

impl InstrumentHealth {
    /// Health of an instrument that has not been heard yet.
    pub fn new(id: InstrumentId, bus: BusId, quantities: Vec<(String, String)>) -> Self {
        let values = Shown::new(vec![None; quantities.len()]);
        Self {
            id,
            bus,
            quantities,
            port: Shown::new(PortState::Closed),
            readings_total: AtomicU64::new(0),
            frames_refused_total: AtomicU64::new(0),
            frames_refused: Shown::default(),
            readings_overrun_total: AtomicU64::new(0),
            polls_failed_total: AtomicU64::new(0),
            polls_skipped_total: AtomicU64::new(0),
            is_unanswering: AtomicBool::new(false),
            silent_after_ms: AtomicU64::new(SILENT_AFTER_MS),
            last_reading_mono_ms: AtomicU64::new(0),
            last_reading_at: AtomicI64::new(0),
            last_error: Shown::new(None),
            values,
        }
    }

    /// An instrument that is asked every so often is not silent in between.
    pub fn asked_every(&self, every_ms: u64) {
        self.silent_after_ms.store(every_ms.saturating_mul(3).max(SILENT_AFTER_MS), Ordering::Relaxed);
    }

    /// What it is doing.
    pub fn state(&self, mono_ms: u64) -> InstrumentState {
        if self.port.get() == PortState::Closed {
            return InstrumentState::Down;
        }
        if self.is_unanswering.load(Ordering::Relaxed) {
            let is_answered = self.frames_refused.lock().per_minute(mono_ms) > 0;
            return if is_answered { InstrumentState::Garbled } else { InstrumentState::Silent };
        }
        let last = self.last_reading_mono_ms.load(Ordering::Relaxed);
        if last > 0 && mono_ms.saturating_sub(last) < self.silent_after_ms.load(Ordering::Relaxed) {
            return InstrumentState::Up;
        }
        match self.frames_refused_total.load(Ordering::Relaxed) {
            0 => InstrumentState::Silent,
            _ => InstrumentState::Garbled,
        }
    }
}

/// What a sink is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkState {
    /// Nothing to send, or sending.
    Ok,
    /// The far side does not answer or does not want it now; trying again.
    Retrying,
    /// The month's budget is spent: alarms alone go.
    Spent,
    /// Stopped for good: a person must act.
    Failed,
}

impl SinkState {
    /// The word in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SinkState::Ok => "ok",
            SinkState::Retrying => "retrying",
            SinkState::Spent => "spent",
            SinkState::Failed => "failed",
        }
    }
}

/// Health of one sink.
#[derive(Debug)]
pub struct SinkHealth {
    /// Its name.
    pub id: SinkId,
    /// Its kind.
    pub kind: &'static str,
    /// What it is doing.
    pub state: Shown<SinkState>,
    /// Records the far side has confirmed, in this run.
    pub delivered_total: AtomicU64,
    /// Batches that are set aside.
    pub quarantined_batches: AtomicU64,
    /// All below is confirmed, as far as the cursor on disk knows: what retention believes.
    pub drained: AtomicU64,
    /// Positions confirmed, since the journal began: what lag is counted from.
    pub confirmed: AtomicU64,
    /// Time of the oldest record that is not confirmed, in milliseconds; 0: none is waiting.
    pub oldest_waiting_at: AtomicI64,
    /// When the far side last said yes, in milliseconds; 0: never.
    pub last_success_at: AtomicI64,
    /// Whether records wait for the clock to be set.
    pub is_held: AtomicBool,
    /// The last thing that went wrong.
    pub last_error: Shown<Option<String>>,
    /// The version of MQTT that the last connection spoke; `None`: there was none.
    pub protocol: Shown<Option<&'static str>>,
    /// How it is secured; `None`: it is not TLS, or not ours to see.
    pub tls: Shown<Option<TlsHealth>>,
    /// The credentials that are given to us for a while; `None`: they are not.
    pub credentials: Shown<Option<CredentialsHealth>>,
    /// What a store makes of a put that must not overwrite; `None`: not seen yet.
    pub conditional: Shown<Option<Conditional>>,
}

/// The credentials that are given to us for a while.
#[derive(Debug, Clone, Default)]
pub struct CredentialsHealth {
    /// Until when those that we hold are valid, as their giver says; `None`: we hold none.
    pub not_after: Option<Timestamp>,
    /// Why there are no fresh ones.
    pub problem: Option<String>,
}

/// What a store makes of `If-None-Match: *`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditional {
    /// It says 412.
    Honoured,
    /// It overwrites: with the same bytes, for they are sealed.
    Ignored,
    /// It does not take a put that has it, so it is left out.
    Refused,
}

impl Conditional {
    /// The word in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Conditional::Honoured => "honoured",
            Conditional::Ignored => "ignored",
            Conditional::Refused => "refused",
        }
    }
}

/// How a link is secured.
#[derive(Debug, Clone, Default)]
pub struct TlsHealth {
    /// Of our certificate, if we have one.
    pub validity: Option<Validity>,
    /// Why the files can not be used as they are now; what could be used before still is.
    pub problem: Option<String>,
    /// The connection there is, or was last.
    pub session: Option<TlsSession>,
}

/// What a handshake agreed on.
#[derive(Debug, Clone)]
pub struct TlsSession {
    /// `TLSv1_3`.
    pub version: String,
    /// The protocol the broker chose of those we offered.
    pub alpn: Option<String>,
    /// Whether a ticket of an earlier connection made it short.
    pub is_resumed: bool,
    /// Of the broker's certificate.
    pub broker: Option<Validity>,
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub not_before: Timestamp,
    /// The last instant.
    pub not_after: Timestamp,
}

const DAY_MS: i64 = 86_400_000;

impl Validity {
    /// Whole days until it ends; -1 on the day after.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_millis() - now.as_millis()).div_euclid(DAY_MS)
    }
}

impl SinkHealth {
    /// Health of a sink that has not done anything yet.
    pub fn new(id: SinkId, kind: &'static str) -> Self {
        Self {
            id,
            kind,
            state: Shown::new(SinkState::Ok),
            delivered_total: AtomicU64::new(0),
            quarantined_batches: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            oldest_waiting_at: AtomicI64::new(0),
            last_success_at: AtomicI64::new(0),
            is_held: AtomicBool::new(false),
            last_error: Shown::new(None),
            protocol: Shown::new(None),
            tls: Shown::new(None),
            credentials: Shown::new(None),
            conditional: Shown::new(None),
        }
    }

    /// Changes what is shown of TLS.
    pub fn set_tls(&self, change: impl FnOnce(&mut TlsHealth)) {
        change(self.tls.lock().get_or_insert_default());
    }

    /// Records that it lacks. Positions count from 1, and `head` is the first that is not there yet.
    pub fn lag(&self, head: u64) -> u64 {
        head.saturating_sub(1).saturating_sub(self.confirmed.load(Ordering::Relaxed))
    }

    /// What it is doing, in one word.
    pub fn word(&self) -> &'static str {
        match self.state.get() {
            SinkState::Ok if self.is_held.load(Ordering::Relaxed) => "holding",
            state => state.as_str(),
        }
    }
}

/// Health of the journal.
#[derive(Debug, Default)]
pub struct JournalHealth {
    /// Records taken in and not yet durable.
    pub at_risk: AtomicU64,
    /// Records made durable, in this run.
    pub committed_total: AtomicU64,
    /// Records dropped over budget, in this run.
    pub dropped_total: AtomicU64,
    /// Why it can not be written now; `None`: all is well.
    pub trouble: Shown<Option<String>>,
    /// How long the last commit took.
    pub last_commit_ms: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_frames_are_counted_for_a_minute_and_then_forgotten() {
        let mut refused = RefusedFrames::default();
        refused.count(60, 30_000);
        assert_eq!(refused.per_minute(30_000), 60);
        refused.count(30, 90_000);
        assert_eq!(refused.per_minute(90_000), 60, "half of the first minute's, and this one's");
        assert_eq!(refused.per_minute(170_000), 5, "ten seconds of the second minute are left");
        assert_eq!(refused.per_minute(400_000), 0);
    }
}
