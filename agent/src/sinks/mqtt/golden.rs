//! The payloads of every format, pinned: `cloud/golden` has what this makes of one odd batch, and the decoder there is
//! held against it. `CLOUD_GOLDEN=write` makes the files anew; a change of bytes is a new version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{
    BootId, Clock, DeviceId, Epoch, Event, EventKind, InstrumentId, Numbered, Quality, QuantityId, Reading, Record,
    Seq, SeqRange, Series, SiteId, Stamp, Timestamp, Value,
};

use super::encoding::Encoding;
use super::heading::Heading;
use super::{columnar, envelope, json_columns, senml};
use crate::config::{DeviceConfig, MqttCompress, MqttFormat};

const FORMATS: [(&str, MqttFormat); 4] = [
    ("json", MqttFormat::Json),
    ("json-columns", MqttFormat::JsonColumns),
    ("senml", MqttFormat::Senml),
    ("columnar", MqttFormat::Columnar),
];
const SEED: u64 = 20_260_101;
const FIRST: u64 = 1041;

fn device() -> DeviceConfig {
    DeviceConfig {
        id: DeviceId::try_new("gw-1").expect("a name"),
        site: SiteId::try_new("farm").expect("a name"),
        tags: [("house".to_owned(), "é".to_owned())].into(),
        health_every: std::time::Duration::ZERO,
        signing_key: None,
    }
}

fn series(instrument: &str, quantity: &str, unit: &str, tags: &[(&str, &str)]) -> Arc<Series> {
    Arc::new(Series {
        instrument: InstrumentId::try_new(instrument).expect("a name"),
        quantity: QuantityId::try_new(quantity).expect("a name"),
        unit: unit.to_owned(),
        tags: tags.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect::<BTreeMap<_, _>>(),
    })
}

