//! The mechanics of an SDI-12 sensor: measure, wait, fetch.
//!
//! After *SDI-12, A Serial-Digital Interface Standard for Microprocessor-Based Sensors, Version 1.4*:
//!
//! ```text
//! 0MC!   -> 00013          in 1 s there are 3 values
//!        <- 0              earlier than that: a service request (not after C)
//! 0D0!   -> 0+35+26.4+0??? the values, with three characters of checksum after MC, CC and RC
//! ```
//!
//! Values are fields 1 to n in the order of the sensor's manual. They are taken whole: fewer than were promised are
//! none. A line that begins with another address, and one that does not answer what was asked, is not looked at; the
//! echo of a half-duplex line is cut off.

mod answer;
mod spec;

use model::Stamp;

pub use spec::{Sdi12Line, Sdi12Spec};

use crate::field::{Field, FieldSpec, Wanted};
use crate::late::Owed;
use crate::limits::{RETRIES_MAX, TIMEOUT_MS_MAX};
use crate::modbus::in_range;
use crate::note::{Checked, End, Ignored, Part, Said};
use crate::output::{Output, Row};
use crate::protocol::{Protocol, Step, Turn};
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};
use spec::{Command, Kind};

/// Longest answer in bytes: §4.4.7 allows 75 characters of values; with address, checksum and an echo 128 are plenty.
/// What is longer is thrown away up to its end.
const LINE_BYTES_MAX: usize = 128;

/// `aD0!` to `aD9!` (§4.4.5).
const DATA_COMMANDS: u8 = 10;

/// A sensor on the line.
#[derive(Debug)]
pub struct Sdi12 {
    address: u8,
    command: Command,
    text: String,
    line: Sdi12Line,
    timeout_ms: u64,
    retries: u32,
    /// The value each field is, from 0, beside the field.
    fields: Vec<(usize, Field)>,
    state: State,
    heard: Vec<u8>,
    first_byte: Option<Stamp>,
    /// The values so far, and when the first of them came.
    values: Vec<Vec<u8>>,
    at: Option<Stamp>,
    promised: usize,
    owed: Owed<Question>,
    is_watched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// The measurement is to begin; of a continuous one, the values are to come.
    Start,
    /// The values from this command on.
    Data(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No turn.
    Listening,
    Due {
        question: Question,
        tries: u32,
    },
    /// The break is out, the command is not.
    Broken {
        question: Question,
        tries: u32,
    },
    Sending {
        question: Question,
        tries: u32,
    },
    Asked {
        question: Question,
        tries: u32,
        until_mono_ms: u64,
    },
    /// It measures for so many seconds more.
    Promised {
        seconds: u16,
    },
    Measuring {
        until_mono_ms: u64,
    },
    Over(Turn),
}

impl Sdi12 {
    pub(crate) fn try_new(spec: &Sdi12Spec, fields: &[FieldSpec]) -> Result<Self, SpecError> {
        let address = u8::try_from(spec.address).ok().filter(u8::is_ascii_alphanumeric);
        let address =
            address.ok_or_else(|| Place::Key("address").fault(Fault::NotAnSdi12Address(spec.address.to_string())))?;
        in_range("timeout", 1, TIMEOUT_MS_MAX, spec.timeout_ms)?;
        in_range("retries", 0, RETRIES_MAX.into(), spec.retries.into())?;
        let field = |(index, field): (usize, &FieldSpec)| match field.field.parse::<usize>() {
            Ok(number @ 1..=99) => Ok((number - 1, Field::new(&Wanted::value(field)))),
            _ => Err(Place::Field(index).fault(Fault::NotAColumn(field.field.clone()))),
        };
        Ok(Self {
            address,
            command: Command::parse(&spec.command)?,
            text: spec.command.clone(),
            line: spec.line,
            timeout_ms: spec.timeout_ms,
            retries: spec.retries,
            fields: fields.iter().enumerate().map(field).collect::<Result<_, _>>()?,
            state: State::Listening,
            heard: Vec::new(),
            first_byte: None,
            values: Vec::new(),
            at: None,
            promised: 0,
            owed: Owed::new(spec.timeout_ms),
            is_watched: false,
        })
    }
}

impl Sdi12 {
    /// The same, making notes or not.
    pub(crate) fn watched(mut self, is_watched: bool) -> Self {
        self.is_watched = is_watched;
        self
    }

    /// A line that is neither data nor error.
    fn pass_over(&self, at: Stamp, line: &[u8], why: Ignored, out: &mut Output) {
        out.counts.frames += 1;
        out.counts.ignored += 1;
        self.note(at, line, End::Ignored(why), out);
    }

