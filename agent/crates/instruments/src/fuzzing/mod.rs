//! What the fuzz targets in `fuzz/` call, and the test that replays their corpus: any bytes, any answer but a panic.
//!
//! Each function takes its bytes as `[variety][what the line brings]`. What comes out must be sane ([`assert_sane`]), and
//! but for silence the same however the bytes are cut. Checksums are put right first: a fuzzer would hardly ever get
//! past them, a bug or a lucky flip might.

mod asked;
mod framers;
mod lines;

use model::{Clock, Stamp, Timestamp};

pub use asked::{modbus, poll, sdi12};
pub use framers::{brackets, counted, gap, joined, line};
pub use lines::{delimited, json, key_value, nmea, regex, structure};

use crate::bind::bind;
use crate::check::Check;
use crate::decode::DecodeSpec;
use crate::field::{FieldSpec, Kind, StatusSpec};
use crate::frame::FrameSpec;
use crate::limits::{RAW_BYTES_MAX, REFUSED_KEPT_MAX, TEXT_BYTES_MAX};
use crate::output::{Output, SampleValue};
use crate::refusal::Refusal;
use crate::spec::{Mechanics, ProtocolSpec};

/// A target: its name in `fuzz/fuzz_targets` and `fuzz/corpus`, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 14] = [
    ("frame_line", line),
    ("frame_brackets", brackets),
    ("frame_counted", counted),
    ("frame_gap", gap),
    ("frame_joined", joined),
    ("decode_delimited", delimited),
    ("decode_regex", regex),
    ("decode_key_value", key_value),
    ("decode_json", json),
    ("decode_nmea", nmea),
    ("decode_struct", structure),
    ("poll", poll),
    ("modbus", modbus),
    ("sdi12", sdi12),
];

/// The variety, and what the line brings.
fn parted(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(variety, rest)| (*variety, rest))
}

/// One of several, by the variety.
fn pick<T: Clone>(of: &[T], variety: u8) -> T {
    of[usize::from(variety) % of.len()].clone()
}

fn spec(frame: FrameSpec, check: Check, decode: DecodeSpec) -> ProtocolSpec {
    let ignore = vec!["^#".to_owned()];
    ProtocolSpec { frame, check, decode, ignore, ..ProtocolSpec::own(Mechanics::Stream) }
}

fn number(field: &str) -> FieldSpec {
    let missing = vec!["-9999".to_owned(), "NaN".to_owned()];
    FieldSpec { field: field.to_owned(), kind: Kind::Number, missing, good: None }
}

fn text(field: &str) -> FieldSpec {
    FieldSpec { kind: Kind::Text, ..number(field) }
}

/// A number that a status gates.
fn gated(field: &str, status: &str) -> FieldSpec {
    let list = |word: &str| vec![word.to_owned()];
    let good = StatusSpec { field: status.to_owned(), values: list("S"), suspect: list("U"), missing: list("E") };
    FieldSpec { good: Some(good), ..number(field) }
}

fn stamp(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Synced }
}

/// The line's bytes to an instrument that talks by itself: at once and one by one, which says the same.
fn hear(spec: &ProtocolSpec, fields: &[FieldSpec], bytes: &[u8]) {
    let mut outputs = [bytes.len().max(1), 1].map(|size| {
        let mut protocol = bind(spec, fields).expect("a target's protocol holds");
        let mut out = Output::default();
        for chunk in bytes.chunks(size) {
            protocol.receive(chunk, stamp(0), &mut out);
        }
        protocol.resync();
        protocol.receive(bytes, stamp(0), &mut out);
        out
    });
    outputs.iter().for_each(assert_sane);
    let [whole, single] = &mut outputs;
    assert_eq!(whole.counts, single.counts, "counts depend on the cut");
    assert_eq!(whole.samples, single.samples, "samples depend on the cut");
    assert_eq!(whole.refused, single.refused, "refusals depend on the cut");
}

/// What holds of any output of any protocol.
fn assert_sane(out: &Output) {
    assert!(out.refused.len() <= REFUSED_KEPT_MAX, "evidence is bounded");
    assert!(out.refused.iter().all(|refused| refused.frame.len() <= RAW_BYTES_MAX), "and short");
    let kept = u64::try_from(out.refused.len()).expect("small");
    assert!(kept <= out.counts.refused && out.counts.refused + out.counts.ignored <= out.counts.frames);
    for sample in &out.samples {
        match &sample.value {
            SampleValue::Number(number) => assert!(number.is_finite(), "a number is one"),
            SampleValue::Text(text) => assert!(text.len() <= TEXT_BYTES_MAX, "a text is short"),
            SampleValue::Missing => {}
        }
    }
}

/// A body with the checksum behind it that `check` wants.
fn proven(check: Check, body: &[u8]) -> Vec<u8> {
    let Check::Sum(sum) = check else { return body.to_vec() };
    let framed = |value: u32| {
        let digits = format!("{value:0width$X}", width = sum.sum.width() * 2);
        let mut checksum = match sum.encoding {
            crate::Encoding::Hex => digits.into_bytes(),
            crate::Encoding::Bytes(_) => value.to_be_bytes()[4 - sum.sum.width()..].to_vec(),
        };
        if sum.encoding == crate::Encoding::Bytes(crate::ByteOrder::Little) {
            checksum.reverse();
        }
        [body, &checksum].concat()
    };
    // What is right is learnt from the refusal of what is most likely not.
    match check.verify(&framed(0)) {
        Err(Refusal::Checksum { computed, .. }) => framed(computed),
        _ => framed(0),
    }
}
