//! Instrument profiles: a named piece of configuration that is laid under an instrument, so that keys of the
//! instrument win. Shipped ones are in the binary; local ones in `profiles/NAME.toml` beside the configuration.

use std::path::Path;
use std::time::Duration;

use instruments::simulate::{SimulationSpec, Wave};

use super::node::{Node, Tree};
use super::problem::{ConfigError, Problem};
use super::section::{Problems, Section, nearest};
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
        None => format!("shipped profiles: {}; local ones are {}", shipped().join(", "), folder.display()),
    };
    Err(Problem::new(at.clone(), path, format!("there is no profile \"{name}\"")).help(help))
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
        root.refuse("", super::section::Misfit::new("this profile has no [simulate]"));
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
