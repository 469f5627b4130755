//! How things look on a terminal: colour where it is wanted, columns where there are some.

use std::io::{IsTerminal, Write as _};

use lake::Finding;
use model::Timestamp;

pub use crate::control::check::seconds;

/// A colour with a meaning.
#[derive(Debug, Clone, Copy)]
pub enum Paint {
    /// All is well.
    Good,
    /// Look at it.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

/// Whether colours are wanted on this stream.
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text in a colour, where colours are wanted.
pub fn paint(text: &str, paint: Paint, is_coloured: bool) -> String {
    if !is_coloured {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => "32",
        Paint::Bad => "31;1",
        Paint::Dim => "2",
        Paint::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Columns of the terminal on standard output; 80 where there is none.
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(80, |size| usize::from(size.ws_col)).max(20)
}

/// The beginning of a line that fits: one that wraps would be drawn over wrongly.
pub fn clip(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars().take(columns.saturating_sub(1)).chain(['>']).collect()
}

/// Text from elsewhere, without what a terminal would obey.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Bytes in lines of `each`, in hex beside text: `6e 2c 31 32 0d 0a     |n,12..|`.
pub fn hex_and_text(bytes: &[u8], each: usize) -> Vec<String> {
    let line = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let is_shown = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let text: String = bytes.iter().map(|&byte| if is_shown(byte) { char::from(byte) } else { '.' }).collect();
        format!("{:<width$} |{text}|", hex.join(" "), width = each * 3 - 1)
    };
    bytes.chunks(each).map(line).collect()
}

/// A finding about a lake, on standard output.
pub fn finding(finding: &Finding, is_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !is_json {
        return Ok(writeln!(out, "{}", harmless(&finding.to_string()))?);
    }
    let mut object = serde_json::to_value(finding)?;
    object["says"] = finding.to_string().into();
    Ok(writeln!(out, "{object}")?)
}

/// Bytes as a person reads them.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// How long ago, as a person reads it.
pub fn ago(time: Option<Timestamp>, now: Timestamp) -> String {
    match time {
        None => "never".to_owned(),
        Some(time) => {
            let millis = now.as_millis().saturating_sub(time.as_millis()).max(0);
            format!("{} ago", seconds(u64::try_from(millis / 1_000).unwrap_or(0)))
        }
    }
}
