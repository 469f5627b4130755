//! One row as a consumer sees it, whichever way it came: a reading or an event with its place in the journal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A reading or an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The journal it comes from.
    pub epoch: String,
    /// Its place in it.
    pub seq: u64,
    /// When, as text.
    pub time: String,
    /// How far that can be believed.
    pub clock: String,
    /// Whose.
    pub instrument: String,
    /// What was measured; empty for most events.
    pub quantity: String,
    /// The number; none for text, for nothing and for events.
    pub value: Option<f64>,
    /// How good it is; empty for events.
    pub quality: String,
    /// Which event; empty for readings.
    pub event: String,
    /// The row as it came, for what has no field here.
    pub whole: Value,
}

/// What each series of an instrument said, in the order of the journal: `(instrument, quantity)` to values.
pub type Series = BTreeMap<(String, String), Vec<Option<f64>>>;

impl Row {
    /// Reads a JSON object of the agent's or of `DuckDB`'s; `epoch` stands in where the object does not say it.
    pub fn of_object(object: &Value, epoch: &str) -> Option<Self> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        Some(Self {
            epoch: object["epoch"].as_str().unwrap_or(epoch).to_owned(),
            seq: object["seq"].as_u64()?,
            time: text("time"),
            clock: text("clock"),
            instrument: text("instrument"),
            quantity: text("quantity"),
            value: object["value"].as_f64(),
            quality: text("quality"),
            event: text("event"),
            whole: object.clone(),
        })
    }

    /// Whether it is a reading.
    pub fn is_reading(&self) -> bool {
        self.event.is_empty()
    }
}

/// The rows of an MQTT envelope.
///
/// # Panics
/// When it is no envelope: `readings` and `events` are lists of rows between `first` and `next`.
#[track_caller]
pub fn of_envelope(envelope: &Value) -> Vec<Row> {
    let epoch = envelope["epoch"].as_str().unwrap_or_else(|| panic!("an envelope names its epoch: {envelope}"));
    let lists = ["readings", "events"].into_iter().filter_map(|list| envelope[list].as_array());
    let rows: Vec<Row> = lists.flatten().filter_map(|object| Row::of_object(object, epoch)).collect();
    let (first, next) = (envelope["first"].as_u64(), envelope["next"].as_u64());
    for row in &rows {
        let within = first.is_some_and(|first| first <= row.seq) && next.is_some_and(|next| row.seq < next);
        assert!(within, "row {} lies outside of its envelope {first:?}..{next:?}", row.seq);
    }
    rows
}

/// The rows in the order of the journal, each once.
pub fn distinct(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| (&a.epoch, a.seq).cmp(&(&b.epoch, b.seq)));
    rows.dedup_by(|a, b| (&a.epoch, a.seq) == (&b.epoch, b.seq));
    rows
}

/// Asserts that no place in a journal is used twice.
#[track_caller]
pub fn assert_each_once(rows: &[Row]) {
    let mut seen = BTreeSet::new();
    for row in rows {
        assert!(seen.insert((&row.epoch, row.seq)), "({}, {}) came twice: {}", row.epoch, row.seq, row.whole);
    }
}

/// The readings by series, in the order of the journal.
pub fn series(rows: &[Row]) -> Series {
    let mut series = Series::new();
    for row in distinct(rows.to_vec()).into_iter().filter(Row::is_reading) {
        series.entry((row.instrument, row.quantity)).or_default().push(row.value);
    }
    series
}

/// Asserts that a sink holds exactly what is expected, and says where it first does not.
#[track_caller]
pub fn assert_same(sink: &str, found: &Series, expected: &Series) {
    let names = |series: &Series| series.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{sink} holds other series");
    for (name, expected) in expected {
        let found = &found[name];
        let difference = found.iter().zip(expected).position(|(found, expected)| found != expected);
        if let Some(at) = difference {
            panic!("{sink}, {name:?}, reading {at}: {:?}, not {:?}", found[at], expected[at]);
        }
        assert_eq!(found.len(), expected.len(), "{sink} holds another number of {name:?}");
    }
}
