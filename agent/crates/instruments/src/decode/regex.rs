//! Named groups of a pattern on bytes: for lines that are no table, such as `S S      0.000 kg`.
//!
//! A frame that does not match is refused (what is known to be noise goes into `ignore`). A group that took no part in
//! the match, `(?:...)?`, says nothing.

use ::regex::bytes::{CaptureLocations, Regex};

use crate::field::{Field, Wanted};
use crate::output::Row;
use crate::pattern::compile;
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};

/// Named groups (`decode = { type = "regex", pattern }`). Field: the group's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexSpec {
    /// The pattern, on bytes; anchored only where it says so.
    pub pattern: String,
}

#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    locations: CaptureLocations,
    wanted: Vec<(usize, Field)>,
}

impl Pattern {
    pub fn try_new(spec: &RegexSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        let regex = compile(&spec.pattern).map_err(|fault| Place::Key("decode.pattern").fault(fault))?;
        let mut wanted = Vec::with_capacity(fields.len());
        for (index, spec) in fields.iter().enumerate() {
            let group = regex.capture_names().position(|name| name == Some(&spec.field)).ok_or_else(|| {
                let groups = regex.capture_names().flatten().map(str::to_owned).collect();
                Place::Field(index).fault(Fault::NoGroup { group: spec.field.clone(), groups })
            })?;
            wanted.push((group, Field::new(spec)));
        }
        Ok(Self { locations: regex.capture_locations(), regex, wanted })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        self.regex.captures_read(&mut self.locations, frame).ok_or(Refusal::NoMatch)?;
        for (index, (group, field)) in self.wanted.iter().enumerate() {
            if let Some((first, next)) = self.locations.get(*group) {
                row.push(index, field.read(&frame[first..next])?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read, wanted};
    use crate::decode::{DecodeSpec, Decoder};

    fn spec(pattern: &str) -> DecodeSpec {
        DecodeSpec::Regex(RegexSpec { pattern: pattern.to_owned() })
    }

    #[test]
    fn groups_are_taken_by_name() {
        let spec = spec(r"^S (?P<status>[SD]) +(?P<weight>-?[\d.]+)(?: (?P<unit>\w+))?$");
        let fields = fields(&["weight", "'unit"]);
        assert_eq!(read(&spec, &fields, b"S S      0.500 kg"), Ok("0=0.5 1=\"kg\"".to_owned()));
        assert_eq!(read(&spec, &fields, b"S D 1"), Ok("0=1".to_owned()));
        assert_eq!(read(&spec, &fields, b"S I"), Err(Refusal::NoMatch));
        assert_eq!(read(&spec, &fields, b"\xffS S 1"), Err(Refusal::NoMatch));
        let refused = Refusal::NotANumber { field: "weight".to_owned(), text: "1.2.3".to_owned() };
        assert_eq!(read(&spec, &fields, b"S S 1.2.3 kg"), Err(refused));
    }

    #[test]
    fn a_pattern_or_group_that_can_not_be_is_told() {
        let error = Decoder::try_new(&spec("("), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.pattern"));
        let error = Decoder::try_new(&spec("(?<a>x)"), &wanted(&["b"])).unwrap_err();
        assert_eq!(error.to_string(), "the pattern has no group \"b\"; it has a");
        let error = Decoder::try_new(&spec(r"(\w{1000}){1000}"), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.pattern"));
    }
}
