//! Sums and cyclic redundancy checks over a span of a frame.
//!
//! | word | width | what it is |
//! |---|---|---|
//! | `xor8` | 1 | exclusive OR |
//! | `sum8`, `sum16` | 1, 2 | sum, what overflows is lost |
//! | `crc16-modbus` | 2 | polynomial 8005 reflected, begun with FFFF; low byte first (Modbus over Serial Line V1.02 §2.5.1.2) |
//! | `crc16-arc` | 2 | the same begun with 0 |
//! | `crc16-ccitt` | 2 | polynomial 1021, begun with 0, high byte first (XMODEM; Davis Serial Communication Reference §XII) |
//! | `crc32-hex` | 4 | IEEE 802.3, as eight hex digits |
//!
//! A checksum that stands at the end of the frame is cut off before decoding; one elsewhere stays.

use crate::number::{ByteOrder, read_hex, read_unsigned};
use crate::refusal::Refusal;

/// A sum over a span (`check = { type, span, at, encoding, over }`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumCheck {
    /// How it is reckoned.
    pub sum: Sum,
    /// First byte it is over, and the one after the last; negative from the end of the frame. `None`: up to itself.
    pub span: (i32, Option<i32>),
    /// Where it stands; negative from the end of the frame. `None`: at the end.
    pub at: Option<i32>,
    /// How it is written.
    pub encoding: Encoding,
    /// What the span holds.
    pub over: Over,
}

/// How a check is reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// Exclusive OR of all bytes.
    Xor8,
    /// Sum of all bytes, modulo 2^8.
    Sum8,
    /// Sum of all bytes, modulo 2^16.
    Sum16,
    /// CRC-16/MODBUS.
    Crc16Modbus,
    /// CRC-16/XMODEM.
    Crc16Ccitt,
    /// CRC-16/ARC.
    Crc16Arc,
    /// CRC-32/ISO-HDLC.
    Crc32,
}

/// How a checksum is written in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hex digits, two a byte, upper or lower case.
    Hex,
    /// Bytes.
    Bytes(ByteOrder),
}

/// What the bytes of a span are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Over {
    /// What is summed up.
    #[default]
    Bytes,
    /// Hex digits of what is summed up (SAMI, RDM630).
    Hex,
}

impl Sum {
    /// Bytes of the checksum.
    pub fn width(self) -> usize {
        match self {
            Sum::Xor8 | Sum::Sum8 => 1,
            Sum::Sum16 | Sum::Crc16Modbus | Sum::Crc16Ccitt | Sum::Crc16Arc => 2,
            Sum::Crc32 => 4,
        }
    }

    /// How it is written where nothing else is said.
    pub const fn encoding(self) -> Encoding {
        match self {
            Sum::Crc16Modbus | Sum::Crc16Arc => Encoding::Bytes(ByteOrder::Little),
            Sum::Crc32 => Encoding::Hex,
            Sum::Xor8 | Sum::Sum8 | Sum::Sum16 | Sum::Crc16Ccitt => Encoding::Bytes(ByteOrder::Big),
        }
    }

    /// At the end, over all before it, as its makers write it.
    pub const fn at_end(self) -> SumCheck {
        SumCheck { sum: self, span: (0, None), at: None, encoding: self.encoding(), over: Over::Bytes }
    }

    fn begin(self) -> u32 {
        match self {
            Sum::Crc16Modbus => 0xffff,
            Sum::Crc32 => u32::MAX,
            _ => 0,
        }
    }

    fn add(self, sum: u32, byte: u8) -> u32 {
        let value = u32::from(byte);
        match self {
            Sum::Xor8 => sum ^ value,
            Sum::Sum8 => (sum + value) & 0xff,
            Sum::Sum16 => (sum + value) & 0xffff,
            Sum::Crc16Modbus | Sum::Crc16Arc => (sum >> 8) ^ REFLECTED_8005[index(sum ^ value)],
            Sum::Crc16Ccitt => ((sum << 8) & 0xffff) ^ FORWARD_1021[index((sum >> 8) ^ value)],
            Sum::Crc32 => (sum >> 8) ^ REFLECTED_04C11DB7[index(sum ^ value)],
        }
    }

    fn end(self, sum: u32) -> u32 {
        if self == Sum::Crc32 { !sum } else { sum }
    }
}

