//! `tidegate detect PORT [--ask] [--seconds N]`: what is on a port, as the part of a configuration that reads it.
//!
//! PORT is a device file, `usb:VENDOR:PRODUCT`, or a bus of the configuration. Every profile, shipped or in `profiles/` beside
//! the configuration, reads along at the usual speeds, and the one whose frames prove it is named: its `[bus.*]` and
//! `[instrument.*]` come on standard output, what speaks for it on standard error. Where two fit, the better stands first and
//! the others behind it as comments. Where what comes in proves no profile (a number a line is read by many), none is
//! named: what would read it is told, and a line of it is shown.
//!
//! Without `--ask` nothing is written to the port. With it, instruments that say nothing by themselves are asked at the lines of
//! their profiles: reads of Modbus registers, an Atlas circuit's `i`, SDI-12's `?!`, `aI!` and a measurement, and the questions of
//! shipped profiles, never their `init`. Nothing that is set in an instrument is changed.
//!
//! `--seconds` is how long each of sixteen line settings is listened at: longer than the instrument's period. `--json` prints one
//! object. Exit 0 when something is named, 1 when nothing is, 74 when the port fails or somebody else has it. Ctrl-C ends
//! it with what was found so far.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::screen::harmless;
use super::stanza::{Stanza, commented, quoted, section_name};
use super::{Exit, load, small_runtime};
use crate::acquire::detect::{Candidate, Evidence, Findings, Fit, Progress, Wish, candidates, detect};
use crate::acquire::ports::{Holder, Places, held_by, list, stable_name};
use crate::config::{Config, PortName, port_name, shipped_profiles};

/// Where to look.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A device file, usb:VENDOR:PRODUCT, or a bus of the configuration
    port: String,
    /// Ask instruments that say nothing by themselves; reads only
    #[arg(long)]
    ask: bool,
    /// How long to listen at each line setting, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

pub fn main(args: &Args, config: &Path, is_json: bool) -> anyhow::Result<Exit> {
    let known = load(config).ok();
    let port = match known.as_ref().and_then(|known| known.buses.iter().find(|bus| bus.id.as_str() == args.port)) {
        Some(bus) => bus.port.to_string(),
        None => args.port.clone(),
    };
    let name = match port_name(&port) {
        Ok(name) => name,
        Err(words) => {
            eprintln!("tidegate: {port}: {words}");
            return Ok(Exit::Usage);
        }
    };
    if let Some(words) = taken(&name, known.as_deref()) {
        eprintln!("tidegate: {words}");
        return Ok(Exit::Disk);
    }
    let profiles = config.parent().unwrap_or(Path::new(".")).join("profiles");
    let looked = look(&port, &profiles, Duration::from_secs(args.seconds), args.ask)?;
    let port = Port::new(&name);
    let mut out = io::stdout().lock();
    if is_json {
        writeln!(out, "{}", object(&looked, &port))?;
    } else {
        out.write_all(text(&looked, &port).as_bytes())?;
    }
    drop(out);
    explain(&looked, args);
    match looked.failed {
        Some(error) => {
            eprintln!("tidegate: {port}: {error:#}", port = port.given);
            let advice = error.downcast_ref::<io::Error>().map_or("", crate::acquire::advice);
            if !advice.is_empty() {
                eprintln!("{advice}");
            }
            Ok(Exit::Disk)
        }
        None if looked.findings.named.is_empty() => Ok(Exit::NotFine),
        None => Ok(Exit::Fine),
    }
}

/// What was found, and how it ended.
pub struct Looked {
    /// What was found.
    pub findings: Findings,
    /// The profiles that were tried.
    pub candidates: Vec<Candidate>,
    failed: Option<anyhow::Error>,
}

impl Looked {
    /// The profile of a fit.
    pub fn candidate(&self, fit: &Fit) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.profile == fit.profile)
    }

    /// Why it could not be looked.
    pub fn failure(&self) -> Option<String> {
        self.failed.as_ref().map(|error| format!("{error:#}"))
    }
}

/// Looks for what is on a port; tells of it on standard error as it goes.
pub fn look(port: &str, profiles: &Path, patience: Duration, may_ask: bool) -> anyhow::Result<Looked> {
    let (candidates, broken) = candidates(port, profiles);
    for (profile, error) in broken {
        eprintln!("profile {} is left out: {error}", harmless(&profile));
    }
    let mut findings = Findings::default();
    let wish = Wish { patience, may_ask, tell: &tell };
    let ended = small_runtime()?.block_on(async {
        tokio::select! {
            // The signal first: it is listened for before anything is told.
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.context("Ctrl-C"),
            ended = detect(&candidates, &wish, &mut findings) => ended,
        }
    });
    Ok(Looked { findings, candidates, failed: ended.err() })
}

