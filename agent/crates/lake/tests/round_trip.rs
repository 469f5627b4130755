//! What goes into an object comes out of it, to the bit, and the same batch always makes the same object.

mod common;

use common::{MIDNIGHT, NOON, encode, mixed, number, numbered, reading, series, stamp, try_encode};
use lake::{Batch, Format, LakeError, Row, decode, leading_day, rebuild, verify_object};
use model::{Clock, Event, EventKind, Numbered, Quality, Record, Seq, SeqRange, Value};

fn rows(records: &[Numbered]) -> Vec<Row> {
    records.iter().map(Row::of).collect()
}

fn assert_comes_back(records: &[Numbered]) {
    for format in Format::ALL {
        let object = encode(format, records);
        assert_eq!(decode(format, &object.bytes).expect("ours"), rows(records), "{format}");
        assert_eq!(verify_object(&object.line, &object.bytes), Ok(()), "{format}");
    }
}

#[test]
fn one_of_everything_comes_back_to_the_bit() {
    assert_comes_back(&mixed());
}

#[test]
fn awkward_numbers_come_back_to_the_bit() {
    let awkward =
        [f64::MIN, f64::MAX, f64::MIN_POSITIVE, 0.0, -0.0, 1.0 / 3.0, 1e21, 123_456_789.123_456_78, 2f64.powi(63)];
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        bits = bits.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        f64::from_bits(bits)
    });
    let values = awkward.into_iter().chain(noise.filter(|value| value.is_finite()).take(20_000));
    let records: Vec<_> = (1..).zip(values).map(|(seq, value)| number(seq, NOON, value)).collect();
    assert_comes_back(&records);
}

#[test]
fn columns_without_any_value_come_back_empty() {
    let all_missing: Vec<_> =
        (1..50).map(|seq| reading(seq, NOON, &series("a", "b", "", &[]), Value::Missing, Quality::Missing)).collect();
    assert_comes_back(&all_missing);
    let only_events: Vec<_> = (1..50)
        .map(|seq| numbered(seq, Record::Event(Box::new(Event::new(stamp(NOON, Clock::Synced), EventKind::Boot)))))
        .collect();
    assert_comes_back(&only_events);
    assert_comes_back(&mixed()[..1]);
    assert_comes_back(&[number(i64::MAX.unsigned_abs() - 1, NOON, 1.0)]);
}

#[test]
fn objects_of_many_pages_come_back() {
    let all: Vec<_> = (0..7).map(|n| series(&format!("probe-{n}"), "ph", "[pH]", &[("pond", "4")])).collect();
    let records: Vec<_> = (1..140_000u32)
        .map(|seq| {
            let series = &all[usize::try_from(seq % 7).expect("small")];
            let value = Value::Number(f64::from(seq % 1013) / 100.0);
            reading(seq.into(), NOON + i64::from(seq / 7), series, value, Quality::Pass)
        })
        .collect();
    let object = encode(Format::Parquet, &records);
    assert_eq!(decode(Format::Parquet, &object.bytes).expect("ours"), rows(&records));
}

#[test]
fn the_same_batch_makes_the_same_bytes() {
    // Fresh copies: other addresses, other hash seeds.
    for format in Format::ALL {
        let first = encode(format, &mixed());
        for _ in 0..20 {
            assert_eq!(encode(format, &mixed()), first);
        }
    }
}

#[test]
fn the_order_of_arrival_inside_a_table_costs_nothing() {
    // The same rows under names in another order: were they not sorted by name, one of the two would be far larger.
    let probes = |step: u64| -> Vec<_> {
        (0..2000u64)
            .map(|n| {
                let series = series(&format!("probe-{:02}", n * step % 20), "ph", "[pH]", &[]);
                let time = NOON + i64::try_from(n / 20).expect("small");
                reading(n + 1, time, &series, Value::Number(7.0), Quality::Pass)
            })
            .collect()
    };
    let [in_order, shuffled] = [1, 7].map(|step| encode(Format::Parquet, &probes(step)).bytes.len());
    assert!(in_order.abs_diff(shuffled) < 200, "{in_order} and {shuffled}");
}

#[test]
fn an_event_keeps_its_facts_and_leaves_the_values_alone() {
    for format in Format::ALL {
        let rows = decode(format, &encode(format, &mixed()).bytes).expect("ours");
        let alarm = rows.iter().find(|row| row.event == Some(EventKind::Alarm)).expect("one alarm");
        let facts = r#"{"limit":4.0,"unit":"x","value":0.30000000000000004}"#;
        assert_eq!(alarm.value_text.as_deref(), Some(facts), "{format}");
        assert_eq!((alarm.value, alarm.unit.as_deref(), alarm.quality), (None, None, None));
    }
}

