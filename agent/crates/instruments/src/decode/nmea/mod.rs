//! NMEA 0183 sentences: `$SDDBT,7.7,f,2.3,M,1.3,F*05`.
//!
//! - A null field "is used when the value is unreliable or not available" (§5.2.2.3): it is nothing, not an error.
//! - Sentences nobody asks for, and encapsulated ones (`!AIVDM`, §5.3.4), are neither data nor error. With
//!   `check = "nmea-xor"` they are still checked: what is broken may have been one that was asked for.
//! - A checksum is verified by the check, not here; under `check = "none"` it is cut off unread.
//! - Sentences may be longer than the 82 characters of §5.3: `frame.max` is the limit.

mod selector;

use crate::decode::columns::Columns;
use crate::field::{Field, Wanted};
use crate::output::{Row, SampleValue};
use crate::refusal::Refusal;
use crate::sentence::Sentence;
use crate::spec::{Fault, Place, SpecError};
use selector::{Address, Part, Selector};

/// NMEA 0183 (`decode = { type = "nmea", sentences }`). Field: `DBT.3` (any talker), `SDDBT.3`, `PGRME.1`: the field
/// after the address, from 1; or `XDR.NAME`: the value of the transducer of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NmeaSpec {
    /// The sentences that count, by address: `SDDBT`, or `DBT` of any talker. `None`: all.
    pub sentences: Option<Vec<String>>,
}

#[derive(Debug)]
pub(crate) struct Nmea {
    sentences: Option<Vec<Address>>,
    wanted: Vec<(Selector, Field)>,
    fields: Columns,
}

/// `XDR` repeats type, value, unit and name for each transducer (NMEA 0183 §6.3, XDR).
const QUAD: usize = 4;

impl Nmea {
    pub fn try_new(spec: &NmeaSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        let sentences = match &spec.sentences {
            None => None,
            Some(texts) => Some(parse_addresses(texts)?),
        };
        let mut wanted = Vec::with_capacity(fields.len());
        for (index, spec) in fields.iter().enumerate() {
            let selector = Selector::parse(&spec.field).map_err(|fault| Place::Field(index).fault(fault))?;
            if let Some(sentences) = &sentences
                && !sentences.iter().any(|listed| listed.overlaps(&selector.address))
            {
                let fault = Fault::NotListed(selector.address.as_str().to_owned());
                return Err(Place::Field(index).fault(fault));
            }
            wanted.push((selector, Field::new(spec)));
        }
        Ok(Self { sentences, wanted, fields: Columns::default() })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        let sentence = Sentence::find(frame).ok_or(Refusal::NotASentence)?;
        if sentence.start == b'!' {
            return Ok(());
        }
        let body = sentence.body;
        self.fields.split_at(body, b",");
        let address = self.fields.get(body, 0).unwrap_or_default();
        if !selector::is_address(address) {
            return Err(Refusal::NotASentence);
        }
        if let Some(sentences) = &self.sentences
            && !sentences.iter().any(|listed| listed.matches(address))
        {
            return Ok(());
        }
        for (index, (selector, field)) in self.wanted.iter().enumerate() {
            if !selector.address.matches(address) {
                continue;
            }
            let text = match &selector.part {
                Part::Number(number) => Some(self.pick_number(body, *number)?),
                Part::Transducer(name) => self.pick_transducer(body, name, field)?,
            };
            if let Some(text) = text {
                row.push(index, read(field, text)?);
            }
        }
        Ok(())
    }

    fn pick_number<'a>(&self, body: &'a [u8], number: usize) -> Result<&'a [u8], Refusal> {
        let found = self.fields.len() - 1;
        self.fields.get(body, number).ok_or(Refusal::Columns { min: number, max: usize::MAX, found })
    }

    fn pick_transducer<'a>(&self, body: &'a [u8], name: &[u8], field: &Field) -> Result<Option<&'a [u8]>, Refusal> {
        let found = self.fields.len() - 1;
        if !found.is_multiple_of(QUAD) {
            let min = found.next_multiple_of(QUAD);
            return Err(Refusal::Columns { min, max: min, found });
        }
        let mut picked = None;
        for first in (1..=found).step_by(QUAD) {
            let said = self.fields.get(body, first + 3).unwrap_or_default();
            if said.trim_ascii() == name && picked.replace(first + 1).is_some() {
                return Err(Refusal::Repeated { field: field.name.clone() });
            }
        }
        Ok(picked.and_then(|index| self.fields.get(body, index)))
    }
}

