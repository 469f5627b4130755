//! The one shape of every instrument, whoever talks first.

use model::Stamp;

use crate::output::Output;

/// An instrument's side of the conversation, without I/O. The caller owns the port and the clock: it asks for the
/// next step, does it, and hands over what arrives.
///
/// An instrument that is asked has **turns**: the caller begins one with [`Protocol::begin`] when the bus is free and
/// asks for steps until [`Step::Done`]. One that only talks never has one, and always answers [`Step::Idle`].
pub trait Protocol: Send {
    /// Begins a turn. Must not be called within one.
    fn begin(&mut self, _now_mono_ms: u64) {}

    /// Whether it wants a turn out of its order: it was opened or has restarted, and must be set up.
    fn wants_turn(&self) -> bool {
        false
    }

    /// What to do at `now_mono_ms` (milliseconds since the boot). After [`Step::Send`] the time is that at which the
    /// last byte has left: a slow line does not eat into the instrument's time to answer.
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
    /// Write these bytes once the line is quiet, then ask again.
    Send(Vec<u8>),
    /// Hold the line in the break condition, and then leave it marking: SDI-12 §4.2.1 wants at least 12 ms and
    /// 8.33 ms. Then ask again.
    Break,
    /// An answer is due: leave the bus to nobody else; ask again when bytes came, or at this time.
    Wait {
        /// Milliseconds since the boot.
        until_mono_ms: u64,
    },
    /// The turn goes on at this time; the bus may be given to others until then.
    Pause {
        /// Milliseconds since the boot.
        until_mono_ms: u64,
    },
    /// The turn is over.
    Done(Turn),
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The instrument answered.
    Answered,
    /// It answered that it can not or will not. It is there, and nothing is wrong with the line.
    Refused,
    /// It did not answer, as often as it was asked.
    Silent,
}
