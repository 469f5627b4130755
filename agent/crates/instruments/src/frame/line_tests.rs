//! Tests of the line framer, as data: what goes in, what comes out.

use model::{Clock, Timestamp};

use super::*;

fn at(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Synced }
}

fn line(end: &[u8], start: Option<&[u8]>, max: usize) -> LineFramer {
    let end = if end == b"\n" { LineEnd::Newline } else { LineEnd::Bytes(end.to_vec()) };
    LineFramer::try_new(&LineSpec { end, start: start.map(<[u8]>::to_vec), max }).unwrap()
}

/// Pushes all; a frame shows as its text, a fault as its word in angle brackets.
fn frames(framer: &mut LineFramer, bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        if let Some(framed) = framer.push(&[*byte], at(u64::try_from(index).unwrap())).1 {
            out.push(match &framed.fault {
                None => String::from_utf8_lossy(framed.bytes).into_owned(),
                Some(why) => format!("<{}>", why.word()),
            });
        }
    }
    out
}

#[test]
fn lines_are_cut_at_their_ends() {
    for (end, bytes, expected) in [
        (&b"\n"[..], &b"a\nb\r\n\r\n\nc"[..], &["a", "b"][..]),
        (b"\n", b"a\r\r\n", &["a\r"]),
        (b"\r\n", b"a\nb\r\nc\r\n\r\n", &["a\nb", "c"]),
        (b"\r\n", b"a\r\r\n", &["a\r"]),
        (b"\r", b"8.69\r*OK\r\n", &["8.69", "*OK"]),
        (b"</d>", b"<d>1</d><d>2<</d>", &["<d>1", "<d>2<"]),
    ] {
        assert_eq!(frames(&mut line(end, None, 64), bytes), expected, "{bytes:?}");
    }
}

#[test]
fn a_frame_begins_at_the_last_marker_before_its_end() {
    for (bytes, expected) in [
        (&b"\xff\x00!4831\t379\n"[..], &["4831\t379"][..]),
        (b"4831\t3\xff\xff4831\t379\n", &["4831\t379"]),
        (b"garbage\n4831\t379\n", &["<no-start>", "4831\t379"]),
        (b"44831\t379\n", &["4831\t379"]),
        (b"4831\n4831\t379\n", &["<no-start>", "4831\t379"]),
        (b"\r\n\n", &[]),
    ] {
        assert_eq!(frames(&mut line(b"\n", Some(b"4831\t"), 16), bytes), expected, "{bytes:?}");
    }
}

#[test]
fn an_overlong_line_is_refused_once_and_costs_nothing_else() {
    let max = 8;
    for (end, bytes, expected) in [
        (
            &b"\n"[..],
            &b"12345678\n12345678\r\n123456789\r\nok\n"[..],
            &["12345678", "12345678", "<overlong>", "ok"][..],
        ),
        (b"\r\n", b"12345678\r\n12345678\r1234\r\nok\r\n", &["12345678", "<overlong>", "ok"]),
        (b"ab", b"12345678aabokab", &["<overlong>", "ok"]),
    ] {
        assert_eq!(frames(&mut line(end, None, max), bytes), expected, "{bytes:?}");
    }
    let mut framer = line(b"\n", None, max);
    let long = vec![b'x'; 100_000];
    assert_eq!(frames(&mut framer, &long), ["<overlong>"]);
    assert_eq!(frames(&mut framer, b"\nok\n"), ["ok"]);
    assert!(framer.buffer.capacity() <= 2 * LOST_ROOM, "{}", framer.buffer.capacity());
}

#[test]
fn a_marker_is_found_behind_any_amount_of_garbage() {
    let mut framer = line(b"\n", Some(b"$$"), 8);
    let mut bytes = vec![b'x'; 10_000];
    bytes.extend_from_slice(b"$$1\n");
    assert_eq!(frames(&mut framer, &bytes), ["$$1"]);
    assert_eq!(framer.take_skipped(), 10_000);

    let mut bytes = vec![b'x'; 10 * HUNT_BYTES_MAX];
    bytes.extend_from_slice(b"$$2\n$$345678901234567$$4\n");
    assert_eq!(frames(&mut framer, &bytes), ["<no-start>", "$$2", "<overlong>", "$$4"]);
    assert!(framer.buffer.capacity() <= 2 * LOST_ROOM, "{}", framer.buffer.capacity());
}

#[test]
fn a_frame_has_the_time_of_the_first_byte_of_its_marker() {
    let mut framer = line(b"\n", Some(b"aab"), 8);
    for (index, byte) in b"xaaab1".iter().enumerate() {
        assert!(framer.push(&[*byte], at(u64::try_from(index).unwrap())).1.is_none());
    }
    let said = framer.push(b"\n", at(99)).1.unwrap();
    assert_eq!((said.bytes, said.at.mono_ms, said.len), (&b"aab1"[..], 2, 4));
}

#[test]
fn after_a_resync_the_rest_of_a_torn_line_is_not_trusted() {
    let mut framer = line(b"\n", None, 16);
    assert_eq!(frames(&mut framer, b"10"), [""; 0]);
    framer.resync(TornFrames::PassUnseen);
    assert_eq!(frames(&mut framer, b"15.15\n1015.2\n"), ["1015.2"]);
    assert_eq!(framer.take_skipped(), 7);

    framer.resync(TornFrames::Unmasked);
    assert_eq!(frames(&mut framer, b"$A*00\n"), ["$A*00"]);

    let mut framer = line(b"\n", Some(b"$"), 16);
    framer.resync(TornFrames::PassUnseen);
    assert_eq!(frames(&mut framer, b"1$2\n"), ["$2"]);
}

#[test]
fn a_line_that_can_not_be_is_refused_with_its_place() {
    let spec = |end: &[u8], start: &[u8], max| LineSpec {
        end: LineEnd::Bytes(end.to_vec()),
        start: Some(start.to_vec()),
        max,
    };
    for (spec, key) in [
        (spec(b"", b"$", 8), "frame.end"),
        (spec(b"123456789", b"$", 8), "frame.end"),
        (spec(b"\n", b"", 8), "frame.start"),
        (spec(b"\n", b"a\nb", 8), "frame.start"),
        (spec(b"\n", b"123456789", 8), "frame.start"),
        (spec(b"\n", b"$", 0), "frame.max"),
        (spec(b"\n", b"$", FRAME_BYTES_MAX + 1), "frame.max"),
    ] {
        assert_eq!(LineFramer::try_new(&spec).unwrap_err().place, Place::Key(key), "{spec:?}");
    }
}
