//! `tidegate demo [--seconds N] [--dir D]`: simulated instruments on real pseudo-terminals, the whole agent, a local
//! lake below `D`. No network, broker or cloud.
//!
//! A live view on a terminal, plain lines elsewhere. Ends after `N` seconds or at Ctrl-C with what was read, stored
//! and delivered, and the SQL that looks at it. Run again with the same `D`, it goes on where it ended.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use clap::Args as ClapArgs;
use instruments::simulate::Simulation;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until};

use super::screen::{self, Paint, paint};
use super::{Exit, load};
use crate::config::{Config, simulated};
use crate::run::Agent;
use crate::simulate::Simulator;
use crate::telemetry::beats::Beats;
use crate::telemetry::health::Health;
use crate::telemetry::logs;
use model::Value;

/// How long, and where.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// End after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Folder for journal and lake
    #[arg(long, value_name = "D", default_value = "tidegate-demo")]
    dir: PathBuf,
}

/// The instruments of the demo: bus and profile. Five protocols.
const INSTRUMENTS: &[(&str, &str)] = &[
    ("sounder", "nmea-sounder"),
    ("optode", "aanderaa-optode-4831"),
    ("weather", "vaisala-wxt"),
    ("pond-node", "esp32-json"),
    ("met", "asimet-met"),
];

/// How often something new is shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub fn main(args: &Args, verbosity: u8) -> anyhow::Result<Exit> {
    let is_live = std::io::stdout().is_terminal();
    // The live view has the screen to itself unless log lines were asked for.
    if !is_live || verbosity > 0 {
        logs::start(verbosity);
    }
    let dir = prepare(&args.dir)?;
    let simulators = INSTRUMENTS
        .iter()
        .zip(1_u64..)
        .map(|((bus, profile), seed)| simulator(&dir, bus, profile, seed))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let file = dir.join("tidegate.toml");
    std::fs::write(&file, config_text(&dir)).with_context(|| format!("write {}", file.display()))?;
    let config = load(&file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(show_agent(args, &config, &dir, simulators, is_live))?;
    runtime.shutdown_background();
    Ok(Exit::Fine)
}

fn prepare(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir.join("ports")).with_context(|| format!("make the folder {}", dir.display()))?;
    std::fs::canonicalize(dir).with_context(|| format!("find {}", dir.display()))
}

fn simulator(dir: &Path, bus: &str, profile: &str, seed: u64) -> anyhow::Result<Simulator> {
    let simulated = simulated(profile, &dir.join("profiles"))?;
    let mut spec = simulated.simulation;
    // A weather station's minute is long for somebody who watches.
    spec.every_ms = spec.every_ms.min(2_000);
    Simulator::start(Simulation::parse(&spec, seed)?, Some(&dir.join("ports").join(bus)))
        .with_context(|| format!("start a simulated {}", simulated.title))
}

/// The configuration that the demo runs, kept in its folder to be read and changed.
fn config_text(dir: &Path) -> String {
    let dir_text = toml::Value::from(dir.display().to_string()).to_string();
    let path = |name: &str| toml::Value::from(dir.join(name).display().to_string()).to_string();
    let mut text = format!(
        "# Written by `tidegate demo` for {dir_text}. Each instrument is a simulator of its profile.\n\n\
         [device]\nid   = \"demo\"\nsite = \"workbench\"\n\n\
         [journal]\npath = {}\n\n\
         [clock]\nhold_untrusted = \"0s\"   # a workbench may have no time server\n\n\
         [local]\nsocket = {}\n\n\
         [sink.lake]\ntype   = \"file\"\npath   = {}\nformat = \"parquet\"\nbatch  = {{ max_age = \"2s\" }}\n\
         manifest_every = \"5s\"\n",
        path("journal"),
        path("tidegate.sock"),
        path("lake"),
    );
    for (bus, profile) in INSTRUMENTS {
        let port = path(&format!("ports/{bus}"));
        write!(
            text,
            "\n[bus.{bus}]\nport = {port}\n\n[instrument.{bus}]\nbus     = \"{bus}\"\nprofile = \"{profile}\"\n"
        )
        .expect("a String takes any text");
    }
    text
}

