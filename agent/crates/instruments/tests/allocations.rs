//! A line costs no memory once the first few have come: what a decoder needs it keeps, what it gives goes into the
//! caller's [`Output`], which is cleared and not thrown away.
//!
//! The only test of its binary: the counter counts for the whole process.

mod common;

use std::alloc::System;

use common::{line, nmea, number, stamp, stream, table, text};
use instruments::{
    BracketSpec, Check, DecodeSpec, Encoding, FieldSpec, FrameSpec, JoinedSpec, KeyValueSpec, LineEnd, LineSpec,
    Output, ProtocolSpec, RegexSpec, Separator, StructSpec, Sum, SumCheck, bind,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WARM_UP_LINES: usize = 10;
const LINES: usize = 1_000;

/// Allocations, growths included, for so many lines that come in chunks of a serial port.
fn allocations(spec: &ProtocolSpec, fields: &[FieldSpec], line: &[u8]) -> usize {
    let mut protocol = bind(spec, fields).unwrap();
    let mut out = Output::default();
    let block = line.repeat(LINES);
    let mut listen = |bytes: &[u8]| {
        let mut samples = 0;
        for chunk in bytes.chunks(64) {
            protocol.receive(chunk, stamp(0), &mut out);
            samples += out.samples.len();
            assert_eq!(out.counts.refused, 0);
            out.clear();
        }
        samples
    };
    listen(&line.repeat(WARM_UP_LINES));
    let region = Region::new(ALLOCATOR);
    let samples = listen(&block);
    let change = region.change();
    assert!(samples >= LINES);
    change.allocations + change.reallocations
}

#[test]
fn a_line_of_numbers_allocates_nothing() {
    let crlf = || LineEnd::Bytes(b"\r\n".to_vec());
    let comma = || table(Separator::Bytes(b",".to_vec()), 3, line(LineEnd::Newline, None));
    let whole = |frame: FrameSpec, check: Check| stream(frame, check, comma().decode);
    let hex = SumCheck { encoding: Encoding::Hex, ..Sum::Xor8.at_end() };
    let joined = JoinedSpec {
        line: LineSpec { end: LineEnd::Newline, start: None, max: 64 },
        until: "end$".to_owned(),
        join: b",".to_vec(),
    };
    let key_value = KeyValueSpec {
        sep: b",".to_vec(),
        assign: b"=".to_vec(),
        prefix: Some(b"0R0".to_vec()),
        units: std::collections::BTreeMap::from([("C".to_owned(), "Cel".to_owned())]),
        invalid: vec!["#".to_owned()],
    };
    let pattern = r"^S +(?P<weight>-?[\d.]+) kg$".to_owned();
    let fixed = FrameSpec::Counted(instruments::CountedSpec {
        magic: b"RS".to_vec(),
        length: instruments::Length::Fixed(7),
        max: 7,
    });
    for (name, spec, fields, line) in [
        ("nmea", nmea(), vec![number("DBT.3"), number("MTW.1")], &b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n"[..]),
        (
            "delimited, tabs, marker",
            table(Separator::Bytes(b"\t".to_vec()), 4, common::line(crlf(), Some(b"4831\t"))),
            vec![number("3"), number("4")],
            b"4831\t379\t354.255\t94.962\r\n",
        ),
        (
            "delimited, spaces",
            table(Separator::Whitespace, 3, common::line(LineEnd::Newline, None)),
            vec![number("1")],
            b"1015.15  90.8  21.7\n",
        ),
        (
            "key-value",
            stream(common::line(crlf(), None), Check::None, DecodeSpec::KeyValue(key_value)),
            vec![number("Ta")],
            b"0R0,Dn=209D,Ta=19.7C\r\n",
        ),
        (
            "regex",
            stream(common::line(LineEnd::Newline, None), Check::None, DecodeSpec::Regex(RegexSpec { pattern })),
            vec![number("weight")],
            b"S      0.500 kg\r\n",
        ),
        (
            "brackets, hex sum",
            stream(
                FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer: 2, max: 64 }),
                Check::Sum(hex),
                table(Separator::Bytes(b",".to_vec()), 2, common::line(LineEnd::Newline, None)).decode,
            ),
            vec![number("1")],
            b"\x021.5,a\x0367\r\n",
        ),
        (
            "joined lines",
            whole(FrameSpec::Joined(joined), Check::None),
            vec![number("1"), number("2")],
            b"1.5\r\n2.5,end\r\n",
        ),
        (
            "counted, binary",
            stream(fixed, Check::Sum(Sum::Xor8.at_end()), DecodeSpec::Struct(StructSpec::default())),
            vec![number("3:u8"), number("4:i16")],
            b"RS\x03\x07\x01\x02\x06",
        ),
    ] {
        let counted = allocations(&spec, &fields, line);
        println!("{name}: {counted} allocations for {LINES} lines");
        assert_eq!(counted, 0, "{name}: {counted} allocations for {LINES} lines");
    }
    // A text goes to the journal and to every sink: it is allocated once, where it is read, and shared from then on.
    let tags = table(Separator::Bytes(b"\t".to_vec()), 4, common::line(crlf(), None));
    assert_eq!(allocations(&tags, &[text("2")], b"S\t0000_000000005972\tAAA\t4\r\n"), LINES);
}
