//! One journal, every format: whatever a sink writes, a reader gets the same rows out of it, to the bit.
//!
//! The folder's NDJSON is the reference; the messages are read by `cloud/tidegate_rows`, the `SenML` ones by a library that
//! others wrote, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::faketime;
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::places;
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::subscriber::{Message, Subscriber};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const FORMATS: [&str; 4] = ["json", "json-columns", "senml", "columnar"];
/// Small enough that every format has to cut its batches, and to leave series out of a heading.
const BYTES_MAX: u64 = 1024;
const COMPRESS: [&str; 2] = ["none", "zstd"];

/// A sink of this format below a topic of its own, named as the format is.
fn sink(name: &str, url: &str, format: &str, compress: &str) -> String {
    format!(
        "[sink.{name}]\ntype = \"mqtt\"\nurl = \"{url}\"\nformat = \"{format}\"\ncompress = \"{compress}\"\n\
         topic = \"farm/{{site}}/{{device}}/{name}/readings\"\nbatch = {{ max_age = \"500ms\", max_bytes = \"{BYTES_MAX}B\" }}\n\n"
    )
}

/// An instrument with an oxygen that can be out of range and missing, a status word, and a number of many digits.
fn probe(name: &str, port: &Path, unit: &str) -> String {
    let port = port.display();
    format!(
        "[bus.{name}]\nport = \"{port}\"\nbaud = 115200\n\n\
         [instrument.{name}]\nbus = \"{name}\"\ntags = {{ pond = \"4\", \"größe\" = \"1 ha\" }}\n\n\
         [instrument.{name}.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"v,\", end = \"\\r\\n\", max = 128 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 5 }}\n\n\
         [instrument.{name}.quantity.dissolved_oxygen]\nfield = 2\nunit = \"{unit}\"\nvalid = [0.0, 20.0]\n\
         missing = [\"-9999\"]\n\n\
         [instrument.{name}.quantity.ph]\nfield = 3\nunit = \"[pH]\"\n\n\
         [instrument.{name}.quantity.status]\nfield = 4\nkind = \"text\"\n\n\
         [instrument.{name}.quantity.pressure]\nfield = 5\nunit = \"dbar\"\nscale = 0.333333333\n\n"
    )
}

fn line(number: u64) -> String {
    let oxygen = match number % 23 {
        7 => "-9999".to_owned(),
        11 => "20.01".to_owned(),
        _ => format!("{}.{:02}", number % 9, number * 37 % 100),
    };
    let status = ["ok", "0001", "low battery"][usize::try_from(number / 40 % 3).expect("small")];
    format!("v,{oxygen},7.{:02},{status},{}.{}\r\n", number * number % 100, number % 997, number % 10)
}

fn say(port: &Port, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(line).collect();
    port.send_lines(lines.as_bytes(), 200, LIMIT);
}

fn wait_read(agent: &Agent, instrument: &str, readings: u64) {
    agent.wait_until("all lines to be read", LIMIT, |status| {
        item(status, "instruments", instrument)["readings_total"].as_u64() >= Some(readings)
    });
}

/// A row as something that is equal only to the bit, without what not every format or sink says.
fn exact(row: &Row, is_tagged: bool) -> (u64, BTreeMap<String, String>) {
    let fields = row.whole.as_object().expect("a row is an object").iter();
    let wanted = fields.filter(|(name, _)| !["device", "site"].contains(&name.as_str()));
    let wanted = wanted.filter(|(name, _)| is_tagged || *name != "tags");
    let bits = |value: &Value| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{:016x}", number.to_bits()),
        None => value.to_string(),
    };
    (row.seq, wanted.map(|(name, value)| (name.clone(), bits(value))).collect())
}

#[track_caller]
fn assert_same_rows(sink: &str, found: Vec<Row>, expected: &[Row], is_tagged: bool) {
    let found = row::distinct(found);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(exact(found, is_tagged), exact(expected, is_tagged), "{sink}");
    }
    assert_eq!(found.len(), expected.len(), "{sink} holds another number of rows");
}

