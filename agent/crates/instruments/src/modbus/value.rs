//! From registers to a value.

use super::spec::{Format, Order, RegisterSpec};
use crate::field::Field;
use crate::output::SampleValue;
use crate::refusal::Refusal;

/// What the bytes of a value say, as a number; `None` for a text, and for what is no number.
pub(super) fn number(spec: &RegisterSpec, bytes: &[u8]) -> Option<f64> {
    let bytes = ordered(spec.order, bytes);
    let number = match (spec.format, &bytes[..]) {
        (Format::I16, &[a, b]) => i16::from_be_bytes([a, b]).into(),
        (Format::U16, &[a, b]) => u16::from_be_bytes([a, b]).into(),
        (Format::Bit(bit), &[a, b]) => f64::from(u16::from_be_bytes([a, b]) >> bit & 1),
        // A table of bits: cut out by the caller.
        (Format::Bit(_), &[bit]) => bit.into(),
        (Format::I32, &[a, b, c, d]) => i32::from_be_bytes([a, b, c, d]).into(),
        (Format::U32, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]).into(),
        (Format::F32, &[a, b, c, d]) => f32::from_be_bytes([a, b, c, d]).into(),
        (Format::I64, &[a, b, c, d, ..]) => wide(f64::from(i32::from_be_bytes([a, b, c, d])), &bytes),
        (Format::U64, &[a, b, c, d, ..]) => wide(f64::from(u32::from_be_bytes([a, b, c, d])), &bytes),
        (Format::F64, bytes) => f64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    };
    // NaN is how a float says that there is nothing.
    number.is_finite().then_some(number)
}

/// What the bytes of a value say to a field.
pub(super) fn value(spec: &RegisterSpec, field: &Field, bytes: &[u8]) -> Result<SampleValue, Refusal> {
    if let Format::Text(_) = spec.format {
        let bytes = ordered(spec.order, bytes);
        // Padded with NUL or spaces, and some put what they like behind the NUL.
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        return field.read(text);
    }
    Ok(number(spec, bytes).map_or(SampleValue::Missing, |number| field.take_number(number)))
}

/// 64 bits as a float: exact up to 2^53, and to 16 digits above.
fn wide(high: f64, bytes: &[u8]) -> f64 {
    let low = bytes.get(4..8).and_then(|low| low.try_into().ok()).map_or(0, u32::from_be_bytes);
    high.mul_add(4_294_967_296.0, f64::from(low))
}

fn ordered(order: Order, bytes: &[u8]) -> Vec<u8> {
    let registers: Vec<[u8; 2]> = bytes.chunks_exact(2).map(|register| [register[0], register[1]]).collect();
    if registers.is_empty() {
        return bytes.to_vec();
    }
    match order {
        Order::Abcd => bytes.to_vec(),
        Order::Cdab => registers.into_iter().rev().flatten().collect(),
        Order::Badc => registers.into_iter().flat_map(|[a, b]| [b, a]).collect(),
        Order::Dcba => bytes.iter().rev().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Table;
    use super::*;
    use crate::field::Wanted;
    use crate::field::{FieldSpec, Kind};

    fn read(format: Format, order: Order, bytes: &[u8]) -> Option<f64> {
        number(&RegisterSpec { table: Table::HoldingRegisters, address: 0, format, order, good: None }, bytes)
    }

    #[test]
    fn one_float_in_four_orders() {
        for (order, bytes) in [
            (Order::Abcd, [0x46, 0x2c, 0xa4, 0x71]),
            (Order::Cdab, [0xa4, 0x71, 0x46, 0x2c]),
            (Order::Badc, [0x2c, 0x46, 0x71, 0xa4]),
            (Order::Dcba, [0x71, 0xa4, 0x2c, 0x46]),
        ] {
            let value = read(Format::F32, order, &bytes).map(|value| format!("{value:.2}"));
            assert_eq!(value.as_deref(), Some("11049.11"), "{order:?}");
        }
    }

    #[test]
    fn numbers_of_every_width_with_and_without_a_sign() {
        for (format, bytes, number) in [
            (Format::I16, &b"\xff\x88"[..], -120.0),
            (Format::U16, b"\xff\x88", 65_416.0),
            (Format::I32, b"\xff\xff\xff\xfe", -2.0),
            (Format::U32, b"\x07\x5b\xcd\x15", 123_456_789.0),
            (Format::I64, b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2.0),
            (Format::U64, b"\x00\x00\x00\x01\x00\x00\x00\x02", 4_294_967_298.0),
            (Format::F64, b"\x40\x09\x21\xfb\x54\x44\x2d\x18", std::f64::consts::PI),
            (Format::Bit(3), b"\x00\x08", 1.0),
            (Format::Bit(2), b"\x00\x08", 0.0),
        ] {
            let read = read(format, Order::Abcd, bytes).unwrap();
            assert!((read - number).abs() < 1e-9, "{format:?} {read}");
        }
        assert_eq!(read(Format::F32, Order::Abcd, b"\x7f\xc0\x00\x00"), None, "NaN is nothing");
    }

    #[test]
    fn a_text_ends_at_its_padding() {
        let format = Format::Text(3);
        let spec = RegisterSpec { table: Table::HoldingRegisters, address: 0, format, order: Order::Abcd, good: None };
        let field = Field::new(&Wanted::value(&FieldSpec {
            field: "serial".to_owned(),
            kind: Kind::Text,
            missing: Vec::new(),
            good: None,
        }));
        assert_eq!(value(&spec, &field, b"0042 \0"), Ok(SampleValue::Text("0042".into())));
    }
}
