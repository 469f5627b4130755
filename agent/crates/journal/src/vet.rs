//! Before a generation that this process did not make is opened here, another process has opened it and read all of it.
//!
//! Release builds abort on panic, and sled can panic on damaged files: opened here, such a file would end the daemon
//! at each start. And sled *writes* when it opens: zeros over all that it has given up. So a child looks first
//! ([`Probe`]), at the raw bytes before it lets sled near them. Either
//!
//! * all is in order, and all reads: opened as it is. That is so after nearly every kill and power cut.
//! * sled would give up values that are whole, or can not open it, or not all reads: what the raw bytes hold is written
//!   into a fresh generation, by a child again, which takes its place.
//! * nothing reads: the generation is lost.
//!
//! What was replaced goes to quarantine, unless it was only in disorder and nothing of it is missing: a power cut can
//! leave the second half of a write without the first. The original is only ever opened by a child. Offline nothing is
//! replaced: what was found is written outside the journal, and read there.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use model::{Gap, GapReason, Seq, SeqRange};

use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation};
use crate::journal::Journal;
use crate::probe::{Look, Probe, Report};
use crate::quarantine::quarantine_dir;
use crate::shelf::dir_of;

/// Who looks, and what may be done about what is found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vetting {
    /// Without one, generations are opened directly.
    pub(crate) probe: Option<Probe>,
    /// Where what reads of a damaged generation is written if the journal itself is not to be changed.
    pub(crate) scratch: Option<Arc<Scratch>>,
}

/// A directory outside the journal, for as long as it is read offline.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    is_made: AtomicBool,
}

impl Scratch {
    /// A place nobody else has; nothing is made yet.
    pub(crate) fn new() -> Arc<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Arc::new(Self { path: std::env::temp_dir().join(name), is_made: AtomicBool::new(false) })
    }

    /// The place for the generation at `first`, in a directory that is ours alone: one that is there already, in a place
    /// where anybody may write, is not used.
    fn dir_for(&self, first: Seq) -> Result<PathBuf, JournalError> {
        if !self.is_made.load(Ordering::Acquire) {
            let made = DirBuilder::new().mode(0o700).create(&self.path);
            made.map_err(JournalError::io("create", &self.path))?;
            self.is_made.store(true, Ordering::Release);
        }
        Ok(dir_of(&self.path, first))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !*self.is_made.get_mut() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "the copies of damaged generations stay");
        }
    }
}

/// What became of a generation.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It may be opened; what was found, if anybody looked.
    Sound(Option<Report>),
    /// What reads of it stands in its place.
    Salvaged(Report),
    /// It must not be opened.
    Lost,
}

impl Vetting {
    /// Where to open the generation at `first`, once it was looked at.
    pub(crate) fn place_of(&self, path: &Path, first: Seq) -> PathBuf {
        let salvaged = self.scratch.as_ref().map(|scratch| dir_of(&scratch.path, first));
        salvaged.filter(|dir| dir.is_dir()).unwrap_or_else(|| dir_of(path, first))
    }

    /// An empty generation in the place of one that nothing reads of.
    pub(crate) fn stand_in(&self, first: Seq) -> Result<Option<Generation>, JournalError> {
        let Some(scratch) = &self.scratch else { return Ok(None) };
        let dir = scratch.dir_for(first)?;
        disk::remove(&dir)?;
        Generation::make(&dir, first).map(Some).map_err(Fault::into_error)
    }

    /// Has the generation at `first` looked at; nothing is changed by that. `None` where nobody looks.
    pub(crate) fn look(&self, path: &Path, first: Seq) -> Result<Option<Look>, JournalError> {
        self.probe.as_ref().map(|probe| probe.look(&dir_of(path, first), first, None)).transpose()
    }

    /// Has the generation at `first`, which is to end at `until` or behind it, looked at, and salvaged if it is damaged.
    pub(crate) fn vet(&self, path: &Path, first: Seq, until: Seq) -> Result<Verdict, JournalError> {
        let look = self.look(path, first)?;
        self.judge(path, first, until, look)
    }

