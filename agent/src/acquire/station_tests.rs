//! What a station makes of bytes, with all that a configuration can ask of it.

use model::{Quality, Reading, Value};

use super::rig::{at, hear, readings, station};

const OPTODE: &[u8] = include_bytes!("../../../tests/data/ooi/aanderaa_optode/20150330.dosta1.log");
const TAGS: &str = include_str!("../../../tests/data/rfid/orfid_reader_1.txt");

fn number(reading: &Reading) -> Option<f64> {
    if let Value::Number(value) = reading.value { Some(value) } else { None }
}

/// The readings of one quantity, as value and quality.
fn of(readings: &[Reading], quantity: &str) -> Vec<(Option<f64>, Quality)> {
    let of = readings.iter().filter(|reading| reading.series.quantity.as_str() == quantity);
    of.map(|reading| (number(reading), reading.quality)).collect()
}

/// Milliseconds since midnight of `HH:MM:SS.mmm`.
fn millis(clock: &str) -> u64 {
    let digits = |range: std::ops::Range<usize>| clock[range].parse::<u64>().unwrap();
    ((digits(0..2) * 60 + digits(3..5)) * 60 + digits(6..8)) * 1_000 + digits(9..12)
}

#[test]
fn a_tag_reader_tells_each_visit_once() {
    // Two tags lie at the antenna all day, read every 3 and every 7 minutes but for two longer silences; four fish pass.
    let window_ms = 600_000;
    let reader = |dedupe: &str| {
        let text = format!(
            "[instrument.gate]\nbus = \"b\"\nprofile = \"oregon-rfid\"\n[instrument.gate.quantity.tag_id]\n{dedupe}"
        );
        let mut station = station(&text);
        let mut told = Vec::new();
        for line in TAGS.lines().filter(|line| line.starts_with('S')) {
            let now = millis(&line[13..25]);
            let heard = hear(&mut station, format!("{line}\r\n").as_bytes(), now);
            let tags = heard.into_iter().filter(|reading| reading.series.quantity.as_str() == "tag_id");
            told.extend(tags.map(|reading| (reading.stamp.mono_ms, reading.value)));
        }
        told
    };
    let all = reader("");
    let told = reader("dedupe = \"10m\"");
    assert_eq!(all.len(), 460, "every detection of the capture");
    assert_eq!(told.len(), 8, "{told:?}");
    // Nothing is lost: whatever is not told was seen less than the window before, and whatever is told was not.
    for (index, (now, tag)) in all.iter().enumerate() {
        let before = all[..index].iter().rev().find(|(_, other)| other == tag);
        let is_repeat = before.is_some_and(|(seen, _)| now - seen < window_ms);
        assert_eq!(told.contains(&(*now, tag.clone())), !is_repeat, "{tag:?} at {now}");
    }
}

const WATER: &str = r#"
[instrument.i]
bus = "b"
[instrument.i.protocol]
type   = "stream"
frame  = { type = "line", end = "\n", max = 64 }
decode = { type = "delimited", sep = ",", columns = [1, 3] }
[instrument.i.quantity.dissolved_oxygen]
field   = 1
unit    = "mg/L"
missing = ["-9999"]
valid   = [0.0, 25.0]
[instrument.i.quantity.water_temperature]
field   = 2
unit    = "Cel"
missing = ["-9999"]
[instrument.i.quantity.total]
field   = 3
unit    = "{fish}"
[instrument.i.quantity.oxygen_saturation]
derive = { type = "oxygen-saturation", oxygen = "dissolved_oxygen", temperature = "water_temperature", salinity = 0 }
alarm  = { below = 60.0, clear = 65.0 }
[instrument.i.quantity.passing]
derive = { type = "rate", of = "total", per = "min", wrap = 65536 }
"#;

#[test]
fn an_optode_and_what_is_derived_from_it_agree() {
    // The optode reckons its own saturation with the same formula, for salinity 0 and 1 atm.
    let text = r#"
[instrument.optode]
bus = "b"
profile = "aanderaa-optode-4831"
[instrument.optode.quantity.derived]
derive = { type = "oxygen-saturation", oxygen = "dissolved_oxygen", temperature = "water_temperature", salinity = 0 }
"#;
    let mut station = station(text);
    let mut compared = 0;
    for (second, line) in OPTODE.split(|byte| *byte == b'\n').enumerate() {
        let line = [line.get(24..).unwrap_or_default(), b"\r\n"].concat();
        let heard = hear(&mut station, &line, 2_000 * u64::try_from(second).unwrap());
        let (said, derived) = (of(&heard, "oxygen_saturation"), of(&heard, "derived"));
        assert_eq!(said.len(), derived.len());
        let ([(Some(said), _)], [(Some(derived), _)]) = (&said[..], &derived[..]) else { continue };
        assert!((said - derived).abs() < 0.05, "{said} and {derived}");
        compared += 1;
    }
    assert!(compared > 7_700, "{compared}");
}