/// What a sink's topic has, once that is everything.
#[track_caller]
fn rows_of(subscriber: &Subscriber, sink: &str, count: usize) -> Vec<Row> {
    let topic = format!("farm/farm/gw-1/{sink}/readings");
    let all = || {
        let messages = subscriber.decoded(true).into_iter().filter(|message| message.topic == topic);
        row::distinct(messages.flat_map(|message| message.rows).collect())
    };
    let context = || format!("{} rows of {sink}", all().len());
    wait_for(&format!("{count} rows of {sink}"), LIMIT, context, || Some(all()).filter(|rows| rows.len() >= count))
}

/// The folder's lines as they are: every field, every digit.
fn reference(lake: &Path) -> Vec<Row> {
    let Output { status, stdout, stderr } =
        places::python("helpers/ndjson.py").arg(lake).output().expect("start python");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let lines = String::from_utf8_lossy(&stdout).into_owned();
    let row = |line: &str| Row::of_object(&serde_json::from_str(line).ok()?, "");
    row::distinct(lines.lines().map(|line| row(line).unwrap_or_else(|| panic!("no row: {line}"))).collect())
}

fn payload(message: &Message) -> Option<String> {
    (!message.payload.is_null()).then(|| message.payload.to_string())
}

#[test]
fn every_format_gives_the_rows_that_the_folder_has() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let lake = dir.path().join("lake");
    let [first, second] = ["first", "second"].map(|name| Port::plugged(&dir.path().join(name)));
    let mut names = Vec::new();
    let mut config = agent::preamble(dir.path(), "200ms")
        + &probe("first", first.path(), "mg/L")
        + &probe("second", second.path(), "%")
        + &agent::file_sink("usb", &lake, "ndjson");
    for format in FORMATS {
        for compress in COMPRESS {
            let name = format!("{format}-{compress}");
            config += &sink(&name, &broker.url(), format, compress);
            names.push((name, format, compress));
        }
    }
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&first, "first");
    agent.wait_open(&second, "second");
    std::thread::scope(|scope| {
        scope.spawn(|| say(&first, 0..400));
        scope.spawn(|| say(&second, 0..400));
    });
    wait_read(&agent, "first", 1_600);
    wait_read(&agent, "second", 1_600);
    // A plug that is pulled is an event, with facts.
    drop(second);
    agent.wait_until("the plug to be missed", LIMIT, |status| item(status, "instruments", "second")["state"] == "down");
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let expected = reference(&lake);
    row::assert_each_once(&expected);
    assert_eq!(expected.iter().filter(|row| row.is_reading()).count(), 3_200);
    for wanted in ["pass", "fail", "missing", "not-evaluated"] {
        assert!(expected.iter().any(|row| row.quality == wanted), "no reading is {wanted}");
    }
    for wanted in ["boot", "instrument-down"] {
        assert!(expected.iter().any(|row| row.event == wanted), "no event {wanted}");
    }
    for (name, format, compress) in &names {
        let found = rows_of(&subscriber, name, expected.len());
        assert_same_rows(name, found, &expected, *format != "senml");
        assert_content_types(&subscriber, name, format, compress);
    }
    let packs: Vec<String> = subscriber
        .messages()
        .iter()
        .filter(|message| message.topic.ends_with("/senml-none/readings"))
        .filter_map(payload)
        .collect();
    assert_senml(&packs, &expected);
}

#[track_caller]
fn assert_content_types(subscriber: &Subscriber, name: &str, format: &str, compress: &str) {
    let base = match format {
        "senml" => "application/senml+json",
        "columnar" => "application/vnd.tidegate.columnar",
        _ => "application/json",
    };
    let expected = if compress == "zstd" { format!("{base}+zstd") } else { base.to_owned() };
    let topic = format!("/{name}/readings");
    let messages: Vec<Message> = subscriber.messages().into_iter().filter(|one| one.topic.ends_with(&topic)).collect();
    for message in &messages {
        assert_eq!(message.content_type.as_ref(), Some(&expected), "{name}");
        assert!(message.bytes <= BYTES_MAX, "{name}: a message of {} bytes", message.bytes);
        let is_json = message.payload.is_object() || message.payload.is_array();
        assert_eq!(is_json, compress == "none" && format != "columnar", "{name}: {message:?}");
    }
    assert!(!messages.is_empty(), "{name} has no messages");
}

