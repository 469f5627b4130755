//! A column of whole numbers in the smallest of five shapes, found by counting, not by trying.
//!
//! | mode | shape | good for |
//! |---|---|---|
//! | `0x00` | a period and the values of one period | constants, the series of lines that repeat, short columns |
//! | `0x01` | runs of (value, length) | flags |
//! | `0x1d` | varints of the d-th differences | few values, rare jumps |
//! | `0x2d` | bit frames of the d-th differences | noise (d = 0), slow drift (d = 1), clocks (d = 2) |
//!
//! Before the differences stand the `d` values they start from. Arithmetic wraps, so every `i64` is exact. The count
//! is not stored: whoever reads a column knows it, and bounds it.

use super::bits;
use super::varint::{Damaged, Input, put_signed, put_size, put_varint, varint_bytes, zigzag};

/// Longest period looked for: a line of 64 quantities. Searching is cheap, as a wrong period fails at once.
const PERIOD_MAX: usize = 64;
/// A period this cheap is not worth beating.
const CYCLE_BYTES_GOOD: usize = 16;

const CYCLE: u8 = 0x00;
const RUNS: u8 = 0x01;
const VARINTS: u8 = 0x10;
const FRAMES: u8 = 0x20;
const ORDER_MASK: u8 = 0x0f;

/// Room for differences, kept between columns so that encoding allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    first: Vec<i64>,
    second: Vec<i64>,
}

fn signed_bytes(value: i64) -> usize {
    varint_bytes(zigzag(value))
}

fn signed_bytes_all(values: &[i64]) -> usize {
    values.iter().map(|&value| signed_bytes(value)).sum()
}

