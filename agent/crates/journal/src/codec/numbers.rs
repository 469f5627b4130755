//! A column of floating point numbers, exact to the bit.
//!
//! Instruments print decimals: 7.82 is 782 hundredths, and whole numbers pack well. So the column is scaled by the
//! smallest power of ten that makes it whole; what does not come back bit for bit from `whole / 10^e` (`-0.0`, a
//! NaN) is kept beside it as an exception. A column that is not decimal at all (an instrument that speaks binary
//! floats) is combined by exclusive or with its predecessor and cut into eight byte planes, most significant first, each a column of
//! its own: planes that are zero throughout (all but five for a 32 bit float) cost three bytes.
//!
//! `[0..=9: exponent][exceptions: varint n, n x (varint gap, f64 bits BE)][ints]` or `[0x20][ints] x 8`.

use super::ints;
use super::varint::{Damaged, Input, put_size};

/// Nine decimals: more than any instrument prints, and still exact in [`WHOLE_MAX`] for values to two million.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const PLANES: u8 = 0x20;
/// 2^51: below it, adding [`SHIFTER`] leaves the whole number in the mantissa's low bits.
const WHOLE_MAX: f64 = 2_251_799_813_685_248.0;
/// 1.5 x 2^52, where neighbouring floats are one apart: adding it rounds to whole numbers, without a cast.
const SHIFTER: f64 = 6_755_399_441_055_744.0;
/// One exception in so many values is the most that decimals are worth (an exception costs about ten values).
const VALUES_PER_EXCEPTION: usize = 16;

/// Room kept between columns.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    wholes: Vec<i64>,
    exceptions: Vec<usize>,
    ints: ints::Scratch,
}

fn to_whole(scaled: f64) -> i64 {
    (scaled + SHIFTER).to_bits().wrapping_sub(SHIFTER.to_bits()).cast_signed()
}

fn to_float(whole: i64) -> f64 {
    f64::from_bits(SHIFTER.to_bits().wrapping_add_signed(whole)) - SHIFTER
}

/// The whole number that gives `value` back when divided by `power`, bit for bit.
fn scale(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    if scaled.is_nan() || scaled.abs() >= WHOLE_MAX {
        return None;
    }
    let whole = to_whole(scaled);
    ((to_float(whole) / power).to_bits() == value.to_bits()).then_some(whole)
}

/// The smallest exponent that makes all values whole but a few; `None` if too many never are.
fn exponent_of(values: &[f64]) -> Option<usize> {
    let mut exponent = 0;
    let mut exceptions = 0;
    for &value in values {
        match (exponent..POWERS.len()).find(|&e| scale(value, POWERS[e]).is_some()) {
            Some(needed) => exponent = needed,
            None => exceptions += 1,
        }
        if exceptions > values.len() / VALUES_PER_EXCEPTION {
            return None;
        }
    }
    Some(exponent)
}

/// Appends the column.
pub(crate) fn put(out: &mut Vec<u8>, values: &[f64], scratch: &mut Scratch) {
    match exponent_of(values) {
        Some(exponent) if scale_all(values, POWERS[exponent], scratch) => {
            out.push(u8::try_from(exponent).expect("below ten"));
            put_size(out, scratch.exceptions.len());
            let mut behind = 0;
            for &at in &scratch.exceptions {
                put_size(out, at - behind);
                out.extend_from_slice(&values[at].to_bits().to_be_bytes());
                behind = at + 1;
            }
            ints::put(out, &scratch.wholes, &mut scratch.ints);
        }
        _ => put_planes(out, values, scratch),
    }
}

fn scale_all(values: &[f64], power: f64, scratch: &mut Scratch) -> bool {
    scratch.wholes.clear();
    scratch.exceptions.clear();
    let mut before = 0;
    for (at, &value) in values.iter().enumerate() {
        if let Some(whole) = scale(value, power) {
            before = whole;
        } else {
            scratch.exceptions.push(at);
        }
        scratch.wholes.push(before);
    }
    scratch.exceptions.len() <= values.len() / VALUES_PER_EXCEPTION
}

fn put_planes(out: &mut Vec<u8>, values: &[f64], scratch: &mut Scratch) {
    out.push(PLANES);
    for plane in 0..8 {
        scratch.wholes.clear();
        let mut before = 0;
        for value in values {
            let bits = value.to_bits();
            scratch.wholes.push(i64::from((bits ^ before).to_be_bytes()[plane]));
            before = bits;
        }
        ints::put(out, &scratch.wholes, &mut scratch.ints);
    }
}

/// Reads a column of `count` numbers.
pub(crate) fn get(input: &mut Input<'_>, count: usize) -> Result<Vec<f64>, Damaged> {
    let mode = input.byte()?;
    if mode == PLANES {
        return get_planes(input, count);
    }
    let power = *POWERS.get(usize::from(mode)).ok_or(Damaged)?;
    let mut exceptions = Vec::new();
    let mut behind = 0;
    for _ in 0..input.size(count)? {
        let at = behind + input.size(count)?;
        exceptions.push((at, f64::from_bits(u64::from_be_bytes(input.array()?))));
        behind = at + 1;
    }
    let wholes = ints::get(input, count)?;
    let mut values: Vec<f64> = wholes.into_iter().map(|whole| to_float(whole) / power).collect();
    for (at, value) in exceptions {
        *values.get_mut(at).ok_or(Damaged)? = value;
    }
    Ok(values)
}

fn get_planes(input: &mut Input<'_>, count: usize) -> Result<Vec<f64>, Damaged> {
    let mut bits = vec![0u64; count];
    for _ in 0..8 {
        for (bits, byte) in bits.iter_mut().zip(ints::get(input, count)?) {
            *bits = *bits << 8 | u64::from(u8::try_from(byte).map_err(|_| Damaged)?);
        }
    }
    let mut before = 0;
    for bits in &mut bits {
        *bits ^= before;
        before = *bits;
    }
    Ok(bits.into_iter().map(f64::from_bits).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> usize {
        let mut out = Vec::new();
        put(&mut out, values, &mut Scratch::default());
        let mut input = Input::new(&out);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(get(&mut input, values.len()).map(|read| bits(&read)), Ok(bits(values)));
        assert_eq!(input.end(), Ok(()));
        out.len()
    }

    #[test]
    fn a_minus_zero_does_not_spoil_a_decimal_column() {
        let mut values: Vec<f64> = (0..1000).map(|i| f64::from(700 + (i * i / 7) % 13) / 100.0).collect();
        let clean = round_trip(&values);
        values[500] = -0.0;
        values[700] = f64::NAN;
        assert!(round_trip(&values) < clean + 60);
    }

    #[test]
    fn a_binary_float_costs_five_bytes_at_most() {
        let values: Vec<f64> = (0..1000u16).map(|i| f64::from(7.82f32 + f32::from(i % 17) / 31.0)).collect();
        assert!(round_trip(&values) <= 5000, "{}", round_trip(&values));
    }

    proptest! {
        #[test]
        fn every_bit_pattern_reads_back(bits in prop::collection::vec(any::<u64>(), 1..200)) {
            round_trip(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn every_decimal_reads_back(
            wholes in prop::collection::vec(-9_999_999i32..9_999_999, 1..200),
            exponent in 0usize..10,
            odd in prop::collection::vec((any::<u64>(), 0usize..200), 0..4),
        ) {
            let mut values: Vec<f64> = wholes.into_iter().map(|n| f64::from(n) / POWERS[exponent]).collect();
            for (bits, at) in odd {
                let at = at % values.len();
                values[at] = f64::from_bits(bits);
            }
            round_trip(&values);
        }
    }
}
