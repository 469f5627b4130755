//! One sled database: the records from its first sequence number to the next generation's.
//!
//! `sled::Db::flush` is not durable on Linux: it calls `sync_file_range`, which neither commits the file's size nor
//! flushes the drive (sled #1351, #1452; power cuts lost committed records in 25 of 35 runs). So every generation
//! keeps its own descriptor of `<gen>/db` and calls `fdatasync` after each flush; with that, 104 of 104 cuts were
//! clean. sled also leaves directory entries unsynced, hence [`disk::sync_tree`] at birth, and writes pages above a
//! quarter segment to files it never syncs, hence [`VALUE_BYTES_MAX`](crate::codec::VALUE_BYTES_MAX).
//!
//! Known traps: sled can panic on opening or reading a damaged file, which is why another process reads it first
//! ([`vet`](crate::vet)); and once a page does not read, sled's iterators give the same error for ever, `len` included.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use model::{GapReason, Numbered, Seq, SeqRange, Series, Timestamp};

use crate::chunk::Chunk;
use crate::codec::{self, Header, crc32c, mirror};
use crate::disk;
use crate::error::JournalError;
use crate::open::GENERATION_RECORDS_MAX;
use crate::twin;

/// sled's default is 1 GiB. Counts page bytes, not heap.
const CACHE_BYTES: u64 = 4 << 20;
/// sled's own default; fixed at creation, and what the bound on values is derived from.
pub(crate) const SEGMENT_BYTES: usize = 512 << 10;
/// The only caller of sled's garbage collection is the thread that this drives.
const FLUSH_EVERY_MS: u64 = 500;
/// Positions that a search for the next page that reads passes over at most: a page has up to sixteen values.
const RESUME_STEP_MAX: u64 = 1024;
const SERIES_VERSION: u8 = 1;
const SERIES_CRC_AT: usize = 1;
const SERIES_HEADER_BYTES: usize = 5;

/// Why a generation can not be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What is on the disk is not what was written: opening it again will not help.
    Damaged(JournalError),
    /// The machine refused: no descriptor, no space, no permission. Later it may work.
    Refused(JournalError),
}

impl Fault {
    pub(crate) fn into_error(self) -> JournalError {
        match self {
            Fault::Damaged(error) | Fault::Refused(error) => error,
        }
    }
}

/// Whether a generation is opened to be written; only then does sled need its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Read,
}

/// What a look at all headers of a generation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Behind the last record.
    pub(crate) end: Seq,
    /// The earliest and the latest time; `None` if no record reads.
    pub(crate) times: Option<(Timestamp, Timestamp)>,
}

/// An open generation. Shared by the writer and its readers.
#[derive(Debug)]
pub(crate) struct Generation {
    dir: PathBuf,
    first: Seq,
    records: sled::Tree,
    series: sled::Tree,
    known: RwLock<Vec<Arc<Series>>>,
    /// How many of them the twin has.
    twinned: AtomicUsize,
    /// Whether every series read when it was opened.
    is_whole: bool,
    db_file: File,
    db: sled::Db,
}

impl Generation {
    /// Makes an empty generation at `dir`, complete and durable or not there at all.
    pub(crate) fn create(dir: &Path, first: Seq) -> Result<(), Fault> {
        let tmp = disk::with_suffix(dir, ".tmp");
        disk::remove(&tmp).map_err(Fault::Refused)?;
        Self::make(&tmp, first)?.flush().map_err(Fault::Refused)?;
        disk::sync_tree(&tmp).map_err(Fault::Refused)?;
        disk::rename(&tmp, dir).map_err(Fault::Refused)
    }

    /// Makes an empty generation at `dir`, to be filled, synced and renamed.
    pub(crate) fn make(dir: &Path, first: Seq) -> Result<Self, Fault> {
        open_db(dir, Purpose::Write).and_then(|db| Self::of_db(db, dir, first))
    }

    /// Opens the generation at `dir`.
    pub(crate) fn open(dir: &Path, first: Seq, purpose: Purpose) -> Result<Self, Fault> {
        let db_path = dir.join("db");
        let file = File::open(&db_path).map_err(|error| io_fault(&db_path, error))?;
        // sled would take a missing or empty file for a new database, and number from its first again.
        let metadata = file.metadata().map_err(|error| io_fault(&db_path, error))?;
        if metadata.len() == 0 {
            return Err(io_fault(&db_path, io::ErrorKind::UnexpectedEof.into()));
        }
        // The handle of a reader that has just let go may still be closing on one of sled's threads.
        file.lock().and_then(|()| file.unlock()).map_err(|error| io_fault(&db_path, error))?;
        drop(file);
        Self::of_db(open_db(dir, purpose)?, dir, first)
    }

