//! What real instruments said, and what somebody else's code reads in it.
//!
//! Goal: every value of every capture is the one that pynmea2, plain Python or the OOI driver's authors read, and every
//! line they refuse is refused. Method: the expected counts and a hash over all values stand in `data/expect_*.csv`
//! (see `data/SOURCES.md`); the specs below are those of the shipped profiles where there is one.

mod common;

use std::fs;
use std::path::Path;

use common::logger::instrument_bytes;
use common::{line, nmea, number, stamp, stream, table, text};
use instruments::{
    BracketSpec, ByteOrder, Check, Counts, DecodeSpec, Encoding, FieldSpec, FrameSpec, JoinedSpec, LineEnd, LineSpec,
    Output, Over, ProtocolSpec, Refusal, RegexSpec, Sample, SampleValue, Separator, Standing, StatusSpec, StructSpec,
    Sum, SumCheck, bind,
};

/// What an expect script says of one capture.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// Frames, ignored, refused.
    counts: [usize; 3],
    fields: Vec<ExpectedField>,
}

#[derive(Debug, PartialEq, Eq)]
struct ExpectedField {
    field: String,
    said: usize,
    missing: usize,
    hash: String,
}

#[test]
fn nmea_captures_say_what_pynmea2_reads() {
    let spec = ProtocolSpec { ignore: vec!["^#".to_owned()], ..nmea() };
    for capture in ["nmea/sounder.log", "nmea/signalk-gofree-merrimac.log", "nmea/mtk-3301.log"] {
        check("expect_nmea.csv", capture, &spec, &[]);
    }
}

#[test]
fn a_day_of_an_optode_with_power_on_garbage_is_read_whole() {
    let capture = "ooi/aanderaa_optode/20150330.dosta1.log";
    let out = check("expect_ooi.csv", capture, &optode(), &["2"]);
    // Counted independently: 7,728 clean records, 89 behind garbage, 45 lines of nothing but garbage.
    assert_eq!(out.samples.iter().filter(|sample| sample.field == 0).count(), 7_728 + 89);
    assert_eq!((out.counts.refused, out.counts.ignored), (45, 0));
    assert!(out.refused.iter().all(|refused| refused.why == Refusal::NoStart));
}

#[test]
fn a_weather_line_without_a_column_is_refused_and_nothing_shifts() {
    let spec = table(Separator::Whitespace, 12, line(LineEnd::Newline, None));
    check("expect_ooi.csv", "ooi/asimet_weather/20140805.metbk2.log", &spec, &[]);
    check("expect_ooi.csv", "ooi/asimet_weather/test.metbk2.log", &spec, &[]);
    let out = check("expect_ooi.csv", "ooi/asimet_weather/20140805.metbk2_bad_sensor.log", &spec, &[]);
    assert_eq!(out.refused[0].why, Refusal::Columns { min: 12, max: 12, found: 11 });
}

#[test]
fn bursts_of_carbon_dioxide_are_read_and_garbled_lines_are_not() {
    let comma = Separator::Bytes(b",".to_vec());
    let spec = table(comma, 12, line(LineEnd::Newline, Some(b"#")));
    check("expect_ooi.csv", "ooi/prooceanus_co2/20140217.pco2a.log", &spec, &["12"]);
    check("expect_ooi.csv", "ooi/prooceanus_co2/20140217.pco2a_failure.log", &spec, &["12"]);
}

#[test]
fn hydrogen_is_read() {
    let spec = table(Separator::Whitespace, 3, line(LineEnd::Newline, None));
    check("expect_ooi.csv", "ooi/hydrogen_lel/20140904.hyd1.log", &spec, &[]);
}

#[test]
fn a_ctd_says_what_its_driver_authors_expect() {
    let pattern = r"^#?\s*(?P<temperature>-?[\d.]+),\s*(?P<conductivity>-?[\d.]+),\s*(?P<pressure>-?[\d.]+),";
    let spec = ProtocolSpec { decode: DecodeSpec::Regex(RegexSpec { pattern: pattern.to_owned() }), ..optode() };
    let spec = ProtocolSpec { frame: line(LineEnd::Bytes(b"\r\n".to_vec()), None), ..spec };
    check("expect_ooi.csv", "ooi/sbe16plus/20131123.ctdbp1_many.log", &spec, &[]);
}

