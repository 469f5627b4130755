//! Hands a column's values to its writer, a few thousand at a time: no column is ever in memory as a whole.

use model::Tags;
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl, get_typed_column_writer_mut};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::Result;

use super::cell::Cells;
use crate::order::TableOrder;
use crate::row::tags_json;

/// Rows gathered at a time.
const GATHER_ROWS: usize = 4096;

/// Writes all of a column's values.
pub(super) fn fill(writer: &mut ColumnWriter<'_>, cells: Cells, order: &TableOrder<'_>) -> Result<()> {
    match cells {
        Cells::Time(cell) | Cells::Long(cell) => {
            fill_typed::<Int64Type>(writer, order.iter().map(|numbered| Some(cell(numbered))))
        }
        Cells::Int(cell) => fill_typed::<Int32Type>(writer, order.iter().map(cell)),
        Cells::Double(cell) => fill_typed::<DoubleType>(writer, order.iter().map(cell)),
        Cells::Word(cell) => {
            let mut memo = Memo::default();
            let words = order.iter().map(|numbered| memo.get(cell(numbered), |word: &str| ByteArray::from(word)));
            fill_typed::<ByteArrayType>(writer, words)
        }
        Cells::Text(cell) => {
            let texts = order.iter().map(|numbered| cell(numbered).map(|text| ByteArray::from(&*text)));
            fill_typed::<ByteArrayType>(writer, texts)
        }
        Cells::Tags(cell) => {
            let mut memo = Memo::default();
            let tags = order.iter().map(|numbered| memo.get(cell(numbered), json_of));
            fill_typed::<ByteArrayType>(writer, tags)
        }
    }
}

fn fill_typed<T: DataType>(
    writer: &mut ColumnWriter<'_>,
    mut values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let writer: &mut ColumnWriterImpl<'_, T> = get_typed_column_writer_mut(writer);
    let (mut gathered, mut levels) = (Vec::with_capacity(GATHER_ROWS), Vec::with_capacity(GATHER_ROWS));
    loop {
        gathered.clear();
        levels.clear();
        for value in values.by_ref().take(GATHER_ROWS) {
            levels.push(i16::from(value.is_some()));
            gathered.extend(value);
        }
        if levels.is_empty() {
            return Ok(());
        }
        // Levels are ignored where the column is never null.
        writer.write_batch(&gathered, Some(&levels), None)?;
    }
}

fn json_of(tags: &Tags) -> ByteArray {
    ByteArray::from(tags_json(tags).unwrap_or_default().into_bytes())
}

/// The last value and what was made of it: rows are sorted, so it is mostly the next one too.
struct Memo<K>(Option<(K, ByteArray)>);

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Copy + PartialEq> Memo<K> {
    fn get(&mut self, key: Option<K>, make: impl FnOnce(K) -> ByteArray) -> Option<ByteArray> {
        let key = key?;
        match &self.0 {
            Some((known, value)) if *known == key => Some(value.clone()),
            _ => {
                let value = make(key);
                self.0 = Some((key, value.clone()));
                Some(value)
            }
        }
    }
}
