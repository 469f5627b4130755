//! Every shipped profile is a right configuration and reads its own worked example: a line of an instrument that talks,
//! the whole dialogue with one that is asked. What its simulator says is refused by nobody.

use std::collections::BTreeMap;
use std::path::Path;

use instruments::profiles::{ALL, Profile};
use instruments::simulate::Simulation;
use instruments::{Output, Protocol, SampleValue, Standing, Step, Turn};
use model::{Clock, Stamp, Timestamp};
use tidegate::config::{InstrumentConfig, Layers, load, simulated};

fn at(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Untrusted }
}

fn configured(profile: &str) -> InstrumentConfig {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tidegate.toml");
    let text = format!(
        "[device]\nid = \"d\"\n[bus.b]\nport = \"/dev/ttyS9\"\n[instrument.i]\nbus = \"b\"\nprofile = \"{profile}\"\n"
    );
    std::fs::write(&file, text).expect("a file");
    let config = load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)));
    config.buses[0].instruments[0].clone()
}

fn bound(config: &InstrumentConfig) -> Box<dyn Protocol> {
    instruments::bind(&config.protocol, &config.fields()).expect("checked just now")
}

fn about(profile: &Profile) -> toml::Table {
    profile.text.parse().expect("a profile is TOML")
}

/// One exchange of a worked example.
struct Exchange {
    sent: Vec<u8>,
    came: Vec<u8>,
}

/// `sent` and `came` as text, or `sent_hex` and `came_hex`.
fn dialogue(example: &toml::Table) -> Vec<Exchange> {
    let bytes = |exchange: &toml::Value, key: &str| -> Vec<u8> {
        let hex = |text: &str| text.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
        match (exchange.get(key), exchange.get(format!("{key}_hex"))) {
            (Some(text), None) => text.as_str().expect("a text").into(),
            (None, Some(text)) => hex(text.as_str().expect("a text")),
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => panic!("{key} is given twice"),
        }
    };
    let exchanges = example["dialogue"].as_array().expect("a list of exchanges");
    exchanges.iter().map(|one| Exchange { sent: bytes(one, "sent"), came: bytes(one, "came") }).collect()
}

/// What the protocol makes of a dialogue, in the units of the configuration. `None` is a value that the instrument has
/// not; the instrument of the dialogue says nothing but what is written there.
fn converse(profile: &str, config: &InstrumentConfig, dialogue: &[Exchange]) -> BTreeMap<String, Option<String>> {
    let mut protocol = bound(config);
    let (mut out, mut now, mut exchanges) = (Output::default(), 1_000, dialogue.iter());
    let mut came: &[u8] = &[];
    protocol.begin(now);
    let turn = loop {
        match protocol.next(now) {
            Step::Send(bytes) => {
                let exchange = exchanges.next().unwrap_or_else(|| panic!("{profile}: {bytes:02X?} is in no dialogue"));
                assert_eq!(bytes, exchange.sent, "{profile}: {bytes:02X?} is sent, not {:02X?}", exchange.sent);
                came = &exchange.came;
            }
            Step::Wait { .. } if !came.is_empty() => {
                protocol.receive(std::mem::take(&mut came), at(now), &mut out);
            }
            // It measures, or it keeps silent: what is said again then is in no dialogue.
            Step::Wait { until_mono_ms } | Step::Pause { until_mono_ms } => now = until_mono_ms,
            Step::Break | Step::Idle { .. } => {}
            Step::Done(turn) => break turn,
        }
    };
    assert_eq!(turn, Turn::Answered, "{profile}");
    assert!(exchanges.next().is_none(), "{profile}: the dialogue goes on");
    assert_eq!(out.counts.refused, 0, "{profile}: {:?}", out.refused);
    values(config, &out)
}

fn values(config: &InstrumentConfig, out: &Output) -> BTreeMap<String, Option<String>> {
    let value = |sample: &instruments::Sample| {
        let quantity = &config.quantities[sample.field];
        let value = match &sample.value {
            SampleValue::Number(raw) => Some(shown(raw * quantity.scale + quantity.offset)),
            SampleValue::Text(text) => Some(text.to_string()),
            SampleValue::Missing => None,
        };
        (quantity.series.quantity.to_string(), value)
    };
    assert!(out.samples.iter().all(|sample| sample.standing == Standing::Good || sample.value == SampleValue::Missing));
    out.samples.iter().map(value).collect()
}

