//! Frames of up to 64 whole numbers, each stored as its distance from the frame's smallest in as many bits as the
//! largest distance needs. Noise of a few steps around any level costs a few bits a value.
//!
//! A frame is `[base: signed varint, relative to the frame before][width u8][ceil(n * width / 8) bytes, low bits first]`.

use super::varint::{Damaged, Input, put_signed, varint_bytes, zigzag};

/// Values a frame: an outlier widens 63 neighbours at most; the frame's own two bytes weigh a quarter bit a value.
const FRAME_VALUES: usize = 64;

struct Frame {
    base: i64,
    width: u32,
}

fn frame_of(values: &[i64]) -> Frame {
    let mut base = i64::MAX;
    let mut top = i64::MIN;
    for &value in values {
        base = base.min(value);
        top = top.max(value);
    }
    Frame { base, width: 64 - distance(top, base).leading_zeros() }
}

fn distance(value: i64, base: i64) -> u64 {
    value.wrapping_sub(base).cast_unsigned()
}

fn packed_bytes(count: usize, width: u32) -> usize {
    (count * usize::try_from(width).expect("at most 64")).div_ceil(8)
}

/// How many bytes `put` takes.
pub(crate) fn bytes(values: &[i64]) -> usize {
    let mut before = 0i64;
    let mut total = 0;
    for chunk in values.chunks(FRAME_VALUES) {
        let frame = frame_of(chunk);
        total += varint_bytes(zigzag(frame.base.wrapping_sub(before))) + 1 + packed_bytes(chunk.len(), frame.width);
        before = frame.base;
    }
    total
}

/// Appends the frames of `values`.
pub(crate) fn put(out: &mut Vec<u8>, values: &[i64]) {
    let mut before = 0i64;
    for chunk in values.chunks(FRAME_VALUES) {
        let frame = frame_of(chunk);
        put_signed(out, frame.base.wrapping_sub(before));
        out.push(frame.width.to_le_bytes()[0]);
        before = frame.base;
        let mut held = 0u128;
        let mut held_bits = 0;
        for &value in chunk {
            held |= u128::from(distance(value, frame.base)) << held_bits;
            held_bits += frame.width;
            while held_bits >= 8 {
                out.push(held.to_le_bytes()[0]);
                held >>= 8;
                held_bits -= 8;
            }
        }
        if held_bits > 0 {
            out.push(held.to_le_bytes()[0]);
        }
    }
}

/// Reads `count` values back, behind what `values` already holds.
pub(crate) fn get(input: &mut Input<'_>, count: usize, values: &mut Vec<i64>) -> Result<(), Damaged> {
    let mut before = 0i64;
    let mut left = count;
    while left > 0 {
        let in_frame = left.min(FRAME_VALUES);
        let base = before.wrapping_add(input.signed()?);
        let width = u32::from(input.byte()?);
        if width > 64 {
            return Err(Damaged);
        }
        let mut bytes = input.take(packed_bytes(in_frame, width))?.iter();
        let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let mut held = 0u128;
        let mut held_bits = 0;
        for _ in 0..in_frame {
            while held_bits < width {
                held |= u128::from(*bytes.next().ok_or(Damaged)?) << held_bits;
                held_bits += 8;
            }
            let low = u64::try_from(held & u128::from(u64::MAX)).expect("masked");
            values.push(base.wrapping_add((low & mask).cast_signed()));
            held >>= width;
            held_bits -= width;
        }
        before = base;
        left -= in_frame;
    }
    Ok(())
}
