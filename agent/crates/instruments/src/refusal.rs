//! Why a frame was refused, in facts and in plain words.

/// Why nothing of a frame became a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than the configuration allows; the bytes up to the next end are skipped.
    #[error("the frame is longer than {max} bytes")]
    Overlong {
        /// `frame.max`, in bytes.
        max: usize,
    },
    /// The start marker stands nowhere in it.
    #[error("the frame has no start marker")]
    NoStart,
    /// So many bytes, and no frame among them.
    #[error("no frame among these bytes")]
    NoFrame,
    /// The frame gives itself a length that can not be.
    #[error("the frame says that it has {said} bytes; it may have {max}")]
    Length {
        /// What it says, in bytes.
        said: i64,
        /// `frame.max`, in bytes.
        max: usize,
    },
    /// Too few bytes for a field.
    #[error("the frame has {found} bytes, {field} needs {needed}")]
    Short {
        /// The field as configured.
        field: String,
        /// Bytes up to its end.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// More or fewer bytes than a record has.
    #[error("the frame has {found} bytes, not {expected}")]
    Size {
        /// As configured.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A record of several lines that ended in the middle.
    #[error("the record was not finished")]
    Unfinished,
    /// No checksum where one must be.
    #[error("the frame has no checksum")]
    NoChecksum,
    /// The checksum does not fit.
    #[error("the checksum says {said:02X}, the bytes give {computed:02X}")]
    Checksum {
        /// What its bytes give.
        computed: u32,
        /// What the frame says.
        said: u32,
    },
    /// Too few or too many columns: nothing shifts silently.
    #[error("the frame has {found} columns, not {}", Span(*min, *max))]
    Columns {
        /// Least expected.
        min: usize,
        /// Most expected.
        max: usize,
        /// How many there are.
        found: usize,
    },
    /// A number was wanted and this is none.
    #[error("{field}: {text:?} is no number")]
    NotANumber {
        /// The field as configured.
        field: String,
        /// What stands there, its first [`crate::QUOTE_BYTES_MAX`] bytes.
        text: String,
    },
    /// A text was wanted and this is none: not UTF-8, or not a text in JSON.
    #[error("{field}: not a text")]
    NotAText {
        /// The field as configured.
        field: String,
    },
    /// A text longer than [`crate::TEXT_BYTES_MAX`].
    #[error("{field}: a text of {bytes} bytes")]
    TextTooLong {
        /// The field as configured.
        field: String,
        /// How long it is.
        bytes: usize,
    },
    /// One frame says the same field twice.
    #[error("{field}: said twice in one frame")]
    Repeated {
        /// The field as configured.
        field: String,
    },
    /// The pattern does not match.
    #[error("the frame does not match the pattern")]
    NoMatch,
    /// Not one whole JSON object or array.
    #[error("no JSON, from byte {column} on")]
    NotJson {
        /// Where it stops being JSON, from 1.
        column: usize,
    },
    /// Not an NMEA 0183 sentence.
    #[error("the frame is no NMEA 0183 sentence")]
    NotASentence,
    /// A part that is not one key, one sign and one value.
    #[error("{text:?} is not one key and one value")]
    NotAPair {
        /// What stands there, its first [`crate::QUOTE_BYTES_MAX`] bytes.
        text: String,
    },
    /// The instrument answered that it can not or will not.
    #[error("the instrument refuses the command")]
    Denied,
    /// The instrument answered a Modbus exception.
    #[error("the device answers exception {code}: {}", exception(*code))]
    Exception {
        /// MODBUS Application Protocol V1.1b3 §7.
        code: u8,
    },
    /// The frame begins otherwise than configured.
    #[error("the frame begins with {text:?}")]
    Prefix {
        /// What stands there, its first [`crate::QUOTE_BYTES_MAX`] bytes.
        text: String,
    },
}

impl Refusal {
    /// One word for it: a bounded label for metrics and events.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::Overlong { .. } => "overlong",
            Refusal::NoStart => "no-start",
            Refusal::NoFrame => "no-frame",
            Refusal::Length { .. } => "length",
            Refusal::Short { .. } => "short",
            Refusal::Size { .. } => "size",
            Refusal::Unfinished => "unfinished",
            Refusal::NoChecksum => "no-checksum",
            Refusal::Checksum { .. } => "checksum",
            Refusal::Columns { .. } => "columns",
            Refusal::NotANumber { .. } => "not-a-number",
            Refusal::NotAText { .. } => "not-a-text",
            Refusal::TextTooLong { .. } => "text-too-long",
            Refusal::Repeated { .. } => "repeated",
            Refusal::NoMatch => "no-match",
            Refusal::NotJson { .. } => "not-json",
            Refusal::NotASentence => "not-a-sentence",
            Refusal::NotAPair { .. } => "not-a-pair",
            Refusal::Prefix { .. } => "prefix",
            Refusal::Denied => "denied",
            Refusal::Exception { .. } => "exception",
        }
    }
}

/// MODBUS Application Protocol V1.1b3 §7, in plain words.
fn exception(code: u8) -> &'static str {
    match code {
        1 => "it does not know the function",
        2 => "it has no such register",
        3 => "it does not take so many registers",
        4 => "it has failed",
        5 | 6 => "it is busy",
        10 | 11 => "the gateway does not reach it",
        _ => "of its own",
    }
}

/// "12", "at least 3", "4 to 9".
struct Span(usize, usize);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Span(min, max) if min == max => write!(f, "{min}"),
            Span(min, usize::MAX) => write!(f, "at least {min}"),
            Span(min, max) => write!(f, "{min} to {max}"),
        }
    }
}

/// Bytes as a text short enough for a refusal; what is not UTF-8 shows as U+FFFD.
pub(crate) fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(crate::limits::QUOTE_BYTES_MAX)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_plainly() {
        let columns = Refusal::Columns { min: 12, max: 12, found: 11 };
        assert_eq!(columns.to_string(), "the frame has 11 columns, not 12");
        let columns = Refusal::Columns { min: 3, max: usize::MAX, found: 2 };
        assert_eq!(columns.to_string(), "the frame has 2 columns, not at least 3");
        let checksum = Refusal::Checksum { computed: 5, said: 0x1b };
        assert_eq!(checksum.to_string(), "the checksum says 1B, the bytes give 05");
    }
}
