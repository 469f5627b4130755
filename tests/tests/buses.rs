//! Instruments that are asked: many on one line, late ones, dead ones, and ones that talk in between.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::patience::wait_for;
use e2e::places;
use e2e::process::{Process, leashed};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

/// Instruments on a line of their own; unplugged when dropped.
struct Rig {
    process: Process,
    link: PathBuf,
}

impl Rig {
    fn plug(dir: &Path, kinds: &[&str]) -> Self {
        let link = dir.join("port");
        let python = places::python("helpers/asked.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(&link).args(kinds);
        let process = Process::start("instruments", command, &dir.join("instruments.log"));
        wait_for("the port", LIMIT, || process.log_tail(), || link.try_exists().ok()?.then_some(()));
        Self { process, link }
    }

    fn unplug(self) {
        self.process.kill();
        std::fs::remove_file(&self.link).expect("the rig made it");
    }
}

fn bus(dir: &Path) -> String {
    format!("[bus.pond]\nport = \"{}\"\nbaud = 19200\n\n", dir.join("port").display())
}

/// A unit with three registers far apart, so that three requests look alike.
fn unit(name: &str, unit: u8, timeout: &str) -> String {
    let mut text = format!(
        "[instrument.{name}]\nbus = \"pond\"\nevery = \"500ms\"\n[instrument.{name}.protocol]\n\
         type = \"modbus-rtu\"\nunit = {unit}\ntimeout = \"{timeout}\"\nretries = 1\n"
    );
    for register in [0, 100, 200] {
        writeln!(text, "[instrument.{name}.quantity.r{register}]\nregister = {register}\nunit = \"1\"")
            .expect("a string takes it");
    }
    text
}

fn readings(status: &Value, instrument: &str) -> u64 {
    item(status, "instruments", instrument)["readings_total"].as_u64().unwrap_or_default()
}

fn state<'a>(status: &'a Value, instrument: &str) -> &'a str {
    item(status, "instruments", instrument)["state"].as_str().unwrap_or_default()
}

/// Every value of `name` stands under the register that holds it.
fn assert_filed_right(agent: &Agent, name: &str) {
    let durable = || -> Vec<_> {
        agent.tail(10_000).into_iter().filter(|row| row.instrument == name && row.is_reading()).collect()
    };
    agent.wait_until("its readings to be durable", LIMIT, |_| !durable().is_empty());
    for row in durable() {
        let register: f64 = row.quantity.trim_start_matches('r').parse().expect("a register's number");
        assert_eq!(row.value.map(|value| value.to_string()), Some((register + 1000.0).to_string()), "{}", row.quantity);
    }
}

#[test]
fn a_unit_that_answers_too_late_never_has_a_value_filed_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let _rig = Rig::plug(dir.path(), &["modbus:1:150"]);
    let config = agent::preamble(dir.path(), "200ms") + &bus(dir.path()) + &unit("late", 1, "100ms");
    let agent = Agent::started(dir.path(), &config);
    agent.wait_until("late readings", LIMIT, |status| readings(status, "late") >= 30);
    assert_filed_right(&agent, "late");
}

#[test]
fn a_dead_unit_is_told_and_delays_no_other_and_a_pulled_plug_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::plug(dir.path(), &["modbus:1:5"]);
    let config = agent::preamble(dir.path(), "200ms")
        + &bus(dir.path())
        + &unit("alive", 1, "200ms")
        + &unit("dead", 9, "200ms");
    let agent = Agent::started(dir.path(), &config);
    let is_told = || agent.tail(10_000).iter().any(|row| row.instrument == "dead" && row.event == "instrument-down");
    let before = agent.wait_until("the dead one to be told", LIMIT, |status| {
        state(status, "dead") == "silent" && state(status, "alive") == "up" && is_told()
    });
    agent.wait_until("the other to go on", LIMIT, |status| readings(status, "alive") > readings(&before, "alive") + 30);

    rig.unplug();
    agent.wait_until("the plug to be missed", LIMIT, |status| state(status, "alive") == "down");
    let _rig = Rig::plug(dir.path(), &["modbus:1:5", "modbus:9:5"]);
    agent.wait_until("both to answer", LIMIT, |status| state(status, "alive") == "up" && state(status, "dead") == "up");
    assert_filed_right(&agent, "alive");
    assert_filed_right(&agent, "dead");
}

#[test]
fn an_sdi12_sensor_is_measured_and_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let _rig = Rig::plug(dir.path(), &["sdi12:0"]);
    let config = agent::preamble(dir.path(), "200ms")
        + &bus(dir.path())
        + "[instrument.ctd]\nbus = \"pond\"\nevery = \"2s\"\n[instrument.ctd.protocol]\ntype = \"sdi12\"\naddress = \"0\"\n\
           [instrument.ctd.quantity.temperature]\nfield = 2\nunit = \"Cel\"\n";
    let agent = Agent::started(dir.path(), &config);
    let status = agent.wait_until("a measurement", LIMIT, |status| readings(status, "ctd") >= 2);
    assert_eq!(item(&status, "instruments", "ctd")["values"]["temperature"]["value"], 26.4);
}

#[test]
fn an_atlas_circuit_is_hushed_and_asked() {
    let dir = tempfile::tempdir().unwrap();
    let _rig = Rig::plug(dir.path(), &["ezo"]);
    let config = agent::preamble(dir.path(), "200ms")
        + &bus(dir.path())
        + "[instrument.do]\nbus = \"pond\"\nevery = \"1s\"\n[instrument.do.protocol]\ntype = \"poll\"\n\
           frame = { type = \"line\", end = \"\\r\" }\ninit = [ { send = \"C,0\\r\", expect = '^\\*OK$' } ]\n\
           steps = [ { send = \"R\\r\", until = '^\\*OK$', fail = '^\\*ER$', timeout = \"1500ms\" } ]\n\
           decode = { type = \"regex\", pattern = '^(?P<do>[0-9.]+)$' }\n\
           [instrument.do.quantity.oxygen]\nfield = \"do\"\nunit = \"mg/L\"\n";
    let agent = Agent::started(dir.path(), &config);
    agent.wait_until("readings", LIMIT, |status| readings(status, "do") >= 4);
    let rows: Vec<_> = agent.tail(1_000).into_iter().filter(e2e::row::Row::is_reading).collect();
    assert!(rows.iter().all(|row| row.value.map(|value| value.to_string()) == Some("8.69".to_owned())), "{rows:?}");
}
