//! `tidegate doctor [AREA...] [--offline] [--listen SECONDS]`: the checks of a technician, in the order of cause and effect, with evidence and a fix.
//!
//! From the program to the lake: program, configuration, board, port, instrument, clock, disk, journal, network, broker, store;
//! or only those that are named. It works with the agent, whose own word is part of it, and without: then it looks for itself.
//! What a running agent holds is left alone. Beside looking it writes 1 MiB beside the journal and removes it, publishes to
//! the topic `doctor` beside the readings, and puts one small object below `doctor/` in the lake; with `--offline` nothing
//! leaves the device. Each line is printed as it is known, and every wait has a limit.
//!
//! The last line names what to begin with: what is wrong further down is often only what is wrong further up. Exit 0 when
//! nothing is at fault (warnings may be), 1 when something is, 78 when the configuration does not load; what needs none is
//! looked at all the same. `--json` is one document: `{"v":1,"checks":[...],"verdict":"ok|warning|fault"}`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::screen::{self, Paint, paint};
use super::{Exit, small_runtime};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Layers};
use crate::control::check::{Area, Check, Verdict};
use crate::doctor::{self, Misconfigured, Patient};
use crate::run::probe;

/// Where the socket is when no configuration says so.
const SOCKET: &str = "/run/tidegate/tidegate.sock";
/// Width of a check's name; the longest is `hardware-watchdog`.
const NAME_CHARS: usize = 18;

/// What to look at.
#[derive(Debug, Default, ClapArgs)]
pub struct Args {
    /// Only these: program, configuration, board, port, instrument, clock, disk, journal, network, broker, store
    #[arg(value_name = "AREA", value_parser = area)]
    areas: Vec<Area>,
    /// Nothing that leaves the device
    #[arg(long)]
    offline: bool,
    /// Where no agent runs: listen to each line for so long
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    listen: Option<u64>,
}

fn area(text: &str) -> Result<Area, String> {
    Area::ALL.into_iter().find(|area| area.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = Area::ALL.iter().map(|area| area.as_str()).collect();
        format!("the areas are {}", all.join(", "))
    })
}

pub fn main(args: &Args, file: &Path, is_json: bool) -> anyhow::Result<Exit> {
    let layers = Layers::of_process(file);
    let loaded = config::load(&layers);
    let is_loaded = loaded.is_ok();
    let areas = if args.areas.is_empty() { Area::ALL.to_vec() } else { args.areas.clone() };
    let runtime = small_runtime()?;
    let is_coloured = screen::is_coloured(&std::io::stdout());
    let mut checks: Vec<Check> = Vec::new();
    let looked = runtime.block_on(async {
        let patient = Arc::new(patient(&layers, loaded, args).await);
        let mut last = None;
        doctor::examine(&patient, &areas, |check| {
            if !is_json {
                let heading = (last.replace(check.area) != Some(check.area)).then_some(check.area);
                let mut out = std::io::stdout().lock();
                write!(out, "{}", text(heading, &check, is_coloured))?;
                out.flush()?;
            }
            checks.push(check);
            Ok::<(), std::io::Error>(())
        })
        .await
    });
    // A look that hangs is left behind; the process ends without it.
    runtime.shutdown_background();
    looked?;
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    let mut out = std::io::stdout().lock();
    if is_json {
        writeln!(out, "{}", json!({ "v": 1, "checks": checks, "verdict": verdict }))?;
    } else {
        write!(out, "{}", summary(&checks, is_coloured))?;
    }
    out.flush()?;
    Ok(match verdict {
        _ if !is_loaded => Exit::Config,
        Verdict::Fault => Exit::NotFine,
        Verdict::Ok | Verdict::Warning => Exit::Fine,
    })
}

async fn patient(layers: &Layers, loaded: Result<Config, ConfigError>, args: &Args) -> Patient {
    let config = loaded.map(Arc::new).map_err(|error| misconfigured(&error));
    let (journal, socket) = match &config {
        Ok(config) => (config.journal.path.clone(), config.local.socket.clone()),
        Err(_) => (config::journal_path(layers), PathBuf::from(SOCKET)),
    };
    let agent = doctor::ask(&socket).await;
    let clock = Clock::of_this_boot();
    Patient {
        root: PathBuf::from("/"),
        config,
        journal,
        socket,
        agent,
        clock,
        probe: probe(),
        is_offline: args.offline,
        listen: args.listen.map(Duration::from_secs),
        unreached: Mutex::default(),
    }
}

fn misconfigured(error: &ConfigError) -> Misconfigured {
    let located = error.located();
    let is_barred = located.iter().any(|problem| problem.message.contains("Permission denied"));
    let seen = located.first().map_or_else(
        || error.to_string(),
        |first| format!("{}:{}:{}: {}", first.source, first.line, first.column, first.message),
    );
    Misconfigured { seen, problems: located.len(), is_barred }
}

/// A check as a person reads it, under the heading of its area.
fn text(heading: Option<Area>, check: &Check, is_coloured: bool) -> String {
    let heading = heading.map(|area| paint(area.as_str(), Paint::Bold, is_coloured) + "\n").unwrap_or_default();
    let (word, how) = match check.verdict {
        Verdict::Ok => ("ok     ", Paint::Good),
        Verdict::Warning => ("warning", Paint::Bold),
        Verdict::Fault => ("FAULT  ", Paint::Bad),
    };
    let of = check.of.as_ref().map(|of| format!("{}: ", screen::harmless(of))).unwrap_or_default();
    let name = format!("{:<NAME_CHARS$}", check.check);
    let mut text =
        format!("{heading}  {}  {name} {of}{}\n", paint(word, how, is_coloured), screen::harmless(&check.seen));
    if check.verdict != Verdict::Ok
        && let Some(fix) = &check.fix
    {
        writeln!(text, "           {} {}", paint("fix:", Paint::Dim, is_coloured), screen::harmless(fix))
            .expect("a String takes any text");
    }
    text
}

fn summary(checks: &[Check], is_coloured: bool) -> String {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let plural = |count: usize, word: &str| if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") };
    let counted = format!(
        "\n{} ok, {}, {}\n",
        count(Verdict::Ok),
        plural(count(Verdict::Warning), "warning"),
        plural(count(Verdict::Fault), "fault")
    );
    let is_fault = |check: &&Check| check.verdict == Verdict::Fault;
    // An agent does not run of a configuration that it can not load.
    let configuration = checks.iter().filter(is_fault).find(|check| check.area == Area::Configuration);
    let Some(first) = configuration.or_else(|| checks.iter().find(is_fault)) else { return counted };
    let of = first.of.as_ref().map(|of| format!(" {}", screen::harmless(of))).unwrap_or_default();
    let fix = first.fix.as_deref().map(screen::harmless).unwrap_or_default();
    counted + &format!("{} {}{of}: {fix}\n", paint("begin with:", Paint::Bad, is_coloured), first.check)
}
