//! JSON Schema (2020-12) of the configuration, for editors: made of `keys.txt`, a line a key. The reader stays the judge, it
//! knows what goes with what and says so in better words; tests hold the two against each other, key by key.

use serde_json::{Map, Value, json};

/// A key a line: its path and its kind.
const KEYS: &str = include_str!("keys.txt");
/// What bus, instrument, sink and quantity may be called.
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

/// The schema. Numbers have no limits in it, and no key is required: a file may be one of several layers.
pub fn schema() -> Value {
    let mut root = object();
    for (path, kind) in keys() {
        put(&mut root, path, kind);
    }
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Configuration of tidegate".into();
    root
}

fn object() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

fn put(node: &mut Value, path: &str, kind: &str) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let (name, is_list) = first.strip_suffix("[]").map_or((first, false), |name| (name, true));
    let (place, name) = if name == "*" { ("patternProperties", NAME) } else { ("properties", name) };
    // What may be a word or a table has its table second.
    let node = if node["anyOf"].is_array() { &mut node["anyOf"][1] } else { node };
    if !node[place].is_object() {
        node[place] = Map::new().into();
    }
    let held = &mut node[place][name];
    if rest.is_empty() {
        *held = of(kind);
        return;
    }
    if held.is_null() {
        *held = if is_list { json!({"type": "array", "items": object()}) } else { object() };
    } else if held["type"] == "string" {
        *held = json!({"anyOf": [held.take(), object()]});
    }
    put(if is_list { &mut held["items"] } else { held }, rest, kind);
}

