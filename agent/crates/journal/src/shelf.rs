//! Which generations there are, and which of them are open: shared by the writer and all readers.
//!
//! Only the active generation and the [`SEALED_OPEN_MAX`] sealed ones last asked for are held open: an idle agent
//! has 14 MiB in all. A reader that still holds one which was let go, removed or repacked reads on from its open
//! files; the next one to ask opens what then stands in its place, which has the same records.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::{Epoch, GapReason, Seq, SeqRange};

use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation, Purpose, Survey};
use crate::holes::Holes;
use crate::probe::Look;
use crate::thin;
use crate::vet::{Verdict, Vetting};

/// Two: one that a sink drains and one that a second, later sink does.
const SEALED_OPEN_MAX: usize = 2;

/// What is known of a sealed generation.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// The first number of the generation after it.
    pub(crate) next: Seq,
    /// On disk.
    pub(crate) bytes: u64,
    /// How far thinning has come with it: 0 not tried.
    pub(crate) level: u8,
    /// Whether it has holes from thinning.
    pub(crate) is_thinned: bool,
    /// Filled in when it was first asked for.
    pub(crate) survey: Option<Survey>,
    /// It did not open: the writer will put it into quarantine.
    pub(crate) is_broken: bool,
    /// It was made by this process, or another one has read it all.
    is_vetted: bool,
    handle: Weak<Generation>,
}

/// The lists behind the lock.
#[derive(Debug)]
pub(crate) struct Rack {
    pub(crate) sealed: BTreeMap<Seq, Sealed>,
    pub(crate) active: Arc<Generation>,
    pub(crate) active_bytes: u64,
    /// Missing positions that the writer has yet to owe.
    pub(crate) found: Vec<SeqRange>,
    /// Missing positions that were told.
    pub(crate) holes: Holes,
    vetting: Vetting,
    /// Sealed generations held open, the one last asked for at the end.
    recent: Vec<Arc<Generation>>,
}

/// Where a position stands.
pub(crate) enum Place {
    /// In this generation, which has all of this range; what is missing in it is so for this reason.
    Generation(Arc<Generation>, SeqRange, GapReason),
    /// In a generation that does not open.
    Broken(SeqRange),
    /// Below the first that is kept, which is this.
    Removed(Seq),
}

/// The shared part of a journal.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) path: PathBuf,
    pub(crate) epoch: Epoch,
    head: AtomicU64,
    /// Records appended and not durable yet.
    pub(crate) pending: AtomicU64,
    rack: Mutex<Rack>,
    /// Held as long as anyone uses the journal.
    lock: File,
}

/// What a shelf stands on.
pub(crate) struct Ground {
    pub(crate) path: PathBuf,
    pub(crate) lock: File,
    pub(crate) epoch: Epoch,
    pub(crate) vetting: Vetting,
    pub(crate) holes: Holes,
}

/// The directory of the generation that starts at `first`.
pub(crate) fn dir_of(path: &Path, first: Seq) -> PathBuf {
    path.join(format!("g{:020}", first.0))
}

/// The first numbers of the generations at `path`, in order.
pub(crate) fn generations_at(path: &Path) -> Result<Vec<Seq>, JournalError> {
    let number = |entry: &PathBuf| {
        let digits = entry.file_name()?.to_str()?.strip_prefix('g')?;
        if digits.len() == 20 { digits.parse().ok().map(Seq) } else { None }
    };
    Ok(disk::entries(path)?.iter().filter_map(number).collect())
}

impl Shelf {
    /// Lists the sealed generations `firsts`, behind which `active` stands, whose records end at `head`.
    pub(crate) fn new(
        Ground { path, lock, epoch, vetting, holes }: Ground,
        firsts: &[Seq],
        (active, head): (Generation, Seq),
    ) -> Result<Self, JournalError> {
        let nexts = firsts.iter().skip(1).chain([active.first()].iter()).copied().collect::<Vec<_>>();
        let mut sealed = BTreeMap::new();
        for (&first, next) in firsts.iter().zip(nexts) {
            let dir = dir_of(&path, first);
            let level = thin::level_at(&dir)?;
            sealed.insert(first, Sealed { level, is_thinned: level > 0, ..Sealed::new(next, disk::bytes_of(&dir)?) });
        }
        let active_bytes = disk::bytes_of(active.dir())?;
        let active = Arc::new(active);
        let rack = Rack { sealed, active, active_bytes, found: Vec::new(), holes, vetting, recent: Vec::new() };
        let (head, pending) = (AtomicU64::new(head.0), AtomicU64::new(0));
        Ok(Self { path, epoch, head, pending, rack: Mutex::new(rack), lock })
    }

