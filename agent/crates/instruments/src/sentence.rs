//! Where an NMEA 0183 sentence stands in a frame, and where its checksum.
//!
//! NMEA 0183 §5.3: `$` or `!`, address, fields between commas, `*hh`, CR LF. `$`, `!` and `*` are reserved characters
//! (§5.1) and never data. So the *last* start in a frame is the one that belongs to the frame's end: a sentence torn
//! by another (`$GPGGA,12$SDDBT,...*05`) has no end of its own.

/// A sentence, cut at its joints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sentence<'a> {
    /// `$` or `!`.
    pub start: u8,
    /// What stands between the start and the `*`: what the checksum is over (§5.3.2.4).
    pub body: &'a [u8],
    /// The same with its start.
    pub whole: &'a [u8],
    /// `hh`, if it is there and well formed.
    pub checksum: Option<u8>,
}

impl<'a> Sentence<'a> {
    pub fn find(frame: &'a [u8]) -> Option<Self> {
        let at = frame.iter().rposition(|byte| matches!(byte, b'$' | b'!'))?;
        let text = &frame[at..];
        let star = text.iter().position(|byte| *byte == b'*').unwrap_or(text.len());
        let checksum = text.get(star + 1..).and_then(parse_hex);
        Some(Self { start: text[0], body: &text[1..star], whole: &text[..star], checksum })
    }

    /// "The 8-bit exclusive OR of all characters between, but not including, the "$" and "*"" (§5.3.2.4).
    pub fn xor(&self) -> u8 {
        xor(self.body)
    }
}

/// The exclusive OR of all bytes.
pub(crate) fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

fn parse_hex(digits: &[u8]) -> Option<u8> {
    let digits = digits.trim_ascii_end();
    let fits = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| fits)?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_start_is_the_sentence() {
        let sentence = Sentence::find(b"$GPGGA,12$SDDBT,7.7,f,2.3,M,1.3,F*05").unwrap();
        assert_eq!(sentence.body, b"SDDBT,7.7,f,2.3,M,1.3,F");
        assert_eq!((sentence.checksum, sentence.xor()), (Some(5), 5));
    }

    #[test]
    fn a_checksum_is_two_hex_digits_and_nothing_else() {
        for (frame, checksum) in [
            (&b"$A*0c"[..], Some(0x0c)),
            (b"$A*0C ", Some(0x0c)),
            (b"$A*0", None),
            (b"$A*+5", None),
            (b"$A*0C1", None),
            (b"$A*", None),
            (b"$A", None),
        ] {
            assert_eq!(Sentence::find(frame).unwrap().checksum, checksum, "{frame:?}");
        }
        assert_eq!(Sentence::find(b"no sentence*00"), None);
        assert_eq!(Sentence::find(b""), None);
    }
}
