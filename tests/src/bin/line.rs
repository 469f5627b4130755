//! How a line is used after an outage: prints each number with its limit, asserts nothing. `tests/bench line` runs it.
//!
//! The line is a relay with a delay and a rate; it loses no packets, as TCP would hide that from both ends.

use std::io;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::measure::{cpu_seconds, float, print};
use e2e::mosquitto::Mosquitto;
use e2e::patience::{now, pause, wait_for};
use e2e::pty::Port;
use e2e::seaweed::Seaweed;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::{Pace, Weather, Wire};

const LIMIT: Duration = Duration::from_mins(5);
const NEWEST_S_MAX: f64 = 5.0;
const IDLE_BYTES_MAX: f64 = 10_000.0;
const REFUSED_PERCENT_MAX: f64 = 0.1;
const UPLOAD_PERCENT_MIN: f64 = 90.0;
const REFUSED: Duration = Duration::from_mins(1);

fn main() -> io::Result<()> {
    println!("{:<42} {:>12} {:>12} {:>7}", "", "measured", "limit", "ratio");
    if std::env::args().nth(1).as_deref() == Some("upload") {
        return upload();
    }
    let satellite = Pace { delay: Duration::from_millis(300), bytes_per_second: 64_000 / 8 };
    let cellular = Pace { delay: Duration::from_millis(75), bytes_per_second: 384_000 / 8 };
    outage("600 ms, 64 kbit/s", satellite, 2_500, 70.0)?;
    outage("150 ms, 384 kbit/s", cellular, 15_000, 85.0)?;
    upload()?;
    idle()?;
    refused()
}

/// A backlog of objects as a farm has them, 50,000 rows of two to three bytes each, over 10 Mbit/s with a round trip of 40 ms.
fn upload() -> io::Result<()> {
    const ROWS: u64 = 1_200_000;
    /// What is read before more is said: the door of the journal is not to be full.
    const STEP: u64 = 20_000;
    let pace = Pace { delay: Duration::from_millis(20), bytes_per_second: 10_000_000 / 8 };
    let dir = tempfile::tempdir()?;
    let store = Seaweed::shared();
    store.make_bucket("backlog");
    let wire = Wire::to(store.port(), Some(pace));
    let port = Port::plugged(&dir.path().join("port"));
    let endpoint = format!("http://127.0.0.1:{}", wire.port());
    let config = agent::preamble(dir.path(), "100ms")
        + &agent::counter("counter", port.path())
        + &agent::s3_sink_at("lake", &endpoint, "backlog", "")
        + &agent::s3_key("lake", &store);
    wire.turn(Weather::Cut);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    // A value that wanders, in thousandths.
    let mut value = 8_000_u64;
    let mut next = |number: u64| {
        value += (number.wrapping_mul(2_654_435_761) >> 16) % 4_001;
        value = value.saturating_sub(2_000).clamp(1_000, 30_000);
        format!("n,{}.{:03}\r\n", value / 1_000, value % 1_000)
    };
    let lag = |status: &serde_json::Value| item(status, "sinks", "lake")["lag_readings"].as_u64().unwrap_or_default();
    for begin in (0..ROWS).step_by(usize::try_from(STEP).expect("small")) {
        for lines in (begin..begin + STEP).collect::<Vec<u64>>().chunks(5_000) {
            port.send(&lines.iter().flat_map(|number| next(*number).into_bytes()).collect::<Vec<u8>>(), LIMIT);
        }
        agent.wait_until("what was said to be read", LIMIT, |status| lag(status) >= begin + STEP);
    }
    wire.turn(Weather::Fair);
    wait_for("the store to be reached", LIMIT, String::new, || (wire.bytes().0 > 0).then_some(()));
    let (begin, mut last, spent) = (now(), (now(), 0), cpu_seconds(&agent)?);
    let mut look_at = begin;
    loop {
        pause(Duration::from_millis(10));
        let up = wire.bytes().0;
        if up > last.1 {
            last = (now(), up);
        }
        // Asking costs what the agent could use.
        if look_at.elapsed() > Duration::from_secs(1) {
            look_at = now();
            if agent.status().is_some_and(|status| lag(&status) < 50_000) {
                break;
            }
        }
    }
    let took = last.0.duration_since(begin).as_secs_f64();
    let used = float(last.1) / (took * float(pace.bytes_per_second)) * 100.0;
    let spent = cpu_seconds(&agent)? - spent;
    println!("{:<42} {:>9.2} B", "  a row of the backlog", float(last.1) / float(ROWS));
    println!("{:<42} {:>9.2} us", "  CPU for it, from the journal to the line", spent * 1e6 / float(ROWS));
    print("10 Mbit/s, 40 ms: line used by an upload", "%", used, UPLOAD_PERCENT_MIN, true);
    agent.terminate();
    Ok(())
}

