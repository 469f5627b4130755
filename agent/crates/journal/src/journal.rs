//! The one writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{BootId, Epoch, Gap, GapReason, Record, Seq, SeqRange, Series};

use crate::codec::encoder::{Encoder, Pending};
use crate::disk;
use crate::error::JournalError;
use crate::generation::Generation;
use crate::open::{self, GENERATION_RECORDS_MAX};
use crate::owed::Owed;
use crate::reader::Reader;
use crate::seal;
use crate::series::Numbering;
use crate::settings::{Moment, Settings};
use crate::shelf::Shelf;

/// Texts of one record in all, so that any record fits a value. Texts upstream have at most 512 bytes each; what is
/// beyond this is no text of an instrument, and a gap stands in its place.
pub const RECORD_BYTES_MAX: usize = 4096;
/// The active generation's size on disk is measured at every so many commits: a dozen `stat` calls.
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
    pending: Vec<Pending>,
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
        let reader = Reader { shelf: Arc::clone(&shelf) };
        let journal = Journal {
            shelf,
            settings,
            owed: opened.owed,
            encoder: Encoder::default(),
            numbering: Numbering::from_known(active.known()),
            is_seal_due: !active.is_whole(),
            active,
            active_since_ms: now.mono_ms,
            pending: Vec::new(),
            commits_unmeasured: 0,
            is_poisoned: false,
        };
        Ok((journal, reader))
    }

    /// Minted when the journal was created.
    pub fn epoch(&self) -> &Epoch {
        &self.shelf.epoch
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
    /// Seals the active generation first if it is full or old. That can fail for want of space without harm: what
    /// waits still waits. A failed write or flush can not be made good: this and every later commit fails, the
    /// process has to start anew and see what is there.
    pub fn commit(&mut self, now: Moment) -> Result<Seq, JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        if self.pending.is_empty() {
            return Ok(self.shelf.head());
        }
        if self.is_active_done(now) {
            seal::seal(self, now)?;
        }
        let head = self.next_seq();
        self.is_poisoned = true;
        self.write()?;
        self.active.flush()?;
        self.is_poisoned = false;
        self.pending.clear();
        self.shelf.publish(head);
        self.count_pending();
        self.measure();
        if let Err(error) = self.owed.settle() {
            tracing::warn!(%error, "note of owed gaps not updated, will be at the next commit");
        }
        Ok(head)
    }

    /// The losses that no gap event tells yet, each said once: append their events. Those of which no event is durable
    /// are said again after the next open.
    pub fn owed_gaps(&mut self) -> Vec<Gap> {
        self.owed.hand_out()
    }

    fn next_seq(&self) -> Seq {
        self.shelf.head().plus(u64::try_from(self.pending.len()).expect("64 bits"))
    }

    fn count_pending(&self) {
        self.shelf.pending.store(u64::try_from(self.pending.len()).expect("64 bits"), Ordering::Relaxed);
    }

    fn refused(&self, record: &Record) -> Record {
        let (stamp, seq) = (*record.stamp(), self.next_seq());
        tracing::error!(%seq, "record is too large, a gap stands in its place");
        let range = Some(SeqRange::new(seq, seq.plus(1)));
        let times = Some((stamp.time, stamp.time));
        Record::Event(Gap { range, count: 1, times, reason: GapReason::Overrun }.into_event(stamp))
    }

    fn is_active_done(&self, now: Moment) -> bool {
        let held = self.shelf.head().0 - self.active.first().0;
        let bytes = self.shelf.rack().active_bytes;
        let age_ms = now.mono_ms.saturating_sub(self.active_since_ms);
        let records = self.next_seq().0 - self.active.first().0;
        let is_full = bytes >= self.settings.seal_bytes() || records > GENERATION_RECORDS_MAX;
        held > 0 && (self.is_seal_due || is_full || age_ms >= self.settings.generation_age_ms)
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let first = self.shelf.head();
        let (active, numbering) = (&self.active, &mut self.numbering);
        let number = |series: &Arc<Series>| number_of(series, numbering, active);
        self.encoder.encode(first, &self.pending, number, |range, value| active.insert(range.first, value))
    }

    fn measure(&mut self) {
        self.commits_unmeasured += 1;
        if self.commits_unmeasured < COMMITS_PER_MEASURE {
            return;
        }
        self.commits_unmeasured = 0;
        match disk::bytes_of(self.active.dir()) {
            Ok(bytes) => self.shelf.rack().active_bytes = bytes,
            Err(error) => tracing::warn!(%error, "active generation not measured, will be again"),
        }
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