#[test]
fn what_is_derived_is_as_good_as_the_worst_it_comes_from() {
    let mut station = station(WATER);
    let heard = hear(&mut station, b"9.0921,20,0\n26,20,0\n-9999,20,0\n8.0,-9999,0\n8.0\n", 1_000);
    let derived = of(&heard, "oxygen_saturation");
    let qualities: Vec<Quality> = derived.iter().map(|(_, quality)| *quality).collect();
    // Nobody evaluates the temperature, so the first is no pass; the second is beyond what oxygen can be.
    let missing = [Quality::Missing; 3];
    assert_eq!(qualities[..2], [Quality::NotEvaluated, Quality::Fail]);
    assert_eq!(qualities[2..], missing, "said to be missing, and not said at all");
    assert!((derived[0].0.unwrap() - 100.0).abs() < 0.01, "{derived:?}");
    assert_eq!(of(&heard, "dissolved_oxygen")[0].0, Some(9.0921), "what it comes from stays");
}

#[test]
fn what_is_derived_is_judged_as_any_quantity() {
    let mut station = station(WATER);
    let mut records = Vec::new();
    station.receive(b"5.0,20,0\n", at(0), &mut records);
    let events: Vec<_> = records
        .iter()
        .filter_map(|record| if let model::Record::Event(event) = record { Some(event) } else { None })
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].quantity.as_ref().map(ToString::to_string), Some("oxygen_saturation".to_owned()));
    let heard = readings(records);
    assert_eq!(
        heard.iter().find(|reading| number(reading).is_some_and(|value| value > 50.0)).unwrap().series.unit,
        "%"
    );
}

#[test]
fn a_count_becomes_a_rate_and_a_reset_costs_one_interval() {
    let mut station = station(WATER);
    let mut rates = Vec::new();
    for (second, total) in (0..).step_by(30).zip([65_500, 65_530, 30, 40, 2, 12]) {
        let heard = hear(&mut station, format!("8,20,{total}\n").as_bytes(), second * 1_000);
        rates.push(of(&heard, "passing"));
    }
    let told: Vec<Option<f64>> = rates.iter().flatten().map(|(value, _)| *value).collect();
    assert_eq!(told, [Some(60.0), Some(72.0), Some(20.0), None, Some(20.0)], "after 40 came 2");
    assert!(rates[0].is_empty(), "a first count is no rate");
    assert_eq!(rates[4], [(None, Quality::Missing)]);
    station.reset();
    assert!(of(&hear(&mut station, b"8,20,500\n", 999_000), "passing").is_empty(), "the line was lost");
}

#[test]
fn frames_in_one_breath_are_not_mixed() {
    let mut station = station(WATER);
    // Oxygen without a temperature, and then a line with both: the first must not borrow from the second.
    let heard = hear(&mut station, b"8.0\n9.0921,20\n", 1_000);
    let derived = of(&heard, "oxygen_saturation");
    assert_eq!(derived.len(), 2);
    assert_eq!(derived[0].1, Quality::Missing);
    assert!(derived[1].0.is_some());
}

#[test]
fn an_instrument_that_is_asked_in_steps_belongs_together_by_turn() {
    let text = r#"
[instrument.i]
bus   = "b"
every = "10s"
[instrument.i.protocol]
type   = "poll"
frame  = { type = "line", end = "\r", max = 64 }
steps  = [ { send = "O\r", timeout = "1s", retries = 0 }, { send = "T\r", timeout = "1s", retries = 0 } ]
decode = { type = "key-value", sep = ",", assign = "=" }
[instrument.i.quantity.dissolved_oxygen]
field = "O"
unit  = "umol/L"
[instrument.i.quantity.water_temperature]
field = "T"
unit  = "Cel"
[instrument.i.quantity.oxygen_saturation]
derive = { type = "oxygen-saturation", oxygen = "dissolved_oxygen", temperature = "water_temperature", salinity = 35.0, pressure = 1013.25 }
"#;
    let mut station = station(text);
    // A whole turn: oxygen now, temperature 800 ms later.
    station.begin(0);
    station.next(0);
    station.next(1);
    assert!(of(&hear(&mut station, b"O=231.102\r", 200), "oxygen_saturation").is_empty());
    station.next(200);
    station.next(201);
    let heard = hear(&mut station, b"T=20\r", 1_000);
    let [(Some(value), _)] = of(&heard, "oxygen_saturation")[..] else { panic!("{heard:?}") };
    assert!((value - 100.0).abs() < 0.05, "{value}");
    let derived = heard.iter().find(|reading| reading.series.quantity.as_str() == "oxygen_saturation").unwrap();
    assert_eq!(derived.stamp.mono_ms, 200, "its time is that of the oxygen");
    // A turn in which the second question was not answered: what was not said is missing once the turn is over.
    station.next(1_001);
    station.begin(10_000);
    station.next(10_000);
    station.next(10_001);
    hear(&mut station, b"O=231.102\r", 10_200);
    let mut records = Vec::new();
    station.end_turn(&mut records);
    assert_eq!(of(&readings(records), "oxygen_saturation"), [(None, Quality::Missing)]);
}
