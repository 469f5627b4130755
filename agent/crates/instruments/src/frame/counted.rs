//! Frames of so many bytes: always the same number, or one that the frame itself says; behind a magic number or not.
//! `fixed`, `length-prefixed` and `sync` of the configuration are this one framer.
//!
//! ```text
//!   magic      length (at, width, order)            the frame has length + adjust bytes, magic and all
//!  | B5 62 | .. | 18 00 | ...                 |
//! ```
//!
//! 1. A frame whose check fails is no frame: its first byte is skipped and the rest searched again, so a false magic
//!    number or length in garbage costs time but no good frame. What fails while searching is not refused again and
//!    again; bytes without any frame are refused once in [`HUNT_BYTES_MAX`].
//! 2. Without a magic number only the check shows where a frame begins ([`CountedFramer::leans_on_check`]); a length
//!    found in garbage needs one too.
//! 3. Memory is bounded by `max`. So is work: each byte of garbage begins at most one frame to be checked, of at most
//!    [`COUNTED_BYTES_MAX`] bytes.

use memchr::memchr;
use model::Stamp;

use crate::frame::stamps::Stamps;
use crate::frame::{Framed, Pushed, check_range, count};
use crate::limits::{COUNTED_BYTES_MAX, HUNT_BYTES_MAX, RAW_BYTES_MAX, START_BYTES_MAX};
use crate::number::{ByteOrder, read_unsigned};
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// So many bytes (`frame = { type = "fixed" | "length-prefixed" | "sync", .. }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedSpec {
    /// What a frame begins with, kept as part of it; at most [`START_BYTES_MAX`] bytes; may be empty.
    pub magic: Vec<u8>,
    /// How long it is.
    pub length: Length,
    /// Longest frame in bytes; at most [`COUNTED_BYTES_MAX`].
    pub max: usize,
}

/// How long a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Always so many bytes.
    Fixed(usize),
    /// As it says itself.
    Said {
        /// Offset of the length in the frame, from 0.
        at: usize,
        /// Bytes of the length: 1, 2 or 4.
        width: usize,
        /// Which of them comes first.
        order: ByteOrder,
        /// Bytes of the frame that the length does not count; negative where it counts more.
        adjust: i64,
    },
}

#[derive(Debug)]
pub(crate) struct CountedFramer {
    spec: CountedSpec,
    buffer: Vec<u8>,
    stamps: Stamps,
    /// Bytes at the front of `buffer` that were handed out and go at the next call.
    spent: usize,
    /// A frame was handed out and its check has not spoken yet.
    is_handed_out: bool,
    /// Nothing damaged has been seen since the last good frame.
    is_sure: bool,
    /// The first bytes skipped since the last good frame, to be shown, and when they came.
    lost: Vec<u8>,
    lost_at: Option<Stamp>,
    hunted: usize,
    pub skipped: u64,
}

enum Found {
    /// A frame of so many bytes stands at the front.
    Frame(usize),
    /// So many bytes are needed to know more.
    Needs(usize),
    /// What stands at the front gives itself a length that can not be.
    Absurd(i64),
    /// So many bytes at the front begin no frame.
    Nothing(usize),
}

impl CountedFramer {
    pub fn try_new(spec: &CountedSpec) -> Result<Self, SpecError> {
        check_range("frame.magic", 0, START_BYTES_MAX, spec.magic.len())?;
        check_range("frame.max", 1, COUNTED_BYTES_MAX, spec.max)?;
        let header = header_len(spec);
        match spec.length {
            Length::Fixed(length) => check_range("frame.length", header.max(1), spec.max, length)?,
            Length::Said { width, .. } => {
                if !matches!(width, 1 | 2 | 4) {
                    return Err(Place::Key("frame.width").fault(Fault::OutOfRange { min: 1, max: 4, found: width }));
                }
                check_range("frame.at", 0, spec.max, header)?;
            }
        }
        Ok(Self {
            spec: spec.clone(),
            buffer: Vec::new(),
            stamps: Stamps::default(),
            spent: 0,
            is_handed_out: false,
            is_sure: true,
            lost: Vec::new(),
            lost_at: None,
            hunted: 0,
            skipped: 0,
        })
    }

