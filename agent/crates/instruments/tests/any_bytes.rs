//! Properties that hold for every decoder, whatever the line does.
//!
//! 1. Any cut of the same bytes says the same: samples, counts and refusals.
//! 2. Garbage never panics, is counted (frames = with data + ignored + refused) and takes no memory to speak of.
//! 3. After any garbage, at most one good line is lost.
//!
//! Where silence is what ends a frame the stories are in `any_silence.rs`: there the cut is not all, the time counts.

mod common;

use std::collections::BTreeMap;

use common::{nmea, number, stamp, stream, table, text};
use instruments::{
    BracketSpec, ByteOrder, Check, CountedSpec, DecodeSpec, Encoding, FieldSpec, FrameSpec, JoinedSpec, JsonSpec,
    KeyValueSpec, Length, LineEnd, LineSpec, Output, ProtocolSpec, REFUSED_KEPT_MAX, RegexSpec, Sample, Separator,
    StructSpec, Sum, SumCheck, bind,
};
use proptest::prelude::*;

/// One kind of instrument: how it is bound, and a line of it that is good.
struct Case {
    spec: ProtocolSpec,
    fields: Vec<FieldSpec>,
    good: &'static [u8],
}

fn cases() -> Vec<Case> {
    let mut all = line_cases();
    all.extend(framed_cases());
    all.extend(checked_cases());
    all
}

/// Every sum, as hex digits behind a line.
fn checked_cases() -> Vec<Case> {
    let newline = || common::line(LineEnd::Newline, None);
    let case = |sum: Sum, good| {
        let check = Check::Sum(SumCheck { encoding: Encoding::Hex, ..sum.at_end() });
        let decode = table(Separator::Bytes(b",".to_vec()), 2, newline()).decode;
        Case { spec: stream(newline(), check, decode), fields: vec![number("1"), number("2")], good }
    };
    vec![
        case(Sum::Xor8, b"12.5,7.518\n"),
        case(Sum::Sum8, b"12.5,7.58C\n"),
        case(Sum::Sum16, b"12.5,7.5018C\n"),
        case(Sum::Crc16Modbus, b"12.5,7.5B37F\n"),
        case(Sum::Crc16Arc, b"12.5,7.5B83F\n"),
        case(Sum::Crc16Ccitt, b"12.5,7.5D925\n"),
        case(Sum::Crc32, b"12.5,7.5D1AA45DD\n"),
    ]
}

fn line_cases() -> Vec<Case> {
    let crlf = || LineEnd::Bytes(b"\r\n".to_vec());
    let newline = || common::line(LineEnd::Newline, None);
    let key_value = KeyValueSpec {
        sep: b",".to_vec(),
        assign: b"=".to_vec(),
        prefix: Some(b"0R".to_vec()),
        units: BTreeMap::from([("D".to_owned(), "deg".to_owned()), ("C".to_owned(), "Cel".to_owned())]),
        invalid: vec!["#".to_owned()],
    };
    let pattern = r"^S (?P<status>[SD]) +(?P<weight>-?[\d.]+) ?(?P<unit>\w*)$".to_owned();
    let json = JsonSpec { root: "/payload".to_owned() };
    vec![
        Case {
            spec: table(Separator::Bytes(b"\t".to_vec()), 4, common::line(crlf(), Some(b"4831\t"))),
            fields: vec![text("2"), number("3")],
            good: b"4831\t379\t354.255\t94.962\r\n",
        },
        Case {
            spec: table(Separator::Whitespace, 3, newline()),
            fields: vec![number("1"), number("3")],
            good: b"1015.15  90.807  21.753\n",
        },
        Case {
            spec: table(Separator::Bytes(b",".to_vec()), 2, common::line(LineEnd::Bytes(b"\r".to_vec()), None)),
            fields: vec![number("1")],
            good: b"8.69,96.4\r",
        },
        Case {
            spec: stream(newline(), Check::None, DecodeSpec::Regex(RegexSpec { pattern })),
            fields: vec![number("weight"), text("unit")],
            good: b"S S      0.500 kg\r\n",
        },
        Case {
            spec: stream(common::line(crlf(), None), Check::None, DecodeSpec::KeyValue(key_value)),
            fields: vec![number("Dm"), number("Ta")],
            good: b"0R0,Dn=209D,Dm=281D,Ta=19.7C,Id=Hel\r\n",
        },
        Case {
            spec: stream(newline(), Check::None, DecodeSpec::Json(json)),
            fields: vec![number("d2w"), text("id")],
            good: b"{\"payload\":{\"d2w\":1624.09,\"id\":\"a\"}}\n",
        },
        Case {
            spec: nmea(),
            fields: vec![number("DBT.3"), number("XDR.BARO")],
            good: b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n",
        },
    ]
}

