//! The one writer of the journal: takes readings in, commits them as a group, and says how far it has come.
//!
//! An OS thread, because sled is synchronous and one sync can take 200 ms on a bad card. A reading is durable at
//! most `commit_interval` after its last byte arrived: the commit starts early by what the last ones took. While a
//! commit runs more readings queue up, so that a slow card makes larger commits, not a longer queue.
//!
//! A disk that is full, read-only or gone is waited for (`keeper`), and the newest records wait in memory (`ring`): the
//! instruments are not disturbed. A failed sync is never retried (the kernel has already forgotten the pages): this thread ends, the process ends
//! with 74, and the next start recovers what the disk really holds.

mod alarms;
mod keeper;
mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use journal::{JournalError, Probe, Reader, Settings};
use model::{Gap, Record, Seq, SeqRange};
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::{self, Clock};
use crate::config::JournalConfig;
use crate::telemetry::beats::Beat;
use crate::telemetry::health::{JournalHealth, SinkHealth};
pub use alarms::Alarm;
use alarms::Alarms;
use keeper::{Keeper, Kept};
use ring::Ring;

/// Readings that may wait for the writer: two seconds of the fastest bus, about 3 MiB. Beyond it a bus is told that
/// there is no room, and what it drops becomes a gap.
const WAITING_READINGS_MAX: usize = 32_768;
/// Messages that may wait; each holds at least one reading.
const WAITING_MESSAGES_MAX: usize = 4_096;
/// How long who adjusts the journal waits for a place in a full queue.
const ADJUST_WAIT: Duration = Duration::from_millis(20);
/// How often generations are looked at for removal.
const RETAIN_EVERY_MS: u64 = 1_000;
/// The share of the interval that a first reading waits for others: 100 ms of a second.
const LINGER_SHARE: u64 = 10;
/// The share of the interval that the start of a commit may be brought forward at most.
const EARLY_SHARE_MAX: u64 = 2;

enum Message {
    Records(Vec<Record>),
    Adjust(Box<Adjusted>),
    Flush(oneshot::Sender<()>),
}

/// The way in: the only data channel of the house.
#[derive(Clone)]
pub struct Inbox {
    tx: SyncSender<Message>,
    waiting: Arc<AtomicUsize>,
    health: Arc<JournalHealth>,
}

/// What of the journal's configuration is exchanged under way: all but its place.
struct Adjusted {
    config: JournalConfig,
    reserved_bytes: u64,
    sinks: Vec<Arc<SinkHealth>>,
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
                    Message::Flush(_) | Message::Adjust(_) => Ok(()),
                }
            }
        }
    }

    /// From now on the journal is kept like this, for these sinks. Waits for a place: who is told must be told.
    pub async fn adjust(&self, config: JournalConfig, reserved_bytes: u64, sinks: Vec<Arc<SinkHealth>>) {
        let mut message = Message::Adjust(Box::new(Adjusted { config, reserved_bytes, sinks }));
        loop {
            message = match self.tx.try_send(message) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(message)) => message,
            };
            tokio::time::sleep(ADJUST_WAIT).await;
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
        if inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the event that the clock was set");
        }
    }
}

/// The writer and what it needs.
pub struct Writer {
    keeper: Keeper,
    ring: Ring,
    config: JournalConfig,
    clock: Clock,
    rx: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    head: watch::Sender<Seq>,
    reader: Reader,
    alarms: Alarms,
    health: Arc<JournalHealth>,
    sinks: Vec<Arc<SinkHealth>>,
    /// When the oldest reading that is not durable arrived.
    oldest_ms: Option<u64>,
    last_commit_at_ms: u64,
    next_retain_ms: u64,
    flushes: Vec<oneshot::Sender<()>>,
    owed: Vec<Gap>,
}

/// The journal as the house sees it.
pub struct Opened {
    /// To be run on a thread of its own.
    pub writer: Writer,
    /// The way in.
    pub inbox: Inbox,
    /// The reading side.
    pub reader: Reader,
    /// The durable head.
    pub head: watch::Receiver<Seq>,
    /// Where alarms are listened for.
    pub alarms: broadcast::Sender<Alarm>,
}

/// Makes the writer and everything that leads to it or comes from it.
///
/// A journal that can not be opened for want of its disk is waited for; other reasons are errors.
pub fn open(
    config: &JournalConfig,
    (reserved_bytes, probe): (u64, Option<Probe>),
    clock: &Clock,
    health: &Arc<JournalHealth>,
    sinks: Vec<Arc<SinkHealth>>,
) -> Result<Opened, JournalError> {
    let settings = Settings { probe, ..settings_of(config, reserved_bytes) };
    let (keeper, reader) = Keeper::open(settings, clock)?;
    health.trouble.set(keeper.trouble().map(str::to_owned));
    let (tx, rx) = sync_channel(WAITING_MESSAGES_MAX);
    let (head_tx, head) = watch::channel(reader.head());
    let alarms = Alarms::default();
    let heard_by = alarms.heard_by();
    let waiting = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox { tx, waiting: waiting.clone(), health: health.clone() };
    let writer = Writer {
        keeper,
        ring: Ring::default(),
        config: config.clone(),
        clock: clock.clone(),
        rx,
        waiting,
        head: head_tx,
        reader: reader.clone(),
        alarms,
        health: health.clone(),
        sinks,
        oldest_ms: None,
        last_commit_at_ms: 0,
        next_retain_ms: 0,
        flushes: Vec::new(),
        owed: Vec::new(),
    };
    Ok(Opened { writer, inbox, reader, head, alarms: heard_by })
}

