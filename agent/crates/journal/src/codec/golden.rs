//! The bytes on disk, pinned: what an older release wrote must read for ever, and what this one writes may not change
//! without a version. The fixtures are hex, in `tests/fixtures`; `JOURNAL_GOLDEN=write` makes missing ones anew.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use model::{
    BootId, Clock, Event, EventKind, Gap, GapReason, InstrumentId, Quality, QuantityId, Reading, Record, Seq, SeqRange,
    Series, Stamp, Timestamp, Value,
};
use proptest::prelude::*;

use super::encoder::{Encoder, Pending};
use super::{VALUE_BYTES_MAX, mirror, open_block, open_value};
use crate::cursor::{Cursor, NamedBatch};
use crate::series::Numbering;
use crate::sheet;

const FIRST: Seq = Seq(1041);

fn series(quantity: &str) -> Arc<Series> {
    Arc::new(Series {
        instrument: InstrumentId::try_new("do-4").expect("a name"),
        quantity: QuantityId::try_new(quantity).expect("a name"),
        unit: "mg/L".to_owned(),
        tags: BTreeMap::from([("pond".to_owned(), "4".to_owned())]),
    })
}

fn stamp(ms: i64) -> Stamp {
    let time = Timestamp::from_millis(1_763_805_600_123 + ms);
    Stamp { time, mono_ms: 90_000u64.saturating_add_signed(ms), clock: Clock::Synced }
}

fn readings(values: &[(i64, usize, Value, Quality)], series: &[Arc<Series>]) -> Vec<Record> {
    let reading = |(ms, at, value, quality): &(i64, usize, Value, Quality)| {
        let (series, value) = (Arc::clone(&series[*at]), value.clone());
        Record::Reading(Reading { stamp: stamp(*ms), series, value, quality: *quality })
    };
    values.iter().map(reading).collect()
}

/// A value of each kind, lines of two and a stray one.
fn mixed_readings() -> Vec<Record> {
    let series = [series("dissolved_oxygen"), series("status")];
    let values = [
        (0, 0, Value::Number(7.82), Quality::Pass),
        (0, 1, Value::Text(Arc::from("OK")), Quality::NotEvaluated),
        (1000, 0, Value::Number(7.9), Quality::Suspect),
        (1000, 1, Value::Text(Arc::from("OK")), Quality::NotEvaluated),
        (2001, 0, Value::Missing, Quality::Missing),
    ];
    readings(&values, &series)
}

fn events() -> Vec<Record> {
    let alarm = Event::new(stamp(0), EventKind::Alarm).of(&InstrumentId::try_new("do-4").expect("a name"));
    let gap = Gap { range: Some(range(3, 9)), count: 6, times: None, reason: GapReason::Quota };
    vec![
        Record::Event(Box::new(alarm.with("value", "3.9").with("n", 7u64))),
        Record::Event(Box::new(gap.into_event(stamp(1)))),
    ]
}

fn range(first: u64, next: u64) -> SeqRange {
    SeqRange::new(Seq(first), Seq(next))
}

/// What a commit stores: keys and values.
type Values = Vec<(SeqRange, Vec<u8>)>;

fn encode(records: &[Record]) -> (Values, Vec<Arc<Series>>) {
    let pending: Vec<_> =
        records.iter().map(|record| Pending { boot: BootId(0xb007), record: record.clone() }).collect();
    let (mut values, mut known, mut numbering) = (Vec::new(), Vec::new(), Numbering::default());
    let number = |series: &Arc<Series>| {
        let found = numbering.find(series);
        Ok::<_, Infallible>(found.or_else(|| {
            known.push(Arc::clone(series));
            numbering.add(Arc::clone(series))
        }))
    };
    let Ok(()) = Encoder::default().encode(FIRST, &pending, number, |range, value| {
        values.push((range, value.to_vec()));
        Ok(())
    });
    (values, known)
}

fn decode(values: &[(SeqRange, Vec<u8>)], known: &[Arc<Series>]) -> Vec<Record> {
    let mut records = Vec::new();
    for (range, value) in values {
        assert!(value.len() <= VALUE_BYTES_MAX);
        let (header, block) = open_value(range.first, value).expect("verifies");
        assert_eq!((header.range, header.boot), (*range, BootId(0xb007)));
        records.extend(open_block(&header, block, known).expect("decodes"));
    }
    records
}

/// Compares with the fixture, byte for byte, and gives the fixture's bytes.
fn assert_golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.hex"));
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes it");
        hex
    });
    if std::env::var_os("JOURNAL_GOLDEN").is_some() && !path.is_file() {
        std::fs::write(&path, format!("{hex}\n")).expect("writes");
    }
    let fixture = std::fs::read_to_string(&path).expect("a fixture");
    assert_eq!(fixture.trim(), hex, "the bytes of {name} changed: that takes a new version");
    let pairs = fixture.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ascii"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

