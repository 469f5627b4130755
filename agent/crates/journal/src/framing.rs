//! What sled's own framing says of a log, without opening it: where its messages read, and whether all of them do.
//!
//! A log is cut into segments of half a MiB. A segment begins with a header (checksum, its place in the log, how far
//! the log was stable) and holds messages (checksum, kind, length, segment, page), the last of which is a cap unless
//! there is no room for one. sled reads the segments in the order of the log. In the middle of it, what stands behind a
//! message that does not read is passed over, to the end of the segment; at its end, the first such message is the end
//! of the log for sled: what stands behind is *overwritten with zeros*, and so are the segments that follow. That is
//! why this is looked at before sled is let near the only copy.
//!
//! Nothing is believed because it stands in a message that reads: our own checksums decide what counts
//! ([`carve`](crate::carve)).

use std::ops::Range;

use crc::{CRC_32_ISO_HDLC, Crc, Table};

use crate::generation::SEGMENT_BYTES;

const SEGMENT_HEADER_BYTES: usize = 20;
/// sled begins no message where less is left of a segment.
const MESSAGE_HEADER_BYTES_MAX: usize = 32;
/// Numbers in a segment's header are stored XOR this, so that zeros are no header.
const LOG_PLACE_MASK: u64 = 0x7fff_ffff_ffff_ffff;
const KIND_CORRUPTED: u8 = 0;
const KIND_CAP: u8 = 2;
const KIND_MAX: u8 = 11;

/// The polynomial of sled's checksums, which are the complement of the usual.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// What the framing of a log says.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// Where messages read one after the other, in the order of the file.
    sound: Vec<Range<usize>>,
    /// Whether sled reads all of the log but, perhaps, its torn end.
    pub(crate) is_orderly: bool,
}

struct Segment {
    /// Its place in the log, a multiple of the segments' size.
    place: u64,
    /// How far the log was stable when it was begun.
    stable: u64,
    sound: Range<usize>,
    is_full: bool,
}

impl Framing {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut segments: Vec<Segment> =
            (0..bytes.len()).step_by(SEGMENT_BYTES).filter_map(|at| read_segment(bytes, at)).collect();
        let sound = segments.iter().map(|segment| segment.sound.clone()).collect();
        segments.sort_by_key(|segment| segment.place);
        Self { sound, is_orderly: is_orderly(&segments) }
    }

    /// Whether sled reads what stands here.
    pub(crate) fn holds(&self, piece: &Range<usize>) -> bool {
        let behind = self.sound.partition_point(|sound| sound.start <= piece.start);
        self.sound[..behind].last().is_some_and(|sound| piece.end <= sound.end)
    }
}

/// Whether segments in the order of the log are all full but the last, and none is missing where sled looks for the
/// next. Further back some always are: their content was rewritten, and their place in the file used again.
fn is_orderly(segments: &[Segment]) -> bool {
    let size = u64::try_from(SEGMENT_BYTES).expect("64 bits");
    let stable = segments.iter().map(|segment| segment.stable).max().unwrap_or(0);
    segments.windows(2).all(|pair| {
        let (before, after) = (&pair[0], &pair[1]);
        let is_next = before.place + size == after.place;
        let is_tail = before.place >= stable / size * size;
        before.is_full && before.place != after.place && (is_next || !is_tail)
    })
}

fn read_segment(bytes: &[u8], at: usize) -> Option<Segment> {
    let end = bytes.len().min(at + SEGMENT_BYTES);
    let segment = &bytes[at..end];
    let (header, _) = segment.split_at_checked(SEGMENT_HEADER_BYTES)?;
    let number = |from: usize| Some(u64::from_le_bytes(header.get(from..from + 8)?.try_into().ok()?) ^ LOG_PLACE_MASK);
    let is_whole = header[..4] == (!CRC.checksum(&header[4..])).to_le_bytes();
    let (place, stable) = (number(4)?, number(12)?);
    let size = u64::try_from(SEGMENT_BYTES).expect("64 bits");
    if !is_whole || place % size != 0 || place >= LOG_PLACE_MASK / 2 {
        return None;
    }
    let mut next = SEGMENT_HEADER_BYTES;
    let is_full = loop {
        if next + MESSAGE_HEADER_BYTES_MAX > SEGMENT_BYTES {
            break true;
        }
        match read_message(&segment[next..], place / size) {
            None => break false,
            Some((KIND_CAP, _)) => break true,
            Some((_, length)) => next += length,
        }
    };
    Some(Segment { place, stable, sound: at + SEGMENT_HEADER_BYTES..at + next, is_full })
}

/// The kind and the length of the message that `bytes` begin with, if it reads.
fn read_message(bytes: &[u8], segment: u64) -> Option<(u8, usize)> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    let (&kind, mut rest) = rest.split_first()?;
    let mut number = || {
        let (number, length) = read_number(rest)?;
        rest = &rest[length..];
        Some(number)
    };
    let (length, of_segment, _page) = (usize::try_from(number()?).ok()?, number()?, number()?);
    let header_bytes = bytes.len() - rest.len();
    let body = rest.get(..length)?;
    let is_one = kind != KIND_CORRUPTED && kind <= KIND_MAX && of_segment == segment;
    let mut digest = CRC.digest();
    digest.update(body);
    digest.update(&bytes[4..header_bytes]);
    (is_one && !digest.finalize() == u32::from_le_bytes(*crc)).then_some((kind, header_bytes + length))
}

/// A number as sled writes them, and how many bytes it takes.
pub(crate) fn read_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&head, rest) = bytes.split_first()?;
    match head {
        0..=240 => Some((u64::from(head), 1)),
        241..=248 => Some((240 + 256 * (u64::from(head) - 241) + u64::from(*rest.first()?), 2)),
        249 => Some((2288 + 256 * u64::from(*rest.first()?) + u64::from(*rest.get(1)?), 3)),
        250.. => {
            let size = usize::from(head) - 247;
            let mut number = [0; 8];
            number[..size].copy_from_slice(rest.get(..size)?);
            Some((u64::from_le_bytes(number), size + 1))
        }
    }
}
