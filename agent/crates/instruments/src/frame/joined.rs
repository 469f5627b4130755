//! Records of several lines: an XML record, a hex record that the instrument breaks where it likes (SAMI).
//!
//! 1. Lines are joined with `join` until the record so far matches `until`. The pattern sees all of the record, so that
//!    it can ask for a length as well as for a last word.
//! 2. With `start`, a record begins at a line that begins so: another one in the middle refuses what was unfinished, and
//!    a line between records is a frame of its own, to be ignored or refused.
//! 3. Memory is bounded by `max` and by [`RECORD_LINES_MAX`]; a record beyond is refused, and the next line begins anew.

use model::Stamp;
use regex::bytes::Regex;

use crate::frame::line::{LineFramer, LineSpec};
use crate::frame::{Cut, Framed, Pushed, TornFrames, check_range};
use crate::limits::{RECORD_BYTES_MAX, RECORD_LINES_MAX};
use crate::pattern::compile;
use crate::refusal::Refusal;
use crate::spec::{Place, SpecError};

/// Several lines (`frame = { type = "join-lines", until, join, start, end, max }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedSpec {
    /// The lines. `start` is what the first line of a record begins with; `max` that of a record, at most
    /// [`RECORD_BYTES_MAX`].
    pub line: LineSpec,
    /// A pattern on bytes: matches the record when it is whole.
    pub until: String,
    /// What is put between two lines.
    pub join: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct JoinedFramer {
    lines: LineFramer,
    until: Regex,
    join: Vec<u8>,
    start: Vec<u8>,
    max: usize,
    record: Record,
    /// A line that begins another record while the one before is still to be handed out.
    next: Option<Record>,
    is_spent: bool,
}

#[derive(Debug, Default)]
struct Record {
    bytes: Vec<u8>,
    lines: usize,
    first: Option<Stamp>,
}

impl JoinedFramer {
    pub fn try_new(spec: &JoinedSpec) -> Result<Self, SpecError> {
        check_range("frame.max", 1, RECORD_BYTES_MAX, spec.line.max)?;
        let lines = LineFramer::try_new(&LineSpec { start: None, ..spec.line.clone() })?;
        let until = compile(&spec.until).map_err(|fault| Place::Key("frame.until").fault(fault))?;
        Ok(Self {
            lines,
            until,
            join: spec.join.clone(),
            start: spec.line.start.clone().unwrap_or_default(),
            max: spec.line.max,
            record: Record::default(),
            next: None,
            is_spent: false,
        })
    }

    pub fn push(&mut self, bytes: &[u8], at: Stamp) -> Pushed<'_> {
        if std::mem::take(&mut self.is_spent) {
            self.record.clear();
        }
        if let Some(next) = self.next.take() {
            self.record = next;
            if self.until.is_match(&self.record.bytes) {
                return (0, Some(self.hand_out(at, None)));
            }
        }
        let mut used = 0;
        loop {
            let (taken, framed) = self.lines.push(&bytes[used..], at);
            used += taken;
            let Some(line) = framed else { return (used, None) };
            let cut = match line.fault {
                Some(fault) => {
                    self.record.take(line.bytes, line.at, &self.join);
                    Some(Cut::Fault(fault))
                }
                None => take_line(&self.start, &self.join, &mut self.record, &mut self.next, &line),
            };
            let cut = cut.or_else(|| self.judge());
            if let Some(cut) = cut {
                return (used, Some(self.hand_out(at, cut.fault())));
            }
        }
    }

    pub fn resync(&mut self, torn: TornFrames) {
        self.lines.resync(torn);
        self.record.clear();
        self.next = None;
        self.is_spent = false;
    }

    pub fn take_skipped(&mut self) -> u64 {
        self.lines.take_skipped()
    }

    /// Whether the record is whole, or too long to become so.
    fn judge(&self) -> Option<Cut> {
        if self.record.bytes.len() > self.max || self.record.lines > RECORD_LINES_MAX {
            return Some(Cut::Fault(Refusal::Overlong { max: self.max }));
        }
        self.until.is_match(&self.record.bytes).then_some(Cut::Whole)
    }

    fn hand_out(&mut self, at: Stamp, fault: Option<Refusal>) -> Framed<'_> {
        self.is_spent = true;
        let Record { bytes, first, .. } = &self.record;
        Framed { at: first.unwrap_or(at), bytes, len: bytes.len(), fault, is_guess: false }
    }
}

/// Adds a line where it belongs; says why the record is over, if that is known by now.
fn take_line(
    start: &[u8],
    join: &[u8],
    record: &mut Record,
    next: &mut Option<Record>,
    line: &Framed<'_>,
) -> Option<Cut> {
    let begins = !start.is_empty() && line.bytes.starts_with(start);
    if begins && record.lines > 0 {
        let mut begun = Record::default();
        begun.take(line.bytes, line.at, join);
        *next = Some(begun);
        return Some(Cut::Fault(Refusal::Unfinished));
    }
    let is_between = !start.is_empty() && !begins && record.lines == 0;
    record.take(line.bytes, line.at, join);
    is_between.then_some(Cut::Fault(Refusal::NoStart))
}

impl Record {
    fn take(&mut self, line: &[u8], at: Stamp, join: &[u8]) {
        if self.lines > 0 {
            self.bytes.extend_from_slice(join);
        }
        self.lines += 1;
        self.first.get_or_insert(at);
        self.bytes.extend_from_slice(line);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use model::{Clock, Timestamp};

    use super::*;
    use crate::frame::line::LineEnd;

    fn frames(start: Option<&[u8]>, until: &str, bytes: &[u8]) -> Vec<String> {
        let line = LineSpec { end: LineEnd::Newline, start: start.map(<[u8]>::to_vec), max: 16 };
        let spec = JoinedSpec { line, until: until.to_owned(), join: Vec::new() };
        let mut cutter = JoinedFramer::try_new(&spec).unwrap();
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Synced };
        let mut out = Vec::new();
        let mut rest = bytes;
        loop {
            let (used, framed) = cutter.push(rest, at);
            rest = &rest[used..];
            let Some(framed) = framed else { return out };
            let why = framed.fault.map_or(String::new(), |why| format!("<{}>", why.word()));
            out.push(format!("{}{why}", String::from_utf8_lossy(framed.bytes)));
        }
    }

    #[test]
    fn a_record_is_whole_when_it_matches() {
        for (start, until, bytes, expected) in [
            (None, "</d>$", &b"<d>\r\n1\r\n</d>\r\n<d>2</d>\n"[..], &["<d>1</d>", "<d>2</d>"][..]),
            (
                Some(&b"*"[..]),
                r"^\*.{6}$",
                b"x\n*12\n34\n56\n*123\n*1\n23456\n",
                &["x<no-start>", "*123456", "*123<unfinished>", "*123456"],
            ),
            (Some(b"*"), r"^\*.{2}$", b"*1\n*12\n", &["*1<unfinished>", "*12"]),
            (None, "never", b"12345678\n90123456\n7\n8\n", &["12345678901234567<overlong>"]),
            (None, "b$", b"123456789012345678\na\nb\n", &["12345678901234567<overlong>", "ab"]),
        ] {
            assert_eq!(frames(start, until, bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