#[test]
fn fluorescence_and_fish_tags_are_read() {
    let tab = || Separator::Bytes(b"\t".to_vec());
    let spec = table(tab(), 9, line(LineEnd::Newline, None));
    check("expect_ooi.csv", "ooi/wetlabs_eco/20140101.flort_real.log", &spec, &[]);
    let spec = ProtocolSpec { ignore: vec!["^[^SI]".to_owned(), "^[A-Z]{2}".to_owned()], ..spec };
    check("expect_ooi.csv", "rfid/orfid_reader_1.txt", &spec, &["6", "7"]);
}

#[test]
fn a_record_broken_over_many_lines_says_what_its_driver_authors_expect() {
    let line = LineSpec { end: LineEnd::Newline, start: Some(b"*".to_vec()), max: 1024 };
    let until = r"^\*[0-9A-F]{464}$".to_owned();
    let frame = FrameSpec::Joined(JoinedSpec { line, until, join: Vec::new() });
    let sum = SumCheck { span: (3, Some(-2)), encoding: Encoding::Hex, over: Over::Hex, ..Sum::Sum8.at_end() };
    let decode = DecodeSpec::Struct(StructSpec { byte_order: ByteOrder::Big, hex_from: Some(1), length: None });
    check("expect_ooi.csv", "ooi/sami_ph/20140424.phsen2.log", &stream(frame, Check::Sum(sum), decode), &[]);
}

#[test]
fn a_wave_buoys_long_sentences_say_what_its_driver_authors_expect() {
    let long = FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: None, max: 8192 });
    check("expect_ooi.csv", "ooi/triaxys_wave/20140825.wavss.log", &ProtocolSpec { frame: long, ..nmea() }, &[]);
}

#[test]
fn tags_hold_their_checksum() {
    // The tags are in the captures' names: sigrok-dumps names them after what is printed on them.
    let hex = SumCheck { encoding: Encoding::Hex, over: Over::Hex, ..Sum::Xor8.at_end() };
    let pattern = "^(?<tag>[0-9A-F]{10})$".to_owned();
    let frame = FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer: 0, max: 16 });
    let spec = stream(frame, Check::Sum(hex), DecodeSpec::Regex(RegexSpec { pattern }));
    for (tag, kind) in [("010784f221", "card"), ("01092ade55", "keyfob"), ("3b0033aaf2", "keyfob")] {
        let bytes = instrument_bytes(&format!("rfid/sigrok_rdm630_em4100_{tag}_{kind}.bin"));
        let out = read(&spec, &[text("tag")], &bytes, 1);
        let said: Vec<_> = out.samples.into_iter().map(|sample| sample.value).collect();
        assert_eq!(said, [SampleValue::Text(tag.to_uppercase().into())]);
    }
}

#[test]
fn a_scale_says_what_it_weighs_and_whether_to_believe_it() {
    let list = |word: &str| vec![word.to_owned()];
    let status = StatusSpec { field: "st".to_owned(), values: list("S"), suspect: list("U"), missing: list("E") };
    let weight = FieldSpec { good: Some(status), ..number("w") };
    let pattern = r"^(?P<w>[+-]\d+\.?\d*) ?G ?(?P<st>[SUE])?$".to_owned();
    let spec = stream(line(LineEnd::Newline, None), Check::None, DecodeSpec::Regex(RegexSpec { pattern }));
    let weigh = |bytes: &[u8]| -> Vec<_> {
        let out = read(&spec, std::slice::from_ref(&weight), bytes, 3);
        out.samples.into_iter().map(|sample| (sample.value, sample.standing)).collect()
    };
    let kern = |name: &str| instrument_bytes(&format!("scale/sigrok_kern_ew_6200-2nm_{name}.bin"));
    // By eye: the settled weight, the unsettled one, and 127.20 g taken off the pan.
    assert_eq!(weigh(&kern("26_9g_stable")), [(SampleValue::Number(26.9), Standing::Good)]);
    assert_eq!(weigh(&kern("26_9g_unstable")), [(SampleValue::Number(26.9), Standing::Suspect)]);
    let tare = weigh(&kern("tare"));
    assert_eq!((tare.len(), &tare[5], &tare[6]), (17, &tare[0], &(SampleValue::Number(0.0), Standing::Good)));
    assert_eq!(tare[0], (SampleValue::Number(127.2), Standing::Good));
    assert_eq!(weigh(b"+0000.00 G E\r\n"), [(SampleValue::Missing, Standing::Good)]);
    assert_eq!(weigh(b"+0001.00 G\r\n"), [(SampleValue::Number(1.0), Standing::Bad)]);
    assert_eq!(weigh(&kern("0pcs")), [], "pieces are no weight");
}