/// Ten digits: more than any instrument says, fewer than a scale leaves wrong.
fn shown(number: f64) -> String {
    format!("{number:.10}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn expected(example: &toml::Table) -> BTreeMap<String, Option<String>> {
    let value = |value: &toml::Value| match value {
        toml::Value::String(text) if text == "missing" => None,
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(shown(*number)),
        other => panic!("{other} is no value"),
    };
    let values = example["values"].as_table().expect("a table of values");
    values.iter().map(|(quantity, said)| (quantity.clone(), value(said))).collect()
}

#[test]
fn every_profile_says_what_it_is_and_how_far_to_trust_it() {
    for profile in ALL {
        let about = about(profile);
        let text = |key: &str| about[key].as_str().unwrap_or_else(|| panic!("{}: {key}", profile.name));
        assert!(["verified", "unverified"].contains(&text("status")), "{}", profile.name);
        assert!(["title", "source", "wiring"].iter().all(|key| !text(key).is_empty()), "{}", profile.name);
    }
}

#[test]
fn every_profile_of_an_instrument_that_talks_decodes_its_example() {
    for profile in ALL {
        let Some(example) = about(profile)["example"].as_str().map(str::to_owned) else { continue };
        let mut protocol = bound(&configured(profile.name));
        let mut out = Output::default();
        protocol.receive(example.as_bytes(), at(0), &mut out);
        protocol.receive(b"\r\n", at(0), &mut out);
        assert_eq!(out.counts.refused, 0, "{}: {:?}", profile.name, out.refused);
        assert!(!out.samples.is_empty(), "{}: nothing in {example:?}", profile.name);
    }
}

#[test]
fn every_profile_of_an_instrument_that_is_asked_holds_its_example_dialogue() {
    let mut count = 0;
    for profile in ALL {
        let config = configured(profile.name);
        let is_asked = config.protocol.mechanics.is_asked();
        let about = about(profile);
        let Some(example) = about["example"].as_table() else {
            assert!(!is_asked, "{}: an instrument that is asked has a dialogue", profile.name);
            continue;
        };
        let found = converse(profile.name, &config, &dialogue(example));
        assert_eq!(found, expected(example), "{}", profile.name);
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

/// Who looks changes nothing: a watched protocol takes the same, and has a note for each frame.
#[test]
fn a_protocol_that_is_watched_says_the_same() {
    for profile in ALL.iter().filter(|profile| about(profile).contains_key("simulate")) {
        let simulation = simulated(profile.name, Path::new("/nonexistent")).expect("a profile can be simulated");
        let simulation = Simulation::parse(&simulation.simulation, 7).expect("a simulation");
        let config = configured(profile.name);
        let watched = instruments::bind_watched(&config.protocol, &config.fields()).expect("checked just now");
        let heard = |mut protocol: Box<dyn Protocol>| {
            let mut out = Output::default();
            for number in 0..50 {
                let mut line = simulation.line(number);
                // Some are damaged.
                if number % 7 == 3 {
                    line[2] ^= 0x55;
                }
                protocol.receive(&line, at(0), &mut out);
            }
            out
        };
        let (seen, unseen) = (heard(watched), heard(bound(&config)));
        assert_eq!((&seen.samples, seen.counts), (&unseen.samples, unseen.counts), "{}", profile.name);
        assert!(unseen.notes.is_empty(), "{}", profile.name);
        assert_eq!(seen.notes.len().to_string(), seen.counts.frames.to_string(), "{}", profile.name);
        let taken = |note: &instruments::Note| match &note.end {
            instruments::End::Taken { samples, .. } => samples.clone(),
            _ => Vec::new(),
        };
        let noted: Vec<_> = seen.notes.iter().flat_map(taken).collect();
        assert_eq!(noted, seen.samples, "{}", profile.name);
    }
}

#[test]
fn what_a_profiles_simulator_says_its_decoder_takes() {
    for profile in ALL.iter().filter(|profile| about(profile).contains_key("simulate")) {
        let simulation = simulated(profile.name, Path::new("/nonexistent")).expect("a profile can be simulated");
        let simulation = Simulation::parse(&simulation.simulation, 7).expect("a simulation");
        let config = configured(profile.name);
        let mut protocol = bound(&config);
        let mut out = Output::default();
        for number in 0..500 {
            protocol.receive(&simulation.line(number), at(0), &mut out);
        }
        assert_eq!(out.counts.refused, 0, "{}: {:?}", profile.name, out.refused);
        assert_eq!(out.samples.len(), 500 * config.quantities.len(), "{}", profile.name);
    }
}
