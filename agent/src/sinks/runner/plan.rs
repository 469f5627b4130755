//! What to send next: the first hole in the cursor, when its batch is due, and its records encoded within the limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::{JournalError, Reader};
use model::{Clock as Trust, GapReason, Numbered, RangeSet, Seq, SeqRange};

use super::Runner;
use crate::clock::Clock;
use crate::sinks::{Batch, BatchLimits, Sink};

/// Records read from the journal at once.
const READ_RECORDS_MAX: usize = 4096;

/// Batches behind which a sink goes to the newest first.
const BEHIND_BATCHES: u64 = 4;
/// And how long the first of them must have been due.
const BEHIND_MS: u64 = 5_000;
/// How many the newest few are: a message that the slowest line carries in two seconds.
const NEWEST_RECORDS: u64 = 100;
/// Islands of confirmed records in a cursor beyond which no new one is begun.
const LANES_MAX: usize = 64;

/// What of the journal a batch is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What comes in now.
    Live,
    /// What an outage has left.
    Backlog,
}

/// The first record that is waiting.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Its position.
    pub first: Seq,
    /// When its batch is due by age, by the boot's clock.
    pub due_ms: u64,
    /// Until when it waits for the clock to be set.
    pub held_until_ms: u64,
    /// Whether the boot had an anchor when that was found.
    pub knew_anchor: bool,
}

/// What the cursor's first hole asks for.
pub enum Next {
    /// Everything is confirmed or under way.
    Nothing,
    /// A batch is due after this time.
    In(Duration),
    /// A batch is due.
    Due(SeqRange),
}

/// A batch made from the beginning of a range.
pub struct Plan {
    /// The batch; none where nothing of the range is left.
    pub batch: Option<Batch>,
    /// The positions that the batch, or what was lost, answers for.
    pub covered: SeqRange,
    /// What the journal could not give back.
    pub lost: Vec<(SeqRange, GapReason)>,
    /// Why the records can not be sent at all.
    pub refused: Option<String>,
}

impl<S: Sink> Runner<S> {
    /// Looks for what to send next and when it is due.
    ///
    /// Two lanes where the sink wants the newest first: what lies at or behind `live_from` is live and goes when it is
    /// due; what lies before is the backlog and goes whenever nothing live is due. Else all is live.
    pub(super) async fn look(&mut self) -> Result<Next, JournalError> {
        let head = *self.with.head.borrow_and_update();
        if !self.with.reader.is_attached() {
            // The disk is waited for; the far side is not to blame.
            return Ok(Next::Nothing);
        }
        let tail = self.with.reader.tail();
        self.skip_dropped(SeqRange::new(self.cursor.low_water(), tail));
        let mut holes = self.holes(SeqRange::new(tail, head));
        if holes.is_empty() {
            self.with.health.oldest_waiting_at.store(0, Ordering::Relaxed);
            self.with.health.is_held.store(false, Ordering::Relaxed);
            return Ok(Next::Nothing);
        }
        self.turn_to_live(&holes, head).await?;
        let from = holes.partition_point(|hole| hole.next <= self.live_from);
        let mut live = holes.split_off(from);
        let mut backlog = holes.first().copied();
        if let Some(first) = live.first_mut().filter(|first| first.first < self.live_from) {
            backlog = backlog.or(Some(SeqRange::new(first.first, self.live_from)));
            first.first = self.live_from;
        }
        let old = match backlog {
            Some(hole) => self.due(Lane::Backlog, hole, true, true).await?,
            None => Next::Nothing,
        };
        let Some(hole) = live.first().copied() else { return Ok(old) };
        let is_due = self.is_newest_due || live.len() > 1;
        match self.due(Lane::Live, hole, is_due, backlog.is_none()).await? {
            Next::Due(hole) => {
                self.is_newest_due = false;
                Ok(Next::Due(hole))
            }
            next if backlog.is_none() => Ok(next),
            _ => Ok(old),
        }
    }

