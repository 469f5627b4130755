//! Binary numbers at fixed places: `B5 62 01 02 ...`.
//!
//! Bytes have no columns to shift: a frame of the wrong content must be found out by its check. Where there is none, as in
//! the hex lines of a CTD, `length` finds out the ones that broke off or ran into each other.

use crate::field::{Field, Wanted};
use crate::limits::COUNTED_BYTES_MAX;
use crate::number::{ByteOrder, read_hex, read_unsigned};
use crate::output::Row;
use crate::refusal::Refusal;
use crate::simulate::float;
use crate::spec::{Fault, Place, SpecError};

/// Binary numbers (`decode = { type = "struct", byte_order, hex_from, length }`). Field: `12:u16`, the offset from 0 and the
/// type; `12:u16.3` is bit 3 of it, from 0 for the least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StructSpec {
    /// Which byte of a number comes first.
    pub byte_order: ByteOrder,
    /// From this offset on the frame is hex digits, two a byte, and offsets count the bytes they say (SAMI).
    pub hex_from: Option<usize>,
    /// How many bytes a record has, without its checksum; of hex digits, how many they say. `None`: enough for the fields.
    pub length: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Struct {
    order: ByteOrder,
    hex_from: Option<usize>,
    length: Option<usize>,
    wanted: Vec<(Selector, Field)>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Selector {
    offset: usize,
    kind: NumberKind,
    width: usize,
    bit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberKind {
    Unsigned,
    Signed,
    Float,
}

impl Struct {
    pub fn try_new(spec: &StructSpec, fields: &[Wanted]) -> Result<Self, SpecError> {
        let mut wanted = Vec::with_capacity(fields.len());
        for (index, spec) in fields.iter().enumerate() {
            let field = Field::new(spec);
            let selector = Selector::parse(&spec.field).filter(|_| !field.is_text());
            let selector = selector.ok_or_else(|| Place::Field(index).fault(Fault::NotAPlace(spec.field.clone())))?;
            wanted.push((selector, field));
        }
        let StructSpec { byte_order: order, hex_from, length } = *spec;
        Ok(Self { order, hex_from, length, wanted, bytes: Vec::new() })
    }

    pub fn decode(&mut self, frame: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        let frame = match self.hex_from {
            None => frame,
            Some(first) => {
                unhex(frame.get(first..).unwrap_or_default(), &mut self.bytes).ok_or(Refusal::NoMatch)?;
                &self.bytes
            }
        };
        if let Some(expected) = self.length.filter(|length| *length != frame.len()) {
            return Err(Refusal::Size { expected, found: frame.len() });
        }
        for (index, (selector, field)) in self.wanted.iter().enumerate() {
            let needed = selector.offset + selector.width;
            let bytes = frame.get(selector.offset..needed).ok_or_else(|| Refusal::Short {
                field: field.name.clone(),
                needed,
                found: frame.len(),
            })?;
            let number = selector.read(read_unsigned(bytes, self.order));
            // A float that is none may be what is said for nothing.
            let value = if number.is_finite() { field.take_number(number) } else { field.read(b"NaN")? };
            row.push(index, value);
        }
        Ok(())
    }
}

/// The bytes that hex digits say, two each.
pub(crate) fn unhex(digits: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    for pair in digits.chunks(2) {
        let byte = read_hex(pair).filter(|_| pair.len() == 2).and_then(|byte| u8::try_from(byte).ok());
        bytes.push(byte?);
    }
    Some(())
}

impl Selector {
    fn parse(text: &str) -> Option<Self> {
        let (offset, rest) = text.split_once(':')?;
        let (kind, bit) = match rest.split_once('.') {
            Some((kind, bit)) => (kind, Some(bit.parse::<u32>().ok()?)),
            None => (rest, None),
        };
        let (kind, width) = match kind {
            "u8" => (NumberKind::Unsigned, 1),
            "u16" => (NumberKind::Unsigned, 2),
            "u32" => (NumberKind::Unsigned, 4),
            "u64" => (NumberKind::Unsigned, 8),
            "i8" => (NumberKind::Signed, 1),
            "i16" => (NumberKind::Signed, 2),
            "i32" => (NumberKind::Signed, 4),
            "i64" => (NumberKind::Signed, 8),
            "f32" => (NumberKind::Float, 4),
            "f64" => (NumberKind::Float, 8),
            _ => return None,
        };
        let offset = offset.parse().ok().filter(|offset| *offset < COUNTED_BYTES_MAX)?;
        let is_bit = |bit: u32| kind == NumberKind::Unsigned && usize::try_from(bit).is_ok_and(|bit| bit < width * 8);
        bit.is_none_or(is_bit).then_some(Self { offset, kind, width, bit })
    }

    fn read(self, raw: u64) -> f64 {
        if let Some(bit) = self.bit {
            return float(raw >> bit & 1);
        }
        match (self.kind, self.width) {
            (NumberKind::Unsigned, _) => float(raw),
            (NumberKind::Signed, width) => {
                // Two's complement of so many bytes: what has the highest bit is that much below nothing.
                let unused = 64 - 8 * u32::try_from(width).unwrap_or(8);
                let is_negative = raw << unused >> 63 == 1;
                if is_negative { -float((raw << unused).wrapping_neg() >> unused) } else { float(raw) }
            }
            (NumberKind::Float, 4) => u32::try_from(raw).map_or(f64::NAN, |bits| f64::from(f32::from_bits(bits))),
            (NumberKind::Float, _) => f64::from_bits(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{fields, read};
    use crate::decode::{DecodeSpec, Decoder};

    fn spec(byte_order: ByteOrder, hex_from: Option<usize>) -> DecodeSpec {
        DecodeSpec::Struct(StructSpec { byte_order, hex_from, length: None })
    }

    #[test]
    fn numbers_are_read_where_they_stand() {
        let frame = [0xff, 0x80, 0x00, 0x42, 0x28, 0x00, 0x00];
        let big = spec(ByteOrder::Big, None);
        let said = read(&big, &fields(&["0:u8", "0:i8", "0:u16", "0:i16", "3:f32", "1:u16.15", "1:u16.14"]), &frame);
        assert_eq!(said, Ok("0=255 1=-1 2=65408 3=-128 4=42 5=1 6=0".to_owned()));
        let little = spec(ByteOrder::Little, None);
        let said = read(&little, &fields(&["0:u16", "1:i32", "3:u32"]), &frame);
        assert_eq!(said, Ok("0=33023 1=675414144 2=10306".to_owned()));
        let wide = read(&big, &fields(&["0:i64", "0:u64"]), &[0xff; 8]);
        assert_eq!(wide, Ok("0=-1 1=18446744073709552000".to_owned()));
        assert_eq!(read(&big, &fields(&["6:u16"]), &frame).map_err(|why| why.word()), Err("short"));
    }

    #[test]
    fn hex_digits_are_bytes() {
        let spec = spec(ByteOrder::Big, Some(1));
        assert_eq!(read(&spec, &fields(&["1:u16"]), b"*C20711"), Ok("0=1809".to_owned()));
        for torn in [&b"*C2071"[..], b"*C2071x", b"*C2+711"] {
            assert!(read(&spec, &fields(&["1:u16"]), torn).is_err());
        }
        assert!(read(&spec, &fields(&["1:u16"]), b"").is_err());
    }

    /// A line of hex digits broke off after two of them, and the next one ran into it: twelve bytes were there, each a
    /// place too far behind.
    #[test]
    fn a_record_of_another_length_is_none() {
        let spec = StructSpec { byte_order: ByteOrder::Big, hex_from: Some(0), length: Some(3) };
        let read = |frame| read(&DecodeSpec::Struct(spec.clone()), &fields(&["0:u16"]), frame);
        assert_eq!(read(b"305B33"), Ok("0=12379".to_owned()));
        assert_eq!(read(b"30305B33"), Err(Refusal::Size { expected: 3, found: 4 }));
        assert_eq!(read(b"305B"), Err(Refusal::Size { expected: 3, found: 2 }));
    }

    #[test]
    fn a_sentinel_or_no_number_at_all_is_nothing_where_that_is_said() {
        let spec = spec(ByteOrder::Big, None);
        let mut fields = fields(&["0:i16", "0:f32"]);
        let nan = f32::NAN.to_be_bytes();
        assert!(read(&spec, &fields, &nan).is_err());
        fields[1].missing = vec!["NaN".to_owned()];
        fields[0].missing = vec!["32704".to_owned()];
        assert_eq!(read(&spec, &fields, &nan), Ok("0=- 1=-".to_owned()));
    }

    #[test]
    fn a_place_that_can_not_be_is_told() {
        for text in ["12", "12:u12", "-1:u8", "1:i8.0", "1:u8.8", "9999:u8", "1:u8.", "'1:u8"] {
            let wanted: Vec<Wanted> = fields(&[text]).iter().map(Wanted::value).collect();
            let DecodeSpec::Struct(spec) = spec(ByteOrder::Big, None) else { continue };
            let error = Decoder::try_new(&DecodeSpec::Struct(spec), &wanted).unwrap_err();
            assert_eq!(error.place, Place::Field(0), "{text}");
        }
    }
}
