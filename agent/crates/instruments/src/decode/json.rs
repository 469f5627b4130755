//! One JSON object or array a frame: what gateways and makers' boards send.
//!
//! A JSON number is a number; a number in quotes is a text. `null` is the instrument saying that it has nothing. A key
//! that is not there says nothing (gateways send messages of many shapes on one line); a frame with none of the keys
//! is neither data nor error. `serde_json` bounds the depth (128); the frame's `max` bounds the rest.

use serde_json::Value;

use crate::field::{Field, Kind, Wanted};
use crate::output::{Row, SampleValue};
use crate::refusal::{Refusal, quote};
use crate::spec::{Fault, Place, SpecError};

/// JSON (`decode = { type = "json", root }`). Field: a JSON pointer (RFC 6901) below the root, its first `/` optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonSpec {
    /// A JSON pointer to where the fields are: `""` or `"/payload"`.
    pub root: String,
}

#[derive(Debug)]
pub(crate) struct Json {
    wanted: Vec<(String, Field)>,
}

impl Json {
    pub fn try_new(spec: &JsonSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        if !spec.root.is_empty() && !spec.root.starts_with('/') {
            return Err(Place::Key("decode.root").fault(Fault::NotAPointer(spec.root.clone())));
        }
        let mut wanted = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            if field.field.is_empty() {
                return Err(Place::Field(index).fault(Fault::Empty));
            }
            let slash = if field.field.starts_with('/') { "" } else { "/" };
            wanted.push((format!("{}{slash}{}", spec.root, field.field), Field::new(field)));
        }
        Ok(Self { wanted })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        let document: Value =
            serde_json::from_slice(frame).map_err(|error| Refusal::NotJson { column: error.column() })?;
        // The tail of a torn object may be a number of its own.
        if !document.is_object() && !document.is_array() {
            return Err(Refusal::NotJson { column: 1 });
        }
        for (index, (pointer, field)) in self.wanted.iter().enumerate() {
            if let Some(value) = document.pointer(pointer) {
                row.push(index, read(field, value)?);
            }
        }
        Ok(())
    }
}

fn read(field: &Field, value: &Value) -> Result<SampleValue, Refusal> {
    match (field.kind, value) {
        (_, Value::Null) => Ok(SampleValue::Missing),
        (Kind::Number, Value::Number(number)) => {
            let number = number.as_f64().filter(|number| number.is_finite());
            number.map(|number| field.take_number(number)).ok_or_else(|| not_a_number(field, value))
        }
        // "NaN" in quotes is no number, but may be what is said for nothing.
        (Kind::Number, Value::String(text)) => match field.read(text.as_bytes())? {
            SampleValue::Missing => Ok(SampleValue::Missing),
            _ => Err(not_a_number(field, value)),
        },
        (Kind::Number, _) => Err(not_a_number(field, value)),
        (Kind::Text, Value::String(text)) => field.read(text.as_bytes()),
        (Kind::Text, Value::Number(number)) => field.read(number.to_string().as_bytes()),
        (Kind::Text, Value::Bool(true)) => field.read(b"true"),
        (Kind::Text, Value::Bool(false)) => field.read(b"false"),
        (Kind::Text, Value::Array(_) | Value::Object(_)) => Err(Refusal::NotAText { field: field.name.clone() }),
    }
}

fn not_a_number(field: &Field, value: &Value) -> Refusal {
    Refusal::NotANumber { field: field.name.clone(), text: quote(value.to_string().as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read, wanted};
    use crate::decode::{DecodeSpec, Decoder};

    fn spec(root: &str) -> DecodeSpec {
        DecodeSpec::Json(JsonSpec { root: root.to_owned() })
    }

    #[test]
    fn values_are_taken_by_pointer_below_the_root() {
        let frame = br#"{"from":"node-192","payload":{"d2w":1624.09,"Vb":null,"idx":254029,"s":{"t":[1,2]}}}"#;
        let fields = fields(&["d2w", "/Vb", "'idx", "s/t/1", "absent"]);
        assert_eq!(read(&spec("/payload"), &fields, frame), Ok("0=1624.09 1=- 2=\"254029\" 3=2".to_owned()));
        assert_eq!(read(&spec(""), &fields, frame), Ok(String::new()));
    }

    #[test]
    fn what_is_not_one_whole_object_is_refused() {
        let fields = fields(&["a"]);
        for frame in [
            &br#"{"a":1}fc944524"#[..],
            br#"{"a":1"#,
            b"5",
            b"\xff{}",
            br#"{"a":1}{"a":2}"#,
            br#"{"a":nan}"#,
            br#"{"a":1e999}"#,
        ] {
            assert!(matches!(read(&spec(""), &fields, frame), Err(Refusal::NotJson { .. })), "{frame:?}");
        }
        for frame in [&br#"{"a":"1"}"#[..], br#"{"a":true}"#, br#"{"a":[1]}"#, br#"{"a":"nan"}"#] {
            assert!(matches!(read(&spec(""), &fields, frame), Err(Refusal::NotANumber { .. })), "{frame:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(&spec(""), &fields, deep.as_bytes()).is_err());
    }

    #[test]
    fn a_root_that_is_no_pointer_is_told() {
        let error = Decoder::try_new(&spec("payload"), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.root"));
        assert_eq!(Decoder::try_new(&spec(""), &wanted(&[""])).unwrap_err().place, Place::Field(0));
    }
}