/// Framers other than lines, with the checks that belong to them.
fn framed_cases() -> Vec<Case> {
    let newline = || common::line(LineEnd::Newline, None);
    let line = LineSpec { end: LineEnd::Newline, start: None, max: 256 };
    let joined = FrameSpec::Joined(JoinedSpec { line, until: "end$".to_owned(), join: b" ".to_vec() });
    let brackets = FrameSpec::Brackets(BracketSpec { open: 2, close: 3, trailer: 2, max: 64 });
    let hex = SumCheck { encoding: Encoding::Hex, ..Sum::Xor8.at_end() };
    let counted = |magic: &[u8], max: u8| {
        let adjust = max - 3;
        let length = Length::Said { at: 2, width: 1, order: ByteOrder::Big, adjust: adjust.into() };
        FrameSpec::Counted(CountedSpec { magic: magic.to_vec(), length, max: max.into() })
    };
    vec![
        Case {
            spec: stream(joined, Check::None, table(Separator::Whitespace, 3, newline()).decode),
            fields: vec![number("1"), number("2")],
            good: b"1.5\r\n2.5 end\r\n",
        },
        Case {
            spec: stream(brackets, Check::Sum(hex), table(Separator::Bytes(b",".to_vec()), 2, newline()).decode),
            fields: vec![number("1"), text("2")],
            good: b"\x021.5,a\x0367\r\n",
        },
        Case {
            spec: stream(counted(b"RS", 7), Check::Sum(Sum::Xor8.at_end()), DecodeSpec::Struct(StructSpec::default())),
            fields: vec![number("3:u8"), number("4:i16")],
            good: b"RS\x03\x07\x01\x02\x06",
        },
        Case {
            spec: stream(
                counted(b"", 9),
                Check::Sum(Sum::Crc16Modbus.at_end()),
                DecodeSpec::Struct(StructSpec::default()),
            ),
            fields: vec![number("3:u16"), number("5:i16")],
            good: b"\x01\x03\x03\x00\x07\x00\x02\x7f\xf3",
        },
        counted_case(counted(b"", 9), Sum::Crc16Arc, b"\x01\x03\x03\x00\x07\x00\x02\x64\xf3"),
        counted_case(counted(b"", 9), Sum::Crc16Ccitt, b"\x01\x03\x03\x00\x07\x00\x02\x3d\x81"),
        counted_case(counted(b"", 15), Sum::Crc32, b"\x01\x03\x03\x00\x07\x00\x02116eab1d"),
    ]
}

fn counted_case(frame: FrameSpec, sum: Sum, good: &'static [u8]) -> Case {
    let decode = DecodeSpec::Struct(StructSpec::default());
    Case { spec: stream(frame, Check::Sum(sum.at_end()), decode), fields: vec![number("3:u16"), number("5:i16")], good }
}

fn read<'a>(case: &Case, chunks: impl Iterator<Item = &'a [u8]>) -> Output {
    let mut protocol = bind(&case.spec, &case.fields).expect("the case holds");
    let mut out = Output::default();
    for chunk in chunks {
        protocol.receive(chunk, stamp(0), &mut out);
    }
    out
}

fn whole(case: &Case, bytes: &[u8]) -> Output {
    read(case, std::iter::once(bytes))
}

/// Bytes such as a line brings: good lines, lines with a byte changed, torn ones, and garbage rich in what means
/// something to some decoder.
fn talk() -> impl Strategy<Value = Vec<Piece>> {
    let garbage = prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n\t ,=*$!#{}[]\"4831\t0RSDBT.-+eCDnd\x02\x03"[..])],
        0..400,
    );
    let piece = prop_oneof![
        3 => Just(Piece::Good),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Piece::Changed(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Piece::Torn),
        2 => garbage.prop_map(Piece::Garbage),
    ];
    prop::collection::vec(piece, 1..12)
}

#[derive(Debug, Clone)]
enum Piece {
    Good,
    Changed(prop::sample::Index, u8),
    Torn(prop::sample::Index),
    Garbage(Vec<u8>),
}

