//! The mechanics of an instrument that talks by itself: listen. One that must be set up first is a [`crate::poll`]
//! without steps.

use model::Stamp;
use regex::bytes::RegexSet;

use crate::check::Check;
use crate::decode::Decoder;
use crate::frame::{Framed, Framer};
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
}

impl Stream {
    pub(crate) fn new(framer: Framer, reader: Reader) -> Self {
        Self { framer, reader }
    }
}

impl Protocol for Stream {
    fn next(&mut self, _now_mono_ms: u64) -> Step {
        Step::Idle { until_mono_ms: None }
    }

    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output) {
        for byte in bytes {
            if let Some(framed) = self.framer.push(*byte, at) {
                self.reader.take(framed, out);
            }
        }
        out.counts.bytes_skipped += self.framer.take_skipped();
    }

    fn resync(&mut self) {
        self.framer.resync(self.reader.check.torn_frames());
    }
}

impl Reader {
    pub fn take(&mut self, framed: Framed<'_>, out: &mut Output) {
        let Framed { at, bytes, len, fault } = framed;
        out.counts.frames += 1;
        if self.ignore.is_match(bytes) {
            out.counts.ignored += 1;
            return;
        }
        let mut row = Row::begin(at, &mut out.samples);
        let result = match fault {
            Some(why) => Err(why),
            None => self.read(bytes, &mut row),
        };
        match result {
            Ok(()) if row.is_empty() => out.counts.ignored += 1,
            Ok(()) => {}
            Err(why) => {
                row.abandon();
                out.refuse(at, why, bytes, len);
            }
        }
    }

    fn read(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        self.decoder.decode(self.check.verify(frame)?, row)
    }
}