fn parse_addresses(texts: &[String]) -> Result<Vec<Address>, SpecError> {
    let addresses: Result<Vec<_>, _> = texts.iter().map(|text| Address::parse(text)).collect();
    addresses.map_err(|fault| Place::Key("decode.sentences").fault(fault))
}

fn read(field: &Field, text: &[u8]) -> Result<SampleValue, Refusal> {
    if text.trim_ascii().is_empty() { Ok(SampleValue::Missing) } else { field.read(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read, wanted};
    use crate::decode::{DecodeSpec, Decoder};

    fn spec(sentences: Option<&[&str]>) -> DecodeSpec {
        let sentences = sentences.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
        DecodeSpec::Nmea(NmeaSpec { sentences })
    }

    #[test]
    fn fields_are_taken_by_sentence_and_number() {
        let fields = fields(&["DBT.3", "INMTW.1", "MWV.3", "'PGRME.2"]);
        for (frame, expected) in [
            ("$SDDBT,7.7,f,2.3,M,1.3,F*05", "0=2.3"),
            ("$02DBT,7.7,f,2.3,M,1.3,F", "0=2.3"),
            ("$SDDBT,,f,,M,,F*28", "0=-"),
            ("$INMTW,17.9,C*1B", "1=17.9"),
            ("$XXMTW,17.9,C", ""),
            ("$02MWV,265,R,10.3,N,A", "2=10.3"),
            ("$PGRME,15.0,M,45.0,M,25.0,M*1C", "3=\"M\""),
            ("!AIVDM,1,1,,A,13aI8e?P00PGpU:NR6s00?vT2000,0*1C", ""),
            ("$GPGGA,1$SDDBT,7.7,f,2.4,M,1.3,F", "0=2.4"),
        ] {
            assert_eq!(read(&spec(None), &fields, frame.as_bytes()), Ok(expected.to_owned()), "{frame}");
        }
    }

    #[test]
    fn a_sentence_that_says_less_than_it_should_is_refused() {
        let fields = fields(&["DBT.3", "XDR.A"]);
        for (frame, word) in [
            ("$SDDBT,7.7,f", "columns"),
            ("$SDDBT,7.7,f,2.3.1,M", "not-a-number"),
            ("$WIXDR,C,1.5,C", "columns"),
            ("$WIXDR,C,1.5,C,A,C,1.6,C,A", "repeated"),
            ("SDDBT,7.7,f,2.3,M", "not-a-sentence"),
            ("$", "not-a-sentence"),
            ("$SD\u{7f}BT,1,2,3", "not-a-sentence"),
        ] {
            let said = read(&spec(None), &fields, frame.as_bytes());
            assert_eq!(said.map_err(|why| why.word()), Err(word), "{frame}");
        }
    }

    #[test]
    fn a_transducer_is_found_by_its_name() {
        let frame = b"$IIXDR,C,10.7,C,AIRTEMP,A,0.5,D,HEEL,A,-1.-3,D,TRIM,P,1.026,B,BARO*00";
        assert_eq!(read(&spec(None), &fields(&["XDR.BARO", "YXXDR.HEEL", "XDR.X"]), frame), Ok("0=1.026".to_owned()));
        assert_eq!(read(&spec(None), &fields(&["XDR.WCHR"]), b"$YXXDR,C,,C,WCHR"), Ok("0=-".to_owned()));
        assert!(read(&spec(None), &fields(&["XDR.TRIM"]), frame).is_err());
    }

    #[test]
    fn listed_sentences_are_all_that_count() {
        let spec = spec(Some(&["SDDBT", "MTW"]));
        assert_eq!(read(&spec, &fields(&["DBT.3"]), b"$IIDBT,7.7,f,2.3,M"), Ok(String::new()));
        assert_eq!(read(&spec, &fields(&["DBT.3"]), b"$SDDBT,7.7,f,2.3,M"), Ok("0=2.3".to_owned()));
        let error = Decoder::try_new(&spec, &wanted(&["IIDBT.3"])).unwrap_err();
        assert_eq!(error, Place::Field(0).fault(Fault::NotListed("IIDBT".to_owned())));
        let error = Decoder::try_new(&self::spec(Some(&["DB"])), &[]).unwrap_err();
        assert_eq!(error.place, Place::Key("decode.sentences"));
    }
}
