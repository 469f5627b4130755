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
    for args in [["nonsense"].as_slice(), &["simulate", "no-such-profile"], &["tail", "-n", "many"]] {
        let output = agent::run(args);
        assert_eq!(output.status.code(), Some(exit::USAGE), "{args:?}: {}", agent::stderr(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?} speaks on the wrong stream");
    }
    let help = agent::run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "demo", "check", "status", "tail", "simulate"] {
        assert!(agent::stdout(&help).contains(command), "--help does not name {command}");
    }
}
