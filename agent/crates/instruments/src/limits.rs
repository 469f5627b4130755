//! Every limit on what comes from outside, with its unit, its reason and what happens there.

/// Longest frame a configuration may ask for, in bytes: what one instrument can hold of our memory. The longest line
/// known is an `ISUS`/`SUNA` full frame of about 2 KiB; 64 KiB leaves room for JSON gateways. A larger `max` is a
/// [`crate::SpecError`].
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// `max` of a frame where the configuration gives none, in bytes.
pub const FRAME_BYTES_DEFAULT: usize = 1024;

/// How much garbage is searched for a start marker before the line is refused without waiting for its end, in bytes:
/// over a minute at 9600 baud. The search itself goes on.
pub const HUNT_BYTES_MAX: usize = 64 * 1024;

/// How much of a refused frame is kept, in bytes: enough to see what it was, small enough for an event.
pub const RAW_BYTES_MAX: usize = 256;

/// How many refused frames an [`crate::Output`] keeps whole; the rest are counted. A line at the wrong baud rate must
/// not fill memory with evidence.
pub const REFUSED_KEPT_MAX: usize = 4;

/// Longest text a value may have, in bytes; a longer one refuses its frame. An id has 64, a status message 256.
pub const TEXT_BYTES_MAX: usize = 512;

/// How much of a text that is no number a refusal quotes, in bytes.
pub const QUOTE_BYTES_MAX: usize = 48;

/// Longest start marker, in bytes.
pub const START_BYTES_MAX: usize = 16;

/// Longest end of line, in bytes.
pub const END_BYTES_MAX: usize = 8;

/// Most fields of one instrument: `SUNA` frames have 286 columns, nobody wants them all twice.
pub const FIELDS_MAX: usize = 512;

/// Most columns of a delimited frame: four times the widest known (`SUNA`, 286).
pub const COLUMNS_MAX: usize = 1024;

/// Most `ignore` patterns: each is matched against each frame.
pub const IGNORE_MAX: usize = 32;

/// Memory a compiled pattern may take, in bytes: a remote configuration must not be able to spend more.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Longest address of an NMEA 0183 sentence that is looked for, in characters. Talkers and formatters have 5
/// (NMEA 0183 §5.3.2); proprietary ones have no limit of their own.
pub const ADDRESS_CHARS_MAX: usize = 16;

/// Most steps of `init`, and of `steps`: an Atlas EZO is set up in five, a Sea-Bird in eight.
pub const STEPS_MAX: usize = 32;

/// Longest text that a step sends, in bytes: the longest command known is a `SUNA` upload line of 200.
pub const SEND_BYTES_MAX: usize = 256;

/// Longest time that an instrument may take to answer, in milliseconds: an SDI-12 sensor may measure for 999 s, and
/// says so; a question on a line is answered within a minute or not at all.
pub const TIMEOUT_MS_MAX: u64 = 60_000;

/// Most repetitions of a question in one turn: what comes after that is the back-off of the bus.
pub const RETRIES_MAX: u32 = 10;

/// Longest frame of a counted kind, in bytes: Davis has 267, UBX and `SUNA` about 2 KiB. Where garbage has to be searched
/// for a frame, each byte may begin one of so many bytes to be checked: at 115200 baud 25 MB a second at most.
pub const COUNTED_BYTES_MAX: usize = 4096;

/// Most bytes behind a closing byte: eight hex digits.
pub const TRAILER_BYTES_MAX: usize = 8;

/// Longest record of several lines, in bytes: SAMI has 480, an XML record of Sea-Bird 2 KiB. The pattern that ends a
/// record is tried after each of at most [`RECORD_LINES_MAX`] lines. A larger `max` is a [`crate::SpecError`].
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Most lines of a record; one more refuses it as overlong.
pub const RECORD_LINES_MAX: usize = 256;

/// Most fields that together are the instrument's time: a date, a time, and one to spare.
pub const TIME_FIELDS_MAX: usize = 3;