    /// What is neither confirmed nor under way; what is shunned only where that is all.
    fn holes(&mut self, within: SeqRange) -> Vec<SeqRange> {
        let all = self.claimed.missing(within);
        if self.shunned.is_empty() {
            return all;
        }
        let holes: Vec<_> = all.iter().flat_map(|hole| self.shunned.missing(*hole)).collect();
        if holes.is_empty() && self.under_way.is_empty() {
            // Each once more, alone.
            for range in self.shunned.ranges() {
                self.suspects.insert(*range);
            }
            self.shunned = RangeSet::new();
            return all;
        }
        holes
    }

    /// Where there is much to catch up with, and it has been due for long, the newest few go first, and what follows them is
    /// live. A busy moment is no outage: its records keep their order.
    async fn turn_to_live(&mut self, holes: &[SeqRange], head: Seq) -> Result<(), JournalError> {
        if !self.sink.is_live_first() || self.cursor.confirmed().ranges().len() > LANES_MAX {
            return Ok(());
        }
        let limits = self.sink.limits();
        let full = u64::try_from(limits.records_max).unwrap_or(u64::MAX);
        let live = holes.iter().find(|hole| hole.next > self.live_from);
        let live = live.map(|hole| SeqRange::new(hole.first.max(self.live_from), hole.next));
        let is_much = |hole: &SeqRange| head.0.saturating_sub(hole.first.0) > full.saturating_mul(BEHIND_BATCHES);
        let Some(hole) = live.filter(is_much) else { return Ok(()) };
        let waiting = self.first_waiting(Lane::Live, hole, limits, false).await?;
        if self.with.clock.mono_ms().saturating_sub(waiting.due_ms) >= BEHIND_MS {
            self.live_from = Seq(head.0 - full.min(NEWEST_RECORDS));
            self.is_newest_due = true;
        }
        Ok(())
    }

    /// When the batch that begins with `hole` goes.
    async fn due(&mut self, lane: Lane, hole: SeqRange, is_due: bool, is_oldest: bool) -> Result<Next, JournalError> {
        let limits = self.sink.limits();
        if self.ending.is_some() && self.with.flushes_at_end {
            return Ok(Next::Due(hole));
        }
        let waiting = self.first_waiting(lane, hole, limits, is_oldest).await?;
        let now_ms = self.with.clock.mono_ms();
        let is_held = now_ms < waiting.held_until_ms;
        let is_due = is_due || hole.first < self.flush_to;
        if is_oldest {
            self.with.health.is_held.store(is_held, Ordering::Relaxed);
        }
        let is_full = is_due || hole.len() >= u64::try_from(limits.records_max).unwrap_or(u64::MAX);
        if !is_held && (is_full || now_ms >= waiting.due_ms) {
            return Ok(Next::Due(hole));
        }
        let wake_ms = waiting.held_until_ms.max(if is_full { 0 } else { waiting.due_ms });
        Ok(if self.ending.is_some() { Next::Nothing } else { Next::In(Duration::from_millis(wake_ms - now_ms)) })
    }

    /// What retention dropped has its gap in the journal already; the cursor only steps over it.
    fn skip_dropped(&mut self, dropped: SeqRange) {
        if !dropped.is_empty() {
            self.cursor.confirm(dropped);
            self.claimed.insert(dropped);
            self.is_moved = true;
            self.with.health.confirmed.store(self.cursor.confirmed().len(), Ordering::Relaxed);
        }
    }