/// An instrument talks on while the line is dead, which leaves a backlog of about a minute of the line.
fn outage(name: &str, pace: Pace, lines: u64, used_min: f64) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/+/+/readings", &dir.path().join("heard"));
    let wire = Wire::to(broker.port(), Some(pace));
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", &wire.url()).replace("batch", "keepalive = \"30s\"\nbatch");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let lag = |status: &serde_json::Value| item(status, "sinks", "cloud")["lag_readings"].as_u64();
    agent.wait_until("the broker", LIMIT, |status| lag(status) == Some(0));
    // As a modem does that has lost its cell: nobody is told.
    wire.turn(Weather::Dead);
    let backlog: Vec<u8> = (0..lines).flat_map(|number| format!("n,{number}\r\n").into_bytes()).collect();
    port.send(&backlog, LIMIT);
    agent.wait_until("a backlog", LIMIT, |status| lag(status) >= Some(lines));
    agent.wait_until("the line to be missed", LIMIT, |status| item(status, "sinks", "cloud")["state"] == "retrying");
    // One line a second from here on, with numbers of its own.
    let talker = Talker::start(port, 1, |number| format!("n,{}\r\n", 1_000_000 + number));
    pause(Duration::from_secs(5));

    let (begin, before) = (now(), wire.bytes().0);
    let newest = 1_000_000.0 + float(talker.count());
    wire.turn(Weather::Fair);
    wait_for("a reading taken after it", LIMIT, String::new, || {
        let is_newer = |row: &e2e::row::Row| row.value.is_some_and(|value| value > newest);
        subscriber.rows().iter().any(is_newer).then_some(())
    });
    let waited = begin.elapsed().as_secs_f64();
    agent.wait_until("the backlog to be over", LIMIT, |status| lag(status) < Some(100));
    let took = begin.elapsed().as_secs_f64() - waited.min(NEWEST_S_MAX);
    let used = float(wire.bytes().0 - before) / (took * float(pace.bytes_per_second)) * 100.0;
    print(&format!("{name}: newest after the line's return"), "s", waited, NEWEST_S_MAX, false);
    print(&format!("{name}: line used while it drains"), "%", used, used_min, true);
    drop(talker.stop());
    agent.terminate();
    Ok(())
}

/// Nothing is said but what keeps the line. TLS adds some 22 bytes a packet to it.
fn idle() -> io::Result<()> {
    const LOOK: Duration = Duration::from_secs(185);
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let wire = Wire::to(broker.port(), None);
    let config = agent::preamble(dir.path(), "1s") + &agent::mqtt_sink("cloud", &wire.url());
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_until("the broker", LIMIT, |status| item(status, "sinks", "cloud")["lag_readings"] == 0);
    pause(Duration::from_secs(5));
    let before = wire.bytes();
    pause(LOOK);
    let after = wire.bytes();
    let an_hour = float(after.0 - before.0 + after.1 - before.1) * 3_600.0 / LOOK.as_secs_f64();
    print("an idle hour, both ways, default keepalive", "B", an_hour, IDLE_BYTES_MAX, false);
    agent.terminate();
    Ok(())
}

/// Nobody listens at the broker's port.
fn refused() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = Port::plugged(&dir.path().join("port"));
    let sink = agent::mqtt_sink("cloud", &format!("mqtt://127.0.0.1:{}", e2e::places::free_port()));
    let config = agent::preamble(dir.path(), "1s") + &agent::counter("counter", port.path());
    let measured = |config: &str| -> io::Result<f64> {
        let mut agent = Agent::started(dir.path(), config);
        pause(Duration::from_secs(5));
        let before = cpu_seconds(&agent)?;
        pause(REFUSED);
        let spent = cpu_seconds(&agent)? - before;
        agent.terminate();
        Ok(spent / REFUSED.as_secs_f64() * 100.0)
    };
    let without = measured(&config)?;
    let with = measured(&(config + &sink))?;
    print("CPU while the broker refuses, of a core", "%", with - without, REFUSED_PERCENT_MAX, false);
    println!("{:<42} {without:>9.2} %", "  the rest of an idle agent");
    Ok(())
}
