//! Positions that are known to be missing and were told, `<path>/holes`: what is missing is told once, not at every
//! start.

use std::path::{Path, PathBuf};

use model::{Gap, GapReason, RangeSet, Seq, SeqRange};

use crate::codec::mirror;
use crate::disk;
use crate::error::JournalError;
use crate::sheet::{self, Magic};

const MAGIC: Magic = *b"TGHO";
/// Beyond so many the oldest are forgotten; that costs a second telling.
const HOLES_MAX: usize = 1024;

/// The note and what is on it.
#[derive(Debug)]
pub(crate) struct Holes {
    path: PathBuf,
    told: RangeSet,
}

impl Holes {
    /// Reads the note of the journal at `path`. One that does not read is as none: holes are told again.
    pub(crate) fn load(path: &Path) -> Result<Self, JournalError> {
        let path = path.join("holes");
        let gaps = match disk::read(&path)? {
            None => Vec::new(),
            Some(bytes) => sheet::open(MAGIC, &bytes).and_then(|(_, body)| mirror::get_gaps(body)).unwrap_or_default(),
        };
        let mut told = RangeSet::new();
        gaps.iter().filter_map(|gap| gap.range).for_each(|range| told.insert(range));
        Ok(Self { path, told })
    }

    /// What of `missing` was not told yet.
    pub(crate) fn untold(&self, missing: &[SeqRange]) -> Vec<SeqRange> {
        missing.iter().flat_map(|range| self.told.missing(*range)).collect()
    }

    /// All of them.
    pub(crate) fn told(&self) -> &RangeSet {
        &self.told
    }

    /// Behind the last hole.
    pub(crate) fn end(&self) -> Seq {
        self.told.ranges().last().map_or(Seq::FIRST, |range| range.next)
    }

    /// Notes that these are told, durably. What lies below `tail` is forgotten.
    pub(crate) fn note(&mut self, ranges: impl IntoIterator<Item = SeqRange>, tail: Seq) -> Result<(), JournalError> {
        ranges.into_iter().for_each(|range| self.told.insert(range));
        self.told.remove(SeqRange::new(Seq(0), tail));
        let kept = self.told.ranges();
        let gaps: Vec<Gap> = kept[kept.len().saturating_sub(HOLES_MAX)..]
            .iter()
            .map(|&range| Gap { range: Some(range), count: 0, times: None, reason: GapReason::Corrupt })
            .collect();
        let mut body = Vec::new();
        mirror::put_gaps(&mut body, &gaps);
        disk::replace(&self.path, &sheet::frame(MAGIC, 0, &body))
    }
}
