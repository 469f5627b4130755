//! From the bytes of one field to its value: the one place where a text becomes a number, a text or nothing.

mod number;
mod status;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::clock::ClockPart;
use crate::limits::TEXT_BYTES_MAX;
use crate::output::SampleValue;
use crate::refusal::{Refusal, quote};
pub(crate) use number::parse_number;
pub use status::{Standing, StatusSpec};
pub(crate) use status::{Status, Verdict};

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
    /// A status beside it that says whether to believe it.
    pub good: Option<StatusSpec>,
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

/// What a decoder is asked for: a field of the configuration, or what is needed to judge one.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// As in [`FieldSpec::field`].
    pub field: String,
    role: Role,
}

/// What becomes of the text of a field.
#[derive(Debug, Clone)]
enum Role {
    Value(Kind, Vec<String>),
    /// A status; its sample is [`Verdict::code`].
    Status(Status),
    /// The instrument's clock; its sample is a number of milliseconds, or missing.
    Clock(ClockPart),
}

impl Wanted {
    pub fn value(spec: &FieldSpec) -> Self {
        Self { field: spec.field.clone(), role: Role::Value(spec.kind, spec.missing.clone()) }
    }

    pub fn status(spec: &StatusSpec) -> Self {
        Self { field: spec.field.clone(), role: Role::Status(Status::new(spec)) }
    }

    pub fn clock(field: &str, part: ClockPart) -> Self {
        Self { field: field.to_owned(), role: Role::Clock(part) }
    }
}

/// A field without its selector, which the decoder has understood.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    pub kind: Kind,
    judge: Judge,
}

/// What the decoders need not know of a field.
#[derive(Debug)]
enum Judge {
    Value { missing_texts: Vec<Vec<u8>>, missing_numbers: Vec<f64> },
    Status(Status),
    Clock(ClockPart),
}

impl Field {
    pub fn new(wanted: &Wanted) -> Self {
        let (kind, judge) = match &wanted.role {
            Role::Status(status) => (Kind::Text, Judge::Status(status.clone())),
            Role::Clock(part) => (Kind::Text, Judge::Clock(part.clone())),
            Role::Value(kind, missing) => {
                let missing_texts: Vec<_> = missing.iter().map(|text| text.trim().as_bytes().to_vec()).collect();
                let missing_numbers = match kind {
                    Kind::Number => missing_texts.iter().filter_map(|text| parse_number(text)).collect(),
                    Kind::Text => Vec::new(),
                };
                (*kind, Judge::Value { missing_texts, missing_numbers })
            }
        };
        Self { name: wanted.field.clone(), kind, judge }
    }

    /// Whether it is one of the configuration's own, and no number.
    pub fn is_text(&self) -> bool {
        self.kind == Kind::Text && matches!(self.judge, Judge::Value { .. })
    }

    /// What these bytes of a frame say.
    pub fn read(&self, text: &[u8]) -> Result<SampleValue, Refusal> {
        let text = text.trim_ascii();
        match &self.judge {
            Judge::Status(status) => return Ok(SampleValue::Number(status.standing(text).code())),
            Judge::Clock(part) => return Ok(part.read(text).map_or(SampleValue::Missing, SampleValue::Number)),
            Judge::Value { missing_texts, .. } if missing_texts.iter().any(|missing| missing == text) => {
                return Ok(SampleValue::Missing);
            }
            Judge::Value { .. } => {}
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
        match &self.judge {
            Judge::Status(status) => SampleValue::Number(status.standing_of(number).code()),
            Judge::Clock(_) => SampleValue::Missing,
            // What the configuration writes and what the instrument writes were parsed alike: equal is equal.
            Judge::Value { missing_numbers, .. } if holds(missing_numbers, number) => SampleValue::Missing,
            Judge::Value { .. } => SampleValue::Number(number),
        }
    }

    fn take_text(&self, text: &str) -> Result<SampleValue, Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::TextTooLong { field: self.name.clone(), bytes: text.len() });
        }
        Ok(SampleValue::Text(Arc::from(text)))
    }
}

fn holds(numbers: &[f64], sought: f64) -> bool {
    numbers.iter().any(|number| number.partial_cmp(&sought).is_some_and(Ordering::is_eq))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: Kind, missing: &[&str]) -> Field {
        let missing = missing.iter().map(|text| (*text).to_owned()).collect();
        Field::new(&Wanted::value(&FieldSpec { field: "x".to_owned(), kind, missing, good: None }))
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
