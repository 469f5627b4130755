//! How many lines a second one core decodes, and how often it asks for memory on the way: `cargo run --release -p instruments --example decode_bench`.
//!
//! The measure to compare with: a line at 115200 baud brings at most 400 sounder sentences a second.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself; the crate does not")]

use std::alloc::System;
use std::time::Instant;

use instruments::{
    Check, DecodeSpec, DelimitedSpec, FieldSpec, FrameSpec, JsonSpec, Kind, LineEnd, LineSpec, Mechanics, NmeaSpec,
    Output, ProtocolSpec, Separator, bind,
};
use model::{Clock, Stamp, Timestamp};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LINES: u32 = 1_000_000;
/// A serial port hands over so much at once.
const CHUNK_BYTES: usize = 64;

fn main() {
    let nmea = spec(None, Check::NmeaXor, DecodeSpec::Nmea(NmeaSpec::default()));
    run("nmea     ", &nmea, &["DBT.3", "MTW.1"], b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n");
    let sep = Separator::Bytes(b"\t".to_vec());
    let optode = DecodeSpec::Delimited(DelimitedSpec { sep, columns: Some(12..=12), pattern: None });
    let line = b"4831\t379\t354.255\t94.962\t7.658\t32.971\t32.971\t41.373\t8.402\t738.5\t797.6\t448.6\r\n";
    run("delimited", &spec(Some(b"4831\t"), Check::None, optode), &["3", "4", "5"], line);
    let json = DecodeSpec::Json(JsonSpec { root: "/payload".to_owned() });
    let line =
        b"{\"from\":\"node-192\",\"payload\":{\"d2w\":1624.09,\"Vb\":4.077,\"Vs\":0.000,\"idx\":254029,\"sc\":11}}\n";
    run("json     ", &spec(None, Check::None, json), &["/d2w", "/Vb"], line);
}

fn spec(start: Option<&[u8]>, check: Check, decode: DecodeSpec) -> ProtocolSpec {
    let frame = FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: start.map(<[u8]>::to_vec), max: 256 });
    ProtocolSpec { mechanics: Mechanics::Stream, frame, check, decode, ignore: Vec::new(), time: None }
}

fn run(name: &str, spec: &ProtocolSpec, selectors: &[&str], line: &[u8]) {
    let field = |selector: &&str| FieldSpec {
        field: (*selector).to_owned(),
        kind: Kind::Number,
        missing: vec!["-9999".to_owned()],
        good: None,
    };
    let fields: Vec<_> = selectors.iter().map(field).collect();
    let mut protocol = bind(spec, &fields).expect("the benchmark's spec holds");
    let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
    let block = line.repeat(100);
    let mut out = Output::default();
    let mut samples = 0;
    protocol.receive(&block, at, &mut out);
    out.clear();
    let region = Region::new(ALLOCATOR);
    let begun = Instant::now();
    for _ in 0..LINES / 100 {
        for chunk in block.chunks(CHUNK_BYTES) {
            protocol.receive(chunk, at, &mut out);
        }
        assert_eq!(out.counts.refused, 0);
        samples += out.samples.len();
        out.clear();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let lines = f64::from(LINES) / seconds;
    let change = region.change();
    let asked = u32::try_from(change.allocations + change.reallocations).unwrap_or(u32::MAX);
    let each = f64::from(asked) / f64::from(LINES);
    println!("{name} {lines:>10.0} lines/s, {each:.2} allocations a line, {samples} samples in {seconds:.3} s");
}
