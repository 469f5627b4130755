//! The local web page: what it shows in a browser, what it takes from nobody, and that it costs the readings nothing.

mod guarded;
mod limits;
mod page;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::patience::wait_for;
use e2e::places::{self, free_port};
use e2e::pty::Port;
use e2e::talker::Talker;
use e2e::web;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const BROWSER_LIMIT: Duration = Duration::from_mins(3);
const TOKEN: &str = "correct-horse-battery-staple";
const PASSWORD: &str = "a-password-of-the-broker";

/// All that the page loads, with the first answers of the device.
const LOAD_BYTES_MAX: u64 = 150_000;

/// A counter with its port, the page, and a folder as its sink.
fn config(dir: &Path, port: &Port, web: u16, more: &str) -> String {
    let local = format!("web = \"127.0.0.1:{web}\"\n{more}\n");
    let base = agent::preamble(dir, "200ms").replace("[local]\n", &format!("[local]\n{local}"));
    base + &agent::counter("counter", port.path()) + &agent::file_sink("lake", &dir.join("lake"), "ndjson")
}

fn talking(port: Port) -> Talker {
    Talker::start(port, 20, |number| format!("n,{number}\r\n"))
}

fn started(dir: &Path, more: &str) -> (Agent, Talker, u16) {
    let (port, web) = (Port::plugged(&dir.join("port")), free_port());
    let agent = Agent::started(dir, &config(dir, &port, web, more));
    agent.wait_open(&port, "counter");
    web::wait_listening(web, LIMIT, || agent.log_tail());
    let talker = talking(port);
    agent.wait_until("readings", LIMIT, |status| item(status, "instruments", "counter")["state"] == "up");
    (agent, talker, web)
}

/// Where pictures are kept to be looked at.
fn pictures() -> PathBuf {
    let folder = places::tests().join("../target/web");
    fs::create_dir_all(&folder).expect("make a folder below target");
    folder
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn metrics_are_openmetrics_and_healthz_says_which_check_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, talker, port) = started(dir.path(), "");
    agent.wait_until("readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() > Some(20)
    });
    let answer = web::get(port, "/metrics", &[]);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    assert!(answer.body.ends_with("# EOF\n"));
    let families = parsed(&answer.body);
    let sample = |family: &str, label: (&str, &str)| -> Option<f64> {
        let samples = families[family]["samples"].as_array()?;
        samples.iter().find(|sample| label.0.is_empty() || sample[1][label.0] == label.1)?[2].as_f64()
    };
    assert!(sample("tidegate_instrument_readings", ("instrument", "counter")) > Some(20.0), "{families:#}");
    assert!(sample("tidegate_value", ("quantity", "number")) > Some(20.0), "{families:#}");
    assert!(sample("tidegate_process_resident_memory_bytes", ("", "")) > Some(1e6));
    assert!(sample("tidegate_uptime_seconds", ("", "")) < Some(600.0));
    assert_eq!(sample("tidegate_sink_state", ("tidegate_sink_state", "ok")), Some(1.0));
    assert_eq!(sample("tidegate_instrument_state", ("tidegate_instrument_state", "up")), Some(1.0));
    assert_eq!(families["tidegate_journal_committed_records"]["type"], "counter");
    assert!(families.as_object().expect("families").values().all(|family| family["help"] != ""), "{families:#}");
    // Another parser of the same text is the manual: `metrics.rs` holds it against the code.
    let manual = fs::read_to_string(places::tests().join("../docs/OPERATIONS.md")).unwrap();
    for name in families.as_object().expect("families").keys() {
        assert!(manual.contains(&format!("| `{name}")), "{name} is not in docs/OPERATIONS.md");
    }

    let health = web::get(port, "/healthz", &[]);
    assert_eq!((health.status, health.json()["faults"].clone()), (200, serde_json::json!([])), "{health:?}");
    let mut unplugged = talker.stop();
    unplugged.unplug();
    let health = wait_for(
        "healthz to say no",
        LIMIT,
        || agent.log_tail(),
        || Some(web::get(port, "/healthz", &[])).filter(|answer| answer.status == 503),
    );
    assert_eq!(health.json(), serde_json::json!({"status": "fault", "faults": ["instrument-heard:counter"]}));
    unplugged.plug();
    let _talker = talking(unplugged);
    wait_for(
        "healthz to say yes",
        LIMIT,
        || agent.log_tail(),
        || (web::get(port, "/healthz", &[]).status == 200).then_some(()),
    );
}

fn parsed(text: &str) -> Value {
    let mut python = places::python("helpers/openmetrics.py");
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the parser refuses\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
