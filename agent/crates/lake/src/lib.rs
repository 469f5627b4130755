//! The lake's side of the house: object keys, encodings and manifests, read back and verified with the same code.
//!
//! Everything here is a function from values to bytes or back: no I/O, no clock, no randomness. The same batch makes
//! the same bytes on every device and in every year of the same release, which is what lets a retry overwrite itself.
//!
//! Writing: [`leading_day`] cuts the batch, [`encode`] makes the [`Object`] and its [`ManifestLine`],
//! [`ManifestDay::append`] seals the line into the [`Chain`]. Reading: [`decode`] gives the [`Row`]s back in sequence
//! order, [`verify_object`] and [`verify_chain`] say what is wrong, and [`rebuild`] makes a line again from an object. Finding:
//! a [`Walk`] says which days' manifests a [`Query`] needs, the [`Catalogue`] of them which objects, and what is missing.

pub mod catalogue;
pub mod chain;
pub mod cut;
pub mod day;
pub mod digest;
pub mod error;
pub mod format;
pub mod key;
pub mod line;
pub mod merge;
mod ndjson;
pub mod object;
mod order;
pub mod query;
pub mod rebuild;
pub mod row;
pub mod signature;
pub mod summary;
mod table;
pub mod verify;
pub mod walk;

pub use catalogue::{Catalogue, Entry, entries_of};
pub use chain::{Chain, uncovered, verify_chain};
pub use cut::leading_day;
pub use day::ManifestDay;
pub use digest::Digest;
pub use error::LakeError;
pub use format::Format;
pub use key::{Home, ObjectKey, Origin, Prefix, manifest_key};
pub use line::{GapLine, ManifestLine, SeriesLine};
pub use merge::merge;
pub use object::{About, Batch, Object, decode, encode, rebuild};
pub use query::Query;
pub use rebuild::link_rebuilt;
pub use row::{Row, RowJson};
pub use signature::{KeyError, SigningKey, VerifyingKey};
pub use verify::{Finding, open_object, verify_object};
pub use walk::Walk;
