//! Sealing: the next generation is made first, so that there is always an active one whose name holds the number to
//! go on from; then the one before is repacked, if that saves a lot.
//!
//! An idle line makes a value of ten readings a second, which costs several times what full blocks do. A repack is
//! written beside the generation, synced, and swapped in by two renames: `gN` to `gN.old`, `gN.tmp` to `gN`. Between
//! them a crash leaves `gN.old` alone, which the next open puts back.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use model::Seq;

use crate::codec::encoder::{Encoder, Pending};
use crate::codec::{self, BLOCK_RECORDS_MAX};
use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation, Purpose};
use crate::journal::{Journal, number_of};
use crate::newest;
use crate::series::Numbering;
use crate::settings::Moment;
use crate::shelf::dir_of;

/// Generations with more records a value than this are left as they are.
const RECORDS_PER_VALUE_GOOD: u64 = 64;
/// Fewer values than this are not worth a directory's syncs.
const VALUES_WORTH: usize = 64;

/// Seals the active generation of `journal`, starts the next, and gives back what was sealed.
pub(crate) fn seal(journal: &mut Journal, now: Moment) -> Result<Arc<Generation>, JournalError> {
    let path = journal.shelf.path.clone();
    let first = journal.shelf.head();
    let dir = dir_of(&path, first);
    Generation::create(&dir, first).map_err(Fault::into_error)?;
    newest::note(&path, first)?;
    let next = Generation::open(&dir, first, Purpose::Write).map_err(Fault::into_error)?;
    let bytes = disk::bytes_of(&dir)?;
    let sealed_bytes = disk::bytes_of(journal.active.dir())?;
    let mut rack = journal.shelf.rack();
    rack.active_bytes = sealed_bytes;
    rack.seal(next, bytes);
    let before = std::mem::replace(&mut journal.active, Arc::clone(&rack.active));
    drop(rack);
    journal.numbering = Numbering::default();
    journal.active_since_ms = now.mono_ms;
    journal.is_seal_due = false;
    tracing::debug!(first = %before.first(), bytes = sealed_bytes, "generation sealed");
    Ok(before)
}

/// Whether a repack of the active generation of `journal`, about to be sealed, saves a lot.
pub(crate) fn is_repack_worth(journal: &Journal) -> bool {
    let count = journal.shelf.head().0 - journal.active.first().0;
    let values = journal.active.values();
    values >= VALUES_WORTH && count / u64::try_from(values).expect("64 bits") < RECORDS_PER_VALUE_GOOD
}

/// Rewrites a sealed generation, up to `next`, in full blocks, if that can be done now.
pub(crate) fn repack(journal: &Journal, before: Arc<Generation>, next: Seq) {
    let first = before.first();
    if let Err(error) = try_repack(journal, before, next) {
        tracing::warn!(%error, "sealed generation not repacked, stays as it is");
        let copy = disk::with_suffix(&dir_of(&journal.shelf.path, first), ".tmp");
        if let Err(error) = disk::remove(&copy) {
            tracing::warn!(%error, "the half made copy stays until the next start");
        }
    }
}

fn try_repack(journal: &Journal, before: Arc<Generation>, next: Seq) -> Result<(), JournalError> {
    let first = before.first();
    let dir = dir_of(&journal.shelf.path, first);
    let packed = disk::with_suffix(&dir, ".tmp");
    disk::remove(&packed)?;
    if !fill(&packed, &before, next)? {
        // Damage: the original is the evidence, and has what a salvage may still get out of it.
        return disk::remove(&packed);
    }
    drop(before);
    swap_in(journal, first)
}

/// Puts what was written to `<generation>.tmp` in the place of the generation.
pub(crate) fn swap_in(journal: &Journal, first: Seq) -> Result<(), JournalError> {
    let dir = dir_of(&journal.shelf.path, first);
    let (fresh, old) = (disk::with_suffix(&dir, ".tmp"), disk::with_suffix(&dir, ".old"));
    disk::sync_tree(&fresh)?;
    let mut rack = journal.shelf.rack();
    disk::rename(&dir, &old)?;
    disk::rename(&fresh, &dir)?;
    rack.replaced(first, disk::bytes_of(&dir)?);
    drop(rack);
    disk::remove(&old)
}

/// Writes the records of `from` up to `next` into a new generation at `dir`. `false` if they are not all there.
fn fill(dir: &Path, from: &Generation, next: Seq) -> Result<bool, JournalError> {
    let generation = Generation::make(dir, from.first()).map_err(Fault::into_error)?;
    let known = from.known();
    let mut writer = Filling::of(&generation);
    let mut at = from.first();
    let mut pending: Vec<Pending> = Vec::new();
    let mut outcome = Ok(());
    from.each_value(model::SeqRange::new(at, next), |header, block| {
        let Ok(records) = codec::open_block(&header, block, &known) else { return ControlFlow::Break(()) };
        if header.range.first != at.plus(u64::try_from(pending.len()).expect("64 bits")) {
            return ControlFlow::Break(());
        }
        pending.extend(records.into_iter().map(|record| Pending { boot: header.boot, record }));
        if pending.len() >= BLOCK_RECORDS_MAX {
            outcome = writer.write(&mut at, &mut pending);
        }
        if outcome.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    outcome?;
    writer.write(&mut at, &mut pending)?;
    generation.flush()?;
    Ok(at == next)
}

/// Writes records into a new generation, in full blocks.
pub(crate) struct Filling<'a> {
    pub(crate) generation: &'a Generation,
    pub(crate) numbering: Numbering,
    pub(crate) encoder: Encoder,
}

impl<'a> Filling<'a> {
    pub(crate) fn of(generation: &'a Generation) -> Self {
        Self { generation, numbering: Numbering::default(), encoder: Encoder::default() }
    }

    /// Stores `pending`, the first of which is `at`, and moves `at` behind them.
    pub(crate) fn write(&mut self, at: &mut Seq, pending: &mut Vec<Pending>) -> Result<(), JournalError> {
        let (generation, numbering) = (self.generation, &mut self.numbering);
        let number = |series: &Arc<model::Series>| number_of(series, numbering, generation);
        self.encoder.encode(*at, pending, number, |range, value| generation.insert(range.first, value))?;
        *at = at.plus(u64::try_from(pending.len()).expect("64 bits"));
        pending.clear();
        Ok(())
    }
}
