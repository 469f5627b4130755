//! The commands a person and a script use beside the daemon.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::patience::wait_for;
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

/// A profile that ships, of an instrument that talks by itself.
const PROFILE: &str = "aanderaa-optode-4831";

/// An agent with one instrument that has said `count` lines, all of them durable and delivered.
fn agent_that_has_heard(dir: &Path, count: u64) -> (Agent, Port) {
    let port = Port::plugged(&dir.join("port"));
    let config = agent::preamble(dir, "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &dir.join("lake"), "ndjson");
    let agent = Agent::started(dir, &config);
    agent.wait_open(&port, "counter");
    for number in 1..=count {
        port.send(format!("n,{number}\r\n").as_bytes(), LIMIT);
    }
    agent.wait_until("all readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"] == count
            && status["journal"]["at_risk_readings"] == 0
            && item(status, "sinks", "usb")["lag_readings"] == 0
    });
    (agent, port)
}

/// Whether a value is there and of this kind.
fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "text" => value.is_string(),
        "count" => value.is_u64(),
        "number" => value.is_number(),
        "text or null" => value.is_string() || value.is_null(),
        "number or null" => value.is_number() || value.is_null(),
        _ => value.is_array() || value.is_object(),
    }
}

#[test]
fn status_has_every_field_a_script_may_rely_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, _port) = agent_that_has_heard(dir.path(), 10);
    let output = agent.cli(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "all is well: {}", agent::stdout(&output));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((status["device"].as_str(), status["site"].as_str()), (Some("gw-1"), Some("farm")));
    let fields = [
        ("", vec![("version", "text"), ("epoch", "text"), ("uptime_s", "number"), ("instruments", "list")]),
        ("/config", vec![("revision", "text or null"), ("hash", "text")]),
        ("/clock", vec![("state", "text")]),
        (
            "/journal",
            vec![
                ("head", "count"),
                ("tail", "count"),
                ("bytes", "count"),
                ("bytes_max", "count"),
                ("at_risk_readings", "count"),
            ],
        ),
        (
            "/instruments/0",
            vec![
                ("id", "text"),
                ("bus", "text"),
                ("state", "text"),
                ("last_reading_at", "text"),
                ("readings_total", "count"),
                ("frames_refused_total", "count"),
                ("last_error", "text or null"),
                ("values", "list"),
            ],
        ),
        (
            "/sinks/0",
            vec![
                ("id", "text"),
                ("type", "text"),
                ("state", "text"),
                ("lag_readings", "count"),
                ("lag_s", "number or null"),
                ("delivered_total", "count"),
                ("quarantined_batches", "count"),
                ("last_success_at", "text"),
                ("last_error", "text or null"),
            ],
        ),
    ];
    for (place, fields) in fields {
        let part = status.pointer(place).unwrap_or_else(|| panic!("{place} is not in {status:#}"));
        for (field, kind) in fields {
            let present = part.get(field).unwrap_or_else(|| panic!("{place}/{field} is not in {status:#}"));
            assert!(is(present, kind), "{place}/{field} is no {kind}: {present}");
        }
    }

    let screen = agent::stdout(&agent.cli(&["status"]));
    for word in ["gw-1", "counter", "usb", "number"] {
        assert!(screen.contains(word), "the screen does not show {word}:\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "NO_COLOR is not honoured: {screen:?}");

    agent.terminate();
    assert_eq!(agent.cli(&["status"]).status.code(), Some(exit::UNAVAILABLE), "nobody is there to ask");
}

#[test]
fn tail_shows_the_latest_of_the_journal_with_and_without_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, _port) = agent_that_has_heard(dir.path(), 100);
    let latest = |agent: &Agent| -> Vec<Option<f64>> { agent.tail(3).iter().map(|row| row.value).collect() };
    assert_eq!(latest(&agent), [Some(98.0), Some(99.0), Some(100.0)]);
    let screen = agent::stdout(&agent.cli(&["tail", "-n", "3"]));
    assert_eq!(screen.lines().count(), 3, "three rows, three lines:\n{screen}");
    let last = screen.lines().last().unwrap_or_default();
    assert!(["counter", "number", "100"].iter().all(|word| last.contains(word)), "{last}");

    agent.terminate();
    let rows = agent.tail(1_000);
    let readings: Vec<_> = rows.iter().filter(|row| row.is_reading()).filter_map(|row| row.value).collect();
    assert_eq!(readings, (1..=100).map(f64::from).collect::<Vec<_>>());
    assert!(rows.iter().any(|row| row.event == "boot"), "events stand in the same journal");
    assert!(rows.windows(2).all(|pair| pair[0].seq < pair[1].seq), "out of order");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    // More than a pipe holds.
    let (agent, _port) = agent_that_has_heard(dir.path(), 2_000);
    let mut command = Command::new(places::tidegate());
    command.arg("--config").arg(agent.config()).args(["tail", "--json", "-n", "2000"]);
    let mut tail = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // The reader, and with it our end of the pipe, is gone after one line.
    BufReader::with_capacity(64, tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"seq\""), "{line}");
    let output = tail.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    assert!(output.stderr.is_empty(), "{}", agent::stderr(&output));
}

