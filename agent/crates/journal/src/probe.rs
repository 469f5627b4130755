//! A look into a generation by a process of its own, because sled can panic, abort or hang on damaged files.
//!
//! The parent's side starts the program, reads its report and ends it when it takes too long. The child's side
//! ([`answer_probe`]) is told what to do by the number of its words:
//!
//! ```text
//! DIR FIRST             looks through the raw bytes; if they are in order, opens the generation and reads every value
//! DIR FIRST OUT         writes what the raw bytes hold to a fresh generation at OUT, durably; sled never opens DIR
//! ```
//!
//! and says what it found, line by line on standard output:
//!
//! ```text
//! tidegate-probe 1
//! unreadable 3          places at which nothing read; 0 with every series whole
//! end 72001             behind the last record that it knows of
//! range 1 40001         what reads, in order; any number of lines
//! done                  without it the report is not believed
//! ```
//!
//! or one line in place of these: `disorder`, where sled would give up some of what the raw bytes hold, and was not let
//! near them; `damaged <words>`, where it refused; `refused <words>`, where the machine, not the file, is the reason.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use model::{RangeSet, Seq, SeqRange};

use crate::carve::Carved;
use crate::error::JournalError;
use crate::generation::{Fault, Generation, Purpose};
use crate::salvage;

const HEADLINE: &str = "tidegate-probe 1";
/// A range a line: more than a generation can be broken into.
const REPORT_BYTES_MAX: u64 = 4 << 20;
/// How long a look may take unless told otherwise: 8 MiB from a slow card take one second.
pub const PROBE_LIMIT_DEFAULT: Duration = Duration::from_secs(10);

/// The program that looks into generations: it gets `args`, then a directory, its first number and, for a salvage, a
/// directory to write, and calls [`answer_probe`] with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The program.
    pub program: PathBuf,
    /// What stands before the directory.
    pub args: Vec<OsString>,
    /// It is killed after this.
    pub limit: Duration,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Places at which nothing read.
    pub(crate) unreadable: u64,
    /// Behind the last record.
    pub(crate) end: Seq,
    /// What reads.
    pub(crate) readable: RangeSet,
}

impl Report {
    /// Whether nothing is missing from `first` to the end, or to `until` if that is further.
    pub(crate) fn is_all(&self, first: Seq, until: Seq) -> bool {
        self.readable.missing(SeqRange::new(first, self.end.max(until))).is_empty()
    }
}

/// How a look ended.
#[derive(Debug)]
pub(crate) enum Look {
    Report(Report),
    /// Opening it would destroy some of what it holds.
    Disorder,
    /// It crashed, hung, or found nothing to open: not to be opened in this process.
    Failed(String),
    /// The program could not be started.
    NotStarted(io::Error),
}

impl Probe {
    /// Looks into the generation at `dir`; or writes what its raw bytes hold to `out`, if that is given.
    pub(crate) fn look(&self, dir: &Path, first: Seq, out: Option<&Path>) -> Result<Look, JournalError> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(dir).arg(first.to_string()).args(out);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Look::NotStarted(error)),
        };
        let stdout = child.stdout.take().expect("asked for a pipe");
        let (tx, rx) = mpsc::sync_channel(1);
        let reading = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            let mut text = Vec::new();
            let read = stdout.take(REPORT_BYTES_MAX).read_to_end(&mut text);
            // Nobody listens any more once the time is over.
            drop(tx.send(read.map(|_| text)));
        });
        let answer = reading.map(|_| rx.recv_timeout(self.limit));
        let killed = child.kill();
        let ended = child.wait().and_then(|status| killed.map(|()| status));
        let failed = |why: String| Ok(Look::Failed(why));
        match answer {
            Err(error) => Ok(Look::NotStarted(error)),
            Ok(Err(_)) => failed(format!("no answer within {:?}", self.limit)),
            Ok(Ok(Err(error))) => failed(error.to_string()),
            Ok(Ok(Ok(text))) => match parse(&String::from_utf8_lossy(&text)) {
                Parsed::Report(report) => Ok(Look::Report(report)),
                Parsed::Disorder => Ok(Look::Disorder),
                Parsed::Refused(why) => Err(JournalError::Store { path: dir.to_owned(), source: why.into() }),
                Parsed::NoProbe => Ok(Look::NotStarted(io::ErrorKind::Unsupported.into())),
                Parsed::Unfinished => failed(ended.map_or_else(|error| error.to_string(), |status| status.to_string())),
                Parsed::Damaged(why) => failed(why),
            },
        }
    }
}