#[test]
fn the_bytes_of_values_are_those_of_the_fixtures() {
    for (name, records) in [("value-columns-v1", mixed_readings()), ("value-rows-v1", events())] {
        let (values, known) = encode(&records);
        assert_eq!(values.len(), 1);
        let bytes = assert_golden(name, &values[0].1);
        assert_eq!(decode(&[(values[0].0, bytes)], &known), records);
    }
}

#[test]
fn the_bytes_of_series_cursors_and_gaps_are_those_of_the_fixtures() {
    let mut bytes = Vec::new();
    mirror::put_series(&mut bytes, &series("dissolved_oxygen"));
    let bytes = assert_golden("series-v1", &bytes);
    assert_eq!(mirror::get_series(&bytes).as_ref(), Ok(series("dissolved_oxygen").as_ref()));

    let mut cursor = Cursor::starting_at(Seq(300));
    cursor.confirm(range(1000, 70_000));
    cursor.begin(NamedBatch { range: range(300, 1000), key: "readings/300.parquet".to_owned(), sealed: true });
    let mut body = Vec::new();
    mirror::put_cursor(&mut body, &cursor);
    let bytes = assert_golden("cursor-v1", &sheet::frame(*b"TGCU", 7, &body));
    let (counter, body) = sheet::open(*b"TGCU", &bytes).expect("opens");
    assert_eq!((counter, mirror::get_cursor(body)), (7, Ok(cursor)));

    let times = Some((stamp(0).time, stamp(5).time));
    let gaps = vec![Gap { range: Some(range(3, 9)), count: 6, times, reason: GapReason::Corrupt }];
    let mut body = Vec::new();
    mirror::put_gaps(&mut body, &gaps);
    let bytes = assert_golden("gaps-v1", &sheet::frame(*b"TGGA", 0, &body));
    assert_eq!(mirror::get_gaps(sheet::open(*b"TGGA", &bytes).expect("opens").1), Ok(gaps));
}

#[test]
fn every_single_flipped_bit_in_a_value_is_found() {
    for records in [mixed_readings(), events()] {
        let (values, known) = encode(&records);
        let (range, value) = &values[0];
        assert!(open_value(range.next, value).is_err(), "under another key it is damaged too");
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open_value(range.first, &flipped).is_err(), "bit {bit}");
        }
        // Past the checksum, as a bug or a lucky flip might get: any answer but a panic.
        let (header, block) = open_value(range.first, value).expect("verifies");
        for bit in 0..block.len() * 8 {
            let mut flipped = block.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            drop(open_block(&header, &flipped, &known));
        }
        assert!(open_block(&header, block, &known[..known.len().saturating_sub(1)]).is_err() || known.is_empty());
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (-100_000i32..100_000).prop_map(|n| Value::Number(f64::from(n) / 100.0)),
        2 => any::<u64>().prop_map(|bits| Value::Number(f64::from_bits(bits))),
        1 => "[A-Z]{0,3}|.{0,40}".prop_map(|text| Value::Text(Arc::from(text))),
        1 => Just(Value::Missing),
    ]
}

fn bits_of(record: &Record) -> (Stamp, Option<Arc<Series>>, Option<Quality>, String) {
    match record {
        Record::Reading(reading) => {
            let value = match &reading.value {
                Value::Number(number) => format!("{:016x}", number.to_bits()),
                other => format!("{other:?}"),
            };
            (reading.stamp, Some(Arc::clone(&reading.series)), Some(reading.quality), value)
        }
        Record::Event(event) => (event.stamp, None, None, format!("{event:?}")),
    }
}

proptest! {
    /// Any readings with any events between them, to the bit: NaN payloads, minus zero, clocks that jump.
    #[test]
    fn any_records_read_back_to_the_bit(
        drawn in prop::collection::vec(
            ((-5i64..5_000, any::<bool>()), 0usize..6, any_value(), 0usize..5, 0u8..40),
            1..300,
        ),
        mono in any::<u64>(),
    ) {
        let all: Vec<_> = ["a", "b", "c", "d", "e", "f"].into_iter().map(series).collect();
        let mut ms = 0;
        let mut records = Vec::new();
        for ((step, is_new_line), at, value, quality, event) in drawn {
            if is_new_line {
                ms += step;
            }
            records.extend(readings(&[(ms, at, value, Quality::ALL[quality])], &all));
            if let Some(Record::Reading(reading)) = records.last_mut()
                && quality == 3
            {
                reading.stamp.mono_ms = mono;
                reading.stamp.clock = Clock::Untrusted;
            }
            if event == 0 {
                records.extend(events());
            }
        }
        let (values, known) = encode(&records);
        let read = decode(&values, &known);
        prop_assert_eq!(read.iter().map(bits_of).collect::<Vec<_>>(), records.iter().map(bits_of).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_blocks_never_panic(block in prop::collection::vec(any::<u8>(), 0..300), codec in 0u8..4, count in 1u64..500) {
        let times = (stamp(0).time, stamp(1).time);
        let header = super::Header { codec, range: range(1, 1 + count), boot: BootId(1), times };
        drop(open_block(&header, &block, &[series("a"), series("b")]));
    }
}