fn differences(values: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

fn period_of(values: &[i64]) -> Option<usize> {
    (1..=PERIOD_MAX.min(values.len())).find(|&period| values.iter().skip(period).zip(values).all(|(a, b)| a == b))
}

fn runs_bytes(values: &[i64]) -> usize {
    values
        .chunk_by(|a, b| a == b)
        .map(|run| signed_bytes(run[0]) + varint_bytes(u64::try_from(run.len()).expect("64 bits")))
        .sum()
}

/// Appends the column.
pub(crate) fn put(out: &mut Vec<u8>, values: &[i64], scratch: &mut Scratch) {
    if values.is_empty() {
        return;
    }
    let cycle = period_of(values).map(|period| &values[..period]);
    let cycle_bytes = cycle.map_or(usize::MAX, signed_bytes_all);
    if let Some(cycle) = cycle
        && cycle_bytes <= CYCLE_BYTES_GOOD
    {
        return put_cycle(out, cycle);
    }
    differences(values, &mut scratch.first);
    differences(&scratch.first, &mut scratch.second);
    let orders = [values, &scratch.first, &scratch.second];
    let starts = [values[0], scratch.first.first().copied().unwrap_or_default()];
    let mut best = (VARINTS, usize::MAX);
    let mut starts_bytes = 0;
    for (order, rest) in (0u8..).zip(orders).take(values.len().min(3)) {
        for (mode, bytes) in [(VARINTS | order, signed_bytes_all(rest)), (FRAMES | order, bits::bytes(rest))] {
            if starts_bytes + bytes < best.1 {
                best = (mode, starts_bytes + bytes);
            }
        }
        starts_bytes += starts.get(usize::from(order)).copied().map_or(0, signed_bytes);
    }
    let runs = runs_bytes(values);
    if let Some(cycle) = cycle
        && cycle_bytes <= runs.min(best.1)
    {
        put_cycle(out, cycle);
    } else if runs <= best.1 {
        put_runs(out, values);
    } else {
        let order = usize::from(best.0 & ORDER_MASK);
        out.push(best.0);
        put_all(out, &starts[..order]);
        if best.0 & FRAMES == 0 {
            put_all(out, orders[order]);
        } else {
            bits::put(out, orders[order]);
        }
    }
}

fn put_all(out: &mut Vec<u8>, values: &[i64]) {
    for &value in values {
        put_signed(out, value);
    }
}

fn put_cycle(out: &mut Vec<u8>, cycle: &[i64]) {
    out.push(CYCLE);
    put_size(out, cycle.len());
    put_all(out, cycle);
}

fn put_runs(out: &mut Vec<u8>, values: &[i64]) {
    out.push(RUNS);
    for run in values.chunk_by(|a, b| a == b) {
        put_signed(out, run[0]);
        put_varint(out, u64::try_from(run.len()).expect("64 bits"));
    }
}

/// Reads a column of `count` values.
pub(crate) fn get(input: &mut Input<'_>, count: usize) -> Result<Vec<i64>, Damaged> {
    let mut values = Vec::with_capacity(count);
    if count == 0 {
        return Ok(values);
    }
    match input.byte()? {
        CYCLE => {
            let period = input.size(count)?;
            for _ in 0..period {
                values.push(input.signed()?);
            }
            if period == 0 {
                return Err(Damaged);
            }
            (period..count).for_each(|at| values.push(values[at - period]));
        }
        RUNS => {
            while values.len() < count {
                let value = input.signed()?;
                let length = input.size(count - values.len())?;
                if length == 0 {
                    return Err(Damaged);
                }
                values.resize(values.len() + length, value);
            }
        }
        mode => get_differences(input, mode, count, &mut values)?,
    }
    Ok(values)
}

fn get_differences(input: &mut Input<'_>, mode: u8, count: usize, values: &mut Vec<i64>) -> Result<(), Damaged> {
    let order = usize::from(mode & ORDER_MASK);
    if order > 2 || order > count {
        return Err(Damaged);
    }
    let mut starts = [0i64; 2];
    for start in &mut starts[..order] {
        *start = input.signed()?;
    }
    values.extend_from_slice(&starts[..order]);
    match mode & !ORDER_MASK {
        VARINTS => {
            for _ in order..count {
                values.push(input.signed()?);
            }
        }
        FRAMES => bits::get(input, count - order, values)?,
        _ => return Err(Damaged),
    }
    // Undo the differences from the highest order down; each start stands before what it starts.
    for from in (0..order).rev() {
        for at in from + 1..count {
            values[at] = values[at].wrapping_add(values[at - 1]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut out = Vec::new();
        put(&mut out, values, &mut Scratch::default());
        let mut input = Input::new(&out);
        assert_eq!(get(&mut input, values.len()).as_deref(), Ok(values), "{out:02x?}");
        assert_eq!(input.end(), Ok(()));
        out.len()
    }

    #[test]
    fn each_shape_is_found_where_it_is_the_smallest() {
        assert_eq!(round_trip(&[7].repeat(4096)), 3);
        assert!(round_trip(&[0, 1, 2, 3].repeat(1000)) <= 6);
        let flags: Vec<i64> = (0..1000).map(|i| i64::from(i > 500)).collect();
        assert!(round_trip(&flags) <= 8);
        let clock: Vec<i64> = (0..1000).map(|i| 1_763_805_600_000 + i * 1000).collect();
        assert!(round_trip(&clock) <= 60, "a clock costs {}", round_trip(&clock));
        let noise: Vec<i64> = (0..1000i64).map(|i| 2500 + (i * i * 7 + i * 3) % 11).collect();
        assert!(round_trip(&noise) <= 560, "noise costs {}", round_trip(&noise));
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
    }

    proptest! {
        #[test]
        fn every_column_reads_back(values in prop::collection::vec(any::<i64>(), 0..300)) {
            round_trip(&values);
        }

        #[test]
        fn every_small_column_reads_back(values in prop::collection::vec(-3i64..40, 0..300)) {
            round_trip(&values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..500) {
            drop(get(&mut Input::new(&bytes), count));
        }
    }
}
