//! Instrument profiles: a named piece of configuration that is laid under an instrument, so that keys of the
//! instrument win. Shipped ones are in the binary; local ones in `profiles/NAME.toml` beside the configuration.

use std::path::Path;
use std::time::Duration;

use instruments::simulate::{SimulationSpec, Wave};

use super::bus::{self, BusConfig};
use super::instrument;
use super::node::{Node, Tree};
use super::problem::{ConfigError, Problem};
use super::section::{Misfit, Problems, Section, nearest};
use super::source::{At, Sources, read_bounded};
use super::value::{duration, integer, number, text};

/// Lays the named profile under every instrument that names one.
pub(super) fn lay_under(root: &mut Node, folder: &Path, sources: &mut Sources, problems: &mut Vec<Problem>) {
    let Tree::Table(table) = &mut root.value else { return };
    let Some((_, Node { value: Tree::Table(instruments), .. })) = table.get_mut("instrument") else { return };
    for (name, (_, instrument)) in instruments {
        let Some(Node { value: Tree::Text(profile), at }) = instrument.child("profile") else { continue };
        let (profile, at) = (profile.clone(), at.clone());
        let path = format!("instrument.{name}.profile");
        match find(&profile, folder, &at, &path) {
            Ok(text) => {
                let source = sources.add(format!("profile {profile}"), text);
                let whole = Node::parse_toml(sources, source, problems);
                let mut base = whole.child("instrument").cloned().unwrap_or_else(|| Node::empty(source));
                base.overlay(instrument.clone());
                *instrument = base;
            }
            Err(problem) => problems.push(problem),
        }
    }
}

/// The names of the shipped profiles.
pub(super) fn shipped() -> Vec<String> {
    instruments::profiles::ALL.iter().map(|profile| profile.name.to_owned()).collect()
}

/// The names of all profiles: the shipped ones, and behind them those that only `folder` has.
pub fn profile_names(folder: &Path) -> Vec<String> {
    let mut names = shipped();
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let local = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
    let mut local: Vec<String> = local.filter(|name| !names.contains(name)).take(PROFILES_MAX).collect();
    local.sort();
    names.append(&mut local);
    names
}

/// Most local profiles that are looked through.
const PROFILES_MAX: usize = 256;

fn find(name: &str, folder: &Path, at: &At, path: &str) -> Result<String, Problem> {
    // A name, never a path: what is read here must stay in its folder.
    model::InstrumentId::try_new(name).map_err(|error| Problem::new(at.clone(), path, error.to_string()))?;
    let local = folder.join(format!("{name}.toml"));
    match read_bounded(&local) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Problem::new(at.clone(), path, format!("can not read {}: {error}", local.display())));
        }
    }
    if let Some(profile) = instruments::profiles::find(name) {
        return Ok(profile.text.to_owned());
    }
    let help = match nearest(name, &shipped()) {
        Some(right) => format!("did you mean \"{right}\"?"),
        None => format!("`tidegate profiles` lists the shipped ones; local ones are in {}", folder.display()),
    };
    Err(Problem::new(at.clone(), path, format!("there is no profile \"{name}\"")).help(help))
}

/// A bus with one instrument of a profile, shipped or in `folder`, as if a configuration had named it: for trying a profile
/// before there is one. The line is the profile's; both are called as the profile is.
pub fn trial_bus(name: &str, port: &str, folder: &Path) -> Result<BusConfig, ConfigError> {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let at = At { source: sources.add("profile", name), span: 0..name.len() };
    let text = match find(name, folder, &at, PROFILE) {
        Ok(text) => text,
        Err(problem) => return Err(ConfigError { problems: vec![problem], sources }),
    };
    let source = sources.add(format!("profile {name}"), text);
    let profile = Node::parse_toml(&sources, source, &mut problems);
    let node = |value| Node { value, at: at.clone() };
    let table = |pairs: Vec<(&str, Node)>| {
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), (at.clone(), value)));
        node(Tree::Table(pairs.collect()))
    };
    let text = |text: &str| node(Tree::Text(text.to_owned()));
    let mut bus = profile.child("bus").cloned().unwrap_or_else(|| Node::empty(source));
    bus.overlay(table(vec![("port", text(port))]));
    let mut instrument = profile.child("instrument").cloned().unwrap_or_else(|| Node::empty(source));
    instrument.overlay(table(vec![("bus", text(name))]));
    let root = table(vec![("bus", table(vec![(name, bus)])), ("instrument", table(vec![(name, instrument)]))]);
    let found = Problems::new(problems);
    let section = Section::root(&root, &found);
    let instruments = instrument::read_all(&section, &bus::names(&section));
    let bus = bus::read_all(&section, &instruments).into_iter().next();
    let problems = found.into_inner();
    match bus {
        Some(bus) if problems.is_empty() && !bus.instruments.is_empty() => Ok(bus),
        _ => Err(ConfigError { problems, sources }),
    }
}

