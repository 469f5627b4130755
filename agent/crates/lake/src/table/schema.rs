//! The columns: their types, where their values come from, and what is tried to make each small.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::cell::{self, Cells};

/// How a column's values may be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each distinct value once, then which of them each row has.
    Dictionary,
    /// One of Parquet's encodings.
    Encoded(Encoding),
}

/// What is tried for a column, in order of preference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layouts {
    pub usual: &'static [Layout],
    /// What gains a few bytes at best, and that only in an object of few rows.
    pub when_small: &'static [Layout],
}

/// A column of the table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub name: &'static str,
    pub cells: Cells,
    is_nullable: bool,
    pub layouts: Layouts,
    /// Whether queries prune by its least and greatest value. Not by `value`'s: it mixes quantities.
    pub has_statistics: bool,
}

const PLAIN: Layout = Layout::Encoded(Encoding::PLAIN);
const DELTA: Layout = Layout::Encoded(Encoding::DELTA_BINARY_PACKED);
pub(super) const SPLIT: Layout = Layout::Encoded(Encoding::BYTE_STREAM_SPLIT);

/// Plain times win where several quantities share them: the second copy is one long match.
const TIMES: Layouts = Layouts { usual: &[PLAIN, DELTA], when_small: &[] };
const POSITIONS: Layouts = Layouts { usual: &[DELTA], when_small: &[] };
const NUMBERS: Layouts = Layouts { usual: &[PLAIN, Layout::Dictionary, SPLIT], when_small: &[] };
const WORDS: Layouts = Layouts { usual: &[Layout::Dictionary], when_small: &[PLAIN] };

const fn required(name: &'static str, cells: Cells, layouts: Layouts, has_statistics: bool) -> Column {
    Column { name, cells, is_nullable: false, layouts, has_statistics }
}

const fn optional(name: &'static str, cells: Cells, layouts: Layouts, has_statistics: bool) -> Column {
    Column { name, cells, is_nullable: true, layouts, has_statistics }
}

/// The table. The order is public.
pub(super) const COLUMNS: [Column; 11] = [
    required("time", cell::TIME, TIMES, true),
    required("clock", cell::CLOCK, WORDS, false),
    optional("instrument", cell::INSTRUMENT, WORDS, true),
    optional("quantity", cell::QUANTITY, WORDS, true),
    optional("value", cell::VALUE, NUMBERS, false),
    optional("value_text", cell::VALUE_TEXT, WORDS, false),
    optional("unit", cell::UNIT, WORDS, false),
    optional("quality", cell::QUALITY, WORDS, true),
    required("seq", cell::SEQ, POSITIONS, true),
    optional("event", cell::EVENT, WORDS, true),
    optional("tags", cell::TAGS, WORDS, false),
];

/// What the rows are sorted by.
pub(super) const SORTED_BY: [&str; 3] = ["instrument", "quantity", "time"];

/// The schema as Parquet says it.
pub(super) static SCHEMA: LazyLock<Arc<SchemaDescriptor>> = LazyLock::new(|| {
    let fields = COLUMNS.iter().map(|column| Arc::new(column.as_type())).collect();
    let root = Type::group_type_builder("tidegate").with_fields(fields).build().expect("names are distinct");
    Arc::new(SchemaDescriptor::new(Arc::new(root)))
});

/// The position of the column called `name`.
pub(super) fn index_of(name: &'static str) -> usize {
    COLUMNS.iter().position(|column| column.name == name).expect("names stand in this file")
}

impl Column {
    fn as_type(&self) -> Type {
        let (physical, logical) = match self.cells {
            Cells::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
            Cells::Long(_) => (Physical::INT64, None),
            Cells::Int(_) => (Physical::INT32, None),
            Cells::Double(_) => (Physical::DOUBLE, None),
            Cells::Word(_) | Cells::Text(_) | Cells::Tags(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = if self.is_nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .expect("each logical type fits its physical one")
    }
}