    fn note(&self, at: Stamp, line: &[u8], end: End, out: &mut Output) {
        if self.is_watched {
            let checked = match &end {
                End::Refused(Refusal::Checksum { .. } | Refusal::NoChecksum) => Checked::Failed,
                End::Taken { .. } if self.command.has_crc => {
                    Checked::Passed { checksum: line[line.len().saturating_sub(3)..].to_vec() }
                }
                _ => Checked::NoCheck,
            };
            out.note(at, line, checked, end);
        }
    }
}

impl Protocol for Sdi12 {
    fn begin(&mut self, _now_mono_ms: u64) {
        self.values.clear();
        self.at = None;
        self.promised = 0;
        self.state = State::Due { question: Question::Start, tries: 0 };
    }

    fn next(&mut self, now_mono_ms: u64) -> Step {
        match self.state {
            State::Listening => Step::Idle { until_mono_ms: None },
            State::Due { question, tries } => self.ask(question, tries, now_mono_ms),
            State::Broken { question, tries } => self.send(question, tries),
            State::Sending { question, tries } => {
                let until_mono_ms = now_mono_ms.saturating_add(self.timeout_ms);
                self.owed.asked(question, now_mono_ms);
                self.state = State::Asked { question, tries, until_mono_ms };
                Step::Wait { until_mono_ms }
            }
            State::Asked { until_mono_ms, .. } if now_mono_ms < until_mono_ms => Step::Wait { until_mono_ms },
            State::Asked { question, tries, .. } if tries < self.retries => {
                self.state = State::Due { question, tries: tries + 1 };
                self.next(now_mono_ms)
            }
            State::Asked { .. } => {
                self.state = State::Listening;
                Step::Done(Turn::Silent)
            }
            State::Promised { seconds } => {
                let until_mono_ms = now_mono_ms.saturating_add(u64::from(seconds) * 1_000);
                self.state = State::Measuring { until_mono_ms };
                self.next(now_mono_ms)
            }
            State::Measuring { until_mono_ms } if now_mono_ms < until_mono_ms => match self.command.kind {
                Kind::Concurrent => Step::Pause { until_mono_ms },
                Kind::Measure | Kind::Continuous => Step::Wait { until_mono_ms },
            },
            State::Measuring { .. } => {
                self.state = State::Due { question: Question::Data(0), tries: 0 };
                self.next(now_mono_ms)
            }
            State::Over(turn) => {
                self.state = State::Listening;
                Step::Done(turn)
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output) {
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => self.end_line(at, out),
                _ if self.heard.len() > LINE_BYTES_MAX => {}
                // A break reads as a zero, and a turned line as whatever it likes: no answer has such characters.
                _ if !byte.is_ascii_graphic() => out.counts.bytes_skipped += 1,
                _ => {
                    self.first_byte.get_or_insert(at);
                    self.heard.push(*byte);
                    self.cut_echo();
                }
            }
        }
    }

    fn resync(&mut self) {
        self.heard.clear();
        self.first_byte = None;
    }
}

impl Sdi12 {
    fn ask(&mut self, question: Question, tries: u32, now_mono_ms: u64) -> Step {
        // The answer to `aM!` has no sign and that to `aD0!` has nothing else; `aD0!` and `aD1!` answer alike.
        let is_data = |question| matches!(question, Question::Data(_)) || self.command.kind == Kind::Continuous;
        let forbidden = self.owed.forbids(question, now_mono_ms, |owed| is_data(owed) && is_data(question));
        if let Some(until_mono_ms) = forbidden {
            return Step::Pause { until_mono_ms };
        }
        match self.line {
            Sdi12Line::Bare => {
                self.state = State::Broken { question, tries };
                Step::Break
            }
            Sdi12Line::Bridge => self.send(question, tries),
        }
    }

    fn send(&mut self, question: Question, tries: u32) -> Step {
        self.state = State::Sending { question, tries };
        self.resync();
        Step::Send(self.command_text(question).into_bytes())
    }

    fn command_text(&self, question: Question) -> String {
        let address = char::from(self.address);
        match question {
            Question::Start => format!("{address}{}!", self.text),
            Question::Data(number) => format!("{address}D{number}!"),
        }
    }

    /// A half-duplex line hears itself.
    fn cut_echo(&mut self) {
        let (State::Asked { question, .. } | State::Sending { question, .. }) = self.state else { return };
        if self.heard.ends_with(b"!") && self.heard.ends_with(self.command_text(question).as_bytes()) {
            self.resync();
        }
    }