    /// The file that is locked.
    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    /// The first position that is not durable yet.
    pub(crate) fn head(&self) -> Seq {
        Seq(self.head.load(Ordering::Acquire))
    }

    /// Makes all below `head` visible: they are durable.
    pub(crate) fn publish(&self, head: Seq) {
        self.head.store(head.0, Ordering::Release);
    }

    /// The lists. Held over the opening of a generation, never over a flush.
    pub(crate) fn rack(&self) -> MutexGuard<'_, Rack> {
        self.rack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first position that is kept.
    pub(crate) fn tail(&self) -> Seq {
        self.rack().tail()
    }

    /// Finds `seq`, and opens its generation if need be.
    ///
    /// Where another process looks at it first, that is not waited for under the lock: a file that hangs holds up who
    /// reads it, not the writer.
    pub(crate) fn place_of(&self, seq: Seq) -> Result<Place, JournalError> {
        let mut looked: Option<(Seq, Option<Look>)> = None;
        loop {
            let mut rack = self.rack();
            if seq >= rack.active.first() {
                let range = SeqRange::new(rack.active.first(), Seq(u64::MAX));
                return Ok(Place::Generation(Arc::clone(&rack.active), range, GapReason::Corrupt));
            }
            let Some((&first, sealed)) = rack.sealed.range(..=seq).next_back() else {
                return Ok(Place::Removed(rack.tail()));
            };
            let range = SeqRange::new(first, sealed.next);
            if seq >= sealed.next {
                // A hole where a generation was taken out; the next one that is kept starts behind it.
                let after = rack.sealed.range(seq..).next().map_or(rack.active.first(), |(&first, _)| first);
                return Ok(Place::Broken(SeqRange::new(range.next, after)));
            }
            let missing = if sealed.is_thinned { GapReason::Thinned } else { GapReason::Corrupt };
            // What was looked at may have been removed or replaced meanwhile.
            let look = looked.take().filter(|(of, _)| *of == first);
            if look.is_none() && sealed.is_to_be_vetted() {
                let vetting = rack.vetting.clone();
                drop(rack);
                looked = Some((first, vetting.look(&self.path, first)?));
                continue;
            }
            return match rack.open_looked(&self.path, first, look.and_then(|(_, look)| look))? {
                Some(generation) => Ok(Place::Generation(generation, range, missing)),
                None => Ok(Place::Broken(range)),
            };
        }
    }
}

impl Sealed {
    pub(crate) fn new(next: Seq, bytes: u64) -> Self {
        Self {
            next,
            bytes,
            level: 0,
            is_thinned: false,
            survey: None,
            is_broken: false,
            is_vetted: false,
            handle: Weak::new(),
        }
    }

    fn is_to_be_vetted(&self) -> bool {
        !self.is_vetted && !self.is_broken && self.handle.strong_count() == 0
    }
}

impl Rack {
    /// The first position that is kept.
    pub(crate) fn tail(&self) -> Seq {
        self.sealed.first_key_value().map_or(self.active.first(), |(&first, _)| first)
    }

