//! Columns between separators: `4831\t379\t354.255\t...`.
//!
//! A dead sensor may take its column with it (ASIMET: 12 become 11): with `columns` given, any other number refuses the
//! frame, so that nothing shifts silently. Where there is no checksum, `pattern` says what a whole record looks like: one
//! that broke off in a column, or lost its end and ran into the next, may have as many columns as it should. An empty column is nothing only where `missing` has `""`.

use std::ops::RangeInclusive;

use ::regex::bytes::Regex;

use crate::decode::columns::Columns;
use crate::field::{Field, Wanted};
use crate::limits::COLUMNS_MAX;
use crate::output::Row;
use crate::pattern::compile;
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// Columns (`decode = { type = "delimited", sep, columns, pattern }`). Field: the column's number, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelimitedSpec {
    /// What stands between columns.
    pub sep: Separator,
    /// How many there are; `None`: as many as the fields need, or more.
    pub columns: Option<RangeInclusive<usize>>,
    /// What every record matches.
    pub pattern: Option<String>,
}

/// What stands between columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Separator {
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// Any run of ASCII white space; such at the ends of the frame separates nothing.
    Whitespace,
}

#[derive(Debug)]
pub(crate) struct Delimited {
    sep: Separator,
    expected: RangeInclusive<usize>,
    pattern: Option<Regex>,
    wanted: Vec<(usize, Field)>,
    columns: Columns,
}

impl Delimited {
    pub fn try_new(spec: &DelimitedSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        if matches!(&spec.sep, Separator::Bytes(sep) if sep.is_empty()) {
            return Err(Place::Key("decode.sep").fault(Fault::Empty));
        }
        let columns = spec.columns.clone().unwrap_or(1..=COLUMNS_MAX);
        if *columns.start() < 1 || *columns.end() > COLUMNS_MAX || columns.is_empty() {
            let found = if *columns.start() < 1 { *columns.start() } else { *columns.end() };
            let fault = Fault::OutOfRange { min: (*columns.start()).max(1), max: COLUMNS_MAX, found };
            return Err(Place::Key("decode.columns").fault(fault));
        }
        let mut wanted = Vec::with_capacity(fields.len());
        let mut least = 1;
        for (index, spec) in fields.iter().enumerate() {
            let column = parse_column(&spec.field, *columns.end()).map_err(|fault| Place::Field(index).fault(fault))?;
            least = least.max(column);
            wanted.push((column - 1, Field::new(spec)));
        }
        let expected = match spec.columns {
            Some(_) => columns,
            None => least..=usize::MAX,
        };
        let pattern = spec.pattern.as_deref().map(compile).transpose();
        let pattern = pattern.map_err(|fault| Place::Key("decode.pattern").fault(fault))?;
        Ok(Self { sep: spec.sep.clone(), expected, pattern, wanted, columns: Columns::default() })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        match &self.sep {
            Separator::Bytes(sep) => self.columns.split_at(frame, sep),
            Separator::Whitespace => self.columns.split_at_space(frame),
        }
        let found = self.columns.len();
        if !self.expected.contains(&found) {
            return Err(Refusal::Columns { min: *self.expected.start(), max: *self.expected.end(), found });
        }
        for (index, (column, field)) in self.wanted.iter().enumerate() {
            // A column beyond the least number is there in some lines and not in others: then it says nothing.
            if let Some(text) = self.columns.get(frame, *column) {
                row.push(index, field.read(text)?);
            }
        }
        // Last: that a column is missing, or is no number, says more.
        if self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(frame)) { Ok(()) } else { Err(Refusal::NoMatch) }
    }
}

