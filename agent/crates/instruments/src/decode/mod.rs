//! What a frame says. One file a decoder, its spec beside it; one line in [`DecodeSpec`] and in [`Decoder`].
//!
//! A decoder is made of its spec and the fields wanted of it, and refuses fields it could never find. It appends a
//! value for each field the frame speaks of; a frame that speaks of none is neither data nor error.

pub mod columns;
pub mod delimited;
pub mod json;
pub mod key_value;
pub mod nmea;
pub mod regex;
pub mod structure;

use crate::field::Wanted;
use crate::output::Row;
use crate::refusal::Refusal;
use crate::spec::SpecError;

/// What a frame says (`protocol.decode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeSpec {
    /// Columns between separators.
    Delimited(delimited::DelimitedSpec),
    /// Named groups of a pattern.
    Regex(regex::RegexSpec),
    /// Keys and values.
    KeyValue(key_value::KeyValueSpec),
    /// JSON.
    Json(json::JsonSpec),
    /// NMEA 0183.
    Nmea(nmea::NmeaSpec),
    /// Binary numbers.
    Struct(structure::StructSpec),
}

#[derive(Debug)]
pub(crate) enum Decoder {
    Delimited(delimited::Delimited),
    Regex(regex::Pattern),
    KeyValue(key_value::KeyValue),
    Json(json::Json),
    Nmea(nmea::Nmea),
    Struct(structure::Struct),
}

impl Decoder {
    pub fn try_new(spec: &DecodeSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        Ok(match spec {
            DecodeSpec::Delimited(spec) => Decoder::Delimited(delimited::Delimited::try_new(spec, fields)?),
            DecodeSpec::Regex(spec) => Decoder::Regex(regex::Pattern::try_new(spec, fields)?),
            DecodeSpec::KeyValue(spec) => Decoder::KeyValue(key_value::KeyValue::try_new(spec, fields)?),
            DecodeSpec::Json(spec) => Decoder::Json(json::Json::try_new(spec, fields)?),
            DecodeSpec::Nmea(spec) => Decoder::Nmea(nmea::Nmea::try_new(spec, fields)?),
            DecodeSpec::Struct(spec) => Decoder::Struct(structure::Struct::try_new(spec, fields)?),
        })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        match self {
            Decoder::Delimited(delimited) => delimited.decode(frame, row),
            Decoder::Regex(pattern) => pattern.decode(frame, row),
            Decoder::KeyValue(key_value) => key_value.decode(frame, row),
            Decoder::Json(json) => json.decode(frame, row),
            Decoder::Nmea(nmea) => nmea.decode(frame, row),
            Decoder::Struct(structure) => structure.decode(frame, row),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! How the decoders' own tests read one frame.

    use model::{Clock, Stamp, Timestamp};

    use super::*;
    use crate::field::{FieldSpec, Kind};
    use crate::output::SampleValue;

    /// Fields by selector; one that begins with `'` is a text.
    pub fn fields(selectors: &[&str]) -> Vec<FieldSpec> {
        let field = |selector: &&str| match selector.strip_prefix('\'') {
            Some(field) => FieldSpec { field: field.to_owned(), kind: Kind::Text, missing: Vec::new(), good: None },
            None => FieldSpec { field: (*selector).to_owned(), kind: Kind::Number, missing: Vec::new(), good: None },
        };
        selectors.iter().map(field).collect()
    }

    /// The same as a decoder is asked.
    pub fn wanted(selectors: &[&str]) -> Vec<Wanted> {
        fields(selectors).iter().map(Wanted::value).collect()
    }

    /// What a frame says, as `0=1.5 1=- 2="text"`, or why it is refused.
    pub fn read(spec: &DecodeSpec, fields: &[FieldSpec], frame: &[u8]) -> Result<String, Refusal> {
        let fields: Vec<Wanted> = fields.iter().map(Wanted::value).collect();
        let mut decoder = Decoder::try_new(spec, &fields).expect("the test's spec holds");
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
        let mut samples = Vec::new();
        decoder.decode(frame, &mut Row::begin(at, &mut samples))?;
        let texts: Vec<String> = samples
            .iter()
            .map(|sample| match &sample.value {
                SampleValue::Number(number) => format!("{}={number}", sample.field),
                SampleValue::Text(text) => format!("{}={text:?}", sample.field),
                SampleValue::Missing => format!("{}=-", sample.field),
            })
            .collect();
        Ok(texts.join(" "))
    }
}
