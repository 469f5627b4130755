//! What a manifest line says of its rows: counted the same way from records that are written and from rows that were
//! read back, so that one can be held against the other.

use std::collections::BTreeMap;

use model::{Clock, EventKind, Numbered, Quality, Record, Seq, Timestamp};
use serde_json::Value as Json;

use crate::line::{GapLine, SeriesLine};
use crate::order::{SeriesKey, series_key};
use crate::row::{Row, facts_json, number_of, text_of};

/// Digits of a mean behind its first: with nine in all, a mean of a probe is exact to far below its resolution.
const MEAN_DECIMALS: usize = 8;

/// The part of a [`ManifestLine`](crate::ManifestLine) that its rows decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How many rows.
    pub rows: u64,
    /// The earliest and the latest time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// One entry a series with readings.
    pub instruments: Vec<SeriesLine>,
    /// Readings by quality.
    pub quality: BTreeMap<Quality, u64>,
    /// The recorded losses, by position.
    pub gaps: Vec<GapLine>,
    /// Rows by clock.
    pub clock: BTreeMap<Clock, u64>,
}

/// What is counted of one row.
pub(crate) struct Seen<'a> {
    seq: Seq,
    time: Timestamp,
    clock: Clock,
    series: SeriesKey<'a>,
    unit: Option<&'a str>,
    number: Option<f64>,
    has_value: bool,
    quality: Option<Quality>,
    gap_facts: Option<String>,
}

impl<'a> From<&'a Numbered> for Seen<'a> {
    fn from(numbered: &'a Numbered) -> Self {
        let stamp = numbered.record.stamp();
        let mut unit = None;
        let (number, has_value, quality, gap_facts) = match &numbered.record {
            Record::Reading(reading) => {
                unit = Some(reading.series.unit.as_str()).filter(|unit| !unit.is_empty());
                let number = number_of(&reading.value);
                (number, number.is_some() || text_of(&reading.value).is_some(), Some(reading.quality), None)
            }
            Record::Event(event) if event.kind == EventKind::Gap => (None, false, None, facts_json(&event.facts)),
            Record::Event(_) => (None, false, None, None),
        };
        let series = series_key(&numbered.record);
        Seen {
            seq: numbered.seq,
            time: stamp.time,
            clock: stamp.clock,
            series,
            unit,
            number,
            has_value,
            quality,
            gap_facts,
        }
    }
}

impl<'a> From<&'a Row> for Seen<'a> {
    fn from(row: &'a Row) -> Self {
        let is_gap = row.event == Some(EventKind::Gap);
        Seen {
            seq: row.seq,
            time: row.time,
            clock: row.clock,
            series: (row.instrument.as_ref(), row.quantity.as_ref()),
            unit: row.unit.as_deref(),
            number: row.value,
            has_value: row.event.is_none() && (row.value.is_some() || row.value_text.is_some()),
            quality: row.quality,
            gap_facts: row.value_text.as_deref().filter(|_| is_gap).map(str::to_owned),
        }
    }
}

impl Summary {
    /// Counts rows that come in table order.
    pub(crate) fn of<'a>(rows: impl Iterator<Item = Seen<'a>>) -> Self {
        let mut counts = Counts::default();
        for seen in rows {
            counts.add(&seen);
        }
        counts.end_series();
        counts.gaps.sort_by_key(|gap| gap.seq);
        Summary {
            rows: counts.rows,
            times: counts.times,
            instruments: counts.instruments,
            quality: counted(Quality::ALL, &counts.quality),
            gaps: counts.gaps,
            clock: counted(CLOCKS, &counts.clock),
        }
    }
}

const CLOCKS: [Clock; 3] = [Clock::Synced, Clock::Corrected, Clock::Untrusted];

fn counted<K: Ord + Copy, const N: usize>(keys: [K; N], counts: &[u64; N]) -> BTreeMap<K, u64> {
    keys.into_iter().zip(*counts).filter(|(_, count)| *count > 0).collect()
}