fn optode() -> ProtocolSpec {
    let tab = Separator::Bytes(b"\t".to_vec());
    table(tab, 12, line(LineEnd::Bytes(b"\r\n".to_vec()), Some(b"4831\t")))
}

/// Reads a capture at once and in chunks of seven bytes, and compares with what is expected of it.
fn check(expectations: &str, capture: &str, spec: &ProtocolSpec, texts: &[&str]) -> Output {
    let expected = read_expected(expectations, capture);
    let fields: Vec<FieldSpec> = expected
        .fields
        .iter()
        .map(|expected| match &expected.field[..] {
            field if texts.contains(&field) => text(field),
            field => number(field),
        })
        .collect();
    let bytes = instrument_bytes(capture);
    let whole = read(spec, &fields, &bytes, bytes.len());
    let chunked = read(spec, &fields, &bytes, 7);
    assert_eq!(whole.samples, chunked.samples);
    assert_eq!(whole.counts, chunked.counts);

    let Counts { frames, ignored, refused, .. } = whole.counts;
    let found = Expected {
        counts: [frames, ignored, refused].map(|count| usize::try_from(count).expect("a capture is small")),
        fields: expected.fields.iter().enumerate().map(|(index, said)| sum_up(said, index, &whole.samples)).collect(),
    };
    assert_eq!(found, expected, "{capture}");
    whole
}

fn read(spec: &ProtocolSpec, fields: &[FieldSpec], bytes: &[u8], chunk_bytes: usize) -> Output {
    let mut protocol = bind(spec, fields).expect("the test's spec holds");
    let mut out = Output::default();
    for chunk in bytes.chunks(chunk_bytes) {
        protocol.receive(chunk, stamp(0), &mut out);
    }
    out
}

fn sum_up(expected: &ExpectedField, index: usize, samples: &[Sample]) -> ExpectedField {
    let values: Vec<_> = samples.iter().filter(|sample| sample.field == index).map(|sample| &sample.value).collect();
    let missing = values.iter().filter(|value| ***value == SampleValue::Missing).count();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for value in &values {
        match value {
            SampleValue::Number(number) => take(&number.to_be_bytes()),
            SampleValue::Text(text) => {
                take(text.as_bytes());
                take(b"\n");
            }
            SampleValue::Missing => {}
        }
    }
    let field = expected.field.clone();
    ExpectedField { field, said: values.len() - missing, missing, hash: format!("{digest:016x}") }
}

fn read_expected(name: &str, capture: &str) -> Expected {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let mut expected = Expected::default();
    let count = |cell: &str| cell.parse::<usize>().expect("the expect scripts write counts there");
    for row in fs::read_to_string(path).expect("it stands beside this test").lines() {
        let cells: Vec<&str> = row.split(',').collect();
        if cells[1] != capture {
            continue;
        }
        if cells[0] == "counts" {
            expected.counts = [count(cells[2]), count(cells[3]), count(cells[4])];
        } else {
            expected.fields.push(ExpectedField {
                field: cells[2].to_owned(),
                said: count(cells[3]),
                missing: count(cells[4]),
                hash: cells[5].to_owned(),
            });
        }
    }
    assert!(!expected.fields.is_empty(), "nothing is expected of {capture}");
    expected
}
