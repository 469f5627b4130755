//! The one writer of the journal: takes readings in, commits them as a group, and says how far it has come.
//!
//! An OS thread, because sled is synchronous and one sync can take 200 ms on a bad card. A reading is durable at
//! most `commit_interval` after its last byte arrived: the commit starts early by what the last ones took. While a
//! commit runs more readings queue up, so that a slow card makes larger commits, not a longer queue.
//!
//! A failed sync is never retried (the kernel has already forgotten the pages): this thread ends, the process ends
//! with 74, and the next start recovers what the disk really holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use journal::{Journal, JournalError};
use model::{Gap, Record, Seq};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::{self, Clock};
use crate::config::JournalConfig;
use crate::telemetry::health::{JournalHealth, SinkHealth};

/// Readings that may wait for the writer: two seconds of the fastest bus, about 3 MiB. Beyond it a bus is told that
/// there is no room, and what it drops becomes a gap.
const WAITING_READINGS_MAX: usize = 32_768;
/// Messages that may wait; each holds at least one reading.
const WAITING_MESSAGES_MAX: usize = 4_096;
/// How often generations are looked at for removal.
const RETAIN_EVERY_MS: u64 = 1_000;
/// The share of the interval that a first reading waits for others: 100 ms of a second.
const LINGER_SHARE: u64 = 10;
/// The share of the interval that the start of a commit may be brought forward at most.
const EARLY_SHARE_MAX: u64 = 2;

enum Message {
    Records(Vec<Record>),
    Flush(oneshot::Sender<()>),
}

/// The way in: the only data channel of the house.
#[derive(Clone)]
pub struct Inbox {
    tx: SyncSender<Message>,
    waiting: Arc<AtomicUsize>,
    health: Arc<JournalHealth>,
}

/// There is no room; the records come back.
pub struct Full(pub Vec<Record>);

impl Inbox {
    /// Hands records over, or gives them back where there is no room. Never waits.
    pub fn offer(&self, records: Vec<Record>) -> Result<(), Full> {
        let count = records.len();
        if count == 0 {
            return Ok(());
        }
        if self.waiting.fetch_add(count, Ordering::AcqRel) + count > WAITING_READINGS_MAX {
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            return Err(Full(records));
        }
        // Counted before they are handed over: the writer may have committed them before this call returns.
        let at_risk = u64::try_from(count).unwrap_or(u64::MAX);
        self.health.at_risk.fetch_add(at_risk, Ordering::AcqRel);
        match self.tx.try_send(Message::Records(records)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.waiting.fetch_sub(count, Ordering::AcqRel);
                subtract(&self.health.at_risk, at_risk);
                match message {
                    Message::Records(records) => Err(Full(records)),
                    Message::Flush(_) => Ok(()),
                }
            }
        }
    }

    /// Waits until everything offered before is durable (or the writer is gone).
    pub async fn flush(&self) {
        let (tx, rx) = oneshot::channel();
        if self.tx.try_send(Message::Flush(tx)).is_ok() && rx.await.is_err() {
            warn!("the journal's writer ended before its last commit");
        }
    }
}

/// Looks at the clock for ever: what becomes known of it is an event like any other.
pub async fn watch_clock(clock: Clock, inbox: Inbox, stop: CancellationToken) {
    let mut tick = tokio::time::interval(clock::LOOK_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(event) = clock.look() else { continue };
        info!(facts = ?event.facts, trust = clock.trust().as_str(), "the clock was set");
        if inbox.offer(vec![Record::Event(event)]).is_err() {
            warn!("no room for the event that the clock was set");
        }
    }
}

/// The writer and what it needs.
pub struct Writer {
    journal: Journal,
    config: JournalConfig,
    clock: Clock,
    rx: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    head: watch::Sender<Seq>,
    health: Arc<JournalHealth>,
    sinks: Vec<Arc<SinkHealth>>,
    /// When the oldest reading that is not durable arrived.
    oldest_ms: Option<u64>,
    last_commit_at_ms: u64,
    next_retain_ms: u64,
    flushes: Vec<oneshot::Sender<()>>,
    owed: Vec<Gap>,
}

/// Makes the writer, its way in, and the durable head that it publishes.
pub fn new(
    journal: Journal,
    head: Seq,
    config: &JournalConfig,
    clock: &Clock,
    health: &Arc<JournalHealth>,
    sinks: Vec<Arc<SinkHealth>>,
) -> (Writer, Inbox, watch::Receiver<Seq>) {
    let (tx, rx) = sync_channel(WAITING_MESSAGES_MAX);
    let (head_tx, head_rx) = watch::channel(head);
    let waiting = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox { tx, waiting: waiting.clone(), health: health.clone() };
    let writer = Writer {
        journal,
        config: config.clone(),
        clock: clock.clone(),
        rx,
        waiting,
        head: head_tx,
        health: health.clone(),
        sinks,
        oldest_ms: None,
        last_commit_at_ms: 0,
        next_retain_ms: 0,
        flushes: Vec::new(),
        owed: Vec::new(),
    };
    (writer, inbox, head_rx)
}

