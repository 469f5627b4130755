//! Records to write: a day's mix of readings, texts, missing values, events and a gap.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::sync::Arc;

use lake::{About, Batch, Format, LakeError, Object, Origin, Prefix};
use model::{
    BootId, Clock, DeviceId, Epoch, Event, EventKind, Gap, GapReason, InstrumentId, Numbered, Quality, QuantityId,
    Reading, Record, Seq, SeqRange, Series, SiteId, Stamp, Timestamp, Value,
};

pub const NOON: i64 = 1_795_348_800_000; // 2026-11-22T12:00:00Z
pub const MIDNIGHT: i64 = NOON + 12 * 3_600_000;

pub fn origin() -> Origin {
    Origin {
        prefix: Prefix::try_new("farm/").expect("a prefix"),
        site: SiteId::try_new("lac-vert").expect("a name"),
        device: DeviceId::try_new("gw-1").expect("a name"),
        epoch: Epoch::parse("7f3k9abc").expect("an epoch"),
    }
}

pub fn about() -> About {
    About {
        agent: "0.1.0".to_owned(),
        config_revision: Some("r7".to_owned()),
        tags: [("farm".to_owned(), "north".to_owned())].into(),
    }
}

pub fn series(instrument: &str, quantity: &str, unit: &str, tags: &[(&str, &str)]) -> Arc<Series> {
    Arc::new(Series {
        instrument: InstrumentId::try_new(instrument).expect("a name"),
        quantity: QuantityId::try_new(quantity).expect("a name"),
        unit: unit.to_owned(),
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    })
}

pub fn stamp(millis: i64, clock: Clock) -> Stamp {
    Stamp { time: Timestamp::from_millis(millis), mono_ms: 0, clock }
}

pub fn numbered(seq: u64, record: Record) -> Numbered {
    Numbered { seq: Seq(seq), boot: BootId(1), record }
}

pub fn reading(seq: u64, millis: i64, series: &Arc<Series>, value: Value, quality: Quality) -> Numbered {
    let reading = Reading { stamp: stamp(millis, Clock::Synced), series: Arc::clone(series), value, quality };
    numbered(seq, Record::Reading(reading))
}

pub fn number(seq: u64, millis: i64, value: f64) -> Numbered {
    let series = series("do-4", "dissolved_oxygen", "mg/L", &[("pond", "4")]);
    reading(seq, millis, &series, Value::Number(value), Quality::Pass)
}

/// One of everything, from position 100 on.
pub fn mixed() -> Vec<Numbered> {
    let oxygen = series("do-4", "dissolved_oxygen", "mg/L", &[("pond", "4"), ("note", "\"é\\\n")]);
    let tag = series("rfid-1", "pit_tag", "", &[]);
    let gap = Gap {
        range: Some(SeqRange::new(Seq(90), Seq(100))),
        count: 10,
        times: Some((Timestamp::from_millis(NOON - 9), Timestamp::from_millis(NOON - 1))),
        reason: GapReason::Quota,
    };
    let alarm = Event {
        quantity: Some(oxygen.quantity.clone()),
        ..Event::new(stamp(NOON + 3, Clock::Synced), EventKind::Alarm)
    }
    .of(&oxygen.instrument);
    let alarm =
        alarm.with("value", model::Fact::Number(0.1 + 0.2)).with("unit", "x").with("limit", model::Fact::Number(4.0));
    let mut untrusted = Event::new(stamp(NOON, Clock::Untrusted), EventKind::Boot);
    untrusted.facts.clear();
    vec![
        numbered(100, Record::Event(Box::new(untrusted))),
        numbered(101, Record::Event(Box::new(gap.into_event(stamp(NOON, Clock::Corrected))))),
        reading(102, NOON + 2, &oxygen, Value::Number(0.1 + 0.2), Quality::Pass),
        reading(103, NOON + 2, &tag, Value::Text("000123".into()), Quality::NotEvaluated),
        numbered(104, Record::Event(Box::new(alarm))),
        reading(105, NOON + 1, &oxygen, Value::Number(-0.0), Quality::Suspect),
        reading(106, NOON + 4, &oxygen, Value::Missing, Quality::Missing),
        reading(107, NOON + 4, &oxygen, Value::Number(5e-324), Quality::Fail),
        reading(108, NOON + 5, &tag, Value::Text("".into()), Quality::Pass),
    ]
}

pub fn range_of(records: &[Numbered]) -> SeqRange {
    SeqRange::new(records[0].seq, records[records.len() - 1].seq.plus(1))
}

pub fn try_encode(format: Format, records: &[Numbered]) -> Result<Object, LakeError> {
    lake::encode(format, &origin(), Batch { range: range_of(records), records }, &about())
}

pub fn encode(format: Format, records: &[Numbered]) -> Object {
    try_encode(format, records).expect("a good batch")
}
