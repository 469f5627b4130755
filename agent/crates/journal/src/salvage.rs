//! Reading all of a generation, and writing what reads into a fresh one. Called in a process that may crash.
//!
//! Nothing is guessed: a block counts only if its own checksum holds and every record in it decodes, and stays under
//! its number.

use std::ops::ControlFlow;
use std::path::Path;

use model::{RangeSet, Seq, SeqRange};

use crate::codec::encoder::Pending;
use crate::codec::{self, BLOCK_RECORDS_MAX};
use crate::disk;
use crate::error::JournalError;
use crate::generation::{Fault, Generation};
use crate::probe::Report;
use crate::seal::Filling;

/// Reads every value.
pub(crate) fn survey(generation: &Generation) -> Result<Report, JournalError> {
    read(generation, |_, _| Ok(()))
}

/// Reads every value and writes what reads to a new generation at `out`, durably.
pub(crate) fn copy(generation: &Generation, out: &Path) -> Result<Report, JournalError> {
    disk::remove(out)?;
    let fresh = Generation::make(out, generation.first()).map_err(Fault::into_error)?;
    let mut filling = Filling::of(&fresh);
    let mut waiting: Vec<Pending> = Vec::new();
    let mut at = generation.first();
    let report = read(generation, |first, records| {
        let is_next = first == at.plus(u64::try_from(waiting.len()).expect("64 bits"));
        if !is_next || waiting.len() >= BLOCK_RECORDS_MAX {
            filling.write(&mut at, &mut waiting)?;
            at = first;
        }
        waiting.extend(records);
        Ok(())
    })?;
    filling.write(&mut at, &mut waiting)?;
    fresh.flush()?;
    drop(fresh);
    disk::sync_tree(out)?;
    Ok(report)
}

/// Gives every block that reads to `take`, in order.
fn read(
    generation: &Generation,
    mut take: impl FnMut(Seq, Vec<Pending>) -> Result<(), JournalError>,
) -> Result<Report, JournalError> {
    let known = generation.known();
    let mut readable = RangeSet::new();
    let mut end = generation.first();
    let mut unreadable = u64::from(!generation.is_whole());
    let mut taken = Ok(());
    let all = SeqRange::new(generation.first(), Seq(u64::MAX));
    let skipped = generation.walk(all, |header, block| {
        let records = codec::open_block(&header, block, &known);
        let Ok(records) =
            records.map_err(drop).and_then(|records| if header.range.first < end { Err(()) } else { Ok(records) })
        else {
            unreadable += 1;
            return ControlFlow::Continue(());
        };
        readable.insert(header.range);
        end = header.range.next;
        let boot = header.boot;
        taken = take(header.range.first, records.into_iter().map(|record| Pending { boot, record }).collect());
        if taken.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    taken?;
    let end = generation.end().map_or(end, |known| known.max(end));
    Ok(Report { unreadable: unreadable + skipped, end, readable })
}
