//! The framers, each with the checks that go with it.

use std::time::Duration;

use super::{assert_sane, hear, number, parted, pick, proven, spec, stamp, text};
use crate::bind::bind;
use crate::check::Check;
use crate::check::sum::{Encoding, Sum, SumCheck};
use crate::decode::DecodeSpec;
use crate::decode::delimited::{DelimitedSpec, Separator};
use crate::decode::structure::StructSpec;
use crate::field::FieldSpec;
use crate::frame::FrameSpec;
use crate::frame::brackets::BracketSpec;
use crate::frame::counted::{CountedSpec, Length};
use crate::frame::gap::GapSpec;
use crate::frame::joined::JoinedSpec;
use crate::frame::line::{LineEnd, LineSpec};
use crate::number::ByteOrder;
use crate::output::Output;

/// Small, so that a fuzzer reaches the end of it.
const FRAME_BYTES: usize = 24;

const SUMS: [Sum; 7] = [Sum::Xor8, Sum::Sum8, Sum::Sum16, Sum::Crc16Modbus, Sum::Crc16Ccitt, Sum::Crc16Arc, Sum::Crc32];

fn columns() -> DecodeSpec {
    DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Bytes(b",".to_vec()), columns: None, pattern: None })
}

fn fields() -> [FieldSpec; 2] {
    [text("1"), text("2")]
}

fn ends() -> [LineEnd; 4] {
    let bytes = |end: &[u8]| LineEnd::Bytes(end.to_vec());
    [LineEnd::Newline, bytes(b"\r\n"), bytes(b"\r"), bytes(b"abab")]
}

/// Lines, with and without a marker.
pub fn line(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let start = pick(&[None, Some(b"4831\t".to_vec()), Some(b"$".to_vec()), Some(b"aa".to_vec())], variety >> 2);
    let check = pick(&[Check::None, Check::NmeaXor, Check::Sum(Sum::Crc32.at_end())], variety >> 4);
    let frame = FrameSpec::Line(LineSpec { end: pick(&ends(), variety), start, max: FRAME_BYTES });
    hear(&spec(frame, check, columns()), &fields(), said);
}

/// Between two bytes.
pub fn brackets(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let sum = pick(&SUMS, variety);
    let check = Check::Sum(SumCheck { encoding: Encoding::Hex, ..sum.at_end() });
    let trailer = sum.width() * 2;
    let frame = FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer, max: FRAME_BYTES });
    hear(&spec(frame.clone(), check, columns()), &fields(), said);
    let right: Vec<u8> = said.chunks(9).flat_map(|body| [&[2], &bracketed(check, body)[..]].concat()).collect();
    hear(&spec(frame, check, columns()), &fields(), &right);
}

/// A body, its closing byte, and its checksum, which stands behind that byte and is not over it.
fn bracketed(check: Check, body: &[u8]) -> Vec<u8> {
    let mut proven = proven(check, body);
    proven.insert(body.len(), 3);
    proven
}

/// Frames of a length that is given, or says itself.
pub fn counted(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let check = Check::Sum(pick(&SUMS, variety).at_end());
    let magic = pick(&[&b""[..], b"RS", b"\xb5\x62"], variety >> 3).to_vec();
    let length = |width, adjust| Length::Said { at: magic.len(), width, order: ByteOrder::Little, adjust };
    let length = pick(&[Length::Fixed(10), length(1, 4), length(2, 0), length(4, -3)], variety >> 5);
    let frame = FrameSpec::Counted(CountedSpec { magic, length, max: FRAME_BYTES });
    let spec = spec(frame, check, DecodeSpec::Struct(StructSpec::default()));
    let fields = [number("0:u8"), number("1:i16")];
    hear(&spec, &fields, said);
    let right: Vec<u8> = said.chunks(8).flat_map(|body| proven(check, body)).collect();
    hear(&spec, &fields, &right);
}

/// Between silences: each chunk is `[milliseconds before it][length][bytes]`.
pub fn gap(bytes: &[u8]) {
    let (variety, mut said) = parted(bytes);
    let check = pick(&[Check::None, Check::Sum(Sum::Crc16Modbus.at_end())], variety);
    let frame = FrameSpec::Gap(GapSpec { after: Duration::from_millis(20), max: FRAME_BYTES });
    let mut protocol = bind(&spec(frame, check, columns()), &fields()).expect("a target's protocol holds");
    let (mut out, mut now) = (Output::default(), 0);
    while let [wait, len, rest @ ..] = said {
        now += u64::from(*wait);
        let (chunk, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        protocol.receive(chunk, stamp(now), &mut out);
        protocol.next(now);
        said = rest;
    }
    protocol.resync();
    protocol.receive(&[], stamp(now + 1_000), &mut out);
    assert_sane(&out);
}

/// Several lines.
pub fn joined(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let start = pick(&[None, Some(b"*".to_vec())], variety >> 2);
    let line = LineSpec { end: pick(&ends(), variety), start, max: FRAME_BYTES };
    let frame = JoinedSpec { line, until: "end$".to_owned(), join: pick(&[&b""[..], b" "], variety >> 3).to_vec() };
    hear(&spec(FrameSpec::Joined(frame), Check::None, columns()), &fields(), said);
}
