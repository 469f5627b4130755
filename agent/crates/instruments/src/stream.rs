//! The mechanics of an instrument that talks by itself: listen. One that must be set up first is a [`crate::poll`]
//! without steps.

use model::Stamp;
use regex::bytes::RegexSet;

use crate::beside::Beside;
use crate::check::Check;
use crate::decode::Decoder;
use crate::frame::{Framed, Framer};
use crate::output::{Output, Row};
use crate::protocol::{Protocol, Step};

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

impl Reader {
    /// Takes a frame; whether it was whole.
    pub(crate) fn take(&mut self, framed: Framed<'_>, out: &mut Output) -> bool {
        let Framed { at, bytes, len, fault, is_guess } = framed;
        let checked = match fault {
            Some(why) => Err(why),
            None => self.check.verify(bytes),
        };
        let is_whole = checked.is_ok();
        if is_guess && !is_whole {
            return false;
        }
        out.counts.frames += 1;
        if !self.ignore.is_empty() && self.ignore.is_match(bytes) {
            out.counts.ignored += 1;
            return is_whole;
        }
        let mut row = Row::begin(at, &mut out.samples);
        let decoded = checked.and_then(|frame| self.decoder.decode(frame, &mut row));
        if decoded.is_ok() {
            self.beside.apply(&mut row);
        }
        match decoded {
            Ok(()) if row.is_empty() => out.counts.ignored += 1,
            Ok(()) => {}
            Err(why) => {
                row.abandon();
                out.refuse(at, why, bytes, len);
            }
        }
        is_whole
    }
}
