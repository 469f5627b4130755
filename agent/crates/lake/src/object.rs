//! A batch becomes an object: checked, named, written and described.

use model::{Numbered, Seq, SeqRange, Tags};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format::Format;
use crate::key::{ObjectKey, Origin};
use crate::line::{LINE_VERSION, ManifestLine};
use crate::order::{TableOrder, compare_rows};
use crate::row::Row;
use crate::summary::{Seen, Summary};
use crate::{ndjson, table};

/// More rows than this are not read back from one object: sixteen times what a batch holds, and short of any memory.
pub const ROWS_MAX: usize = 16_000_000;

/// A named slice of the journal: its range and the records that are in it.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// What the batch answers for. It may be wider than the records: a gap event says why.
    pub range: SeqRange,
    /// In ascending order, all of one UTC day.
    pub records: &'a [Numbered],
}

/// What a manifest says beside the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Version of the agent.
    pub agent: String,
    /// The configuration in force, where it has a revision.
    pub config_revision: Option<String>,
    /// The device's tags.
    pub tags: Tags,
}

/// An object, ready to be sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Where it goes.
    pub key: String,
    /// What it is.
    pub bytes: Vec<u8>,
    /// What it holds; `uploaded_at` and `prev` are added when it has been delivered.
    pub line: ManifestLine,
}

/// Writes a batch. The same arguments make the same object, always.
pub fn encode(format: Format, origin: &Origin, batch: Batch<'_>, about: &About) -> Result<Object, LakeError> {
    let first = check(batch)?;
    let day = first.record.stamp().time.day();
    let key = ObjectKey { origin: origin.clone(), day, range: batch.range, format };
    let order = TableOrder::of(batch.records);
    let line = line_of(&key, Summary::of(order.iter().map(Seen::from)), about);
    let bytes = match format {
        Format::Parquet => table::encode(&order, &line)?,
        Format::Ndjson => ndjson::encode(batch.records, &origin.epoch)?,
    };
    Ok(Object { key: line.key.clone(), line: line.of_bytes(&bytes), bytes })
}

/// Reads an object's rows, in sequence order.
///
/// The Parquet library panics on some damaged files. Bytes from outside go through
/// [`verify_object`](crate::verify_object), which compares digests before it reads.
pub fn decode(format: Format, bytes: &[u8]) -> Result<Vec<Row>, LakeError> {
    let mut rows = match format {
        Format::Parquet => table::decode(bytes)?,
        Format::Ndjson => ndjson::decode(bytes)?,
    };
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}

/// Makes an object's manifest line again from the object alone, but for `uploaded_at`, `prev` and `sig`.
///
/// Only Parquet objects say which agent and configuration wrote them; for NDJSON those are empty.
pub fn rebuild(key: &ObjectKey, bytes: &[u8]) -> Result<ManifestLine, LakeError> {
    let about = match key.format {
        Format::Parquet => {
            let ManifestLine { agent, config_revision, tags, .. } = table::line_of(bytes)?;
            About { agent, config_revision, tags }
        }
        Format::Ndjson => About::default(),
    };
    let summary = summary_of(&mut decode(key.format, bytes)?);
    Ok(line_of(key, summary, &about).of_bytes(bytes))
}

/// What a manifest line should say of these rows. Leaves them in table order.
pub(crate) fn summary_of(rows: &mut [Row]) -> Summary {
    rows.sort_by(compare_rows);
    Summary::of(rows.iter().map(Seen::from))
}

/// Every promise of [`Batch`], and that positions fit their column.
fn check(batch: Batch<'_>) -> Result<&Numbered, LakeError> {
    let Batch { range, records } = batch;
    let first = records.first().ok_or(LakeError::Empty)?;
    let day = first.record.stamp().time.day();
    let mut previous: Option<Seq> = None;
    for Numbered { seq, record, .. } in records {
        if let Some(previous) = previous.filter(|previous| previous >= seq) {
            return Err(LakeError::OutOfOrder { previous, found: *seq });
        }
        if !range.contains(*seq) {
            return Err(LakeError::OutsideRange { seq: *seq, range });
        }
        if record.stamp().time.day() != day {
            return Err(LakeError::OtherDay { seq: *seq, day });
        }
        previous = Some(*seq);
    }
    i64::try_from(range.next.0).map_err(|_| LakeError::SeqTooLarge(range.next))?;
    Ok(first)
}

fn line_of(key: &ObjectKey, summary: Summary, about: &About) -> ManifestLine {
    let Summary { rows, times, instruments, quality, gaps, clock } = summary;
    let (time_min, time_max) = times.unwrap_or((key.day.start(), key.day.start()));
    ManifestLine {
        v: LINE_VERSION,
        key: key.to_string(),
        bytes: 0,
        sha256: Digest::NONE,
        format: key.format,
        rows,
        epoch: key.origin.epoch.clone(),
        first: key.range.first,
        next: key.range.next,
        time_min,
        time_max,
        instruments,
        quality,
        gaps,
        clock,
        agent: about.agent.clone(),
        config_revision: about.config_revision.clone(),
        tags: about.tags.clone(),
        uploaded_at: None,
        prev: None,
        rebuilt: false,
        sig: None,
    }
}
