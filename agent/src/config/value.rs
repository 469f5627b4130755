//! Readers of single values: a [`Node`] in, a checked value or a [`Misfit`] out.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::device::DeviceConfig;
use super::node::{Node, Tree};
use super::section::{Fit, Misfit, nearest};

/// Longest text of any key: bounds what a configuration can make us hold.
const TEXT_BYTES_MAX: usize = 4096;

fn expected(what: &str, node: &Node) -> Misfit {
    Misfit::new(format!("{what} is expected here, not {}", node.value.kind()))
}

/// A text.
pub fn text(node: &Node) -> Fit<String> {
    match &node.value {
        Tree::Text(text) if text.len() <= TEXT_BYTES_MAX => Ok(text.clone()),
        Tree::Text(_) => Err(Misfit::new(format!("a text has at most {TEXT_BYTES_MAX} bytes"))),
        Tree::Integer(_) | Tree::Float(_) | Tree::Bool(_) => Err(expected("a text", node).help("write it in quotes")),
        _ => Err(expected("a text", node)),
    }
}

/// A text that `parse` accepts; `what` names the kind of thing in the error.
pub fn parsed<T, E: std::fmt::Display>(parse: impl FnOnce(&str) -> Result<T, E>) -> impl FnOnce(&Node) -> Fit<T> {
    move |node| parse(&text(node)?).map_err(|error| Misfit::new(error.to_string()))
}

/// `true` or `false`.
pub fn flag(node: &Node) -> Fit<bool> {
    match node.value {
        Tree::Bool(flag) => Ok(flag),
        _ => Err(expected("true or false", node)),
    }
}

/// A whole number in a range.
pub fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl FnOnce(&Node) -> Fit<T> {
    move |node| {
        let Tree::Integer(number) = node.value else { return Err(expected("a whole number", node)) };
        let out_of_range = || Misfit::new(format!("{number} is not between {} and {}", range.start(), range.end()));
        if !range.contains(&number) {
            return Err(out_of_range());
        }
        T::try_from(number).map_err(|_| out_of_range())
    }
}

/// Any finite number.
pub fn number(node: &Node) -> Fit<f64> {
    let number = match &node.value {
        // Whole numbers in a configuration are far below 2^53; what is not is no sensible scale or limit.
        Tree::Integer(number) => {
            i32::try_from(*number).map(f64::from).map_err(|_| expected("a smaller number", node))?
        }
        Tree::Float(number) => *number,
        _ => return Err(expected("a number", node)),
    };
    if number.is_finite() { Ok(number) } else { Err(Misfit::new("a finite number is expected here")) }
}

/// A list, each item read by `read`.
pub fn list<T>(read: impl Fn(&Node) -> Fit<T>) -> impl FnOnce(&Node) -> Fit<Vec<T>> {
    move |node| match &node.value {
        Tree::List(items) => items.iter().map(|item| read(item).map_err(|misfit| misfit.at(&item.at))).collect(),
        _ => Err(expected("a list", node).help("write it as [ .. ]")),
    }
}

/// A table of texts.
pub fn texts(node: &Node) -> Fit<BTreeMap<String, String>> {
    let Tree::Table(table) = &node.value else { return Err(expected("a table", node)) };
    table
        .iter()
        .map(|(key, (_, value))| text(value).map(|value| (key.clone(), value)).map_err(|misfit| misfit.at(&value.at)))
        .collect()
}

/// One of several words.
pub fn choice<T: Copy>(choices: &'static [(&'static str, T)]) -> impl FnOnce(&Node) -> Fit<T> {
    move |node| {
        let word = text(node)?;
        if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == word) {
            return Ok(*value);
        }
        let words: Vec<String> = choices.iter().map(|(choice, _)| (*choice).to_owned()).collect();
        let help = match nearest(&word, &words) {
            Some(right) => format!("did you mean \"{right}\"?"),
            None => format!("one of \"{}\"", words.join("\", \"")),
        };
        Err(Misfit::new(format!("\"{word}\" is none of the values this key takes")).help(help))
    }
}

/// A text with `{device}`, `{site}`, `{env:NAME}` and `{credential:NAME}` put in place.
/// What is named from afar can not be found in this device's environment: it could be sent to whoever named it.
pub fn expanded(device: &DeviceConfig) -> impl FnOnce(&Node) -> Fit<String> {
    move |node| {
        let written = text(node)?;
        if node.at.is_afar() && (written.contains("{env:") || written.contains("{credential:")) {
            return Err(Misfit::new("neither {env:} nor {credential:} can be named from afar"));
        }
        device.expand(&written).map_err(Misfit::new)
    }
}

/// The path of a file that is read when it is needed, expanded.
pub fn file(device: &DeviceConfig) -> impl FnOnce(&Node) -> Fit<PathBuf> {
    move |node| match expanded(device)(node)? {
        _ if node.at.is_afar() => Err(Misfit::new("no file can be named from afar")),
        empty if empty.is_empty() => Err(Misfit::new("a path can not be empty")),
        path => Ok(PathBuf::from(path)),
    }
}

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A duration such as `"500ms"`, `"10s"`, `"1.5h"`, `"7d"`, in a range.
pub fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&Node) -> Fit<Duration> {
    move |node| {
        let written =
            text(node).map_err(|misfit| misfit.help("a duration is a text: \"10s\", \"500ms\", \"15m\", \"7d\""))?;
        let duration = parse_duration(&written)?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        Err(Misfit::new(format!("{written} is not between {:?} and {:?}", range.start(), range.end())))
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn parse_duration(written: &str) -> Fit<Duration> {
    scaled(written, DURATION_UNITS).map(Duration::from_millis).ok_or_else(|| {
        Misfit::new(format!("\"{written}\" is no duration"))
            .help("a number and one of ms, s, m, h, d: \"10s\", \"500ms\", \"15m\", \"7d\"")
    })
}

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A size such as `"96KiB"`, `"2GiB"`, in bytes, in a range.
pub fn size(range: RangeInclusive<u64>) -> impl FnOnce(&Node) -> Fit<u64> {
    move |node| {
        let written = text(node).map_err(|misfit| misfit.help("a size is a text: \"96KiB\", \"2GiB\""))?;
        let bytes = scaled(&written, SIZE_UNITS).ok_or_else(|| {
            Misfit::new(format!("\"{written}\" is no size"))
                .help("a number and one of B, kB, KiB, MB, MiB, GB, GiB: \"96KiB\", \"2GiB\"")
        })?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(Misfit::new(format!("{written} is not between {} and {} bytes", range.start(), range.end())))
    }
}

/// A number with up to three decimals and a unit, in the smallest unit; whole-number arithmetic throughout.
fn scaled(written: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = written.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = written.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || (whole.is_empty() && decimals.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.checked_mul(factor)?.checked_add(thousandths.checked_mul(factor)? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_a_number_and_a_unit() {
        for (written, millis) in
            [("500ms", 500), ("10s", 10_000), ("1.5h", 5_400_000), ("7d", 604_800_000), ("0s", 0), ("15 m", 900_000)]
        {
            assert_eq!(scaled(written, DURATION_UNITS), Some(millis), "{written}");
        }
        for bad in ["", "10", "s", "ten s", "10 years", "1.2345s", "-1s", ".s", "99999999999999999999s"] {
            assert_eq!(scaled(bad, DURATION_UNITS), None, "{bad}");
        }
        assert_eq!(scaled("96KiB", SIZE_UNITS), Some(96 * 1024));
        assert_eq!(scaled("2GiB", SIZE_UNITS), Some(2 << 30));
    }
}
