//! Opening a journal: the lock, the epoch, what a crash left half done, the active generation.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Epoch, RangeSet, Seq, SeqRange};

use crate::cursor_file;
use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation, Purpose};
use crate::holes::Holes;
use crate::newest;
use crate::owed::Owed;
use crate::probe::{Probe, Report};
use crate::quarantine::quarantine;
use crate::reader::Reader;
use crate::settings::Settings;
use crate::shelf::{Ground, Shelf, dir_of, generations_at};
use crate::space::{check_path, forget_cache};
use crate::thin;
use crate::vet::{Scratch, Verdict, Vetting, gaps_of};

/// Version of the layout of the directory. What stands inside files has versions of its own; a change of any of them, or a
/// new kind of event, changes this one, too, because by this one a release is told from one that can not read it.
pub const FORMAT: u32 = 1;
/// The versions that this release reads.
pub const FORMATS_READ: [u32; 1] = [FORMAT];
/// A generation is sealed before it has more records. So when an active one is lost with the knowledge of how many
/// numbers it had given out, numbering goes on behind all that it can have given.
pub(crate) const GENERATION_RECORDS_MAX: u64 = 1 << 24;

/// What opening found.
pub(crate) struct Opened {
    pub(crate) shelf: Shelf,
    pub(crate) owed: Owed,
}

/// Opens the journal at `settings.path` for its one writer; creates it if there is none.
pub(crate) fn open(settings: &Settings, epoch_bits: u64) -> Result<Opened, JournalError> {
    let path = settings.path.as_path();
    disk::create_dir(path)?;
    let lock_path = path.join("lock");
    let lock = File::create(&lock_path).map_err(JournalError::io("create", &lock_path))?;
    let lock = disk::lock(path, lock)?;
    check_path(path)?;
    forget_cache(path);
    tidy(path)?;
    let mut owed = Owed::load(path)?;
    let mut firsts = generations_at(path)?;
    thin::settle_joins(path, &mut firsts)?;
    let epoch = match read_epoch(path)? {
        // Without generations nobody knows which numbers were used.
        Some(epoch) if !firsts.is_empty() => epoch,
        _ => mint_epoch(path, epoch_bits)?,
    };
    let vetting = Vetting { probe: settings.probe.clone(), scratch: None };
    let mut holes = Holes::load(path)?;
    let (active, head) = open_active(path, &vetting, &mut firsts, &mut owed, &mut holes)?;
    // What survived a kill may be in the page cache alone: it becomes durable before anyone sees it.
    active.flush()?;
    let ground = Ground { path: path.to_owned(), lock, epoch, vetting, holes };
    let shelf = Shelf::new(ground, &firsts, (active, head))?;
    Ok(Opened { shelf, owed })
}

/// Opens the journal at `path` for reading alone, while no daemon has it.
///
/// Finishes what a crash left half done, and changes nothing else. What is damaged is read as far as it reads.
pub fn open_offline(path: impl Into<PathBuf>) -> Result<Reader, JournalError> {
    open_offline_with(path, None)
}

/// The same, with a program that opens each generation before this process does.
pub fn open_offline_with(path: impl Into<PathBuf>, probe: Option<Probe>) -> Result<Reader, JournalError> {
    let path = path.into();
    let lock = lock_offline(&path)?;
    tidy(&path)?;
    let mut firsts = generations_at(&path)?;
    thin::settle_joins(&path, &mut firsts)?;
    let (Some(epoch), Some(first)) = (read_epoch(&path)?, firsts.pop()) else {
        return Err(JournalError::NotAJournal { path });
    };
    let vetting = Vetting { probe, scratch: Some(Scratch::new()) };
    let (active, head) = newest_offline(&path, &vetting, first)?;
    let holes = Holes::load(&path)?;
    let ground = Ground { path, lock, epoch, vetting, holes };
    Ok(Reader::of(Arc::new(Shelf::new(ground, &firsts, (active, head))?)))
}

/// What reads of the newest generation, perhaps nothing, and where the journal ends as far as anybody knows.
fn newest_offline(path: &Path, vetting: &Vetting, first: Seq) -> Result<(Generation, Seq), JournalError> {
    let verdict = vetting.vet(path, first, first)?;
    let opened = match &verdict {
        Verdict::Lost => None,
        _ => match Generation::open(&vetting.place_of(path, first), first, Purpose::Read) {
            Ok(active) => Some(active),
            Err(Fault::Refused(error)) => return Err(error),
            Err(Fault::Damaged(error)) => {
                tracing::error!(%error, "the newest generation does not open");
                None
            }
        },
    };
    if let Some(active) = opened {
        let end = active.end().map_err(Fault::into_error)?;
        let known = if let Verdict::Salvaged(report) = verdict { report.end } else { end };
        return Ok((active, end.max(known)));
    }
    let why = "nothing of it reads: `journal repair` saves the rest";
    let lost = JournalError::Store { path: dir_of(path, first), source: why.into() };
    let stand_in = vetting.stand_in(first)?.ok_or(lost)?;
    // It had a record at least, which is lost by name.
    let known = cursor_file::high_water(path)?;
    Ok((stand_in, known.max(first.plus(1))))
}