#[derive(Default)]
struct Counts<'a> {
    rows: u64,
    times: Option<(Timestamp, Timestamp)>,
    instruments: Vec<SeriesLine>,
    quality: [u64; 5],
    gaps: Vec<GapLine>,
    clock: [u64; 3],
    series: Option<((SeriesKey<'a>, Option<&'a str>), Numbers)>,
}

#[derive(Default)]
struct Numbers {
    values: u64,
    count: f64,
    sum: f64,
    range: Option<(f64, f64)>,
}

impl<'a> Counts<'a> {
    fn add(&mut self, seen: &Seen<'a>) {
        self.rows += 1;
        let (from, to) = self.times.unwrap_or((seen.time, seen.time));
        self.times = Some((from.min(seen.time), to.max(seen.time)));
        tally(&CLOCKS, &mut self.clock, seen.clock);
        if let Some(facts) = &seen.gap_facts {
            self.gaps.push(GapLine::of(seen.seq, facts));
        }
        let Some(quality) = seen.quality else { return };
        tally(&Quality::ALL, &mut self.quality, quality);
        let key = (seen.series, seen.unit);
        if self.series.as_ref().is_none_or(|(series, _)| *series != key) {
            self.end_series();
        }
        let (_, numbers) = self.series.get_or_insert_with(|| (key, Numbers::default()));
        numbers.add(seen.number, seen.has_value);
    }

    fn end_series(&mut self) {
        let Some((((Some(instrument), Some(quantity)), unit), numbers)) = self.series.take() else { return };
        let (min, max) = numbers.range.unzip();
        self.instruments.push(SeriesLine {
            instrument: instrument.clone(),
            quantity: quantity.clone(),
            unit: unit.map(str::to_owned),
            count: numbers.values,
            min,
            max,
            mean: min.map(|_| rounded(numbers.sum / numbers.count)).filter(|mean| mean.is_finite()),
        });
    }
}

impl Numbers {
    fn add(&mut self, number: Option<f64>, has_value: bool) {
        self.values += u64::from(has_value);
        let Some(number) = number.filter(|number| number.is_finite()) else { return };
        self.count += 1.0;
        self.sum += number;
        let (min, max) = self.range.unwrap_or((number, number));
        self.range = Some((if number < min { number } else { min }, if number > max { number } else { max }));
    }
}

fn tally<K: PartialEq + Copy, const N: usize>(keys: &[K; N], counts: &mut [u64; N], key: K) {
    if let Some((_, count)) = keys.iter().zip(counts).find(|(candidate, _)| **candidate == key) {
        *count += 1;
    }
}

fn rounded(mean: f64) -> f64 {
    format!("{mean:.MEAN_DECIMALS$e}").parse().expect("as just written")
}

impl GapLine {
    /// The facts of a gap event; what it does not say is left out.
    fn of(seq: Seq, facts: &str) -> Self {
        let facts = serde_json::from_str::<Json>(facts).unwrap_or_default();
        let position = |name: &str| facts.get(name).and_then(Json::as_u64).map(Seq);
        let text = |name: &str| facts.get(name).and_then(Json::as_str);
        let time = |name: &str| text(name).and_then(Timestamp::parse);
        GapLine {
            seq,
            reason: text("reason").unwrap_or_default().to_owned(),
            count: facts.get("count").and_then(Json::as_u64).unwrap_or_default(),
            lost_first: position("lost_first"),
            lost_next: position("lost_next"),
            lost_from: time("lost_from"),
            lost_to: time("lost_to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn a_mean_has_nine_digits_at_any_size() {
        assert_eq!(rounded(7.658_235_955_056_18).to_string(), "7.65823596");
        assert_eq!(rounded(-1.0 / 3.0 * 1e300).to_string(), (-3.333_333_33e299).to_string());
        assert_eq!(rounded(0.1 + 0.2).to_string(), "0.3");
    }
}
