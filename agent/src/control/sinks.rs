//! `GET /v1/sinks`, `GET /v1/sinks/aside`, and what a person tells a sink: to try now, to send again what was set aside, to
//! drop it. A sink is told over its channel; its own task does it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::{JournalError, Reader};
use model::{SeqRange, SinkId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::journal::Export;
use super::status::Status;
use crate::sinks::runner::aside::{Aside, list};
use crate::sinks::runner::replay::{Ask, Asks, Forget, Replay};
use crate::telemetry::health::Health;

/// A sink whose local disk is away does not answer; a lake looks into its manifests before it does.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Of a batch so many records are shown.
const ROWS_MAX: u64 = 100;

/// Which batches.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Wanted {
    /// Whose; none: everybody's.
    pub sink: Option<String>,
    /// The one that begins with this position, or `all`.
    pub n: Option<String>,
}

/// What can not be done.
#[derive(Debug, thiserror::Error)]
pub enum SinksError {
    /// There is no such sink.
    #[error("there is no sink \"{0}\"")]
    NoSink(String),
    /// Nothing with this number stands aside.
    #[error("no batch {n} of sink \"{sink}\" is set aside; `tidegate sinks quarantine ls {sink}` lists them")]
    NoBatch {
        /// The sink.
        sink: String,
        /// What was asked for.
        n: String,
    },
    /// Retention has taken it.
    #[error(
        "the journal begins with {tail}: batch {first} is not there any more to be sent again, it can only be dropped"
    )]
    Gone {
        /// The first position of the journal.
        tail: model::Seq,
        /// The batch's.
        first: model::Seq,
    },
    /// It is not known what the far side lacks.
    #[error("the sink can not say what it lacks: {0}")]
    NotKnown(String),
    /// The sink does not answer.
    #[error("the sink does not answer")]
    Deaf,
    /// The journal can not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The ways to ask sinks.
pub type Ways = BTreeMap<SinkId, Asks>;

/// What `sinks --json` prints: of each sink what `status` has, with `low_water`, before which all is confirmed.
pub fn sinks(status: &Status, health: &Health) -> Value {
    let entry = |sink: &super::status::SinkStatus| {
        let health = health.sinks.get();
        let held = health.iter().find(|held| held.id.as_str() == sink.id);
        let mut entry = json!(sink);
        entry["low_water"] = json!(held.map(|held| held.drained.load(Ordering::Acquire)));
        entry
    };
    status.sinks.iter().map(entry).collect()
}

/// What `sinks quarantine ls --json` prints; with a number what `show` does, which has the records, too.
pub fn asides(wanted: &Wanted, journal: &Path, reader: &Reader, ways: &Ways) -> Result<Value, SinksError> {
    let sinks: Vec<SinkId> = match &wanted.sink {
        Some(name) => vec![known(name, ways)?.0],
        None => ways.keys().cloned().collect(),
    };
    let mut entries = Vec::new();
    for sink in sinks {
        for aside in list(journal, &sink)? {
            entries.push(entry(&sink, &aside, reader));
        }
    }
    let (Some(n), Some(sink)) = (&wanted.n, &wanted.sink) else { return Ok(entries.into()) };
    let no_batch = || SinksError::NoBatch { sink: sink.clone(), n: n.clone() };
    let wanted = n.parse::<u64>().ok();
    let is_it = |entry: &Value| wanted.is_some() && entry["n"].as_u64() == wanted;
    let mut found = entries.into_iter().find(is_it).ok_or_else(no_batch)?;
    let (first, next) = (found["n"].as_u64().unwrap_or_default(), found["next"].as_u64().unwrap_or_default());
    let last = next.min(first.saturating_add(ROWS_MAX));
    let export = Export { from: Some(first.to_string()), to: Some(last.to_string()), instrument: None };
    let (piece, _) = export.piece(reader, export.range(reader)?)?;
    let rows = String::from_utf8_lossy(&piece);
    found["rows"] = rows.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
    Ok(found)
}

fn entry(sink: &SinkId, aside: &Aside, reader: &Reader) -> Value {
    let note = aside.note.as_ref();
    json!({
        "sink": sink.as_str(), "n": aside.range.first, "next": aside.range.next, "positions": aside.range.len(),
        "at": note.map(|note| &note.at), "reason": note.map(|note| &note.reason), "bytes": aside.bytes,
        "in_journal": aside.range.first >= reader.tail(),
    })
}

fn known<'w>(name: &str, ways: &'w Ways) -> Result<(SinkId, &'w Asks), SinksError> {
    let no_sink = || SinksError::NoSink(name.to_owned());
    let id = SinkId::try_new(name).map_err(|_| no_sink())?;
    let way = ways.get(&id).ok_or_else(no_sink)?;
    Ok((id, way))
}

async fn asked<T>(way: &Asks, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, SinksError> {
    let (reply, answer) = oneshot::channel();
    let told = timeout(ANSWER_LIMIT, way.send(ask(reply))).await;
    told.map_err(|_| SinksError::Deaf)?.map_err(|_| SinksError::Deaf)?;
    timeout(ANSWER_LIMIT, answer).await.map_err(|_| SinksError::Deaf)?.map_err(|_| SinksError::Deaf)
}

/// Has a sink try now.
pub async fn hurry(wanted: &Wanted, ways: &Ways) -> Result<Value, SinksError> {
    let name = wanted.sink.as_deref().unwrap_or_default();
    asked(known(name, ways)?.1, Ask::Hurry).await?;
    Ok(json!({"sink": name}))
}

fn chosen(wanted: &Wanted, journal: &Path, sink: &SinkId) -> Result<Vec<SeqRange>, SinksError> {
    let ranges = list(journal, sink)?.into_iter().map(|aside| aside.range);
    let n = wanted.n.clone().unwrap_or_default();
    let found: Vec<SeqRange> = ranges.filter(|range| n == "all" || range.first.to_string() == n).collect();
    if found.is_empty() && n != "all" {
        return Err(SinksError::NoBatch { sink: sink.to_string(), n });
    }
    Ok(found)
}

/// Has a sink send again what was set aside. One that is refused again is set aside again.
pub async fn again(wanted: &Wanted, journal: &Path, reader: &Reader, ways: &Ways) -> Result<Value, SinksError> {
    let (sink, way) = known(wanted.sink.as_deref().unwrap_or_default(), ways)?;
    let (mut batches, mut positions) = (0, 0);
    for range in chosen(wanted, journal, &sink)? {
        let tail = reader.tail();
        if range.first < tail {
            return Err(SinksError::Gone { tail, first: range.first });
        }
        let put_back = asked(way, |reply| Ask::Replay(Replay { range, reply })).await?;
        positions += put_back.map_err(SinksError::NotKnown)?.iter().map(SeqRange::len).sum::<u64>();
        batches += 1;
    }
    Ok(json!({"sink": sink.as_str(), "batches": batches, "positions": positions}))
}

/// Has a sink forget what was set aside.
pub async fn drop_asides(wanted: &Wanted, journal: &Path, ways: &Ways) -> Result<Value, SinksError> {
    let (sink, way) = known(wanted.sink.as_deref().unwrap_or_default(), ways)?;
    let (mut batches, mut positions) = (0, 0);
    for range in chosen(wanted, journal, &sink)? {
        asked(way, |reply| Ask::Forget(Forget { range, reply })).await?;
        batches += 1;
        positions += range.len();
    }
    Ok(json!({"sink": sink.as_str(), "batches": batches, "positions": positions}))
}
