//! What a device does when it is told to. A fixed list: there is no shell, and nothing here names a file or a program.
//!
//! | command | args | result |
//! |---|---|---|
//! | `status` | | what `tidegate status --json` prints |
//! | `flush` | `sink`? | records that each sink has been told to send now |
//! | `replay` | `sink`, `from`, `to`? | as `tidegate replay` |
//! | `tail` | `instrument`?, `since`?, `n`? (20, at most 200) | `rows` |
//! | `sniff` | `bus`, `seconds`? (10, at most 60), `bytes`? (4096, at most 16384) | `pieces`: time, way, hex |
//! | `probe` | `instrument`, `seconds`? | what its line says until it is read or refused, and its values |
//! | `log-level` | `level` (`error` to `trace`), `minutes`? (10, at most 1440) | |
//! | `support-bundle` | `sink`? | the `key` of the bundle in that lake; without one, what of it fits into an answer |
//! | `update` | `manifest`, `signature` | the update, when it is in and well; `error` where it is not (docs/UPDATE.md) |
//! | `rotate-certificate` | | the `certificate` that the device has now, where there is a template to ask for one |
//! | `restart` | | the agent ends in order and starts anew |
//! | `reboot` | | the board, where `remote.allow_reboot` lets it |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::Reader;
use model::{BusId, SinkId, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::block_in_place;
use tokio::time::Instant;
use tracing_subscriber::filter::LevelFilter;

use super::Request;
use super::bundle;
use crate::acquire::tap::{Piece, Taps, Way};
use crate::clock::Clock;
use crate::config::{Config, InForce, Layers};
use crate::control::bundle::{Asked, Bundle, LOG_LINES, events_until};
use crate::control::journal::stat;
use crate::control::replay::{self, Wanted};
use crate::control::status::Status;
use crate::control::tail::{self, Query};
use crate::provision::renewal::Rotator;
use crate::sinks::runner::replay::{Ask, Asks};
use crate::telemetry::health::{Health, Shown};
use crate::telemetry::logs::{self, chain};
use crate::update::manifest::Signed;
use crate::update::task::Updates;

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// An update comes over a link that is mostly bad.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);
/// How often it is asked how far an update is.
const UPDATE_LOOK_EVERY: Duration = Duration::from_secs(2);
/// What an answer may hold: messages have 128 KiB.
const ANSWER_BYTES_MAX: usize = 96 << 10;

/// What the commands work on.
#[derive(Clone)]
pub struct Hands {
    /// What the configuration is made from.
    pub layers: Layers,
    /// The configuration.
    pub in_force: InForce,
    /// Everything's health.
    pub health: Arc<Health>,
    /// The journal.
    pub reader: Reader,
    /// The clocks.
    pub clock: Clock,
    /// When the agent started, by the boot's clock.
    pub started_ms: u64,
    /// The ways to ask sinks.
    pub asks: Arc<Shown<BTreeMap<SinkId, Asks>>>,
    /// The lines.
    pub taps: Taps,
    /// The way to offer an update of the agent; none where there is no agent (a fleet in one process).
    pub updates: Option<Updates>,
    /// Exchanges the device's certificate, where it can be asked for another.
    pub rotator: Option<Rotator>,
}

/// What came of a command.
pub struct Done {
    /// What is answered.
    pub result: Value,
    /// What is to be done when that has been said.
    pub then: Option<Request>,
    /// When the log goes back to its usual level.
    pub loud_until: Option<Instant>,
}

impl From<Value> for Done {
    fn from(result: Value) -> Self {
        Self { result, then: None, loud_until: None }
    }
}

/// The arguments, each of which must be asked for.
struct Given {
    args: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Given {
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.args.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` is a text")),
        }
    }

    fn wanted(&mut self, name: &'static str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn count(&mut self, name: &'static str, usual: u64, most: u64) -> Result<u64, String> {
        match self.take(name) {
            None => Ok(usual),
            Some(value) => match value.as_u64() {
                Some(count) if (1..=most).contains(&count) => Ok(count),
                _ => Err(format!("`{name}` is a whole number from 1 to {most}")),
            },
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.args.keys().next() {
            None => Ok(()),
            Some(key) if self.known.is_empty() => Err(format!("unknown argument `{key}`: this command takes none")),
            Some(key) => Err(format!("unknown argument `{key}`; known here: {}", self.known.join(", "))),
        }
    }
}

/// How long a command may take.
pub fn timeout(command: &str) -> Duration {
    if command == UPDATE { UPDATE_TIMEOUT } else { TIMEOUT }
}

/// The command that outlives the agent which begins it.
pub const UPDATE: &str = "update";

/// Does what is told. Words, where it can not be done.
pub async fn obey(hands: Hands, command: String, args: Map<String, Value>) -> Result<Done, String> {
    let given = Given { args, known: Vec::new() };
    match command.as_str() {
        "status" => hands.status(given),
        "flush" => hands.flush(given).await,
        "replay" => hands.replay(given).await,
        "tail" => hands.tail(given),
        "sniff" => hands.sniff(given).await,
        "probe" => hands.probe(given).await,
        "log-level" => log_level(given),
        "support-bundle" => hands.support_bundle(given).await,
        UPDATE => hands.update(given).await,
        "rotate-certificate" => hands.rotate_certificate(given).await,
        "restart" => {
            given.finish()?;
            Ok(Done { then: Some(Request::Restart), ..Done::from(json!({})) })
        }
        "reboot" => hands.reboot(given),
        other => Err(format!(
            "there is no command \"{other}\"; there are status, flush, replay, tail, sniff, probe, log-level, support-bundle, \
             update, rotate-certificate, restart, reboot"
        )),
    }
}

impl Hands {
    fn status(self, given: Given) -> Result<Done, String> {
        given.finish()?;
        let config = self.in_force.get();
        let status = Status::read(&config, &self.health, &self.reader, &self.clock, self.started_ms);
        Ok(serde_json::to_value(status).map_err(|error| error.to_string())?.into())
    }

    async fn flush(self, mut given: Given) -> Result<Done, String> {
        let only = given.text("sink")?;
        given.finish()?;
        let asks = self.asks.get();
        if let Some(name) = only.as_ref().filter(|name| !asks.keys().any(|id| id.as_str() == name.as_str())) {
            return Err(format!("there is no sink \"{name}\""));
        }
        let mut told = Map::new();
        for (id, way) in asks.into_iter().filter(|(id, _)| only.as_ref().is_none_or(|name| id.as_str() == name)) {
            let (reply, answer) = oneshot::channel();
            way.send(Ask::Flush(reply)).await.map_err(|_| format!("sink {id} does not answer"))?;
            let records = answer.await.map_err(|_| format!("sink {id} does not answer"))?;
            told.insert(id.to_string(), records.into());
        }
        Ok(json!({"records": told}).into())
    }

    async fn replay(self, mut given: Given) -> Result<Done, String> {
        let wanted = Wanted { sink: given.wanted("sink")?, from: given.wanted("from")?, to: given.text("to")? };
        given.finish()?;
        let replayed =
            replay::replay(&wanted, &self.reader, &self.asks.get()).await.map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(replayed).map_err(|error| error.to_string())?.into())
    }

    fn tail(self, mut given: Given) -> Result<Done, String> {
        let instrument = given.text("instrument")?;
        let since = given.text("since")?;
        let since = match &since {
            None => None,
            Some(text) => Some(Timestamp::parse(text).ok_or("`since` is a time, such as 2026-11-23T10:00:00Z")?),
        };
        let n = given.count("n", 20, 200)?;
        given.finish()?;
        let instrument = instrument.into_iter().collect();
        let query = Query { instrument, since, n: usize::try_from(n).ok(), ..Query::default() };
        let lines = block_in_place(|| tail::past(&self.reader, query)).map_err(|error| error.to_string())?;
        let lines = String::from_utf8_lossy(&lines).into_owned();
        // The newest, where there is no room for all.
        let mut rows: Vec<Value> = Vec::new();
        let mut bytes = 0;
        for line in lines.lines().rev() {
            bytes += line.len() + 1;
            if bytes > ANSWER_BYTES_MAX {
                break;
            }
            rows.push(serde_json::from_str(line).unwrap_or_default());
        }
        rows.reverse();
        Ok(json!({"rows": rows}).into())
    }

    fn bus(&self, name: &str) -> Result<BusId, String> {
        let config = self.in_force.get();
        let found = config.buses.iter().find(|bus| bus.id.as_str() == name).map(|bus| bus.id.clone());
        found.ok_or_else(|| format!("there is no bus \"{name}\""))
    }

    async fn sniff(self, mut given: Given) -> Result<Done, String> {
        let bus = given.wanted("bus")?;
        let seconds = given.count("seconds", 10, 60)?;
        let most = given.count("bytes", 4_096, 16_384)?;
        given.finish()?;
        let heard = self.taps.listen(self.bus(&bus)?);
        let (pieces, bytes) = listen(heard, Duration::from_secs(seconds), most, || false).await;
        Ok(json!({"bus": bus, "bytes": bytes, "pieces": pieces}).into())
    }

    async fn probe(self, mut given: Given) -> Result<Done, String> {
        let name = given.wanted("instrument")?;
        let seconds = given.count("seconds", 30, 60)?;
        given.finish()?;
        let found = self.health.instruments.get().into_iter().find(|health| health.id.as_str() == name);
        let health = found.ok_or_else(|| format!("there is no instrument \"{name}\""))?;
        let counts = || {
            let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            [&health.readings_total, &health.frames_refused_total, &health.polls_failed_total].map(count)
        };
        let before = counts();
        let heard = self.taps.listen(health.bus.clone());
        let (pieces, bytes) = listen(heard, Duration::from_secs(seconds), 4_096, || counts() != before).await;
        let after = counts();
        let values: Map<String, Value> = health
            .quantities
            .iter()
            .zip(health.values.get())
            .filter_map(|((name, unit), last)| {
                let last = last?;
                let value = match last.value {
                    model::Value::Number(number) => Value::from(number),
                    model::Value::Text(text) => Value::from(&*text),
                    model::Value::Missing => Value::Null,
                };
                Some((name.clone(), json!({"value": value, "unit": unit, "quality": last.quality, "time": last.time})))
            })
            .collect();
        let mono_ms = self.clock.mono_ms();
        Ok(json!({
            "instrument": name, "bus": health.bus, "state": health.state(mono_ms).as_str(), "bytes": bytes, "pieces": pieces,
            "readings": after[0] - before[0], "frames_refused": after[1] - before[1], "polls_failed": after[2] - before[2],
            "last_error": health.last_error.get(), "values": values,
        })
        .into())
    }

    fn bundle(&self, config: &Config, status: &Status) -> Bundle {
        let at = self.clock.now();
        let query = events_until(at);
        Bundle::of(Asked {
            layers: &self.layers,
            device: (config.device.id.to_string(), config.device.site.to_string()),
            problems: None,
            status: serde_json::to_value(status).map_err(|error| error.to_string()),
            journal: stat(&self.reader).map_err(|error| error.to_string()),
            events: tail::past(&self.reader, query).map_err(|error| error.to_string()),
            pid: None,
            lines: LOG_LINES,
            at,
        })
    }

    async fn support_bundle(self, mut given: Given) -> Result<Done, String> {
        let sink = given.text("sink")?;
        given.finish()?;
        let config = self.in_force.get();
        let status = Status::read(&config, &self.health, &self.reader, &self.clock, self.started_ms);
        let bundle = block_in_place(|| self.bundle(&config, &status));
        let Some(sink) = sink else {
            let document = bundle.document();
            let fits = document.to_string().len() <= ANSWER_BYTES_MAX;
            return if fits {
                Ok(document.into())
            } else {
                Err("it does not fit into an answer: name a lake, `sink`".to_owned())
            };
        };
        let key = bundle::put(&config, &sink, &bundle, &self.clock).await?;
        Ok(json!({"sink": sink, "key": key}).into())
    }

    async fn update(self, mut given: Given) -> Result<Done, String> {
        let signed = Signed { manifest: given.wanted("manifest")?, signature: given.wanted("signature")? };
        given.finish()?;
        let updates = self.updates.as_ref().ok_or("there is no agent to update")?;
        block_in_place(|| updates.offer(&signed)).map_err(|error| chain(&error))?;
        self.await_update().await
    }

    /// Waits until the last update that was offered is in and well, or is not.
    pub async fn await_update(self) -> Result<Done, String> {
        let updates = self.updates.as_ref().ok_or("there is no agent to update")?;
        loop {
            let report = block_in_place(|| updates.report());
            match report.state.as_str() {
                "done" => return Ok(serde_json::to_value(report).unwrap_or_default().into()),
                "failed" | "rolled-back" | "none" => {
                    return Err(format!("{}: {}", report.state, report.why.unwrap_or_default()));
                }
                _ => tokio::time::sleep(UPDATE_LOOK_EVERY).await,
            }
        }
    }

    async fn rotate_certificate(self, given: Given) -> Result<Done, String> {
        given.finish()?;
        let lacks = || "this device can not ask for another certificate: `provision.template`".to_owned();
        let certificate = self.rotator.ok_or_else(lacks)?.rotate().await?;
        Ok(Done::from(json!({ "certificate": certificate })))
    }

    fn reboot(self, given: Given) -> Result<Done, String> {
        given.finish()?;
        let config = self.in_force.get();
        if !config.remote.as_ref().is_some_and(|remote| remote.allow_reboot) {
            return Err("this device is not to be restarted from afar: `remote.allow_reboot`".to_owned());
        }
        Ok(Done { then: Some(Request::Reboot), ..Done::from(json!({})) })
    }
}

fn log_level(mut given: Given) -> Result<Done, String> {
    let level = given.wanted("level")?;
    let minutes = given.count("minutes", 10, 1_440)?;
    given.finish()?;
    let filter: LevelFilter = level.parse().map_err(|_| "`level` is error, warn, info, debug or trace".to_owned())?;
    if !logs::set_level(Some(filter)) {
        return Err("the log's level can not be changed here".to_owned());
    }
    let loud_until = Some(Instant::now() + Duration::from_secs(minutes * 60));
    Ok(Done { loud_until, ..Done::from(json!({"level": level, "minutes": minutes})) })
}

/// What goes over a line, until so much time has passed, so many bytes have, or it is enough.
async fn listen(
    mut heard: mpsc::Receiver<Piece>,
    limit: Duration,
    bytes_max: u64,
    is_enough: impl Fn() -> bool,
) -> (Vec<Value>, u64) {
    let until = Instant::now() + limit;
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max {
        let Ok(Some(mut piece)) = tokio::time::timeout_at(until, heard.recv()).await else { break };
        let room = usize::try_from(bytes_max - bytes).unwrap_or(usize::MAX);
        piece.bytes.truncate(room);
        bytes += u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
        let way = if piece.way == Way::In { "in" } else { "out" };
        pieces.push(json!({"time": piece.at.time, "way": way, "hex": hex::encode(&piece.bytes)}));
        // The reading that came of it is counted behind the tap.
        tokio::task::yield_now().await;
        if is_enough() {
            break;
        }
    }
    (pieces, bytes)
}