fn of(kind: &str) -> Value {
    let place = || json!({"type": ["string", "integer"]});
    let value = || json!({"type": ["string", "number"]});
    let list = |items: Value| json!({"type": "array", "items": items});
    match kind {
        "text" => json!({"type": "string"}),
        "flag" => json!({"type": "boolean"}),
        "integer" => json!({"type": "integer"}),
        "number" => json!({"type": "number"}),
        "duration" => json!({"type": "string", "pattern": "^[0-9.]+ *(ms|s|m|min|h|d)$"}),
        "size" => json!({"type": "string", "pattern": "^[0-9.]+ *(B|kB|KiB|MB|MiB|GB|GiB|TiB)$"}),
        "table" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "texts" => list(json!({"type": "string"})),
        "values" => list(value()),
        "numbers" => list(json!({"type": "number"})),
        "integers" => list(json!({"type": "integer"})),
        "place" => place(),
        "value" => value(),
        "places" => json!({"anyOf": [place(), list(place())]}),
        "columns" => json!({"anyOf": [{"type": "integer"}, list(json!({"type": "integer"}))]}),
        "any" => json!({"not": {"type": "boolean"}}),
        words => json!({"enum": words.split('|').collect::<Vec<_>>()}),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{Layers, load_local};

    thread_local! {
        static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// A key that the reader asks for.
    pub fn note(path: &str) {
        ASKED.with(|asked| asked.borrow_mut().insert(normal(path)));
    }

    /// Names as `*`, places in a list as `[]`.
    fn normal(path: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        for part in path.split('.') {
            let is_name = match parts.last().map(String::as_str) {
                Some("bus" | "instrument" | "sink") => parts.len() == 1,
                Some("quantity") => parts.len() == 3,
                _ => false,
            };
            let plain = part.split_once('[').map_or(part.to_owned(), |(name, _)| format!("{name}[]"));
            parts.push(if is_name { "*".to_owned() } else { plain });
        }
        parts.join(".")
    }

    /// Branches that no example takes.
    const MORE: [&str; 7] = [
        "[sink.a]\ntype = \"s3\"\nbucket = \"b\"\ncredentials = { type = \"file\", path = \"/x\", profile = \"p\" }",
        "[instrument.a.protocol]\ntype = \"stream\"\nframe = { type = \"idle-gap\", after = \"1s\" }",
        "[bus.b]\nport = \"/dev/ttyS0\"\n[instrument.a]\nbus = \"b\"\nevery = \"1s\"\nprotocol = { type = \"modbus-rtu\", unit = 1 }\n\
         quantity.x = { register = 1, type = \"text\", length = 4, good = { register = 2, type = \"bit\", bit = 1, values = [1] } }",
        "[instrument.a.protocol]\ntype = \"stream\"\nframe = { type = \"join-lines\", until = \"x\", join = \" \" }\n\
         decode = { type = \"key-value\", assign = \":\", prefix = \"a\", units = { a = \"b\" }, invalid = [\"x\"] }\n\
         [instrument.b.protocol]\ntype = \"stream\"\ndecode = { type = \"json\", root = \"a\" }",
        "[instrument.b.protocol]\ntype = \"stream\"\ndecode = { type = \"nmea\", sentences = [\"DBT\"] }",
        "[remote]\nallow = [\"sink\"]",
        "[update]\nrestart = [\"x\"]\npackage = [\"x\"]",
    ];

    /// What is in the documents, the shipped profiles as instruments, and the above.
    fn examples() -> Vec<toml::Table> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
        let read = |folder: &str, extension: &str| -> Vec<String> {
            let files = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<PathBuf> =
                files.filter(|file| file.extension().is_some_and(|found| found == extension)).collect();
            files.sort();
            files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
        };
        let mut texts: Vec<String> = MORE.map(str::to_owned).into();
        for page in read("docs", "md") {
            texts.extend(page.split("```toml\n").skip(1).filter_map(|part| Some(part.split_once("```")?.0.to_owned())));
        }
        let mut examples: Vec<toml::Table> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        for profile in read("agent/crates/instruments/profiles", "toml") {
            let mut table: toml::Table = profile.parse().unwrap();
            let mut instrument: toml::Table = "bus = \"b\"\nevery = \"10s\"".parse().unwrap();
            instrument.extend(["protocol", "quantity"].iter().filter_map(|key| table.remove_entry(*key)));
            let mut example: toml::Table = "[bus.b]\nport = \"/dev/ttyS0\"".parse().unwrap();
            example
                .insert("instrument".to_owned(), toml::Table::from_iter([("x".to_owned(), instrument.into())]).into());
            examples.push(example);
        }
        assert!(examples.len() > 60, "{}", examples.len());
        examples
    }

    /// What the reader says of a configuration: the key, and the words.
    fn said(dir: &Path, config: &toml::Table) -> Vec<(String, String)> {
        let file = dir.join("tidegate.toml");
        std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
        match load_local(&Layers { file, ..Layers::default() }) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let words = |problem: &crate::config::problem::Problem| {
                    format!("{} {}", problem.message, problem.help.as_deref().unwrap_or_default())
                };
                error.problems.iter().map(|problem| (problem.path.clone(), words(problem))).collect()
            }
        }
    }

    /// The paths of all values.
    fn leaves(value: &toml::Value, path: &str, out: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => {
                out.extend((!path.is_empty()).then(|| path.to_owned()));
                for (key, value) in table {
                    leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, out);
                }
            }
            _ => out.push(path.to_owned()),
        }
    }

    fn with(config: &toml::Table, path: &str, value: toml::Value) -> toml::Table {
        let mut config = config.clone();
        let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parts = above.split('.').filter(|part| !part.is_empty());
        let table = parts.fold(&mut config, |table, part| table[part].as_table_mut().expect("it is one"));
        table.insert(key.to_owned(), value);
        config
    }

    #[test]
    fn the_schema_has_the_keys_that_the_reader_asks_for_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        for example in examples() {
            drop(said(dir.path(), &example));
        }
        let mut known: BTreeSet<String> = keys().map(|(path, _)| path.to_owned()).collect();
        let tables: Vec<String> = known
            .iter()
            .flat_map(|path| path.match_indices('.').map(|(at, _)| path[..at].trim_end_matches("[]").to_owned()))
            .collect();
        known.extend(tables);
        let free = |path: &str| keys().any(|(key, kind)| kind == "table" && path.starts_with(&format!("{key}.")));
        let asked: BTreeSet<String> =
            ASKED.with(|asked| asked.borrow().iter().filter(|path| !free(path)).cloned().collect());
        let missing: Vec<_> = asked.difference(&known).collect();
        let surplus: Vec<_> = known.difference(&asked).collect();
        assert!(missing.is_empty(), "the reader asks for what keys.txt does not have: {missing:#?}");
        assert!(
            surplus.is_empty(),
            "keys.txt has what no example asks for, perhaps an example is missing: {surplus:#?}"
        );
    }

    #[test]
    fn the_reader_refuses_what_the_schema_refuses_and_takes_the_words_that_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let kinds: BTreeMap<&str, &str> = keys().collect();
        let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
        for example in examples() {
            let (mut paths, before) = (Vec::new(), said(dir.path(), &example));
            leaves(&toml::Value::Table(example.clone()), "", &mut paths);
            for path in paths {
                let Some(kind) = kinds.get(normal(&path).as_str()).copied() else { continue };
                // A value that is wrong already says nothing.
                if before.iter().any(|(at, _)| *at == path) || !tried.insert((normal(&path), before.is_empty())) {
                    continue;
                }
                let no: toml::Value = if kind == "flag" { "x".into() } else { true.into() };
                let here = |said: Vec<(String, String)>| said.into_iter().find(|(at, _)| at.starts_with(&path));
                if here(said(dir.path(), &with(&example, &path, no))).is_none() {
                    wrong.push(format!("{path}: {kind}, and the reader takes another"));
                }
                if kind.contains('|') {
                    let words = here(said(dir.path(), &with(&example, &path, "~~~".into()))).map(|(_, words)| words);
                    let list = words.as_deref().and_then(|words| words.rsplit_once("one of ")).map(|(_, list)| list);
                    let known: BTreeSet<&str> =
                        list.unwrap_or_default().split(", ").map(|it| it.trim_matches('"')).collect();
                    let ours: BTreeSet<&str> = kind.split('|').collect();
                    if !known.is_subset(&ours) || (normal(&path) != "sink.*.format" && known != ours) {
                        wrong.push(format!("{path}: {kind}, and the reader says {words:?}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(tried.len() > 120, "{}", tried.len());
    }
}
