//! The layers of a configuration, low to high: the file, `conf.d/*.toml` beside it in name order, the revision that came
//! from afar, and `TIDEGATE__SECTION__KEY` from the environment. Defaults stand with the values they are the defaults of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::node::{Node, Tree};
use super::problem::{ConfigError, Problem};
use super::section::{Problems, Section};
use super::source::{At, Sources, read_bounded};
use super::stage::{Fault, Revision, Stage};
use super::{Config, DeviceConfig, LocalConfig, check, device, journal, local, profile, remote};

/// Prefix of the environment variables that are configuration.
pub(super) const ENV_PREFIX: &str = "TIDEGATE__";

/// What a configuration is made from; injected, so that tests need no environment.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The main file.
    pub file: PathBuf,
    /// Environment variables, all of them; only [`ENV_PREFIX`] ones are looked at.
    pub env: BTreeMap<String, String>,
}

impl Layers {
    /// The layers of this process, for the configuration file `file`.
    pub fn of_process(file: &Path) -> Self {
        // Variables that are not UTF-8 can not be ours: every key and value of the configuration is.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file: file.to_path_buf(), env }
    }
}

/// All layers as one tree, not checked yet.
pub(super) struct Merged {
    /// The tree.
    pub root: Node,
    /// What its places point into.
    pub sources: Sources,
    /// What was wrong on the way.
    pub problems: Vec<Problem>,
    /// What of the revision this device does not let be changed from afar.
    pub outside: Vec<Fault>,
}

/// Loads, merges and checks a configuration, with the revision from afar that the device holds. One that can not be used
/// (the file, or the agent, is another by now) is left out: what stands on the device is in force then.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
    load_staged(layers, &stage_of(layers).0)
}

/// The same with what is in this stage.
pub fn load_staged(layers: &Layers, stage: &Stage) -> Result<Config, ConfigError> {
    match stage.current() {
        None => load_local(layers),
        Some(revision) => load_with(layers, revision).or_else(|_| load_local(layers)),
    }
}

/// The same with nothing from afar.
pub fn load_local(layers: &Layers) -> Result<Config, ConfigError> {
    let Merged { root, sources, problems, .. } = merge(layers, None);
    check(&root, sources, problems)
}

/// The same with this revision.
pub fn load_with(layers: &Layers, revision: &Revision) -> Result<Config, RevisionError> {
    let Merged { root, sources, problems, outside } = merge(layers, Some(revision));
    if !outside.is_empty() {
        return Err(RevisionError { faults: outside });
    }
    match check(&root, sources, problems) {
        Ok(config) => Ok(Config { revision: Some(Arc::new(revision.clone())), ..config }),
        Err(error) => Err(RevisionError { faults: error.faults() }),
    }
}

/// A revision that this device can not use.
#[derive(Debug, thiserror::Error)]
#[error("the revision can not be used here")]
pub struct RevisionError {
    /// All that is wrong with it.
    pub faults: Vec<Fault>,
}

/// Where the journal is, and with it what came from afar, as the device itself says.
pub fn journal_path(layers: &Layers) -> PathBuf {
    let Merged { root, .. } = merge(layers, None);
    let nobody_reads = Problems::default();
    let section = Section::root(&root, &nobody_reads);
    let device = device::read(&section);
    journal::read(&section, &device).path
}

/// Who this is and where it is asked, also where the rest can not be read.
pub fn who_and_where(layers: &Layers) -> (DeviceConfig, LocalConfig) {
    let Merged { root, .. } = merge(layers, None);
    let nobody_reads = Problems::default();
    let section = Section::root(&root, &nobody_reads);
    let device = device::read(&section);
    let local = local::read(&section, &device);
    (device, local)
}

/// What came from afar; nothing where that can not be read, and why not.
pub fn stage_of(layers: &Layers) -> (Stage, Option<io::Error>) {
    match Stage::load(&journal_path(layers)) {
        Ok(stage) => (stage, None),
        Err(error) => (Stage::default(), Some(error)),
    }
}