    /// On disk, of all generations.
    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.values().map(|sealed| sealed.bytes).sum::<u64>() + self.active_bytes
    }

    /// Has a sealed generation looked at by a process of its own, once, unless that was just done.
    fn vet(&mut self, path: &Path, first: Seq, look: Option<Look>) -> Result<(), JournalError> {
        let sealed = self.sealed.get_mut(&first).expect("asked for a listed one, under the lock");
        if !sealed.is_to_be_vetted() {
            return Ok(());
        }
        let look = match look {
            Some(look) => Some(look),
            None => self.vetting.look(path, first)?,
        };
        let verdict = self.vetting.judge(path, first, sealed.next, look)?;
        sealed.is_vetted = true;
        let range = SeqRange::new(first, sealed.next);
        match verdict {
            Verdict::Lost => sealed.is_broken = true,
            Verdict::Sound(None) => {}
            // What thinning took out was told when it was taken.
            Verdict::Sound(Some(_)) if sealed.is_thinned => {}
            Verdict::Sound(Some(report)) => self.found.extend(self.holes.untold(&report.readable.missing(range))),
            Verdict::Salvaged(report) => {
                sealed.bytes = disk::bytes_of(&dir_of(path, first))?;
                self.found.extend(self.holes.untold(&report.readable.missing(range)));
            }
        }
        Ok(())
    }

    /// Opens a sealed generation; `None` if it is damaged, which is noted.
    pub(crate) fn open(&mut self, path: &Path, first: Seq) -> Result<Option<Arc<Generation>>, JournalError> {
        self.open_looked(path, first, None)
    }

    /// The same, where somebody may have just looked at it.
    fn open_looked(
        &mut self,
        path: &Path,
        first: Seq,
        look: Option<Look>,
    ) -> Result<Option<Arc<Generation>>, JournalError> {
        self.vet(path, first, look)?;
        let sealed = self.sealed.get_mut(&first).expect("asked for a listed one, under the lock");
        if sealed.is_broken {
            return Ok(None);
        }
        let generation = match sealed.handle.upgrade() {
            Some(generation) => generation,
            None => match Generation::open(&self.vetting.place_of(path, first), first, Purpose::Read) {
                Ok(generation) => Arc::new(generation),
                Err(Fault::Refused(error)) => return Err(error),
                Err(Fault::Damaged(error)) => {
                    tracing::error!(%error, %first, "generation does not open, will go to quarantine");
                    sealed.is_broken = true;
                    return Ok(None);
                }
            },
        };
        sealed.handle = Arc::downgrade(&generation);
        self.recent.retain(|held| held.first() != first);
        self.recent.push(Arc::clone(&generation));
        if self.recent.len() > SEALED_OPEN_MAX {
            self.recent.remove(0);
        }
        Ok(Some(generation))
    }

    /// The survey of a sealed generation, made at the first call; `None` if it is damaged.
    pub(crate) fn survey(&mut self, path: &Path, first: Seq) -> Result<Option<Survey>, JournalError> {
        if let Some(survey) = self.sealed.get(&first).and_then(|sealed| sealed.survey) {
            return Ok(Some(survey));
        }
        let Some(generation) = self.open(path, first)? else { return Ok(None) };
        let survey = generation.survey()?;
        self.sealed.get_mut(&first).expect("opened above").survey = Some(survey);
        Ok(Some(survey))
    }

    /// Makes `next` the active generation; the one before is sealed, and let go when its readers are done.
    pub(crate) fn seal(&mut self, next: Generation, next_bytes: u64) {
        let before = std::mem::replace(&mut self.active, Arc::new(next));
        let mut sealed = Sealed::new(self.active.first(), self.active_bytes);
        sealed.handle = Arc::downgrade(&before);
        sealed.is_vetted = true;
        self.sealed.insert(before.first(), sealed);
        self.active_bytes = next_bytes;
    }

    /// Takes a generation off the list. Readers that hold it read on.
    pub(crate) fn forget(&mut self, first: Seq) {
        self.sealed.remove(&first);
        self.recent.retain(|held| held.first() != first);
    }

    /// What stands at the place of a sealed generation is new and takes `bytes`.
    pub(crate) fn replaced(&mut self, first: Seq, bytes: u64) {
        self.recent.retain(|held| held.first() != first);
        if let Some(sealed) = self.sealed.get_mut(&first) {
            sealed.handle = Weak::new();
            sealed.bytes = bytes;
            sealed.is_vetted = true;
        }
    }

    /// The sealed generations that are open.
    pub(crate) fn opened(&self) -> Vec<Seq> {
        self.sealed.keys().copied().filter(|first| self.is_open(*first)).collect()
    }

    /// Whether a generation is open.
    pub(crate) fn is_open(&self, first: Seq) -> bool {
        self.sealed.get(&first).is_some_and(|sealed| sealed.handle.strong_count() > 0)
    }
}
