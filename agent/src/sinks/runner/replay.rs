//! Sending again what was confirmed: a range goes back into the cursor, and the loop finds it as it finds any hole.
//!
//! The far side is asked first what it lacks of it: a lake gets no row twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use futures_util::stream::FuturesUnordered;
use journal::JournalError;
use model::SeqRange;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::info;

use super::{Runner, Sink};

/// Asks a sink to send a range of positions again.
pub struct Replay {
    /// Which, of those that the journal holds.
    pub range: SeqRange,
    /// Says which of them go back, or why none do.
    pub reply: oneshot::Sender<Result<Vec<SeqRange>, String>>,
}

/// Asks a sink to forget a batch that was set aside.
pub struct Forget {
    /// Which.
    pub range: SeqRange,
    /// Says that it is done.
    pub reply: oneshot::Sender<()>,
}

/// What a sink can be asked.
pub enum Ask {
    /// To send a range of positions again.
    Replay(Replay),
    /// To send what there is now, whatever its age; says how many records that are.
    Flush(oneshot::Sender<u64>),
    /// To try now what waits for its next attempt.
    Hurry(oneshot::Sender<()>),
    /// To forget a batch that was set aside.
    Forget(Forget),
}

/// The way to ask a sink.
pub type Asks = mpsc::Sender<Ask>;

/// Questions that wait for a sink.
const WAITING_MAX: usize = 4;

/// A way to ask a sink, and the sink's end of it.
pub fn channel() -> (Asks, mpsc::Receiver<Ask>) {
    mpsc::channel(WAITING_MAX)
}

/// What the far side lacks of what is to be sent again.
pub(super) type Looks = FuturesUnordered<Pin<Box<dyn Future<Output = Looked> + Send>>>;

pub(super) struct Looked {
    replay: Replay,
    lacking: Result<Vec<SeqRange>, String>,
}

impl<S: Sink> Runner<S> {
    /// Begins to look what the far side lacks of the positions that were confirmed.
    pub(super) fn look_for_replay(&mut self, replay: Replay) -> Result<(), JournalError> {
        let reader = &self.with.reader;
        let range = SeqRange::new(replay.range.first.max(reader.tail()), replay.range.next);
        let first = reader.read(range, 1)?.records.into_iter().next();
        let sink = self.sink.clone();
        let looks = async move {
            let lacking = match first {
                None => Ok(Vec::new()),
                Some(first) => sink.lacks(range, first.record.stamp().time).await,
            };
            Looked { replay, lacking: lacking.map_err(|error| error.to_string()) }
        };
        self.looks.push(Box::pin(looks));
        Ok(())
    }

    /// All that there is by now is due.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<u64>) {
        let head = self.with.reader.head();
        self.flush_to = head;
        // Who asked may have gone.
        reply.send(self.with.health.lag(head.0)).ok();
    }

    /// What waits for its next attempt is tried now, and so is the way to the far side.
    pub(super) fn hurry(&mut self, reply: oneshot::Sender<()>) {
        self.through.notify_waiters();
        self.sink.hurry();
        self.tend_at = Instant::now();
        self.flush_to = self.with.reader.head();
        // Who asked may have gone.
        reply.send(()).ok();
    }

    /// Puts back what it lacks, durably, and says so. What is not confirmed by now is on its way already, perhaps because
    /// another replay was faster.
    pub(super) fn put_back(&mut self, looked: Looked) -> Result<(), JournalError> {
        let Looked { replay, lacking } = looked;
        let lacking = lacking.map(|ranges| {
            let confirmed = |lacking: SeqRange| {
                self.cursor.confirmed().ranges().iter().map(move |range| range.intersection(&lacking))
            };
            ranges.into_iter().flat_map(confirmed).filter(|range| !range.is_empty()).collect::<Vec<_>>()
        });
        if let Ok(ranges) = &lacking {
            for range in ranges {
                info!(sink = %self.with.id, %range, "sent again");
                self.cursor.replay(*range);
                self.claimed.remove(*range);
            }
            self.with.health.confirmed.store(self.cursor.confirmed().len(), Ordering::Relaxed);
            self.store()?;
            self.not_aside_any_more(ranges)?;
        }
        // Who asked may have gone.
        replay.reply.send(lacking).ok();
        Ok(())
    }
}
