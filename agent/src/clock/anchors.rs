//! The anchors of the last boots: wall time less monotonic time when the clock came to be trusted.
//!
//! Kept in `<journal>/anchors`, a line a boot: `<boot id in hex> <offset in ms>`. A file that is lost or damaged costs
//! nothing but that old readings stay `untrusted`; it can make none of them wrong, because a boot is named by 64 bits.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::BootId;
use tracing::warn;

use crate::lasting;

/// Boots remembered. A board that reboots every hour is remembered for ten days of outage.
const BOOTS_MAX: usize = 256;

/// Largest file read back: twice what is ever written.
const FILE_BYTES_MAX: u64 = 32 << 10;

/// What is known of the last boots.
#[derive(Debug, Default)]
pub struct Anchors {
    file: Option<PathBuf>,
    known: VecDeque<(BootId, i64)>,
}

impl Anchors {
    /// Anchors that end with the process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// The anchors remembered in `folder`.
    pub fn open(folder: &Path) -> Self {
        let file = folder.join("anchors");
        let known = match read(&file) {
            Ok(text) => text.lines().filter_map(parse).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            Err(error) => {
                warn!(file = %file.display(), %error, "anchors can not be read, readings from before the clock was set stay untrusted");
                VecDeque::new()
            }
        };
        Self { file: Some(file), known }
    }

    /// Wall time less monotonic time in this boot.
    pub fn of(&self, boot: BootId) -> Option<i64> {
        self.known.iter().find(|(known, _)| *known == boot).map(|(_, offset_ms)| *offset_ms)
    }

    /// Makes the anchor of a boot; the first one stands.
    pub fn make(&mut self, boot: BootId, offset_ms: i64) {
        if self.of(boot).is_some() {
            return;
        }
        self.known.push_back((boot, offset_ms));
        while self.known.len() > BOOTS_MAX {
            self.known.pop_front();
        }
        if let Some(file) = &self.file
            && let Err(error) = write(file, &self.known)
        {
            warn!(file = %file.display(), %error, "anchor not remembered, it is known until this process ends");
        }
    }
}

fn parse(line: &str) -> Option<(BootId, i64)> {
    let (boot, offset_ms) = line.split_once(' ')?;
    Some((BootId(u64::from_str_radix(boot, 16).ok()?), offset_ms.parse().ok()?))
}

fn read(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("too large"));
    }
    fs::read_to_string(file)
}

fn write(file: &Path, known: &VecDeque<(BootId, i64)>) -> io::Result<()> {
    let mut lines = String::new();
    for (boot, offset_ms) in known {
        writeln!(lines, "{boot} {offset_ms}").expect("a String takes any text");
    }
    lasting::replace(file, lines.as_bytes())
}
