//! Goal: our flags are those of ioos-qc, the reference implementation of QARTOD, and where they are not we know why.
//!
//! Method: a day of a real optode goes through a station as it is configured, once as it was (with its 134 lines of
//! garbage) and once with 94 spikes, pairs, steps, flat stretches, missing values and gaps put in. One quantity a test,
//! all of the same column. `tests/data/qartod.txt` is what `tests/oracle/qartod.py` says to the same.
//!
//! Where we differ, and each of these is asserted below:
//!
//! - **rate**: the first value, and one at the same time as the one before, is not evaluated; ioos-qc passes it. After a
//!   missing value we compare with the last one that was there; ioos-qc compares with nothing and passes it.
//! - **flat line**: we measure how long; ioos-qc counts values and takes the median interval for all, so that where
//!   intervals are uneven either may be a value earlier. It flags the value behind a missing one, the only one its
//!   window holds; we compare with the last that was there.
//! - **spike**: ioos-qc (`differential`) flags a value that is far from both neighbours on the same side. So do we, when
//!   it comes; and the first value of a step too, and while no value is confirmed those that follow. Beside a missing
//!   value it evaluates nothing; we go on from the last value that was there.

use model::Quality;

use super::rig;

const CAPTURE: &[u8] = include_bytes!("../../../tests/data/ooi/aanderaa_optode/20150330.dosta1.log");
const GOLDEN: &str = include_str!("../../tests/data/qartod.txt");

const INSTRUMENT: &str = r#"
[instrument.optode]
bus = "b"
[instrument.optode.protocol]
type   = "stream"
frame  = { type = "line", end = "\r\n", start = "4831\t", max = 4096 }
decode = { type = "delimited", sep = "\t", columns = 12 }
[instrument.optode.quantity.range]
field   = 3
missing = ["NaN"]
valid   = [353.3, 355.0]
[instrument.optode.quantity.rate]
field   = 3
missing = ["NaN"]
rate    = "0.3/s"
[instrument.optode.quantity.flat]
field   = 3
missing = ["NaN"]
flat    = "2s"
[instrument.optode.quantity.spike]
field   = 3
missing = ["NaN"]
spike   = 0.6
"#;
const RATE_PER_S: f64 = 0.3;
const SPIKE: f64 = 0.6;
const FLAT_S: u64 = 2;

/// A record as it is said.
#[derive(Debug, Clone)]
struct Said {
    second: u64,
    value: Option<f64>,
}

/// A record that came, with both opinions.
#[derive(Debug)]
struct Flagged {
    second: u64,
    value: Option<f64>,
    ours: u8,
    theirs: u8,
}

/// A line of the log without its stamp, and when it was written.
fn lines() -> Vec<(u64, Vec<u8>)> {
    let number = |line: &[u8], at: usize, len: usize| -> Option<u64> {
        std::str::from_utf8(line.get(at..at + len)?).ok()?.parse().ok()
    };
    let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
    for line in CAPTURE.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let clock = || Some([number(line, 11, 2)?, number(line, 14, 2)?, number(line, 17, 2)?, number(line, 20, 3)?]);
        let last = lines.last().map_or(0, |(second, _)| *second);
        let second = clock().map_or(last, |[h, m, s, ms]| (((h * 60 + m) * 60 + s) * 1_000 + ms + 500) / 1_000);
        lines.push((second, line.get(24..).unwrap_or_default().to_vec()));
    }
    lines
}

/// The columns of a whole record.
fn columns(line: &[u8]) -> Option<Vec<String>> {
    let start = line.windows(5).rposition(|window| window == b"4831\t")?;
    let columns: Vec<String> = String::from_utf8_lossy(&line[start..]).split('\t').map(str::to_owned).collect();
    (columns.len() == 12).then_some(columns)
}

/// One series of the golden file: what was done to the records, and the flags of a test.
struct Golden {
    edits: Vec<(String, usize, usize, f64)>,
    flags: Vec<(String, Vec<u8>)>,
}

