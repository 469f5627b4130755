//! Where a frame begins and ends. One file a framer, one line in [`FrameSpec`] and in [`Framer`].
//!
//! A framer is handed what the line brought, takes a part of it, and says how much; it stops at the end of a frame. How
//! the line cut the bytes into chunks never changes what is framed, silence aside where silence is what ends a frame
//! ([`gap`]). What the check says of a frame comes back ([`Framer::settle`]): where a length or a marker was guessed
//! from garbage, the bytes are searched once more from the next one on.

pub mod brackets;
pub mod counted;
pub mod gap;
pub mod joined;
pub mod line;
mod stamps;

use model::Stamp;

use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};
use brackets::{BracketFramer, BracketSpec};
use counted::{CountedFramer, CountedSpec};
use gap::{GapFramer, GapSpec};
use joined::{JoinedFramer, JoinedSpec};
use line::{LineFramer, LineSpec};

/// Where a frame begins and ends (`protocol.frame`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSpec {
    /// Between ends of line.
    Line(LineSpec),
    /// Between one byte that opens and one that closes.
    Brackets(BracketSpec),
    /// As many bytes as are always there, or as the frame itself says, behind a magic number or not.
    Counted(CountedSpec),
    /// Between silences.
    Gap(GapSpec),
    /// Several lines.
    Joined(JoinedSpec),
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
    /// It was looked for among bytes already known to be damaged: that its check fails is no news.
    pub is_guess: bool,
}

/// Why a frame is over.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// It is whole.
    Whole,
    /// It will never be.
    Fault(Refusal),
}

impl Cut {
    fn fault(self) -> Option<Refusal> {
        match self {
            Cut::Whole => None,
            Cut::Fault(why) => Some(why),
        }
    }
}

/// How many bytes were taken, and a frame if they ended one.
pub(crate) type Pushed<'a> = (usize, Option<Framed<'a>>);

#[derive(Debug)]
pub(crate) enum Framer {
    Line(LineFramer),
    Brackets(BracketFramer),
    Counted(CountedFramer),
    Gap(GapFramer),
    Joined(JoinedFramer),
}

impl Framer {
    pub fn try_new(spec: &FrameSpec) -> Result<Self, SpecError> {
        Ok(match spec {
            FrameSpec::Line(spec) => Framer::Line(LineFramer::try_new(spec)?),
            FrameSpec::Brackets(spec) => Framer::Brackets(BracketFramer::try_new(spec)?),
            FrameSpec::Counted(spec) => Framer::Counted(CountedFramer::try_new(spec)?),
            FrameSpec::Gap(spec) => Framer::Gap(GapFramer::try_new(spec)?),
            FrameSpec::Joined(spec) => Framer::Joined(JoinedFramer::try_new(spec)?),
        })
    }

    /// Takes bytes up to the end of the first frame. To be called again with the rest, and with none once all are taken,
    /// until it takes nothing and gives nothing: a frame may stand ready in what was taken before.
    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        match self {
            Framer::Line(line) => line.push(bytes, at),
            Framer::Brackets(brackets) => brackets.push(bytes, at),
            Framer::Counted(counted) => counted.push(bytes, at),
            Framer::Gap(gap) => gap.push(bytes, at),
            Framer::Joined(joined) => joined.push(bytes, at),
        }
    }

    /// What became of the frame handed out last: whether its check held.
    pub fn settle(&mut self, is_whole: bool) {
        if let Framer::Counted(counted) = self {
            counted.settle(is_whole);
        }
    }

    /// When silence ends the frame that is open, in milliseconds since the boot.
    pub fn deadline(&self) -> Option<u64> {
        match self {
            Framer::Gap(gap) => gap.deadline(),
            _ => None,
        }
    }

    /// Whether a byte too few or too many would shift all frames after it, unless a check unmasks that.
    pub fn leans_on_check(&self) -> bool {
        matches!(self, Framer::Counted(counted) if counted.leans_on_check())
    }

    /// Forgets what was half received; skips up to the next start or end unless a torn frame would be found out.
    pub fn resync(&mut self, torn: TornFrames) {
        match self {
            Framer::Line(line) => line.resync(torn),
            Framer::Brackets(brackets) => brackets.resync(),
            Framer::Counted(counted) => counted.resync(),
            Framer::Gap(gap) => gap.resync(torn),
            Framer::Joined(joined) => joined.resync(torn),
        }
    }

    /// Bytes skipped since the last call.
    pub fn take_skipped(&mut self) -> u64 {
        let skipped = match self {
            Framer::Line(line) => return line.take_skipped(),
            Framer::Joined(joined) => return joined.take_skipped(),
            Framer::Brackets(brackets) => &mut brackets.skipped,
            Framer::Counted(counted) => &mut counted.skipped,
            Framer::Gap(gap) => &mut gap.skipped,
        };
        std::mem::take(skipped)
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

fn check_range(key: &'static str, min: usize, max: usize, found: usize) -> Result<(), SpecError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(Place::Key(key).fault(Fault::OutOfRange { min, max, found }))
    }
}

/// A length as a counter counts it.
fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
