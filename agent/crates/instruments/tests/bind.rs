//! What holds for a bound protocol as a whole, whichever decoder it has.

mod common;

use std::time::Duration;

use common::{line, nmea, number, stamp, stream};
use instruments::{
    Check, CountedSpec, DecodeSpec, DelimitedSpec, FIELDS_MAX, FieldSpec, FrameSpec, GapSpec, IGNORE_MAX, Length,
    LineEnd, Output, Place, ProtocolSpec, RAW_BYTES_MAX, REFUSED_KEPT_MAX, Refusal, SampleValue, Separator, Standing,
    StatusSpec, Step, StructSpec, Sum, TimeSpec, bind,
};

fn comma() -> ProtocolSpec {
    let decode =
        DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Bytes(b",".to_vec()), columns: None, pattern: None });
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

#[test]
fn bytes_without_a_joint_need_a_check() {
    let length = Length::Fixed(4);
    let frame = FrameSpec::Counted(CountedSpec { magic: Vec::new(), length, max: 4 });
    let decode = DecodeSpec::Struct(StructSpec::default());
    let refused = |check: Check| bind(&stream(frame.clone(), check, decode.clone()), &[]).err();
    assert_eq!(refused(Check::None).map(|error| error.place), Some(Place::Key("check")));
    assert_eq!(refused(Check::Sum(Sum::Sum8.at_end())), None);
}

#[test]
fn what_only_silence_ends_is_ended_by_it() {
    let frame = FrameSpec::Gap(GapSpec { after: Duration::from_millis(20), max: 16 });
    let mut protocol = bind(&ProtocolSpec { frame, ..comma() }, &[number("1")]).unwrap();
    let mut out = Output::default();
    protocol.receive(b"1.", stamp(100), &mut out);
    protocol.receive(b"5", stamp(110), &mut out);
    assert_eq!(protocol.next(110), Step::Idle { until_mono_ms: Some(130) });
    protocol.receive(b"", stamp(129), &mut out);
    assert_eq!(out.samples.len(), 0);
    protocol.receive(b"", stamp(130), &mut out);
    assert_eq!((out.samples.len(), out.samples[0].at.mono_ms), (1, 100));
    assert_eq!(protocol.next(130), Step::Idle { until_mono_ms: None });
}

#[test]
fn a_status_gates_and_the_instruments_clock_stands_beside() {
    let time = TimeSpec { fields: vec!["3".to_owned()], format: "%s".to_owned(), ahead_min: 0, max_skew: None };
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (values, suspect, missing) = (list(&["0"]), list(&["1"]), list(&["2"]));
    let status = StatusSpec { field: "2".to_owned(), values, suspect, missing };
    let fields = [number("4"), FieldSpec { good: Some(status), ..number("1") }];
    let mut protocol = bind(&ProtocolSpec { time: Some(time.clone()), ..comma() }, &fields).unwrap();
    let mut out = Output::default();
    protocol.receive(b"1,0,7,9\n1,1,x,9\n0,2,7,9\n1,3,7,9\n", stamp(0), &mut out);
    let gated: Vec<_> = out.samples.iter().filter(|sample| sample.field == 1).collect();
    let one = SampleValue::Number(1.0);
    let said: Vec<_> = gated.iter().map(|sample| (&sample.value, sample.standing)).collect();
    assert_eq!(
        said,
        [
            (&one, Standing::Good),
            (&one, Standing::Suspect),
            (&SampleValue::Missing, Standing::Good),
            (&one, Standing::Bad)
        ]
    );
    let times: Vec<_> = gated.iter().map(|sample| sample.device_time.map(model::Timestamp::as_millis)).collect();
    assert_eq!(times, [Some(7000), None, Some(7000), Some(7000)], "a clock that does not read costs no value");
    assert!(out.samples.iter().all(|sample| sample.field < 2 && sample.at == stamp(0)));
    let wrong = TimeSpec { fields: vec!["x".to_owned()], ..time };
    let error = bind(&ProtocolSpec { time: Some(wrong), ..comma() }, &fields).err();
    assert_eq!(error.map(|error| error.place), Some(Place::Key("time.field")));
}
