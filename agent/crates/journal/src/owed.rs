//! Losses that no gap event stands for yet: the note `<path>/gaps`.
//!
//! A loss is noted durably *before* the records go, and taken off the note once its event is durable. A crash between
//! the two finds it on the note at the next open, so that a loss is told at least once, whatever happens.

use std::path::{Path, PathBuf};

use model::{Event, EventKind, Gap, Seq, SeqRange};

use crate::codec::mirror;
use crate::disk;
use crate::error::JournalError;
use crate::sheet::{self, Magic};

pub(crate) const MAGIC: Magic = *b"TGGA";
/// More debts than this are told as fewer, wider gaps: the note stays below 64 KiB.
const DEBTS_MAX: usize = 1024;

#[derive(Debug)]
struct Debt {
    gap: Gap,
    is_handed_out: bool,
    is_appended: bool,
    /// It still grows: it is told once it has ended.
    is_running: bool,
}

/// The note and what became of its lines.
#[derive(Debug)]
pub(crate) struct Owed {
    path: PathBuf,
    debts: Vec<Debt>,
}

impl Owed {
    /// Reads the note of the journal at `path`. A note that does not read is reported and dropped: it is replaced
    /// atomically, so only the disk itself can have spoilt it.
    pub(crate) fn load(path: &Path) -> Result<Self, JournalError> {
        let path = path.join("gaps");
        let gaps = match disk::read(&path)? {
            None => Ok(Vec::new()),
            Some(bytes) => sheet::open(MAGIC, &bytes).and_then(|(_, body)| mirror::get_gaps(body)),
        };
        let gaps = gaps.unwrap_or_else(|_| {
            tracing::error!(path = %path.display(), "note of owed gaps is damaged, earlier losses may go untold");
            Vec::new()
        });
        let debts = gaps.into_iter().map(Debt::new).collect();
        Ok(Self { path, debts })
    }

    /// What is on the note.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.debts.iter().map(|debt| debt.gap.clone()).collect()
    }

    /// Behind the last position that is owed.
    pub(crate) fn end(&self) -> Seq {
        self.debts.iter().filter_map(|debt| debt.gap.range).map(|range| range.next).max().unwrap_or(Seq::FIRST)
    }

    /// Notes losses, durably.
    pub(crate) fn owe(&mut self, gaps: Vec<Gap>) -> Result<(), JournalError> {
        if gaps.is_empty() {
            return Ok(());
        }
        for gap in gaps {
            let is_crowded = self.debts.len() >= DEBTS_MAX;
            match self.debts.last_mut().filter(|last| !last.is_handed_out && !last.is_running) {
                Some(last) if is_crowded || touches(&last.gap, &gap) => last.gap = joined(&last.gap, &gap),
                _ => self.debts.push(Debt::new(gap)),
            }
        }
        self.store()
    }

    /// Notes a loss that goes on, durably: one debt that grows until [`Owed::end_run`].
    pub(crate) fn run_on(&mut self, gap: Gap) -> Result<(), JournalError> {
        match self.debts.iter_mut().find(|debt| debt.is_running) {
            Some(running) => running.gap = joined(&running.gap, &gap),
            None => self.debts.push(Debt { is_running: true, ..Debt::new(gap) }),
        }
        self.store()
    }

    /// The loss that went on is over, and can be told.
    pub(crate) fn end_run(&mut self) {
        self.debts.iter_mut().for_each(|debt| debt.is_running = false);
    }

    /// Whether a loss is going on.
    pub(crate) fn is_running(&self) -> bool {
        self.debts.iter().any(|debt| debt.is_running)
    }

    /// Whether an event is the telling of a debt: whoever opens the journal next says it again.
    pub(crate) fn is_telling(&self, event: &Event) -> bool {
        event.kind == EventKind::Gap
            && self.debts.iter().any(|debt| debt.gap.clone().into_event(event.stamp).facts == event.facts)
    }

    /// The losses to be told that were not handed out since the journal was opened.
    pub(crate) fn hand_out(&mut self) -> Vec<Gap> {
        let fresh = self.debts.iter_mut().filter(|debt| !debt.is_handed_out && !debt.is_running);
        fresh
            .map(|debt| {
                debt.is_handed_out = true;
                debt.gap.clone()
            })
            .collect()
    }

    /// Sees the events that are appended: the one that tells a loss settles it with the next commit.
    pub(crate) fn notice(&mut self, event: &Event) {
        if event.kind != EventKind::Gap {
            return;
        }
        let mut open = self.debts.iter_mut().filter(|debt| !debt.is_appended);
        if let Some(debt) = open.find(|debt| debt.gap.clone().into_event(event.stamp).facts == event.facts) {
            debt.is_handed_out = true;
            debt.is_appended = true;
        }
    }

    /// All events noticed are durable now.
    pub(crate) fn settle(&mut self) -> Result<(), JournalError> {
        let before = self.debts.len();
        self.debts.retain(|debt| !debt.is_appended);
        if self.debts.len() == before { Ok(()) } else { self.store() }
    }

    fn store(&self) -> Result<(), JournalError> {
        if self.debts.is_empty() {
            return disk::remove(&self.path);
        }
        let gaps: Vec<Gap> = self.debts.iter().map(|debt| debt.gap.clone()).collect();
        let mut body = Vec::new();
        mirror::put_gaps(&mut body, &gaps);
        disk::replace(&self.path, &sheet::frame(MAGIC, 0, &body))
    }
}

impl Debt {
    fn new(gap: Gap) -> Self {
        Self { gap, is_handed_out: false, is_appended: false, is_running: false }
    }
}

/// Whether two losses can be told as one without blurring either: adjacent, and all of both counted.
fn touches(before: &Gap, after: &Gap) -> bool {
    let is_adjacent = before.range.zip(after.range).is_some_and(|(a, b)| a.next == b.first);
    let is_counted = |gap: &Gap| gap.range.is_some_and(|range| range.len() == gap.count);
    let is_alike = before.reason == after.reason && before.times.is_some() == after.times.is_some();
    is_adjacent && is_alike && is_counted(before) && is_counted(after)
}

fn joined(a: &Gap, b: &Gap) -> Gap {
    let hull = |a: SeqRange, b: SeqRange| SeqRange::new(a.first.min(b.first), a.next.max(b.next));
    Gap {
        range: a.range.zip(b.range).map(|(a, b)| hull(a, b)),
        count: a.count + b.count,
        times: a.times.zip(b.times).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))),
        reason: a.reason,
    }
}
