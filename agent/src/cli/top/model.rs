//! What is watched: the agent's last status, what its values were before, and what goes over the line that is looked at.
//!
//! No clock and no socket: everything is told from outside, so that a picture can be made from written-down facts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Quality, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::control::status::{InstrumentStatus, Status, ValueStatus};

/// Values kept of a series: as many as a wide screen has columns.
const POINTS_MAX: usize = 200;
/// Values that decide how many decimals are shown.
const DECIMALS_OF: usize = 30;
/// A rate is over so many statuses: one a second.
const RATE_OF: usize = 10;
/// Pieces of a line that are kept.
const FRAMES_MAX: usize = 64;
/// Of a piece so many bytes are shown.
pub const FRAME_BYTES_MAX: usize = 512;

/// Instrument and quantity.
type Series = (String, String);
/// A value, and when it was taken.
type Point = (Timestamp, Option<f64>);

/// All that is known.
#[derive(Debug)]
pub struct Watched {
    /// The last that the agent said of itself.
    pub status: Status,
    /// When that was.
    pub taken: Timestamp,
    /// When it is.
    pub now: Timestamp,
    /// Why nothing newer is known.
    pub away: Option<String>,
    /// What else could not be had.
    pub note: Option<String>,
    histories: BTreeMap<Series, History>,
    rates: BTreeMap<String, Rate>,
    frames: VecDeque<Frame>,
}

/// A line of the journal, as `tail` tells it.
#[derive(Debug, Deserialize)]
pub struct Row {
    time: Timestamp,
    instrument: Option<String>,
    quantity: Option<String>,
    #[serde(default)]
    value: Value,
    event: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Bytes of a line.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When.
    pub time: Timestamp,
    /// Whether they came in.
    pub is_in: bool,
    /// The first of them.
    pub bytes: Vec<u8>,
}

/// The last values of a series, the newest at the end.
#[derive(Debug, Default, Clone)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    fn push(&mut self, time: Timestamp, value: Option<f64>) {
        if self.points.back().is_none_or(|(last, _)| *last < time) {
            self.points.push_back((time, value));
            let over = self.points.len().saturating_sub(POINTS_MAX);
            self.points.drain(..over);
        }
    }

    /// What was before that is known already; `earlier` is in order.
    fn prepend(&mut self, earlier: Vec<Point>) {
        let first = self.points.front().map(|(time, _)| *time);
        for point in earlier.into_iter().rev() {
            if self.points.len() < POINTS_MAX && first.is_none_or(|first| point.0 < first) {
                self.points.push_front(point);
            }
        }
    }

    /// The values.
    pub fn values(&self) -> Vec<Option<f64>> {
        self.points.iter().map(|(_, value)| *value).collect()
    }

    /// Whether there is a number to draw.
    pub fn is_drawn(&self) -> bool {
        self.points.iter().any(|(_, value)| value.is_some())
    }

    /// Decimals that its values have, at most four: a column whose points stand below each other is read, and costs few cells.
    fn decimals(&self) -> usize {
        let decimals = |value: &f64| value.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let last = self.points.iter().rev().take(DECIMALS_OF).filter_map(|(_, value)| value.as_ref());
        last.map(decimals).max().unwrap_or(0).min(4)
    }

    /// A value as it is shown beside the others, at most `width` wide.
    pub fn shown(&self, value: &Value, width: usize) -> String {
        let number = match value {
            Value::Null => return "-".to_owned(),
            Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
            other => return other.as_str().map_or_else(|| other.to_string(), str::to_owned),
        };
        let is_tiny = number != 0.0 && number.abs() < 0.001;
        let plain = (0..=self.decimals()).rev().map(|decimals| format!("{number:.decimals$}"));
        plain.filter(|_| !is_tiny).find(|text| text.len() <= width).unwrap_or_else(|| format!("{number:.2e}"))
    }
}

/// How much a sink has delivered, and when that was known.
#[derive(Debug, Default)]
struct Rate {
    seen: VecDeque<(u64, u64)>,
}

impl Rate {
    fn see(&mut self, mono_ms: u64, delivered: u64) {
        if self.seen.back().is_some_and(|(_, before)| *before > delivered) {
            self.seen.clear(); // The agent has started anew.
        }
        self.seen.push_back((mono_ms, delivered));
        let over = self.seen.len().saturating_sub(RATE_OF);
        self.seen.drain(..over);
    }

    /// Records a second, in tenths.
    fn tenths(&self) -> Option<u64> {
        let ((from_ms, from), (to_ms, to)) = (self.seen.front()?, self.seen.back()?);
        let millis = to_ms.saturating_sub(*from_ms);
        (millis > 0).then(|| to.saturating_sub(*from).saturating_mul(10_000) / millis)
    }
}

