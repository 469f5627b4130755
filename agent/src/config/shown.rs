//! The configuration as it is after all layers are joined, key by key, with where each value stands. What is not written
//! anywhere has its default and is not shown.

use serde::Serialize;

use super::layers::{Layers, merge, stage_of};
use super::node::{Node, Tree};
use super::problem::line_of;
use super::source::Sources;
use super::stage::Revision;

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownKey {
    /// Its dotted path; a key with a dot in it is in quotes.
    pub key: String,
    /// Its value, as TOML writes it.
    pub value: String,
    /// The file, variable, profile or revision that it comes from.
    pub origin: String,
    /// Its line there; none where there are no lines.
    pub line: Option<usize>,
}

/// All keys that are written somewhere, with the revision that is in force.
pub fn shown(layers: &Layers) -> Vec<ShownKey> {
    keys_with(layers, stage_of(layers).0.current())
}

/// The same with this revision or with none.
pub fn keys_with(layers: &Layers, revision: Option<&Revision>) -> Vec<ShownKey> {
    let merged = merge(layers, revision);
    let mut keys = Vec::new();
    walk(&merged.root, "", &merged.sources, &mut keys);
    keys
}

fn walk(node: &Node, path: &str, sources: &Sources, keys: &mut Vec<ShownKey>) {
    if let Tree::Table(_) = node.value {
        for (key, child) in node.children() {
            let key = if is_bare(key) { key.to_owned() } else { toml::Value::from(key).to_string() };
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            walk(child, &path, sources, keys);
        }
        return;
    }
    let source = sources.get(node.at.source);
    let line = (!source.text.is_empty()).then(|| line_of(&source.text, node.at.span.start));
    keys.push(ShownKey { key: path.to_owned(), value: written(node).to_string(), origin: source.name.clone(), line });
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn written(node: &Node) -> toml::Value {
    match &node.value {
        Tree::Bool(flag) => toml::Value::from(*flag),
        Tree::Integer(number) => toml::Value::from(*number),
        Tree::Float(number) => toml::Value::from(*number),
        Tree::Text(text) => toml::Value::from(text.as_str()),
        Tree::List(items) => toml::Value::Array(items.iter().map(written).collect()),
        Tree::Table(table) => {
            toml::Value::Table(table.iter().map(|(key, (_, node))| (key.clone(), written(node))).collect())
        }
    }
}