/// Why the port is somebody else's, and what to do about it.
pub fn taken(port: &PortName, config: Option<&Config>) -> Option<String> {
    let bus = config.and_then(|config| {
        let bus = config.buses.iter().find(|bus| bus.port == *port)?;
        UnixStream::connect(&config.local.socket).is_ok().then_some(bus)
    });
    if let Some(bus) = bus {
        let names: Vec<String> = bus.instruments.iter().map(|one| one.id.to_string()).collect();
        return Some(format!(
            "the agent has {port}: it is the bus {} ({})\nsee what is said on it with: tidegate sniff {}\n\
             or stop the agent for as long as you look: systemctl stop tidegate",
            bus.id,
            names.join(", "),
            bus.id,
        ));
    }
    let PortName::Path(path) = port else { return None };
    let Holder { pid, name } = held_by(&Places::default(), path).into_iter().next()?;
    let remedy = if name == "tidegate" { ": stop it with systemctl stop tidegate" } else { ": end it first" };
    Some(format!("{port} is open in {} ({pid}){remedy}", harmless(&name)))
}

/// The port as it was given, and as a configuration should call it.
pub struct Port {
    /// As it was given.
    pub given: String,
    /// As a configuration should call it.
    pub stable: String,
    /// A name for its bus.
    pub bus: String,
}

impl Port {
    /// A port by what it is called.
    pub fn new(name: &PortName) -> Self {
        let given = name.to_string();
        let path = match name {
            PortName::Path(path) => path.clone(),
            PortName::Usb(_) => PathBuf::new(),
        };
        // Without /sys there is nothing to call it by.
        let ports = list(&Places::default()).unwrap_or_default();
        let stable = if path.as_os_str().is_empty() { given.clone() } else { stable_name(&ports, &path) };
        let file = path.file_name().map_or_else(|| "usb".to_owned(), |file| file.to_string_lossy().into_owned());
        Self { given, stable, bus: section_name(&file) }
    }
}

fn tell(progress: &Progress<'_>) {
    match progress {
        Progress::Listening(line) => eprintln!("listening at {line}"),
        Progress::Heard(line, 0) => eprintln!("  {line}: silence"),
        Progress::Heard(line, bytes) => eprintln!("  {line}: {bytes} bytes"),
        Progress::Asking(line, what) => eprintln!("asking at {line}: {what}"),
    }
}

/// The stanza; nothing where nothing is named, but comments to begin with.
fn text(looked: &Looked, port: &Port) -> String {
    let mut text = String::new();
    let mut fits = looked.findings.named.iter();
    if let Some((fit, candidate)) = fits.next().and_then(|fit| Some((fit, looked.candidate(fit)?))) {
        let stanza = Stanza::of(fit, candidate, &port.bus, &fit.profile, &port.stable);
        write!(text, "# {}\n{}\n{}", title(&fit.profile), stanza.bus(), stanza.instrument())
            .expect("a String takes any text");
    }
    for (fit, how) in fits
        .map(|fit| (fit, "This fits, too"))
        .chain(looked.findings.possible.iter().map(|fit| (fit, "This would read it")))
    {
        let Some(candidate) = looked.candidate(fit) else { continue };
        let stanza = Stanza::of(fit, candidate, &port.bus, &fit.profile, &port.stable);
        let bus = if looked.findings.named.is_empty() { stanza.bus() + "\n" } else { String::new() };
        let stanza = commented(&(bus + &stanza.instrument()));
        write!(text, "\n# {how}: {}\n{stanza}", title(&fit.profile)).expect("a String takes any text");
    }
    if let (true, Some((line, last))) = (looked.findings.named.is_empty(), &looked.findings.text) {
        let last = harmless(&String::from_utf8_lossy(last));
        let plain = format!(
            "[bus.{bus}]\nport = {port}\nbaud = {baud}\n\n[instrument.mine]\nbus = \"{bus}\"\n\n\
             [instrument.mine.protocol]\ntype   = \"stream\"\nframe  = {{ type = \"line\" }}\n\
             decode = {{ type = \"delimited\", sep = \",\", columns = 2 }}    # as the instrument has them\n\n\
             [instrument.mine.quantity.water_temperature]\nfield = 1\nunit  = \"Cel\"\n",
            bus = port.bus,
            port = quoted(&port.stable),
            baud = line.baud,
        );
        let plain = commented(&plain);
        write!(text, "\n# Lines of text at {line}, of no profile's own. Begin with docs/INSTRUMENTS.md. One of them:\n# {last}\n{plain}")
            .expect("a String takes any text");
    }
    text.trim_start().to_owned()
}

