//! A line costs no memory once the first few have come: what a decoder needs it keeps, what it gives goes into the
//! caller's [`Output`], which is cleared and not thrown away.
//!
//! And whatever a line brings, what is kept of it is bounded. The counter counts for the whole process, so the stories
//! of this binary wait for each other.

mod common;

use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::{line, nmea, number, stamp, stream, table, text};
use instruments::{
    BracketSpec, ByteOrder, Check, CountedSpec, DecodeSpec, Encoding, FRAME_BYTES_MAX, FieldSpec, FrameSpec, GapSpec,
    JoinedSpec, KeyValueSpec, Length, LineEnd, LineSpec, Output, ProtocolSpec, RECORD_BYTES_MAX, RegexSpec, Separator,
    StructSpec, Sum, SumCheck, bind,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One story at a time.
static TURN: Mutex<()> = Mutex::new(());

const WARM_UP_LINES: usize = 10;
const LINES: usize = 1_000;

/// The test harness asks for memory now and then, too; a decoder that does, does so each time.
const TRIES: usize = 5;

/// Allocations, growths included, for so many lines that come in chunks of a serial port.
fn allocations(spec: &ProtocolSpec, fields: &[FieldSpec], line: &[u8]) -> usize {
    let mut protocol = bind(spec, fields).expect("the case holds");
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
    let counted = (0..TRIES).map(|_| {
        let region = Region::new(ALLOCATOR);
        assert!(listen(&block) >= LINES);
        let change = region.change();
        change.allocations + change.reallocations
    });
    counted.min().expect("it was tried")
}

/// A kind of instrument: its name, how it is bound, what is asked of it, and a line of it.
type Case = (&'static str, ProtocolSpec, Vec<FieldSpec>, &'static [u8]);

fn newline() -> FrameSpec {
    line(LineEnd::Newline, None)
}

fn commas(columns: usize) -> DecodeSpec {
    table(Separator::Bytes(b",".to_vec()), columns, newline()).decode
}

fn decoders() -> Vec<Case> {
    let tabs = Separator::Bytes(b"\t".to_vec());
    let key_value = KeyValueSpec {
        sep: b",".to_vec(),
        assign: b"=".to_vec(),
        prefix: Some(b"0R0".to_vec()),
        units: BTreeMap::from([("C".to_owned(), "Cel".to_owned())]),
        invalid: vec!["#".to_owned()],
    };
    let pattern = r"^S +(?P<weight>-?[\d.]+) kg$".to_owned();
    let lines = |decode: DecodeSpec| stream(newline(), Check::None, decode);
    vec![
        ("nmea", nmea(), vec![number("DBT.3"), number("MTW.1")], b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n"),
        (
            "tabs behind a marker",
            table(tabs, 4, line(LineEnd::Newline, Some(b"4831\t"))),
            vec![number("3"), number("4")],
            b"4831\t379\t354.255\t94.962\r\n",
        ),
        ("spaces", table(Separator::Whitespace, 3, newline()), vec![number("1")], b"1015.15  90.8  21.7\n"),
        ("keys", lines(DecodeSpec::KeyValue(key_value)), vec![number("Ta")], b"0R0,Dn=209D,Ta=19.7C\r\n"),
        ("pattern", lines(DecodeSpec::Regex(RegexSpec { pattern })), vec![number("weight")], b"S      0.500 kg\r\n"),
    ]
}

fn framers() -> Vec<Case> {
    let hex = Check::Sum(SumCheck { encoding: Encoding::Hex, ..Sum::Xor8.at_end() });
    let brackets = FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer: 2, max: 64 });
    let parts = LineSpec { end: LineEnd::Newline, start: None, max: 64 };
    let joined = FrameSpec::Joined(JoinedSpec { line: parts, until: "end$".to_owned(), join: b",".to_vec() });
    let magic = b"RS".to_vec();
    let counted = FrameSpec::Counted(CountedSpec { magic, length: Length::Fixed(7), max: 7 });
    let binary = DecodeSpec::Struct(StructSpec::default());
    vec![
        ("brackets", stream(brackets, hex, commas(2)), vec![number("1")], b"\x021.5,a\x0367"),
        ("joined", stream(joined, Check::None, commas(3)), vec![number("1"), number("2")], b"1.5\r\n2.5,end\r\n"),
        (
            "binary",
            stream(counted, Check::Sum(Sum::Xor8.at_end()), binary),
            vec![number("3:u8"), number("4:i16")],
            b"RS\x03\x07\x01\x02\x06",
        ),
    ]
}

#[test]
fn a_line_of_numbers_allocates_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, spec, fields, line) in decoders().into_iter().chain(framers()) {
        let counted = allocations(&spec, &fields, line);
        assert_eq!(counted, 0, "{name}: {counted} allocations for {LINES} lines");
    }
    // A text goes to the journal and to every sink: it is allocated once, where it is read, and shared from then on.
    let tags = table(Separator::Bytes(b"\t".to_vec()), 4, newline());
    assert_eq!(allocations(&tags, &[text("2")], b"S\t0000_000000005972\tAAA\t4\r\n"), LINES);
}

#[test]
fn what_is_kept_of_garbage_is_bounded() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let line = |start: Option<&[u8]>, max| LineSpec { end: LineEnd::Newline, start: start.map(<[u8]>::to_vec), max };
    let joined = |max| JoinedSpec { line: line(None, max), until: "never$".to_owned(), join: Vec::new() };
    // Each byte of garbage may begin a frame of so many: a small maximum, so that the test is one of seconds.
    let max = 512;
    let counted = |length| FrameSpec::Counted(CountedSpec { magic: Vec::new(), length, max });
    let said = Length::Said { at: 0, width: 2, order: ByteOrder::Little, adjust: 0 };
    let after = Duration::from_millis(20);
    for (max, frame) in [
        (FRAME_BYTES_MAX, FrameSpec::Line(line(None, FRAME_BYTES_MAX))),
        (FRAME_BYTES_MAX, FrameSpec::Line(line(Some(b"4831\t"), FRAME_BYTES_MAX))),
        (RECORD_BYTES_MAX, FrameSpec::Joined(joined(RECORD_BYTES_MAX))),
        (FRAME_BYTES_MAX, FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer: 2, max: FRAME_BYTES_MAX })),
        (FRAME_BYTES_MAX, FrameSpec::Gap(GapSpec { after, max: FRAME_BYTES_MAX })),
        (max, counted(Length::Fixed(max))),
        (max, counted(said)),
    ] {
        let spec = stream(frame, Check::Sum(Sum::Crc16Modbus.at_end()), commas(3));
        // Every byte there is, one that ends nothing, one that opens without end, and lines that are none.
        let every: Vec<u8> = (0..=255).collect();
        for garbage in [every.repeat(2), vec![b'x'; 512], vec![2; 512], b"ab,c\n".repeat(100)] {
            let kept = kept(&spec, &garbage, 16 * max);
            // Frames and records have a buffer each, and a buffer grows by doubling.
            assert!(kept <= 4 * max, "{:?} keeps {kept} bytes", spec.frame);
        }
    }
}

/// What is still held after so many bytes of this.
fn kept(spec: &ProtocolSpec, garbage: &[u8], bytes: usize) -> usize {
    let mut protocol = bind(spec, &[number("1")]).expect("the case holds");
    let mut out = Output::default();
    let region = Region::new(ALLOCATOR);
    for _ in 0..bytes / garbage.len() {
        protocol.receive(garbage, stamp(0), &mut out);
        out.clear();
    }
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}
