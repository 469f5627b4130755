//! The layers of a configuration, low to high: the file, `conf.d/*.toml` beside it in name order, and
//! `TIDEGATE__SECTION__KEY` from the environment. Defaults stand with the values they are the defaults of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::node::{Node, Tree};
use super::problem::{ConfigError, Problem};
use super::source::{At, Sources, read_bounded};
use super::{Config, check, profile};

/// Prefix of the environment variables that are configuration.
const ENV_PREFIX: &str = "TIDEGATE__";

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

/// Loads, merges and checks a configuration.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
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
    for (name, value) in layers.env.range(ENV_PREFIX.to_owned()..) {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else { break };
        let source = sources.add(format!("environment variable {name}"), value.clone());
        let path: Vec<&str> = path.split("__").collect();
        root.set(&path, env_value(&sources, source));
    }
    let folder = layers.file.parent().unwrap_or(Path::new(".")).join("profiles");
    profile::lay_under(&mut root, &folder, &mut sources, &mut problems);
    check(&root, sources, problems)
}

fn drop_ins(file: &Path) -> Vec<PathBuf> {
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
fn env_value(sources: &Sources, source: usize) -> Node {
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
