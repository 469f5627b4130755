//! Instruments and masters that others wrote: what the agent files is what they said.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::patience::wait_for;
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::row::Row;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

/// Somebody else's instrument on a line of its own.
struct Other {
    process: Process,
    link: PathBuf,
    heard: PathBuf,
}

impl Other {
    fn plug(dir: &Path, kind: &str) -> Self {
        let (link, heard) = (dir.join("port"), dir.join("heard"));
        let python = places::python("helpers/others.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(&link).arg(&heard).arg(kind);
        let process = Process::start(kind, command, &dir.join("instrument.log"));
        wait_for("the port", LIMIT, || process.log_tail(), || link.try_exists().ok()?.then_some(()));
        Self { process, link, heard }
    }

    fn bus(&self) -> String {
        format!("[bus.line]\nport = \"{}\"\nbaud = 19200\n\n", self.link.display())
    }

    /// The lines that the instrument has said.
    fn said(&self) -> Vec<String> {
        let heard = String::from_utf8_lossy(&fs::read(&self.heard).unwrap_or_default()).into_owned();
        heard.split(['\r', '\n']).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

fn readings(status: &Value, instrument: &str) -> u64 {
    item(status, "instruments", instrument)["readings_total"].as_u64().unwrap_or_default()
}

fn durable(agent: &Agent, enough: usize) -> Vec<Row> {
    let rows = || -> Vec<Row> { agent.tail(10_000).into_iter().filter(Row::is_reading).collect() };
    agent.wait_until("its readings to be durable", LIMIT, |_| rows().len() >= enough);
    rows()
}

#[test]
fn the_agent_and_two_other_masters_read_the_same_from_another_slave() {
    let dir = tempfile::tempdir().unwrap();
    let slave = Other::plug(dir.path(), "modbus");
    let mut config = agent::preamble(dir.path(), "200ms")
        + &slave.bus()
        + "[instrument.probe]\nbus = \"line\"\nevery = \"500ms\"\n\
           [instrument.probe.protocol]\ntype = \"modbus-rtu\"\nunit = 1\n";
    for (register, kind) in [(100, "f32"), (102, "f32"), (104, "f32"), (200, "i32"), (2, "i16"), (120, "f32")] {
        writeln!(config, "[instrument.probe.quantity.r{register}]\nregister = {register}\ntype = \"{kind}\"")
            .expect("a string takes it");
        config += "missing = [-9999.0]\n";
    }
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_until("readings", LIMIT, |status| readings(status, "probe") >= 12);
    let rows = durable(&agent, 6);
    // The line is free for the others.
    agent.terminate();
    let output = places::python("helpers/masters.py").arg(&slave.link).output().expect("python runs");
    assert!(output.status.success(), "{}\n{}", agent::stderr(&output), slave.process.log_tail());
    let masters: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for row in rows {
        if row.quantity == "r120" {
            assert_eq!((row.value, row.quality.as_str()), (None, "missing"), "its word for nothing");
            continue;
        }
        let ours = row.value.expect("a number");
        let exact = masters["minimalmodbus"][&row.quantity].as_f64().expect("minimalmodbus read it");
        // A 32 bit number as its own digits, not as the 64 bit number it would be padded to.
        #[expect(clippy::cast_possible_truncation, reason = "both come from 32 bits")]
        let is_same = (ours as f32).to_bits() == (exact as f32).to_bits();
        assert!(is_same, "{}: {ours}, minimalmodbus {exact}", row.quantity);
        let printed = masters["mbpoll"][&row.quantity].as_f64().expect("mbpoll read it");
        // It prints six digits.
        assert!((ours - printed).abs() <= ours.abs() * 1e-5, "{}: {ours}, mbpoll {printed}", row.quantity);
    }
}

#[test]
fn an_oxygen_circuit_that_streams_is_hushed_and_asked() {
    let dir = tempfile::tempdir().unwrap();
    let circuit = Other::plug(dir.path(), "ezo");
    let config = agent::preamble(dir.path(), "200ms")
        + &circuit.bus()
        + "[instrument.do]\nbus = \"line\"\nevery = \"1s\"\n[instrument.do.protocol]\ntype = \"poll\"\n\
           frame = { type = \"line\", end = \"\\r\" }\ninit = [ { send = \"C,0\\r\", expect = '^\\*OK$' } ]\n\
           steps = [ { send = \"R\\r\", until = '^\\*OK$', fail = '^\\*ER$', timeout = \"1500ms\" } ]\n\
           decode = { type = \"regex\", pattern = '^(?P<do>[0-9.]+)$' }\n\
           [instrument.do.quantity.dissolved_oxygen]\nfield = \"do\"\nunit = \"mg/L\"\n";
    let agent = Agent::started(dir.path(), &config);
    agent.wait_until("readings", LIMIT, |status| readings(status, "do") >= 6);
    let values: Vec<f64> = durable(&agent, 6).into_iter().filter_map(|row| row.value).collect();
    let said: Vec<f64> = circuit.said().iter().filter_map(|line| line.parse().ok()).collect();
    let is_same = |a: &f64, b: &f64| a.to_bits() == b.to_bits();
    // All that is filed was said, in that order.
    let mut rest = said.iter();
    assert!(values.iter().all(|value| rest.any(|said| is_same(said, value))), "{values:?} of {said:?}");
    let asked = circuit.said().iter().filter(|line| *line == "*OK").count();
    assert!(asked >= 6, "each was asked for: {:?}", circuit.said());
}

#[test]
fn a_scale_is_asked_and_its_status_gates_the_weight() {
    let dir = tempfile::tempdir().unwrap();
    let scale = Other::plug(dir.path(), "scale");
    let config = agent::preamble(dir.path(), "200ms")
        + &scale.bus()
        + "[instrument.scale]\nbus = \"line\"\nevery = \"500ms\"\n[instrument.scale.protocol]\ntype = \"poll\"\n\
           frame = { type = \"line\", end = \"\\r\\n\" }\nsteps = [ { send = \"S\\r\\n\", fail = '^(ES|S I)$' } ]\n\
           decode = { type = \"regex\", pattern = '^S (?P<status>[SD]) +(?P<weight>-?[0-9.]+) kg$' }\n\
           [instrument.scale.quantity.weight]\nfield = \"weight\"\nunit = \"kg\"\n\
           good = { field = \"status\", values = [\"S\"], suspect = [\"D\"] }\n";
    let agent = Agent::started(dir.path(), &config);
    agent.wait_until("readings", LIMIT, |status| readings(status, "scale") >= 4);
    let rows = durable(&agent, 4);
    let said = scale.said();
    assert!(said.iter().any(|line| line == "S S      0.000 kg"), "{said:?}");
    assert!(
        rows.iter()
            .all(|row| row.value.is_some_and(|value| value.abs() < f64::EPSILON) && row.quality == "not-evaluated"),
        "{rows:?}"
    );
}

#[test]
fn gpsd_reads_the_same_depths_from_a_sounder() {
    let dir = tempfile::tempdir().unwrap();
    let log = fs::read_to_string(places::data("nmea/sounder.log")).expect("a capture");
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &format!("[bus.line]\nport = \"{}\"\nbaud = 4800\n\n", port.path().display())
        + "[instrument.sounder]\nbus = \"line\"\n[instrument.sounder.protocol]\ntype = \"stream\"\n\
           frame = { type = \"line\", max = 256 }\ncheck = \"nmea-xor\"\ndecode = { type = \"nmea\" }\nignore = ['^#']\n\
           [instrument.sounder.quantity.water_depth]\nfield = \"DBT.3\"\nunit = \"m\"\n";
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "sounder");
    port.send(log.as_bytes(), LIMIT);
    let sentences = log.lines().filter(|line| line.starts_with("$SDDBT")).count();
    let ours = durable(&agent, sentences).into_iter().filter_map(|row| row.value).collect();

    let input = fs::File::open(places::data("nmea/sounder.log")).expect("a capture");
    let output = Command::new("gpsdecode").stdin(input).output().expect("tests/run installs gpsdecode");
    let reports = String::from_utf8_lossy(&output.stdout).into_owned();
    let reports = reports.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let theirs = reports.filter_map(|report| report["depth"].as_f64()).collect();
    // It reports once a cycle, and the first cycle is over before it knows how long one is: what is compared is how the
    // depth changed.
    let (ours, theirs) = (changes(ours), changes(theirs));
    assert!(theirs.len() > 20 && ours.ends_with(&theirs), "{ours:?}\n{theirs:?}");
}

fn changes(mut values: Vec<f64>) -> Vec<f64> {
    values.dedup();
    values
}
