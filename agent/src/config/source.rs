//! The texts that a configuration comes from, and places in them.

use std::io;
use std::ops::Range;
use std::path::Path;

/// Largest configuration file: a thousand instruments fit ten times over.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A text that configuration came from: a file, an environment variable, a flag, a profile.
#[derive(Debug, Clone)]
pub struct Source {
    /// What to call it: a path, `TIDEGATE__DEVICE__ID`, `profile nmea-sounder`.
    pub name: String,
    /// The whole text, for showing the line.
    pub text: String,
}

/// The sources of one configuration; an [`At`] points into them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
}

impl Sources {
    /// Takes a source in and gives its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.list.push(Source { name: name.into(), text: text.into() });
        self.list.len() - 1
    }

    /// The source with this number.
    pub fn get(&self, source: usize) -> &Source {
        &self.list[source]
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// Number in [`Sources`].
    pub source: usize,
    /// Bytes of its text.
    pub span: Range<usize>,
}

/// The text of a configuration file, refused when it is absurdly large.
pub(super) fn read_bounded(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("a configuration file has at most {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(file)
}
