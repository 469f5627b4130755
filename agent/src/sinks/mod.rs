//! The destinations: one delivery loop (`runner`), and a folder for each kind of far side.
//!
//! A sink knows how to encode a slice of the journal and how to hand it over; when, how much, and what has arrived
//! is the runner's alone. Sinks never see each other: one that is down holds up none of the others.

pub mod file;
pub mod lake;
pub mod meter;
pub mod mqtt;
pub mod runner;
pub mod s3;

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use model::{Numbered, SeqRange, Timestamp};

/// A far side that refuses for good is believed after so many times: a broker that is being reconfigured says no, too.
pub const REFUSALS_MAX: u32 = 3;

/// Where a batch is cut, and how many may be on their way at once.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Age of the oldest record.
    pub age_max: Duration,
    /// Records.
    pub records_max: usize,
    /// Bytes as sent.
    pub bytes_max: usize,
    /// Batches under way.
    pub window: usize,
}

/// A named slice of the journal, encoded: what a retry sends is this, byte for byte.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which records.
    pub range: SeqRange,
    /// Object key or topic.
    pub key: String,
    /// What the far side gets.
    pub bytes: Bytes,
    /// What the sink wants back with it (the lake's manifest line); empty where it wants nothing.
    pub note: Bytes,
}

/// A batch that did not arrive, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The far side was not reached, or can not take it now.
    #[error("{reason}")]
    Retry {
        /// What happened.
        reason: String,
        /// Not before, where the far side said so.
        after: Option<Duration>,
    },
    /// There is no connection: once there is, what to send first is chosen anew.
    #[error("there is no connection")]
    Away,
    /// The far side closed the connection because of something that was under way, perhaps this batch.
    #[error("the far side closed the connection: {reason}")]
    Disliked {
        /// What it said.
        reason: String,
    },
    /// The far side was reached and will never take this batch.
    #[error("{reason}")]
    Reject {
        /// What it said.
        reason: String,
    },
}

impl DeliverError {
    /// Try again, when the runner thinks fit.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// Set it aside.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject { reason: reason.into() }
    }
}

/// One destination.
pub trait Sink: Send + Sync + 'static {
    /// Where its batches are cut.
    fn limits(&self) -> BatchLimits;

    /// Whether a batch is sealed on disk before its first attempt: where the far side names it by its range, a retry
    /// after a crash must send the same bytes.
    fn is_sealed(&self) -> bool;

    /// How many of the leading records may share a batch; at least one.
    fn cut(&self, records: &[Numbered]) -> usize;

    /// Encodes records (never none) as a batch.
    fn encode(&self, range: SeqRange, records: &[Numbered]) -> Result<Batch, DeliverError>;

    /// Hands a batch over; `Ok` means durable over there. Several may be under way at once.
    fn deliver(&self, batch: &Batch) -> impl Future<Output = Result<(), DeliverError>> + Send;

    /// Writes down on this device that a batch is over there, before it is confirmed. For batches that are sealed, one after
    /// the other in the order of the journal, whichever arrived first.
    fn settle(&self, _batch: &Batch) -> io::Result<()> {
        Ok(())
    }

    /// Whether a batch that is started now has a way to go. What is asked for each batch (a store) says yes.
    fn is_reachable(&self) -> bool {
        true
    }

    /// Waits until it has.
    fn reachable(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Tries the way now, where it waits before the next attempt.
    fn hurry(&self) {}

    /// Bytes on the wire of a batch, as far as they are counted.
    fn cost(&self, batch: &Batch) -> u64 {
        u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Bytes that went out beside the batches since this was last asked: the lake's manifests.
    fn spent_beside(&self) -> u64 {
        0
    }

    /// Whether, after an outage, the newest records go before the backlog.
    fn is_live_first(&self) -> bool {
        false
    }

    /// Of positions that were confirmed, what the far side lacks: these are sent again when a replay is asked for. A
    /// far side that tells repeats by their positions gets all of them. `since` is the time of the first.
    fn lacks(
        &self,
        range: SeqRange,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<SeqRange>, DeliverError>> + Send {
        let _ = since;
        std::future::ready(Ok(vec![range]))
    }

    /// What it does now and then, and once more at the end: the lake rewrites its manifest.
    fn tend(&self, is_end: bool) -> impl Future<Output = Result<(), DeliverError>> + Send;
}