    /// When the batch that begins with `hole` is due: by the age of its first record, at once if that is of another
    /// boot or can not be read. What nobody can vouch for yet is held until the clock is set, and is put right then;
    /// but not for ever.
    async fn first_waiting(
        &mut self,
        lane: Lane,
        hole: SeqRange,
        limits: BatchLimits,
        is_oldest: bool,
    ) -> Result<Waiting, JournalError> {
        let has_anchor = self.with.clock.has_anchor();
        if let Some(waiting) = self.waiting[lane as usize]
            && (waiting.first, waiting.knew_anchor) == (hole.first, has_anchor)
        {
            return Ok(waiting);
        }
        let reader = self.with.reader.clone();
        let chunk = blocking(move || reader.read(hole, 1)).await?;
        let mut waiting = Waiting { first: hole.first, due_ms: 0, held_until_ms: 0, knew_anchor: has_anchor };
        if let Some(first) = chunk.records.first() {
            let stamp = first.record.stamp();
            if is_oldest {
                self.with.health.oldest_waiting_at.store(stamp.time.as_millis(), Ordering::Relaxed);
            }
            let after =
                |wait: Duration| stamp.mono_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            if first.boot == self.with.clock.boot() {
                waiting.due_ms = after(limits.age_max);
                if stamp.clock == Trust::Untrusted && !has_anchor {
                    waiting.held_until_ms = after(self.with.hold_untrusted);
                }
            }
        }
        self.waiting[lane as usize] = Some(waiting);
        Ok(waiting)
    }

    /// Makes a batch from the beginning of `range`, off the runtime: disk reads and compression take their time.
    pub(super) async fn plan(&mut self, range: SeqRange) -> Result<Plan, JournalError> {
        let (sink, reader, clock) = (self.sink.clone(), self.with.reader.clone(), self.with.clock.clone());
        // A batch that is sealed must fit its store.
        let bytes_max = if sink.is_sealed() { self.sealed_batch_bytes_max() } else { usize::MAX };
        blocking(move || {
            let mut limits = sink.limits();
            limits.bytes_max = limits.bytes_max.min(bytes_max);
            plan(&sink, limits, &reader, &clock, range)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Either the runtime is shutting down, and nothing matters any more, or the work panicked.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

fn plan<S: Sink>(
    sink: &Arc<S>,
    limits: BatchLimits,
    reader: &Reader,
    clock: &Clock,
    range: SeqRange,
) -> Result<Plan, JournalError> {
    let (mut records, next, lost) = read(reader, range, limits.records_max)?;
    for numbered in &mut records {
        clock.correct(numbered.boot, &mut numbered.record);
    }
    let mut covered = SeqRange::new(range.first, next);
    if records.is_empty() {
        return Ok(Plan { batch: None, covered, lost, refused: None });
    }
    let mut take = sink.cut(&records).max(1);
    loop {
        if take < records.len() {
            covered = SeqRange::new(range.first, records[take].seq);
            records.truncate(take);
        }
        let lost_here = |lost: &[(SeqRange, GapReason)]| {
            lost.iter().copied().filter(|(range, _)| range.first < covered.next).collect()
        };
        match sink.encode(covered, &records) {
            Ok(batch) if batch.bytes.len() <= limits.bytes_max || take == 1 => {
                return Ok(Plan { batch: Some(batch), covered, lost: lost_here(&lost), refused: None });
            }
            // Halves, not a guess at the right number: records differ, and this ends.
            Ok(_too_large) => take = take.div_ceil(2),
            Err(error) => {
                let refused = Some(error.to_string());
                return Ok(Plan { batch: None, covered, lost: lost_here(&lost), refused });
            }
        }
    }
}

type Read = (Vec<Numbered>, model::Seq, Vec<(SeqRange, GapReason)>);

fn read(reader: &Reader, range: SeqRange, records_max: usize) -> Result<Read, JournalError> {
    let (mut records, mut lost, mut next) = (Vec::new(), Vec::new(), range.first);
    while records.len() < records_max && next < range.next {
        let wanted = (records_max - records.len()).min(READ_RECORDS_MAX);
        let mut chunk = reader.read(SeqRange::new(next, range.next), wanted)?;
        if chunk.next <= next {
            break; // Nothing more is durable.
        }
        records.append(&mut chunk.records);
        // What the budget dropped or thinned, and damage that the journal found itself, has its gap there already.
        let corrupt = chunk.lost.iter().filter(|lost| lost.reason == GapReason::Corrupt);
        let untold = corrupt.flat_map(|lost| reader.untold(lost.range));
        lost.extend(untold.map(|range| (range, GapReason::Corrupt)));
        next = chunk.next;
    }
    Ok((records, next, lost))
}
