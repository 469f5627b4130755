//! The JSON envelope of a publish: what is the same for all its records once, then the records.

use model::{Epoch, Numbered, Record, Row, SeqRange, Tags};
use serde::{Serialize, Serializer};

use crate::config::DeviceConfig;

/// Version of the envelope; a reader refuses what it does not know.
pub const VERSION: u8 = 1;
/// Its media type.
pub const JSON: &str = "application/json";

#[derive(Serialize)]
struct Envelope<'a> {
    v: u8,
    device: &'a str,
    site: &'a str,
    epoch: &'a Epoch,
    first: u64,
    next: u64,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
    readings: Rows<'a>,
    #[serde(skip_serializing_if = "Rows::is_empty")]
    events: Rows<'a>,
}

/// Whether a device has no tags of its own.
pub fn is_empty(tags: &Tags) -> bool {
    tags.is_empty()
}

struct Rows<'a> {
    records: &'a [Numbered],
    is_wanted: fn(&Record) -> bool,
}

impl Rows<'_> {
    fn is_empty(&self) -> bool {
        !self.records.iter().any(|numbered| (self.is_wanted)(&numbered.record))
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wanted = self.records.iter().filter(|numbered| (self.is_wanted)(&numbered.record));
        serializer.collect_seq(wanted.map(|numbered| Row { numbered, epoch: None }))
    }
}

/// Encodes the records of `range`.
pub fn encode(
    device: &DeviceConfig,
    epoch: &Epoch,
    range: SeqRange,
    records: &[Numbered],
) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope {
        v: VERSION,
        device: device.id.as_str(),
        site: device.site.as_str(),
        epoch,
        first: range.first.0,
        next: range.next.0,
        tags: &device.tags,
        readings: Rows { records, is_wanted: |record| matches!(record, Record::Reading(_)) },
        events: Rows { records, is_wanted: |record| matches!(record, Record::Event(_)) },
    })
}
