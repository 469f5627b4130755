//! The two encodings of an object.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the rows of an object are written. One format a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Columns, sorted by series: small and quick to query.
    Parquet,
    /// One JSON object a line, in sequence order, in one zstd frame: readable with `zstdcat`.
    Ndjson,
}

impl Format {
    /// Both of them.
    pub const ALL: [Format; 2] = [Format::Parquet, Format::Ndjson];

    /// The word used in JSON, the configuration and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Ndjson => "ndjson",
        }
    }

    /// How the object's key ends, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Ndjson => "ndjson.zst",
        }
    }

    /// The media type; zstd is part of the file, so no content encoding belongs beside it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Ndjson => "application/zstd",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
