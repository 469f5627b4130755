//! Tests of the counted framer; the last byte of a good frame is the sum of all before it.

use model::{Clock, Timestamp};

use super::*;

fn at(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Synced }
}

fn is_good(frame: &[u8]) -> bool {
    let (last, body) = frame.split_last().unwrap();
    body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == *last
}

/// Frames that hold, and refusals, cut in chunks of `size`.
fn frames(spec: &CountedSpec, bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<&'static str>, u64) {
    let mut cutter = CountedFramer::try_new(spec).unwrap();
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(size) {
        let mut rest = chunk;
        loop {
            let (used, framed) = cutter.push(rest, at(0));
            rest = &rest[used..];
            let Some(framed) = framed else { break };
            let is_whole = framed.fault.is_none() && is_good(framed.bytes);
            match &framed.fault {
                _ if is_whole => good.push(framed.bytes.to_vec()),
                Some(fault) => refused.push(fault.word()),
                None if framed.is_guess => {}
                None => refused.push("checksum"),
            }
            cutter.settle(is_whole);
        }
    }
    (good, refused, cutter.skipped)
}

fn both(spec: &CountedSpec, bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<&'static str>, u64) {
    let whole = frames(spec, bytes, bytes.len());
    for size in [1, 2, 3, 7] {
        assert_eq!(frames(spec, bytes, size), whole);
    }
    whole
}

fn sync() -> CountedSpec {
    let length = Length::Said { at: 2, width: 1, order: ByteOrder::Big, adjust: 4 };
    CountedSpec { magic: b"\xb5\x62".to_vec(), length, max: 32 }
}

#[test]
fn a_frame_is_as_long_as_it_says() {
    let good = [0xb5, 0x62, 2, 7, 8, 0x28];
    assert_eq!(both(&sync(), &good.repeat(3)), (vec![good.to_vec(); 3], vec![], 0));
}

#[test]
fn a_false_magic_number_costs_no_good_frame() {
    let good = [0xb5, 0x62, 2, 7, 8, 0x28];
    let bytes = [&b"x\xb5\xb5\x62\x09"[..], &good, &good, &good].concat();
    let (frames, refused, skipped) = both(&sync(), &bytes);
    assert_eq!((frames.len(), refused, skipped), (3, vec!["checksum"], 5));
}

#[test]
fn a_damaged_frame_is_refused_once() {
    let good = [0xb5, 0x62, 2, 7, 8, 0x28];
    let bad = [0xb5, 0x62, 2, 7, 9, 0x28];
    let absurd = [0xb5, 0x62, 200, 7, 9, 0x28];
    let (frames, refused, skipped) = both(&sync(), &[&good[..], &bad, &good, &absurd, &good].concat());
    assert_eq!((frames.len(), skipped), (3, 12));
    assert_eq!(refused, ["checksum", "length"]);
}

#[test]
fn without_a_magic_number_the_check_finds_the_beginning() {
    let spec = CountedSpec { magic: Vec::new(), length: Length::Fixed(4), max: 4 };
    assert!(CountedFramer::try_new(&spec).unwrap().leans_on_check());
    let (frames, refused, skipped) = both(&spec, b"\x01\x02\x03\x06x\x01\x02\x03\x06\x05\x05\x05\x0f");
    assert_eq!((frames.len(), refused, skipped), (3, vec!["checksum"], 1));
}

#[test]
fn garbage_is_refused_once_in_a_while_and_memory_is_flat() {
    let spec = CountedSpec { magic: b"LOO".to_vec(), length: Length::Fixed(99), max: 99 };
    let (frames, refused, skipped) = both(&spec, &b"xyL".repeat(HUNT_BYTES_MAX + 1));
    assert_eq!((frames.len(), refused), (0, vec!["no-frame"; 3]));
    assert!(skipped >= count(3 * HUNT_BYTES_MAX - 1));
    let mut cutter = CountedFramer::try_new(&spec).unwrap();
    cutter.push(&b"LOO".repeat(1000), at(0));
    assert!(cutter.buffer.capacity() < 512);
}

#[test]
fn a_frame_has_the_time_of_its_first_byte() {
    let mut cutter = CountedFramer::try_new(&sync()).unwrap();
    assert!(cutter.push(b"xx\xb5", at(1)).1.is_none());
    assert_eq!(cutter.push(b"\x62\x02\x07\x08\x28", at(2)).1.map(|framed| framed.at.mono_ms), Some(1));
}

#[test]
fn counts_that_can_not_be_are_told() {
    let refuse = |spec: CountedSpec| CountedFramer::try_new(&spec).unwrap_err().place;
    let fixed = |length| CountedSpec { length: Length::Fixed(length), ..sync() };
    assert_eq!(refuse(fixed(1)), Place::Key("frame.length"));
    assert_eq!(refuse(fixed(33)), Place::Key("frame.length"));
    assert_eq!(refuse(CountedSpec { max: COUNTED_BYTES_MAX + 1, ..sync() }), Place::Key("frame.max"));
    let said = |at, width| Length::Said { at, width, order: ByteOrder::Big, adjust: 0 };
    assert_eq!(refuse(CountedSpec { length: said(0, 3), ..sync() }), Place::Key("frame.width"));
    assert_eq!(refuse(CountedSpec { length: said(31, 2), ..sync() }), Place::Key("frame.at"));
}
