//! `DBT.3`, `SDDBT.3`, `PGRME.1`, `XDR.WCHR`: what is asked of which sentence.

use crate::limits::{ADDRESS_CHARS_MAX, COLUMNS_MAX};
use crate::spec::Fault;

/// One field of one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub address: Address,
    pub part: Part,
}

/// What of the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The field after the address, from 1.
    Number(usize),
    /// The value of the transducer of this name (`XDR` only). A name of digits alone is taken for a number.
    Transducer(Vec<u8>),
}

/// Which sentences. NMEA 0183 §5.3.2: an approved address is a talker of two characters and a formatter of three; a
/// proprietary one begins with `P`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// This formatter (3 characters), whoever talks.
    Formatter(String),
    /// Exactly this address.
    Exact(String),
}

const TALKER_CHARS: usize = 2;
const FORMATTER_CHARS: usize = 3;

impl Address {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if !is_address(text.as_bytes()) {
            return Err(Fault::NotAnAddress(text.to_owned()));
        }
        if text.len() == FORMATTER_CHARS {
            return Ok(Self::Formatter(text.to_owned()));
        }
        let is_approved = text.len() == TALKER_CHARS + FORMATTER_CHARS;
        let is_proprietary = text.starts_with('P') && text.len() > FORMATTER_CHARS;
        if is_approved || is_proprietary {
            Ok(Self::Exact(text.to_owned()))
        } else {
            Err(Fault::NotAnAddress(text.to_owned()))
        }
    }

    /// Whether a sentence with this address is meant.
    pub fn matches(&self, address: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == address,
            Self::Formatter(formatter) => split_talker(address).is_some_and(|said| said == formatter.as_bytes()),
        }
    }

    /// Whether some sentence could be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(exact), _) => other.matches(exact.as_bytes()),
            (_, Self::Exact(exact)) => self.matches(exact.as_bytes()),
            (Self::Formatter(one), Self::Formatter(another)) => one == another,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Formatter(text) => text,
        }
    }

    fn is_xdr(&self) -> bool {
        self.as_str().ends_with("XDR") && !self.as_str().starts_with('P')
    }
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let not_a_field = || Fault::NotASentenceField(text.to_owned());
        let (address, part) = text.split_once('.').ok_or_else(not_a_field)?;
        let address = Address::parse(address)?;
        let part = match part.parse::<usize>() {
            Ok(number) if (1..=COLUMNS_MAX).contains(&number) => Part::Number(number),
            Err(_) if address.is_xdr() && !part.is_empty() => Part::Transducer(part.as_bytes().to_vec()),
            _ => return Err(not_a_field()),
        };
        Ok(Self { address, part })
    }
}

/// Whether this could be the address of a sentence: upper case letters and digits.
pub fn is_address(text: &[u8]) -> bool {
    let fits = (FORMATTER_CHARS..=ADDRESS_CHARS_MAX).contains(&text.len());
    fits && text.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn split_talker(address: &[u8]) -> Option<&[u8]> {
    let is_approved = address.len() == TALKER_CHARS + FORMATTER_CHARS && address[0] != b'P';
    is_approved.then(|| &address[TALKER_CHARS..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_say_sentence_and_part() {
        let dbt = Selector::parse("DBT.3").unwrap();
        assert_eq!(dbt.part, Part::Number(3));
        assert!(dbt.address.matches(b"SDDBT") && dbt.address.matches(b"02DBT"));
        assert!(!dbt.address.matches(b"DBT") && !dbt.address.matches(b"PXDBT") && !dbt.address.matches(b"SDDPT"));
        let exact = Selector::parse("SDDBT.3").unwrap();
        assert!(exact.address.matches(b"SDDBT") && !exact.address.matches(b"IIDBT"));
        assert!(Selector::parse("PMTK010.1").unwrap().address.matches(b"PMTK010"));
        assert_eq!(Selector::parse("XDR.ENGINE#0").unwrap().part, Part::Transducer(b"ENGINE#0".to_vec()));
        assert_eq!(Selector::parse("YXXDR.2").unwrap().part, Part::Number(2));
    }

    #[test]
    fn what_is_no_selector_is_told() {
        for text in
            ["", "DBT", "DBT.", "DBT.0", "DBT.x", "DBT.-1", "DBT.9999", "dbt.1", "D.1", "SDBT.1", "SDDBTX.1", "XDR."]
        {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
