//! What a line costs that is never quiet, and one that talks nonsense: prints each number with its limit, asserts
//! nothing. `tests/soak lines` runs it, for as many minutes as it is told.
//!
//! The agent has core 0 for itself; the instruments and this program share core 1.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::measure::{cpu_seconds, float, memory_mib, pin, print};
use e2e::patience::{now, pause};
use e2e::pty::Port;
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(2);
/// Ten bits a byte on the wire.
const SATURATED_BYTES_PER_SECOND: usize = 115_200 / 10;
const CPU_PERCENT_MAX: f64 = 5.0;

const GARBAGE_BYTES_PER_SECOND: u64 = 1_000_000;
const CHUNK: usize = 10_000;
/// The seed of the nonsense.
const SEED: u64 = 20_261_123;
const STEADY_LINES_PER_SECOND: u32 = 10;

fn main() -> io::Result<()> {
    let minutes = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(10);
    println!("{minutes} min each, seed {SEED}");
    saturated(Duration::from_mins(minutes))?;
    garbage(Duration::from_mins(minutes))
}

fn line(number: u64) -> String {
    format!("n,{number:028}\r\n")
}

fn count(agent: &Agent, instrument: &str, what: &str) -> u64 {
    let status = agent.status().unwrap_or_default();
    item(&status, "instruments", instrument)[what].as_u64().unwrap_or_default()
}

/// A bus at 115,200 baud that is never quiet.
fn saturated(time: Duration) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = Port::plugged(&dir.path().join("port"));
    let sink = agent::file_sink("usb", &dir.path().join("lake"), "ndjson").replace("1s", "1m");
    let config = agent::preamble(dir.path(), "1s") + &agent::counter("busy", port.path()) + &sink;
    let mut agent = Agent::started(dir.path(), &config);
    pin(&agent)?;
    agent.wait_open(&port, "busy");
    let per_second = u32::try_from(SATURATED_BYTES_PER_SECOND / line(0).len()).expect("small");
    let (cpu, memory, begin) = (cpu_seconds(&agent)?, memory_mib(&agent, "VmRSS")?, now());
    let talker = Talker::start(port, per_second, line);
    pause(time);
    let busy = (cpu_seconds(&agent)? - cpu) / begin.elapsed().as_secs_f64() * 100.0;
    let grown = memory_mib(&agent, "VmRSS")? - memory;
    let said = talker.count();
    drop(talker.stop());
    let status = agent.wait_until("all to be read", LIMIT, |status| {
        item(status, "instruments", "busy")["readings_total"].as_u64() >= Some(said)
    });
    println!("115,200 baud, never quiet: {said} lines of {} bytes", line(0).len());
    print("lines read, of those said", "", float(count(&agent, "busy", "readings_total")), float(said), true);
    print(
        "dropped for want of room",
        "",
        float(status["journal"]["dropped_total"].as_u64().unwrap_or_default()),
        1.0,
        false,
    );
    print("CPU of the one core", "%", busy, CPU_PERCENT_MAX, false);
    println!("{:<42} {grown:>9.1} MiB", "memory grown by (RSS)");
    agent.terminate();
    Ok(())
}

/// A megabyte of nonsense a second on one port, an instrument on another.
fn garbage(time: Duration) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let [noisy, steady] = ["noisy", "steady"].map(|name| Port::plugged(&dir.path().join(name)));
    let sink = agent::file_sink("usb", &dir.path().join("lake"), "ndjson").replace("1s", "1m");
    let config = agent::preamble(dir.path(), "1s")
        + &agent::counter("noisy", noisy.path())
        + &agent::counter("steady", steady.path())
        + &sink;
    let mut agent = Agent::started(dir.path(), &config);
    pin(&agent)?;
    agent.wait_open(&noisy, "noisy");
    agent.wait_open(&steady, "steady");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let talking = std::thread::spawn(move || {
        let (mut state, mut sent, begin) = (SEED, 0, now());
        while !stopped.load(Ordering::Relaxed) {
            let chunk: Vec<u8> = (0..CHUNK).map(|_| nonsense(&mut state)).collect();
            noisy.send(&chunk, LIMIT);
            sent += u64::try_from(CHUNK).expect("small");
            let due = Duration::from_micros(sent * 1_000_000 / GARBAGE_BYTES_PER_SECOND);
            pause(due.saturating_sub(begin.elapsed()));
        }
        (sent, begin.elapsed())
    });
    // What it takes once is taken.
    pause(Duration::from_secs(5));
    let talker = Talker::start(steady, STEADY_LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
    let (cpu, begin) = (cpu_seconds(&agent)?, now());
    pause(time / 2);
    let memory = memory_mib(&agent, "VmRSS")?;
    pause(time / 2);
    let busy = (cpu_seconds(&agent)? - cpu) / begin.elapsed().as_secs_f64() * 100.0;
    let grown = memory_mib(&agent, "VmRSS")? - memory;
    stop.store(true, Ordering::Relaxed);
    let (sent, took) = talking.join().expect("it only sends");
    let said = talker.count();
    drop(talker.stop());
    agent.wait_until("the steady one to be read", LIMIT, |status| {
        item(status, "instruments", "steady")["readings_total"].as_u64() >= Some(said)
    });
    println!("garbage: {:.2} MB/s on one port", float(sent) / took.as_secs_f64() / 1e6);
    print(
        "the other's lines read, of those said",
        "",
        float(count(&agent, "steady", "readings_total")),
        float(said),
        true,
    );
    let rows = agent.tail(usize::try_from(said).expect("small") * 2);
    let mut times: Vec<f64> = rows
        .iter()
        .filter(|row| row.instrument == "steady" && row.is_reading())
        .map(|row| milliseconds(&row.time))
        .collect();
    times.sort_by(f64::total_cmp);
    let worst = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    print("longest between two of its readings", "ms", worst, 2_000.0 / f64::from(STEADY_LINES_PER_SECOND), false);
    print("memory grown in the second half (RSS)", "MiB", grown, 1.0, false);
    println!("{:<42} {busy:>9.1} %", "CPU of the one core");
    println!("{:<42} {:>9}", "frames refused", count(&agent, "noisy", "frames_refused_total"));
    agent.terminate();
    Ok(())
}

fn nonsense(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_le_bytes()[3]
}

/// Milliseconds within a day, of an RFC 3339 time in UTC.
fn milliseconds(time: &str) -> f64 {
    let clock = time.split(['T', 'Z']).nth(1).unwrap_or_default();
    clock.split(':').filter_map(|part| part.parse::<f64>().ok()).fold(0.0, |sum, part| sum * 60.0 + part) * 1000.0
}