fn parse_column(text: &str, columns: usize) -> Result<usize, Fault> {
    let column = text.parse::<usize>().ok().filter(|column| *column >= 1);
    let column = column.ok_or_else(|| Fault::NotAColumn(text.to_owned()))?;
    if column > columns { Err(Fault::NoColumn { column, columns }) } else { Ok(column) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read, wanted};
    use crate::decode::{DecodeSpec, Decoder};

    fn spec(sep: &[u8], columns: Option<RangeInclusive<usize>>) -> DecodeSpec {
        DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Bytes(sep.to_vec()), columns, pattern: None })
    }

    /// A logger's line broke off in its first column, and the next one ran into it: twelve columns, and a pressure of
    /// 1011011.98. Another did so while a sensor kept its column for itself: eleven and one.
    #[test]
    fn what_does_not_look_like_a_record_is_none() {
        let pattern = Some(r"^\d{3,4}\.\d+ \d{1,3}\.\d+ ".to_owned());
        let spec = DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Whitespace, columns: Some(3..=3), pattern });
        let read = |frame| read(&spec, &fields(&["1", "2"]), frame);
        assert_eq!(read(b"1011.98 80.614 23.995"), Ok("0=1011.98 1=80.614".to_owned()));
        assert_eq!(read(b"1011011.98 80.614 23.995"), Err(Refusal::NoMatch));
        assert_eq!(read(b"1011.98 1011.98 23.995"), Err(Refusal::NoMatch));
        assert_eq!(read(b"1011.98 80.614"), Err(Refusal::Columns { min: 3, max: 3, found: 2 }));
        let refused = Refusal::NotANumber { field: "2".to_owned(), text: "80.614B".to_owned() };
        assert_eq!(read(b"1011.98 80.614B 23.995"), Err(refused));
    }

    #[test]
    fn columns_are_taken_by_number() {
        let spec = spec(b"\t", Some(4..=4));
        let fields = fields(&["3", "'2", "1"]);
        assert_eq!(read(&spec, &fields, b"4831\t0379\t354.255\t"), Ok("0=354.255 1=\"0379\" 2=4831".to_owned()));
        assert_eq!(read(&spec, &fields, b"4831\t379\t1"), Err(Refusal::Columns { min: 4, max: 4, found: 3 }));
        let refused = Refusal::NotANumber { field: "3".to_owned(), text: "1C".to_owned() };
        assert_eq!(read(&spec, &fields, b"4831\t379\t1C\t"), Err(refused));
    }

    #[test]
    fn a_column_that_is_there_at_times_says_nothing_when_it_is_not() {
        let spec = spec(b",", Some(1..=2));
        assert_eq!(read(&spec, &fields(&["1", "2"]), b"8.69"), Ok("0=8.69".to_owned()));
        assert_eq!(read(&spec, &fields(&["1", "2"]), b"8.69,96.4"), Ok("0=8.69 1=96.4".to_owned()));
    }

    #[test]
    fn an_empty_column_is_nothing_only_where_that_is_said() {
        let spec = spec(b",", None);
        let mut fields = fields(&["2"]);
        assert!(read(&spec, &fields, b"1,,3").is_err());
        fields[0].missing = vec![String::new()];
        assert_eq!(read(&spec, &fields, b"1,,3"), Ok("0=-".to_owned()));
        assert_eq!(read(&spec, &fields, b"1"), Err(Refusal::Columns { min: 2, max: usize::MAX, found: 1 }));
    }

    #[test]
    fn fields_that_can_not_be_are_told_by_index() {
        for (selector, columns, fault) in [
            ("0", None, Fault::NotAColumn("0".to_owned())),
            ("x", None, Fault::NotAColumn("x".to_owned())),
            ("3", Some(1..=2), Fault::NoColumn { column: 3, columns: 2 }),
        ] {
            let error = Decoder::try_new(&spec(b",", columns), &wanted(&["1", selector])).unwrap_err();
            assert_eq!(error, Place::Field(1).fault(fault));
        }
        let error = Decoder::try_new(&spec(b"", None), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.sep"));
        let error = Decoder::try_new(&spec(b",", Some(0..=3)), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.columns"));
    }
}
