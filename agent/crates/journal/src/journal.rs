//! The one writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{BootId, Epoch, Gap, GapReason, Record, Seq, SeqRange, Series};

use crate::budget::{GROWTH_BYTES, NEW_GENERATION_BYTES};
use crate::codec::encoder::{Encoder, Pending};
use crate::error::JournalError;
use crate::generation::Generation;
use crate::open::{self, GENERATION_RECORDS_MAX};
use crate::owed::Owed;
use crate::reader::Reader;
use crate::seal;
use crate::series::Numbering;
use crate::settings::{Moment, Settings};
use crate::shelf::Shelf;
use crate::space;

/// Texts of one record in all, so that any record fits a value. Texts upstream have at most 512 bytes each; what is
/// beyond this is no text of an instrument, and a gap stands in its place.
pub const RECORD_BYTES_MAX: usize = 4096;
/// Records of one step of a commit, which becomes durable as a whole: what the budget keeps room for is derived from it.
/// Large enough that a commit of a usual size is one step, and so one sync.
pub(crate) const STEP_BYTES_MAX: usize = 256 << 10;
/// What a record takes beside its texts, at most: columns that do not compress.
const RECORD_BYTES_FIXED: usize = 16;
/// The size on disk is measured at every so many steps, and at every one near
/// the budget: a few dozen `stat` calls.
const COMMITS_PER_MEASURE: u32 = 16;

/// The writer of a journal. One a process; it may be sent to a thread, and readers never wait for it.
#[derive(Debug)]
pub struct Journal {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) settings: Settings,
    pub(crate) owed: Owed,
    pub(crate) encoder: Encoder,
    pub(crate) active: Arc<Generation>,
    pub(crate) numbering: Numbering,
    /// When the active generation was opened, by the monotonic clock.
    pub(crate) active_since_ms: u64,
    /// The next commit seals whatever the size: to get under budget, or because the active one is not whole.
    pub(crate) is_seal_due: bool,
    /// All below it every sink has, as [`Journal::retain`] was last told.
    pub(crate) drained: Seq,
    /// The generation whose loss was noted last: it only has to be removed.
    pub(crate) dropping: Option<Seq>,
    /// Removed generations that are still to be emptied.
    pub(crate) doomed: Vec<PathBuf>,
    /// A bound on what lies on the disk: the last measure and what the steps since can have added.
    pub(crate) used_at_most: u64,
    pub(crate) refused_total: u64,
    pub(crate) pending: Vec<Pending>,
    commits_unmeasured: u32,
    is_poisoned: bool,
}

impl Journal {
    /// Opens the journal at `settings.path`, or creates it, with an epoch made of `epoch_bits`, which must be random.
    ///
    /// Only the active generation is opened; what it holds is made durable before it is visible.
    pub fn open(settings: Settings, now: Moment, epoch_bits: u64) -> Result<(Journal, Reader), JournalError> {
        let opened = open::open(&settings, epoch_bits)?;
        let shelf = Arc::new(opened.shelf);
        let active = Arc::clone(&shelf.rack().active);
        let reader = Reader::of(Arc::clone(&shelf));
        let journal = Journal {
            shelf,
            settings,
            owed: opened.owed,
            encoder: Encoder::default(),
            numbering: Numbering::from_known(active.known()),
            is_seal_due: !active.is_whole(),
            active,
            active_since_ms: now.mono_ms,
            drained: Seq::FIRST,
            dropping: None,
            doomed: Vec::new(),
            // Not known: the first commit measures.
            used_at_most: u64::MAX / 2,
            refused_total: 0,
            pending: Vec::new(),
            commits_unmeasured: 0,
            is_poisoned: false,
        };
        Ok((journal, reader))
    }

    /// Keeps the journal like this from now on, at the same place. A smaller budget is met before the next commit.
    pub fn adjust(&mut self, settings: Settings) {
        let path = std::mem::take(&mut self.settings.path);
        self.settings = Settings { path, ..settings };
        self.used_at_most = u64::MAX / 2;
    }

    /// Minted when the journal was created.
    pub fn epoch(&self) -> &Epoch {
        &self.shelf.epoch
    }

