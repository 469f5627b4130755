//! `[instrument.*.protocol]`: turned into what the decoders take.

mod check;
mod frame;
mod time;

use std::ops::RangeInclusive;

use instruments::{
    ByteOrder, COLUMNS_MAX, DecodeSpec, DelimitedSpec, FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, FrameSpec, JsonSpec,
    KeyValueSpec, LineEnd, LineSpec, Mechanics, NmeaSpec, ProtocolSpec, RegexSpec, Separator, StructSpec,
};

use super::node::{Node, Tree};
use super::section::{Fit, Misfit, Section};
use super::value::{choice, integer, list, text, texts};
use super::{modbus, poll, sdi12};

/// Who talks when, as written.
#[derive(Clone, Copy)]
enum Type {
    Stream,
    Poll,
    ModbusRtu,
    Sdi12,
}

const TYPES: &[(&str, Type)] =
    &[("stream", Type::Stream), ("poll", Type::Poll), ("modbus-rtu", Type::ModbusRtu), ("sdi12", Type::Sdi12)];

pub(super) fn read(section: &Section<'_>) -> Option<ProtocolSpec> {
    let own = |mechanics| Some(ProtocolSpec::own(mechanics));
    match section.require("type", choice(TYPES))? {
        Type::Stream => read_framed(section, poll::read(section, false)),
        Type::Poll => read_framed(section, poll::read(section, true)),
        Type::ModbusRtu => own(Mechanics::ModbusRtu(modbus::read(section)?)),
        Type::Sdi12 => own(Mechanics::Sdi12(sdi12::read(section)?)),
    }
}

fn read_framed(section: &Section<'_>, mechanics: Option<Mechanics>) -> Option<ProtocolSpec> {
    let frame = match section.section("frame") {
        Some(frame) => frame::read(&frame),
        None => Some(FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: None, max: FRAME_BYTES_DEFAULT })),
    };
    let check = check::read(section);
    let decode = match section.section("decode") {
        Some(decode) => read_decode(&decode),
        None => {
            let misfit = Misfit::new(format!("`decode` is missing in [{}]", section.path()));
            section.refuse("", misfit.help("decode = { type = \"delimited\", sep = \",\", columns = 3 }"));
            None
        }
    };
    let ignore = section.get("ignore", list(text)).unwrap_or_default();
    let time = section.section("time").map(|time| time::read(&time));
    section.finish();
    let time = match time {
        Some(read) => Some(read?),
        None => None,
    };
    Some(ProtocolSpec { mechanics: mechanics?, frame: frame?, check: check?, decode: decode?, ignore, time })
}

const BYTE_ORDERS: &[(&str, ByteOrder)] = &[("big", ByteOrder::Big), ("little", ByteOrder::Little)];

/// A count of bytes, up to what a frame may have.
fn count(least: usize) -> impl FnOnce(&Node) -> Fit<usize> {
    let limit = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    integer(limit(least)..=limit(FRAME_BYTES_MAX))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Delimited,
    Regex,
    KeyValue,
    Json,
    Nmea,
    Struct,
}

const DECODERS: &[(&str, Decoder)] = &[
    ("delimited", Decoder::Delimited),
    ("regex", Decoder::Regex),
    ("key-value", Decoder::KeyValue),
    ("json", Decoder::Json),
    ("nmea", Decoder::Nmea),
    ("struct", Decoder::Struct),
];

fn read_decode(section: &Section<'_>) -> Option<DecodeSpec> {
    let decode = match section.require("type", choice(DECODERS))? {
        Decoder::Delimited => {
            let sep = section.require("sep", separator);
            let columns = section.get("columns", columns);
            let pattern = section.get("pattern", text);
            DecodeSpec::Delimited(DelimitedSpec { sep: sep?, columns, pattern })
        }
        Decoder::Regex => DecodeSpec::Regex(RegexSpec { pattern: section.require("pattern", text)? }),
        Decoder::KeyValue => DecodeSpec::KeyValue(KeyValueSpec {
            sep: section.get("sep", bytes).unwrap_or_else(|| b",".to_vec()),
            assign: section.get("assign", bytes).unwrap_or_else(|| b"=".to_vec()),
            prefix: section.get("prefix", bytes),
            units: section.get("units", texts).unwrap_or_default(),
            invalid: section.get("invalid", list(text)).unwrap_or_default(),
        }),
        Decoder::Json => DecodeSpec::Json(JsonSpec { root: section.get("root", text).unwrap_or_default() }),
        Decoder::Nmea => DecodeSpec::Nmea(NmeaSpec { sentences: section.get("sentences", list(text)) }),
        Decoder::Struct => DecodeSpec::Struct(StructSpec {
            byte_order: section.require("byte_order", choice(BYTE_ORDERS))?,
            hex_from: section.get("hex_from", count(0)),
            length: section.get("length", count(1)),
        }),
    };
    section.finish();
    Some(decode)
}

fn bytes(node: &Node) -> Fit<Vec<u8>> {
    match text(node)? {
        empty if empty.is_empty() => Err(Misfit::new("this can not be empty")),
        text => Ok(text.into_bytes()),
    }
}

fn separator(node: &Node) -> Fit<Separator> {
    match text(node)?.as_str() {
        "" => Err(Misfit::new("a separator can not be empty").help("sep = \",\" or \"\\t\" or \"whitespace\"")),
        "whitespace" => Ok(Separator::Whitespace),
        sep => Ok(Separator::Bytes(sep.as_bytes().to_vec())),
    }
}

/// `columns = 12` or `columns = [4, 9]`.
fn columns(node: &Node) -> Fit<RangeInclusive<usize>> {
    let most = i64::try_from(COLUMNS_MAX).unwrap_or(i64::MAX);
    let count = |node: &Node| integer::<usize>(1..=most)(node);
    let Tree::List(_) = &node.value else { return count(node).map(|count| count..=count) };
    match list(count)(node)?[..] {
        [least, most] if least <= most => Ok(least..=most),
        _ => Err(Misfit::new("a number of columns, or the least and the most").help("columns = [4, 9]")),
    }
}
