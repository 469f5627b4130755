//! What the agent costs: prints each number with its limit, asserts nothing. `tests/bench` runs it.
//!
//! The agent has core 0 for itself; the instrument, the broker and this program share core 1.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::measure::{cpu_seconds, float, memory_mib, mib, pin, print};
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::patience::{now, pause};
use e2e::pki::{Authority, Leaf};
use e2e::places;
use e2e::pty::Port;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::Wire;
use serde_json::Value;

const LINES_PER_SECOND: u32 = 10_000;
const VALUES_PER_LINE: u64 = 4;
const WARM_UP: Duration = Duration::from_secs(5);
const TALK: Duration = Duration::from_secs(20);
const DRAIN_LIMIT: Duration = Duration::from_mins(3);

/// After so long a fresh agent has done what it does once.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE_MIB_MAX: f64 = 14.0;

const ALARMS: usize = 20;
const ALARM_MS_MAX: f64 = 200.0;

/// What a link that was cut may cost to take up again, over mutual TLS.
const RECONNECT_BYTES_MAX: f64 = 6144.0;

const BINARY_MIB_MAX: f64 = 16.0;

const STARTS: usize = 9;
const START_MS_MAX: f64 = 300.0;

fn main() -> io::Result<()> {
    println!("{:<42} {:>12} {:>12} {:>7}", "", "measured", "limit", "ratio");
    binary_size()?;
    start_to_durable()?;
    idle_memory()?;
    alarms()?;
    reconnects()?;
    throughput()
}

fn binary_size() -> io::Result<()> {
    print("binary", "MiB", mib(fs::metadata(places::tidegate())?.len()), BINARY_MIB_MAX, false);
    Ok(())
}

/// The instrument talks before the agent starts. `tail` shows only what is durable, so the first look that finds a
/// reading is an upper bound of the time it took, by as much as one look takes.
fn start_to_durable() -> io::Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let dir = tempfile::tempdir()?;
        let port = Port::plugged(&dir.path().join("port"));
        let config = agent::preamble(dir.path(), "1s") + &agent::counter("counter", port.path());
        let talker = Talker::start(port, 1_000, |number| format!("n,{number}\r\n"));
        let begin = now();
        let mut agent = Agent::launched(dir.path(), &config);
        pin(&agent)?;
        while !has_reading(&agent) {
            assert!(begin.elapsed() < DRAIN_LIMIT, "no reading became durable\n{}", agent.log_tail());
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        agent.terminate();
        drop(talker.stop());
    }
    times.sort_by(f64::total_cmp);
    print("run to first durable reading, median", "ms", times[STARTS / 2], START_MS_MAX, false);
    print("run to first durable reading, worst", "ms", times[STARTS - 1], START_MS_MAX, false);
    Ok(())
}

fn has_reading(agent: &Agent) -> bool {
    let rows = agent::stdout(&agent.cli(&["tail", "--json", "-n", "20"]));
    rows.lines().any(|row| row.contains("\"quantity\":\"number\""))
}

fn idle_memory() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let port = Port::plugged(&dir.path().join("port"));
    let mut agent = Agent::started(dir.path(), &config(dir.path(), &port, &broker));
    pin(&agent)?;
    pause(SETTLE);
    print("idle memory (RSS)", "MiB", memory_mib(&agent, "VmRSS")?, IDLE_MIB_MAX, false);
    println!("{:<42} {:>9.1} MiB", "  of it its own, not the binary's pages", memory_mib(&agent, "RssAnon")?);
    agent.terminate();
    Ok(())
}