#[test]
fn a_simulated_instrument_is_read_with_its_own_profile() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = leashed(&places::tidegate());
    command.args(["simulate", PROFILE]);
    let simulator = Process::start("simulator", command, &dir.path().join("simulator.log"));
    let port = wait_for(
        "the simulator to print its port",
        LIMIT,
        || simulator.log_tail(),
        || {
            let log = simulator.log();
            let path = log.split_whitespace().find(|word| word.starts_with("/dev/pts/"))?;
            Some(PathBuf::from(path))
        },
    );

    let config = agent::preamble(dir.path(), "100ms")
        + &format!("[bus.line]\nport = \"{}\"\nbaud = 9600\n\n", port.display())
        + &format!("[instrument.probe]\nbus = \"line\"\nprofile = \"{PROFILE}\"\n\n");
    let mut agent = Agent::started(dir.path(), &config);
    let status = agent.wait_until("readings of the simulated instrument", LIMIT, |status| {
        item(status, "instruments", "probe")["readings_total"].as_u64() >= Some(10)
    });
    assert_eq!(item(&status, "instruments", "probe")["frames_refused_total"], 0, "{status:#}");
    agent.terminate();
}

#[test]
fn a_wrong_command_line_is_told_apart_from_all_else() {
    let wrong = [
        ["nonsense"].as_slice(),
        &["simulate", "no-such-profile"],
        &["tail", "-n", "many"],
        &["profiles", "no-such-profile"],
        &["probe"],
        &["probe", "--profile", "no-such-profile", "--input", "/dev/null"],
        &["probe", "--profile", PROFILE],
    ];
    for args in wrong {
        let output = agent::run(args);
        assert_eq!(output.status.code(), Some(exit::USAGE), "{args:?}: {}", agent::stderr(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?} speaks on the wrong stream");
    }
    let help = agent::run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "demo", "check", "status", "tail", "simulate", "probe", "profiles"] {
        assert!(agent::stdout(&help).contains(command), "--help does not name {command}");
    }
}

/// What a command prints with `--json`, an object a line.
fn objects(args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = agent::run(&[args, &["--json"]].concat());
    let lines = agent::stdout(&output);
    let objects =
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    (output.status.code(), objects.collect())
}

#[test]
fn shipped_profiles_are_listed_and_shown_whole() {
    let list = agent::stdout(&agent::run(&["profiles"]));
    let (code, objects) = objects(&["profiles"]);
    assert_eq!(code, Some(0));
    let profiles = objects[0].as_array().expect("a list");
    assert!(profiles.len() >= 50, "{}", profiles.len());
    for profile in profiles {
        let text = |key: &str| profile[key].as_str().unwrap_or_else(|| panic!("{key} is not in {profile}"));
        assert!(list.contains(text("name")) && list.contains(text("title")), "the table lacks {}", text("name"));
        assert!(["verified", "unverified"].contains(&text("status")), "{profile}");
        assert!(["stream", "poll", "modbus-rtu", "sdi12"].contains(&text("type")), "{profile}");
    }
    let whole = agent::stdout(&agent::run(&["profiles", PROFILE]));
    assert!(
        whole.contains("[instrument.protocol]") && whole.contains("[instrument.quantity.dissolved_oxygen]"),
        "{whole}"
    );
    let wrong = agent::run(&["profiles", "aanderaa-optode"]);
    assert_eq!(wrong.status.code(), Some(exit::USAGE));
    assert!(agent::stderr(&wrong).contains("did you mean \"aanderaa-optode-"), "{}", agent::stderr(&wrong));
}

