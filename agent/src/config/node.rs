//! The configuration as written: a tree in which every value and every key remembers where it stands.
//!
//! Layers are merged here, before anything is checked, so that a value that came from an environment variable is
//! reported as such, and an unknown key points into the file that has it. Nothing past `config` sees a [`Node`].

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::{At, Sources};

/// One value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Tree,
    /// Its place.
    pub at: At,
}

/// A value as TOML knows them, less dates (nothing here takes one).
#[derive(Debug, Clone)]
pub enum Tree {
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// `[ .. ]`
    List(Vec<Node>),
    /// `{ .. }` or `[section]`, with the place of each key.
    Table(BTreeMap<String, (At, Node)>),
}

impl Tree {
    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Tree::Bool(_) => "true or false",
            Tree::Integer(_) => "a whole number",
            Tree::Float(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }
}

impl Node {
    /// An empty table that stands at the beginning of `source`.
    pub fn empty(source: usize) -> Self {
        Node { value: Tree::Table(BTreeMap::new()), at: At { source, span: 0..0 } }
    }

    /// Parses TOML; every syntax error becomes a problem, what could be read is returned.
    pub fn parse_toml(sources: &Sources, source: usize, problems: &mut Vec<Problem>) -> Node {
        let text = &sources.get(source).text;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            problems.push(Problem::new(At { source, span }, "", error.message().to_owned()));
        }
        let span = table.span();
        from_table(source, span, table.get_ref(), problems)
    }

    /// The child with this key.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Tree::Table(table) => table.get(key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The children of a table, by key.
    pub fn children(&self) -> impl Iterator<Item = (&str, &Node)> {
        let table = if let Tree::Table(table) = &self.value { Some(table) } else { None };
        table.into_iter().flatten().map(|(key, (_, node))| (key.as_str(), node))
    }

    /// Takes a child out.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        match &mut self.value {
            Tree::Table(table) => table.remove(key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Lays `over` on top: tables join key by key, everything else is replaced.
    pub fn overlay(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Tree::Table(under), Tree::Table(table)) => {
                for (key, (key_at, node)) in table {
                    match under.get_mut(&key) {
                        Some((_, held)) => held.overlay(node),
                        None => {
                            under.insert(key, (key_at, node));
                        }
                    }
                }
            }
            (value, over_value) => {
                *value = over_value;
                self.at = over.at;
            }
        }
    }

    /// Lays a JSON merge patch (RFC 7386) from afar on top: `null` takes a key out, tables join, all else is replaced.
    pub fn patch(&mut self, patch: &serde_json::Value) {
        let serde_json::Value::Object(patch) = patch else {
            *self = from_json(patch);
            return;
        };
        if !matches!(self.value, Tree::Table(_)) {
            *self = Node { value: Tree::Table(BTreeMap::new()), at: At::afar() };
        }
        let Tree::Table(table) = &mut self.value else { return };
        for (key, value) in patch {
            if value.is_null() {
                table.remove(key);
                continue;
            }
            let empty = || (At::afar(), Node { value: Tree::Table(BTreeMap::new()), at: At::afar() });
            table.entry(key.clone()).or_insert_with(empty).1.patch(value);
        }
    }

    /// Sets the value at a dotted path, making the tables on the way.
    pub fn set(&mut self, path: &[&str], node: Node) {
        let Some((key, rest)) = path.split_first() else {
            return self.overlay(node);
        };
        if !matches!(self.value, Tree::Table(_)) {
            self.value = Tree::Table(BTreeMap::new());
        }
        let Tree::Table(table) = &mut self.value else { return };
        // Environment variables are upper case by custom; names in the file are not.
        let held = table.keys().find(|held| held.eq_ignore_ascii_case(key)).cloned();
        let key = held.unwrap_or_else(|| key.to_ascii_lowercase());
        let at = node.at.clone();
        let child = table
            .entry(key)
            .or_insert_with(|| (at.clone(), Node { value: Tree::Table(BTreeMap::new()), at: at.clone() }));
        child.1.set(rest, node);
    }
}

/// A value of a remote revision. A `null` in a list is refused by whatever reads the list, as a text.
fn from_json(json: &serde_json::Value) -> Node {
    use serde_json::Value;
    let value = match json {
        Value::Null => Tree::Text("null".to_owned()),
        Value::Bool(flag) => Tree::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Tree::Integer(number),
            None => Tree::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Tree::Text(text.clone()),
        Value::Array(items) => Tree::List(items.iter().map(from_json).collect()),
        Value::Object(object) => {
            let held = object.iter().filter(|(_, value)| !value.is_null());
            Tree::Table(held.map(|(key, value)| (key.clone(), (At::afar(), from_json(value)))).collect())
        }
    };
    Node { value, at: At::afar() }
}

fn from_table(source: usize, span: Range<usize>, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Node {
    let children = table
        .iter()
        .filter_map(|(key, value)| {
            let key_at = At { source, span: key.span() };
            from_value(source, value, problems).map(|node| (key.get_ref().to_string(), (key_at, node)))
        })
        .collect();
    Node { value: Tree::Table(children), at: At { source, span } }
}

fn from_value(source: usize, value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Node> {
    let at = At { source, span: value.span() };
    let bad = |problems: &mut Vec<Problem>, message: &str| {
        problems.push(Problem::new(at.clone(), "", message.to_owned()));
        None
    };
    let tree = match value.get_ref() {
        DeValue::String(text) => Tree::Text(text.to_string()),
        DeValue::Boolean(flag) => Tree::Bool(*flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Tree::Integer(number),
            Err(_) => return bad(problems, "this number is too large"),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => Tree::Float(number),
            Err(_) => return bad(problems, "this is no number"),
        },
        DeValue::Datetime(_) => return bad(problems, "no key takes a date; write it in quotes if a text is meant"),
        DeValue::Array(list) => Tree::List(list.iter().filter_map(|item| from_value(source, item, problems)).collect()),
        DeValue::Table(table) => return Some(from_table(source, value.span(), table, problems)),
    };
    Some(Node { value: tree, at })
}
