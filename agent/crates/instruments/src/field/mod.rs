//! From the bytes of one field to its value: the one place where a text becomes a number, a text or nothing.

mod number;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::limits::TEXT_BYTES_MAX;
use crate::output::SampleValue;
use crate::refusal::{Refusal, quote};
pub(crate) use number::parse_number;

/// One field as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpec {
    /// Where the decoder finds it, as written: a column from 1, a group, a key, a pointer, `DBT.3`, `XDR.WCHR`.
    pub field: String,
    /// What it is.
    pub kind: Kind,
    /// What the instrument says when it has nothing. Compared as text with the spaces around trimmed, upper and lower
    /// case apart; and as numbers where both are: `-9999` is also `-9999.00`.
    pub missing: Vec<String>,
}

/// What a field is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// A finite decimal number.
    #[default]
    Number,
    /// An id or a status: kept as it stands, leading zeros count.
    Text,
}

/// A field without its selector, which the decoder has understood.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    pub kind: Kind,
    missing_texts: Vec<Vec<u8>>,
    missing_numbers: Vec<f64>,
}

impl Field {
    pub fn new(spec: &FieldSpec) -> Self {
        let missing_texts: Vec<_> = spec.missing.iter().map(|text| text.trim().as_bytes().to_vec()).collect();
        let missing_numbers = match spec.kind {
            Kind::Number => missing_texts.iter().filter_map(|text| parse_number(text)).collect(),
            Kind::Text => Vec::new(),
        };
        Self { name: spec.field.clone(), kind: spec.kind, missing_texts, missing_numbers }
    }

    /// What these bytes of a frame say.
    pub fn read(&self, text: &[u8]) -> Result<SampleValue, Refusal> {
        let text = text.trim_ascii();
        if self.missing_texts.iter().any(|missing| missing == text) {
            return Ok(SampleValue::Missing);
        }
        match self.kind {
            Kind::Number => {
                let number = parse_number(text)
                    .ok_or_else(|| Refusal::NotANumber { field: self.name.clone(), text: quote(text) })?;
                Ok(self.take_number(number))
            }
            Kind::Text => {
                let text = std::str::from_utf8(text).map_err(|_| Refusal::NotAText { field: self.name.clone() })?;
                self.take_text(text)
            }
        }
    }

    /// What this finite number says.
    pub fn take_number(&self, number: f64) -> SampleValue {
        // What the configuration writes and what the instrument writes were parsed alike: equal is equal.
        let is_same = |missing: &f64| missing.partial_cmp(&number).is_some_and(Ordering::is_eq);
        let is_missing = self.missing_numbers.iter().any(is_same);
        if is_missing { SampleValue::Missing } else { SampleValue::Number(number) }
    }

    fn take_text(&self, text: &str) -> Result<SampleValue, Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::TextTooLong { field: self.name.clone(), bytes: text.len() });
        }
        Ok(SampleValue::Text(Arc::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: Kind, missing: &[&str]) -> Field {
        let missing = missing.iter().map(|text| (*text).to_owned()).collect();
        Field::new(&FieldSpec { field: "x".to_owned(), kind, missing })
    }

    #[test]
    fn a_number_is_what_the_instrument_said_or_nothing_or_refused() {
        let field = field(Kind::Number, &["-9999", "NaN", "", "#"]);
        for (text, value) in [
            (" 25.08", Some(SampleValue::Number(25.08))),
            ("-9999.00", Some(SampleValue::Missing)),
            ("NaN", Some(SampleValue::Missing)),
            ("  ", Some(SampleValue::Missing)),
            ("#", Some(SampleValue::Missing)),
            ("nan", None),
            ("25.08C", None),
            ("Na", None),
        ] {
            assert_eq!(field.read(text.as_bytes()).ok(), value, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_kept_as_it_stands() {
        let field = field(Kind::Text, &["-", "0"]);
        assert_eq!(field.read(b" 0000_000005972 "), Ok(SampleValue::Text(Arc::from("0000_000005972"))));
        assert_eq!(field.read(b"-"), Ok(SampleValue::Missing));
        assert_eq!(field.read(b"00"), Ok(SampleValue::Text(Arc::from("00"))));
        assert_eq!(field.read(b"\xff"), Err(Refusal::NotAText { field: "x".to_owned() }));
        let long = Refusal::TextTooLong { field: "x".to_owned(), bytes: 513 };
        assert_eq!(field.read(&[b'a'; 513]), Err(long));
    }
}