    fn of_db(db: sled::Db, dir: &Path, first: Seq) -> Result<Self, Fault> {
        let records = db.open_tree("records").map_err(|error| sled_fault(dir, error))?;
        let series = db.open_tree("series").map_err(|error| sled_fault(dir, error))?;
        let db_path = dir.join("db");
        let db_file = File::options().write(true).open(&db_path).map_err(|error| io_fault(&db_path, error))?;
        let (known, is_whole) = read_series(&series).map_err(|error| sled_fault(dir, error))?;
        let dir = dir.to_owned();
        let twinned = AtomicUsize::new(known.len());
        Ok(Self { dir, first, records, series, known: RwLock::new(known), twinned, is_whole, db_file, db })
    }

    pub(crate) fn first(&self) -> Seq {
        self.first
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The series in the order of their numbers.
    pub(crate) fn known(&self) -> Vec<Arc<Series>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every series reads. If not, numbers must not be given out again: old blocks would take the new name.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How many values there are. Counts them, to the first that does not read: sled's own `len` would never end there.
    pub(crate) fn values(&self) -> usize {
        self.records.iter().take_while(Result::is_ok).count()
    }

    /// Behind the last record, damaged or not: numbers are not given out twice.
    pub(crate) fn end(&self) -> Result<Seq, Fault> {
        let Some((key, value)) = self.greatest()? else {
            return Ok(self.first);
        };
        let first = seq_of(&key).unwrap_or(self.first);
        match codec::open_value(first, &value) {
            Ok((header, _)) => Ok(header.range.next),
            Err(_) => Ok(first.plus(u64::try_from(codec::BLOCK_RECORDS_MAX).expect("64 bits"))),
        }
    }

    /// Stores a series under its number.
    pub(crate) fn insert_series(&self, number: u32, series: &Arc<Series>) -> Result<(), JournalError> {
        let key = number.to_be_bytes();
        let mut value = vec![0; SERIES_HEADER_BYTES];
        value[0] = SERIES_VERSION;
        mirror::put_series(&mut value, series);
        let crc = series_crc(&key, &value);
        value[SERIES_CRC_AT..SERIES_HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
        self.series.insert(key, value).map_err(|error| self.fault(error).into_error())?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(series));
        Ok(())
    }

    /// Stores a value under its first number.
    pub(crate) fn insert(&self, first: Seq, value: &[u8]) -> Result<(), JournalError> {
        self.records.insert(first.0.to_be_bytes(), value).map_err(|error| self.fault(error).into_error())?;
        Ok(())
    }

    /// Makes all that was inserted durable. Not to be called again after it failed.
    pub(crate) fn flush(&self) -> Result<(), JournalError> {
        let sync = |source| JournalError::Sync { path: self.dir.clone(), source };
        let known = self.known();
        if known.len() > self.twinned.load(Ordering::Relaxed) {
            twin::write(&self.dir, &known)?;
            self.twinned.store(known.len(), Ordering::Relaxed);
        }
        // Nothing is promised yet: what this leaves half written is looked at afresh by the next open.
        self.db.flush().map_err(|error| self.fault(error).into_error())?;
        disk::sync_data(&self.db_file, &self.dir).map_err(|error| sync(Box::new(error)))
    }

    /// Reads on from where `chunk` stands to the end of `range` or until it has `records_max`.
    ///
    /// Values that do not read are passed over, and what they leave open is named lost when the next one reads, for the
    /// reason `missing`.
    pub(crate) fn read(
        &self,
        chunk: &mut Chunk,
        range: SeqRange,
        records_max: usize,
        missing: GapReason,
    ) -> Result<(), JournalError> {
        let known = self.known();
        self.each_value(range, |header, block| {
            let Ok(records) = codec::open_block(&header, block, &known) else { return ControlFlow::Continue(()) };
            chunk.lose(header.range.first.min(range.next), missing);
            for (seq, record) in (header.range.first.0..).map(Seq).zip(records) {
                if chunk.records.len() >= records_max || seq >= range.next {
                    return ControlFlow::Break(());
                }
                if seq == chunk.next {
                    chunk.records.push(Numbered { seq, boot: header.boot, record });
                    chunk.next = seq.plus(1);
                }
            }
            ControlFlow::Continue(())
        })?;
        if chunk.records.len() < records_max {
            chunk.lose(range.next, missing);
        }
        Ok(())
    }

    /// Looks at all headers.
    pub(crate) fn survey(&self) -> Result<Survey, JournalError> {
        let mut times = None;
        self.each_value(SeqRange::new(self.first, Seq(u64::MAX)), |header, _| {
            let (from, to) = times.unwrap_or(header.times);
            times = Some((header.times.0.min(from), header.times.1.max(to)));
            ControlFlow::Continue(())
        })?;
        Ok(Survey { end: self.end().map_err(Fault::into_error)?, times })
    }

    /// Calls `visit` for each value that has a part of `range` and reads, in order.
    pub(crate) fn each_value(
        &self,
        range: SeqRange,
        visit: impl FnMut(Header, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        self.walk(range, visit).map(|_| ())
    }

    /// Calls `visit` for each value that has a part of `range` and reads, in order; says at how many places nothing
    /// read.
    ///
    /// sled gives the same error for ever once a page does not read: the walk goes on behind that page.
    pub(crate) fn walk(
        &self,
        range: SeqRange,
        mut visit: impl FnMut(Header, &[u8]) -> ControlFlow<()>,
    ) -> Result<u64, JournalError> {
        let range = SeqRange::new(range.first, range.next.min(self.first.plus(GENERATION_RECORDS_MAX * 2)));
        let mut unreadable = 0;
        let mut from = self.floor(range.first);
        loop {
            let mut is_stuck = false;
            for entry in self.records.range(from.0.to_be_bytes()..range.next.0.to_be_bytes()) {
                let (key, value) = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        self.fault(error).tolerate(&mut unreadable)?;
                        is_stuck = true;
                        break;
                    }
                };
                let opened = seq_of(&key).and_then(|first| codec::open_value(first, &value).ok());
                from = seq_of(&key).unwrap_or(from).plus(1);
                let Some((header, block)) = opened else {
                    unreadable += 1;
                    continue;
                };
                if header.range.next > range.first && visit(header, block).is_break() {
                    return Ok(unreadable);
                }
            }
            match self.behind(SeqRange::new(from, range.next)).filter(|_| is_stuck) {
                Some(next) => from = next,
                None => return Ok(unreadable),
            }
        }
    }