fn speak(pieces: &[Piece], good: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Good => bytes.extend_from_slice(good),
            Piece::Changed(at, byte) => {
                let mut changed = good.to_vec();
                changed[at.index(good.len())] = *byte;
                bytes.extend_from_slice(&changed);
            }
            Piece::Torn(at) => bytes.extend_from_slice(&good[..at.index(good.len())]),
            Piece::Garbage(garbage) => bytes.extend_from_slice(garbage),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn any_cut_says_the_same(pieces in talk(), sizes in prop::collection::vec(1_usize..40, 1..20)) {
        for case in cases() {
            let bytes = speak(&pieces, case.good);
            let mut rest = &bytes[..];
            let cut = sizes.iter().cycle().map_while(|size| {
                let (chunk, after) = rest.split_at((*size).min(rest.len()));
                rest = after;
                (!chunk.is_empty()).then_some(chunk)
            });
            let (whole, cut) = (whole(&case, &bytes), read(&case, cut));
            prop_assert_eq!(&whole.samples, &cut.samples);
            prop_assert_eq!(whole.counts, cut.counts);
            prop_assert_eq!(&whole.refused, &cut.refused);
        }
    }

    #[test]
    fn garbage_is_counted_and_bounded(pieces in talk()) {
        for case in cases() {
            let out = whole(&case, &speak(&pieces, case.good));
            let counts = out.counts;
            prop_assert!(out.refused.len() <= REFUSED_KEPT_MAX);
            prop_assert!(out.refused.iter().all(|refused| refused.frame.len() <= instruments::RAW_BYTES_MAX));
            let with_data = counts.frames - counts.ignored - counts.refused;
            prop_assert!(u64::try_from(out.samples.len()).unwrap() <= with_data * 2);
            prop_assert!(with_data == 0 || !out.samples.is_empty());
        }
    }

    #[test]
    fn after_any_garbage_at_most_one_line_is_lost(pieces in talk()) {
        for case in cases() {
            let mut bytes = speak(&pieces, case.good);
            bytes.extend_from_slice(case.good);
            let spoiled = values(&whole(&case, &bytes).samples);
            bytes.extend_from_slice(case.good);
            let healed = values(&whole(&case, &bytes).samples);
            prop_assert_eq!(&healed[spoiled.len()..], &values(&whole(&case, case.good).samples)[..]);
        }
    }
}

fn values(samples: &[Sample]) -> Vec<(usize, instruments::SampleValue)> {
    samples.iter().map(|sample| (sample.field, sample.value.clone())).collect()
}

#[test]
fn every_good_line_is_good() {
    for case in cases() {
        let out = whole(&case, case.good);
        assert_eq!((out.counts.frames, out.counts.ignored, out.counts.refused), (1, 0, 0), "{:?}", case.good);
    }
}

#[test]
fn a_sample_has_the_time_of_the_chunk_that_brought_its_first_byte() {
    for case in cases() {
        for cut in 1..case.good.len() {
            let mut protocol = bind(&case.spec, &case.fields).unwrap();
            let mut out = Output::default();
            protocol.receive(&case.good[..cut], stamp(1), &mut out);
            protocol.receive(&case.good[cut..], stamp(2), &mut out);
            protocol.receive(case.good, stamp(3), &mut out);
            let times: Vec<u64> = out.samples.iter().map(|sample| sample.at.mono_ms).collect();
            let half = times.len() / 2;
            assert!(times[..half].iter().all(|time| *time == 1) && times[half..].iter().all(|time| *time == 3));
        }
    }
}

#[test]
fn after_a_resync_no_torn_line_becomes_a_value() {
    for case in cases() {
        for cut in 1..case.good.len() {
            let mut protocol = bind(&case.spec, &case.fields).unwrap();
            let mut out = Output::default();
            protocol.resync();
            protocol.receive(&case.good[cut..], stamp(0), &mut out);
            assert!(out.samples.is_empty(), "{:?}", &case.good[cut..]);
            // Where the cut went through the end of line, that end is not seen and costs the line after it.
            protocol.receive(&case.good.repeat(2), stamp(0), &mut out);
            let good = values(&whole(&case, case.good).samples);
            let said = values(&out.samples);
            assert!(said == good || said == [&good[..], &good[..]].concat(), "{:?}: {said:?}", &case.good[cut..]);
        }
    }
}