fn settings_of(config: &JournalConfig, reserved_bytes: u64) -> Settings {
    Settings {
        max_bytes: config.max_bytes,
        reserved_bytes,
        when_full: config.when_full,
        keep_delivered_ms: u64::try_from(config.keep_delivered.as_millis()).unwrap_or(u64::MAX),
        ..Settings::at(&config.path)
    }
}

impl Writer {
    /// Writes until every way in is gone, then commits once more. Each turn of the loop beats, at least so often.
    pub fn run(mut self, beat: &Beat, every: Option<Duration>) -> Result<(), JournalError> {
        loop {
            beat.strike();
            let wait = self.until_due();
            let message = match self.rx.recv_timeout(every.map_or(wait, |every| wait.min(every))) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(message) = message {
                self.take(message);
                self.take_waiting();
            }
            if self.is_due() {
                self.commit()?;
            }
            self.retain()?;
        }
        self.commit()?;
        let (left, trouble) = (self.ring.len() + self.keeper.waiting(), self.keeper.trouble());
        if left > 0 {
            error!(left, trouble, "ending while the journal can not be written, these readings are lost");
        }
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Records(records) => {
                self.waiting.fetch_sub(records.len(), Ordering::AcqRel);
                // The arrival of its bytes, not of the message: what waited in the queue waited.
                let arrived = records.first().map(|record| record.stamp().mono_ms);
                let arrived = arrived.unwrap_or_else(|| self.clock.mono_ms());
                self.oldest_ms = Some(self.oldest_ms.map_or(arrived, |oldest| oldest.min(arrived)));
                self.alarms.notice(&records);
                let fallen = self.ring.push(records);
                subtract(&self.health.at_risk, fallen);
                self.health.dropped_total.fetch_add(fallen, Ordering::Relaxed);
            }
            Message::Flush(reply) => self.flushes.push(reply),
            Message::Adjust(adjusted) => {
                let Adjusted { config, reserved_bytes, sinks } = *adjusted;
                self.keeper.adjust(|settings| {
                    *settings = Settings {
                        path: settings.path.clone(),
                        probe: settings.probe.take(),
                        ..settings_of(&config, reserved_bytes)
                    };
                });
                self.config = JournalConfig { path: self.config.path.clone(), ..config };
                self.sinks = sinks;
            }
        }
    }

    fn take_waiting(&mut self) {
        for _ in 0..WAITING_MESSAGES_MAX {
            let is_enough = self.ring.len() >= self.config.commit_readings.max(WAITING_READINGS_MAX);
            if self.keeper.trouble().is_none() && (is_enough || self.ring.is_half_full()) {
                break;
            }
            match self.rx.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
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
        let due_ms = self.keeper.next_try_ms().or_else(|| self.oldest_ms.map(|oldest| self.due_ms(oldest)));
        let wait = due_ms.map_or(RETAIN_EVERY_MS, |due| due.saturating_sub(now));
        Duration::from_millis(wait.min(RETAIN_EVERY_MS))
    }

    fn is_due(&self) -> bool {
        let now = self.clock.mono_ms();
        if let Some(next_try) = self.keeper.next_try_ms() {
            return now >= next_try || !self.flushes.is_empty() || self.alarms.is_waiting();
        }
        let is_old = self.oldest_ms.is_some_and(|oldest| now >= self.due_ms(oldest));
        let is_much = self.ring.len() >= self.config.commit_readings || self.ring.is_half_full();
        is_old || is_much || !self.flushes.is_empty() || !self.owed.is_empty() || self.alarms.is_waiting()
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        let is_idle = self.ring.len() == 0 && self.owed.is_empty() && self.keeper.waiting() == 0;
        if !is_idle || self.keeper.trouble().is_some() {
            let started_ms = self.clock.mono_ms();
            let before = *self.head.borrow();
            let kept = self.keeper.commit(&mut self.ring, &mut self.owed)?;
            self.health.trouble.set(self.keeper.trouble().map(str::to_owned));
            match kept {
                Some(kept) => {
                    self.publish(kept, started_ms);
                    self.alarms.written(&self.reader, SeqRange::new(before, kept.head));
                }
                None => self.alarms.unwritten(),
            }
        }
        if self.keeper.trouble().is_none() {
            self.oldest_ms = None;
        }
        // Also where nothing could be written: who ends the agent does not wait for a disk.
        for flush in self.flushes.drain(..) {
            if flush.send(()).is_err() {
                warn!("a flush was no longer waited for");
            }
        }
        Ok(())
    }

    fn publish(&mut self, kept: Kept, started_ms: u64) {
        let Kept { head, settled, refused } = kept;
        let took = self.clock.mono_ms().saturating_sub(started_ms);
        self.health.last_commit_ms.store(took, Ordering::Relaxed);
        self.last_commit_at_ms = started_ms;
        self.health.committed_total.fetch_add(settled - refused, Ordering::Relaxed);
        self.health.dropped_total.fetch_add(refused, Ordering::Relaxed);
        // First the head, then what is at risk: nobody may see both old and be told that all is delivered.
        self.head.send_replace(head);
        subtract(&self.health.at_risk, settled);
    }

    fn retain(&mut self) -> Result<(), JournalError> {
        let now = self.clock.moment();
        if now.mono_ms < self.next_retain_ms {
            return Ok(());
        }
        self.next_retain_ms = now.mono_ms + RETAIN_EVERY_MS;
        let head = *self.head.borrow();
        let drained = self.sinks.iter().map(|sink| Seq(sink.drained.load(Ordering::Acquire))).min().unwrap_or(head);
        for gap in self.keeper.retain(drained)? {
            error!(count = gap.count, reason = gap.reason.as_str(), "records were lost, a gap says so");
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
