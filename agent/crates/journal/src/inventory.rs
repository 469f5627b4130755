//! What a journal's folder holds beside its records, for `journal stat` and `journal verify`. Only reads.

use std::path::Path;

use model::{SeqRange, SinkId, Timestamp};

use crate::codec::mirror;
use crate::cursor::Cursor;
use crate::cursor_file::{self, Loaded};
use crate::disk;
use crate::error::JournalError;
use crate::holes::Holes;
use crate::owed::Owed;
use crate::reader::{Reader, Stat};
use crate::sealed;
use model::Gap;

/// A sink's cursor as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorStat {
    /// The sink.
    pub sink: SinkId,
    /// What stands there.
    pub loaded: Loaded,
    /// How many of its slots do not read.
    pub damaged_slots: usize,
}

/// Batches of one sink, named and not confirmed, as they are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedStat {
    /// The sink.
    pub sink: String,
    /// How many.
    pub batches: usize,
    /// How many of them do not read.
    pub damaged: usize,
    /// On disk.
    pub bytes: u64,
}

/// What a folder holds.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The journal's measures.
    pub stat: Stat,
    /// The time of the oldest and of the newest record, where they read.
    pub times: (Option<Timestamp>, Option<Timestamp>),
    /// Losses that no durable event tells yet.
    pub owed: Vec<Gap>,
    /// Positions that are known to be missing between the tail and the head.
    pub holes: Vec<SeqRange>,
    /// Cursors.
    pub cursors: Vec<CursorStat>,
    /// Sealed batches.
    pub sealed: Vec<SealedStat>,
    /// Damaged generations kept as evidence.
    pub quarantined: Vec<String>,
    /// What they take on disk.
    pub quarantined_bytes: u64,
}

impl Inventory {
    /// Looks into the folder of an open journal.
    pub fn take(reader: &Reader) -> Result<Self, JournalError> {
        let shelf = reader.shelf()?;
        let path = shelf.path.as_path();
        let stat = reader.stat();
        let kept = SeqRange::new(stat.tail, stat.head);
        let holes = Holes::load(path)?.told().ranges().iter().map(|hole| hole.intersection(&kept)).collect::<Vec<_>>();
        let quarantine = path.join("quarantine");
        Ok(Self {
            times: reader.times()?,
            stat,
            owed: Owed::load(path)?.gaps(),
            holes: holes.into_iter().filter(|hole| !hole.is_empty()).collect(),
            cursors: cursors(path)?,
            sealed: sealed::stats(path)?,
            quarantined: disk::entries(&quarantine)?.iter().filter_map(|entry| name_of(entry)).collect(),
            quarantined_bytes: disk::bytes_of(&quarantine)?,
        })
    }
}

fn name_of(entry: &Path) -> Option<String> {
    Some(entry.file_name()?.to_str()?.to_owned())
}

fn cursors(path: &Path) -> Result<Vec<CursorStat>, JournalError> {
    let slots = disk::entries(&path.join("cursors"))?;
    let mut sinks: Vec<SinkId> =
        slots.iter().filter_map(|slot| SinkId::try_new(slot.file_stem()?.to_str()?).ok()).collect();
    sinks.dedup();
    sinks.into_iter().map(|sink| cursor_file::look(path, &sink)).collect()
}

/// What stands on a sheet that holds a cursor.
pub(crate) fn cursor_of(bytes: &[u8], magic: crate::sheet::Magic) -> Option<(u64, Cursor)> {
    let (counter, body) = crate::sheet::open(magic, bytes).ok()?;
    Some((counter, mirror::get_cursor(body).ok()?))
}
