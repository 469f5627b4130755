//! What was done with each frame, step by step, for somebody who watches.
//!
//! Notes are made by the code that decodes, where it decides, and only in a protocol of [`crate::bind_watched()`]: one of
//! [`crate::bind()`] has an empty list and pays one comparison a frame for it. What stood at each place of a frame
//! before it was a value is found by a second decoder, which reads every field as the text it is.

use model::Stamp;

use crate::decode::structure::unhex;
use crate::decode::{DecodeSpec, Decoder};
use crate::field::{FieldSpec, Kind, Wanted};
use crate::output::{Output, Row, Sample, SampleValue};
use crate::refusal::Refusal;

/// What became of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// When its first byte arrived.
    pub at: Stamp,
    /// Its bytes; of one that is too long, the first of them.
    pub frame: Vec<u8>,
    /// How many bytes it had.
    pub len: usize,
    /// Whether it was whole.
    pub checked: Checked,
    /// What came of it.
    pub end: End,
}

/// What the check said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// There is none.
    NoCheck,
    /// It fits.
    Passed {
        /// The checksum as it stood at the frame's end; empty where it stands elsewhere.
        checksum: Vec<u8>,
    },
    /// It does not; the refusal has both sums.
    Failed,
    /// It was not asked: there was no frame to check.
    NotReached,
}

/// What came of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Values.
    Taken {
        /// As in [`Output::samples`].
        samples: Vec<Sample>,
        /// What stood in the frame for them.
        said: Vec<Said>,
    },
    /// Neither data nor error.
    Ignored(Ignored),
    /// Nothing of it was taken.
    Refused(Refusal),
}

/// Why a frame is neither data nor error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// A pattern of `ignore` matches it.
    Pattern,
    /// It speaks of nothing that is wanted.
    NothingWanted,
    /// It answers a step, and is no data there.
    Answer,
    /// It was said while the instrument was being set up, which is no measurement.
    SetUp,
    /// Nothing was asked.
    NotAsked,
    /// The instrument says that it has restarted.
    Restart,
    /// It says when how many values will be ready, or is the first part of them.
    Part,
    /// The device refuses so many registers at once: it is asked for fewer from now on.
    Split,
    /// It answers a question that was given up.
    Late,
    /// It is no answer to what was asked: another address, another form.
    NoAnswer,
}

/// What stood at one place of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it is.
    pub part: Part,
    /// As it stood there; bytes that are no text as hex digits.
    pub text: String,
}

/// What a place of a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The value of this field.
    Value(usize),
    /// The status that gates this field.
    Status(usize),
    /// A part of the instrument's clock.
    Clock,
}

impl Output {
    pub(crate) fn note(&mut self, at: Stamp, frame: &[u8], checked: Checked, end: End) {
        self.notes.push(Note { at, frame: frame.to_vec(), len: frame.len(), checked, end });
    }
}

/// Finds what stood in frames.
#[derive(Debug)]
pub(crate) struct Watch {
    /// What each wanted field is, in the order of the decoder's.
    parts: Vec<Vec<Part>>,
    reader: Texts,
}

#[derive(Debug)]
enum Texts {
    /// A decoder of the same frames, every field a text.
    Decoder(Box<Decoder>),
    /// Offset and width of each field, in the frame or in what its hex digits say.
    Places { places: Vec<Option<(usize, usize)>>, hex_from: Option<usize> },
}

impl Watch {
    /// For a decoder of this spec with these fields.
    pub fn new(spec: &DecodeSpec, wanted: &[Wanted], parts: Vec<Vec<Part>>) -> Self {
        let text = |wanted: &Wanted| FieldSpec {
            field: wanted.field.clone(),
            kind: Kind::Text,
            missing: Vec::new(),
            good: None,
        };
        let texts: Vec<Wanted> = wanted.iter().map(|wanted| Wanted::value(&text(wanted))).collect();
        let reader = match Decoder::try_new(spec, &texts) {
            Ok(decoder) => Texts::Decoder(Box::new(decoder)),
            // Binary frames hold no texts.
            Err(_) => Texts::Places {
                places: wanted.iter().map(|wanted| place(&wanted.field)).collect(),
                hex_from: if let DecodeSpec::Struct(spec) = spec { spec.hex_from } else { None },
            },
        };
        Self { parts, reader }
    }

    /// What stands in a frame that was taken; what can not be told is left out.
    pub fn said(&mut self, at: Stamp, frame: &[u8]) -> Vec<Said> {
        let texts: Vec<(usize, String)> = match &mut self.reader {
            Texts::Decoder(texts) => {
                let mut samples = Vec::new();
                let decoded = texts.decode(frame, &mut Row::begin(at, &mut samples));
                let text = |sample: Sample| match sample.value {
                    SampleValue::Text(text) => Some((sample.field, text.to_string())),
                    SampleValue::Number(_) | SampleValue::Missing => None,
                };
                decoded.map(|()| samples.into_iter().filter_map(text).collect()).unwrap_or_default()
            }
            Texts::Places { places, hex_from } => {
                let mut bytes = Vec::new();
                let frame = match hex_from {
                    // What the decoder took is hex digits.
                    Some(first) => {
                        unhex(frame.get(*first..).unwrap_or_default(), &mut bytes).map_or(frame, |()| &bytes)
                    }
                    None => frame,
                };
                let cut = |place: &Option<(usize, usize)>| place.and_then(|(at, len)| frame.get(at..at + len));
                let places = places.iter().map(cut).enumerate();
                places.filter_map(|(field, bytes)| Some((field, hex(bytes?)))).collect()
            }
        };
        let mut said = Vec::new();
        for (field, text) in texts {
            let parts = self.parts.get(field).into_iter().flatten();
            said.extend(parts.map(|part| Said { part: *part, text: text.clone() }));
        }
        said
    }
}

/// Offset and width of `12:u16`, `12:u16.3`.
fn place(field: &str) -> Option<(usize, usize)> {
    let (offset, kind) = field.split_once(':')?;
    let kind = kind.split('.').next()?;
    let bits: usize = kind.get(1..)?.parse().ok()?;
    Some((offset.parse().ok()?, bits / 8))
}

/// `7b 54`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::structure::StructSpec;
    use crate::number::ByteOrder;
    use model::{Clock, Timestamp};

    /// A SAMI says its record in hex digits. What stood for a value was shown as the digits' own bytes, from a place
    /// elsewhere in the line: `0C40` was told as `30 41`.
    #[test]
    fn what_stood_in_a_record_of_hex_digits_is_what_they_say() {
        let spec = DecodeSpec::Struct(StructSpec { byte_order: ByteOrder::Big, hex_from: Some(1), length: None });
        let field = FieldSpec { field: "1:u16".to_owned(), kind: Kind::Number, missing: Vec::new(), good: None };
        let mut watch = Watch::new(&spec, &[Wanted::value(&field)], vec![vec![Part::Value(0)]]);
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
        assert_eq!(watch.said(at, b"*EE0C4007"), [Said { part: Part::Value(0), text: "0c 40".to_owned() }]);
    }
}
