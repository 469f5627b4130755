//! Whole numbers in as few bytes as they need, and the cursor that reads them back without ever reading past the end.

/// Bytes that do not say what they should: a flipped bit, a torn write, or a bug. Told to the outside as a lost range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Longest varint: ten groups of seven bits hold 64.
const VARINT_BYTES_MAX: u32 = 10;

/// Appends `value`, seven bits a byte, lowest first; the high bit says that more follow.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed value, small magnitudes first.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends a length.
pub(crate) fn put_size(out: &mut Vec<u8>, size: usize) {
    put_varint(out, u64::try_from(size).expect("usize has at most 64 bits"));
}

/// How many bytes `put_varint` takes for it.
pub(crate) fn varint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).expect("at most ten")
}

/// 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// What is still to be read.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Damaged)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * group);
            if shifted >> (7 * group) != bits {
                return Err(Damaged);
            }
            value |= shifted;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damaged> {
        self.varint().map(unzigzag)
    }

    /// A length that is known to be at most `max`: nothing is allocated on the word of a damaged byte.
    pub(crate) fn size(&mut self, max: usize) -> Result<usize, Damaged> {
        let size = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
        if size > max { Err(Damaged) } else { Ok(size) }
    }

    /// All is read, nothing is left over.
    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back_and_is_as_long_as_announced() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_bytes(value));
                assert_eq!(Input::new(&out).varint(), Ok(value));
                assert_eq!(unzigzag(zigzag(value.cast_signed())), value.cast_signed());
            }
        }
    }

    #[test]
    fn a_varint_that_never_ends_or_overflows_is_damaged() {
        assert_eq!(Input::new(&[0xff; 11]).varint(), Err(Damaged));
        assert_eq!(Input::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint(), Err(Damaged));
        assert_eq!(Input::new(&[0x80]).varint(), Err(Damaged));
    }
}
