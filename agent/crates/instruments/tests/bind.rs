//! What holds for a bound protocol as a whole, whichever decoder it has.

mod common;

use common::{line, nmea, number, stamp, stream};
use instruments::{
    Check, DecodeSpec, DelimitedSpec, FIELDS_MAX, IGNORE_MAX, LineEnd, Output, Place, ProtocolSpec, RAW_BYTES_MAX,
    REFUSED_KEPT_MAX, Refusal, SampleValue, Separator, Step, bind,
};

fn comma() -> ProtocolSpec {
    let decode = DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Bytes(b",".to_vec()), columns: None });
    stream(line(LineEnd::Newline, None), Check::None, decode)
}

#[test]
fn what_is_ignored_is_neither_data_nor_error() {
    let ignore = vec!["^S>".to_owned(), "(?i)low battery".to_owned(), r"^\xff".to_owned()];
    let mut protocol = bind(&ProtocolSpec { ignore, ..comma() }, &[number("1")]).unwrap();
    let mut out = Output::default();
    protocol.receive(b"S>\n!!! Low Battery !!!\n\xff\xfe\n1.5\nx\n", stamp(0), &mut out);
    assert_eq!((out.counts.frames, out.counts.ignored, out.counts.refused), (5, 3, 1));
    assert_eq!(out.samples.len(), 1);
    assert_eq!(out.samples[0].value, SampleValue::Number(1.5));
}

#[test]
fn one_garbled_value_refuses_its_whole_frame() {
    let mut protocol = bind(&comma(), &[number("1"), number("2")]).unwrap();
    let mut out = Output::default();
    protocol.receive(b"1,2\n1,25.08C\n3,4\n", stamp(7), &mut out);
    assert_eq!(out.samples.iter().map(|sample| sample.field).collect::<Vec<_>>(), [0, 1, 0, 1]);
    let [refused] = &out.refused[..] else { panic!("{:?}", out.refused) };
    assert_eq!(refused.why, Refusal::NotANumber { field: "2".to_owned(), text: "25.08C".to_owned() });
    assert_eq!((&refused.frame[..], refused.len, refused.at.mono_ms), (&b"1,25.08C"[..], 8, 7));
}

#[test]
fn evidence_is_bounded_and_counting_goes_on() {
    let mut protocol = bind(&nmea(), &[number("DBT.3")]).unwrap();
    let mut out = Output::default();
    protocol.receive(&[&[b'x'; 255][..], b"\n"].concat().repeat(1000), stamp(0), &mut out);
    protocol.receive(&b"y".repeat(100_000), stamp(0), &mut out);
    assert_eq!((out.counts.frames, out.counts.refused), (1001, 1001));
    assert_eq!(out.refused.len(), REFUSED_KEPT_MAX);
    assert!(out.refused.iter().all(|refused| refused.frame.len() <= RAW_BYTES_MAX));
    out.clear();
    protocol.receive(b"\n$SDDBT,7.7,f,2.3,M,1.3,F*05\n", stamp(0), &mut out);
    assert_eq!((out.samples.len(), out.refused.len(), out.counts.frames), (1, 0, 1));
}

#[test]
fn a_stream_only_listens() {
    assert_eq!(bind(&comma(), &[]).unwrap().next(0), Step::Idle { until_mono_ms: None });
}

#[test]
fn what_can_not_be_is_told_with_its_place() {
    let refuse = |ignore: Vec<String>, fields: usize| {
        let fields = vec![number("1"); fields];
        bind(&ProtocolSpec { ignore, ..comma() }, &fields).err().map(|error| error.place)
    };
    assert_eq!(refuse(vec!["^S>".to_owned(), "(".to_owned()], 1), Some(Place::Ignore(1)));
    assert_eq!(refuse(vec!["x".to_owned(); IGNORE_MAX + 1], 1), Some(Place::Key("ignore")));
    assert_eq!(refuse(Vec::new(), FIELDS_MAX + 1), Some(Place::Field(FIELDS_MAX)));
    assert_eq!(refuse(Vec::new(), FIELDS_MAX), None);
}
