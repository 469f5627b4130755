//! `protocol.frame`: where a frame begins and ends.

use std::time::Duration;

use instruments::{
    BracketSpec, COUNTED_BYTES_MAX, CountedSpec, FRAME_BYTES_DEFAULT, FrameSpec, GapSpec, JoinedSpec, Length, LineEnd,
    LineSpec,
};

use super::{BYTE_ORDERS, bytes, count};
use crate::config::node::{Node, Tree};
use crate::config::section::{Fit, Misfit, Section};
use crate::config::value::{choice, duration, integer, text};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Line,
    StxEtx,
    Fixed,
    LengthPrefixed,
    Sync,
    IdleGap,
    JoinLines,
}

const KINDS: &[(&str, Kind)] = &[
    ("line", Kind::Line),
    ("stx-etx", Kind::StxEtx),
    ("fixed", Kind::Fixed),
    ("length-prefixed", Kind::LengthPrefixed),
    ("sync", Kind::Sync),
    ("idle-gap", Kind::IdleGap),
    ("join-lines", Kind::JoinLines),
];

/// Silence that ends a frame: from a few characters to a pause between measurements.
const GAPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3600));

/// The longest that a length may be off.
const ADJUST_MAX: i64 = 4096;

pub fn read(section: &Section<'_>) -> Option<FrameSpec> {
    let kind = section.require("type", choice(KINDS))?;
    let max = section.get("max", count(1));
    let spec = match kind {
        Kind::Line => Some(FrameSpec::Line(read_line(section, max))),
        Kind::StxEtx => Some(FrameSpec::Brackets(BracketSpec {
            open: section.get("stx", control).unwrap_or(0x02),
            close: section.get("etx", control).unwrap_or(0x03),
            trailer: section.get("trailer", count(0)).unwrap_or(0),
            max: max.unwrap_or(FRAME_BYTES_DEFAULT),
        })),
        Kind::Fixed => {
            section.require("length", count(1)).map(|length| counted(Vec::new(), Length::Fixed(length), max))
        }
        Kind::LengthPrefixed => read_said(section).map(|length| counted(Vec::new(), length, max)),
        Kind::Sync => read_sync(section, max),
        Kind::IdleGap => section
            .require("after", duration(GAPS.0..=GAPS.1))
            .map(|after| FrameSpec::Gap(GapSpec { after, max: max.unwrap_or(FRAME_BYTES_DEFAULT) })),
        Kind::JoinLines => section.require("until", text).map(|until| {
            let join = section.get("join", text).map_or_else(|| b"\n".to_vec(), String::into_bytes);
            FrameSpec::Joined(JoinedSpec { line: read_line(section, max), until, join })
        }),
    };
    section.finish();
    spec
}

fn read_line(section: &Section<'_>, max: Option<usize>) -> LineSpec {
    let end = section.get("end", bytes).map_or(LineEnd::Newline, LineEnd::Bytes);
    let start = section.get("start", bytes);
    LineSpec { end, start, max: max.unwrap_or(FRAME_BYTES_DEFAULT) }
}

fn read_sync(section: &Section<'_>, max: Option<usize>) -> Option<FrameSpec> {
    let magic = section.require("magic", magic);
    let length =
        if section.has("length") { section.require("length", count(1)).map(Length::Fixed) } else { read_said(section) };
    Some(counted(magic?, length?, max))
}

fn read_said(section: &Section<'_>) -> Option<Length> {
    let at = section.require("at", count(0));
    let width = section.get("width", count(1)).unwrap_or(1);
    let order = section.get("byte_order", choice(BYTE_ORDERS)).unwrap_or_default();
    let adjust = section.get("adjust", integer(-ADJUST_MAX..=ADJUST_MAX)).unwrap_or(0);
    Some(Length::Said { at: at?, width, order, adjust })
}

fn counted(magic: Vec<u8>, length: Length, max: Option<usize>) -> FrameSpec {
    let default = match length {
        Length::Fixed(length) => length,
        Length::Said { .. } => FRAME_BYTES_DEFAULT.min(COUNTED_BYTES_MAX),
    };
    FrameSpec::Counted(CountedSpec { magic, length, max: max.unwrap_or(default) })
}

/// One byte, as a text of one character below 128.
fn control(node: &Node) -> Fit<u8> {
    match bytes(node)?[..] {
        [byte] => Ok(byte),
        _ => Err(Misfit::new("one character is expected here").help("stx = \"\\u0002\"")),
    }
}

/// A magic number: a text, or a list of bytes where it is none.
fn magic(node: &Node) -> Fit<Vec<u8>> {
    let Tree::List(items) = &node.value else { return bytes(node) };
    let read = |item: &Node| integer(0..=255)(item).map_err(|misfit| misfit.at(&item.at));
    match items.iter().map(read).collect::<Fit<Vec<u8>>>()? {
        empty if empty.is_empty() => Err(Misfit::new("this can not be empty")),
        bytes => Ok(bytes),
    }
}
