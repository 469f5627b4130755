//! One object's line in the manifest: what it holds, without opening it.
//!
//! The order of the fields is the order in the JSON, and the JSON is what the chain hashes: it is public and stays.

use std::collections::BTreeMap;

use model::{Clock, Epoch, InstrumentId, Quality, QuantityId, Seq, SeqRange, Tags, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format::Format;

/// Version of the line, in `v`.
pub const LINE_VERSION: u8 = 1;

/// What one object holds. An object's own metadata repeats the line without what is not known while it is written:
/// `bytes`, `sha256`, `uploaded_at`, `prev` and `sig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestLine {
    /// [`LINE_VERSION`].
    pub v: u8,
    /// The object's key.
    pub key: String,
    /// Its size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Its digest.
    #[serde(default, skip_serializing_if = "Digest::is_none")]
    pub sha256: Digest,
    /// How it is written.
    pub format: Format,
    /// How many readings and events are in it.
    pub rows: u64,
    /// The journal they come from.
    pub epoch: Epoch,
    /// The first position of the batch.
    pub first: Seq,
    /// The first position behind it.
    pub next: Seq,
    /// The earliest time in it.
    pub time_min: Timestamp,
    /// The latest time in it.
    pub time_max: Timestamp,
    /// One entry a series with readings, by instrument and quantity.
    pub instruments: Vec<SeriesLine>,
    /// Readings by quality, best first; a quality that none has is left out.
    pub quality: BTreeMap<Quality, u64>,
    /// The losses recorded in it.
    pub gaps: Vec<GapLine>,
    /// Rows by how far their clock can be believed; a clock that none has is left out.
    pub clock: BTreeMap<Clock, u64>,
    /// Version of the agent that wrote it.
    pub agent: String,
    /// The configuration then in force, where it has a revision.
    pub config_revision: Option<String>,
    /// The device's tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// When the far side had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<Timestamp>,
    /// The digest of the line before it, of this device and epoch; 64 zeros for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// Made again from the object, because the line that the device wrote was lost: the chain does not go through it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rebuilt: bool,
    /// The device's signature of all that stands before it; always the last field. See [`crate::signature`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// One series in an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesLine {
    /// Who measured.
    pub instrument: InstrumentId,
    /// What.
    pub quantity: QuantityId,
    /// In which unit: numbers of two probes are compared by it. A series whose unit was changed has an entry each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How many readings have a value, number or text. Those without are counted by `quality.missing`.
    pub count: u64,
    /// The smallest number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    /// The mean of the numbers, to nine significant digits: a summary, and shorter so.
    pub mean: Option<f64>,
}

/// One recorded loss in an object: the facts of its `gap` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GapLine {
    /// Where its record stands.
    pub seq: Seq,
    /// Why.
    pub reason: String,
    /// How many records.
    pub count: u64,
    /// Which positions, where they had any: the first, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_first: Option<Seq>,
    /// ... and the first behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_next: Option<Seq>,
    /// The time of the first of them, where known, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_from: Option<Timestamp>,
    /// ... and of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_to: Option<Timestamp>,
}

impl ManifestLine {
    /// The line as JSON, without a line end.
    pub fn to_text(&self) -> Result<String, LakeError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The positions that the object answers for.
    pub fn range(&self) -> SeqRange {
        SeqRange::new(self.first, self.next)
    }

    /// The same line as it stands in the object's own metadata.
    #[must_use]
    pub fn unsealed(&self) -> Self {
        Self {
            bytes: 0,
            sha256: Digest::NONE,
            uploaded_at: None,
            prev: None,
            rebuilt: false,
            sig: None,
            ..self.clone()
        }
    }

    /// The same line, knowing the object's bytes.
    #[must_use]
    pub(crate) fn of_bytes(self, bytes: &[u8]) -> Self {
        let size = u64::try_from(bytes.len()).expect("usize is at most 64 bits");
        Self { bytes: size, sha256: Digest::of(bytes), ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(it: &bool) -> bool {
    !*it
}
