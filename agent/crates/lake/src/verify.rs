//! What can be wrong with a lake, each finding with the name of what it is about.

use model::{Day, Epoch, SeqRange, Timestamp};
use serde::Serialize;

use crate::digest::Digest;
use crate::key::ObjectKey;
use crate::line::{ManifestLine, SeriesLine};
use crate::object::{decode, summary_of};
use crate::row::Row;
use crate::summary::Summary;

/// Something that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// There is no such object.
    #[error("{key}: the object is not there")]
    ObjectMissing {
        /// The object.
        key: String,
    },
    /// The object has another size: cut short, or grown.
    #[error("{key}: {found} bytes instead of {expected}")]
    Size {
        /// The object.
        key: String,
        /// The manifest's.
        expected: u64,
        /// The object's.
        found: u64,
    },
    /// The object has other bytes.
    #[error("{key}: sha256 {found} instead of {expected}")]
    Content {
        /// The object.
        key: String,
        /// The manifest's.
        expected: Digest,
        /// The object's.
        found: Digest,
    },
    /// The object's rows can not be read.
    #[error("{key}: can not be read: {reason}")]
    Unreadable {
        /// The object.
        key: String,
        /// Why.
        reason: String,
    },
    /// The line's key is none of this lake, or of another batch than the line.
    #[error("{key}: the key does not name what the line says")]
    Key {
        /// As the line has it.
        key: String,
    },
    /// The rows are not what the line says of them.
    #[error("{key}: `{field}` is not what the rows say")]
    Field {
        /// The object.
        key: String,
        /// The line's field.
        field: &'static str,
    },
    /// A manifest line was changed after it was written.
    #[error("{key}: its manifest line was altered")]
    LineAltered {
        /// The object of the line.
        key: String,
    },
    /// Manifest lines are missing between two others, and with them these positions.
    #[error("manifest lines are missing before {before}: {}", listed(.ranges))]
    LineMissing {
        /// The object of the first line behind the hole.
        before: String,
        /// Positions that no line answers for.
        ranges: Vec<SeqRange>,
    },
    /// A manifest line does not stand where it was written.
    #[error("{key}: its manifest line is out of place, it was written {}", place(.follows.as_deref()))]
    LineMoved {
        /// The object of the line.
        key: String,
        /// The object of the line that it was written behind; none if it was the first.
        follows: Option<String>,
    },
    /// A day's manifest can not be read: it was cut short or altered.
    #[error("{key}: the manifest can not be read: {reason}")]
    Manifest {
        /// The manifest object.
        key: String,
        /// Why.
        reason: String,
    },
    /// A manifest line that nobody signed.
    #[error("{key}: its manifest line is not signed")]
    Unsigned {
        /// The object of the line.
        key: String,
    },
    /// A manifest line that another signed, or that was altered afterwards.
    #[error("{key}: the signature of its manifest line is not this device's, or the line was altered")]
    Signature {
        /// The object of the line.
        key: String,
    },
    /// Positions that no line answers for and no gap explains.
    #[error("positions {range} of epoch {epoch} are in no object")]
    Hole {
        /// The journal.
        epoch: Epoch,
        /// Which.
        range: SeqRange,
    },
    /// Two objects answer for the same positions: their rows are there twice.
    #[error("{key}: positions {range} are in {with} too")]
    Overlap {
        /// The one that begins later.
        key: String,
        /// The other.
        with: String,
        /// Which positions.
        range: SeqRange,
    },
    /// The key is taken by other bytes.
    #[error("{key}: another object has this name there: sha256 {found} instead of {expected}")]
    Taken {
        /// The object.
        key: String,
        /// Of the bytes that were to go there.
        expected: Digest,
        /// Of those that are there; none where they were not read.
        found: Digest,
    },
    /// The lines begin in the middle, and later than what was asked for.
    #[error("{key}: nothing shows what stood before it, it begins at {time}")]
    NothingBefore {
        /// The object of the first line.
        key: String,
        /// Its earliest time.
        time: Timestamp,
    },
    /// The lines end before what was asked for does: there may be more, on its way or lost.
    #[error("{key}: nothing shows what came after it, it ends at {time}")]
    NothingAfter {
        /// The object of the last line.
        key: String,
        /// Its latest time.
        time: Timestamp,
    },
    /// There is no line at all.
    #[error("there is no manifest line, looked from {from} to {to}")]
    Nothing {
        /// The first day of upload that was looked at.
        #[serde(serialize_with = "as_text")]
        from: Day,
        /// The last.
        #[serde(serialize_with = "as_text")]
        to: Day,
    },
    /// The chain ends before the head that is known from elsewhere.
    #[error("the chain goes on, but its lines are missing {}", place(.after.as_deref()))]
    LinesCutOff {
        /// The object of the last line that is there.
        after: Option<String>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn as_text<S: serde::Serializer>(day: &Day, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

fn listed(ranges: &[SeqRange]) -> String {
    ranges.iter().map(SeqRange::to_string).collect::<Vec<_>>().join(", ")
}

fn place(key: Option<&str>) -> String {
    key.map_or_else(|| "at the start".to_owned(), |key| format!("after {key}"))
}

/// The rows of an object, in sequence order, once its size and digest are what its manifest line says.
pub fn open_object(line: &ManifestLine, bytes: &[u8]) -> Result<Vec<Row>, Finding> {
    let key = line.key.clone();
    let size = u64::try_from(bytes.len()).expect("usize is at most 64 bits");
    if size != line.bytes {
        return Err(Finding::Size { key, expected: line.bytes, found: size });
    }
    let digest = Digest::of(bytes);
    if digest != line.sha256 {
        return Err(Finding::Content { key, expected: line.sha256, found: digest });
    }
    decode(line.format, bytes).map_err(|error| Finding::Unreadable { key, reason: error.to_string() })
}

/// Holds an object against its manifest line: size, digest, key, and every number the line gives.
pub fn verify_object(line: &ManifestLine, bytes: &[u8]) -> Result<(), Vec<Finding>> {
    let key = || line.key.clone();
    let mut rows = open_object(line, bytes).map_err(|finding| vec![finding])?;
    let mut findings = Vec::new();
    let day = rows.first().map(|row| row.time.day());
    let names_it = |named: ObjectKey| {
        let ObjectKey { origin, day: named_day, range, format } = named;
        Some(named_day) == day && range == line.range() && format == line.format && origin.epoch == line.epoch
    };
    if !ObjectKey::parse(&line.key).is_ok_and(names_it) {
        findings.push(Finding::Key { key: key() });
    }
    let has_strays = rows.iter().any(|row| !line.range().contains(row.seq));
    let has_doubles = rows.windows(2).any(|pair| pair[0].seq == pair[1].seq);
    let mut fields = differing_fields(line, &summary_of(&mut rows));
    if has_strays || has_doubles {
        fields.push("first, next");
    }
    findings.extend(fields.into_iter().map(|field| Finding::Field { key: key(), field }));
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn differing_fields(line: &ManifestLine, rows: &Summary) -> Vec<&'static str> {
    // Lines of before a series had its unit are compared without.
    let has_units = line.instruments.iter().any(|series| series.unit.is_some());
    let plain = |series: &SeriesLine| SeriesLine { unit: series.unit.clone().filter(|_| has_units), ..series.clone() };
    let fields = [
        ("rows", line.rows == rows.rows),
        ("time_min, time_max", Some((line.time_min, line.time_max)) == rows.times),
        ("instruments", line.instruments.iter().eq(&rows.instruments.iter().map(plain).collect::<Vec<_>>())),
        ("quality", line.quality == rows.quality),
        ("gaps", line.gaps == rows.gaps),
        ("clock", line.clock == rows.clock),
    ];
    fields.into_iter().filter(|(_, is_same)| !is_same).map(|(field, _)| field).collect()
}
