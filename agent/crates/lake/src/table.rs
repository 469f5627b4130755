//! Parquet: one row a reading or event, sorted as [`crate::order`] says, in columns that each have their own encoding.
//!
//! | column | type | encodings tried | null |
//! |---|---|---|---|
//! | `time` | timestamp (ms, UTC) | plain, delta | never |
//! | `clock` | string | dictionary, plain | never |
//! | `instrument`, `quantity` | string | dictionary, plain | events that are of none |
//! | `value` | double | plain, dictionary, byte stream split | text, missing, events |
//! | `value_text` | string: a text reading, or an event's facts as a JSON object | dictionary, plain | otherwise |
//! | `unit` | string | dictionary, plain | none, events |
//! | `quality` | int32, QARTOD's flag | dictionary, plain | events |
//! | `seq` | int64 | delta | never |
//! | `event` | string | dictionary, plain | readings |
//! | `tags` | string: a JSON object | dictionary, plain | none, events |
//!
//! Which encoding is the smallest depends on the data: each is tried and the smallest is kept, the first of equals.
//! Plain words are tried only in small objects, split bytes only for values that are mostly noise.
//! Everything is zstd. Data pages are of version 1 and every encoding is one that `DuckDB`, Arrow and Trino read
//! (byte stream split only for doubles). There is one row group: an object has a few megabytes, and pages of at most
//! 768 KiB bound the memory. Statistics stand where a query prunes by them; the page index is written only where a
//! column has more than one page, below that it would repeat the statistics.
//!
//! The file's metadata has the manifest line under [`MANIFEST_KEY`], as far as it is known while writing.

mod cell;
mod choose;
mod column;
mod read;
mod schema;
mod write;

pub(crate) use read::{decode, line_of};
pub(crate) use write::encode;

/// The name of the manifest line in a file's key-value metadata.
pub const MANIFEST_KEY: &str = "tidegate.manifest";