impl Watched {
    /// Begins with a first status; `mono_ms` is the boot's clock.
    pub fn new(status: Status, now: Timestamp, mono_ms: u64) -> Self {
        let (histories, rates, frames) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let mut watched = Self { status, taken: now, now, away: None, note: None, histories, rates, frames };
        watched.see(mono_ms);
        watched
    }

    /// A newer status.
    pub fn take(&mut self, status: Status, now: Timestamp, mono_ms: u64) {
        (self.status, self.taken, self.now, self.away) = (status, now, now, None);
        self.see(mono_ms);
    }

    /// The agent did not answer.
    pub fn lose(&mut self, why: String, now: Timestamp) {
        (self.away, self.now) = (Some(why), now);
    }

    fn see(&mut self, mono_ms: u64) {
        let mut known = BTreeSet::new();
        for instrument in &self.status.instruments {
            for (quantity, value) in &instrument.values {
                let series = (instrument.id.clone(), quantity.clone());
                self.histories.entry(series.clone()).or_default().push(value.time, number(value));
                known.insert(series);
            }
        }
        self.histories.retain(|series, _| known.contains(series));
        for sink in &self.status.sinks {
            self.rates.entry(sink.id.clone()).or_default().see(mono_ms, sink.delivered_total);
        }
        self.rates.retain(|id, _| self.status.sinks.iter().any(|sink| sink.id == *id));
    }

    /// What the journal says that was before.
    pub fn remember(&mut self, rows: Vec<Row>) {
        let mut earlier: BTreeMap<Series, Vec<Point>> = BTreeMap::new();
        for row in rows {
            // Of what was thinned, one of five stands for the others.
            let is_one = row.tags.get("statistic").is_none_or(|statistic| statistic == "mean");
            if let (None, true, Some(instrument), Some(quantity)) = (row.event, is_one, row.instrument, row.quantity) {
                earlier.entry((instrument, quantity)).or_default().push((row.time, row.value.as_f64()));
            }
        }
        for (series, mut points) in earlier {
            if let Some(history) = self.histories.get_mut(&series) {
                points.sort_by_key(|(time, _)| *time);
                history.prepend(points);
            }
        }
    }

    /// Another line is listened to.
    pub fn listen(&mut self) {
        self.frames.clear();
        self.note = None;
    }

    /// Bytes went over it.
    pub fn hear(&mut self, mut frame: Frame) {
        frame.bytes.truncate(FRAME_BYTES_MAX);
        self.frames.push_back(frame);
        let over = self.frames.len().saturating_sub(FRAMES_MAX);
        self.frames.drain(..over);
    }

    /// What went over it, the newest at the end.
    pub fn frames(&self) -> &VecDeque<Frame> {
        &self.frames
    }

    /// What a series was.
    pub fn history(&self, instrument: &str, quantity: &str) -> History {
        self.histories.get(&(instrument.to_owned(), quantity.to_owned())).cloned().unwrap_or_default()
    }

    /// What a sink delivers: `12.3/s`; nothing before the second status.
    pub fn rate(&self, sink: &str) -> Option<String> {
        let tenths = self.rates.get(sink)?.tenths()?;
        Some(if tenths >= 10_000 { format!("{}/s", tenths / 10) } else { format!("{}.{}/s", tenths / 10, tenths % 10) })
    }

    /// The instruments: what is not up first, else as they are configured.
    pub fn instruments(&self) -> Vec<&InstrumentStatus> {
        let mut all: Vec<_> = self.status.instruments.iter().collect();
        all.sort_by_key(|instrument| is_up(instrument));
        all
    }

    /// The instrument of this name, or the first.
    pub fn instrument(&self, id: Option<&str>) -> Option<&InstrumentStatus> {
        let all = self.instruments();
        all.iter().find(|instrument| Some(instrument.id.as_str()) == id).or(all.first()).copied()
    }
}

/// Whether readings come.
pub fn is_up(instrument: &InstrumentStatus) -> bool {
    instrument.state == "up"
}

/// The quantity that stands for an instrument where there is room for one: that which was chosen, else the worst, and of those
/// that are as good the first number.
pub fn foremost<'i>(instrument: &'i InstrumentStatus, chosen: Option<&str>) -> Option<(&'i String, &'i ValueStatus)> {
    let is_chosen = |(name, _): &(&String, &ValueStatus)| Some(name.as_str()) == chosen;
    instrument.values.iter().find(is_chosen).or_else(|| {
        let worth = |value: &ValueStatus| (badness(value.quality), value.value.is_number());
        instrument.values.iter().rev().max_by_key(|(_, value)| worth(value))
    })
}

/// Whether nobody judged it is no worse than that it passed.
pub fn badness(quality: Quality) -> u8 {
    match quality {
        Quality::Pass | Quality::NotEvaluated => 0,
        Quality::Suspect => 1,
        Quality::Missing => 2,
        Quality::Fail => 3,
    }
}

fn number(value: &ValueStatus) -> Option<f64> {
    value.value.as_f64()
}
