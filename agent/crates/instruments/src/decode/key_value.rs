//! Keys and values: Vaisala's `0R0,Dn=209D,Dm=281D,Sn=0.0#,...`.
//!
//! Vaisala WXT530 Series User's Guide M211840EN, "ASCII protocol": the letter after a number is its unit, and `#` in
//! its place says that the value is invalid. Every part must be one key and one value: `Dn=0m=032D` is two lines torn
//! into one. A key that is not there says nothing (composite and single messages share a line).

use std::collections::BTreeMap;

use crate::decode::columns::Columns;
use crate::field::{Field, Kind, Wanted, parse_number};
use crate::output::{Row, SampleValue};
use crate::refusal::{Refusal, quote};
use crate::spec::{Fault, Place, SpecError};

/// Keys and values (`decode = { type = "key-value", sep, assign, prefix, units, invalid }`). Field: the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueSpec {
    /// What stands between the pairs: `,`.
    pub sep: Vec<u8>,
    /// What stands between key and value: `=`.
    pub assign: Vec<u8>,
    /// What the first part begins with, where that is an address and no pair: `0R0`, or `0R` for all messages.
    pub prefix: Option<Vec<u8>>,
    /// The unit by the letters after a number. Where given, a number must have one of them: list only those whose
    /// unit the quantities are in, and an instrument set to other units is refused, not believed.
    pub units: BTreeMap<String, String>,
    /// What stands in the unit's place when there is no value: `#`.
    pub invalid: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct KeyValue {
    sep: Vec<u8>,
    assign: Vec<u8>,
    prefix: Option<Vec<u8>>,
    /// Longest first: `hPa` before `a`.
    units: Vec<Vec<u8>>,
    invalid: Vec<Vec<u8>>,
    wanted: Vec<(Vec<u8>, Field)>,
    parts: Columns,
}

impl KeyValue {
    pub fn try_new(spec: &KeyValueSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        check_filled("decode.sep", &spec.sep)?;
        check_filled("decode.assign", &spec.assign)?;
        if spec.sep == spec.assign {
            let text = String::from_utf8_lossy(&spec.sep).into_owned();
            return Err(Place::Key("decode.assign").fault(Fault::Ambiguous(text)));
        }
        for unit in spec.units.keys() {
            check_filled("decode.units", unit.as_bytes())?;
        }
        for invalid in &spec.invalid {
            check_filled("decode.invalid", invalid.as_bytes())?;
            if spec.units.contains_key(invalid) {
                return Err(Place::Key("decode.invalid").fault(Fault::Ambiguous(invalid.clone())));
            }
        }
        if let Some(index) = fields.iter().position(|field| field.field.is_empty()) {
            return Err(Place::Field(index).fault(Fault::Empty));
        }
        let mut units: Vec<_> = spec.units.keys().map(|unit| unit.as_bytes().to_vec()).collect();
        units.sort_by_key(|unit| std::cmp::Reverse(unit.len()));
        Ok(Self {
            sep: spec.sep.clone(),
            assign: spec.assign.clone(),
            prefix: spec.prefix.clone(),
            units,
            invalid: spec.invalid.iter().map(|text| text.as_bytes().to_vec()).collect(),
            wanted: fields.iter().map(|spec| (spec.field.as_bytes().to_vec(), Field::new(spec))).collect(),
            parts: Columns::default(),
        })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        self.parts.split_at(frame, &self.sep);
        let first = self.skip_prefix(frame)?;
        for index in first..self.parts.len() {
            let part = self.parts.get(frame, index).unwrap_or_default();
            let (key, value) = self.split_pair(part).ok_or_else(|| Refusal::NotAPair { text: quote(part) })?;
            for (index, (wanted, field)) in self.wanted.iter().enumerate() {
                if wanted != key {
                    continue;
                }
                if row.holds(index) {
                    return Err(Refusal::Repeated { field: field.name.clone() });
                }
                row.push(index, self.read(field, value)?);
            }
        }
        Ok(())
    }

    /// Index of the first part that is a pair.
    fn skip_prefix(&self, frame: &[u8]) -> Result<usize, Refusal> {
        let Some(prefix) = &self.prefix else { return Ok(0) };
        let part = self.parts.get(frame, 0).unwrap_or_default();
        // A pair in it would be lost unseen: `0R1Dn=032D` has lost a separator.
        if part.starts_with(prefix) && find(part, &self.assign).is_none() {
            Ok(1)
        } else {
            Err(Refusal::Prefix { text: quote(part) })
        }
    }