/// The shipped profile with the name most like this one.
pub fn nearest_profile(name: &str) -> Option<String> {
    nearest(name, &shipped()).map(str::to_owned)
}

/// What a shipped profile says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What instrument it is.
    pub title: String,
    /// `stream`, `poll`, `modbus-rtu` or `sdi12`.
    pub mechanics: String,
    /// Its line as delivered: `9600 8N1`.
    pub line: String,
    /// `verified`: bytes of a real unit were read with it.
    pub status: String,
    /// Where it is from.
    pub source: String,
    /// How it is wired.
    pub wiring: String,
    /// What it measures.
    pub quantities: Vec<String>,
}

/// All shipped profiles, by name.
pub fn shipped_profiles() -> Vec<About> {
    instruments::profiles::ALL.iter().map(|profile| about(profile.name, profile.text)).collect()
}

fn about(name: &'static str, text: &str) -> About {
    let root: toml::Table = text.parse().unwrap_or_default();
    let table = |path: &[&str]| {
        path.iter().try_fold(&root, |table, key| table.get(*key)?.as_table()).cloned().unwrap_or_default()
    };
    let (bus, protocol) = (table(&["bus"]), table(&["instrument", "protocol"]));
    let word = |table: &toml::Table, key: &str| {
        table.get(key).and_then(toml::Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    let number = |key: &str, usual: i64| bus.get(key).and_then(toml::Value::as_integer).unwrap_or(usual);
    let parity = match word(&bus, "parity").as_str() {
        "even" => 'E',
        "odd" => 'O',
        _ => 'N',
    };
    let line = format!("{} {}{parity}{}", number("baud", 9600), number("data_bits", 8), number("stop_bits", 1));
    About {
        name,
        title: word(&root, "title"),
        mechanics: word(&protocol, "type"),
        line,
        status: word(&root, "status"),
        source: word(&root, "source"),
        wiring: word(&root, "wiring"),
        quantities: table(&["instrument", "quantity"]).keys().cloned().collect(),
    }
}

/// A profile as a simulator needs it.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// What instrument it is.
    pub title: String,
    /// Bits per second of its line, as the configuration wants them.
    pub baud: u32,
    /// The lines it says.
    pub simulation: SimulationSpec,
}

/// Path of the problem that there is no such profile, where nothing but its name was given.
pub const PROFILE: &str = "profile";

/// Reads the `[simulate]` part of a profile, shipped or in `folder`.
pub fn simulated(name: &str, folder: &Path) -> Result<Simulated, ConfigError> {
    let mut sources = Sources::default();
    let problems = Problems::default();
    let at = At { source: sources.add("profile", name), span: 0..name.len() };
    let read = match find(name, folder, &at, PROFILE) {
        Ok(text) => {
            let source = sources.add(format!("profile {name}"), text);
            let root = Node::parse_toml(&sources, source, &mut problems.borrow_mut());
            read_simulated(&Section::root(&root, &problems))
        }
        Err(problem) => {
            problems.borrow_mut().push(problem);
            None
        }
    };
    let problems = problems.into_inner();
    match read {
        Some(simulated) if problems.is_empty() => Ok(simulated),
        _ => Err(ConfigError { problems, sources }),
    }
}

fn read_simulated(root: &Section<'_>) -> Option<Simulated> {
    let title = root.get("title", text).unwrap_or_default();
    let baud = root.section("bus").and_then(|bus| bus.get("baud", integer(50..=4_000_000))).unwrap_or(9600);
    let Some(section) = root.section("simulate") else {
        let misfit =
            Misfit::new("this profile has no [simulate]: an instrument that is asked can not be simulated yet");
        root.refuse("", misfit.help("tidegate profiles NAME shows its dialogue; the others of `type` stream talk"));
        return None;
    };
    let every = section.require("every", duration(Duration::from_millis(1)..=Duration::from_secs(86_400)));
    let line = section.require("line", text);
    let values = section.named("value");
    let values = values.iter().filter_map(|(name, wave)| Some((name.clone(), read_wave(wave)?))).collect();
    section.finish();
    let every_ms = u64::try_from(every?.as_millis()).unwrap_or(u64::MAX);
    Some(Simulated { title, baud, simulation: SimulationSpec { every_ms, line: line?, values } })
}

fn read_wave(section: &Section<'_>) -> Option<Wave> {
    let mean = section.require("mean", number);
    let swing = section.get("swing", number).unwrap_or(0.0);
    let period = section.get("period", duration(Duration::from_secs(1)..=Duration::from_secs(31_536_000)));
    let noise = section.get("noise", number).unwrap_or(0.0);
    let decimals = section.get("decimals", integer(0..=9)).unwrap_or(0);
    section.finish();
    let period_s = period.unwrap_or(Duration::from_secs(600)).as_secs_f64();
    Some(Wave { mean: mean?, swing, period_s, noise, decimals })
}
