//! The one shape of every instrument, whoever talks first.

use model::Stamp;

use crate::output::Output;

/// An instrument's side of the conversation, without I/O. The caller owns the port and the clock: it asks for the
/// next step, does it, and hands over what arrives.
pub trait Protocol: Send {
    /// What to do at `now_mono_ms` (milliseconds since the boot).
    fn next(&mut self, now_mono_ms: u64) -> Step;

    /// Takes bytes that arrived at `at`; appends what they say to `out`. Any cut of the same bytes says the same. With no
    /// bytes it is told that it is `at`: what only silence ends ([`Step::Idle`] named the time) ends now.
    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output);

    /// Forgets what was half received, because bytes were lost or the port was opened anew, and distrusts the rest of
    /// the frame that may be on the line now. Where neither a start marker nor a check would unmask a torn frame, all
    /// up to the next end is skipped: the tail of `1015.15` must not become a pressure of 15.15.
    fn resync(&mut self);
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to listen; ask again when bytes came. At this time hand over no bytes, and ask again.
    Idle {
        /// Milliseconds since the boot; `None`: not before bytes come.
        until_mono_ms: Option<u64>,
    },
    /// Write these bytes, then ask again.
    Send(Vec<u8>),
    /// An answer is due: leave the bus to nobody else; ask again when bytes came, or at this time.
    Wait {
        /// Milliseconds since the boot.
        until_mono_ms: u64,
    },
}