/// From the last byte on the wire to the line that a subscriber writes down, broker and subscriber included.
fn alarms() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/+/+/alarm", &dir.path().join("heard"));
    let port = Port::plugged(&dir.path().join("port"));
    let watched = agent::counter("do-4", port.path()).trim_end().to_owned() + "\nalarm = { below = 4.0 }\n\n";
    let config = agent::preamble(dir.path(), "1s") + &watched + &agent::mqtt_sink("cloud", &broker.url());
    let mut agent = Agent::started(dir.path(), &config);
    pin(&agent)?;
    agent.wait_open(&port, "do-4");
    let mut times = Vec::new();
    for count in 1..=ALARMS {
        // Longer than a batch and a commit: the line is idle when the oxygen falls, and when it is back.
        pause(Duration::from_millis(1_100));
        let begin = now();
        port.send(if count % 2 == 1 { b"n,3.5\r\n" } else { b"n,5.5\r\n" }, DRAIN_LIMIT);
        while subscriber.messages().len() < count {
            assert!(begin.elapsed() < DRAIN_LIMIT, "no alarm\n{}", agent.log_tail());
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    print("alarm, wire to subscriber, median", "ms", times[ALARMS / 2], ALARM_MS_MAX, false);
    print("alarm, wire to subscriber, worst", "ms", times[ALARMS - 1], ALARM_MS_MAX, false);
    agent.terminate();
    Ok(())
}

/// TCP payload both ways, from the first byte of a handshake to the retained `status`, without readings.
fn reconnects() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(&dir.path().join("ca"));
    let (server, device) = (authority.issue(&Leaf::server("server")), authority.issue(&Leaf::client("device")));
    let ca = authority.certificate();
    let listener = Secured { ca: &ca, shows: &server, crl: None };
    let broker = Mosquitto::secured(&dir.path().join("broker"), &[listener]);
    let line = Wire::to(broker.secured_ports()[0], None);
    let config = agent::preamble(dir.path(), "1s")
        + &agent::mqtts_sink("cloud", &format!("mqtts://localhost:{}", line.port()), &ca, Some(&device), "");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_delivered(DRAIN_LIMIT);
    let is_resumed = |status: &Value, wanted: bool| item(status, "sinks", "cloud")["tls"]["is_resumed"] == wanted;
    agent.wait_until("a handshake", DRAIN_LIMIT, |status| is_resumed(status, false));
    pause(WARM_UP);
    let (first_up, first_down) = line.bytes();
    println!("{:<42} {first_up:>9} up, {first_down} down", "bytes of a first connection, one reading");
    line.cut();
    agent.wait_until("another handshake", DRAIN_LIMIT, |status| is_resumed(status, true));
    pause(WARM_UP);
    let (up, down) = (line.bytes().0 - first_up, line.bytes().1 - first_down);
    println!("{:<42} {up:>9} up, {down} down", "bytes of a reconnect");
    print("bytes of a reconnect, both ways", "B", float(up + down), RECONNECT_BYTES_MAX, false);
    agent.terminate();
    Ok(())
}

fn throughput() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let port = Port::plugged(&dir.path().join("port"));
    let mut agent = Agent::started(dir.path(), &config(dir.path(), &port, &broker));
    pin(&agent)?;
    agent.wait_open(&port, "logger");
    let cpu_before = cpu_seconds(&agent)?;
    let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("v,{number},21.53,7.82,1013.25\r\n"));

    // From when it runs steadily to when the talking stops: neither the first batch nor the last distorts it.
    pause(WARM_UP);
    let (begin, delivered_before) = (now(), delivered(&agent));
    pause(TALK);
    let lines = float((delivered(&agent) - delivered_before) / VALUES_PER_LINE);
    let rate = lines / begin.elapsed().as_secs_f64();
    let (stopped, taken) = (now(), talker.count());
    let port = talker.stop();
    let status = agent.wait_until("everything to be delivered", DRAIN_LIMIT, |status| {
        let read = item(status, "instruments", "logger")["readings_total"].as_u64();
        let head = status["journal"]["head"].as_u64().unwrap_or_default();
        read >= Some(taken * VALUES_PER_LINE) && item(status, "sinks", "cloud")["delivered_total"] == head - 1
    });
    let drained = stopped.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&agent)? - cpu_before;
    let read = item(&status, "instruments", "logger")["readings_total"].as_u64().unwrap_or_default();

    let seconds = (WARM_UP + TALK).as_secs_f64();
    print("lines of 4 values, port to broker's yes", "/s", rate, f64::from(LINES_PER_SECOND), true);
    print("lines read, of those the port took", "", float(read / VALUES_PER_LINE), float(taken), true);
    print("CPU seconds of the one core", "s", cpu, seconds, false);
    println!("{:<42} {drained:>9.1} s", "from the last line to the last broker's yes");
    println!("{:<42} {:>9.1} MiB", "memory after it (RSS)", memory_mib(&agent, "VmRSS")?);
    agent.terminate();
    drop(port);
    Ok(())
}

fn delivered(agent: &Agent) -> u64 {
    let status = agent.status().unwrap_or(Value::Null);
    item(&status, "sinks", "cloud")["delivered_total"].as_u64().unwrap_or_default()
}

fn config(dir: &Path, port: &Port, broker: &Mosquitto) -> String {
    let mut text = agent::preamble(dir, "1s") + &agent::mqtt_sink("cloud", &broker.url());
    let path = port.path().display();
    write!(text, "[bus.line]\nport = \"{path}\"\nbaud = 921600\n\n").expect("a string takes it");
    text += "[instrument.logger]\nbus = \"line\"\n\n[instrument.logger.protocol]\ntype = \"stream\"\n\
             frame = { type = \"line\", start = \"v,\", end = \"\\r\\n\", max = 128 }\n\
             decode = { type = \"delimited\", sep = \",\", columns = 5 }\n\n";
    for (field, quantity) in (2..).zip(["number", "water_temperature", "dissolved_oxygen", "air_pressure"]) {
        write!(text, "[instrument.logger.quantity.{quantity}]\nfield = {field}\nunit = \"1\"\n\n")
            .expect("a string takes it");
    }
    text
}
