//! Reading everything there is, to say whether it is in order: every block's checksum and decode, the numbers, the
//! cursors, the sealed batches.

use std::fmt;

use model::{GapReason, Seq, SeqRange};

use crate::cursor_file::Loaded;
use crate::error::JournalError;
use crate::inventory::Inventory;
use crate::reader::Reader;
use crate::salvage;
use crate::shelf::Place;

/// Something that is not in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a generation, a sink's cursor, its sealed batches.
    pub place: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What a look at one generation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Where the next look begins; `None` after the last generation.
    pub next: Option<Seq>,
    /// Records that read.
    pub records: u64,
    /// What is not in order.
    pub findings: Vec<Finding>,
}

impl Reader {
    /// Reads all of the generation that holds `from`, or of the next that is kept.
    ///
    /// One at a time, so that whoever asks can say something between, and stop.
    pub fn audit(&self, from: Seq) -> Result<Audit, JournalError> {
        let head = self.head();
        let from = from.max(self.tail());
        let open = self.shelf()?;
        let (range, audited) = match open.place_of(from)? {
            Place::Generation(generation, range, missing) => {
                let range = SeqRange::new(range.first, range.next.min(head));
                let is_as_it_was = generation.dir().starts_with(&open.path);
                (range, Some((salvage::survey(&generation)?, missing, is_as_it_was)))
            }
            Place::Broken(range) => (range, None),
            Place::Removed(tail) => return Ok(Audit { next: Some(tail), records: 0, findings: Vec::new() }),
        };
        let place = format!("generation {}", range.first);
        let finding = |what: String| Finding { place: place.clone(), what };
        let mut findings = Vec::new();
        let mut records = 0;
        let untold = |missing: &[SeqRange]| open.rack().holes.untold(missing);
        match audited {
            None => findings.extend(untold(&[range]).iter().map(|lost| finding(format!("{lost} can not be opened")))),
            Some((report, missing, is_as_it_was)) => {
                records = report.readable.len();
                if !is_as_it_was {
                    findings.push(finding(
                        "it is not in order: the next start, or `journal repair`, saves what reads".to_owned(),
                    ));
                }
                if report.unreadable > 0 {
                    findings.push(finding(format!("{} places do not read", report.unreadable)));
                }
                // What thinning took out was told when it was taken.
                let missing = match missing {
                    GapReason::Thinned => Vec::new(),
                    _ => untold(&report.readable.missing(range)),
                };
                findings
                    .extend(missing.iter().map(|lost| finding(format!("{lost} is missing ({} records)", lost.len()))));
            }
        }
        Ok(Audit { next: (range.next < head).then_some(range.next), records, findings })
    }
}

impl Inventory {
    /// What of it is not in order. Told losses are, and so is what is in quarantine.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for cursor in &self.cursors {
            let place = format!("cursor of {}", cursor.sink);
            let mut say = |what: String| findings.push(Finding { place: place.clone(), what });
            if cursor.damaged_slots > 0 {
                say(format!("{} of its slots does not read", cursor.damaged_slots));
            }
            match &cursor.loaded {
                Loaded::Cursor(at) if at.high_water() > self.stat.head => {
                    say(format!("it has confirmed up to {}, the journal ends at {}", at.high_water(), self.stat.head));
                }
                _ => {}
            }
        }
        for sealed in self.sealed.iter().filter(|sealed| sealed.damaged > 0) {
            let what = format!("{} of {} do not read", sealed.damaged, sealed.batches);
            findings.push(Finding { place: format!("sealed batches of {}", sealed.sink), what });
        }
        findings
    }
}