enum Parsed {
    Report(Report),
    Disorder,
    Refused(String),
    Damaged(String),
    Unfinished,
    /// Not even the headline, which comes before anything is opened: the program is none that looks.
    NoProbe,
}

fn parse(text: &str) -> Parsed {
    if !text.lines().any(|line| line == HEADLINE) {
        return Parsed::NoProbe;
    }
    let lines = text.lines().skip_while(|line| *line != HEADLINE).skip(1);
    let mut report = Report { unreadable: 0, end: Seq(0), readable: RangeSet::new() };
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = |text: &str| text.parse().ok().map(Seq);
        let is_understood = match word {
            "unreadable" => rest.parse().map(|count| report.unreadable = count).is_ok(),
            "end" => number(rest).map(|end| report.end = end).is_some(),
            "range" => rest
                .split_once(' ')
                .and_then(|(first, next)| Some(SeqRange::new(number(first)?, number(next)?)))
                .map(|range| report.readable.insert(range))
                .is_some(),
            "disorder" => return Parsed::Disorder,
            "refused" => return Parsed::Refused(rest.to_owned()),
            "damaged" => return Parsed::Damaged(rest.to_owned()),
            "done" => return Parsed::Report(report),
            _ => false,
        };
        if !is_understood {
            break;
        }
    }
    Parsed::Unfinished
}

/// The child's side: `args` are a directory, the first number, and the directory to salvage into, if any.
///
/// A damaged file may crash the process: that is what it is for.
pub fn answer_probe(args: &[OsString], out: &mut impl Write) -> io::Result<()> {
    let first = args.get(1).and_then(|text| text.to_str()?.parse().ok()).map(Seq);
    let (Some(dir), Some(first)) = (args.first(), first) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "DIR FIRST [OUT]"));
    };
    // A line of its own, whatever stands there already.
    writeln!(out, "\n{HEADLINE}")?;
    match look(Path::new(dir), first, args.get(2).map(Path::new)) {
        Ok(Some(report)) => {
            writeln!(out, "unreadable {}\nend {}", report.unreadable, report.end)?;
            for range in report.readable.ranges() {
                writeln!(out, "range {} {}", range.first, range.next)?;
            }
            writeln!(out, "done")?;
        }
        Ok(None) => writeln!(out, "disorder")?,
        Err(Fault::Refused(error)) => writeln!(out, "refused {}", words(&error))?,
        Err(Fault::Damaged(error)) => writeln!(out, "damaged {}", words(&error))?,
    }
    out.flush()
}

/// Looks, or salvages; `None` if the generation must not be opened as it is.
fn look(dir: &Path, first: Seq, out: Option<&Path>) -> Result<Option<Report>, Fault> {
    let carved = Carved::read(dir, first).map_err(JournalError::io("read", dir)).map_err(Fault::Refused)?;
    let report = match out {
        Some(out) => salvage::write(&carved, first, out),
        None if !carved.is_orderly() => return Ok(None),
        None => salvage::survey_beside(&Generation::open(dir, first, Purpose::Read)?, &carved),
    };
    report.map(Some).map_err(Fault::Refused)
}

fn words(error: &JournalError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_its_last_line_is_not_believed() {
        let whole = "running 1 test\ntidegate-probe 1\nunreadable 2\nend 90\nrange 1 40\nrange 60 90\ndone\n";
        let Parsed::Report(report) = parse(whole) else { panic!("a whole report") };
        assert_eq!((report.unreadable, report.end, report.readable.len()), (2, Seq(90), 69));
        assert!(matches!(parse(whole.trim_end().trim_end_matches("done")), Parsed::Unfinished));
        assert!(matches!(parse("tidegate-probe 1\ndisorder\n"), Parsed::Disorder));
        assert!(matches!(parse(""), Parsed::NoProbe));
        assert!(matches!(parse("tidegate-probe 1\nrange x\ndone\n"), Parsed::Unfinished));
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_one_that_crashes_is_no_answer() {
        let look = |script: &str| {
            let args = ["-c", script].map(OsString::from).to_vec();
            let probe = Probe { program: "/bin/sh".into(), args, limit: Duration::from_millis(200) };
            probe.look(Path::new("/nowhere"), Seq(1), None).expect("the machine is fine")
        };
        assert!(matches!(look("exec sleep 600"), Look::Failed(_)));
        assert!(matches!(look("echo tidegate-probe 1; kill -ABRT $$"), Look::Failed(_)));
        let probe = Probe { program: "/nowhere/at-all".into(), args: Vec::new(), limit: PROBE_LIMIT_DEFAULT };
        assert!(matches!(probe.look(Path::new("/nowhere"), Seq(1), None), Ok(Look::NotStarted(_))));
    }
}
