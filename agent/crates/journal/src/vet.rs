//! Before a generation that this process did not make is opened here, another process has opened it and read all of it.
//!
//! Release builds abort on panic, and sled can panic on damaged files: opened here, such a file would end the daemon
//! at each start. So a child looks first ([`Probe`]). It reads all: opened as it is. It opens, but not all of it reads:
//! what reads is copied into a fresh generation, by a child again. It crashes, hangs or finds nothing to open: the same
//! with a copy without sled's snapshot, whose damage alone makes sled refuse a whole log. If that fails as well, the
//! generation is lost, and goes to quarantine. The original goes there either way, and is only ever opened by a child.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Gap, GapReason, Seq, SeqRange};

use crate::disk;
use crate::error::JournalError;
use crate::journal::Journal;
use crate::probe::{Look, Probe, Report};
use crate::quarantine::quarantine_dir;
use crate::shelf::dir_of;

/// Who looks, and what may be done about what is found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vetting {
    /// Without one, generations are opened directly.
    pub(crate) probe: Option<Probe>,
    /// Whether damage is only looked at: what opens at all is read as it is, and nothing is moved.
    pub(crate) is_offline: bool,
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
    /// Has the generation at `first` looked at, and salvaged if it is damaged.
    pub(crate) fn vet(&self, path: &Path, first: Seq) -> Result<Verdict, JournalError> {
        let Some(probe) = &self.probe else { return Ok(Verdict::Sound(None)) };
        let dir = dir_of(path, first);
        let opens = match probe.look(&dir, first, None)? {
            Look::NotStarted(error) => {
                tracing::warn!(%error, "no process to look into a generation first, it is opened without");
                return Ok(Verdict::Sound(None));
            }
            Look::Report(report) if report.unreadable == 0 => return Ok(Verdict::Sound(Some(report))),
            Look::Report(report) if self.is_offline => return Ok(Verdict::Sound(Some(report))),
            Look::Report(report) => {
                tracing::error!(%first, places = report.unreadable, "generation is damaged, salvaging what reads");
                true
            }
            Look::Failed(why) => {
                tracing::error!(%first, why, "generation can not be opened");
                false
            }
        };
        if self.is_offline {
            return Ok(Verdict::Lost);
        }
        let fresh = disk::with_suffix(&dir, ".tmp");
        let saved = salvage(probe, &dir, first, opens, &fresh)?;
        let Some(report) = saved.filter(|report| !report.readable.is_empty()) else {
            disk::remove(&fresh)?;
            return Ok(Verdict::Lost);
        };
        // As in a repack: a crash between the two finds `.old` alone and puts it back.
        let old = disk::with_suffix(&dir, ".old");
        disk::rename(&dir, &old)?;
        disk::rename(&fresh, &dir)?;
        quarantine_dir(path, &old, first)?;
        tracing::error!(%first, records = report.readable.len(), "generation salvaged, the damaged one is in quarantine");
        Ok(Verdict::Salvaged(report))
    }
}

/// Writes what reads of `dir` to `fresh`; `None` if nobody could read it.
fn salvage(probe: &Probe, dir: &Path, first: Seq, opens: bool, fresh: &Path) -> Result<Option<Report>, JournalError> {
    if opens && let Look::Report(report) = probe.look(dir, first, Some(fresh))? {
        return Ok(Some(report));
    }
    let copy = disk::with_suffix(dir, ".copy.tmp");
    disk::remove(&copy)?;
    let looked = copy_without_snapshot(dir, &copy).and_then(|()| probe.look(&copy, first, Some(fresh)));
    disk::remove(&copy)?;
    match looked? {
        Look::Report(report) => Ok(Some(report)),
        Look::Failed(_) | Look::NotStarted(_) => Ok(None),
    }
}

/// Copies a generation but for sled's snapshot, which it makes again from the log.
fn copy_without_snapshot(dir: &Path, copy: &Path) -> Result<(), JournalError> {
    fs::create_dir(copy).map_err(JournalError::io("create", copy))?;
    for entry in disk::entries(dir)?.into_iter().filter(|entry| entry.is_file()) {
        let name = PathBuf::from(entry.file_name().expect("an entry has a name"));
        if !name.to_string_lossy().starts_with("snap.") {
            fs::copy(&entry, copy.join(name)).map_err(JournalError::io("copy", &entry))?;
        }
    }
    Ok(())
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