    /// The last value. Found by halves, forwards: sled's own `last` and `get_lt` bring a constant of 1 MiB into the program.
    ///
    /// A page that does not read has values, too: an error, where it is the last one.
    fn greatest(&self) -> Result<Option<(sled::IVec, sled::IVec)>, Fault> {
        let mut greatest = Ok(None);
        let (mut from, mut beyond) = (self.first.0, self.first.plus(GENERATION_RECORDS_MAX * 2).0);
        while from < beyond {
            let middle = from + (beyond - from) / 2;
            match self.records.range(middle.to_be_bytes()..).next() {
                None => beyond = middle,
                Some(Ok(entry)) => {
                    from = seq_of(&entry.0).map_or(middle, |seq| seq.0) + 1;
                    greatest = Ok(Some(entry));
                }
                Some(Err(error)) => {
                    from = middle + 1;
                    greatest = Err(self.fault(error));
                }
            }
        }
        greatest
    }

    /// Where the value begins that may hold `at`: at the greatest key that is not above it, looked for in steps that grow.
    /// Further down where pages do not read, which the walk from there meets and tells of; `at` where there is nothing before it.
    fn floor(&self, at: Seq) -> Seq {
        let mut step = 1;
        loop {
            let from = Seq(at.0.saturating_sub(step).max(self.first.0));
            let entries = self.records.range(from.0.to_be_bytes()..=at.0.to_be_bytes());
            if let Some((key, _)) = entries.map_while(Result::ok).last() {
                return seq_of(&key).unwrap_or(at);
            }
            if from <= self.first {
                return at;
            }
            step = step.saturating_mul(2);
        }
    }