impl Writer {
    /// Writes until every way in is gone, then commits once more.
    pub fn run(mut self) -> Result<(), JournalError> {
        self.owed = self.journal.owed_gaps();
        loop {
            let message = match self.rx.recv_timeout(self.until_due()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(message) = message {
                self.take(message);
                self.take_waiting();
            }
            self.append_owed();
            if self.is_due() {
                self.commit()?;
            }
            self.retain()?;
        }
        self.commit()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Records(records) => {
                self.waiting.fetch_sub(records.len(), Ordering::AcqRel);
                // The arrival of its bytes, not of the message: what waited in the queue waited.
                let arrived = records.first().map(|record| record.stamp().mono_ms);
                let arrived = arrived.unwrap_or_else(|| self.clock.mono_ms());
                self.oldest_ms = Some(self.oldest_ms.map_or(arrived, |oldest| oldest.min(arrived)));
                self.journal.append(self.clock.boot(), records);
            }
            Message::Flush(reply) => self.flushes.push(reply),
        }
    }

    fn take_waiting(&mut self) {
        while self.journal.pending() < self.config.commit_readings.max(WAITING_READINGS_MAX) {
            match self.rx.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
    }

    /// Gaps that the journal owes (budget spent, damage found) go in as events.
    fn append_owed(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let stamp = self.clock.stamp();
        let events: Vec<Record> = self.owed.drain(..).map(|gap| Record::Event(gap.into_event(stamp))).collect();
        self.oldest_ms = Some(self.oldest_ms.unwrap_or(stamp.mono_ms));
        self.health.at_risk.fetch_add(u64::try_from(events.len()).unwrap_or(u64::MAX), Ordering::AcqRel);
        self.journal.append(self.clock.boot(), events);
    }

    /// When what waits is to be committed. After a quiet interval: as soon as the rest of a line, and whoever talks
    /// at the same moment, had time to arrive. Otherwise one interval after the last commit, so that the flash sees one
    /// commit an interval at most; but never later than the promise, less what a commit takes.
    fn due_ms(&self, oldest_ms: u64) -> u64 {
        let interval = u64::try_from(self.config.commit_interval.as_millis()).unwrap_or(u64::MAX);
        let early = self.health.last_commit_ms.load(Ordering::Relaxed).saturating_mul(2).max(interval / 10);
        let promised = oldest_ms + interval - early.min(interval / EARLY_SHARE_MAX);
        (oldest_ms + interval / LINGER_SHARE).max(self.last_commit_at_ms + interval).min(promised)
    }

    fn until_due(&self) -> Duration {
        let now = self.clock.mono_ms();
        let wait = self.oldest_ms.map_or(RETAIN_EVERY_MS, |oldest| self.due_ms(oldest).saturating_sub(now));
        Duration::from_millis(wait.min(RETAIN_EVERY_MS))
    }

    fn is_due(&self) -> bool {
        let is_old = self.oldest_ms.is_some_and(|oldest| self.clock.mono_ms() >= self.due_ms(oldest));
        is_old || self.journal.pending() >= self.config.commit_readings || !self.flushes.is_empty()
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        let count = u64::try_from(self.journal.pending()).unwrap_or(u64::MAX);
        if count > 0 {
            let started = self.clock.moment();
            let head = self.journal.commit(started)?;
            let took = self.clock.mono_ms().saturating_sub(started.mono_ms);
            self.health.last_commit_ms.store(took, Ordering::Relaxed);
            self.last_commit_at_ms = started.mono_ms;
            self.health.committed_total.fetch_add(count, Ordering::Relaxed);
            // First the head, then what is at risk: nobody may see both old and be told that all is delivered.
            self.head.send_replace(head);
            subtract(&self.health.at_risk, count);
        }
        self.oldest_ms = None;
        for flush in self.flushes.drain(..) {
            if flush.send(()).is_err() {
                warn!("a flush was no longer waited for");
            }
        }
        Ok(())
    }

    fn retain(&mut self) -> Result<(), JournalError> {
        let now = self.clock.moment();
        if now.mono_ms < self.next_retain_ms {
            return Ok(());
        }
        self.next_retain_ms = now.mono_ms + RETAIN_EVERY_MS;
        let head = *self.head.borrow();
        let drained = self.sinks.iter().map(|sink| Seq(sink.drained.load(Ordering::Acquire))).min().unwrap_or(head);
        for gap in self.journal.retain(drained, now)? {
            error!(
                count = gap.count,
                reason = gap.reason.as_str(),
                "the journal is over its budget, the oldest records were dropped"
            );
            self.health.dropped_total.fetch_add(gap.count, Ordering::Relaxed);
            self.owed.push(gap);
        }
        Ok(())
    }
}

/// Gap events are committed without having been offered, so the count may not run below zero.
fn subtract(counter: &AtomicU64, count: u64) {
    let updated = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| Some(held.saturating_sub(count)));
    debug_assert!(updated.is_ok(), "the closure always gives a value");
}