fn golden(name: &str) -> Golden {
    let (mut edits, mut flags) = (Vec::new(), Vec::new());
    let lines = GOLDEN.lines().skip_while(|line| *line != format!("series {name}")).skip(1);
    for line in lines.take_while(|line| !line.starts_with("series")) {
        let words: Vec<&str> = line.split(' ').collect();
        if ["add", "hold", "missing", "drop"].contains(&words[0]) {
            let by = words.get(3).map_or(0.0, |by| by.parse().unwrap());
            edits.push((words[0].to_owned(), words[1].parse().unwrap(), words[2].parse().unwrap(), by));
        } else {
            let run = |word: &&str| {
                let (flag, count) = word.split_once('x').unwrap_or((word, "1"));
                vec![flag.parse::<u8>().unwrap(); count.parse().unwrap()]
            };
            flags.push((words[0].to_owned(), words[1..].iter().flat_map(run).collect()));
        }
    }
    Golden { edits, flags }
}

/// What is done to record `index`: its value then, NaN where it is missing, or nothing where it never came.
fn harmed(values: &[f64], edits: &[(String, usize, usize, f64)], index: usize) -> Option<f64> {
    let edit = edits.iter().find(|(_, first, count, _)| (*first..*first + *count).contains(&index));
    match edit {
        None => Some(values[index]),
        Some((kind, first, _, by)) => match kind.as_str() {
            "add" => Some(values[index] + by),
            "hold" => Some(values[*first]),
            "missing" => Some(f64::NAN),
            _ => None,
        },
    }
}

/// The series, through a station, beside what ioos-qc said of it.
fn flagged(name: &str, test: &str) -> Vec<Flagged> {
    let Golden { edits, flags } = golden(name);
    let theirs = &flags.iter().find(|(of, _)| of == test).unwrap().1;
    let lines = lines();
    let values: Vec<f64> =
        lines.iter().filter_map(|(_, line)| columns(line)).map(|columns| columns[2].parse().unwrap()).collect();
    let mut station = rig::station(INSTRUMENT);
    let (mut index, mut all) = (0, Vec::new());
    let mut said: Vec<Said> = Vec::new();
    for (second, line) in &lines {
        let mut wire = line.clone();
        if let Some(mut columns) = columns(line) {
            index += 1;
            let Some(value) = harmed(&values, &edits, index - 1) else { continue };
            if !edits.is_empty() {
                columns[2] = format!("{value:.3}");
                wire = columns.join("\t").into_bytes();
            }
            let value = (!value.is_nan()).then_some((value * 1e3).round() / 1e3);
            said.push(Said { second: *second, value });
        }
        wire.extend_from_slice(b"\r\n");
        let readings = rig::hear(&mut station, &wire, second * 1_000);
        all.extend(readings.into_iter().filter(|reading| reading.series.quantity.as_str() == test));
    }
    assert_eq!((all.len(), said.len()), (theirs.len(), theirs.len()), "as many as ioos-qc saw");
    let together = said.into_iter().zip(all).zip(theirs);
    together
        .map(|((Said { second, value }, ours), theirs)| Flagged {
            second,
            value,
            ours: flag(ours.quality),
            theirs: *theirs,
        })
        .collect()
}

fn flag(quality: Quality) -> u8 {
    match quality {
        Quality::Pass => 1,
        Quality::NotEvaluated => 2,
        Quality::Suspect => 3,
        Quality::Fail => 4,
        Quality::Missing => 9,
    }
}

fn count(all: &[Flagged], what: impl Fn(&Flagged) -> bool) -> usize {
    all.iter().filter(|one| what(one)).count()
}

/// The value before, the last that was there.
fn before(all: &[Flagged], index: usize) -> Option<(f64, u64)> {
    all[..index].iter().rev().find_map(|one| Some((one.value?, one.second)))
}