/// What somebody else's reader makes of the packs: names, units, values and times, with our own fields beside.
#[track_caller]
fn assert_senml(packs: &[String], expected: &[Row]) {
    let by_seq: BTreeMap<u64, &Row> = expected.iter().map(|row| (row.seq, row)).collect();
    let mut seen = 0;
    for pack in packs {
        let records = sindit_senml::parse_json(pack, None).unwrap_or_else(|error| panic!("{error}: {pack}"));
        assert!(!records.is_empty(), "a pack has a record");
        for record in records {
            let extra = record.extra_fields.as_ref().expect("every record has its place");
            let row = by_seq[&extra["seq"].as_u64().expect("a number")];
            // Its times are binary fractions of a second: the next millisecond is the one.
            let time = record.time + std::time::Duration::from_micros(500);
            assert_eq!(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(), row.time);
            if row.is_reading() {
                assert_eq!(record.name, format!("gw-1/{}/{}", row.instrument, row.quantity));
                let number = match &record.value {
                    Some(sindit_senml::SenMLValueField::FloatingPoint(number)) => Some(*number),
                    _ => None,
                };
                assert_eq!(number.map(f64::to_bits), row.value.map(f64::to_bits), "{}", row.whole);
                let unit = row.whole["unit"].as_str();
                assert_eq!(record.unit.as_deref(), unit.map(|unit| if unit == "[pH]" { "pH" } else { unit }));
            } else {
                let name = if row.instrument.is_empty() {
                    "gw-1/event".to_owned()
                } else {
                    format!("gw-1/{}/event", row.instrument)
                };
                assert_eq!(record.name, name);
            }
            seen += 1;
        }
    }
    assert!(seen >= expected.len(), "{seen} records for {} rows", expected.len());
}

#[test]
fn the_golden_messages_of_every_format_are_read_to_the_bit_and_damaged_ones_are_refused() {
    let Output { status, stdout, stderr } = places::python("helpers/golden.py").output().expect("start python");
    println!("{}", String::from_utf8_lossy(&stdout));
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let pack = fs::read_to_string(places::tests().join("../cloud/golden/message-senml")).expect("a golden file");
    let records = sindit_senml::parse_json(&pack, None).expect("a pack that others read");
    assert!(records.len() > 800, "{} records", records.len());
}

/// A subscriber that was not there when the heading was said gets it from the broker's memory; one that has it not can
/// tell what it lacks; and a broker that lost its memory is told again.
#[test]
fn a_heading_is_there_for_whoever_comes_late_and_is_said_again_to_a_broker_that_forgot() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let port = Port::plugged(&dir.path().join("port"));
    let lake = dir.path().join("lake");
    let config = agent::preamble(dir.path(), "200ms")
        + &probe("do-4", port.path(), "mg/L")
        + &sink("cloud", &broker.url(), "columnar", "zstd")
        + &agent::file_sink("usb", &lake, "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "do-4");
    say(&port, 0..50);
    wait_read(&agent, "do-4", 200);
    agent.wait_delivered(LIMIT);

    let latecomer = Subscriber::start(&broker, "farm/+/+/cloud/series/#", &dir.path().join("late"));
    let heading = latecomer.wait_for_messages(1, LIMIT).remove(0);
    assert!(heading.retained, "from the broker's memory");
    let said = subscriber.messages().into_iter().filter(|message| message.topic == heading.topic).count();
    assert_eq!(said, 1, "once a connection, not with every message");
    let name = heading.topic.rsplit('/').next().expect("a level").to_owned();
    for message in subscriber.decoded(false) {
        let (lacking, first, next) = message.lacks.expect("nothing can be read without it");
        assert!(lacking == name && first < next, "{lacking} for {first}..{next}");
    }

    broker.stop();
    fs::remove_file(dir.path().join("broker/mosquitto.db")).expect("the broker's memory");
    broker.start();
    // Subscribed again by itself, as the other one is.
    let again = Subscriber::start(&broker, "farm/#", &dir.path().join("again"));
    say(&port, 50..100);
    wait_read(&agent, "do-4", 400);
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let expected = reference(&lake);
    let last = expected.last().expect("many").seq;
    let heard = wait_for("the last row", LIMIT, String::new, || {
        let rows: Vec<Row> = again.decoded(true).into_iter().flat_map(|message| message.rows).collect();
        rows.iter().any(|row| row.seq == last).then_some(rows)
    });
    let from = heard.iter().map(|row| row.seq).min().expect("some");
    let expected: Vec<Row> = expected.into_iter().filter(|row| row.seq >= from).collect();
    assert!(expected.len() >= 200, "all that was said since");
    assert_same_rows("cloud", heard, &expected, true);
}