#[test]
fn the_line_says_what_is_in_the_object() {
    let line = encode(Format::Parquet, &mixed()).line;
    assert_eq!(
        line.unsealed().to_text().expect("plain data"),
        concat!(
            r#"{"v":1,"key":"farm/readings/v1/site=lac-vert/device=gw-1/dt=2026-11-22/7f3k9abc-000000000100-000000000109.parquet","#,
            r#""format":"parquet","rows":9,"epoch":"7f3k9abc","first":100,"next":109,"#,
            r#""time_min":"2026-11-22T12:00:00.000Z","time_max":"2026-11-22T12:00:00.005Z","#,
            r#""instruments":[{"instrument":"do-4","quantity":"dissolved_oxygen","unit":"mg/L","count":3,"min":-0.0,"max":0.30000000000000004,"mean":0.1},"#,
            r#"{"instrument":"rfid-1","quantity":"pit_tag","count":2,"min":null,"max":null,"mean":null}],"#,
            r#""quality":{"pass":2,"not-evaluated":1,"suspect":1,"fail":1,"missing":1},"#,
            r#""gaps":[{"seq":101,"reason":"quota","count":10,"lost_first":90,"lost_next":100,"#,
            r#""lost_from":"2026-11-22T11:59:59.991Z","lost_to":"2026-11-22T11:59:59.999Z"}],"#,
            r#""clock":{"synced":7,"corrected":1,"untrusted":1},"agent":"0.1.0","config_revision":"r7","tags":{"farm":"north"}}"#
        )
    );
}

#[test]
fn a_line_is_made_again_from_the_object_alone() {
    for format in Format::ALL {
        let object = encode(format, &mixed());
        let key = lake::ObjectKey::parse(&object.key).expect("ours");
        let again = rebuild(&key, &object.bytes).expect("ours");
        assert_eq!(again.rows, object.line.rows);
        if format == Format::Parquet {
            assert_eq!(again, object.line);
        }
    }
}

#[test]
fn altered_lines_are_refused_by_the_frame_at_every_byte() {
    // Parquet has no such test: its library panics on some damage, so `verify_object` compares digests first.
    let object = encode(Format::Ndjson, &mixed());
    for at in 0..object.bytes.len() {
        let mut altered = object.bytes.clone();
        altered[at] ^= 0x10;
        let is_found = decode(Format::Ndjson, &altered).map_or(true, |found| found == rows(&mixed()));
        assert!(is_found, "altered at {at}");
    }
}

#[test]
fn an_object_ends_at_midnight_whichever_way_the_clock_goes() {
    let day = |times: &[i64]| {
        let records: Vec<_> = (1..).zip(times).map(|(seq, time)| number(seq, *time, 1.0)).collect();
        leading_day(&records)
    };
    assert_eq!(day(&[]), 0);
    assert_eq!(day(&[NOON, NOON - 1, NOON + 1]), 3);
    assert_eq!(day(&[MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1]), 1);
    assert_eq!(day(&[MIDNIGHT, MIDNIGHT - 1, MIDNIGHT]), 1);
    assert_eq!(day(&[MIDNIGHT - 2, MIDNIGHT - 1, MIDNIGHT - 3, MIDNIGHT]), 3);
    assert_eq!(day(&[-1, 0]), 1);
}

#[test]
fn a_batch_that_breaks_its_promises_is_refused() {
    let batch = |first, next, records: &[Numbered]| {
        let range = SeqRange::new(Seq(first), Seq(next));
        lake::encode(Format::Ndjson, &common::origin(), Batch { range, records }, &common::about())
    };
    let (one, two) = (number(1, MIDNIGHT - 1, 1.0), number(2, MIDNIGHT, 1.0));
    assert!(matches!(batch(1, 2, &[]), Err(LakeError::Empty)));
    assert!(matches!(batch(1, 3, &[two.clone(), one.clone()]), Err(LakeError::OutOfOrder { .. })));
    assert!(matches!(batch(1, 3, &[one.clone(), one.clone()]), Err(LakeError::OutOfOrder { .. })));
    assert!(matches!(batch(2, 3, std::slice::from_ref(&one)), Err(LakeError::OutsideRange { .. })));
    assert!(matches!(batch(1, 3, &[one, two]), Err(LakeError::OtherDay { .. })));
    assert!(matches!(try_encode(Format::Ndjson, &[number(u64::MAX - 1, NOON, 1.0)]), Err(LakeError::SeqTooLarge(_))));
}