    /// What follows from a look: what is damaged is salvaged.
    pub(crate) fn judge(
        &self,
        path: &Path,
        first: Seq,
        until: Seq,
        look: Option<Look>,
    ) -> Result<Verdict, JournalError> {
        let (Some(probe), Some(look)) = (&self.probe, look) else { return Ok(Verdict::Sound(None)) };
        let dir = dir_of(path, first);
        match &look {
            Look::NotStarted(error) => {
                tracing::warn!(%error, "no process to look into a generation first, it is opened without");
                return Ok(Verdict::Sound(None));
            }
            Look::Report(report) if report.unreadable == 0 => return Ok(Verdict::Sound(Some(report.clone()))),
            Look::Report(report) => {
                tracing::error!(%first, places = report.unreadable, "generation is damaged, salvaging what reads");
            }
            Look::Disorder => tracing::warn!(%first, "generation is in disorder, putting together what reads"),
            Look::Failed(why) => tracing::error!(%first, why, "generation can not be opened, salvaging what reads"),
        }
        let fresh = match &self.scratch {
            Some(scratch) => scratch.dir_for(first)?,
            None => disk::with_suffix(&dir, ".tmp"),
        };
        let saved = match probe.look(&dir, first, Some(&fresh))? {
            Look::Report(report) => Some(report),
            Look::Failed(_) | Look::NotStarted(_) | Look::Disorder => None,
        };
        let Some(report) = saved.filter(|report| !report.readable.is_empty()) else {
            disk::remove(&fresh)?;
            return Ok(Verdict::Lost);
        };
        if self.scratch.is_some() {
            return Ok(Verdict::Salvaged(report));
        }
        // As in a repack: a crash between the two finds `.old` alone and puts it back.
        let old = disk::with_suffix(&dir, ".old");
        disk::rename(&dir, &old)?;
        disk::rename(&fresh, &dir)?;
        if matches!(look, Look::Disorder) && report.is_all(first, until) {
            disk::remove(&old)?;
            tracing::warn!(%first, records = report.readable.len(), "generation is in order again, nothing is missing");
        } else {
            quarantine_dir(path, &old, first)?;
            tracing::error!(%first, records = report.readable.len(), "generation salvaged, the damaged one is in quarantine");
        }
        Ok(Verdict::Salvaged(report))
    }
}

/// The gap for positions that are gone. Which of those below `known` there were is known; of the others, how many
/// were given out is not: the count says none rather than a wrong number.
pub(crate) fn gaps_of(missing: &[SeqRange], known: Seq) -> Vec<Gap> {
    let corrupt = |range: SeqRange, count| Gap { range: Some(range), count, times: None, reason: GapReason::Corrupt };
    let halves = missing.iter().flat_map(|range| {
        let counted = SeqRange::new(range.first, range.next.min(known).max(range.first));
        let uncounted = SeqRange::new(range.first.max(known), range.next);
        [corrupt(counted, counted.len()), corrupt(uncounted, 0)]
    });
    halves.filter(|gap| gap.range.is_some_and(|range| !range.is_empty())).collect()
}

impl Journal {
    /// Owes the losses that were found since the last look, as far as not every sink has confirmed them.
    pub(crate) fn owe_found(&mut self, drained: Seq) -> Result<(), JournalError> {
        let found = std::mem::take(&mut self.shelf.rack().found);
        if found.is_empty() {
            return Ok(());
        }
        let wanted: Vec<SeqRange> =
            found.iter().map(|range| SeqRange::new(range.first.max(drained), range.next)).collect();
        self.owed.owe(gaps_of(&wanted, Seq(u64::MAX)))?;
        let mut rack = self.shelf.rack();
        let tail = rack.tail();
        rack.holes.note(found, tail)
    }
}