#[test]
fn captured_bytes_show_step_by_step_what_becomes_of_them() {
    let capture = places::data("nmea/sounder.log");
    let capture = capture.to_str().expect("a path of ours");
    let (code, seen) = objects(&["probe", "--profile", "nmea-sounder", "--input", capture]);
    assert_eq!(code, Some(0), "every sentence is whole");
    let totals = seen.last().expect("totals");
    assert_eq!((&totals["seen"], &totals["refused"], &totals["samples"]), (&"totals".into(), &0.into(), &122.into()));
    let first = seen.iter().find(|one| one["became"] == "values").expect("a depth");
    assert_eq!(first["text"], "$SDDBT,7.7,f,2.3,M,1.3,F*05");
    assert_eq!((&first["check"], &first["from"]), (&"passed".into(), &165.into()));
    let depth = &first["values"][0];
    assert_eq!((&depth["said"], &depth["value"], &depth["unit"]), (&"2.3".into(), &2.3.into(), &"m".into()));

    let text = agent::stdout(&agent::run(&["probe", "--profile", "nmea-sounder", "--input", capture]));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "a line is too long");
    let value = text.lines().find(|line| line.contains("water_depth")).expect("a value");
    assert!(value.contains("2.3 m") && value.contains("pass") && value.contains("said \"2.3\""), "{value}");
}

#[test]
fn a_frame_that_is_refused_says_why_and_ends_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tidegate.toml");
    std::fs::write(&config, agent::preamble(dir.path(), "100ms") + &agent::counter("counter", Path::new("/dev/null")))
        .unwrap();
    let capture = dir.path().join("capture");
    std::fs::write(&capture, b"boot\xff\r\nn,1\r\nn,x\r\nn,1,2\r\nn,4").unwrap();
    let (config, capture) = (config.to_str().unwrap(), capture.to_str().unwrap());
    let (code, seen) = objects(&["--config", config, "probe", "counter", "--input", capture]);
    assert_eq!(code, Some(exit::NOT_FINE));
    let story: Vec<String> = seen
        .iter()
        .map(|one| match one["seen"].as_str() {
            Some("frame") => format!("{} {}", one["text"], one["says"].as_str().unwrap_or("a value")),
            Some(kind) => format!("{kind} {}", one["text"].as_str().unwrap_or_default()),
            None => panic!("{one}"),
        })
        .collect();
    assert_eq!(
        story,
        [
            "\"boot\\\\xff\" the frame has no start marker",
            "\"n,1\" a value",
            "\"n,x\" 2: \"x\" is no number",
            "\"n,1,2\" the frame has 3 columns, not 2",
            "unfinished n,4",
            "totals "
        ]
    );
    let converted = dir.path().join("converted");
    std::fs::write(&converted, b"n,1\nn,2\n").unwrap();
    let converted = converted.to_str().unwrap();
    let converted = agent::run(&["--config", config, "probe", "counter", "--input", converted]);
    assert_eq!(converted.status.code(), Some(exit::NOT_FINE));
    assert!(agent::stderr(&converted).contains("LF where the instrument says CR LF"), "{}", agent::stderr(&converted));
    let missing = agent::run(&["--config", config, "probe", "conter", "--input", capture]);
    assert_eq!(missing.status.code(), Some(exit::USAGE));
    assert!(agent::stderr(&missing).contains("did you mean \"counter\"?"), "{}", agent::stderr(&missing));
    let unread = agent::run(&["--config", config, "probe", "counter", "--input", "/nonexistent"]);
    assert_eq!(unread.status.code(), Some(exit::DISK));
    let wrong = agent::run(&["--config", "/nonexistent.toml", "probe", "counter", "--input", capture]);
    assert_eq!(wrong.status.code(), Some(exit::CONFIG));
}

#[test]
fn an_instrument_is_tried_on_its_port_and_not_while_the_daemon_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("asked");
    let python = places::python("helpers/asked.py");
    let mut command = leashed(Path::new(python.get_program()));
    command.args(python.get_args()).arg(&link).args(["sdi12:0", "ezo"]);
    let rig = Process::start("instruments", command, &dir.path().join("instruments.log"));
    wait_for("the port", LIMIT, || rig.log_tail(), || link.try_exists().ok()?.then_some(()));
    let port = link.to_str().expect("a path of ours");
    let (code, seen) = objects(&["probe", "--profile", "atlas-ezo-ph-polled", "--port", port]);
    assert_eq!(code, Some(0), "{seen:#?}");
    let sent: Vec<&str> =
        seen.iter().filter(|one| one["seen"] == "sent").filter_map(|one| one["text"].as_str()).collect();
    assert_eq!(sent, ["*OK,1\\r", "C,0\\r", "R\\r"], "it is set up, and asked once");
    let value = seen.iter().find(|one| one["became"] == "values").expect("a pH");
    assert_eq!(value["values"][0]["value"], 8.69);
    drop(rig);

    let (mut agent, _port) = agent_that_has_heard(dir.path(), 10);
    let held = agent.cli(&["probe", "counter"]);
    assert_eq!(held.status.code(), Some(exit::DISK));
    assert!(agent::stderr(&held).contains("the daemon has"), "{}", agent::stderr(&held));
    agent.terminate();
}
