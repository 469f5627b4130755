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
    remote: Option<Source>,
}

impl Sources {
    /// The number of the remote revision: what stands there was written by nobody who has access to this device.
    pub const REMOTE: usize = usize::MAX;

    /// Takes the remote revision in.
    pub fn add_remote(&mut self, revision: &str) {
        self.remote = Some(Source { name: format!("remote revision {revision}"), text: String::new() });
    }

    /// Takes a source in and gives its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.list.push(Source { name: name.into(), text: text.into() });
        self.list.len() - 1
    }

    /// The source with this number.
    pub fn get(&self, source: usize) -> &Source {
        match &self.remote {
            Some(remote) if source == Self::REMOTE => remote,
            _ => &self.list[source],
        }
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

impl At {
    /// In the remote revision, which has no lines to point at.
    pub fn afar() -> Self {
        Self { source: Sources::REMOTE, span: 0..0 }
    }

    /// Whether it stands in the remote revision.
    pub fn is_afar(&self) -> bool {
        self.source == Sources::REMOTE
    }
}

/// The text of a configuration file, refused when it is absurdly large.
pub(super) fn read_bounded(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("a configuration file has at most {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(file)
}