const SERIES: [&str; 2] = ["day", "harmed"];

#[test]
fn the_range_test_is_theirs_without_exception() {
    for name in SERIES {
        let all = flagged(name, "range");
        assert_eq!(count(&all, |one| one.ours != one.theirs), 0, "{name}");
        assert!(count(&all, |one| one.theirs == 4) > 20, "{name} leaves the range");
    }
}

#[test]
fn the_rate_test_is_theirs_but_beside_what_is_missing() {
    for name in SERIES {
        let all = flagged(name, "rate");
        let mut compared = 0;
        for (index, one) in all.iter().enumerate() {
            let expected = match (one.value, before(&all, index)) {
                (Some(_), None) => 2,
                (Some(_), Some((_, second))) if second == one.second => 2,
                (Some(value), Some((last, second))) if all[index - 1].value.is_none() => {
                    let passed_s = f64::from(u32::try_from(one.second - second).unwrap());
                    if (value - last).abs() > RATE_PER_S * passed_s { 3 } else { 1 }
                }
                _ => {
                    compared += 1;
                    one.theirs
                }
            };
            assert_eq!(one.ours, expected, "{name} record {index}: {one:?}");
        }
        assert!(compared > all.len() - 100, "{name}: {compared} of {} are the same test", all.len());
        assert!(count(&all, |one| one.ours == 3 && one.theirs == 3) > 15, "{name} has changes too fast");
    }
}

#[test]
fn the_flat_line_test_is_theirs_where_intervals_are_even() {
    for name in SERIES {
        let all = flagged(name, "flat");
        for (index, one) in all.iter().enumerate() {
            let step_s = |at: usize| all[at].second - all[at - 1].second;
            // Theirs looks at one value more than the threshold has median intervals.
            let is_even = index > 0 && step_s(index) == FLAT_S && all[index - 1].value.is_some();
            if is_even || one.value.is_none() {
                assert_eq!(one.ours, one.theirs, "{name} record {index}: {one:?}");
            } else if one.ours == 3 || (one.theirs == 3 && all[index - 1].value.is_some()) {
                let (last, _) = before(&all, index).unwrap();
                let is_same = one.value.is_some_and(|value| value.to_bits() == last.to_bits());
                assert!(is_same, "{name} record {index}: only a value that stays can be flat: {one:?}");
            }
        }
        assert!(count(&all, |one| one.ours == 3 && one.theirs == 3) > 30, "{name} has flat stretches");
    }
}

#[test]
fn every_spike_that_they_flag_is_flagged_and_what_is_flagged_besides_is_unconfirmed() {
    for name in SERIES {
        let all = flagged(name, "spike");
        let (mut isolated, mut ours_alone) = (0, 0);
        for (index, one) in all.iter().enumerate() {
            let Some(value) = one.value else { continue };
            let was_suspect =
                all[..index].iter().rev().find(|one| one.value.is_some()).is_some_and(|one| one.ours == 3);
            // Behind a suspect, what they call a spike may be the way back from one: 8, 14, 8, 14, 8.
            if one.theirs == 3 && !was_suspect {
                assert_eq!(one.ours, 3, "{name} record {index}: {one:?}");
                isolated += 1;
            }
            if one.ours == 3 {
                let (last, _) = before(&all, index).unwrap();
                assert!((value - last).abs() > SPIKE, "{name} record {index}: far from the one before");
                ours_alone += usize::from(one.theirs == 1);
            }
            // A value between two that are near it, and behind one that was believed, is no suspect of anybody's.
            let is_near = |other: &Flagged| other.value.is_some_and(|other| (value - other).abs() <= SPIKE);
            if index > 0 && is_near(&all[index - 1]) {
                assert_eq!(one.ours, 1, "{name} record {index}: {one:?}");
            }
        }
        assert!(isolated > 20, "{name}: {isolated}");
        assert!(ours_alone < all.len() / 25, "{name}: {ours_alone}");
    }
}
