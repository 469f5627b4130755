//! NDJSON: the JSON of `model::Row` with its epoch, one a line in sequence order, in one zstd frame that has its
//! content's size in front and its checksum behind.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use model::{Epoch, Numbered, Row as RowJson, Tags};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::error::LakeError;
use crate::object::ROWS_MAX;
use crate::row::{Row, tags_json};

/// Fast enough for a small board; higher levels gain a few percent on such lines.
const ZSTD_LEVEL: i32 = 3;
/// Longest line that is read back: far beyond any record, short of any memory.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Writes the records.
pub(crate) fn encode(records: &[Numbered], epoch: &Epoch) -> Result<Vec<u8>, LakeError> {
    pack(|out| {
        for numbered in records {
            serde_json::to_writer(&mut *out, &RowJson { numbered, epoch: Some(epoch) })?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Writes what `write` writes into one frame. It is asked twice: the size stands in front of the content, and a batch
/// in memory as text would be larger than all the rest.
pub(crate) fn pack(write: impl Fn(&mut dyn Write) -> Result<(), LakeError>) -> Result<Vec<u8>, LakeError> {
    let mut size = Size(0);
    write(&mut size)?;
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(size.0))?;
    let mut buffered = BufWriter::new(encoder);
    write(&mut buffered)?;
    let encoder = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(encoder.finish()?)
}

/// The lines of a frame, one by one. A frame that is cut short is an error, whatever its lines say.
pub(crate) fn lines(bytes: &[u8], mut take: impl FnMut(usize, &str) -> Result<(), LakeError>) -> Result<(), LakeError> {
    let mut reader = BufReader::new(zstd::Decoder::with_buffer(bytes)?.single_frame());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let limit = u64::try_from(LINE_BYTES_MAX).expect("a megabyte");
        io::Read::take(&mut reader, limit).read_until(b'\n', &mut line)?;
        match line.pop() {
            None => break,
            Some(b'\n') => {}
            Some(_) if line.len() + 1 >= LINE_BYTES_MAX => {
                return Err(LakeError::TooLarge(LINE_BYTES_MAX, "bytes a line"));
            }
            Some(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
        if number > ROWS_MAX {
            return Err(LakeError::TooLarge(ROWS_MAX, "lines"));
        }
        take(number, std::str::from_utf8(&line).map_err(io::Error::other)?)?;
    }
    Ok(())
}

/// Reads the rows, in the order in which they stand.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Row>, LakeError> {
    let mut rows = Vec::new();
    lines(bytes, |number, text| {
        let row = serde_json::from_str(text).and_then(row_of);
        rows.push(row.map_err(|source| LakeError::Line { number, source })?);
        Ok(())
    })?;
    Ok(rows)
}

/// A reading's own fields are taken by name; what an event has left over are its facts.
fn row_of(mut line: Map<String, Json>) -> Result<Row, serde_json::Error> {
    let mut row = Row {
        time: required(&mut line, "time")?,
        clock: required(&mut line, "clock")?,
        instrument: optional(&mut line, "instrument")?,
        quantity: optional(&mut line, "quantity")?,
        value: None,
        value_text: None,
        unit: None,
        quality: None,
        seq: required(&mut line, "seq")?,
        event: optional(&mut line, "event")?,
        tags: None,
    };
    required::<Epoch>(&mut line, "epoch")?;
    if row.event.is_some() {
        row.value_text = (!line.is_empty()).then(|| Json::Object(line).to_string().into());
        return Ok(row);
    }
    match required(&mut line, "value")? {
        Json::String(text) => row.value_text = Some(text.into()),
        value => row.value = serde_json::from_value(value)?,
    }
    row.unit = optional::<String>(&mut line, "unit")?.map(Arc::from);
    row.quality = Some(required(&mut line, "quality")?);
    row.tags = optional::<Tags>(&mut line, "tags")?.as_ref().and_then(tags_json).map(Arc::from);
    Ok(row)
}

fn optional<T: DeserializeOwned>(line: &mut Map<String, Json>, name: &str) -> Result<Option<T>, serde_json::Error> {
    line.shift_remove(name).map(serde_json::from_value).transpose()
}

fn required<T: DeserializeOwned>(line: &mut Map<String, Json>, name: &'static str) -> Result<T, serde_json::Error> {
    optional(line, name)?.ok_or_else(|| serde::de::Error::missing_field(name))
}

/// Counts bytes and keeps none.
struct Size(u64);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).expect("usize is at most 64 bits");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