/// A reading whose time was put right leaves with that time, whatever it was when it was written down.
#[test]
fn times_that_were_put_right_are_right_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let port = Port::plugged(&dir.path().join("port"));
    let lake = dir.path().join("lake");
    let preamble = agent::preamble(dir.path(), "200ms").replace("hold_untrusted = \"0s\"", "hold_untrusted = \"1h\"");
    let config = preamble
        + &probe("do-4", port.path(), "mg/L")
        + &agent::file_sink("usb", &lake, "ndjson")
        + &FORMATS.map(|format| sink(format, &broker.url(), format, "zstd")).concat();
    faketime::set(dir.path(), "@1970-01-01 00:00:10");
    let mut agent = faketime::launched(dir.path(), &config);
    agent.wait_ready();
    agent.wait_open(&port, "do-4");
    say(&port, 0..50);
    agent.wait_until("readings to be held", LIMIT, |status| {
        item(status, "instruments", "do-4")["readings_total"] == 200
            && FORMATS.iter().all(|sink| item(status, "sinks", sink)["state"] == "holding")
    });
    faketime::set(dir.path(), "+0");
    agent.wait_until("the clock to be trusted", LIMIT, |status| status["clock"]["state"] == "synced");
    say(&port, 50..100);
    wait_read(&agent, "do-4", 400);
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let expected = reference(&lake);
    for clock in ["corrected", "synced"] {
        assert!(expected.iter().any(|row| row.clock == clock && row.time.starts_with("20")), "nothing is {clock}");
    }
    for format in FORMATS {
        let found = rows_of(&subscriber, format, expected.len());
        assert_same_rows(format, found, &expected, format != "senml");
    }
}

/// What waits from before a change of configuration is of series that the new heading does not know.
#[test]
fn a_backlog_from_before_a_change_of_units_brings_its_series_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    broker.stop();
    let port = Port::plugged(&dir.path().join("port"));
    let lake = dir.path().join("lake");
    let config = |unit: &str| {
        agent::preamble(dir.path(), "200ms")
            + &probe("do-4", port.path(), unit)
            + &sink("cloud", &broker.url(), "columnar", "none")
            + &agent::file_sink("usb", &lake, "ndjson")
    };
    let mut agent = Agent::started(dir.path(), &config("mg/L"));
    agent.wait_open(&port, "do-4");
    say(&port, 0..40);
    wait_read(&agent, "do-4", 160);
    agent.wait_until("the readings to be durable", LIMIT, |status| status["journal"]["at_risk_readings"] == 0);
    agent.kill();
    fs::write(agent.config(), config("%")).expect("write into the story's folder");
    agent.start();
    agent.wait_ready();
    agent.wait_open(&port, "do-4");
    say(&port, 40..80);
    wait_read(&agent, "do-4", 160);
    broker.start();
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let expected = reference(&lake);
    for unit in ["mg/L", "%"] {
        assert_eq!(expected.iter().filter(|row| row.whole["unit"] == unit).count(), 40, "{unit}");
    }
    assert_same_rows("cloud", rows_of(&subscriber, "cloud", expected.len()), &expected, true);
    let messages = subscriber.messages().into_iter().map(|message| message.topic);
    let headings: BTreeSet<String> = messages.filter(|topic| topic.contains("/series/")).collect();
    assert_eq!(headings.len(), 1, "that of the configuration in force: {headings:?}");
}