    pub fn leans_on_check(&self) -> bool {
        self.spec.magic.is_empty() || matches!(self.spec.length, Length::Said { .. })
    }

    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        let spent = std::mem::take(&mut self.spent);
        self.drop_first(spent);
        let mut used = 0;
        loop {
            if self.hunted >= HUNT_BYTES_MAX {
                return (used, Some(self.give_up(at)));
            }
            let needs = match self.find() {
                Found::Frame(len) => return (used, Some(self.hand_out(at, len, None))),
                Found::Absurd(said) if self.is_sure => {
                    let fault = Refusal::Length { said, max: self.spec.max };
                    return (used, Some(self.hand_out(at, self.buffer.len(), Some(fault))));
                }
                Found::Absurd(_) => {
                    self.lose(1);
                    continue;
                }
                Found::Nothing(len) => {
                    // Never beyond the limit, so that the limit is met at the same byte however they were cut.
                    self.lose(len.min(HUNT_BYTES_MAX - self.hunted));
                    continue;
                }
                Found::Needs(needs) => needs,
            };
            let taken = needs.min(bytes.len() - used);
            if taken == 0 {
                return (used, None);
            }
            self.buffer.extend_from_slice(&bytes[used..used + taken]);
            self.stamps.push(taken, at);
            used += taken;
        }
    }

    /// Whether the check of the frame handed out held. If it did not, its first byte was no beginning.
    pub fn settle(&mut self, is_whole: bool) {
        if !std::mem::take(&mut self.is_handed_out) {
            return;
        }
        if is_whole {
            self.is_sure = true;
            self.hunted = 0;
        } else {
            self.spent = 0;
            self.is_sure = false;
            self.lose(1);
        }
    }

    pub fn resync(&mut self) {
        let spent = std::mem::take(&mut self.spent);
        self.drop_first(spent);
        self.is_handed_out = false;
        self.skipped += count(self.buffer.len());
        self.buffer.clear();
        self.stamps.clear();
        // What comes first may be the rest of a frame: that its check fails is no news.
        self.is_sure = false;
    }

    fn find(&self) -> Found {
        if let Some(len) = self.find_false_start() {
            return Found::Nothing(len);
        }
        let header = header_len(&self.spec).max(1);
        if self.buffer.len() < header {
            return Found::Needs(header - self.buffer.len());
        }
        let len = match self.spec.length {
            Length::Fixed(len) => len,
            Length::Said { at, width, order, adjust } => {
                let said = read_unsigned(&self.buffer[at..at + width], order);
                let said = i64::try_from(said).unwrap_or(i64::MAX).saturating_add(adjust);
                match usize::try_from(said) {
                    Ok(len) if (header..=self.spec.max).contains(&len) => len,
                    _ => return Found::Absurd(said),
                }
            }
        };
        match len.checked_sub(self.buffer.len()) {
            None | Some(0) => Found::Frame(len),
            Some(missing) => Found::Needs(missing),
        }
    }

    /// How many bytes at the front can not begin the magic number.
    fn find_false_start(&self) -> Option<usize> {
        let first = self.spec.magic.first()?;
        let len = self.spec.magic.len().min(self.buffer.len());
        if self.buffer[..len] == self.spec.magic[..len] {
            return None;
        }
        Some(memchr(*first, &self.buffer[1..]).map_or(self.buffer.len(), |at| at + 1))
    }

    fn lose(&mut self, len: usize) {
        if self.hunted == 0 {
            self.lost.clear();
            self.lost_at = self.stamps.first();
        }
        let kept = len.min(RAW_BYTES_MAX.saturating_sub(self.lost.len()));
        self.lost.extend_from_slice(&self.buffer[..kept]);
        self.hunted += len;
        self.skipped += count(len);
        self.drop_first(len);
    }

    fn drop_first(&mut self, len: usize) {
        if len > 0 {
            self.buffer.drain(..len);
            self.stamps.drop_first(len);
        }
    }

    fn hand_out(&mut self, at: Stamp, len: usize, fault: Option<Refusal>) -> Framed<'_> {
        self.spent = len;
        self.is_handed_out = true;
        let at = self.stamps.first().unwrap_or(at);
        Framed { at, bytes: &self.buffer[..len], len, fault, is_guess: !self.is_sure }
    }

    /// So many bytes without a frame.
    fn give_up(&mut self, at: Stamp) -> Framed<'_> {
        self.hunted = 0;
        let at = self.lost_at.unwrap_or(at);
        Framed { at, bytes: &self.lost, len: HUNT_BYTES_MAX, fault: Some(Refusal::NoFrame), is_guess: false }
    }
}

/// Bytes that must be there before the length is known.
fn header_len(spec: &CountedSpec) -> usize {
    match spec.length {
        Length::Fixed(_) => spec.magic.len(),
        Length::Said { at, width, .. } => spec.magic.len().max(at + width),
    }
}

#[cfg(test)]
#[path = "counted_tests.rs"]
mod tests;