    /// The first position that is not durable yet.
    pub fn head(&self) -> Seq {
        self.shelf.head()
    }

    /// Numbers records and takes them into memory. They exist from the next [`Journal::commit`] on, not before.
    ///
    /// The caller bounds how many wait, by committing. In place of a record with more than [`RECORD_BYTES_MAX`] of
    /// text stands a gap of one, `overrun`, under the number that the record would have had.
    pub fn append(&mut self, boot: BootId, records: Vec<Record>) -> SeqRange {
        let first = self.next_seq();
        self.pending.reserve(records.len());
        for record in records {
            let record = if text_bytes(&record) > RECORD_BYTES_MAX { self.refused(&record) } else { record };
            if let Record::Event(event) = &record {
                self.owed.notice(event);
            }
            self.pending.push(Pending { boot, record });
        }
        self.count_pending();
        SeqRange::new(first, self.next_seq())
    }

    /// How many records wait for the next commit.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes all that was appended durable, then visible, and says the new head.
    ///
    /// Seals the active generation first if it is full or old. Goes in steps, for each of which there is room in the
    /// budget; where there is none and `when_full` is `DropNewest`, readings are refused: [`Journal::refused_total`]
    /// counts them, and a gap tells it once there is room again.
    ///
    /// That can fail for want of space without harm: what waits still waits. A failed write or flush can not be made
    /// good: this and every later commit fails, and the journal has to be opened anew to see what is there.
    pub fn commit(&mut self, now: Moment) -> Result<Seq, JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        while !self.pending.is_empty() {
            if self.is_active_done(now) {
                self.seal(now)?;
            }
            if !self.make_room_for_step(now)? {
                self.refuse(|_| true)?;
            }
            if !self.pending.is_empty() {
                self.commit_step()?;
            }
        }
        if let Err(error) = self.owed.settle() {
            tracing::warn!(%error, "note of owed gaps not updated, will be at the next commit");
        }
        Ok(self.shelf.head())
    }

    /// Records refused for want of room since the journal was opened.
    pub fn refused_total(&self) -> u64 {
        self.refused_total
    }

    /// Whether a failed write has ended what this journal can do: it has to be opened anew.
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Numbering goes on at `seq`, and what lies before it is lost: records that were promised are not there any more.
    ///
    /// For whoever opens a journal again and knows that it had come further: no number is used twice.
    pub fn skip_to(&mut self, seq: Seq, now: Moment) -> Result<(), JournalError> {
        let lost = SeqRange::new(self.shelf.head(), seq);
        if lost.is_empty() {
            return Ok(());
        }
        tracing::error!(range = %lost, "records that were durable are gone, numbering goes on behind them");
        self.owed.owe(vec![Gap { range: Some(lost), count: lost.len(), times: None, reason: GapReason::Corrupt }])?;
        self.shelf.publish(seq);
        seal::seal(self, now)?;
        Ok(())
    }

    /// Takes back what waits for a commit that failed: each record, and whether it is a gap that the next open tells by
    /// itself.
    pub fn take_back(&mut self) -> Vec<(Record, bool)> {
        let owed = &self.owed;
        let is_told = |record: &Record| matches!(record, Record::Event(event) if owed.is_telling(event));
        let marked = |record| (is_told(&record), record);
        let taken = self.pending.drain(..).map(|pending| marked(pending.record));
        let records = taken.map(|(is_told, record)| (record, is_told)).collect();
        self.count_pending();
        records
    }

    /// Seals, and repacks what was sealed if that is worth it and there is room for the copy.
    fn seal(&mut self, now: Moment) -> Result<(), JournalError> {
        let copy = self.shelf.rack().active_bytes;
        let is_worth = seal::is_repack_worth(self);
        let is_room_for_copy = is_worth && self.make_room(NEW_GENERATION_BYTES + GROWTH_BYTES + copy, now)?;
        if !is_room_for_copy && !self.make_room(NEW_GENERATION_BYTES + GROWTH_BYTES, now)? {
            return Ok(());
        }
        // Making room may have sealed it.
        if self.shelf.head() == self.active.first() {
            return Ok(());
        }
        let before = seal::seal(self, now)?;
        if is_room_for_copy && space::is_room_for(&self.shelf.path, copy) {
            seal::repack(self, before, self.shelf.head());
        }
        self.measure()
    }

    fn commit_step(&mut self) -> Result<(), JournalError> {
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            bytes += RECORD_BYTES_FIXED + text_bytes(&pending.record);
            bytes <= STEP_BYTES_MAX
        };
        let count = self.pending.iter().take_while(fits).count().max(1);
        let head = self.shelf.head().plus(u64::try_from(count).expect("64 bits"));
        self.is_poisoned = true;
        self.used_at_most += GROWTH_BYTES;
        self.write(count)?;
        self.active.flush()?;
        self.is_poisoned = false;
        self.pending.drain(..count);
        self.shelf.publish(head);
        self.count_pending();
        self.commits_unmeasured += 1;
        if self.commits_unmeasured >= COMMITS_PER_MEASURE {
            self.commits_unmeasured = 0;
            if let Err(error) = self.measure() {
                tracing::warn!(%error, "journal not measured, will be again");
            }
        }
        Ok(())
    }

    /// The losses that no gap event tells yet, each said once: append their events. Those of which no event is durable
    /// are said again after the next open.
    pub fn owed_gaps(&mut self) -> Vec<Gap> {
        self.owed.hand_out()
    }

    fn next_seq(&self) -> Seq {
        self.shelf.head().plus(u64::try_from(self.pending.len()).expect("64 bits"))
    }

    pub(crate) fn count_pending(&self) {
        self.shelf.pending.store(u64::try_from(self.pending.len()).expect("64 bits"), Ordering::Relaxed);
    }

    fn refused(&self, record: &Record) -> Record {
        let (stamp, seq) = (*record.stamp(), self.next_seq());
        tracing::error!(%seq, "record is too large, a gap stands in its place");
        let range = Some(SeqRange::new(seq, seq.plus(1)));
        let times = Some((stamp.time, stamp.time));
        Record::Event(Box::new(Gap { range, count: 1, times, reason: GapReason::Overrun }.into_event(stamp)))
    }

    fn is_active_done(&self, now: Moment) -> bool {
        let held = self.shelf.head().0 - self.active.first().0;
        let bytes = self.shelf.rack().active_bytes;
        let age_ms = now.mono_ms.saturating_sub(self.active_since_ms);
        let records = self.next_seq().0 - self.active.first().0;
        let is_full = bytes >= self.settings.seal_bytes() || records > GENERATION_RECORDS_MAX;
        held > 0 && (self.is_seal_due || is_full || age_ms >= self.settings.generation_age_ms)
    }

    fn write(&mut self, count: usize) -> Result<(), JournalError> {
        let first = self.shelf.head();
        let (active, numbering) = (&self.active, &mut self.numbering);
        let number = |series: &Arc<Series>| number_of(series, numbering, active);
        self.encoder.encode(first, &self.pending[..count], number, |range, value| active.insert(range.first, value))
    }
}

/// The number of a series in `generation`, stored there first if it is new.
pub(crate) fn number_of(
    series: &Arc<Series>,
    numbering: &mut Numbering,
    generation: &Generation,
) -> Result<Option<u32>, JournalError> {
    if let Some(number) = numbering.find(series) {
        return Ok(Some(number));
    }
    let Some(number) = numbering.add(Arc::clone(series)) else { return Ok(None) };
    generation.insert_series(number, series)?;
    Ok(Some(number))
}

/// What of a record has no fixed size.
fn text_bytes(record: &Record) -> usize {
    match record {
        Record::Reading(reading) => {
            // Two lengths beside the words.
            let tags = reading.series.tags.iter().map(|(name, word)| 4 + name.len() + word.len()).sum::<usize>();
            let text = if let model::Value::Text(text) = &reading.value { text.len() } else { 0 };
            reading.series.unit.len() + tags + text
        }
        Record::Event(event) => event
            .facts
            .iter()
            // A fact costs at most ten bytes beside its texts.
            .map(|(name, fact)| 10 + name.len() + if let model::Fact::Text(text) = fact { text.len() } else { 0 })
            .sum(),
    }
}