impl SumCheck {
    /// The frame, without its checksum where that stands at the end, if it fits.
    pub(crate) fn verify<'a>(&self, frame: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let width = self.width();
        let at = match self.at {
            Some(at) => place(frame, at),
            None => frame.len().checked_sub(width),
        };
        let at = at.filter(|at| at + width <= frame.len()).ok_or(Refusal::NoChecksum)?;
        let said = self.read(&frame[at..at + width]).ok_or(Refusal::NoChecksum)?;
        let first = place(frame, self.span.0).ok_or(Refusal::NoChecksum)?;
        let end = self.span.1.map_or(Some(at), |end| place(frame, end)).ok_or(Refusal::NoChecksum)?;
        let span = frame.get(first..end).filter(|span| !span.is_empty()).ok_or(Refusal::NoChecksum)?;
        let computed = self.reckon(span).ok_or(Refusal::NoChecksum)?;
        if computed != said {
            return Err(Refusal::Checksum { computed, said });
        }
        Ok(if at + width == frame.len() { &frame[..at] } else { frame })
    }

    fn width(&self) -> usize {
        match self.encoding {
            Encoding::Hex => self.sum.width() * 2,
            Encoding::Bytes(_) => self.sum.width(),
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<u32> {
        let said = match self.encoding {
            Encoding::Hex => read_hex(bytes)?,
            Encoding::Bytes(order) => read_unsigned(bytes, order),
        };
        u32::try_from(said).ok()
    }

    fn reckon(&self, span: &[u8]) -> Option<u32> {
        let mut sum = self.sum.begin();
        match self.over {
            Over::Bytes => sum = span.iter().fold(sum, |sum, byte| self.sum.add(sum, *byte)),
            Over::Hex => {
                for pair in span.chunks(2) {
                    let byte = read_hex(pair).filter(|_| pair.len() == 2)?;
                    sum = self.sum.add(sum, u8::try_from(byte).ok()?);
                }
            }
        }
        Some(self.sum.end(sum))
    }
}

/// An index that counts from the end where it is negative.
fn place(frame: &[u8], at: i32) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at).filter(|at| *at <= frame.len()),
        Err(_) => frame.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
    }
}

/// The low byte.
fn index(value: u32) -> usize {
    usize::from(value.to_le_bytes()[0])
}

const REFLECTED_8005: [u32; 256] = reflected(0xa001);
const REFLECTED_04C11DB7: [u32; 256] = reflected(0xedb8_8320);
const FORWARD_1021: [u32; 256] = forward(0x1021);

/// A table for a polynomial written with its lowest power first.
const fn reflected(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    let mut place = 0;
    while place < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
            bit += 1;
        }
        table[place] = value;
        byte += 1;
        place += 1;
    }
    table
}

/// A table for a polynomial of degree 16 written with its highest power first.
const fn forward(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    let mut place = 0;
    while place < 256 {
        let mut value = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000 == 0 { value << 1 } else { (value << 1) ^ polynomial };
            bit += 1;
        }
        table[place] = value & 0xffff;
        byte += 1;
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogued_check_values_are_met() {
        // Catalogue of parametrised CRC algorithms (reveng): check = CRC of "123456789".
        for (sum, check) in [
            (Sum::Crc16Modbus, 0x4b37),
            (Sum::Crc16Arc, 0xbb3d),
            (Sum::Crc16Ccitt, 0x31c3),
            (Sum::Crc32, 0xcbf4_3926),
            (Sum::Xor8, 0x31),
            (Sum::Sum8, 0xdd),
            (Sum::Sum16, 0x01dd),
        ] {
            assert_eq!(sum.at_end().reckon(b"123456789"), Some(check), "{sum:?}");
        }
    }

    #[test]
    fn a_check_is_found_where_it_is_said_to_stand() {
        let hex = |at, span| SumCheck { at, span, encoding: Encoding::Hex, ..Sum::Xor8.at_end() };
        let rdm630 = SumCheck { over: Over::Hex, ..hex(None, (0, None)) };
        assert_eq!(rdm630.verify(b"010784F22151"), Ok(&b"010784F221"[..]));
        assert_eq!(rdm630.verify(b"010784F22251"), Err(Refusal::Checksum { computed: 0x52, said: 0x51 }));
        assert_eq!(rdm630.verify(b"010784F2215"), Err(Refusal::NoChecksum), "half a byte");
        assert_eq!(rdm630.verify(b"01078xF22151"), Err(Refusal::NoChecksum));
        assert_eq!(hex(None, (0, None)).verify(b"ab03"), Ok(&b"ab"[..]));
        assert_eq!(hex(Some(0), (2, Some(4))).verify(b"03ab,rest"), Ok(&b"03ab,rest"[..]));
        assert_eq!(hex(Some(-6), (-4, Some(-2))).verify(b"x03ab\r\n"), Ok(&b"x03ab\r\n"[..]));
        for short in [&b""[..], b"3", b"03"] {
            assert_eq!(hex(None, (0, None)).verify(short), Err(Refusal::NoChecksum));
        }
        let modbus = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xc4, 0x0b];
        assert_eq!(Sum::Crc16Modbus.at_end().verify(&modbus), Ok(&modbus[..6]));
    }
}
