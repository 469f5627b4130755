//! The commands that look into the journal's folder, with the agent and without it, and what becomes of a damaged one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::patience::now;
use e2e::pty::Port;
use e2e::row::Row;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
/// A start on a damaged journal, on a machine that builds beside it; alone it takes a tenth of that.
const DAMAGED_START_LIMIT: Duration = Duration::from_secs(10);

/// An agent whose instrument has said the numbers from `first` on, `count` of them, all durable and delivered.
fn agent_that_has_heard(dir: &Path, first: u64, count: u64) -> (Agent, Port) {
    let port = Port::plugged(&dir.join("port"));
    let config = agent::preamble(dir, "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &dir.join("lake"), "ndjson");
    let agent = Agent::started(dir, &config);
    say(&agent, &port, first, count);
    (agent, port)
}

fn say(agent: &Agent, port: &Port, first: u64, count: u64) {
    agent.wait_open(port, "counter");
    for number in first..first + count {
        port.send(format!("n,{number}\r\n").as_bytes(), LIMIT);
    }
    agent.wait_until("all readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"] == count
            && status["journal"]["at_risk_readings"] == 0
            && item(status, "sinks", "usb")["lag_readings"] == 0
    });
}

fn rows(text: &str) -> Vec<Row> {
    let row = |line| Row::of_object(&serde_json::from_str(line).expect("a line of JSON"), "").expect("a row");
    text.lines().map(row).collect()
}

/// Runs a command that must end so; its standard output.
#[track_caller]
fn cli(agent: &Agent, args: &[&str], code: i32) -> String {
    let output = agent.cli(args);
    let (out, err) = (agent::stdout(&output), agent::stderr(&output));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{err}");
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn generations(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("journal")).expect("a journal").map(|entry| entry.expect("readable").path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.file_name().expect("a name").to_string_lossy().starts_with("g0")).collect();
    found.sort();
    found
}

#[test]
fn stat_export_and_verify_say_the_same_with_the_agent_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, _port) = agent_that_has_heard(dir.path(), 1, 50);
    let ask = |agent: &Agent| {
        let export = cli(agent, &["journal", "export", "--instrument", "counter"], 0);
        let verify = cli(agent, &["--json", "journal", "verify"], 0);
        let stat = json(&cli(agent, &["--json", "journal", "stat"], 0));
        (export, json(&verify)["ok"].clone(), stat)
    };
    let (export, ok, stat) = ask(&agent);
    let readings: Vec<Row> = rows(&export).into_iter().filter(Row::is_reading).collect();
    let expected: Vec<Option<f64>> = (1..=50).map(|number| Some(f64::from(number))).collect();
    assert_eq!(readings.iter().map(|row| row.value).collect::<Vec<_>>(), expected);
    assert_eq!(ok, true);
    assert_eq!(stat["cursors"][0]["sink"], "usb");
    assert_eq!(stat["generations"].as_array().unwrap().len(), 1);
    assert!(stat["head"].as_u64() > Some(50) && stat["bytes"].as_u64() > Some(0) && stat["oldest"].is_string());

    // Half of it by position, the same half by time from its first on.
    let (first, next) = (readings[10].seq.to_string(), readings[20].seq.to_string());
    let part = cli(&agent, &["journal", "export", "--from", &first, "--to", &next, "--instrument", "counter"], 0);
    assert_eq!(rows(&part), readings[10..20]);
    let timed = cli(&agent, &["journal", "export", "--from", &readings[10].time, "--instrument", "counter"], 0);
    assert!(rows(&timed).len() >= 40 && rows(&timed).iter().all(|row| row.time >= readings[10].time));
    cli(&agent, &["journal", "export", "--from", "yesterday"], exit::USAGE);
    cli(&agent, &["journal", "repair"], exit::UNAVAILABLE);

    agent.terminate();
    let (at_rest, ok, rest) = ask(&agent);
    assert!(at_rest.starts_with(&export), "the folder says what the agent said");
    assert_eq!((ok, &rest["epoch"], &rest["tail"]), (Value::Bool(true), &stat["epoch"], &stat["tail"]));
    assert!(cli(&agent, &["journal", "stat"], 0).contains("cursor       usb: all before"));
}

#[test]
fn a_damaged_journal_is_salvaged_at_the_start_and_the_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, port) = agent_that_has_heard(dir.path(), 1, 200);
    let before = rows(&cli(&agent, &["journal", "export"], 0));
    agent.terminate();
    // An empty snapshot alone makes sled refuse the whole log.
    for snapshot in fs::read_dir(&generations(dir.path())[0]).unwrap().map(|entry| entry.unwrap().path()) {
        if snapshot.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::write(snapshot, b"").unwrap();
        }
    }
    cli(&agent, &["journal", "verify"], exit::NOT_FINE);
    let started = now();
    agent.start();
    agent.wait_ready();
    assert!(started.elapsed() < DAMAGED_START_LIMIT, "the start took {:?}", started.elapsed());
    say(&agent, &port, 1_001, 20);
    let after = rows(&cli(&agent, &["journal", "export"], 0));
    assert!(after.len() > before.len() && after[..before.len()] == before[..], "nothing of it was lost");
    e2e::row::assert_each_once(&after);
    assert_eq!(json(&cli(&agent, &["--json", "journal", "verify"], 0))["ok"], true);
    let stat = json(&cli(&agent, &["--json", "journal", "stat"], 0));
    assert_eq!(stat["quarantined"]["generations"].as_array().unwrap().len(), 1);
    agent.terminate();
}

#[test]
fn repair_saves_what_reads_keeps_the_old_one_and_names_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, port) = agent_that_has_heard(dir.path(), 1, 100);
    let before = rows(&cli(&agent, &["journal", "export"], 0));
    let head = before.last().unwrap().seq + 1;
    agent.terminate();
    fs::write(generations(dir.path())[0].join("db"), b"gone").unwrap();
    let output = agent.cli(&["journal", "verify"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}", agent::stderr(&output));
    let repaired = json(&cli(&agent, &["--json", "journal", "repair"], 0));
    assert_eq!(repaired["saved"], 0);
    let gap = &repaired["gaps"][0]["range"];
    assert!(gap["first"] == 1 && gap["next"].as_u64() >= Some(head), "{repaired}");
    let kept = PathBuf::from(repaired["kept"].as_str().unwrap());
    assert_eq!(kept, dir.path().join("journal.damaged-1"));
    assert!(kept.join("epoch").is_file() && kept.join("cursors").is_dir(), "the old one is whole");
    cli(&agent, &["journal", "verify"], 0);

    agent.start();
    agent.wait_ready();
    say(&agent, &port, 1_001, 20);
    let after = rows(&cli(&agent, &["journal", "export"], 0));
    assert!(after.iter().all(|row| row.seq >= head), "no number is used twice");
    assert!(after.iter().any(|row| row.event == "gap" && row.whole["reason"] == "corrupt"), "the loss is told");
    agent.terminate();
}
