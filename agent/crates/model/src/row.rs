//! A record as people and machines outside read it: the JSON object of `docs/MQTT.md`, the same everywhere
//! (MQTT envelopes, NDJSON objects, `tail --json`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::event::Event;
use crate::record::{Numbered, Record};
use crate::seq::Epoch;
use crate::series::Tags;
use crate::time::Stamp;

/// Serialises one record as one JSON object.
///
/// A reading: `seq, [epoch,] time, clock, instrument, quantity, value, unit, quality, tags`; an empty unit or tag
/// map is left out. An event: `seq, [epoch,] time, clock, event, [instrument,] [quantity,]` and its facts.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The record.
    pub numbered: &'a Numbered,
    /// Given where the surroundings do not already say it.
    pub epoch: Option<&'a Epoch>,
}

fn common<M: SerializeMap>(map: &mut M, row: &Row<'_>) -> Result<(), M::Error> {
    let stamp = row.numbered.record.stamp();
    map.serialize_entry("seq", &row.numbered.seq)?;
    if let Some(epoch) = row.epoch {
        map.serialize_entry("epoch", epoch)?;
    }
    stamp_entries(map, stamp)
}

fn stamp_entries<M: SerializeMap>(map: &mut M, stamp: &Stamp) -> Result<(), M::Error> {
    map.serialize_entry("time", &stamp.time)?;
    map.serialize_entry("clock", &stamp.clock)
}

fn event_entries<M: SerializeMap>(map: &mut M, event: &Event) -> Result<(), M::Error> {
    map.serialize_entry("event", &event.kind)?;
    if let Some(instrument) = &event.instrument {
        map.serialize_entry("instrument", instrument)?;
    }
    if let Some(quantity) = &event.quantity {
        map.serialize_entry("quantity", quantity)?;
    }
    event.facts.iter().try_for_each(|(name, fact)| map.serialize_entry(name, fact))
}

/// Serialises an event that may have no number yet: as [`Row`] does, without `seq`.
#[derive(Debug, Clone, Copy)]
pub struct EventRow<'a>(pub &'a Event);

impl Serialize for EventRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        stamp_entries(&mut map, &self.0.stamp)?;
        event_entries(&mut map, self.0)?;
        map.end()
    }
}

fn tags_entry<M: SerializeMap>(map: &mut M, tags: &Tags) -> Result<(), M::Error> {
    if tags.is_empty() { Ok(()) } else { map.serialize_entry("tags", tags) }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        common(&mut map, self)?;
        match &self.numbered.record {
            Record::Reading(reading) => {
                map.serialize_entry("instrument", &reading.series.instrument)?;
                map.serialize_entry("quantity", &reading.series.quantity)?;
                map.serialize_entry("value", &reading.value)?;
                if !reading.series.unit.is_empty() {
                    map.serialize_entry("unit", &reading.series.unit)?;
                }
                map.serialize_entry("quality", &reading.quality)?;
                tags_entry(&mut map, &reading.series.tags)?;
            }
            Record::Event(event) => event_entries(&mut map, event)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::EventKind;
    use crate::name::{InstrumentId, QuantityId};
    use crate::record::Reading;
    use crate::seq::Seq;
    use crate::series::Series;
    use crate::time::{BootId, Clock, Timestamp};
    use crate::value::{Quality, Value};

    fn stamp() -> Stamp {
        Stamp { time: Timestamp::from_millis(1_763_805_600_123), mono_ms: 5, clock: Clock::Synced }
    }

    #[test]
    fn a_reading_is_written_as_the_contract_says() {
        let series = Series {
            instrument: InstrumentId::try_new("do-4").expect("a name"),
            quantity: QuantityId::try_new("dissolved_oxygen").expect("a name"),
            unit: "mg/L".to_owned(),
            tags: [("pond".to_owned(), "4".to_owned())].into(),
        };
        let reading =
            Reading { stamp: stamp(), series: Arc::new(series), value: Value::Number(7.82), quality: Quality::Pass };
        let numbered = Numbered { seq: Seq(1041), boot: BootId(1), record: Record::Reading(reading) };
        let row = Row { numbered: &numbered, epoch: None };
        assert_eq!(
            serde_json::to_string(&row).expect("plain data"),
            r#"{"seq":1041,"time":"2025-11-22T10:00:00.123Z","clock":"synced","instrument":"do-4","quantity":"dissolved_oxygen","value":7.82,"unit":"mg/L","quality":"pass","tags":{"pond":"4"}}"#
        );
    }

    #[test]
    fn an_event_carries_its_facts_beside_its_own_fields() {
        let event = Event::new(stamp(), EventKind::InstrumentDown)
            .of(&InstrumentId::try_new("do-4").expect("a name"))
            .with("error", "unplugged")
            .with("tries", 3_u64);
        let numbered = Numbered { seq: Seq(7), boot: BootId(1), record: Record::Event(Box::new(event)) };
        let row = Row { numbered: &numbered, epoch: None };
        assert_eq!(
            serde_json::to_string(&row).expect("plain data"),
            r#"{"seq":7,"time":"2025-11-22T10:00:00.123Z","clock":"synced","event":"instrument-down","instrument":"do-4","error":"unplugged","tries":3}"#
        );
    }
}
