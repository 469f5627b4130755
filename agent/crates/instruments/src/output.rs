//! What came out of some bytes: samples, refused frames, counts. Owned and reused by the caller.

use std::sync::Arc;

use model::{Stamp, Timestamp};

use crate::field::Standing;
use crate::limits::{RAW_BYTES_MAX, REFUSED_KEPT_MAX};
use crate::note::Note;
use crate::refusal::Refusal;

/// What came out of the bytes since the last [`Output::clear`].
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Values, in the order of their frames; within a frame in the order of the fields.
    pub samples: Vec<Sample>,
    /// The first [`REFUSED_KEPT_MAX`] refused frames; `counts.refused` has them all.
    pub refused: Vec<Refused>,
    /// How many of what.
    pub counts: Counts,
    /// What became of each frame, of a protocol that is watched ([`crate::bind_watched()`]); else none.
    pub notes: Vec<Note>,
}

/// How many frames became what. `frames` = with data + `ignored` + `refused`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames found, empty ones aside.
    pub frames: u64,
    /// Frames that were neither data nor error: matched by `ignore`, or nothing in them was asked for.
    pub ignored: u64,
    /// Frames refused.
    pub refused: u64,
    /// Bytes that belong to no frame: before a start marker, after an overlong frame, or of a frame half heard.
    pub bytes_skipped: u64,
}

/// One value of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Index into the fields given to [`crate::bind()`].
    pub field: usize,
    /// Number of its frame among those with data in this [`Output`], from 0: what was said together.
    pub frame: usize,
    /// When the first byte of its frame arrived; of its start marker, where there is one.
    pub at: Stamp,
    /// What the instrument said.
    pub value: SampleValue,
    /// What its status makes of it.
    pub standing: Standing,
    /// What the instrument's own clock said, where the configuration names one and it could be read.
    pub device_time: Option<Timestamp>,
}

/// What an instrument said of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A finite number, in the instrument's unit.
    Number(f64),
    /// A text of at most [`crate::TEXT_BYTES_MAX`] bytes.
    Text(Arc<str>),
    /// It said that it has nothing.
    Missing,
}

/// A frame of which nothing was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// When its first byte arrived.
    pub at: Stamp,
    /// Why.
    pub why: Refusal,
    /// Its first [`RAW_BYTES_MAX`] bytes.
    pub frame: Vec<u8>,
    /// How many bytes it had when it was refused.
    pub len: usize,
}

impl Output {
    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.refused.clear();
        self.counts = Counts::default();
        self.notes.clear();
    }

    pub(crate) fn refuse(&mut self, at: Stamp, why: Refusal, frame: &[u8], len: usize) {
        self.counts.refused += 1;
        if self.refused.len() < REFUSED_KEPT_MAX {
            let frame = frame[..frame.len().min(RAW_BYTES_MAX)].to_vec();
            self.refused.push(Refused { at, why, frame, len });
        }
    }
}

/// The samples of one frame in the making: all of them stay, or none.
pub(crate) struct Row<'a> {
    at: Stamp,
    frame: usize,
    first: usize,
    samples: &'a mut Vec<Sample>,
}

impl<'a> Row<'a> {
    pub fn begin(at: Stamp, samples: &'a mut Vec<Sample>) -> Self {
        let frame = samples.last().map_or(0, |last| last.frame + 1);
        Self { at, frame, first: samples.len(), samples }
    }

    pub fn push(&mut self, field: usize, value: SampleValue) {
        let (at, frame, standing) = (self.at, self.frame, Standing::Good);
        self.samples.push(Sample { field, frame, at, value, standing, device_time: None });
    }

    pub fn holds(&self, field: usize) -> bool {
        self.samples[self.first..].iter().any(|sample| sample.field == field)
    }

    pub fn is_empty(&self) -> bool {
        self.samples.len() == self.first
    }

    /// The samples so far.
    pub fn samples(&mut self) -> &mut [Sample] {
        &mut self.samples[self.first..]
    }

    /// Forgets the samples of fields from this one on.
    pub fn drop_from(&mut self, field: usize) {
        let mut kept = self.first;
        for index in self.first..self.samples.len() {
            if self.samples[index].field < field {
                self.samples.swap(kept, index);
                kept += 1;
            }
        }
        self.samples.truncate(kept);
    }

    pub fn abandon(self) {
        self.samples.truncate(self.first);
    }
}
