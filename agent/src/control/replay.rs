//! `POST /v1/replay?sink=&from=&to=`: sends again what the journal still holds.

use std::collections::BTreeMap;

use journal::{JournalError, Reader};
use model::{SeqRange, SinkId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::journal::Export;
use crate::sinks::runner::replay::{Ask, Asks, Replay};

/// What to send again.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    /// The sink.
    pub sink: String,
    /// From here on: a position or a time.
    pub from: String,
    /// Up to here, not included; left out: to the end.
    pub to: Option<String>,
}

/// What goes again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replayed {
    /// The sink.
    pub sink: String,
    /// What was asked for, of what the journal holds.
    pub range: SeqRange,
    /// What of it was confirmed, and what the far side lacks of that: it is on its way.
    pub again: Vec<SeqRange>,
    /// How many positions these are.
    pub positions: u64,
    /// The first position that the journal still has.
    pub tail: model::Seq,
}

/// A replay that is not begun.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such sink.
    #[error("there is no sink \"{0}\"")]
    NoSink(String),
    /// The journal can not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is not known what the far side lacks.
    #[error("the sink can not say what it lacks: {0}")]
    NotKnown(String),
    /// The sink does not answer.
    #[error("the sink does not answer")]
    Deaf,
}

/// Asks the sink.
pub async fn replay(wanted: &Wanted, reader: &Reader, ways: &BTreeMap<SinkId, Asks>) -> Result<Replayed, ReplayError> {
    let Wanted { sink, from, to } = wanted;
    let no_sink = || ReplayError::NoSink(sink.clone());
    let way = SinkId::try_new(sink).ok().and_then(|id| ways.get(&id)).ok_or_else(no_sink)?;
    let range = Export { from: Some(from.clone()), to: to.clone(), instrument: None }.range(reader)?;
    let (reply, answer) = oneshot::channel();
    way.send(Ask::Replay(Replay { range, reply })).await.map_err(|_| ReplayError::Deaf)?;
    let again = answer.await.map_err(|_| ReplayError::Deaf)?.map_err(ReplayError::NotKnown)?;
    let positions = again.iter().map(SeqRange::len).sum();
    Ok(Replayed { sink: sink.clone(), range, again, positions, tail: reader.tail() })
}
