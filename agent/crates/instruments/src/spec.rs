//! What the configuration says of a protocol, and why it can not be so. Plain data, checked by [`crate::bind()`].

use crate::check::Check;
use crate::clock::TimeSpec;
use crate::decode::DecodeSpec;
use crate::decode::delimited::{DelimitedSpec, Separator};
use crate::frame::FrameSpec;
use crate::frame::line::{LineEnd, LineSpec};
use crate::limits::FRAME_BYTES_DEFAULT;
use crate::modbus::ModbusSpec;
use crate::poll::PollSpec;
use crate::sdi12::Sdi12Spec;

/// One protocol as configured (`[instrument.x.protocol]`).
#[derive(Debug, Clone, PartialEq)]
pub struct ProtocolSpec {
    /// Who talks when.
    pub mechanics: Mechanics,
    /// Where a frame begins and ends.
    pub frame: FrameSpec,
    /// What proves a frame whole.
    pub check: Check,
    /// What a frame says.
    pub decode: DecodeSpec,
    /// Patterns (on bytes, `\d` and `\w` are ASCII) of frames that are neither data nor error.
    pub ignore: Vec<String>,
    /// The instrument's own clock.
    pub time: Option<TimeSpec>,
}

impl ProtocolSpec {
    /// A protocol of which nothing is said but its mechanics: lines, no check, the whole line as one column.
    pub fn own(mechanics: Mechanics) -> Self {
        let frame = FrameSpec::Line(LineSpec { end: LineEnd::Newline, start: None, max: FRAME_BYTES_DEFAULT });
        let decode =
            DecodeSpec::Delimited(DelimitedSpec { sep: Separator::Bytes(b",".to_vec()), columns: None, pattern: None });
        Self { mechanics, frame, check: Check::None, decode, ignore: Vec::new(), time: None }
    }
}

/// Who talks when (`protocol.type`).
#[derive(Debug, Clone, PartialEq)]
pub enum Mechanics {
    /// The instrument talks, we listen.
    Stream,
    /// We talk and it answers; or it talks, and is set up first.
    Poll(PollSpec),
    /// A Modbus unit. It has frames, checks and registers of its own: `frame`, `check` and `decode` say nothing.
    ModbusRtu(ModbusSpec),
    /// An SDI-12 sensor. As with Modbus, `frame`, `check` and `decode` say nothing.
    Sdi12(Sdi12Spec),
}

impl Mechanics {
    /// Whether the instrument is asked, at its own period.
    pub fn is_asked(&self) -> bool {
        match self {
            Mechanics::Stream => false,
            Mechanics::Poll(poll) => !poll.steps.is_empty(),
            Mechanics::ModbusRtu(_) | Mechanics::Sdi12(_) => true,
        }
    }
}

/// A protocol that can not be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{fault}")]
pub struct SpecError {
    /// Where in the configuration.
    pub place: Place,
    /// What is wrong there.
    pub fault: Fault,
}

/// Where in an instrument's configuration an error stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A key below `protocol`, dotted: `"frame.end"`.
    Key(&'static str),
    /// The pattern at this index of `protocol.ignore`.
    Ignore(usize),
    /// The field at this index, of those given to [`crate::bind()`].
    Field(usize),
}

impl Place {
    pub(crate) fn fault(self, fault: Fault) -> SpecError {
        SpecError { place: self, fault }
    }
}

/// What is wrong with a part of a protocol.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Nothing is written where something must be.
    #[error("this can not be empty")]
    Empty,
    /// A count or length outside its limits.
    #[error("must be {min} to {max}, not {found}")]
    OutOfRange {
        /// Least.
        min: usize,
        /// Most.
        max: usize,
        /// What is written.
        found: usize,
    },
    /// The start marker holds the end of line: no frame could ever be.
    #[error("the start marker holds the end of the line")]
    StartHoldsEnd,
    /// Nothing but a check would show that a byte of such frames was lost.
    #[error("such frames need a check: without one, nothing shows where a frame begins once a byte was lost")]
    NeedsCheck,
    /// A pattern that does not compile.
    #[error("no pattern: {0}")]
    Pattern(String),
    /// The pattern has no group of that name.
    #[error("the pattern has no group {group:?}; it has {}", groups.join(", "))]
    NoGroup {
        /// The group asked for.
        group: String,
        /// The groups there are.
        groups: Vec<String>,
    },
    /// Not a column number.
    #[error("{0:?} is no column: columns are numbers from 1")]
    NotAColumn(String),
    /// A column that the frame never has.
    #[error("there is no column {column}: a frame has at most {columns}")]
    NoColumn {
        /// The column asked for.
        column: usize,
        /// The most a frame has.
        columns: usize,
    },
    /// A table of bits holds no numbers and no texts.
    #[error("coils and discrete inputs are bits: the type is \"bit\"")]
    NotABit,
    /// Not an SDI-12 address.
    #[error("{0:?} is no SDI-12 address: one of 0 to 9, a to z, A to Z")]
    NotAnSdi12Address(String),
    /// Not an SDI-12 command that measures.
    #[error("{0:?} measures nothing: write \"M\", \"MC\", \"C\", \"CC\", \"M1\" ... or \"R0\"")]
    NotACommand(String),
    /// Not a JSON pointer (RFC 6901).
    #[error("{0:?} is no JSON pointer: write \"/key/key\" or \"\"")]
    NotAPointer(String),
    /// Not the address of an NMEA 0183 sentence.
    #[error("{0:?} is no sentence: write \"DBT\", \"SDDBT\" or a proprietary \"PGRME\"")]
    NotAnAddress(String),
    /// Not a field of an NMEA 0183 sentence.
    #[error("{0:?} is no field of a sentence: write \"DBT.3\", \"SDDBT.3\" or \"XDR.NAME\"")]
    NotASentenceField(String),
    /// Not a place in a binary frame.
    #[error("{0:?} is no place in a binary frame: give an offset from 0 and a type, such as u16, i32 or f32")]
    NotAPlace(String),
    /// Not a format of a time, or not as many words as fields.
    #[error("{0:?} is no format for these fields: %Y %y %m %d %j %b %H %M %S %.f %s, a word a field")]
    NotATime(String),
    /// The field's sentence is not among `sentences`.
    #[error("sentence {0} is not in `sentences`, so this would never be read")]
    NotListed(String),
    /// One text means two things.
    #[error("{0:?} is given twice, with two meanings")]
    Ambiguous(String),
}
