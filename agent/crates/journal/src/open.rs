//! Opening a journal: the lock, the epoch, what a crash left half done, the active generation.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Epoch, Gap, GapReason, Seq, SeqRange};

use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation, Purpose};
use crate::owed::Owed;
use crate::reader::Reader;
use crate::retain::quarantine;
use crate::shelf::{Shelf, dir_of, generations_at};
use crate::space::{check_path, forget_cache};

/// Version of the layout of the directory. What stands inside files has versions of its own.
const FORMAT: u32 = 1;
/// A generation is sealed before it has more records. So when an active one is lost with the knowledge of how many
/// numbers it had given out, numbering goes on behind all that it can have given.
pub(crate) const GENERATION_RECORDS_MAX: u64 = 1 << 24;

/// What opening found.
pub(crate) struct Opened {
    pub(crate) shelf: Shelf,
    pub(crate) owed: Owed,
}

/// Opens the journal at `path` for its one writer; creates it if there is none.
pub(crate) fn open(path: &Path, epoch_bits: u64) -> Result<Opened, JournalError> {
    disk::create_dir(path)?;
    let lock_path = path.join("lock");
    let lock = File::create(&lock_path).map_err(JournalError::io("create", &lock_path))?;
    let lock = disk::lock(path, lock)?;
    check_path(path)?;
    forget_cache(path);
    tidy(path)?;
    let mut owed = Owed::load(path)?;
    let mut firsts = generations_at(path)?;
    let epoch = match read_epoch(path)? {
        // Without generations nobody knows which numbers were used.
        Some(epoch) if !firsts.is_empty() => epoch,
        _ => mint_epoch(path, epoch_bits)?,
    };
    let (active, head) = open_active(path, &mut firsts, &mut owed)?;
    // What survived a kill may be in the page cache alone: it becomes durable before anyone sees it.
    active.flush()?;
    let shelf = Shelf::new(path.to_owned(), lock, epoch, &firsts, active, head)?;
    Ok(Opened { shelf, owed })
}

/// Opens the journal at `path` for reading alone, while no daemon has it.
///
/// Finishes what a crash left half done, and changes nothing else.
pub fn open_offline(path: impl Into<PathBuf>) -> Result<Reader, JournalError> {
    let path = path.into();
    let lock = match File::open(path.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(JournalError::NotAJournal { path }),
        opened => opened.map_err(JournalError::io("open the lock of", &path))?,
    };
    let lock = disk::lock(&path, lock)?;
    tidy(&path)?;
    let mut firsts = generations_at(&path)?;
    let (Some(epoch), Some(first)) = (read_epoch(&path)?, firsts.pop()) else {
        return Err(JournalError::NotAJournal { path });
    };
    let active = Generation::open(&dir_of(&path, first), first, Purpose::Read).map_err(Fault::into_error)?;
    let head = active.end().map_err(Fault::into_error)?;
    Ok(Reader::of(Arc::new(Shelf::new(path, lock, epoch, &firsts, active, head)?)))
}

/// Opens the last generation, or starts one. `firsts` is left with the sealed ones.
fn open_active(path: &Path, firsts: &mut Vec<Seq>, owed: &mut Owed) -> Result<(Generation, Seq), JournalError> {
    let mut start = Seq::FIRST;
    if let Some(first) = firsts.pop() {
        let dir = dir_of(path, first);
        let opened = Generation::open(&dir, first, Purpose::Write);
        match opened.and_then(|generation| generation.end().map(|head| (generation, head))) {
            Ok(opened) => return Ok(opened),
            Err(Fault::Refused(error)) => return Err(error),
            Err(Fault::Damaged(error)) => {
                tracing::error!(%error, "active generation does not open, goes to quarantine");
                start = first.plus(GENERATION_RECORDS_MAX);
                let range = Some(SeqRange::new(first, start));
                // How many it held is not known any more: the count says none rather than a wrong number.
                owed.owe(vec![Gap { range, count: 0, times: None, reason: GapReason::Corrupt }])?;
                // The new one first: were both gone, numbering would begin again.
                Generation::create(&dir_of(path, start), start).map_err(Fault::into_error)?;
                quarantine(path, first)?;
            }
        }
    } else {
        Generation::create(&dir_of(path, start), start).map_err(Fault::into_error)?;
    }
    let active = Generation::open(&dir_of(path, start), start, Purpose::Write).map_err(Fault::into_error)?;
    Ok((active, start))
}

/// Settles what a crash interrupted: `.tmp` was never finished, `.old` was about to be replaced.
fn tidy(path: &Path) -> Result<(), JournalError> {
    for entry in disk::entries(path)? {
        match entry.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") => disk::remove(&entry)?,
            Some("old") => {
                let place = entry.with_extension("");
                if place.try_exists().map_err(JournalError::io("look for", &place))? {
                    disk::remove(&entry)?;
                } else {
                    disk::rename(&entry, &place)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The epoch of the journal at `path`; `None` if there is no journal.
pub fn epoch_at(path: &Path) -> Result<Option<Epoch>, JournalError> {
    read_epoch(path)
}

/// The epoch file: `tidegate-journal <format> <epoch>`. `None` if it is missing or says nothing.
fn read_epoch(path: &Path) -> Result<Option<Epoch>, JournalError> {
    let Some(bytes) = disk::read(&path.join("epoch"))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split_whitespace();
    if words.next() != Some("tidegate-journal") {
        return Ok(None);
    }
    let format = words.next().unwrap_or_default();
    if format != FORMAT.to_string() {
        return Err(JournalError::Format { found: format.to_owned(), known: FORMAT });
    }
    Ok(words.next().and_then(Epoch::parse))
}

/// A new epoch, durable before the first number is given out under it.
fn mint_epoch(path: &Path, bits: u64) -> Result<Epoch, JournalError> {
    let epoch = Epoch::from_bits(bits);
    disk::replace(&path.join("epoch"), format!("tidegate-journal {FORMAT} {epoch}\n").as_bytes())?;
    tracing::info!(%epoch, "journal has a new epoch");
    Ok(epoch)
}
