//! What `status --json` prints. Public: names and meanings stay.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use journal::Reader;
use model::{Clock as Trust, Quality, Timestamp, Value};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::health::{
    Health, InstrumentHealth, InstrumentState, RemoteHealth, SinkHealth, SinkState, TlsHealth,
};

/// The journal is written.
const JOURNAL_OK: &str = "ok";

/// The whole status.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The device.
    pub device: String,
    /// Its site.
    pub site: String,
    /// The journal's epoch; empty while it could not be opened yet.
    pub epoch: String,
    /// Seconds since the agent started.
    pub uptime_s: u64,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The clock.
    pub clock: ClockStatus,
    /// The journal.
    pub journal: JournalStatus,
    /// Every instrument.
    pub instruments: Vec<InstrumentStatus>,
    /// Every sink.
    pub sinks: Vec<SinkStatus>,
}

/// The configuration in force.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Its remote revision, where it has one.
    pub revision: Option<String>,
    /// Hash over keys and values.
    pub hash: String,
    /// Who made the revision.
    #[serde(default)]
    pub author: Option<String>,
    /// When, by the author's clock.
    #[serde(default)]
    pub at: Option<String>,
    /// What became of the revision that was asked for last.
    #[serde(default)]
    pub last: Option<RemoteHealth>,
}

impl ConfigStatus {
    fn of(config: &Config, last: Option<RemoteHealth>) -> Self {
        let revision = config.revision.as_deref();
        Self {
            revision: revision.map(|revision| revision.revision.clone()),
            hash: config.hash.clone(),
            author: revision.and_then(|revision| revision.author.clone()),
            at: revision.and_then(|revision| revision.at.clone()),
            last,
        }
    }
}

/// The clock.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClockStatus {
    /// How far it can be believed.
    pub state: Trust,
}

/// The journal.
#[derive(Debug, Serialize, Deserialize)]
pub struct JournalStatus {
    /// `ok`, or `degraded`: it can not be written, and readings are kept in memory.
    pub state: String,
    /// Why it can not be written.
    pub error: Option<String>,
    /// The first position that is not durable yet.
    pub head: u64,
    /// The first position kept.
    pub tail: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The budget.
    pub bytes_max: u64,
    /// What would be lost if power went now.
    pub at_risk_readings: u64,
    /// Records dropped since the start: the budget was spent, or the disk was away for too long.
    pub dropped_total: u64,
}

/// One instrument.
#[derive(Debug, Serialize, Deserialize)]
pub struct InstrumentStatus {
    /// Its name.
    pub id: String,
    /// Its line.
    pub bus: String,
    /// `up`, `silent`, `garbled` or `down`.
    pub state: String,
    /// When the last reading was taken.
    pub last_reading_at: Option<Timestamp>,
    /// Readings taken since the start.
    pub readings_total: u64,
    /// Frames refused since the start.
    pub frames_refused_total: u64,
    /// Frames refused in the last minute.
    #[serde(default)]
    pub frames_refused_per_min: u64,
    /// The last of them, in hex.
    #[serde(default)]
    pub last_refused_frame: Option<String>,
    /// Polls that nothing answered, since the start.
    pub polls_failed_total: u64,
    /// Polls that were due and did not run, because the bus was still at the one before.
    pub polls_skipped_total: u64,
    /// Readings dropped because the journal could not keep up.
    pub readings_overrun_total: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// The last value of each quantity.
    pub values: BTreeMap<String, ValueStatus>,
}

/// The last value of a quantity.
#[derive(Debug, Serialize, Deserialize)]
pub struct ValueStatus {
    /// When.
    pub time: Timestamp,
    /// A number, a text, or null.
    pub value: serde_json::Value,
    /// UCUM.
    pub unit: String,
    /// How good.
    pub quality: Quality,
}