async fn show_agent(
    args: &Args,
    config: &Arc<Config>,
    dir: &Path,
    mut simulators: Vec<Simulator>,
    is_live: bool,
) -> anyhow::Result<()> {
    let mut agent = Agent::start(config, true, &Beats::default(), None)?;
    let ended_at = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let listen = |kind| signal(kind).expect("the kernel takes handlers for these signals");
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    let mut tick = interval(SHOW_EVERY);
    let mut view = View::new(is_live);
    loop {
        tokio::select! {
            error = agent.failed() => return Err(error.into()),
            _ = term.recv() => break,
            _ = int.recv() => break,
            () = sleep_until(ended_at.unwrap_or_else(Instant::now)), if ended_at.is_some() => break,
            _ = tick.tick() => view.show(&agent.health, dir)?,
        }
    }
    for simulator in &mut simulators {
        simulator.hush();
    }
    let (health, reader) = (agent.health.clone(), agent.reader.clone());
    agent.stop().await?;
    let lines: u64 = simulators.iter().map(Simulator::lines).sum();
    report(&health, reader.head().0 - 1, lines, dir)
}

/// The live view: the same block drawn over itself on a terminal, a line a second elsewhere.
struct View {
    is_live: bool,
    drawn_lines: usize,
}

impl View {
    fn new(is_live: bool) -> Self {
        Self { is_live, drawn_lines: 0 }
    }

    fn show(&mut self, health: &Health, dir: &Path) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let text = if self.is_live { block(health, dir) } else { line(health) };
        if self.is_live && self.drawn_lines > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn_lines)?;
        }
        writeln!(out, "{text}")?;
        self.drawn_lines = text.lines().count();
        Ok(out.flush()?)
    }
}

fn counts(health: &Health) -> (u64, u64, u64) {
    let read =
        health.instruments.get().iter().map(|instrument| instrument.readings_total.load(Ordering::Relaxed)).sum();
    let stored = health.journal.committed_total.load(Ordering::Relaxed);
    let delivered = health.sinks.get().iter().map(|sink| sink.delivered_total.load(Ordering::Relaxed)).sum();
    (read, stored, delivered)
}

fn line(health: &Health) -> String {
    let (read, stored, delivered) = counts(health);
    format!("readings {read}, records durable {stored}, delivered {delivered}")
}

fn block(health: &Health, dir: &Path) -> String {
    let mut lines = vec![
        "tidegate demo: simulated instruments on pseudo-terminals; Ctrl-C ends it".to_owned(),
        format!("folder {}", dir.display()),
        String::new(),
    ];
    for instrument in &health.instruments.get() {
        let values = instrument.values.get();
        let shown: Vec<String> = instrument
            .quantities
            .iter()
            .zip(&values)
            .filter_map(|((name, unit), last)| match &last.as_ref()?.value {
                Value::Number(number) => Some(format!("{name} {number} {unit}")),
                _ => None,
            })
            .take(3)
            .collect();
        lines.push(format!("  {:<10} {}", instrument.id.as_str(), shown.join(", ")));
    }
    lines.push(String::new());
    lines.push(line(health));
    let (columns, is_coloured) = (screen::columns(), screen::is_coloured(&std::io::stdout()));
    let mut lines: Vec<String> = lines.iter().map(|line| screen::clip(line, columns)).collect();
    lines[0] = paint(&lines[0], Paint::Bold, is_coloured);
    lines[1] = paint(&lines[1], Paint::Dim, is_coloured);
    lines.join("\n")
}

fn report(health: &Health, records: u64, lines: u64, dir: &Path) -> anyhow::Result<()> {
    let (read, stored, delivered) = counts(health);
    let lake = dir.join("lake");
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nsaid      {lines} lines by {} simulated instruments", health.instruments.lock().len())?;
    writeln!(out, "read      {read} readings")?;
    writeln!(out, "stored    {stored} records, readings and events, durable in {}", dir.join("journal").display())?;
    writeln!(out, "delivered {delivered} records to {}", lake.display())?;
    if records > stored {
        writeln!(out, "          {records} records in all, with those of earlier runs in this folder")?;
    }
    writeln!(out, "\nLook at them with DuckDB:\n")?;
    writeln!(
        out,
        "  duckdb -c \"SELECT instrument, quantity, count(*) AS n, min(value), avg(value), max(value), any_value(unit) \
         FROM read_parquet('{}/readings/v1/*/*/*/*.parquet', hive_partitioning = true) \
         GROUP BY ALL ORDER BY ALL\"",
        lake.display()
    )?;
    writeln!(out, "\nThe configuration it ran is {}", dir.join("tidegate.toml").display())?;
    Ok(out.flush()?)
}