/// Takes the lock of a journal that is there.
pub(crate) fn lock_offline(path: &Path) -> Result<File, JournalError> {
    let lock = match File::open(path.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        opened => opened.map_err(JournalError::io("open the lock of", path))?,
    };
    disk::lock(path, lock)
}

/// What the look at the last generation leaves to do.
struct Setback {
    /// Whether the generation is there, to be read as a sealed one.
    is_kept: bool,
    /// What reads of it.
    readable: RangeSet,
    /// Behind the last record that it knows of.
    end: Seq,
}

/// Opens the last generation, or starts one. `firsts` is left with the sealed ones.
///
/// Where the last one is damaged, gone, or knows less than a cursor does, numbering goes on in a new one, behind all
/// that can have been given out.
fn open_active(
    path: &Path,
    vetting: &Vetting,
    firsts: &mut Vec<Seq>,
    owed: &mut Owed,
    holes: &mut Holes,
) -> Result<(Generation, Seq), JournalError> {
    let floor = cursor_file::high_water(path)?.max(owed.end()).max(holes.end());
    let newest = newest::read(path)?;
    let Some(&last) = firsts.last() else {
        let start = newest.map_or(floor, |newest| floor.max(newest.plus(GENERATION_RECORDS_MAX)));
        return begin(path, start);
    };
    let first = newest.map_or(last, |newest| newest.max(last));
    let looked = if first > last {
        tracing::error!(%first, "the last generation is gone");
        Err(Setback { is_kept: false, readable: RangeSet::new(), end: first })
    } else {
        firsts.pop();
        look(path, vetting, first, floor)?
    };
    let setback = match looked {
        Ok((active, head)) => {
            newest::note(path, first)?;
            return Ok((active, head));
        }
        Err(setback) => setback,
    };
    let start = first.plus(GENERATION_RECORDS_MAX).max(floor);
    let missing = holes.untold(&setback.readable.missing(SeqRange::new(first, start)));
    owed.owe(gaps_of(&missing, setback.end.max(floor)))?;
    holes.note(missing, firsts.first().copied().unwrap_or(first))?;
    // The new one first: were both gone, numbering would begin again.
    let begun = begin(path, start)?;
    if setback.is_kept {
        firsts.push(first);
    } else {
        quarantine(path, first)?;
    }
    Ok(begun)
}

/// Looks at the last generation: open and ready to be written, or what to do instead.
fn look(
    path: &Path,
    vetting: &Vetting,
    first: Seq,
    floor: Seq,
) -> Result<Result<(Generation, Seq), Setback>, JournalError> {
    let lost = || Setback { is_kept: false, readable: RangeSet::new(), end: first };
    let report = match vetting.vet(path, first, floor)? {
        Verdict::Lost => return Ok(Err(lost())),
        Verdict::Sound(report) => report,
        Verdict::Salvaged(report) => Some(report),
    };
    let opened = Generation::open(&dir_of(path, first), first, Purpose::Write);
    let (generation, end) = match opened.and_then(|generation| generation.end().map(|end| (generation, end))) {
        Ok(opened) => opened,
        Err(Fault::Refused(error)) => return Err(error),
        Err(Fault::Damaged(error)) => {
            tracing::error!(%error, "active generation does not open, goes to quarantine");
            return Ok(Err(lost()));
        }
    };
    let report = report.unwrap_or_else(|| Report { unreadable: 0, end, readable: set_of(SeqRange::new(first, end)) });
    // Salvaged whole, it is as good as sound: no number beyond its end can be told from one never given out.
    if report.is_all(first, floor.max(end)) {
        return Ok(Ok((generation, end)));
    }
    let end = report.end.max(end);
    tracing::error!(%end, known = %floor, "the disk has lost records that were durable");
    Ok(Err(Setback { is_kept: true, readable: report.readable, end }))
}

fn set_of(range: SeqRange) -> RangeSet {
    let mut set = RangeSet::new();
    set.insert(range);
    set
}

/// Starts a generation.
fn begin(path: &Path, start: Seq) -> Result<(Generation, Seq), JournalError> {
    let dir = dir_of(path, start);
    Generation::create(&dir, start).map_err(Fault::into_error)?;
    newest::note(path, start)?;
    let active = Generation::open(&dir, start, Purpose::Write).map_err(Fault::into_error)?;
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

/// The format of the journal at `path`, also one that this release does not know; `None` if there is no journal.
pub fn format_at(path: &Path) -> Result<Option<u32>, JournalError> {
    match read_epoch(path) {
        Ok(epoch) => Ok(epoch.map(|_| FORMAT)),
        Err(JournalError::Format { found, known }) => {
            found.parse().map(Some).map_err(|_| JournalError::Format { found, known })
        }
        Err(error) => Err(error),
    }
}

/// The epoch file: `tidegate-journal <format> <epoch>`. `None` if it is missing or says nothing.
fn read_epoch(path: &Path) -> Result<Option<Epoch>, JournalError> {
    let Some(bytes) = disk::read(&path.join("epoch"))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split_whitespace();
    // Without its last line end it was cut short: half an epoch is another one.
    if words.next() != Some("tidegate-journal") || !text.ends_with('\n') {
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
