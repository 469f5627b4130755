//! Whole frames among bytes that were no answer to what was asked: somebody else's, or a unit, function or length that is
//! configured wrongly. For a person who looks; nothing is ever taken from them.

use std::fmt;

use super::frame::is_whole;

/// A frame with a checksum that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overheard {
    /// Where it begins.
    pub from: usize,
    /// Whose it is, or to whom.
    pub unit: u8,
    /// What it is about: 1 to 4.
    pub function: u8,
    /// What it is.
    pub kind: OverheardKind,
}

/// What an overheard frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverheardKind {
    /// So many bytes of data.
    Answer(u8),
    /// That the device can not or will not.
    Exception(u8),
    /// A question for so many registers from this one on.
    Request {
        /// The first.
        address: u16,
        /// How many.
        count: u16,
    },
}

/// All that are there, from the front, none overlapping.
pub fn overheard(bytes: &[u8]) -> Vec<Overheard> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(rest) = bytes.get(from..).filter(|rest| rest.len() >= 5) {
        match frame_at(rest) {
            Some((len, unit, function, kind)) => {
                found.push(Overheard { from, unit, function, kind });
                from += len;
            }
            None => from += 1,
        }
    }
    found
}

fn frame_at(bytes: &[u8]) -> Option<(usize, u8, u8, OverheardKind)> {
    let [unit, function, third, ..] = *bytes else { return None };
    let is_frame = |len: usize| bytes.get(..len).is_some_and(is_whole);
    if let 0x81..=0x84 = function {
        return is_frame(5).then_some((5, unit, function & 0x7f, OverheardKind::Exception(third)));
    }
    if !(1..=4).contains(&function) {
        return None;
    }
    let len = usize::from(third) + 5;
    if is_frame(len) {
        return Some((len, unit, function, OverheardKind::Answer(third)));
    }
    let [_, _, a, b, c, d, ..] = *bytes else { return None };
    let request = OverheardKind::Request { address: u16::from_be_bytes([a, b]), count: u16::from_be_bytes([c, d]) };
    is_frame(8).then_some((8, unit, function, request))
}

impl fmt::Display for Overheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}, function {}: ", self.unit, self.function)?;
        match self.kind {
            OverheardKind::Answer(bytes) => write!(f, "an answer with {bytes} bytes of data"),
            OverheardKind::Exception(code) => write!(f, "exception {code}"),
            OverheardKind::Request { address, count } => write!(f, "a request for {count} from address {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_recognised_between_noise() {
        let line = [
            &[0x00, 0xfe][..],
            &[0xf7, 0x03, 0x00, 0x00, 0x00, 0x0f, 0x11, 0x58],
            &[0xf7, 0x03, 0x04, 0x00, 0x00, 0x00, 0x03, 0x2c, 0x3d],
            &[0x01],
        ];
        let said: Vec<String> = overheard(&line.concat()).iter().map(|one| format!("{} {one}", one.from)).collect();
        assert_eq!(
            said,
            [
                "2 unit 247, function 3: a request for 15 from address 0",
                "10 unit 247, function 3: an answer with 4 bytes of data"
            ]
        );
        assert_eq!(overheard(b"nothing of the kind, and no checksum"), []);
    }
}