pub(super) fn merge(layers: &Layers, revision: Option<&Revision>) -> Merged {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let mut root: Option<Node> = None;
    for file in std::iter::once(layers.file.clone()).chain(drop_ins(&layers.file)) {
        let layer = read_file(&file, &mut sources, &mut problems);
        match &mut root {
            None => root = Some(layer),
            Some(root) => root.overlay(layer),
        }
    }
    let mut root = root.expect("the main file is always a layer");
    let mut outside = Vec::new();
    if let Some(revision) = revision {
        sources.add_remote(&revision.revision);
        outside = remote::outside(&revision.config, &remote::allowed(&root));
        root.patch(&revision.config);
    }
    for (name, value) in layers.env.range(ENV_PREFIX.to_owned()..) {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else { break };
        let source = sources.add(format!("environment variable {name}"), value.clone());
        let path: Vec<&str> = path.split("__").collect();
        root.set(&path, env_value(&sources, source));
    }
    let folder = layers.file.parent().unwrap_or(Path::new(".")).join("profiles");
    profile::lay_under(&mut root, &folder, &mut sources, &mut problems);
    let outside = outside.into_iter().map(|(path, message)| Fault { path, message }).collect();
    Merged { root, sources, problems, outside }
}

pub(super) fn drop_ins(file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(".")).join("conf.d");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn read_file(file: &Path, sources: &mut Sources, problems: &mut Vec<Problem>) -> Node {
    let name = file.display().to_string();
    match read_bounded(file) {
        Ok(text) => {
            let source = sources.add(name, text);
            Node::parse_toml(sources, source, problems)
        }
        Err(error) => {
            let source = sources.add(name, "");
            let at = At { source, span: 0..0 };
            problems.push(
                Problem::new(at, "", format!("can not read the configuration: {error}"))
                    .help("name the file with --config FILE"),
            );
            Node::empty(source)
        }
    }
}

/// A variable's value is TOML where it is TOML (`true`, `5`, `["a"]`), else the text itself.
pub(super) fn env_value(sources: &Sources, source: usize) -> Node {
    let text = sources.get(source).text.clone();
    let at = At { source, span: 0..text.len() };
    let value = match text.parse::<toml::Value>() {
        Ok(value) => from_plain(value, &at),
        Err(_) => Tree::Text(text),
    };
    Node { value, at }
}

fn from_plain(value: toml::Value, at: &At) -> Tree {
    let node = |value| Node { value: from_plain(value, at), at: at.clone() };
    match value {
        toml::Value::Boolean(flag) => Tree::Bool(flag),
        toml::Value::Integer(number) => Tree::Integer(number),
        toml::Value::Float(number) => Tree::Float(number),
        toml::Value::String(text) => Tree::Text(text),
        toml::Value::Datetime(date) => Tree::Text(date.to_string()),
        toml::Value::Array(items) => Tree::List(items.into_iter().map(node).collect()),
        toml::Value::Table(table) => {
            Tree::Table(table.into_iter().map(|(key, value)| (key, (at.clone(), node(value)))).collect())
        }
    }
}

/// Hash over keys and values, not over spelling: comments and order do not change it.
pub(super) fn hash(root: &Node) -> String {
    let mut text = String::new();
    canonical(root, &mut text);
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

fn canonical(node: &Node, out: &mut String) {
    let written = match &node.value {
        Tree::Bool(flag) => write!(out, "{flag}"),
        Tree::Integer(number) => write!(out, "{number}"),
        Tree::Float(number) => write!(out, "{number:?}"),
        Tree::Text(text) => write!(out, "{text:?}"),
        Tree::List(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            write!(out, "]")
        }
        Tree::Table(table) => {
            out.push('{');
            for (key, (_, child)) in table {
                out.push_str(key);
                out.push('=');
                canonical(child, out);
                out.push(',');
            }
            write!(out, "}}")
        }
    };
    written.expect("a String takes any text");
}