    fn split_pair<'a>(&self, part: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let at = find(part, &self.assign)?;
        let (key, value) = (part[..at].trim_ascii(), &part[at + self.assign.len()..]);
        (!key.is_empty() && find(value, &self.assign).is_none()).then_some((key, value))
    }

    fn read(&self, field: &Field, value: &[u8]) -> Result<SampleValue, Refusal> {
        let value = value.trim_ascii();
        if self.invalid.iter().any(|suffix| value.ends_with(suffix)) {
            return Ok(SampleValue::Missing);
        }
        if field.kind == Kind::Text || self.units.is_empty() {
            return field.read(value);
        }
        for unit in &self.units {
            if let Some(number) = value.strip_suffix(&unit[..]).and_then(parse_number) {
                return Ok(field.take_number(number));
            }
        }
        match field.read(value) {
            Ok(SampleValue::Missing) => Ok(SampleValue::Missing),
            _ => Err(Refusal::NotANumber { field: field.name.clone(), text: quote(value) }),
        }
    }
}

fn check_filled(key: &'static str, bytes: &[u8]) -> Result<(), SpecError> {
    if bytes.is_empty() { Err(Place::Key(key).fault(Fault::Empty)) } else { Ok(()) }
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    text.windows(sought.len()).position(|window| window == sought)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read};
    use crate::decode::{DecodeSpec, Decoder};

    fn wxt() -> KeyValueSpec {
        let units = [("D", "deg"), ("M", "m/s"), ("C", "Cel"), ("H", "hPa"), ("P", "%")];
        KeyValueSpec {
            sep: b",".to_vec(),
            assign: b"=".to_vec(),
            prefix: Some(b"0R".to_vec()),
            units: units.iter().map(|(letter, unit)| ((*letter).to_owned(), (*unit).to_owned())).collect(),
            invalid: vec!["#".to_owned()],
        }
    }

    #[test]
    fn values_are_taken_by_key() {
        let spec = DecodeSpec::KeyValue(wxt());
        let fields = fields(&["Dm", "Sn", "'Id", "Ta"]);
        for (frame, expected) in [
            ("0R0,Dn=209D,Dm=281D,Sn=0.0M,Ta=19.7C,Id=Hel", "0=281 1=0 3=19.7 2=\"Hel\""),
            ("0R0,Dm=281#,Sn=#,Ta=-0.5C", "0=- 1=- 3=-0.5"),
            ("0R5,Th=25.9C", ""),
        ] {
            let mut expected: Vec<_> = expected.split_whitespace().collect();
            let said = read(&spec, &fields, frame.as_bytes()).unwrap();
            let mut said: Vec<_> = said.split_whitespace().collect();
            said.sort_unstable();
            expected.sort_unstable();
            assert_eq!(said, expected, "{frame}");
        }
    }

    #[test]
    fn a_torn_line_is_refused_whole() {
        let spec = DecodeSpec::KeyValue(wxt());
        let fields = fields(&["Dm", "Ta"]);
        for (frame, word) in [
            ("0R1,Dn=0m=032D", "not-a-pair"),
            ("0R1,Dm=032D,0R1,Dn=032D", "not-a-pair"),
            ("0R1,Dm=032D,Ta", "not-a-pair"),
            ("0R1,Dm=032D,=1", "not-a-pair"),
            ("0R1,Dm=032D,", "not-a-pair"),
            ("0R1Dm=032D", "prefix"),
            ("R1,Dm=032D", "prefix"),
            ("0R1,Dm=032D,Dm=033D", "repeated"),
            ("0R1,Dm=032", "not-a-number"),
            ("0R1,Dm=032B", "not-a-number"),
            ("0R1,Dm=D", "not-a-number"),
            ("0R1,Dm=", "not-a-number"),
        ] {
            assert_eq!(read(&spec, &fields, frame.as_bytes()).map_err(|why| why.word()), Err(word), "{frame}");
        }
    }

    #[test]
    fn without_units_a_number_stands_alone() {
        let spec = KeyValueSpec { units: BTreeMap::new(), prefix: None, assign: b" = ".to_vec(), ..wxt() };
        let spec = DecodeSpec::KeyValue(spec);
        assert_eq!(read(&spec, &fields(&["t"]), b"t = 1.5,u = x"), Ok("0=1.5".to_owned()));
        assert!(read(&spec, &fields(&["t"]), b"t = 1.5C").is_err());
    }

    #[test]
    fn a_spec_that_can_not_be_is_told() {
        let invalid = KeyValueSpec { invalid: vec!["C".to_owned()], ..wxt() };
        let assign = KeyValueSpec { assign: b",".to_vec(), ..wxt() };
        let sep = KeyValueSpec { sep: Vec::new(), ..wxt() };
        for (spec, key) in [(invalid, "decode.invalid"), (assign, "decode.assign"), (sep, "decode.sep")] {
            let error = Decoder::try_new(&DecodeSpec::KeyValue(spec), &[]).unwrap_err();
            assert_eq!(error.place, Place::Key(key));
        }
    }
}
