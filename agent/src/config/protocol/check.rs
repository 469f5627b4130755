//! `protocol.check`: what proves a frame whole. A word, or a table with its span and place.

use instruments::{ByteOrder, Check, Encoding, Over, Sum, SumCheck};

use crate::config::node::{Node, Tree};
use crate::config::section::{Fit, Misfit, Section};
use crate::config::value::{choice, integer, list};

const CHECKS: &[(&str, Check)] = &[
    ("none", Check::None),
    ("nmea-xor", Check::NmeaXor),
    ("xor8", Check::Sum(Sum::Xor8.at_end())),
    ("sum8", Check::Sum(Sum::Sum8.at_end())),
    ("sum16", Check::Sum(Sum::Sum16.at_end())),
    ("crc16-modbus", Check::Sum(Sum::Crc16Modbus.at_end())),
    ("crc16-ccitt", Check::Sum(Sum::Crc16Ccitt.at_end())),
    ("crc16-arc", Check::Sum(Sum::Crc16Arc.at_end())),
    ("crc32-hex", Check::Sum(Sum::Crc32.at_end())),
];

const ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("big", Encoding::Bytes(ByteOrder::Big)), ("little", Encoding::Bytes(ByteOrder::Little))];

const OVERS: &[(&str, Over)] = &[("bytes", Over::Bytes), ("hex", Over::Hex)];

/// Farthest place from either end of a frame.
const PLACE_MAX: i64 = 65_536;

pub fn read(protocol: &Section<'_>) -> Option<Check> {
    let is_table = protocol.get("check", |node| Ok(matches!(node.value, Tree::Table(_)))).unwrap_or(false);
    if !is_table {
        return if protocol.has("check") { protocol.get("check", choice(CHECKS)) } else { Some(Check::None) };
    }
    let section = protocol.section("check")?;
    let check = section.require("type", choice(CHECKS));
    let span = section.get("span", span);
    let at = section.get("at", integer(-PLACE_MAX..=PLACE_MAX));
    let encoding = section.get("encoding", choice(ENCODINGS));
    let over = section.get("over", choice(OVERS)).unwrap_or_default();
    section.finish();
    let Check::Sum(word) = check? else {
        section.refuse("type", Misfit::new("this check has its own place: write it as a word"));
        return None;
    };
    let (span, encoding) = (span.unwrap_or(word.span), encoding.unwrap_or(word.encoding));
    Some(Check::Sum(SumCheck { span, at, encoding, over, ..word }))
}

/// `[0, 10]`, or `[3]`: up to the checksum.
fn span(node: &Node) -> Fit<(i32, Option<i32>)> {
    match list(integer_in_frame)(node)?[..] {
        [first] => Ok((first, None)),
        [first, end] => Ok((first, Some(end))),
        _ => Err(Misfit::new("the first byte and the one after the last are expected here").help("span = [0, 10]")),
    }
}

fn integer_in_frame(node: &Node) -> Fit<i32> {
    integer(-PLACE_MAX..=PLACE_MAX)(node)
}
