//! Noise that is the same every time.

/// A number in -1.0..1.0 that depends on all three and looks like on none.
pub fn noise(seed: u64, number: u64, index: usize) -> f64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let bits = mix(mix(mix(seed).wrapping_add(number)).wrapping_add(index));
    let steps = u32::try_from(bits >> 32).expect("the upper half of 64 bits");
    f64::from(steps) / f64::from(u32::MAX) * 2.0 - 1.0
}

/// One step of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): adds its odd
/// gamma, then xors with shifts of itself and multiplies, twice.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A count as a float, to the nearest.
pub fn float(count: u64) -> f64 {
    const HALF: f64 = 4_294_967_296.0; // 2^32
    let upper = u32::try_from(count >> 32).expect("the upper half of 64 bits");
    let lower = u32::try_from(count & u64::from(u32::MAX)).expect("the lower half of 64 bits");
    f64::from(upper) * HALF + f64::from(lower)
}
