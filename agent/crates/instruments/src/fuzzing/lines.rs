//! The decoders, on lines; the binary one on frames of a fixed length.

use std::collections::BTreeMap;

use super::{gated, hear, number, parted, pick, proven, spec, text};
use crate::check::Check;
use crate::check::sum::Sum;
use crate::clock::TimeSpec;
use crate::decode::DecodeSpec;
use crate::decode::delimited::{DelimitedSpec, Separator};
use crate::decode::json::JsonSpec;
use crate::decode::key_value::KeyValueSpec;
use crate::decode::nmea::NmeaSpec;
use crate::decode::regex::RegexSpec;
use crate::decode::structure::StructSpec;
use crate::field::FieldSpec;
use crate::frame::FrameSpec;
use crate::frame::counted::{CountedSpec, Length};
use crate::frame::line::{LineEnd, LineSpec};
use crate::number::ByteOrder;

fn decode(decode: DecodeSpec, fields: &[FieldSpec], said: &[u8]) {
    let frame = FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: None, max: 4096 });
    hear(&spec(frame, Check::None, decode), fields, said);
}

/// Columns, and a clock in the first of them.
pub fn delimited(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let seps = [Separator::Bytes(b",".to_vec()), Separator::Bytes(b"::".to_vec()), Separator::Whitespace];
    let columns = pick(&[None, Some(3..=3), Some(2..=5)], variety >> 2);
    let decode = DecodeSpec::Delimited(DelimitedSpec { sep: pick(&seps, variety), columns, pattern: None });
    let formats = ["%Y-%m-%d", "%d %b %y %H:%M:%S%.f", "%j", "%s"];
    let time = TimeSpec {
        fields: vec!["1".to_owned()],
        format: pick(&formats, variety >> 4).to_owned(),
        ahead_min: 0,
        max_skew: None,
    };
    let frame = FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: None, max: 4096 });
    let mut spec = spec(frame, Check::None, decode);
    spec.time = Some(time);
    hear(&spec, &[gated("2", "3"), text("2")], said);
}

/// Groups of a pattern.
pub fn regex(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let patterns = [
        r"^S (?P<status>[SD]) +(?P<weight>-?[\d.]+) ?(?P<unit>\w*)$",
        r"(?P<weight>.*),(?P<status>.*?)(?P<unit>[^,]+)?",
    ];
    let pattern = pick(&patterns, variety).to_owned();
    decode(DecodeSpec::Regex(RegexSpec { pattern }), &[gated("weight", "status"), text("unit")], said);
}

/// Keys with values, and units behind them.
pub fn key_value(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let units = [("D", "deg"), ("C", "Cel"), ("mm", "mm")].map(|(letter, unit)| (letter.to_owned(), unit.to_owned()));
    let spec = KeyValueSpec {
        sep: pick(&[&b","[..], b" ", b"; "], variety).to_vec(),
        assign: pick(&[&b"="[..], b":"], variety >> 2).to_vec(),
        prefix: pick(&[None, Some(b"0R".to_vec())], variety >> 3),
        units: pick(&[BTreeMap::new(), BTreeMap::from(units)], variety >> 4),
        invalid: vec!["#".to_owned()],
    };
    decode(DecodeSpec::KeyValue(spec), &[gated("Dm", "Id"), number("Ta"), text("Id")], said);
}

/// JSON.
pub fn json(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let root = pick(&["", "/payload", "/0/a"], variety).to_owned();
    decode(DecodeSpec::Json(JsonSpec { root }), &[gated("/d2w", "/st"), text("/id"), number("/0")], said);
}

/// NMEA 0183.
pub fn nmea(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let sentences = pick(&[None, Some(vec!["DBT".to_owned(), "XDR".to_owned(), "PGRME".to_owned()])], variety);
    let fields = [number("DBT.3"), number("XDR.BARO"), text("PGRME.2"), gated("XDR.1", "XDR.3")];
    decode(DecodeSpec::Nmea(NmeaSpec { sentences }), &fields, said);
}

/// Binary frames, some of them hex digits.
pub fn structure(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let byte_order = pick(&[ByteOrder::Big, ByteOrder::Little], variety);
    let hex_from = pick(&[None, Some(1), Some(20)], variety >> 1);
    let length = pick(&[None, Some(35)], variety >> 3);
    let check = Check::Sum(Sum::Sum8.at_end());
    let frame = FrameSpec::Counted(CountedSpec { magic: Vec::new(), length: Length::Fixed(36), max: 36 });
    let fields = ["0:u8", "1:f32", "3:i16", "2:u32.31", "0:f64", "1:i64", "7:u64"].map(number);
    let right: Vec<u8> = said.chunks(35).flat_map(|body| proven(check, body)).collect();
    hear(&spec(frame, check, DecodeSpec::Struct(StructSpec { byte_order, hex_from, length })), &fields, &right);
}
