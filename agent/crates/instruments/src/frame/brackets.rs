//! Frames between one byte that opens and one that closes: STX and ETX.
//!
//! 1. The frame is what stands between, without the two, and behind it the `trailer`: the bytes after the closing one
//!    that belong to it (Gill: `\x02Q,229,002.74,M,00,\x0316\r\n`, the checksum behind the ETX).
//! 2. The opening byte is never data: one inside a frame begins another. Binary frames are for [`super::counted`].
//! 3. Memory is bounded by `max` and the trailer.
//! 4. White space between frames is nothing; other bytes there are skipped and counted, and refused once in
//!    [`HUNT_BYTES_MAX`].

use model::Stamp;

use crate::frame::{Cut, Framed, Pushed, check_range, count};
use crate::limits::{FRAME_BYTES_MAX, HUNT_BYTES_MAX, RAW_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// Between two bytes (`frame = { type = "stx-etx", trailer, max }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BracketSpec {
    /// What opens a frame; STX is 2.
    pub open: u8,
    /// What closes it; ETX is 3.
    pub close: u8,
    /// Bytes behind the closing one that belong to the frame, at most [`TRAILER_BYTES_MAX`].
    pub trailer: usize,
    /// Most bytes between the two; at most [`FRAME_BYTES_MAX`].
    pub max: usize,
}

#[derive(Debug)]
pub(crate) struct BracketFramer {
    spec: BracketSpec,
    state: State,
    buffer: Vec<u8>,
    first: Option<Stamp>,
    /// Bytes outside since the last opening one.
    hunted: usize,
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames; the buffer is kept to be shown.
    Outside,
    Inside,
    /// Behind the closing byte: so many bytes are to come.
    Trailer(usize),
    /// The buffer was handed out.
    Spent,
}

impl BracketFramer {
    pub fn try_new(spec: &BracketSpec) -> Result<Self, SpecError> {
        check_range("frame.trailer", 0, TRAILER_BYTES_MAX, spec.trailer)?;
        check_range("frame.max", 1, FRAME_BYTES_MAX, spec.max)?;
        if spec.open == spec.close {
            return Err(Place::Key("frame.stx").fault(Fault::StartHoldsEnd));
        }
        let (buffer, state) = (Vec::new(), State::Outside);
        Ok(Self { spec: spec.clone(), state, buffer, first: None, hunted: 0, skipped: 0 })
    }

    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        if self.state == State::Spent {
            self.leave();
        }
        for (index, byte) in bytes.iter().enumerate() {
            let cut = match self.state {
                State::Outside | State::Spent => self.take_outside(*byte, at),
                State::Inside => self.take_inside(*byte, at),
                State::Trailer(left) => self.take_trailer(*byte, left),
            };
            if let Some(cut) = cut {
                let fault = cut.fault();
                self.state = State::Spent;
                let len = if fault == Some(Refusal::NoFrame) { HUNT_BYTES_MAX } else { self.buffer.len() };
                let at = self.first.unwrap_or(at);
                let framed = Framed { at, bytes: &self.buffer, len, fault, is_guess: false };
                return (index + 1, Some(framed));
            }
        }
        (bytes.len(), None)
    }

    pub fn resync(&mut self) {
        if self.state != State::Spent {
            self.skipped += count(self.buffer.len());
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.state = State::Outside;
        self.buffer.clear();
        self.first = None;
        self.hunted = 0;
    }

    fn open(&mut self, at: Stamp) {
        self.leave();
        self.state = State::Inside;
        self.first = Some(at);
    }

    fn take_outside(&mut self, byte: u8, at: Stamp) -> Option<Cut> {
        if byte == self.spec.open {
            self.open(at);
            return None;
        }
        if byte.is_ascii_whitespace() {
            return None;
        }
        self.skipped += 1;
        self.hunted += 1;
        if self.buffer.len() < RAW_BYTES_MAX {
            self.first.get_or_insert(at);
            self.buffer.push(byte);
        }
        (self.hunted >= HUNT_BYTES_MAX).then_some(Cut::Fault(Refusal::NoFrame))
    }

    fn take_inside(&mut self, byte: u8, at: Stamp) -> Option<Cut> {
        if byte == self.spec.open {
            self.skipped += count(self.buffer.len() + 1);
            self.open(at);
            return None;
        }
        if byte == self.spec.close {
            if self.spec.trailer > 0 {
                self.state = State::Trailer(self.spec.trailer);
            } else if self.buffer.is_empty() {
                self.leave();
            } else {
                return Some(Cut::Whole);
            }
            return None;
        }
        self.buffer.push(byte);
        (self.buffer.len() > self.spec.max).then_some(Cut::Fault(Refusal::Overlong { max: self.spec.max }))
    }

    fn take_trailer(&mut self, byte: u8, left: usize) -> Option<Cut> {
        self.buffer.push(byte);
        self.state = State::Trailer(left - 1);
        (left == 1).then_some(Cut::Whole)
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, Timestamp};

    use super::*;

    fn frames(trailer: usize, max: usize, bytes: &[u8]) -> (Vec<String>, u64) {
        let spec = BracketSpec { open: 2, close: 3, trailer, max };
        let mut cutter = BracketFramer::try_new(&spec).unwrap();
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
        let mut rest = bytes;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (used, framed) = cutter.push(rest, at);
            rest = &rest[used..];
            out.extend(framed.map(|framed| match framed.fault {
                None => String::from_utf8_lossy(framed.bytes).into_owned(),
                Some(why) => format!("<{}>", why.word()),
            }));
        }
        (out, cutter.skipped)
    }

    #[test]
    fn a_frame_is_what_stands_between() {
        for (trailer, bytes, expected, skipped) in [
            (0, &b"\x02010784F22151\x03\x02\x03"[..], &["010784F22151"][..], 0),
            (2, b"\x02Q,229,\x0316\r\n\x02Q,230,\x0317\r\n", &["Q,229,16", "Q,230,17"], 0),
            (0, b"xy\x02a\x02b\x03z", &["b"], 5),
            (0, b"\x021234567890123\x03\x02a\x03", &["<overlong>", "a"], 1),
        ] {
            let expected = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(frames(trailer, 12, bytes), (expected, skipped));
        }
    }

    #[test]
    fn bytes_without_a_frame_are_refused_once_in_a_while() {
        let garbage = vec![b'x'; 2 * HUNT_BYTES_MAX + 1];
        assert_eq!(frames(0, 8, &garbage).0, ["<no-frame>", "<no-frame>"]);
    }

    #[test]
    fn brackets_that_can_not_be_are_told() {
        let refuse = |spec: BracketSpec| BracketFramer::try_new(&spec).unwrap_err().place;
        let spec = BracketSpec { open: 2, close: 3, trailer: 0, max: 8 };
        assert_eq!(refuse(BracketSpec { close: 2, ..spec.clone() }), Place::Key("frame.stx"));
        assert_eq!(refuse(BracketSpec { max: 0, ..spec.clone() }), Place::Key("frame.max"));
        assert_eq!(refuse(BracketSpec { trailer: 99, ..spec }), Place::Key("frame.trailer"));
    }
}