    fn end_line(&mut self, at: Stamp, out: &mut Output) {
        let line = std::mem::take(&mut self.heard);
        let first = self.first_byte.take().unwrap_or(at);
        if line.is_empty() || line.len() > LINE_BYTES_MAX {
            return;
        }
        match self.state {
            State::Asked { question, .. } | State::Sending { question, .. } if line[0] == self.address => {
                self.take(question, &line, first, out);
            }
            // §4.4.6: "a service request is `a<CR><LF>`": the values are ready before their time.
            State::Measuring { .. } | State::Promised { .. }
                if line == [self.address] && self.command.kind == Kind::Measure =>
            {
                self.pass_over(first, &line, Ignored::Part, out);
                self.state = State::Due { question: Question::Data(0), tries: 0 };
            }
            _ => self.pass_over(first, &line, Ignored::NoAnswer, out),
        }
    }

    fn take(&mut self, question: Question, line: &[u8], at: Stamp, out: &mut Output) {
        if question == Question::Start && self.command.kind != Kind::Continuous {
            let Some(promise) = answer::promise(&line[1..]) else {
                self.pass_over(at, line, Ignored::NoAnswer, out);
                return;
            };
            self.owed.answered(question);
            self.promised = promise.values;
            if promise.values == 0 {
                out.counts.frames += 1;
                self.note(at, line, End::Refused(Refusal::Denied), out);
                out.refuse(at, Refusal::Denied, line, line.len());
                self.state = State::Over(Turn::Refused);
                return;
            }
            self.pass_over(at, line, Ignored::Part, out);
            self.state = State::Promised { seconds: promise.seconds };
            return;
        }
        let body = if self.command.has_crc { answer::without_crc(line) } else { Ok(line) };
        match body {
            Ok(body) => match answer::values(&body[1..]) {
                // No answer to this: to a command that was given up.
                None => self.pass_over(at, line, Ignored::NoAnswer, out),
                Some(values) => {
                    let values: Vec<Vec<u8>> = values.into_iter().map(<[u8]>::to_vec).collect();
                    self.take_values(question, values, line, at, out);
                }
            },
            // §4.4.12.3: the recorder may ask for the data again; the time-out does.
            Err(why) => {
                out.counts.frames += 1;
                self.note(at, line, End::Refused(why.clone()), out);
                out.refuse(at, why, line, line.len());
            }
        }
    }

    fn take_values(&mut self, question: Question, values: Vec<Vec<u8>>, line: &[u8], at: Stamp, out: &mut Output) {
        self.owed.answered(question);
        out.counts.frames += 1;
        let is_nothing = values.is_empty();
        self.at.get_or_insert(at);
        self.values.extend(values);
        let number = match question {
            Question::Data(number) if !is_nothing => number,
            // §4.4.5: an address alone: the measurement was aborted, or there is no more.
            Question::Data(_) | Question::Start => DATA_COMMANDS,
        };
        if self.command.kind == Kind::Continuous && !is_nothing {
            self.promised = self.values.len();
        }
        if self.values.len() < self.promised && number + 1 < DATA_COMMANDS {
            out.counts.ignored += 1;
            self.note(at, line, End::Ignored(Ignored::Part), out);
            self.state = State::Due { question: Question::Data(number + 1), tries: 0 };
            return;
        }
        self.state = State::Over(Turn::Answered);
        let first = out.samples.len();
        let mut row = Row::begin(self.at.unwrap_or(at), &mut out.samples);
        match read(&self.fields, &self.values, self.promised, &mut row) {
            Ok(()) if row.is_empty() => {
                out.counts.ignored += 1;
                self.note(at, line, End::Ignored(Ignored::NothingWanted), out);
            }
            Ok(()) if self.is_watched => {
                let end = End::Taken { samples: out.samples[first..].to_vec(), said: self.said() };
                self.note(at, line, end, out);
            }
            Ok(()) => {}
            Err(why) => {
                row.abandon();
                self.state = State::Over(Turn::Refused);
                self.note(at, line, End::Refused(why.clone()), out);
                out.refuse(at, why, line, line.len());
            }
        }
    }
}

impl Sdi12 {
    /// Each value as it stood in the answers.
    fn said(&self) -> Vec<Said> {
        let said = |(field, (place, _)): (usize, &(usize, Field))| {
            let text = String::from_utf8_lossy(self.values.get(*place)?).into_owned();
            Some(Said { part: Part::Value(field), text })
        };
        self.fields.iter().enumerate().filter_map(said).collect()
    }
}

fn read(fields: &[(usize, Field)], values: &[Vec<u8>], promised: usize, row: &mut Row<'_>) -> Result<(), Refusal> {
    if values.len() != promised || values.is_empty() {
        return Err(Refusal::Columns { min: promised.max(1), max: promised.max(1), found: values.len() });
    }
    for (index, (place, field)) in fields.iter().enumerate() {
        let Some(value) = values.get(*place) else {
            return Err(Refusal::Columns { min: place + 1, max: usize::MAX, found: values.len() });
        };
        row.push(index, field.read(value)?);
    }
    Ok(())
}
