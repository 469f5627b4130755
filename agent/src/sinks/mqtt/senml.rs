//! `senml`: an RFC 8428 pack in JSON. `docs/MQTT.md` has the mapping.
//!
//! One base record a series (`bn`, `bu`), the batch's base time once. What `SenML` has no place for stands in fields of our
//! own, which a reader that does not know them ignores (section 4.4: only those that end in `_` must be understood):
//! none begins with `b`, which would make it a base field, and all are texts or numbers.

use std::collections::BTreeMap;

use model::{Clock, Epoch, Event, Fact, Numbered, Quality, Reading, Record, Seq, SeqRange, Timestamp, Value};
use serde::Serialize;

use super::by_series::by_series;
use super::units::senml_unit;
use crate::config::DeviceConfig;

/// Section 4.5.3: a time below 2^28 seconds is one relative to now. A clock that still stands in 1970 says such times.
const ABSOLUTE_FROM_MS: i64 = (1 << 28) * 1000;
/// What stands for a value that is not there: a record must have one (section 4.2), and no number would be true.
const MISSING: &str = "missing";

#[derive(Serialize, Default)]
struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bu: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    /// The time by a clock that `SenML` would misread.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Clock>,
    #[serde(flatten)]
    pack: Option<Pack<'a>>,
    #[serde(flatten)]
    facts: BTreeMap<String, &'a Fact>,
}

/// What the first record says of all.
#[derive(Serialize)]
struct Pack<'a> {
    site: &'a str,
    epoch: &'a Epoch,
    first: u64,
    next: u64,
}

/// Encodes the records (never none) of `range`.
pub fn encode(
    device: &DeviceConfig,
    epoch: &Epoch,
    range: SeqRange,
    records: &[Numbered],
) -> serde_json::Result<Vec<u8>> {
    let mut times = Times::default();
    let mut pack = Vec::with_capacity(records.len());
    let device_name = start_of_name(device.id.as_str());
    // What has no unit comes first: a base unit could not be taken back.
    for numbered in records {
        if let Record::Event(event) = &numbered.record {
            pack.push(event_fields(&device_name, numbered.seq, event, &mut times));
        }
    }
    let mut all = by_series(records);
    all.sort_by_key(|of| !of.series.unit.is_empty());
    let mut unit_before = "";
    for of in &all {
        let begin = pack.len();
        pack.extend(of.readings.iter().map(|(seq, reading)| reading_fields(*seq, reading, &mut times)));
        let unit = senml_unit(&of.series.unit);
        pack[begin].bn = Some(format!("{device_name}/{}/{}", of.series.instrument, of.series.quantity));
        pack[begin].bu = (unit != unit_before).then_some(unit);
        unit_before = unit;
    }
    if let Some(first) = pack.first_mut() {
        first.pack = Some(Pack { site: device.site.as_str(), epoch, first: range.first.0, next: range.next.0 });
    }
    serde_json::to_vec(&pack)
}

/// Section 4.5.1: a name starts with a letter or a digit; ours may start with `-` or `_`, and have nothing else that a
/// name may not have.
fn start_of_name(device: &str) -> String {
    if device.starts_with(['-', '_']) { format!("d:{device}") } else { device.to_owned() }
}

fn reading_fields<'a>(seq: Seq, reading: &'a Reading, times: &mut Times) -> Fields<'a> {
    let mut fields = stamped(seq, reading.stamp.time, reading.stamp.clock, times);
    match &reading.value {
        Value::Number(number) => fields.v = Some(*number),
        Value::Text(text) => fields.vs = Some(text),
        Value::Missing => fields.vs = Some(MISSING),
    }
    fields.quality = Some(reading.quality).filter(|quality| *quality != Quality::Pass);
    fields
}

fn event_fields<'a>(device: &str, seq: Seq, event: &'a Event, times: &mut Times) -> Fields<'a> {
    let mut fields = stamped(seq, event.stamp.time, event.stamp.clock, times);
    let of = [
        event.instrument.as_ref().map(model::InstrumentId::as_str),
        event.quantity.as_ref().map(model::QuantityId::as_str),
    ];
    let name: Vec<&str> = [device].into_iter().chain(of.into_iter().flatten()).chain(["event"]).collect();
    fields.bn = Some(name.join("/"));
    fields.vs = Some(event.kind.as_str());
    fields.facts = event.facts.iter().map(|(name, fact)| (format!("fact:{name}"), fact)).collect();
    fields
}

fn stamped<'a>(seq: Seq, time: Timestamp, clock: Clock, times: &mut Times) -> Fields<'a> {
    let Said { bt, t, time_ms } = times.say(time.as_millis());
    let clock = Some(clock).filter(|clock| *clock != Clock::Synced);
    Fields { bt, t, time_ms, seq: Some(seq), clock, ..Fields::default() }
}

/// The base time that holds for the next record.
#[derive(Default)]
struct Times {
    base_ms: i64,
}

struct Said {
    bt: Option<f64>,
    t: Option<f64>,
    time_ms: Option<i64>,
}

impl Times {
    /// How a record says its time: by its distance from the base, or as a new base, or not at all.
    fn say(&mut self, ms: i64) -> Said {
        let nothing = Said { bt: None, t: None, time_ms: None };
        let Some(absolute) = absolute(ms) else {
            let bt = (std::mem::take(&mut self.base_ms) != 0).then_some(0.0);
            return Said { bt, time_ms: Some(ms), ..nothing };
        };
        match i32::try_from(ms - self.base_ms) {
            Ok(0) => nothing,
            Ok(distance) => Said { t: Some(f64::from(distance) / 1000.0), ..nothing },
            Err(_) => {
                self.base_ms = ms;
                Said { bt: Some(absolute), ..nothing }
            }
        }
    }
}

/// Seconds since 1970 where `SenML` takes them for that; 32 bits of them reach to 2106.
fn absolute(ms: i64) -> Option<f64> {
    if ms < ABSOLUTE_FROM_MS {
        return None;
    }
    let (seconds, ms) = (u32::try_from(ms / 1000).ok()?, u16::try_from(ms % 1000).ok()?);
    // Whole milliseconds first: dividing once gives the number that is written with three decimals.
    Some((f64::from(seconds) * 1000.0 + f64::from(ms)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_by_their_distance_and_a_clock_in_1970_is_not_taken_for_now() {
        let mut times = Times::default();
        let mut said = |ms| {
            let Said { bt, t, time_ms } = times.say(ms);
            (bt, t, time_ms)
        };
        assert_eq!(said(10_000), (None, None, Some(10_000)), "no base yet, nothing to take back");
        assert_eq!(said(1_790_000_000_123), (Some(1_790_000_000.123), None, None));
        assert_eq!(said(1_790_000_001_126), (None, Some(1.003), None));
        assert_eq!(said(1_790_000_000_123), (None, None, None));
        assert_eq!(said(11_000), (Some(0.0), None, Some(11_000)));
        assert_eq!(said(12_000), (None, None, Some(12_000)));
        assert_eq!(said(1_790_000_002_000), (Some(1_790_000_002.0), None, None));
    }

    #[test]
    fn a_name_starts_with_a_letter_or_a_digit() {
        assert_eq!(start_of_name("pond-gw-017"), "pond-gw-017");
        assert_eq!(start_of_name("_x"), "d:_x");
    }
}
