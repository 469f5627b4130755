//! From the wire to readings: one task a bus owns the port and the decoders of the instruments on it.
//!
//! `bus` does the I/O; `line` decides what is done next on the port, after the `schedule` of the instruments' turns.
//! A port that fails is reopened for ever, with an event each way; nothing else is disturbed by it. The port is never
//! blocked and memory never grows: where the journal's door is full, readings are dropped and become a gap.
//! This room never sees a sink; the journal stands between. A `trial` runs one instrument by itself, bytes of a file or the
//! port, through the same station, for somebody who looks.

mod bus;
mod derive;
pub mod detect;
mod emit;
mod judge;
mod line;
pub mod myself;
pub mod overhear;
mod port;
pub mod ports;
#[cfg(test)]
mod qartod_tests;
#[cfg(test)]
mod rig;
mod schedule;
mod station;
#[cfg(test)]
mod station_tests;
pub mod tap;
mod trial;
mod usb;

pub use bus::{Bus, Wanted};
pub use port::{advice, try_open};
pub use trial::{Judged, Sight, Totals, Trial, converse};