/// One sink.
#[derive(Debug, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub id: String,
    /// Its kind.
    pub r#type: String,
    /// `ok`, `holding` (readings wait for the clock to be set), `retrying`, `spent` (the month's budget) or `failed`.
    pub state: String,
    /// Records that it lacks.
    pub lag_readings: u64,
    /// Age of the oldest of them, in seconds.
    pub lag_s: u64,
    /// Records confirmed since the start.
    pub delivered_total: u64,
    /// Batches that are set aside, until a person sends them again or drops them.
    pub quarantined_batches: u64,
    /// When the far side last said yes.
    pub last_success_at: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// The version of MQTT that the last connection spoke: `5` or `3.1.1`.
    #[serde(default)]
    pub protocol: Option<String>,
    /// How it is secured, where that is ours to see.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
    /// The credentials that are given to us for a while.
    #[serde(default)]
    pub credentials: Option<CredentialsStatus>,
    /// What the store makes of a put that must not overwrite: `honoured`, `ignored` or `refused`.
    #[serde(default)]
    pub conditional_put: Option<String>,
}

/// The credentials that are given to us for a while.
#[derive(Debug, Serialize, Deserialize)]
pub struct CredentialsStatus {
    /// Until when those that we hold are valid.
    pub not_after: Option<Timestamp>,
    /// Why there are no fresh ones.
    pub problem: Option<String>,
}

/// How a link is secured.
#[derive(Debug, Serialize, Deserialize)]
pub struct TlsStatus {
    /// When our certificate begins to be valid.
    pub not_before: Option<Timestamp>,
    /// When our certificate expires.
    pub not_after: Option<Timestamp>,
    /// Whole days until then; -1 on the day after.
    pub days_left: Option<i64>,
    /// When the broker's certificate expires, as of the last handshake.
    pub broker_not_after: Option<Timestamp>,
    /// Whole days until then.
    pub broker_days_left: Option<i64>,
    /// Of the last handshake: `TLSv1_3`.
    pub version: Option<String>,
    /// The protocol that the broker chose of those offered.
    pub alpn: Option<String>,
    /// Whether a ticket of an earlier connection made the handshake short.
    pub is_resumed: bool,
    /// Why the files can not be used as they are now. What could be used before still is.
    pub problem: Option<String>,
}

/// From so many days before a certificate's end on, a person must look: long enough for somebody to drive there.
pub const CERTIFICATE_DAYS_MIN: i64 = 14;

impl TlsStatus {
    fn of(health: &TlsHealth, now: Timestamp) -> Self {
        let session = health.session.as_ref();
        let broker = session.and_then(|session| session.broker);
        Self {
            not_before: health.validity.map(|validity| validity.not_before),
            not_after: health.validity.map(|validity| validity.not_after),
            days_left: health.validity.map(|validity| validity.days_left(now)),
            broker_not_after: broker.map(|validity| validity.not_after),
            broker_days_left: broker.map(|validity| validity.days_left(now)),
            version: session.map(|session| session.version.clone()),
            alpn: session.and_then(|session| session.alpn.clone()),
            is_resumed: session.is_some_and(|session| session.is_resumed),
            problem: health.problem.clone(),
        }
    }

    /// Whether there is nothing that a person should look at.
    pub fn is_well(&self) -> bool {
        self.problem.is_none() && self.days_left.is_none_or(|days| days >= CERTIFICATE_DAYS_MIN)
    }
}

