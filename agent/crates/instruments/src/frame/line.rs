//! Lines: frames between ends of line, with an optional marker at their start.
//!
//! 1. Memory is bounded by `max`; what is longer is refused once and skipped up to the next end.
//! 2. Where a start marker is configured a frame begins at its **last** occurrence before the end. Power-on garbage
//!    may hold a marker by chance or a record cut short by the power; what runs up to the end of line unbroken is
//!    what stands behind the last one. (Aanderaa optode, OOI 2015-03-30: 89 of 134 garbage lines have a whole record
//!    behind up to 2.4 KB of garbage. NMEA 0183 §5.1: `$` is never data, so one inside a sentence begins another.)
//!    A marker that is also data is found out by the number of columns.
//! 3. Garbage before the marker does not count towards `max`: it is searched, not kept.
//! 4. Bytes that can neither end a line nor a marker nor reach a limit are taken in one go; all others one by one. So the
//!    line's speed is that of a search, and what is found can not depend on how the bytes were cut.
//! 5. After garbage, an overlong frame or a torn one, the next end (or marker) begins a good frame: at most one is
//!    lost.

use memchr::{memchr, memchr2_iter};
use model::Stamp;

use crate::frame::stamps::Stamps;
use crate::frame::{Framed, Pushed, TornFrames, check_range};
use crate::limits::{END_BYTES_MAX, FRAME_BYTES_MAX, HUNT_BYTES_MAX, RAW_BYTES_MAX, START_BYTES_MAX};
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// A line (`frame = { type = "line", end, start, max }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSpec {
    /// What ends a line.
    pub end: LineEnd,
    /// What a frame begins with, kept as part of it; at most [`START_BYTES_MAX`] bytes.
    pub start: Option<Vec<u8>>,
    /// Longest frame in bytes, marker included, end not; at most [`FRAME_BYTES_MAX`].
    pub max: usize,
}

