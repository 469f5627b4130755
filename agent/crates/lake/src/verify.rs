//! What can be wrong with a lake, each finding with the name of what it is about.

use model::SeqRange;

use crate::digest::Digest;
use crate::key::ObjectKey;
use crate::line::ManifestLine;
use crate::object::{decode, summary_of};
use crate::summary::Summary;

/// Something that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
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
    /// The chain ends before the head that is known from elsewhere.
    #[error("the chain goes on, but its lines are missing {}", place(.after.as_deref()))]
    LinesCutOff {
        /// The object of the last line that is there.
        after: Option<String>,
    },
}

fn listed(ranges: &[SeqRange]) -> String {
    ranges.iter().map(SeqRange::to_string).collect::<Vec<_>>().join(", ")
}

fn place(key: Option<&str>) -> String {
    key.map_or_else(|| "at the start".to_owned(), |key| format!("after {key}"))
}

/// Holds an object against its manifest line: size, digest, key, and every number the line gives.
pub fn verify_object(line: &ManifestLine, bytes: &[u8]) -> Result<(), Vec<Finding>> {
    let key = || line.key.clone();
    let found = line.clone().of_bytes(bytes);
    if found.bytes != line.bytes {
        return Err(vec![Finding::Size { key: key(), expected: line.bytes, found: found.bytes }]);
    }
    if found.sha256 != line.sha256 {
        return Err(vec![Finding::Content { key: key(), expected: line.sha256, found: found.sha256 }]);
    }
    let mut rows = match decode(line.format, bytes) {
        Ok(rows) => rows,
        Err(error) => return Err(vec![Finding::Unreadable { key: key(), reason: error.to_string() }]),
    };
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
    let fields = [
        ("rows", line.rows == rows.rows),
        ("time_min, time_max", Some((line.time_min, line.time_max)) == rows.times),
        ("instruments", line.instruments == rows.instruments),
        ("quality", line.quality == rows.quality),
        ("gaps", line.gaps == rows.gaps),
        ("clock", line.clock == rows.clock),
    ];
    fields.into_iter().filter(|(_, is_same)| !is_same).map(|(field, _)| field).collect()
}