    /// Where reading goes on behind a page that does not read: in steps that grow, then back by halves to its edge.
    fn behind(&self, stuck: SeqRange) -> Option<Seq> {
        let reads = |at: Seq| {
            let mut entries = self.records.range(at.0.to_be_bytes()..stuck.next.0.to_be_bytes());
            entries.next().is_none_or(|entry| entry.is_ok())
        };
        let (mut bad, mut step) = (stuck.first, 1);
        let mut good = loop {
            let at = bad.plus(step);
            if at >= stuck.next {
                return None;
            }
            if reads(at) {
                break at;
            }
            (bad, step) = (at, (step * 2).min(RESUME_STEP_MAX));
        };
        while good.0 - bad.0 > 1 {
            let middle = Seq(bad.0 + (good.0 - bad.0) / 2);
            if reads(middle) { good = middle } else { bad = middle }
        }
        Some(good)
    }

    fn fault(&self, error: sled::Error) -> Fault {
        sled_fault(&self.dir, error)
    }
}

impl Fault {
    /// Damage in the middle of a read is a hole like any other; what the machine refused is an error.
    fn tolerate(self, unreadable: &mut u64) -> Result<(), JournalError> {
        match self {
            Fault::Damaged(error) => {
                if *unreadable == 0 {
                    tracing::error!(%error, "generation is damaged, what does not read is passed over");
                }
                *unreadable += 1;
                Ok(())
            }
            Fault::Refused(error) => Err(error),
        }
    }
}

fn open_db(dir: &Path, purpose: Purpose) -> Result<sled::Db, Fault> {
    sled::Config::default()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms((purpose == Purpose::Write).then_some(FLUSH_EVERY_MS))
        .open()
        .map_err(|error| sled_fault(dir, error))
}

/// The series to the first that does not read, and whether that is all. Numbers are positions: behind a damaged one
/// the rest can not be told apart from it.
fn read_series(tree: &sled::Tree) -> sled::Result<(Vec<Arc<Series>>, bool)> {
    let mut known = Vec::new();
    for entry in tree {
        let (key, value) = match entry {
            Ok(entry) => entry,
            Err(sled::Error::Io(error)) if is_refusal(&error) => return Err(sled::Error::Io(error)),
            Err(_) => return Ok((known, false)),
        };
        match open_series(&key, &value).filter(|_| key_of(known.len()) == key.as_ref()) {
            Some(series) => known.push(Arc::new(series)),
            None => return Ok((known, false)),
        }
    }
    Ok((known, true))
}

pub(crate) fn seq_of(key: &[u8]) -> Option<Seq> {
    key.try_into().ok().map(|bytes| Seq(u64::from_be_bytes(bytes)))
}

fn key_of(position: usize) -> [u8; 4] {
    u32::try_from(position).expect("below SERIES_MAX").to_be_bytes()
}

fn series_crc(key: &[u8], value: &[u8]) -> u32 {
    crc32c(&[key, &value[..SERIES_CRC_AT], &value[SERIES_HEADER_BYTES..]])
}

pub(crate) fn open_series(key: &[u8], value: &[u8]) -> Option<Series> {
    let (head, body) = value.split_at_checked(SERIES_HEADER_BYTES)?;
    let is_whole = head[0] == SERIES_VERSION && head[SERIES_CRC_AT..] == series_crc(key, value).to_be_bytes();
    if is_whole { mirror::get_series(body).ok() } else { None }
}

fn io_fault(path: &Path, error: io::Error) -> Fault {
    let is_refused = is_refusal(&error);
    let error = JournalError::Io { action: "open", path: path.to_owned(), source: error };
    if is_refused { Fault::Refused(error) } else { Fault::Damaged(error) }
}

fn sled_fault(dir: &Path, error: sled::Error) -> Fault {
    let is_refused = matches!(&error, sled::Error::Io(error) if is_refusal(error));
    let error = JournalError::Store { path: dir.to_owned(), source: Box::new(error) };
    if is_refused { Fault::Refused(error) } else { Fault::Damaged(error) }
}

/// Whether the machine, not the file, is the reason. A generation must not go to quarantine for a full disk.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`: out of descriptors (errno(3), the same on all Linux targets).
    const DESCRIPTORS_SPENT: [i32; 2] = [23, 24];
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::OutOfMemory,
        io::ErrorKind::Interrupted,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|number| DESCRIPTORS_SPENT.contains(&number))
}
