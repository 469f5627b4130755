//! Numbers as bytes.

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// The most significant.
    Big,
    /// The least significant.
    #[default]
    Little,
}

/// At most eight bytes as an unsigned number.
pub(crate) fn read_unsigned(bytes: &[u8], order: ByteOrder) -> u64 {
    let take = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    match order {
        ByteOrder::Big => bytes.iter().fold(0, take),
        ByteOrder::Little => bytes.iter().rev().fold(0, take),
    }
}

/// Hex digits as an unsigned number, at most 16 of them, nothing else.
pub(crate) fn read_hex(digits: &[u8]) -> Option<u64> {
    let fits = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| fits)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_numbers() {
        assert_eq!(read_unsigned(&[1, 2], ByteOrder::Big), 0x0102);
        assert_eq!(read_unsigned(&[1, 2, 3, 4], ByteOrder::Little), 0x0403_0201);
        assert_eq!(read_unsigned(&[0xff; 8], ByteOrder::Little), u64::MAX);
        assert_eq!((read_hex(b"fc944524"), read_hex(b"+5"), read_hex(b"")), (Some(0xfc94_4524), None, None));
    }
}
