//! What proves a frame whole. One file a check, one line in [`Check`].

mod nmea_xor;
pub mod sum;

use crate::frame::TornFrames;
use crate::note::Checked;
use crate::refusal::Refusal;
use sum::SumCheck;

/// The check of a frame (`protocol.check`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Check {
    /// Nothing does.
    #[default]
    None,
    /// NMEA 0183 §5.3.2.4: `*hh` at the end. A frame without it is refused.
    NmeaXor,
    /// A sum or a cyclic redundancy check.
    Sum(SumCheck),
}

impl Check {
    /// What becomes of a frame that lost its beginning.
    pub(crate) fn torn_frames(self) -> TornFrames {
        match self {
            Check::None => TornFrames::PassUnseen,
            Check::NmeaXor | Check::Sum(_) => TornFrames::Unmasked,
        }
    }

    /// What there is to say of a frame that was verified with this `body`; `is_frame`: it was.
    pub(crate) fn found(self, is_frame: bool, frame: &[u8], body: Option<&[u8]>) -> Checked {
        match (self, body) {
            (_, None) if !is_frame => Checked::NotReached,
            (_, None) => Checked::Failed,
            (Check::None, Some(_)) => Checked::NoCheck,
            // What was cut off behind the body.
            (_, Some(body)) => {
                let tail = memchr::memmem::rfind(frame, body).map_or(frame.len(), |at| at + body.len());
                Checked::Passed { checksum: frame[tail..].to_vec() }
            }
        }
    }

    /// The frame without its checksum, if that fits.
    pub(crate) fn verify(self, frame: &[u8]) -> Result<&[u8], Refusal> {
        match self {
            Check::None => Ok(frame),
            Check::NmeaXor => nmea_xor::verify(frame),
            Check::Sum(sum) => sum.verify(frame),
        }
    }
}
