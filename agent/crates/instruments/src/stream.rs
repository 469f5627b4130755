//! The mechanics of an instrument that talks by itself: listen. One that must be set up first is a [`crate::poll`]
//! without steps.

use model::Stamp;
use regex::bytes::RegexSet;

use crate::beside::Beside;
use crate::check::Check;
use crate::decode::Decoder;
use crate::frame::{Framed, Framer};
use crate::note::{Checked, End, Ignored, Note, Watch};
use crate::output::{Output, Row};
use crate::protocol::{Protocol, Step};
use crate::refusal::Refusal;

/// A streaming instrument.
#[derive(Debug)]
pub struct Stream {
    framer: Framer,
    reader: Reader,
}

/// What becomes of a frame, whoever cut it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub ignore: RegexSet,
    pub check: Check,
    pub decoder: Decoder,
    pub beside: Beside,
    /// Somebody wants to know what became of each frame.
    pub watch: Option<Watch>,
}

impl Stream {
    pub(crate) fn new(framer: Framer, reader: Reader) -> Self {
        Self { framer, reader }
    }
}

impl Protocol for Stream {
    fn next(&mut self, _now_mono_ms: u64) -> Step {
        Step::Idle { until_mono_ms: self.framer.deadline() }
    }

    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output) {
        let mut rest = bytes;
        loop {
            let (used, framed) = self.framer.push(rest, at);
            rest = &rest[used..];
            let Some(framed) = framed else { break };
            let is_whole = self.reader.take(framed, out);
            self.framer.settle(is_whole);
        }
        out.counts.bytes_skipped += self.framer.take_skipped();
    }

    fn resync(&mut self) {
        self.framer.resync(self.reader.check.torn_frames());
    }
}

/// A frame as it is noted.
struct Seen<'a> {
    at: Stamp,
    bytes: &'a [u8],
    len: usize,
    /// Without its checksum, where it was found whole.
    body: Option<&'a [u8]>,
    checked: Checked,
}

impl Reader {
    /// Takes a frame; whether it was whole.
    pub(crate) fn take(&mut self, framed: Framed<'_>, out: &mut Output) -> bool {
        let Framed { at, bytes, len, fault, is_guess } = framed;
        let is_frame = fault.is_none();
        let checked = match fault {
            Some(why) => Err(why),
            None => self.check.verify(bytes),
        };
        let is_whole = checked.is_ok();
        if is_guess && !is_whole {
            return false;
        }
        out.counts.frames += 1;
        let body = checked.as_ref().ok().copied();
        let seen = || Seen { at, bytes, len, body, checked: self.check.found(is_frame, bytes, body) };
        let seen = self.watch.is_some().then(seen);
        if !self.ignore.is_empty() && self.ignore.is_match(bytes) {
            out.counts.ignored += 1;
            if let Some(seen) = seen {
                // Noise needs no checksum.
                let seen = Seen { checked: Checked::NotReached, ..seen };
                out.notes.push(seen.note(End::Ignored(Ignored::Pattern)));
            }
            return is_whole;
        }
        let first = out.samples.len();
        let mut row = Row::begin(at, &mut out.samples);
        let decoded = checked.and_then(|frame| self.decoder.decode(frame, &mut row));
        if decoded.is_ok() {
            self.beside.apply(&mut row);
        }
        match &decoded {
            Ok(()) if row.is_empty() => out.counts.ignored += 1,
            Ok(()) => {}
            Err(_) => row.abandon(),
        }
        if let Some(seen) = seen {
            self.note(seen, decoded.as_ref().err(), first, out);
        }
        if let Err(why) = decoded {
            out.refuse(at, why, bytes, len);
        }
        is_whole
    }

    /// A frame that the conversation has no use for.
    pub(crate) fn pass_over(&self, framed: &Framed<'_>, why: Ignored, out: &mut Output) {
        out.counts.frames += 1;
        out.counts.ignored += 1;
        self.tell(framed, End::Ignored(why), out);
    }

    /// Notes what became of a frame that was not decoded.
    pub(crate) fn tell(&self, framed: &Framed<'_>, end: End, out: &mut Output) {
        if self.watch.is_some() {
            let Framed { at, bytes, len, .. } = *framed;
            out.notes.push(Note { at, frame: bytes.to_vec(), len, checked: Checked::NotReached, end });
        }
    }

    fn note(&mut self, seen: Seen<'_>, refusal: Option<&Refusal>, first: usize, out: &mut Output) {
        let end = match (refusal, seen.body, &mut self.watch) {
            (Some(why), ..) => End::Refused(why.clone()),
            (None, Some(body), Some(watch)) if out.samples.len() > first => {
                End::Taken { samples: out.samples[first..].to_vec(), said: watch.said(seen.at, body) }
            }
            _ => End::Ignored(Ignored::NothingWanted),
        };
        out.notes.push(seen.note(end));
    }
}

impl Seen<'_> {
    fn note(self, end: End) -> Note {
        Note { at: self.at, frame: self.bytes.to_vec(), len: self.len, checked: self.checked, end }
    }
}
