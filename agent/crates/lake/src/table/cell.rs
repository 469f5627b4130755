//! What each column takes from a record.

use std::borrow::Cow;

use model::{Event, InstrumentId, Numbered, QuantityId, Reading, Record, Tags};

use crate::order::series_key;
use crate::row::{facts_json, number_of, text_of};

/// A column's type, and where its values come from.
#[derive(Clone, Copy)]
pub(super) enum Cells {
    /// Milliseconds since 1970.
    Time(fn(&Numbered) -> i64),
    /// A count.
    Long(fn(&Numbered) -> i64),
    /// A small number.
    Int(fn(&Numbered) -> Option<i32>),
    /// A measure.
    Double(fn(&Numbered) -> Option<f64>),
    /// One of few words, mostly that of the row before.
    Word(for<'a> fn(&'a Numbered) -> Option<&'a str>),
    /// A text of its own.
    Text(for<'a> fn(&'a Numbered) -> Option<Cow<'a, str>>),
    /// Tags, mostly those of the row before, as JSON.
    Tags(for<'a> fn(&'a Numbered) -> Option<&'a Tags>),
}

fn reading(numbered: &Numbered) -> Option<&Reading> {
    match &numbered.record {
        Record::Reading(reading) => Some(reading),
        Record::Event(_) => None,
    }
}

fn event(numbered: &Numbered) -> Option<&Event> {
    match &numbered.record {
        Record::Reading(_) => None,
        Record::Event(event) => Some(event),
    }
}

pub(super) const TIME: Cells = Cells::Time(|numbered| numbered.record.stamp().time.as_millis());
pub(super) const CLOCK: Cells = Cells::Word(|numbered| Some(numbered.record.stamp().clock.as_str()));
pub(super) const INSTRUMENT: Cells = Cells::Word(|numbered| series_key(&numbered.record).0.map(InstrumentId::as_str));
pub(super) const QUANTITY: Cells = Cells::Word(|numbered| series_key(&numbered.record).1.map(QuantityId::as_str));
pub(super) const VALUE: Cells =
    Cells::Double(|numbered| reading(numbered).and_then(|reading| number_of(&reading.value)));
pub(super) const VALUE_TEXT: Cells = Cells::Text(|numbered| match &numbered.record {
    Record::Reading(reading) => text_of(&reading.value).map(Cow::Borrowed),
    Record::Event(event) => facts_json(&event.facts).map(Cow::Owned),
});
pub(super) const UNIT: Cells = Cells::Word(|numbered| {
    let unit = reading(numbered).map(|reading| reading.series.unit.as_str());
    unit.filter(|unit| !unit.is_empty())
});
pub(super) const QUALITY: Cells = Cells::Int(|numbered| reading(numbered).map(|reading| reading.quality.flag().into()));
pub(super) const SEQ: Cells =
    Cells::Long(|numbered| i64::try_from(numbered.seq.0).expect("checked before a batch is encoded"));
pub(super) const EVENT: Cells = Cells::Word(|numbered| event(numbered).map(|event| event.kind.as_str()));
pub(super) const TAGS: Cells = Cells::Tags(|numbered| {
    let tags = reading(numbered).map(|reading| &reading.series.tags);
    tags.filter(|tags| !tags.is_empty())
});
