//! Sans-I/O protocol decoders: what an instrument's bytes mean, and what to say to it next.
//!
//! Bytes and the [`model::Stamp`] of their arrival come in; [`Sample`]s, [`Refused`] frames and the next [`Step`] go
//! out. [`bind()`] makes a [`Protocol`] of what the configuration says:
//!
//! ```text
//! bytes -> frame/ -> ignore -> check/ -> decode/ -> samples
//!          where a     is it     is it     what it
//!          frame is    noise     whole     says
//! ```
//!
//! The three axes are independent, each a folder: a new framer, check or decoder is one file (its spec beside it)
//! and one line in the enum of its folder. Four mechanics drive them: [`stream`] listens, [`poll`] asks in lines,
//! [`modbus`] and [`sdi12`] are protocols of their own.
//!
//! One rule above all: **a frame is taken whole or refused whole.** A wrong number of columns, a failed checksum, one
//! wanted value that is no number: nothing of that frame becomes a sample, and the raw bytes stay with the refusal.
//! How a stream of bytes was cut into chunks by the line never changes what is decoded.
//!
//! What this crate deliberately is not: it opens no port and reads no clock (a decoder runs the same under a fuzzer,
//! in a replay and on the farm); it parses no TOML (profiles are text here, the agent's config room reads them); it
//! scales, judges and alarms nothing (a sample is what the instrument said, in the instrument's unit). What follows from
//! samples ([`derive`]) is formulas only: who reckons with which values is the agent's to know.

mod beside;
mod bind;
mod check;
mod clock;
mod crc16;
mod decode;
pub mod derive;
mod field;
mod frame;
pub mod fuzzing;
mod late;
mod limits;
pub mod modbus;
mod note;
mod number;
mod output;
mod pattern;
pub mod poll;
pub mod profiles;
mod protocol;
mod refusal;
pub mod sdi12;
mod sentence;
pub mod simulate;
mod spec;
pub mod stream;

pub use bind::{bind, bind_watched};
pub use check::Check;
pub use check::sum::{Encoding, Over, Sum, SumCheck};
pub use clock::TimeSpec;
pub use decode::DecodeSpec;
pub use decode::delimited::{DelimitedSpec, Separator};
pub use decode::json::JsonSpec;
pub use decode::key_value::KeyValueSpec;
pub use decode::nmea::NmeaSpec;
pub use decode::regex::RegexSpec;
pub use decode::structure::StructSpec;
pub use field::{FieldSpec, Kind, Standing, StatusSpec};
pub use frame::FrameSpec;
pub use frame::brackets::BracketSpec;
pub use frame::counted::{CountedSpec, Length};
pub use frame::gap::GapSpec;
pub use frame::joined::JoinedSpec;
pub use frame::line::{LineEnd, LineSpec};
pub use limits::*;
pub use modbus::{Format, GoodRegister, ModbusSpec, Order, RegisterSpec, Table};
pub use note::{Checked, End, Ignored, Note, Part, Said};
pub use number::ByteOrder;
pub use output::{Counts, Output, Refused, Sample, SampleValue};
pub use poll::{AnswerSpec, PollSpec, StepSpec};
pub use protocol::{Protocol, Step, Turn};
pub use refusal::Refusal;
pub use sdi12::{Sdi12Line, Sdi12Spec};
pub use spec::{Fault, Mechanics, Place, ProtocolSpec, SpecError};