fn title(profile: &str) -> String {
    let about = shipped_profiles().into_iter().find(|about| about.name == profile);
    about.map_or_else(|| format!("{profile} (local)"), |about| format!("{profile}: {}", about.title))
}

/// Says on standard error what speaks for what, and what to try next.
fn explain(looked: &Looked, args: &Args) {
    let findings = &looked.findings;
    for fit in &findings.named {
        eprintln!("{}", because(fit));
    }
    for identity in &findings.identities {
        eprintln!("there is {}", harmless(identity));
    }
    if !findings.named.is_empty() || looked.failed.is_some() {
        return;
    }
    for (unit, line) in &findings.units {
        eprintln!("a Modbus unit answers: unit {unit} at {line}; its registers are no profile's");
    }
    match &findings.text {
        Some((line, last)) => {
            eprintln!("lines of text at {line}, of no profile's own: {}", harmless(&String::from_utf8_lossy(last)));
            eprintln!("describe it after docs/INSTRUMENTS.md; tidegate sniff {} keeps bytes for that", args.port);
        }
        None if findings.bytes == 0 => {
            eprintln!("nothing came in {} settings of {} s", findings.settings, args.seconds);
            eprintln!("is it on, and its wire on the right side? One that talks seldom: --seconds 70");
        }
        None => eprintln!("{} bytes came, and at no setting are they a profile's frames or text", findings.bytes),
    }
    if !findings.possible.is_empty() {
        let names: Vec<&str> = findings.possible.iter().map(|fit| fit.profile.as_str()).collect();
        eprintln!("these would read it, as they would read much else: {}", names.join(", "));
    }
    let is_circuit = findings.possible.iter().any(|fit| fit.profile.starts_with("atlas-ezo-"));
    if !args.ask && is_circuit {
        eprintln!("an Atlas circuit says which one it is when it is asked: --ask asks it, and only reads");
    } else if !args.ask {
        eprintln!("an instrument that waits to be asked says nothing by itself: --ask asks it, and only reads");
    }
}

fn because(fit: &Fit) -> String {
    let Evidence { good, refused, ref said, .. } = fit.evidence;
    let line = if fit.line == fit.own_line {
        fit.line.to_string()
    } else {
        format!("{} (delivered with {})", fit.line, fit.own_line)
    };
    let unit = fit.unit.map(|unit| format!(", unit {unit}")).unwrap_or_default();
    let said = said.iter().take(4).map(|said| harmless(said)).collect::<Vec<_>>().join(", ");
    let said = if said.is_empty() { "it says so itself".to_owned() } else { format!("it said {said}") };
    format!("{} at {line}{unit}: {good} frames read, {refused} refused; {said}", fit.profile)
}

fn object(looked: &Looked, port: &Port) -> Value {
    let findings = &looked.findings;
    let fit = |fit: &Fit| {
        json!({
            "profile": fit.profile,
            "line": fit.line.to_string(),
            "delivered_with": fit.own_line.to_string(),
            "unit": fit.unit,
            "address": fit.address,
            "proof_bits": fit.evidence.proof,
            "frames_good": fit.evidence.good,
            "frames_doubtful": fit.evidence.doubtful,
            "frames_refused": fit.evidence.refused,
            "values": fit.evidence.said,
            "frame_hex": hex::encode(&fit.evidence.frame),
        })
    };
    json!({
        "port": port.given,
        "stable_name": port.stable,
        "named": findings.named.iter().map(fit).collect::<Vec<_>>(),
        "possible": findings.possible.iter().map(fit).collect::<Vec<_>>(),
        "text": findings.text.as_ref().map(|(line, last)| json!({"line": line.to_string(), "last": String::from_utf8_lossy(last)})),
        "modbus_units": findings.units.iter().map(|(unit, line)| json!({"unit": unit, "line": line})).collect::<Vec<_>>(),
        "identities": findings.identities,
        "bytes": findings.bytes,
        "stanza": text(looked, port),
        "error": looked.failure(),
    })
}
