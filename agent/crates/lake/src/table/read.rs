//! One Parquet file in, rows out.

use std::sync::Arc;

use bytes::Bytes;
use model::{Clock, EventKind, InstrumentId, Quality, QuantityId, Seq, Timestamp};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::MANIFEST_KEY;
use super::schema::{COLUMNS, SCHEMA, index_of};
use crate::error::LakeError;
use crate::line::ManifestLine;
use crate::object::ROWS_MAX;
use crate::row::Row;

/// Reads the rows, in the order in which they stand.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Row>, LakeError> {
    let file = open(bytes)?;
    let metadata = file.metadata();
    let is_too_large = usize::try_from(metadata.file_metadata().num_rows()).map_or(true, |rows| rows > ROWS_MAX);
    if is_too_large {
        return Err(LakeError::TooLarge(ROWS_MAX, "rows"));
    }
    let mut rows = Vec::new();
    for group in 0..metadata.num_row_groups() {
        read_group(file.get_row_group(group)?.as_ref(), &mut rows)?;
    }
    Ok(rows)
}

/// The manifest line in the file's metadata.
pub(crate) fn line_of(bytes: &[u8]) -> Result<ManifestLine, LakeError> {
    let file = open(bytes)?;
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == MANIFEST_KEY));
    let text = pair.and_then(|pair| pair.value.as_deref());
    ManifestLine::parse(text.ok_or(LakeError::Column(MANIFEST_KEY))?)
}

fn open(bytes: &[u8]) -> Result<SerializedFileReader<Bytes>, LakeError> {
    let file = SerializedFileReader::new(Bytes::copy_from_slice(bytes))?;
    let found = file.metadata().file_metadata().schema_descr();
    for (index, column) in COLUMNS.iter().enumerate() {
        let is_same = index < found.num_columns() && found.column(index) == SCHEMA.column(index);
        if !is_same {
            return Err(LakeError::Column(column.name));
        }
    }
    Ok(file)
}

fn read_group(group: &dyn RowGroupReader, rows: &mut Vec<Row>) -> Result<(), LakeError> {
    let mut time = column::<Int64Type>(group, "time")?.into_iter();
    let mut clock = words(group, "clock", clock_of)?.into_iter();
    let mut instrument = words(group, "instrument", |text| InstrumentId::try_new(text).ok())?.into_iter();
    let mut quantity = words(group, "quantity", |text| QuantityId::try_new(text).ok())?.into_iter();
    let mut value = column::<DoubleType>(group, "value")?.into_iter();
    let mut value_text = words(group, "value_text", shared)?.into_iter();
    let mut unit = words(group, "unit", shared)?.into_iter();
    let mut quality = column::<Int32Type>(group, "quality")?.into_iter();
    let mut seq = column::<Int64Type>(group, "seq")?.into_iter();
    let mut event = words(group, "event", EventKind::from_word)?.into_iter();
    let mut tags = words(group, "tags", shared)?.into_iter();
    for _ in 0..group.metadata().num_rows() {
        rows.push(Row {
            time: Timestamp::from_millis(next(&mut time, "time")?.ok_or(LakeError::Column("time"))?),
            clock: next(&mut clock, "clock")?.ok_or(LakeError::Column("clock"))?,
            instrument: next(&mut instrument, "instrument")?,
            quantity: next(&mut quantity, "quantity")?,
            value: next(&mut value, "value")?,
            value_text: next(&mut value_text, "value_text")?,
            unit: next(&mut unit, "unit")?,
            quality: next(&mut quality, "quality")?.map(quality_of).transpose()?,
            seq: next(&mut seq, "seq")?
                .and_then(|seq| u64::try_from(seq).ok())
                .map(Seq)
                .ok_or(LakeError::Column("seq"))?,
            event: next(&mut event, "event")?,
            tags: next(&mut tags, "tags")?,
        });
    }
    Ok(())
}

fn next<T>(column: &mut impl Iterator<Item = T>, name: &'static str) -> Result<T, LakeError> {
    column.next().ok_or(LakeError::Column(name))
}

fn column<T: DataType>(group: &dyn RowGroupReader, name: &'static str) -> Result<Vec<Option<T::T>>, LakeError> {
    let index = index_of(name);
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(index)?);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (rows, ..) = reader.read_records(ROWS_MAX, Some(&mut levels), None, &mut values)?;
    if SCHEMA.column(index).max_def_level() == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let cells: Vec<_> = levels.into_iter().map(|level| if level == 0 { None } else { values.next() }).collect();
    if cells.len() == rows { Ok(cells) } else { Err(LakeError::Column(name)) }
}

/// A column of texts as what they stand for. Equal neighbours are made once.
fn words<W: Clone>(
    group: &dyn RowGroupReader,
    name: &'static str,
    parse: impl Fn(&str) -> Option<W>,
) -> Result<Vec<Option<W>>, LakeError> {
    let mut last: Option<(ByteArray, W)> = None;
    let mut word = |bytes: ByteArray| -> Result<W, LakeError> {
        match &last {
            Some((known, word)) if *known == bytes => Ok(word.clone()),
            _ => {
                let text = bytes.as_utf8()?;
                let word = parse(text).ok_or_else(|| LakeError::Word(name, text.to_owned()))?;
                last = Some((bytes, word.clone()));
                Ok(word)
            }
        }
    };
    column::<ByteArrayType>(group, name)?.into_iter().map(|cell| cell.map(&mut word).transpose()).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the other words have")]
fn shared(text: &str) -> Option<Arc<str>> {
    Some(Arc::from(text))
}

fn clock_of(text: &str) -> Option<Clock> {
    [Clock::Synced, Clock::Corrected, Clock::Untrusted].into_iter().find(|clock| clock.as_str() == text)
}

fn quality_of(flag: i32) -> Result<Quality, LakeError> {
    let quality = u8::try_from(flag).ok().and_then(Quality::from_flag);
    quality.ok_or_else(|| LakeError::Word("quality", flag.to_string()))
}
