//! Requests and answers on the wire, and finding the second in what comes.

use std::collections::VecDeque;

use super::plan::Block;
use crate::crc16::{MODBUS, crc16};

/// MODBUS over Serial Line V1.02 §2.3: "The maximum size of a MODBUS RTU frame is 256 bytes."
const FRAME_BYTES_MAX: usize = 256;

/// MODBUS Application Protocol V1.1b3 §4.1: "MODBUS exception response: the MSB is set to 1".
const EXCEPTION: u8 = 0x80;

/// What an answer to a request looks like. Two requests with equal shapes have answers that nothing tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    unit: u8,
    function: u8,
    data_bytes: u8,
}

/// A request as it goes out, with its checksum, low byte first (§2.5.1.2).
pub(super) fn request(unit: u8, block: &Block) -> Vec<u8> {
    let mut bytes = vec![unit, block.table.function()];
    bytes.extend(block.address.to_be_bytes());
    bytes.extend(block.count.to_be_bytes());
    bytes.extend(crc16(MODBUS, &bytes).to_le_bytes());
    bytes
}

impl Shape {
    pub fn of(unit: u8, block: &Block) -> Self {
        let bytes = if block.table.has_bits() { block.count.div_ceil(8) } else { block.count * 2 };
        let data_bytes = u8::try_from(bytes).expect("a block has at most 125 registers");
        Self { unit, function: block.table.function(), data_bytes }
    }

    /// An answer of this shape as it came: what was taken from it is all that it can have been.
    pub fn frame(self, answer: &Answer) -> Vec<u8> {
        let mut bytes = match answer {
            Answer::Data(data) => [&[self.unit, self.function, self.data_bytes], &data[..]].concat(),
            Answer::Exception(code) => vec![self.unit, self.function | EXCEPTION, *code],
        };
        bytes.extend(crc16(MODBUS, &bytes).to_le_bytes());
        bytes
    }

    fn len(self) -> usize {
        usize::from(self.data_bytes) + 5
    }
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Data(Vec<u8>),
    Exception(u8),
}

/// The last bytes of the line, in which an answer is looked for.
///
/// It may begin at any byte: transceivers that turn around leave stray `00` and `FE` before it, an adapter may echo the
/// request, another master may have spoken. Unit, function, byte count and checksum must all fit: 40 bits.
#[derive(Debug, Default)]
pub(super) struct Ear {
    heard: VecDeque<u8>,
}

impl Ear {
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    /// Takes a byte.
    pub fn push(&mut self, byte: u8) {
        if self.heard.len() == FRAME_BYTES_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(byte);
    }

    /// The answer of this shape, if the byte just taken was the last of one.
    pub fn hears(&mut self, shape: Shape) -> Option<Answer> {
        let answer = self.data(shape).or_else(|| self.exception(shape))?;
        self.forget();
        Some(answer)
    }

    fn data(&mut self, shape: Shape) -> Option<Answer> {
        let frame = self.last(shape.len())?;
        let [unit, function, count, ..] = *frame else { return None };
        let fits = (unit, function, count) == (shape.unit, shape.function, shape.data_bytes) && is_whole(frame);
        fits.then(|| Answer::Data(frame[3..frame.len() - 2].to_vec()))
    }

    fn exception(&mut self, shape: Shape) -> Option<Answer> {
        let frame = self.last(5)?;
        let [unit, function, code, ..] = *frame else { return None };
        let fits = (unit, function) == (shape.unit, shape.function | EXCEPTION) && is_whole(frame);
        fits.then_some(Answer::Exception(code))
    }

    fn last(&mut self, len: usize) -> Option<&[u8]> {
        let heard = self.heard.make_contiguous();
        heard.len().checked_sub(len).map(|first| &heard[first..])
    }
}

/// A frame followed by its checksum, low byte first, has the checksum 0.
pub(super) fn is_whole(frame: &[u8]) -> bool {
    crc16(MODBUS, frame) == 0
}
