//! Frames between silences, for bytes that have no other joint.
//!
//! 1. A frame ends when nothing came for `after`: seen at the next chunk, or when the caller comes back at the
//!    [`GapFramer::deadline`] with no bytes. Time is that of the stamps: a chunk is as old as its reading off the port.
//! 2. Where the host reads so late that two frames come in one chunk they are one frame: a check refuses it. USB
//!    adapters hand over every 16 ms by default; `after` is a multiple of that, not of a character.
//! 3. Memory is bounded by `max`: what is longer is refused once and skipped up to the next silence.

use std::time::Duration;

use model::Stamp;

use crate::frame::{Framed, Pushed, TornFrames, check_range, count};
use crate::limits::FRAME_BYTES_MAX;
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// Between silences (`frame = { type = "idle-gap", after, max }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapSpec {
    /// Silence that ends a frame; at least a millisecond.
    pub after: Duration,
    /// Longest frame in bytes; at most [`FRAME_BYTES_MAX`].
    pub max: usize,
}

#[derive(Debug)]
pub(crate) struct GapFramer {
    after_ms: u64,
    max: usize,
    state: State,
    buffer: Vec<u8>,
    first: Option<Stamp>,
    /// When the last byte came.
    last_ms: Option<u64>,
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Inside,
    /// In a frame already refused or not to be trusted.
    Lost,
    /// The buffer was handed out, the frame is over.
    Spent,
    /// The buffer was handed out, the frame goes on.
    SpentHead,
}

impl GapFramer {
    pub fn try_new(spec: &GapSpec) -> Result<Self, SpecError> {
        let after_ms = u64::try_from(spec.after.as_millis()).unwrap_or(u64::MAX);
        if after_ms == 0 {
            return Err(Place::Key("frame.after").fault(Fault::Empty));
        }
        check_range("frame.max", 1, FRAME_BYTES_MAX, spec.max)?;
        let (buffer, state) = (Vec::new(), State::Inside);
        Ok(Self { after_ms, max: spec.max, state, buffer, first: None, last_ms: None, skipped: 0 })
    }

    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        match self.state {
            State::Spent => self.begin(),
            State::SpentHead => self.lose(),
            State::Inside | State::Lost => {}
        }
        if self.deadline().is_some_and(|deadline| at.mono_ms >= deadline) {
            self.last_ms = None;
            if self.state == State::Lost {
                self.begin();
            } else {
                self.state = State::Spent;
                return (0, Some(self.hand_out(at, None)));
            }
        }
        if bytes.is_empty() {
            return (0, None);
        }
        self.last_ms = Some(at.mono_ms);
        if self.state == State::Lost {
            self.skipped += count(bytes.len());
            return (bytes.len(), None);
        }
        self.first.get_or_insert(at);
        let taken = bytes.len().min(self.max + 1 - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() > self.max {
            self.state = State::SpentHead;
            let fault = Refusal::Overlong { max: self.max };
            return (taken, Some(self.hand_out(at, Some(fault))));
        }
        (taken, None)
    }

    /// When silence ends the frame that is open.
    pub fn deadline(&self) -> Option<u64> {
        self.last_ms.map(|last| last.saturating_add(self.after_ms))
    }

    pub fn resync(&mut self, torn: TornFrames) {
        if matches!(self.state, State::Inside) {
            self.skipped += count(self.buffer.len());
        }
        self.begin();
        // What is on the line now may be the rest of a frame: a silence must be heard before one is believed.
        if torn == TornFrames::PassUnseen {
            self.state = State::Lost;
        }
    }

    fn begin(&mut self) {
        self.state = State::Inside;
        self.buffer.clear();
        self.first = None;
    }

    fn lose(&mut self) {
        self.skipped += count(self.buffer.len());
        self.begin();
        self.state = State::Lost;
    }

    fn hand_out(&self, at: Stamp, fault: Option<Refusal>) -> Framed<'_> {
        let at = self.first.unwrap_or(at);
        Framed { at, bytes: &self.buffer, len: self.buffer.len(), fault, is_guess: false }
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, Timestamp};

    use super::*;

    fn frames(cutter: &mut GapFramer, chunks: &[(u64, &str)]) -> Vec<String> {
        let mut out = Vec::new();
        for (mono_ms, chunk) in chunks {
            let at = Stamp { time: Timestamp::from_millis(0), mono_ms: *mono_ms, clock: Clock::Synced };
            let mut rest = chunk.as_bytes();
            loop {
                let (used, framed) = cutter.push(rest, at);
                rest = &rest[used..];
                let Some(framed) = framed else { break };
                let text = String::from_utf8_lossy(framed.bytes).into_owned();
                out.push(format!("{}@{}{}", text, framed.at.mono_ms, framed.fault.map_or("", |why| why.word())));
            }
        }
        out
    }

    fn cutter(max: usize) -> GapFramer {
        GapFramer::try_new(&GapSpec { after: Duration::from_millis(20), max }).unwrap()
    }

    #[test]
    fn silence_ends_a_frame() {
        let mut cutter = cutter(8);
        assert_eq!(frames(&mut cutter, &[(100, "ab"), (119, "cd"), (139, "ef")]), ["abcd@100"]);
        assert_eq!(cutter.deadline(), Some(159));
        assert_eq!(frames(&mut cutter, &[(158, ""), (159, ""), (300, "")]), ["ef@139"]);
        assert_eq!(cutter.deadline(), None);
    }

    #[test]
    fn what_is_too_long_is_refused_once_and_costs_nothing_else() {
        let mut cutter = cutter(4);
        let said = frames(&mut cutter, &[(0, "abcdefgh"), (10, "ijk"), (40, "ok"), (60, "")]);
        assert_eq!(said, ["abcde@0overlong", "ok@40"]);
        assert_eq!(cutter.skipped, 5 + 3 + 3);
    }

    #[test]
    fn after_a_resync_a_silence_must_be_heard() {
        let mut cutter = cutter(8);
        cutter.resync(TornFrames::PassUnseen);
        assert_eq!(frames(&mut cutter, &[(0, "tail"), (30, "ok"), (50, "")]), ["ok@30"]);
    }
}