/// What ends a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// LF; one CR before it is no part of the frame.
    #[default]
    Newline,
    /// Exactly these 1 to [`END_BYTES_MAX`] bytes: `\r` for an Atlas EZO. With `\r\n` a lone LF does not end a line.
    Bytes(Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct LineFramer {
    end: Vec<u8>,
    trims_cr: bool,
    /// Empty: no marker.
    start: Vec<u8>,
    max: usize,
    state: State,
    /// What [`LineFramer::push`] handed out last and does away with at its next call.
    spent: Spent,
    buffer: Vec<u8>,
    /// When the first byte of `buffer` arrived.
    first: Option<Stamp>,
    /// When each of the last `start.len()` bytes arrived.
    recent: Stamps,
    /// Bytes of the line so far.
    len: usize,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between an end and the marker.
    Hunting,
    /// Within a frame.
    Inside,
    /// In a line already refused or not to be trusted.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spent {
    Nothing,
    /// The buffer was handed out as a frame.
    Line,
    /// The buffer was handed out as the beginning of a line that goes on.
    Head,
}

/// A frame's end, or the end of our patience.
struct Cut {
    spent: Spent,
    fault: Option<Refusal>,
}

/// How much is kept of what belongs to no frame: a head to show and, behind it, a tail to find markers and ends in.
const LOST_ROOM: usize = 2 * RAW_BYTES_MAX;

impl LineFramer {
    pub fn try_new(spec: &LineSpec) -> Result<Self, SpecError> {
        let (end, trims_cr) = match &spec.end {
            LineEnd::Newline => (b"\n".to_vec(), true),
            LineEnd::Bytes(end) => (end.clone(), false),
        };
        check_range("frame.end", 1, END_BYTES_MAX, end.len())?;
        check_range("frame.max", 1, FRAME_BYTES_MAX, spec.max)?;
        if let Some(start) = &spec.start {
            check_range("frame.start", 1, START_BYTES_MAX.min(spec.max), start.len())?;
            if start.windows(end.len()).any(|window| window == end) {
                return Err(Place::Key("frame.start").fault(Fault::StartHoldsEnd));
            }
        }
        let mut framer = Self {
            end,
            trims_cr,
            start: spec.start.clone().unwrap_or_default(),
            max: spec.max,
            state: State::Inside,
            spent: Spent::Nothing,
            buffer: Vec::new(),
            first: None,
            recent: Stamps::default(),
            len: 0,
            skipped: 0,
        };
        framer.begin_line();
        Ok(framer)
    }

    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        self.clear_spent();
        let mut used = 0;
        while used < bytes.len() {
            used += self.take_plain(&bytes[used..], at);
            let Some(byte) = bytes.get(used) else { break };
            used += 1;
            if let Some(cut) = self.take_byte(*byte, at) {
                return (used, Some(self.hand_out(at, cut)));
            }
        }
        (used, None)
    }

    /// Takes what [`LineFramer::take_byte`] would only append; gives the number of bytes.
    fn take_plain(&mut self, bytes: &[u8], at: Stamp) -> usize {
        let room = match self.state {
            State::Inside => self.max.saturating_sub(self.buffer.len()),
            State::Hunting => (HUNT_BYTES_MAX - 1).saturating_sub(self.len).min(self.lost_room()),
            State::Lost => self.lost_room(),
        };
        let bytes = &bytes[..bytes.len().min(room)];
        let plain = &bytes[..self.find_stop(bytes).unwrap_or(bytes.len())];
        if plain.is_empty() {
            return 0;
        }
        self.buffer.extend_from_slice(plain);
        self.len += plain.len();
        self.first.get_or_insert(at);
        self.note_arrival(plain.len(), at);
        plain.len()
    }

    fn lost_room(&self) -> usize {
        (LOST_ROOM - 1).saturating_sub(self.buffer.len())
    }

    /// Index of the first byte that may end the line or does end a marker.
    fn find_stop(&self, bytes: &[u8]) -> Option<usize> {
        let end = *self.end.last()?;
        match self.start.last() {
            None => memchr(end, bytes),
            Some(start) => {
                memchr2_iter(end, *start, bytes).find(|at| bytes[*at] == end || self.ends_marker(&bytes[..=*at]))
            }
        }
    }

    /// Whether these bytes, behind those already here, end with the marker.
    fn ends_marker(&self, bytes: &[u8]) -> bool {
        match self.start.len().checked_sub(bytes.len()) {
            None | Some(0) => bytes.ends_with(&self.start),
            Some(before) => self.start[before..] == *bytes && self.buffer.ends_with(&self.start[..before]),
        }
    }

    fn note_arrival(&mut self, count: usize, at: Stamp) {
        if !self.start.is_empty() {
            self.recent.push(count.min(self.start.len()), at);
            self.recent.keep_last(self.start.len());
        }
    }

    fn take_byte(&mut self, byte: u8, at: Stamp) -> Option<Cut> {
        self.buffer.push(byte);
        self.len += 1;
        self.first.get_or_insert(at);
        self.note_arrival(1, at);
        if !self.start.is_empty() && self.buffer.ends_with(&self.start) {
            self.begin_frame();
            return None;
        }
        if self.buffer.ends_with(&self.end) {
            return self.finish();
        }
        match self.state {
            State::Inside if self.buffer.len() > self.max && self.content().len() > self.max => {
                Some(Cut { spent: Spent::Head, fault: Some(Refusal::Overlong { max: self.max }) })
            }
            State::Hunting if self.len >= HUNT_BYTES_MAX => {
                Some(Cut { spent: Spent::Head, fault: Some(Refusal::NoStart) })
            }
            State::Hunting | State::Lost => {
                self.trim_lost();
                None
            }
            State::Inside => None,
        }
    }

    pub fn resync(&mut self, torn: TornFrames) {
        self.clear_spent();
        self.skip(self.len);
        self.begin_line();
        // A marker is its own proof: hunting for it is distrust enough.
        if self.start.is_empty() && torn == TornFrames::PassUnseen {
            self.state = State::Lost;
        }
    }

    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    fn clear_spent(&mut self) {
        match std::mem::replace(&mut self.spent, Spent::Nothing) {
            Spent::Nothing => {}
            Spent::Line => self.begin_line(),
            Spent::Head => {
                self.skip(self.len);
                self.len = 0;
                self.state = State::Lost;
                self.trim_lost();
            }
        }
    }

    fn begin_line(&mut self) {
        self.state = if self.start.is_empty() { State::Inside } else { State::Hunting };
        self.buffer.clear();
        self.first = None;
        self.len = 0;
    }

    /// The marker is complete: whatever stood before it is none of the frame.
    fn begin_frame(&mut self) {
        // In a line already refused the count may have begun anew within the marker.
        self.skip(self.len.saturating_sub(self.start.len()));
        self.state = State::Inside;
        self.len = self.start.len();
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.start);
        self.first = self.recent.first();
    }

    fn finish(&mut self) -> Option<Cut> {
        self.len = self.len.saturating_sub(self.end.len());
        self.buffer.truncate(self.buffer.len() - self.end.len());
        if self.trims_cr && self.buffer.last() == Some(&b'\r') {
            self.len = self.len.saturating_sub(1);
            self.buffer.pop();
        }
        match self.state {
            State::Lost => {
                self.skip(self.len);
                self.begin_line();
                None
            }
            _ if self.buffer.is_empty() => {
                self.begin_line();
                None
            }
            State::Hunting => Some(Cut { spent: Spent::Line, fault: Some(Refusal::NoStart) }),
            State::Inside => Some(Cut { spent: Spent::Line, fault: None }),
        }
    }

    fn hand_out(&mut self, at: Stamp, cut: Cut) -> Framed<'_> {
        self.spent = cut.spent;
        let at = self.first.unwrap_or(at);
        Framed { at, bytes: &self.buffer, len: self.len, fault: cut.fault, is_guess: false }
    }

    /// The buffer without what may yet turn out to be the end of the line.
    fn content(&self) -> &[u8] {
        let mut content = &self.buffer[..];
        for kept in (1..self.end.len()).rev() {
            if let Some(rest) = content.strip_suffix(&self.end[..kept]) {
                content = rest;
                break;
            }
        }
        if self.trims_cr { content.strip_suffix(b"\r").unwrap_or(content) } else { content }
    }

    fn skip(&mut self, bytes: usize) {
        self.skipped = self.skipped.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Keeps the head and the tail of the buffer. What is searched for is shorter than the tail, so the seam between
    /// them can not make a marker or an end.
    fn trim_lost(&mut self) {
        const TAIL: usize = START_BYTES_MAX + END_BYTES_MAX;
        if self.buffer.len() >= LOST_ROOM {
            let tail = self.buffer.len() - TAIL;
            self.buffer.drain(RAW_BYTES_MAX..tail);
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
