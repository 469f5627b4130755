//! The captures at the root of the repository, and what of them is the instrument's.

use std::fs;
use std::path::Path;

/// What the instrument itself sent: an OOI file without its data logger's prefixes and messages.
pub fn instrument_bytes(capture: &str) -> Vec<u8> {
    // This file is read by tests of two packages.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    let path = root.expect("the packages stand in the repository").join("tests/data").join(capture);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !capture.starts_with("ooi/") {
        return bytes;
    }
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(said) = strip_logger(line.strip_suffix(b"\r").unwrap_or(line)) {
            out.extend_from_slice(said);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// `YYYY/MM/DD HH:MM:SS.mmm `, then either the instrument's line or `[name:DLOGPn]:` and a message; some firmware puts
/// the instrument's line behind that too.
fn strip_logger(line: &[u8]) -> Option<&[u8]> {
    const MESSAGES: [&[u8]; 4] = [b"Instrument ", b"Idle state", b"Logger started", b"Data logger"];
    const PATTERN: &[u8] = b"dddd/dd/dd dd:dd:dd.d";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if line.len() < PATTERN.len() || !line.iter().zip(PATTERN).all(fits) {
        return None;
    }
    let rest = &line[PATTERN.len()..];
    let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b" ").unwrap_or(&rest[digits..]);
    let name_end = rest.iter().position(|byte| *byte == b']').filter(|_| rest.starts_with(b"["));
    match name_end.and_then(|end| rest[end..].strip_prefix(b"]:")) {
        Some(said) if said.is_empty() || MESSAGES.iter().any(|message| said.starts_with(message)) => None,
        Some(said) => Some(said),
        None => Some(rest),
    }
}
