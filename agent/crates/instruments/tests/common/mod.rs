//! Short ways to say a spec in the tests.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod logger;

use instruments::{
    Check, DecodeSpec, DelimitedSpec, FieldSpec, FrameSpec, Kind, LineEnd, LineSpec, Mechanics, NmeaSpec, ProtocolSpec,
    Separator,
};
use model::{Clock, Stamp, Timestamp};

pub fn stamp(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Synced }
}

pub fn number(field: &str) -> FieldSpec {
    FieldSpec { field: field.to_owned(), kind: Kind::Number, missing: Vec::new(), good: None }
}

pub fn text(field: &str) -> FieldSpec {
    FieldSpec { field: field.to_owned(), kind: Kind::Text, missing: Vec::new(), good: None }
}

pub fn line(end: LineEnd, start: Option<&[u8]>) -> FrameSpec {
    FrameSpec::Line(LineSpec { end, start: start.map(<[u8]>::to_vec), max: 256 })
}

pub fn stream(frame: FrameSpec, check: Check, decode: DecodeSpec) -> ProtocolSpec {
    ProtocolSpec { mechanics: Mechanics::Stream, frame, check, decode, ignore: Vec::new(), time: None }
}

pub fn table(sep: Separator, columns: usize, frame: FrameSpec) -> ProtocolSpec {
    let decode = DecodeSpec::Delimited(DelimitedSpec { sep, columns: Some(columns..=columns), pattern: None });
    stream(frame, Check::None, decode)
}

pub fn nmea() -> ProtocolSpec {
    stream(line(LineEnd::Newline, None), Check::NmeaXor, DecodeSpec::Nmea(NmeaSpec::default()))
}
