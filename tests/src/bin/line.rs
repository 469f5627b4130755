//! How a line is used after an outage: prints each number with its limit, asserts nothing. `tests/bench line` runs it.
//!
//! The line is a relay with a delay and a rate, and then one that loses packets, too, which needs root. With
//! an argument: only the lines whose name holds it.

use std::io;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::air::{Air, Climate};
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
    let wanted = std::env::args().nth(1).unwrap_or_default();
    // What is called 150 ms is meant one way by some: that line has a row of twice the delay.
    let slow = Kind { round_trip_ms: 300, ..CELLULAR };
    let lossless = [SATELLITE, CELLULAR].map(|kind| (kind, None));
    let lossy = [(SATELLITE, 0.02), (CELLULAR, 0.05), (slow, 0.05)];
    let lossy = lossy.into_iter().flat_map(|(kind, loss)| ["cubic", "bbr"].map(|way| (kind, Some((loss, way)))));
    for (kind, loss) in lossless.into_iter().chain(lossy) {
        let name = kind.name(loss);
        if name.contains(&wanted) {
            println!("{name}");
            match loss {
                None => without_loss(kind)?,
                Some((loss, congestion)) => with_loss(kind, loss, congestion)?,
            }
        }
    }
    if "upload".contains(&wanted) {
        upload()?;
    }
    if wanted.is_empty() {
        idle()?;
        refused()?;
    }
    Ok(())
}

/// A kind of line.
#[derive(Clone, Copy)]
struct Kind {
    round_trip_ms: u64,
    kbit: u32,
    /// What takes it about a minute.
    lines: u64,
    /// How much of it must be used, in percent.
    used_min: f64,
}

const SATELLITE: Kind = Kind { round_trip_ms: 600, kbit: 64, lines: 2_500, used_min: 70.0 };
const CELLULAR: Kind = Kind { round_trip_ms: 150, kbit: 384, lines: 15_000, used_min: 85.0 };

/// The part of the packets that is lost, and how TCP decides on its pace.
type Loss = Option<(f64, &'static str)>;

impl Kind {
    fn name(&self, loss: Loss) -> String {
        let Self { round_trip_ms, kbit, .. } = self;
        let lossy = loss.map(|(loss, congestion)| format!(", {:.0} % lost, {congestion}", loss * 100.0));
        format!("{round_trip_ms} ms there and back, {kbit} kbit/s{}", lossy.unwrap_or_default())
    }

    fn bytes_per_second(&self) -> u64 {
        u64::from(self.kbit) * 1_000 / 8
    }

    /// Which part of what it could have carried these are, in percent.
    fn used(&self, bytes: u64, seconds: f64) -> f64 {
        float(bytes) / (seconds * float(self.bytes_per_second())) * 100.0
    }
}

fn without_loss(kind: Kind) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let delay = Duration::from_millis(kind.round_trip_ms / 2);
    let wire = Wire::to(broker.port(), Some(Pace { delay, bytes_per_second: kind.bytes_per_second() }));
    let turn = |is_alive| wire.turn(if is_alive { Weather::Fair } else { Weather::Dead });
    outage(dir.path(), kind, &broker, &wire.url(), &[], turn);
    Ok(())
}

/// On a line that loses packets: beside a plain TCP connection that carries as much. How long that takes is the line's
/// fault and TCP's, and what is above that is ours.
fn with_loss(kind: Kind, loss: f64, congestion: &'static str) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let delay = Duration::from_millis(kind.round_trip_ms / 2);
    let air = Air::new(Climate { delay, kbit: kind.kbit, loss, congestion, seed }, &dir.path().join("air.log"));
    let air = match air {
        Ok(air) => air,
        Err(why) => {
            println!("  LEFT OUT: {why}");
            return Ok(());
        }
    };
    let broker = Mosquitto::started_within(air.far(), &dir.path().join("broker"));
    let url = format!("mqtt://{}:{}", air.far_address(), broker.port());
    let bytes = outage(dir.path(), kind, &broker, &url, &air.near(), |is_alive| air.turn(is_alive));
    drop(broker);
    let seconds = air.bulk(bytes, dir.path());
    println!("{:<42} {:>9.1} %   (seed {seed})", "  the same as one plain TCP transfer", kind.used(bytes, seconds));
    Ok(())
}

/// A backlog of objects as a farm has them, 50,000 rows of two to three bytes each, over 10 Mbit/s with a round trip of 40 ms:
/// twelve seconds of the line, of which connecting and the first object take a third of one.
fn upload() -> io::Result<()> {
    const ROWS: u64 = 6_000_000;
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
///
/// What is counted are payloads as a subscriber has them: what MQTT, TCP and IP add, and what had to be said twice, is the
/// line's waste. Gives their number of bytes.
fn outage(dir: &Path, kind: Kind, broker: &Mosquitto, url: &str, under: &[String], turn: impl Fn(bool)) -> u64 {
    let lines = kind.lines;
    let subscriber = Subscriber::start(broker, "farm/+/+/readings", &dir.join("heard"));
    let port = Port::plugged(&dir.join("port"));
    let config = agent::preamble(dir, "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", url).replace("batch", "keepalive = \"30s\"\nbatch");
    let mut agent = Agent::started_under(dir, &config, under);
    agent.wait_open(&port, "counter");
    let lag = |status: &serde_json::Value| item(status, "sinks", "cloud")["lag_readings"].as_u64();
    agent.wait_until("the broker", LIMIT, |status| lag(status) == Some(0));
    // As a modem does that has lost its cell: nobody is told.
    turn(false);
    let backlog: Vec<u8> = (0..lines).flat_map(|number| format!("n,{number}\r\n").into_bytes()).collect();
    port.send(&backlog, LIMIT);
    agent.wait_until("a backlog", LIMIT, |status| lag(status) >= Some(lines));
    agent.wait_until("the line to be missed", LIMIT, |status| item(status, "sinks", "cloud")["state"] == "retrying");
    // One line a second from here on, with numbers of its own.
    let talker = Talker::start(port, 1, |number| format!("n,{}\r\n", 1_000_000 + number));
    pause(Duration::from_secs(5));

    let heard = || subscriber.messages().iter().map(|message| message.bytes).sum::<u64>();
    let (begin, before) = (now(), heard());
    let newest = 1_000_000.0 + float(talker.count());
    turn(true);
    wait_for("a reading taken after it", LIMIT, String::new, || {
        let is_newer = |row: &e2e::row::Row| row.value.is_some_and(|value| value > newest);
        subscriber.rows().iter().any(is_newer).then_some(())
    });
    let waited = begin.elapsed().as_secs_f64();
    agent.wait_until("the backlog to be over", LIMIT, |status| lag(status) < Some(100));
    let seconds = begin.elapsed().as_secs_f64() - waited.min(NEWEST_S_MAX);
    let bytes = heard() - before;
    print("  newest after the line's return", "s", waited, NEWEST_S_MAX, false);
    print("  line used while the backlog drains", "%", kind.used(bytes, seconds), kind.used_min, true);
    drop(talker.stop());
    agent.terminate();
    bytes
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
