//! What a line of four values costs on a link that is paid by the byte: every MQTT format, in batches of ten seconds and
//! of a minute. `tests/bench bytes` runs it, in real time: some two and a half minutes.
//!
//! Twenty instruments on lines of their own say four values a second each: oxygen, temperature and pH to a hundredth,
//! conductivity to one, each a random walk of at most two steps; each has a phase of its own and is up to 4 ms late.
//! Counted is the TCP payload both ways between agent and broker, from the end of each sink's first batch on.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::measure::{float, print};
use e2e::mosquitto::Mosquitto;
use e2e::patience::{now, pause};
use e2e::pty::Port;
use e2e::wire::Wire;

const SEED: u64 = 20_260_101;
const INSTRUMENTS: usize = 20;
const VALUES_PER_LINE: f64 = 4.0;
const FORMATS: [&str; 4] = ["json", "json-columns", "senml", "columnar"];
const COMPRESS: [&str; 2] = ["none", "zstd"];
const AGES: [u64; 2] = [10, 60];
/// What is asked of these, in bytes a line: format, compression, seconds.
const LIMITS: [((&str, &str, u64), f64); 6] = [
    (("columnar", "none", 10), 12.0),
    (("columnar", "none", 60), 6.0),
    (("columnar", "zstd", 10), 12.0),
    (("columnar", "zstd", 60), 6.0),
    (("json-columns", "zstd", 10), 24.0),
    (("json-columns", "zstd", 60), 18.0),
];
/// Two batches of a minute end by then, and a cut one is sent.
const TALK: Duration = Duration::from_secs(135);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A batch of several messages is over when nothing has moved for so long.
const STILL_FOR: Duration = Duration::from_secs(3);

struct Sink {
    name: String,
    what: (&'static str, &'static str, u64),
    wire: Wire,
    /// Bytes and records delivered, at the end of the first batch and of the last.
    first: Option<(u64, u64)>,
    last: (u64, u64),
    moved_at: Duration,
}

fn main() -> io::Result<()> {
    println!("seed {SEED}");
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let mut ports = Vec::new();
    let mut config = agent::preamble(dir.path(), "1s");
    for number in 0..INSTRUMENTS {
        let port = Port::plugged(&dir.path().join(format!("port-{number}")));
        config += &instrument(number, port.path());
        ports.push(port);
    }
    let mut sinks = Vec::new();
    for (format, compress, age) in
        FORMATS.iter().flat_map(|&f| COMPRESS.iter().flat_map(move |&c| AGES.iter().map(move |&a| (f, c, a))))
    {
        let wire = Wire::to(broker.port(), None);
        let name = format!("{format}-{compress}-{age}");
        config += &sink(&name, &wire, (format, compress, age));
        let (what, last) = ((format, compress, age), (0, 0));
        sinks.push(Sink { name, what, wire, first: None, last, moved_at: Duration::ZERO });
    }
    let mut agent = Agent::started(dir.path(), &config);
    for (number, port) in ports.iter().enumerate() {
        agent.wait_open(port, &format!("tank-{number:02}"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let talk = thread::spawn({
        let stop = stop.clone();
        move || talk(&ports, &stop)
    });
    watch(&agent, &mut sinks);
    stop.store(true, Ordering::Release);
    talk.join().map_err(|_| io::Error::other("the instruments panicked"))?;
    agent.terminate();

    println!("{:<42} {:>12} {:>12} {:>7}", "TCP payload both ways, a line of 4 values", "measured", "limit", "ratio");
    for sink in &sinks {
        report(sink);
    }
    Ok(())
}

/// Looks at every sink until the talking is over.
fn watch(agent: &Agent, sinks: &mut [Sink]) {
    let begin = now();
    while begin.elapsed() < TALK {
        pause(LOOK_EVERY);
        let Some(status) = agent.status() else { continue };
        let at = begin.elapsed();
        for sink in sinks.iter_mut() {
            let delivered = item(&status, "sinks", &sink.name)["delivered_total"].as_u64().unwrap_or_default();
            if delivered != sink.last.1 {
                (sink.last, sink.moved_at) = ((bytes(&sink.wire), delivered), at);
            } else if delivered > 0 && at >= sink.moved_at + STILL_FOR && sink.first.is_none() {
                sink.first = Some((bytes(&sink.wire), delivered));
            }
        }
    }
}

fn bytes(wire: &Wire) -> u64 {
    let (up, down) = wire.bytes();
    up + down
}

fn report(sink: &Sink) {
    let (format, compress, age) = sink.what;
    let name = format!("{format}, {compress}, {age} s");
    let Some(first) = sink.first.filter(|first| first.1 < sink.last.1) else {
        println!("{name:<42} not two batches: the machine was too busy");
        return;
    };
    let lines = float(sink.last.1 - first.1) / VALUES_PER_LINE;
    let each = float(sink.last.0 - first.0) / lines;
    match LIMITS.iter().find(|(what, _)| *what == sink.what) {
        Some((_, limit)) => print(&name, "B", each, *limit, false),
        None => println!("{name:<42} {each:>9.1} B"),
    }
}

fn instrument(number: usize, port: &Path) -> String {
    let (name, port) = (format!("tank-{number:02}"), port.display());
    let mut text = format!(
        "[bus.{name}]\nport = \"{port}\"\nbaud = 9600\n\n[instrument.{name}]\nbus = \"{name}\"\n\
         tags = {{ pond = \"{number}\" }}\n\n[instrument.{name}.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"v,\", end = \"\\r\\n\", max = 128 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 5 }}\n\n"
    );
    let quantities =
        [("dissolved_oxygen", "mg/L"), ("water_temperature", "Cel"), ("ph", "[pH]"), ("conductivity", "uS/cm")];
    for (field, (quantity, unit)) in (2..).zip(quantities) {
        write!(text, "[instrument.{name}.quantity.{quantity}]\nfield = {field}\nunit = \"{unit}\"\n\n")
            .expect("a string takes it");
    }
    text
}

fn sink(name: &str, wire: &Wire, (format, compress, age): (&str, &str, u64)) -> String {
    format!(
        "[sink.{name}]\ntype = \"mqtt\"\nurl = \"{}\"\nformat = \"{format}\"\ncompress = \"{compress}\"\n\
         topic = \"farm/{{site}}/{{device}}/readings\"\nbatch = {{ max_age = \"{age}s\", max_readings = 20000 }}\n\n",
        wire.url()
    )
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

fn talk(ports: &[Port], stop: &AtomicBool) {
    let mut dice = Dice(SEED);
    let phases: Vec<u64> = ports.iter().map(|_| u64::from(dice.below(1000))).collect();
    let mut levels = vec![[782_u32, 2153, 731, 41_250]; ports.len()];
    let begin = now();
    for second in 0.. {
        let mut due: Vec<(Duration, usize)> = (0..ports.len())
            .map(|at| (Duration::from_millis(second * 1000 + phases[at] + u64::from(dice.below(5))), at))
            .collect();
        due.sort_unstable();
        for (when, at) in due {
            pause(when.saturating_sub(begin.elapsed()));
            if stop.load(Ordering::Acquire) {
                return;
            }
            for level in &mut levels[at] {
                *level = *level + dice.below(5) - 2;
            }
            let [oxygen, temperature, ph, conductivity] = levels[at];
            let hundredths = |level: u32| format!("{}.{:02}", level / 100, level % 100);
            let values = [oxygen, temperature, ph].map(hundredths).join(",");
            // What the line does not take is lost: the agent is not the one that is measured by that.
            ports[at].offer(format!("v,{values},{conductivity}\r\n").as_bytes());
        }
    }
}
