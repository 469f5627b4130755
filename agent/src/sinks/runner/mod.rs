//! The one delivery loop: what a sink still lacks is cut into batches, named, sealed, delivered and confirmed.
//!
//! ```text
//! head moves -> look: the first hole in the cursor -> due? -> read, encode, [seal, name durably] -> deliver -> confirm
//!                                                                        ^ after a crash: the same bytes again
//! ```
//!
//! There is no live path and no backlog path: a sink that was away for a month and one that is a second behind run
//! these lines. A cursor moves only after the far side has confirmed, and only here. On a refusal for good the batch
//! is set aside with a gap, and what stands behind it goes on.

pub mod aside;
mod deliver;
mod flow;
mod plan;
pub mod replay;
mod sealed;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use journal::{Cursor, CursorFile, JournalError, Loaded, Reader, SealedStore};
use model::{Epoch, Gap, GapReason, RangeSet, Record, Seq, SeqRange, SinkId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::meter::{Meter, Wait};
use super::{Batch, REFUSALS_MAX, Sink};
use crate::clock::Clock;
use crate::config::SinkBytes;
use crate::record::Inbox;
use crate::telemetry::health::{SinkHealth, SinkState};
use crate::telemetry::logs::chain;
use deliver::{End, Outcome, deliver};
use flow::Flow;
use plan::{Next, Plan, Waiting};
use replay::{Ask, Looked, Looks};

/// How often a cursor that moved is written where nothing but duplicates hangs on it.
const STORE_EVERY: Duration = Duration::from_secs(5);
/// How often a sink is asked to tend to itself.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// How long an orderly end may take.
const END_LIMIT: Duration = Duration::from_secs(4);
/// How long a loop waits that met a disk which is full, read-only or gone.
const DISK_WAIT: Duration = Duration::from_secs(1);
/// Connections on which next to nothing arrives, in a row, before one batch is suspected of that.
const BARREN_MAX: u32 = 3;
/// So many batches that arrive over a connection show that the line is to blame for its end: what stands before one that the
/// far side hangs up on is fewer.
const FRUITFUL_MIN: u32 = 4;

type UnderWay = FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>;

/// What a runner works with; the same for every kind of sink.
#[derive(Clone)]
pub struct Surroundings {
    /// The sink's name.
    pub id: SinkId,
    /// The journal's folder: cursors and sealed batches stand in it.
    pub folder: std::path::PathBuf,
    /// The journal.
    pub reader: Reader,
    /// The durable head.
    pub head: watch::Receiver<Seq>,
    /// The way in, for gaps.
    pub inbox: Inbox,
    /// The clocks.
    pub clock: Clock,
    /// What `status` shows.
    pub health: Arc<SinkHealth>,
    /// How long readings wait for the clock to be set.
    pub hold_untrusted: Duration,
    /// What it may keep on disk.
    pub bytes: SinkBytes,
    /// What it may spend.
    pub meter: Arc<Meter>,
    /// Whether what is not due yet is sent at the end.
    pub flushes_at_end: bool,
}

/// Runs a sink until told to stop. `make` is asked for it as soon as the journal is open, and again while the local
/// disk does not let it or its cursor be opened.
///
/// The first attempt is made here and now, not when the task is first polled: what the cursor says is known before
/// retention asks.
pub fn run<S: Sink>(
    mut make: impl FnMut(&Epoch) -> std::io::Result<S> + Send + 'static,
    with: Surroundings,
    replays: mpsc::Receiver<Ask>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let mut opened = open(&mut make, &with);
    async move {
        loop {
            match opened {
                Ok(runner) => return runner.run(replays, stop).await,
                Err(error) => {
                    with.health.state.set(SinkState::Retrying);
                    if with.health.last_error.get().as_ref() != Some(&error) {
                        warn!(sink = %with.id, error, "the local disk does not let the sink start, will try again");
                    }
                    with.health.last_error.set(Some(error));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(DISK_WAIT) => {}
            }
            opened = block_in_place(|| open(&mut make, &with));
        }
    }
}

fn open<S: Sink>(
    make: &mut impl FnMut(&Epoch) -> std::io::Result<S>,
    with: &Surroundings,
) -> Result<Runner<S>, String> {
    let epoch = with.reader.epoch().filter(|_| with.reader.is_attached());
    let epoch = epoch.ok_or_else(|| JournalError::Unavailable.to_string())?;
    let sink = make(&epoch).map_err(|error| error.to_string())?;
    let runner = Runner::open(sink, with.clone()).map_err(|error| chain(&error))?;
    with.health.state.set(SinkState::Ok);
    Ok(runner)
}

/// The loop of one sink.
pub struct Runner<S> {
    sink: Arc<S>,
    with: Surroundings,
    cursor: Cursor,
    cursor_file: CursorFile,
    sealed: Arc<SealedStore>,
    quarantined: SealedStore,
    /// Confirmed, or under way.
    claimed: RangeSet,
    under_way: UnderWay,
    /// Tells those under way that one has got through.
    through: Arc<Notify>,
    /// Where those under way begin, and sealed ones that have arrived before one that lies before them.
    going: BTreeSet<Seq>,
    arrived: BTreeMap<Seq, Batch>,
    /// One a lane.
    waiting: [Option<Waiting>; 2],
    flow: Flow,
    /// From here on records are live; what lies before is the backlog.
    live_from: Seq,
    /// The newest go now, whatever their age.
    is_newest_due: bool,
    /// What lies before it goes now: somebody asked for it.
    flush_to: Seq,
    /// Positions of batches one of which the far side closed the connection for, and how often the one that goes alone was.
    suspects: RangeSet,
    refusals: u32,
    /// What goes when there is nothing else to send.
    shunned: RangeSet,
    /// Connections in a row on which next to nothing arrived, and how many batches have on this one.
    barren: u32,
    carried: u32,
    is_moved: bool,
    /// What the local disk last refused.
    disk_trouble: Option<String>,
    /// Sealed batches that are confirmed and still on disk.
    spent: Vec<SeqRange>,
    store_at: Instant,
    tend_at: Instant,
    ending: Option<Instant>,
    /// What far sides lack of what is to be sent again, being found out.
    looks: Looks,
}

enum Action {
    Ask(Ask),
    PutBack(Looked),
    Take(Outcome),
    Start(SeqRange),
    Store,
    Tend,
    End,
    Look,
}

impl<S: Sink> Runner<S> {
    /// A runner that goes on where the cursor says.
    pub fn open(sink: S, with: Surroundings) -> Result<Self, JournalError> {
        let (cursor_file, loaded) = CursorFile::load(&with.folder, &with.id)?;
        let tail = with.reader.tail();
        let cursor = match loaded {
            Loaded::Cursor(cursor) => cursor,
            Loaded::New => Cursor::starting_at(tail),
            Loaded::Damaged => {
                error!(sink = %with.id, from = %tail, "the cursor is damaged, everything the journal holds is sent again");
                Cursor::starting_at(tail)
            }
        };
        let sealed = Arc::new(SealedStore::open(&with.folder, &with.id, with.bytes.sealed)?);
        let quarantined = aside::store(&with.folder, &with.id, with.bytes.quarantined)?;
        let kept = u64::try_from(quarantined.ranges()?.len()).unwrap_or(u64::MAX);
        with.health.quarantined_batches.store(kept, Ordering::Relaxed);
        with.health.drained.store(cursor.low_water().0, Ordering::Release);
        with.health.confirmed.store(cursor.confirmed().len(), Ordering::Relaxed);
        let claimed = cursor.confirmed().clone();
        let now = Instant::now();
        Ok(Self {
            sink: Arc::new(sink),
            with,
            cursor,
            cursor_file,
            sealed,
            quarantined,
            claimed,
            under_way: FuturesUnordered::new(),
            through: Arc::default(),
            going: BTreeSet::new(),
            arrived: BTreeMap::new(),
            waiting: [None; 2],
            flow: Flow::default(),
            live_from: Seq(0),
            is_newest_due: false,
            flush_to: Seq(0),
            suspects: RangeSet::new(),
            refusals: 0,
            shunned: RangeSet::new(),
            barren: 0,
            carried: 0,
            is_moved: false,
            disk_trouble: None,
            spent: Vec::new(),
            store_at: now + STORE_EVERY,
            tend_at: now,
            ending: None,
            looks: Looks::new(),
        })
    }

    /// Delivers until told to stop.
    pub async fn run(mut self, mut replays: mpsc::Receiver<Ask>, stop: CancellationToken) {
        if let Err(error) = self.deliver_for_ever(&mut replays, &stop).await {
            // No matter of waiting: a defect, or a journal of a later format. This loop only says what it saw.
            let error = chain(&error);
            error!(sink = %self.with.id, error, "sink stopped");
            self.with.health.state.set(SinkState::Failed);
            self.with.health.last_error.set(Some(error));
            stop.cancelled().await;
        }
    }

    async fn deliver_for_ever(
        &mut self,
        replays: &mut mpsc::Receiver<Ask>,
        stop: &CancellationToken,
    ) -> Result<(), JournalError> {
        self.resume_named();
        loop {
            let acted = match self.choose(replays, stop).await {
                Ok(Action::End) => break,
                Ok(action) => self.act(action).await,
                Err(error) => Err(error),
            };
            match acted {
                Ok(()) => {}
                Err(error) if error.is_disk() => {
                    self.note_disk(Some(&error));
                    // Also at the end, whose limit is longer.
                    tokio::time::sleep(DISK_WAIT).await;
                }
                Err(error) => return Err(error),
            }
            self.note_end(stop);
        }
        self.store()?;
        if timeout(END_LIMIT, self.tend(true)).await.is_err() {
            warn!(sink = %self.with.id, "no time to finish the manifest, the next start does");
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), JournalError> {
        match action {
            Action::Take(outcome) => self.take(outcome)?,
            Action::Start(range) => self.start(range).await?,
            Action::Store => self.store()?,
            Action::Ask(Ask::Replay(replay)) => self.look_for_replay(replay)?,
            Action::Ask(Ask::Flush(reply)) => self.flush(reply),
            Action::Ask(Ask::Hurry(reply)) => self.hurry(reply),
            Action::Ask(Ask::Forget(forget)) => self.forget(forget)?,
            Action::PutBack(looked) => self.put_back(looked)?,
            Action::Tend => {
                self.tend(false).await;
                return self.settle();
            }
            Action::Look | Action::End => return Ok(()),
        }
        self.settle()?;
        // Only what went to the disk says that it is back.
        self.note_disk(None);
        Ok(())
    }

    /// Says once that the local disk is waited for, and once that it is back.
    fn note_disk(&mut self, trouble: Option<&JournalError>) {
        let text = trouble.map(|error| chain(error));
        if self.disk_trouble.is_some() == text.is_some() {
            return;
        }
        match &text {
            Some(error) => {
                warn!(sink = %self.with.id, error, "the local disk fails this sink, will try again");
                self.with.health.last_error.set(Some(error.clone()));
            }
            None => info!(sink = %self.with.id, "the local disk is back"),
        }
        self.disk_trouble = text;
    }

    /// Chooses what to do next; changes nothing that a dropped future would lose.
    async fn choose(
        &mut self,
        replays: &mut mpsc::Receiver<Ask>,
        stop: &CancellationToken,
    ) -> Result<Action, JournalError> {
        let is_reachable = self.sink.is_reachable();
        let is_free = self.under_way.len() + self.arrived.len() < self.sink.limits().window && self.has_room();
        let mut next = if is_free { self.look().await? } else { Next::Nothing };
        if let Next::Due(range) = next {
            next = match self.with.meter.may_send(Instant::now(), self.with.clock.now()) {
                Ok(()) if is_reachable => return Ok(Action::Start(range)),
                Err(Wait::For(wait)) => Next::In(wait),
                Ok(()) => Next::Nothing,
                Err(Wait::Month(reason)) => {
                    self.with.health.last_error.set(Some(reason));
                    self.with.health.state.set(SinkState::Spent);
                    Next::Nothing
                }
            };
        }
        if self.is_ended(&next) {
            return Ok(Action::End);
        }
        let due_at = match next {
            Next::In(wait) => Instant::now() + wait,
            _ => self.tend_at,
        };
        let end_at = self.ending.unwrap_or(self.tend_at);
        let is_ending = self.ending.is_some();
        let (is_moved, is_spent) = (self.is_moved, !self.spent.is_empty());
        Ok(tokio::select! {
            Some(outcome) = self.under_way.next() => Action::Take(outcome),
            Some(replay) = replays.recv() => Action::Ask(replay),
            Some(looked) = self.looks.next() => Action::PutBack(looked),
            () = self.sink.reachable(), if !is_reachable => Action::Look,
            () = sleep_until(self.tend_at) => Action::Tend,
            () = sleep_until(self.store_at), if is_moved || is_spent => Action::Store,
            () = sleep_until(due_at.min(end_at)) => Action::Look,
            () = stop.cancelled(), if !is_ending => Action::Look,
            moved = self.with.head.changed(), if is_free => match moved {
                Ok(()) => Action::Look,
                // The writer is gone: there will be nothing new.
                Err(_) => { stop.cancelled().await; Action::Look }
            },
        })
    }

    /// Where a backlog may stand in the way of the newest, little of it is on the way at a time.
    fn has_room(&self) -> bool {
        // Suspects go alone.
        let is_clear = self.suspects.is_empty() || self.under_way.is_empty();
        is_clear && (!self.sink.is_live_first() || self.flow.has_room())
    }

    fn note_end(&mut self, stop: &CancellationToken) {
        if stop.is_cancelled() && self.ending.is_none() {
            self.ending = Some(Instant::now() + END_LIMIT);
            self.waiting = [None; 2];
        }
    }

    /// At the end what is under way may arrive and, where the sink flushes, the rest is sent; a far side that does
    /// not answer is not waited for. Nothing relies on it: the next start goes on from the cursor.
    fn is_ended(&self, next: &Next) -> bool {
        let Some(deadline) = self.ending else { return false };
        let is_done = self.under_way.is_empty() && !matches!(next, Next::Due(_));
        is_done || Instant::now() >= deadline || self.with.health.state.get() != SinkState::Ok
    }

    /// Reads, encodes, seals and names a batch from the beginning of `range`, and sends it on its way.
    async fn start(&mut self, range: SeqRange) -> Result<(), JournalError> {
        self.waiting = [None; 2];
        let Plan { batch, covered, lost, refused } = self.plan(range).await?;
        for (range, reason) in lost {
            self.report_lost(range, reason);
        }
        self.claimed.insert(covered);
        if let Some(reason) = refused {
            self.set_aside(covered, None, &reason);
            return self.confirm(covered, 0);
        }
        let Some(batch) = batch else { return self.confirm(covered, 0) };
        if self.sink.is_sealed()
            && let Err(error) = self.seal(&batch)
        {
            // Not sent, so not under way: the same hole is found and cut again.
            self.claimed.remove(covered);
            self.cursor.forget(batch.range);
            return Err(error);
        }
        self.send(batch);
        Ok(())
    }

    fn send(&mut self, batch: Batch) {
        let (sink, health, clock) = (self.sink.clone(), self.with.health.clone(), self.with.clock.clone());
        let now = Instant::now();
        self.with.meter.spend(self.sink.cost(&batch), now, self.with.clock.now());
        self.flow.sent(batch.bytes.len(), now);
        self.going.insert(batch.range.first);
        self.under_way.push(Box::pin(deliver(
            sink,
            batch,
            health,
            (clock, self.with.meter.clone()),
            self.through.clone(),
        )));
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), JournalError> {
        let Outcome { batch, end } = outcome;
        self.flow.done(batch.bytes.len(), matches!(end, End::Arrived), Instant::now());
        self.going.remove(&batch.range.first);
        match end {
            End::Arrived => {
                self.carried = self.carried.saturating_add(1);
                self.acquit(batch.range);
                if self.sink.is_sealed() {
                    self.arrived.insert(batch.range.first, batch);
                    return Ok(());
                }
                self.confirm(batch.range, batch.range.len())
            }
            End::Away => {
                self.send_back(batch.range);
                Ok(())
            }
            End::Disliked(reason) => self.suspect(&batch, &reason),
            End::Refused(reason) => {
                let range = batch.range;
                self.set_aside(range, Some(&batch), &reason);
                self.confirm(range, 0)
            }
        }
    }

    /// The hole is found again once there is a connection; what goes first is decided then.
    ///
    /// Where connection after connection ends and next to nothing has arrived, one of those under way may be why, without the far
    /// side's word for it: each goes alone then, and the one that it happens to again goes last, for ever if need be. What
    /// went before it over that connection does not acquit it, and a line that was to blame after all costs it its turn.
    fn send_back(&mut self, range: SeqRange) {
        self.claimed.remove(range);
        self.with.health.state.set(SinkState::Retrying);
        let is_fruitful = self.carried >= FRUITFUL_MIN;
        let is_barren = !is_fruitful && self.barren + 1 >= BARREN_MAX;
        if self.suspects.missing(range).is_empty() {
            self.shunned.insert(range);
            self.suspects.remove(range);
        } else if is_barren {
            self.suspects.insert(range);
        }
        if self.under_way.is_empty() {
            self.barren = if is_fruitful { 0 } else { self.barren + 1 };
            self.carried = 0;
        }
    }

    /// One of those under way made the far side close the connection: each goes alone from now on, and is known to be the
    /// one when that happens to it again.
    fn suspect(&mut self, batch: &Batch, reason: &str) -> Result<(), JournalError> {
        self.claimed.remove(batch.range);
        let is_known = self.suspects.missing(batch.range).is_empty();
        self.suspects.insert(batch.range);
        self.refusals += u32::from(is_known);
        if !is_known || self.refusals < REFUSALS_MAX {
            self.with.health.state.set(SinkState::Retrying);
            self.with.health.last_error.set(Some(reason.to_owned()));
            return Ok(());
        }
        self.claimed.insert(batch.range);
        self.set_aside(batch.range, Some(batch), reason);
        self.acquit(batch.range);
        self.confirm(batch.range, 0)
    }

    fn acquit(&mut self, range: SeqRange) {
        self.suspects.remove(range);
        self.refusals = 0;
    }

    /// The only place where a cursor moves.
    fn confirm(&mut self, range: SeqRange, delivered: u64) -> Result<(), JournalError> {
        self.cursor.confirm(range);
        self.is_moved = true;
        self.with.health.confirmed.store(self.cursor.confirmed().len(), Ordering::Relaxed);
        self.with.health.delivered_total.fetch_add(delivered, Ordering::Relaxed);
        if self.sink.is_sealed() {
            self.spent.push(range);
            self.store()?;
        }
        Ok(())
    }

    fn store(&mut self) -> Result<(), JournalError> {
        self.store_at = Instant::now() + STORE_EVERY;
        block_in_place(|| self.cursor_file.store(&self.cursor))?;
        self.is_moved = false;
        // Retention believes only what is durable: a cursor that a crash takes back must still find its records.
        self.with.health.drained.store(self.cursor.low_water().0, Ordering::Release);
        // Only now: a cursor that a crash takes back still needs the bytes.
        while let Some(&spent) = self.spent.last() {
            block_in_place(|| self.sealed.remove(spent))?;
            self.spent.pop();
        }
        Ok(())
    }

    async fn tend(&mut self, is_end: bool) {
        let tended = self.sink.tend(is_end).await;
        let beside = self.sink.spent_beside();
        if beside > 0 {
            self.with.meter.spend(beside, Instant::now(), self.with.clock.now());
        }
        match tended {
            Ok(()) if self.under_way.is_empty() => {
                let is_spent =
                    matches!(self.with.meter.may_send(Instant::now(), self.with.clock.now()), Err(Wait::Month(_)));
                self.with.health.state.set(if is_spent { SinkState::Spent } else { SinkState::Ok });
            }
            Ok(()) => {}
            Err(error) => {
                self.with.health.last_error.set(Some(error.to_string()));
                self.with.health.state.set(SinkState::Retrying);
            }
        }
        self.tend_at = Instant::now() + TEND_EVERY;
    }

    fn report_lost(&self, range: SeqRange, reason: GapReason) {
        let gap = Gap { range: Some(range), count: range.len(), times: None, reason };
        let event = gap.into_event(self.with.clock.stamp()).with("sink", self.with.id.as_str());
        if self.with.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            error!(sink = %self.with.id, %range, "no room for a gap event in the journal, the log has it");
        }
        info!(sink = %self.with.id, %range, reason = reason.as_str(), "records lost to this sink, gap recorded");
    }
}
