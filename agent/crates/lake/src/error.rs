//! Why bytes could not be made, or not be understood.

use model::{Epoch, Seq};

/// What went wrong between values and bytes.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A batch without records has no day and so no key.
    #[error("a batch without records can not be an object")]
    Empty,
    /// Records are not in ascending order of their positions.
    #[error("record {found} comes after record {previous}")]
    OutOfOrder {
        /// The position before.
        previous: Seq,
        /// The position that should have been behind it.
        found: Seq,
    },
    /// A record outside the range that names its batch.
    #[error("record {seq} is outside its batch {range}")]
    OutsideRange {
        /// The record.
        seq: Seq,
        /// The batch's range.
        range: model::SeqRange,
    },
    /// The batch was not cut at midnight.
    #[error("record {seq} is of another day than its batch, {day}")]
    OtherDay {
        /// The record.
        seq: Seq,
        /// The day of the batch's first record.
        day: model::Day,
    },
    /// A position that a signed 64-bit column can not hold.
    #[error("record {0} is beyond what an object can number")]
    SeqTooLarge(Seq),
    /// A manifest line of another journal than the chain's.
    #[error("a line of epoch {found} can not continue the chain of epoch {expected}")]
    OtherEpoch {
        /// The chain's.
        expected: Epoch,
        /// The line's.
        found: Epoch,
    },
    /// A text that is no key of this lake.
    #[error("not an object key of this lake: {0:?}")]
    Key(String),
    /// A prefix that could leave its bucket or folder.
    #[error("not a key prefix: {0:?}")]
    Prefix(String),
    /// More rows or longer lines than any batch has: refused before memory runs out.
    #[error("an object with more than {0} {1}")]
    TooLarge(usize, &'static str),
    /// An object's column is not what the schema says.
    #[error("column {0} is not what the schema says")]
    Column(&'static str),
    /// A word that stands for nothing.
    #[error("{1:?} is no {0}")]
    Word(&'static str, String),
    /// A line that is no JSON of ours.
    #[error("line {number} can not be read")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The JSON of a manifest line could not be made or read.
    #[error("a manifest line can not be made or read")]
    Json(#[from] serde_json::Error),
    /// The Parquet library refused.
    #[error("parquet can not be written or read")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The zstd library refused: not a frame, or cut short.
    #[error("zstd can not be written or read")]
    Zstd(#[from] std::io::Error),
}
