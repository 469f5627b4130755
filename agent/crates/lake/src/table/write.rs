//! Records in, one Parquet file out.

use std::sync::Arc;

use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::writer::SerializedFileWriter;

use super::choose::{Effort, choose, lay_out, properties};
use super::schema::{COLUMNS, SCHEMA, SORTED_BY, index_of};
use super::{MANIFEST_KEY, column};
use crate::error::LakeError;
use crate::line::ManifestLine;
use crate::order::TableOrder;

/// Named in every file. It has no version of the agent: bytes change with the format, not with a release.
const CREATED_BY: &str = "tidegate";

/// Writes the rows of `order` and, as metadata, `line`.
pub(crate) fn encode(order: &TableOrder<'_>, line: &ManifestLine) -> Result<Vec<u8>, LakeError> {
    let effort = Effort::of(line.rows);
    let mut properties = properties(effort)?
        .set_created_by(CREATED_BY.to_owned())
        .set_sorting_columns(Some(SORTED_BY.map(sorting_column).to_vec()))
        .set_key_value_metadata(Some(vec![KeyValue::new(MANIFEST_KEY.to_owned(), line.to_text()?)]));
    for (index, column) in COLUMNS.iter().enumerate() {
        properties = lay_out(properties, column, choose(index, order, effort)?, effort);
    }
    let schema = SCHEMA.root_schema_ptr();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    let mut group = file.next_row_group()?;
    for column in &COLUMNS {
        let mut writer = group.next_column()?.expect("the schema is made of these columns");
        column::fill(writer.untyped(), column.cells, order)?;
        writer.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?)
}

fn sorting_column(name: &'static str) -> SortingColumn {
    let column_idx = i32::try_from(index_of(name)).expect("eleven columns");
    SortingColumn { column_idx, descending: false, nulls_first: true }
}