/// Eleven series; the last is from before the configuration was changed.
fn all_series() -> Vec<Arc<Series>> {
    let pond = [("pond", "4"), ("depth_m", "1.5")];
    vec![
        series("do-4", "dissolved_oxygen", "mg/L", &pond),
        series("do-4", "water_temperature", "Cel", &pond),
        series("ph-1", "ph", "[pH]", &[]),
        series("ph-1", "status", "", &[]),
        series("ctd", "conductivity", "mS/cm", &pond),
        series("ctd", "pressure", "dbar", &pond),
        series("ctd", "constant", "1", &pond),
        series("ctd", "count", "{count}", &pond),
        series("ctd", "clock", "s", &pond),
        series("rfid", "tag", "", &[]),
        series("do-4", "dissolved_oxygen", "%", &pond),
    ]
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

fn value(series: usize, line: u32, dice: &mut Dice) -> Value {
    match series {
        // Noise, drift, a scale that never moves, a count, a clock that runs evenly, a jump now and then.
        0 | 10 => Value::Number(f64::from(780 + dice.below(11)) / 100.0),
        1 => Value::Number(f64::from(2153 + line / 7) / 100.0),
        2 if dice.below(40) == 0 => Value::Number(-0.0),
        2 if dice.below(20) == 0 => Value::Missing,
        2 => Value::Number(f64::from(7 + dice.below(2))),
        3 => Value::Text(Arc::from(["ok", "wärming", "0001"][usize::try_from(line / 50 % 3).expect("small")])),
        4 => Value::Number(f64::from(f32::from(u16::try_from(41_000 + dice.below(900)).expect("small")) / 7.0)),
        5 if dice.below(30) == 0 => Value::Number(1.0e300 / 3.0),
        5 => Value::Number(f64::from(dice.below(1000)) / 1000.0),
        6 => Value::Number(1.0),
        7 => Value::Number(f64::from(line) * 1e9 + f64::from(line * line)),
        8 => Value::Number(f64::from(line) * 10.0),
        _ => Value::Text(Arc::from(format!("{:016}", 982_000_000 + dice.below(5)))),
    }
}

/// Lines of four instruments in an order that changes, with events, holes, three clocks and every quality.
fn records() -> Vec<Numbered> {
    let (series, mut dice, mut seq) = (all_series(), Dice(SEED), FIRST);
    let mut records = Vec::new();
    let mut push = |seq: &mut u64, record| {
        records.push(Numbered { seq: Seq(*seq), boot: BootId(7), record });
        *seq += 1;
    };
    for line in 0..90_u32 {
        // A board without a battery begins in 1970.
        let (start, clock) = match line {
            0..4 => (5_000, Clock::Untrusted),
            4..20 => (1_790_000_000_000, Clock::Corrected),
            _ => (1_790_000_000_123, Clock::Synced),
        };
        let stamp = |ms: u32| Stamp {
            time: Timestamp::from_millis(start + i64::from(line) * 1000 + i64::from(ms)),
            mono_ms: u64::from(line),
            clock,
        };
        if line % 60 == 0 {
            let event = Event::new(stamp(0), EventKind::Alarm).of(&series[0].instrument);
            let mut event = event.with("below", "4").with("count", 3_u64).with("boot_id", "\"x\\ü");
            event.facts.insert("value".to_owned(), model::Fact::Number(4.0));
            event.quantity = (line == 0).then(|| series[0].quantity.clone());
            push(&mut seq, Record::Event(Box::new(event)));
            push(&mut seq, Record::Event(Box::new(Event::new(stamp(0), EventKind::Boot))));
        }
        let old = if line < 2 { 10 } else { 0 };
        let mut lines = [(dice.below(8), vec![old, 1]), (20, vec![2, 3]), (40, vec![4, 5, 6, 7, 8])];
        if dice.below(9) == 0 {
            lines.swap(0, 1);
        }
        let rfid = (dice.below(5) == 0).then(|| (60, vec![9]));
        for (ms, quantities) in lines.into_iter().chain(rfid) {
            for at in quantities {
                let value = value(at, line, &mut dice);
                let quality = match (&value, at) {
                    (Value::Missing, _) => Quality::Missing,
                    (_, 0) if dice.below(7) == 0 => Quality::Suspect,
                    (_, 1) if line > 80 => Quality::Fail,
                    (_, 9) => Quality::NotEvaluated,
                    _ => Quality::Pass,
                };
                push(
                    &mut seq,
                    Record::Reading(Reading { stamp: stamp(ms), series: series[at].clone(), value, quality }),
                );
            }
        }
        // What was lost leaves a hole.
        seq += if line == 77 { 500 } else { 0 };
    }
    records
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud/golden").join(name)
}

fn assert_golden(name: &str, bytes: &[u8]) {
    if std::env::var_os("CLOUD_GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(golden(name), bytes).expect("write beside the others");
    }
    let pinned = std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(pinned == bytes, "{name} is not what it was: a change of bytes is a new version");
}

#[test]
fn every_format_is_what_the_decoder_was_tested_with() {
    println!("seed {SEED}");
    // `json` itself is only there compressed: it is large, and says the same.
    let (device, epoch, records) = (device(), Epoch::parse("7f3k2m4n").expect("an epoch"), records());
    let range = SeqRange::new(Seq(FIRST - 1), Seq(records.last().expect("many").seq.0 + 3));
    let heading = Heading::new(&device, &epoch, &all_series()[..10], |_| true).expect("plain data");
    assert_golden(&format!("heading-{}", hex::encode(heading.id)), &heading.json);
    for (name, format) in FORMATS {
        let payload = match format {
            MqttFormat::Json => envelope::encode(&device, &epoch, range, &records),
            MqttFormat::JsonColumns => json_columns::encode(&device, &epoch, range, &records),
            MqttFormat::Senml => senml::encode(&device, &epoch, range, &records),
            MqttFormat::Columnar => columnar::encode(&heading, range, &records),
        };
        let payload = payload.expect("plain data");
        if format != MqttFormat::Json {
            assert_golden(&format!("message-{name}"), &payload);
        }
        // What zstd makes of it is the library's business: a frame of the same content.
        let frame = Encoding { format, compress: MqttCompress::Zstd }.wrap(payload.clone()).expect("memory");
        let pinned = std::fs::read(golden(&format!("message-{name}.zst"))).unwrap_or_default();
        let content = |frame: &[u8]| zstd::bulk::decompress(frame, 1 << 20).ok();
        if content(&pinned).as_ref() != Some(&payload) {
            assert_golden(&format!("message-{name}.zst"), &frame);
        }
        assert_eq!(content(&frame), Some(payload), "{name}");
    }
}

#[test]
fn a_heading_that_does_not_fit_names_fewer_series_and_the_messages_bring_the_rest() {
    let (device, epoch, records) = (device(), Epoch::parse("7f3k2m4n").expect("an epoch"), records());
    let heading = Heading::new(&device, &epoch, &all_series(), |json| json.len() < 800).expect("plain data");
    assert!((1..11).contains(&heading.len()), "{} series fit", heading.len());
    let range = SeqRange::new(Seq(FIRST), Seq(FIRST + 10_000));
    let message = columnar::encode(&heading, range, &records).expect("plain data");
    let words = String::from_utf8_lossy(&message).into_owned();
    assert!(words.contains(r#"{"series":[{"instrument":"#), "the others are told in the message");
}
