//! Which layout makes a column the smallest in this object: each is tried on all of its values and only its size kept.

use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::get_column_writer;
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnPath;

use super::column;
use super::schema::{COLUMNS, Column, Layout, Layouts, SCHEMA, SPLIT};
use crate::order::TableOrder;

/// What repeats is found again only within a page, so a large one is small in the end; and a page is in memory four
/// times while it is packed. With this one a batch takes about 8 MiB at most beside its records and its object, and a day
/// of ten quantities at 0.1 Hz has one page a column.
const PAGE_BYTES_MAX: usize = 768 << 10;
/// Eight bytes each fill a page.
const PAGE_ROWS_MAX: usize = PAGE_BYTES_MAX / 8;
/// 32,768 numbers: where more are distinct, a dictionary saves little and costs memory.
const DICTIONARY_BYTES_MAX: usize = 1 << 18;
/// Up to so many rows cost more in requests and footers than in time: there everything is tried, and hard.
const SMALL_ROWS_MAX: usize = 8192;
/// For small batches: a tenth smaller than the usual level, in a few milliseconds.
const ZSTD_LEVEL_SMALL: i32 = 15;
/// For all others: an encoded row costs less than half a microsecond.
const ZSTD_LEVEL: i32 = 3;
/// Splitting bytes helps only values that are mostly noise, and those the other layouts leave at more than this a row.
const NOISE_BYTES: u64 = 4;

/// How hard to try for a batch of this size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    rows: u64,
}

impl Effort {
    /// What `rows` are worth.
    pub(super) fn of(rows: u64) -> Self {
        Self { rows }
    }

    fn is_small(self) -> bool {
        usize::try_from(self.rows).is_ok_and(|rows| rows <= SMALL_ROWS_MAX)
    }

    /// Whether columns have more than one page, so that an index of them tells something.
    fn has_many_pages(self) -> bool {
        usize::try_from(self.rows).map_or(true, |rows| rows > PAGE_ROWS_MAX)
    }

    fn level(self) -> i32 {
        if self.is_small() { ZSTD_LEVEL_SMALL } else { ZSTD_LEVEL }
    }
}

/// What all columns have in common.
pub(super) fn properties(effort: Effort) -> Result<WriterPropertiesBuilder> {
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(effort.level())?))
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_offset_index_disabled(!effort.has_many_pages()))
}

/// What one column has of its own.
pub(super) fn lay_out(
    builder: WriterPropertiesBuilder,
    column: &Column,
    layout: Layout,
    effort: Effort,
) -> WriterPropertiesBuilder {
    let statistics = match (column.has_statistics, effort.has_many_pages()) {
        (false, _) => EnabledStatistics::None,
        (true, false) => EnabledStatistics::Chunk,
        (true, true) => EnabledStatistics::Page,
    };
    let (has_dictionary, encoding) = match layout {
        // Where the dictionary outgrows its page, the rest is plain.
        Layout::Dictionary => (true, Encoding::PLAIN),
        Layout::Encoded(encoding) => (false, encoding),
    };
    let path = || ColumnPath::from(column.name);
    builder
        .set_column_dictionary_enabled(path(), has_dictionary)
        .set_column_encoding(path(), encoding)
        .set_column_statistics_enabled(path(), statistics)
}

/// The smallest layout of the column at `index`, the first of equals.
pub(super) fn choose(index: usize, order: &TableOrder<'_>, effort: Effort) -> Result<Layout> {
    let Layouts { usual, when_small } = COLUMNS[index].layouts;
    let mut candidates: Vec<_> = usual.to_vec();
    if effort.is_small() {
        candidates.extend(when_small);
    }
    let mut best = (u64::MAX, candidates[0]);
    if candidates.len() == 1 {
        return Ok(best.1);
    }
    for layout in candidates {
        if layout == SPLIT && best.0 <= effort.rows * NOISE_BYTES {
            continue;
        }
        let size = size_as(index, layout, order, effort)?;
        if size < best.0 {
            best = (size, layout);
        }
    }
    Ok(best.1)
}

fn size_as(index: usize, layout: Layout, order: &TableOrder<'_>, effort: Effort) -> Result<u64> {
    let column = &COLUMNS[index];
    let properties = lay_out(properties(effort)?, column, layout, effort).build();
    let mut nowhere = TrackedWrite::new(io::sink());
    let pages = Box::new(SerializedPageWriter::new(&mut nowhere));
    let mut writer = get_column_writer(SCHEMA.column(index), Arc::new(properties), pages);
    column::fill(&mut writer, column.cells, order)?;
    Ok(writer.close()?.bytes_written)
}
