//! Properties of frames between silences, whatever comes in them.
//!
//! 1. However a burst is cut, as long as no silence is in the cut: samples, counts and refusals are the same.
//! 2. Garbage is counted and bounded.
//! 3. A silence heals: the burst after it is read, whatever was before. Not one is lost.

mod common;

use std::time::Duration;

use common::{line, number, stamp, stream, table};
use instruments::{
    Check, FrameSpec, GapSpec, LineEnd, Output, ProtocolSpec, RAW_BYTES_MAX, REFUSED_KEPT_MAX, Separator, Sum, bind,
};
use proptest::prelude::*;

const AFTER_MS: u64 = 20;
const MAX: usize = 64;

/// A burst, and what it says where it is good; with a check and without.
fn cases() -> [(Check, &'static [u8]); 2] {
    [(Check::None, b"12.5,7.5"), (Check::Sum(Sum::Crc32.at_end()), b"12.5,7.5D1AA45DD")]
}

fn spec(check: Check) -> ProtocolSpec {
    let frame = FrameSpec::Gap(GapSpec { after: Duration::from_millis(AFTER_MS), max: MAX });
    let decode = table(Separator::Bytes(b",".to_vec()), 2, line(LineEnd::Newline, None)).decode;
    stream(frame, check, decode)
}

/// Bursts with less or more than a silence before each, every burst cut into chunks of these sizes.
fn read(check: Check, bursts: &[(u64, Vec<u8>)], sizes: &[usize]) -> Output {
    let mut protocol = bind(&spec(check), &[number("1"), number("2")]).expect("the case holds");
    let (mut out, mut now) = (Output::default(), 0);
    for (wait_ms, burst) in bursts {
        now += wait_ms;
        let mut rest = &burst[..];
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            if chunk.is_empty() {
                break;
            }
            protocol.receive(chunk, stamp(now), &mut out);
            rest = after;
        }
    }
    protocol.receive(&[], stamp(now + AFTER_MS), &mut out);
    out
}

fn bursts() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let garbage = prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"12.5,7CHKSUM"[..])], 0..100);
    let burst = prop_oneof![
        2 => Just(cases()[0].1.to_vec()),
        2 => Just(cases()[1].1.to_vec()),
        3 => garbage,
    ];
    prop::collection::vec((0..2 * AFTER_MS, burst), 1..12)
}

proptest! {
    #[test]
    fn any_cut_of_a_burst_says_the_same(bursts in bursts(), sizes in prop::collection::vec(1_usize..40, 1..20)) {
        for (check, _) in cases() {
            let (whole, cut) = (read(check, &bursts, &[usize::MAX]), read(check, &bursts, &sizes));
            prop_assert_eq!(&whole.samples, &cut.samples);
            prop_assert_eq!(whole.counts, cut.counts);
            prop_assert_eq!(&whole.refused, &cut.refused);
        }
    }

    #[test]
    fn garbage_between_silences_is_counted_and_bounded(bursts in bursts()) {
        for (check, _) in cases() {
            let Output { samples, refused, counts, .. } = read(check, &bursts, &[usize::MAX]);
            prop_assert!(refused.len() <= REFUSED_KEPT_MAX);
            prop_assert!(refused.iter().all(|refused| refused.frame.len() <= RAW_BYTES_MAX));
            let with_data = counts.frames - counts.ignored - counts.refused;
            prop_assert_eq!(u64::try_from(samples.len()).unwrap(), with_data * 2);
        }
    }

    #[test]
    fn a_silence_heals(bursts in bursts()) {
        for (check, good) in cases() {
            let spoiled = read(check, &bursts, &[usize::MAX]);
            let mut healed = bursts.clone();
            healed.push((AFTER_MS, good.to_vec()));
            let healed = read(check, &healed, &[usize::MAX]);
            prop_assert_eq!(healed.samples.len(), spoiled.samples.len() + 2);
            prop_assert_eq!(healed.counts.refused, spoiled.counts.refused);
        }
    }
}
