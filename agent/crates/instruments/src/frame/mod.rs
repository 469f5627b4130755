//! Where a frame begins and ends. One file a framer, one line in [`FrameSpec`] and in [`Framer`].
//!
//! A framer takes one byte at a time, so that it can not depend on how the line cut them into chunks: a serial line
//! brings 11 bytes a millisecond at most, there is time.

pub mod line;

use model::Stamp;

use crate::refusal::Refusal;
use crate::spec::SpecError;
use line::{LineFramer, LineSpec};

/// Where a frame begins and ends (`protocol.frame`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSpec {
    /// Between ends of line.
    Line(LineSpec),
}

/// A frame, or what should have been one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Framed<'a> {
    /// When its first byte arrived.
    pub at: Stamp,
    /// Its bytes; of a fault, the first of them.
    pub bytes: &'a [u8],
    /// How many bytes it had.
    pub len: usize,
    /// Why it is none.
    pub fault: Option<Refusal>,
}

#[derive(Debug)]
pub(crate) enum Framer {
    Line(LineFramer),
}

impl Framer {
    pub fn try_new(spec: &FrameSpec) -> Result<Self, SpecError> {
        match spec {
            FrameSpec::Line(spec) => LineFramer::try_new(spec).map(Framer::Line),
        }
    }

    /// Takes one byte; a frame if it was the last of one.
    pub fn push(&mut self, byte: u8, at: Stamp) -> Option<Framed<'_>> {
        match self {
            Framer::Line(line) => line.push(byte, at),
        }
    }

    /// Forgets what was half received; skips up to the next start or end unless a torn frame would be found out.
    pub fn resync(&mut self, torn: TornFrames) {
        match self {
            Framer::Line(line) => line.resync(torn),
        }
    }

    /// Bytes skipped since the last call.
    pub fn take_skipped(&mut self) -> u64 {
        match self {
            Framer::Line(line) => line.take_skipped(),
        }
    }
}

/// What becomes of a frame whose beginning was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TornFrames {
    /// The check refuses it.
    Unmasked,
    /// It could pass for a whole one.
    PassUnseen,
}
