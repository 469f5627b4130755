//! A line's template: text with names in braces.

use std::collections::BTreeMap;

use crate::simulate::{SimulationError, Wave};

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Literal(String),
    Value(Wave),
    Number,
    NmeaChecksum,
    Xor,
}

pub fn parse_template(line: &str, values: &BTreeMap<String, Wave>) -> Result<Vec<Part>, SimulationError> {
    let mut parts = Vec::new();
    let mut used = Vec::new();
    let mut literal = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        let Some(name) = name_in_braces(after) else {
            literal.push('{');
            rest = after;
            continue;
        };
        parts.push(Part::Literal(std::mem::take(&mut literal)));
        parts.push(match name {
            "n" => Part::Number,
            "nmea" => Part::NmeaChecksum,
            "xor" => Part::Xor,
            _ => {
                used.push(name);
                let wave = values.get(name).ok_or_else(|| SimulationError::UnknownValue(name.to_owned()))?;
                Part::Value(*wave)
            }
        });
        rest = &after[name.len() + 1..];
    }
    literal.push_str(rest);
    parts.push(Part::Literal(literal));
    match values.keys().find(|name| !used.contains(&name.as_str())) {
        Some(unused) => Err(SimulationError::UnusedValue(unused.clone())),
        None => Ok(parts),
    }
}

/// The name between an opened brace and the next closing one, if it is a name: `[A-Za-z_][A-Za-z0-9_]*`.
fn name_in_braces(after: &str) -> Option<&str> {
    let (name, _) = after.split_once('}')?;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')).then_some(name)
}
