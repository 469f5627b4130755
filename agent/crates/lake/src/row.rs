//! A row of the lake as it is read back, whatever the object's format: the columns of CONTRACT §4.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Clock, Epoch, EventKind, Fact, InstrumentId, Numbered, Quality, QuantityId, Record, Seq, Tags, Timestamp, Value,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// A reading or an event. Two rows are equal when every column is, the value to the bit.
#[derive(Debug, Clone)]
pub struct Row {
    /// When it was observed.
    pub time: Timestamp,
    /// How far that can be believed.
    pub clock: Clock,
    /// Whose; always there for a reading.
    pub instrument: Option<InstrumentId>,
    /// Of what; always there for a reading.
    pub quantity: Option<QuantityId>,
    /// A reading's number.
    pub value: Option<f64>,
    /// A reading's text, or an event's facts as a JSON object. Facts have no other column; here they are exact, and
    /// an aggregate over `value` never meets one.
    pub value_text: Option<Arc<str>>,
    /// A reading's unit, where it has one.
    pub unit: Option<Arc<str>>,
    /// A reading's quality; no event has one.
    pub quality: Option<Quality>,
    /// Its position.
    pub seq: Seq,
    /// What happened; no reading has one.
    pub event: Option<EventKind>,
    /// A reading's tags as a JSON object, where it has any.
    pub tags: Option<Arc<str>>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        let bits = |row: &Self| row.value.map(f64::to_bits);
        let rest = |row: &Self| {
            let Row { time, clock, instrument, quantity, value: _, value_text, unit, quality, seq, event, tags } =
                row.clone();
            (time, clock, instrument, quantity, value_text, unit, quality, seq, event, tags)
        };
        bits(self) == bits(other) && rest(self) == rest(other)
    }
}

impl Row {
    /// The row that a record becomes.
    pub fn of(numbered: &Numbered) -> Self {
        let stamp = numbered.record.stamp();
        let empty = Row {
            time: stamp.time,
            clock: stamp.clock,
            instrument: None,
            quantity: None,
            value: None,
            value_text: None,
            unit: None,
            quality: None,
            seq: numbered.seq,
            event: None,
            tags: None,
        };
        match &numbered.record {
            Record::Reading(reading) => Row {
                instrument: Some(reading.series.instrument.clone()),
                quantity: Some(reading.series.quantity.clone()),
                value: number_of(&reading.value),
                value_text: text_of(&reading.value).map(Arc::from),
                unit: Some(reading.series.unit.as_str()).filter(|unit| !unit.is_empty()).map(Arc::from),
                quality: Some(reading.quality),
                tags: tags_json(&reading.series.tags).map(Arc::from),
                ..empty
            },
            Record::Event(event) => Row {
                instrument: event.instrument.clone(),
                quantity: event.quantity.clone(),
                value_text: facts_json(&event.facts).map(Arc::from),
                event: Some(event.kind),
                ..empty
            },
        }
    }
}

/// A row as the JSON object that leaves the device: what an NDJSON object has on a line, whatever it was read from.
#[derive(Debug, Clone, Copy)]
pub struct RowJson<'a> {
    /// The row.
    pub row: &'a Row,
    /// The journal it comes from.
    pub epoch: &'a Epoch,
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { time, clock, instrument, quantity, value, value_text, unit, quality, seq, event, tags } = self.row;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", seq)?;
        map.serialize_entry("epoch", self.epoch)?;
        map.serialize_entry("time", time)?;
        map.serialize_entry("clock", clock)?;
        if let Some(event) = event {
            map.serialize_entry("event", event)?;
        }
        if let Some(instrument) = instrument {
            map.serialize_entry("instrument", instrument)?;
        }
        if let Some(quantity) = quantity {
            map.serialize_entry("quantity", quantity)?;
        }
        if event.is_some() {
            let facts: Map<String, Json> = object(value_text.as_deref())?;
            facts.iter().try_for_each(|(name, fact)| map.serialize_entry(name, fact))?;
            return map.end();
        }
        match value_text {
            Some(text) => map.serialize_entry("value", text.as_ref())?,
            None => map.serialize_entry("value", value)?,
        }
        if let Some(unit) = unit {
            map.serialize_entry("unit", unit.as_ref())?;
        }
        map.serialize_entry("quality", quality)?;
        if let Some(tags) = tags {
            map.serialize_entry("tags", &object::<S::Error>(Some(tags))?)?;
        }
        map.end()
    }
}

fn object<E: serde::ser::Error>(text: Option<&str>) -> Result<Map<String, Json>, E> {
    text.map_or_else(|| Ok(Map::new()), |text| serde_json::from_str(text).map_err(E::custom))
}

/// The number of a value that is one.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(_) | Value::Missing => None,
    }
}

/// The text of a value that is one.
pub(crate) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::Missing => None,
    }
}

/// Tags as a JSON object; none if there are none.
pub(crate) fn tags_json(tags: &Tags) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::to_string(tags).expect("texts by text"))
}

/// An event's facts as a JSON object; none if there are none.
pub(crate) fn facts_json(facts: &BTreeMap<String, Fact>) -> Option<String> {
    (!facts.is_empty()).then(|| serde_json::to_string(facts).expect("plain values by text"))
}