impl Status {
    /// Reads everything's health.
    pub fn read(config: &Config, health: &Health, reader: &Reader, clock: &Clock, started_ms: u64) -> Self {
        let stamp = clock.stamp();
        // Before the head: what is committed in between is then seen as at risk once more, never as gone.
        let at_risk_readings = health.journal.at_risk.load(Ordering::Acquire);
        let stat = reader.stat();
        let head = stat.head.0;
        let trouble = health.journal.trouble.get();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: config.device.id.to_string(),
            site: config.device.site.to_string(),
            epoch: reader.epoch().map_or_else(String::new, |epoch| epoch.to_string()),
            uptime_s: stamp.mono_ms.saturating_sub(started_ms) / 1_000,
            config: ConfigStatus::of(config, health.remote.get()),
            clock: ClockStatus { state: stamp.clock },
            journal: JournalStatus {
                state: if trouble.is_none() { JOURNAL_OK } else { "degraded" }.to_owned(),
                error: trouble,
                head,
                tail: stat.tail.0,
                bytes: stat.bytes,
                bytes_max: config.journal.max_bytes,
                at_risk_readings,
                dropped_total: health.journal.dropped_total.load(Ordering::Relaxed),
            },
            instruments: health
                .instruments
                .get()
                .iter()
                .map(|instrument| instrument_status(instrument, stamp.mono_ms))
                .collect(),
            sinks: health.sinks.get().iter().map(|sink| sink_status(sink, head, stamp.time)).collect(),
        }
    }

    /// Whether there is nothing that a person should look at.
    pub fn is_well(&self) -> bool {
        let up = InstrumentState::Up.as_str();
        let ok = SinkState::Ok.as_str();
        self.instruments.iter().all(|instrument| instrument.state == up)
            && self.sinks.iter().all(|sink| sink.state == ok && sink.quarantined_batches == 0)
            && self.sinks.iter().filter_map(|sink| sink.tls.as_ref()).all(TlsStatus::is_well)
            && self.sinks.iter().filter_map(|sink| sink.credentials.as_ref()).all(|given| given.problem.is_none())
            && self.journal.dropped_total == 0
            && self.journal.state == JOURNAL_OK
    }
}

fn at(millis: i64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

fn instrument_status(health: &InstrumentHealth, mono_ms: u64) -> InstrumentStatus {
    let values = health.values.get();
    let shown = health.quantities.iter().zip(values).filter_map(|((name, unit), last)| {
        let last = last?;
        let value = match last.value {
            Value::Number(number) => serde_json::Value::from(number),
            Value::Text(text) => serde_json::Value::from(&*text),
            Value::Missing => serde_json::Value::Null,
        };
        Some((name.clone(), ValueStatus { time: last.time, value, unit: unit.clone(), quality: last.quality }))
    });
    let refused = health.frames_refused.get();
    InstrumentStatus {
        id: health.id.to_string(),
        bus: health.bus.to_string(),
        state: health.state(mono_ms).as_str().to_owned(),
        last_reading_at: at(health.last_reading_at.load(Ordering::Relaxed)),
        readings_total: health.readings_total.load(Ordering::Relaxed),
        frames_refused_total: health.frames_refused_total.load(Ordering::Relaxed),
        frames_refused_per_min: refused.per_minute(mono_ms),
        last_refused_frame: refused.last_hex,
        polls_failed_total: health.polls_failed_total.load(Ordering::Relaxed),
        polls_skipped_total: health.polls_skipped_total.load(Ordering::Relaxed),
        readings_overrun_total: health.readings_overrun_total.load(Ordering::Relaxed),
        last_error: health.last_error.get(),
        values: shown.collect(),
    }
}

fn sink_status(health: &SinkHealth, head: u64, now: Timestamp) -> SinkStatus {
    let lag_readings = health.lag(head);
    let oldest = health.oldest_waiting_at.load(Ordering::Relaxed);
    let lag_ms = if lag_readings == 0 || oldest == 0 { 0 } else { now.as_millis().saturating_sub(oldest) };
    SinkStatus {
        id: health.id.to_string(),
        r#type: health.kind.to_owned(),
        state: health.word().to_owned(),
        lag_readings,
        lag_s: u64::try_from(lag_ms / 1_000).unwrap_or(0),
        delivered_total: health.delivered_total.load(Ordering::Relaxed),
        quarantined_batches: health.quarantined_batches.load(Ordering::Relaxed),
        last_success_at: at(health.last_success_at.load(Ordering::Relaxed)),
        last_error: health.last_error.get(),
        protocol: health.protocol.get().map(str::to_owned),
        tls: health.tls.get().map(|tls| TlsStatus::of(&tls, now)),
        credentials: health
            .credentials
            .get()
            .map(|given| CredentialsStatus { not_after: given.not_after, problem: given.problem }),
        conditional_put: health.conditional.get().map(|seen| seen.as_str().to_owned()),
    }
}
