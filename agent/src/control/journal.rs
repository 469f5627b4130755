//! `journal stat`, `export` and `verify` as JSON, the same from the daemon and from a journal at rest.

use journal::{Audit, Finding, Inventory, JournalError, Loaded, Reader};
use model::{InstrumentId, Numbered, Record, Row, Seq, SeqRange, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

/// Records read at once: what a piece of an export takes of memory.
const READ_RECORDS_MAX: usize = 512;

/// What to export.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Export {
    /// From here on: a position or a time.
    pub from: Option<String>,
    /// Up to here, not included.
    pub to: Option<String>,
    /// Only this instrument's.
    pub instrument: Option<InstrumentId>,
}

/// A position, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `72001`
    Seq(Seq),
    /// `2026-11-22T10:00:00Z`
    Time(Timestamp),
}

impl Mark {
    /// Takes it as it was written.
    pub fn parse(text: &str) -> Option<Self> {
        let seq = text.parse().ok().map(Seq).map(Mark::Seq);
        seq.or_else(|| Timestamp::parse(text).map(Mark::Time))
    }

    fn find(self, reader: &Reader) -> Result<Seq, JournalError> {
        match self {
            Mark::Seq(seq) => Ok(seq),
            Mark::Time(time) => reader.find_time(time),
        }
    }
}

impl Export {
    /// The positions that are asked for, of those that there are.
    pub fn range(&self, reader: &Reader) -> Result<SeqRange, JournalError> {
        let (tail, head) = (reader.tail(), reader.head());
        let find = |mark: &Option<String>, default: Seq| {
            mark.as_deref().and_then(Mark::parse).map_or(Ok(default), |mark| mark.find(reader))
        };
        Ok(SeqRange::new(find(&self.from, tail)?.max(tail), find(&self.to, head)?.min(head)))
    }

    /// A bounded piece from the beginning of `range` on, and what remains of it.
    pub fn piece(&self, reader: &Reader, range: SeqRange) -> Result<(Vec<u8>, SeqRange), JournalError> {
        let chunk = reader.read(range, READ_RECORDS_MAX)?;
        let epoch = reader.epoch();
        let mut out = Vec::new();
        for numbered in chunk.records.iter().filter(|numbered| self.wants(numbered)) {
            let row = Row { numbered, epoch: epoch.as_ref() };
            serde_json::to_writer(&mut out, &row).expect("a row is plain data and a Vec takes it");
            out.push(b'\n');
        }
        Ok((out, SeqRange::new(chunk.next.min(range.next), range.next)))
    }

    fn wants(&self, numbered: &Numbered) -> bool {
        let Some(wanted) = &self.instrument else { return true };
        match &numbered.record {
            Record::Reading(reading) => reading.series.instrument == *wanted,
            Record::Event(event) => event.instrument.as_ref() == Some(wanted),
        }
    }
}

/// What `journal stat --json` prints.
pub fn stat(reader: &Reader) -> Result<Value, JournalError> {
    let Inventory { stat, times, owed, holes, cursors, sealed, quarantined, quarantined_bytes } =
        Inventory::take(reader)?;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let ends = |range: &SeqRange| json!({ "first": range.first, "next": range.next });
    let lost: u64 = holes.iter().map(SeqRange::len).sum();
    let records = stat.head.0.saturating_sub(stat.tail.0).saturating_sub(lost);
    let generations: Vec<Value> = stat
        .generations
        .iter()
        .map(|generation| {
            json!({"first": generation.range.first, "next": generation.range.next, "bytes": generation.bytes,
                "open": generation.is_open})
        })
        .collect();
    let owed: Vec<Value> = owed
        .iter()
        .map(|gap| json!({"range": gap.range.as_ref().map(ends), "count": gap.count, "reason": gap.reason.as_str()}))
        .collect();
    let cursors: Vec<Value> = cursors
        .iter()
        .map(|cursor| match &cursor.loaded {
            Loaded::Cursor(at) => json!({"sink": cursor.sink.as_str(), "state": "ok", "low_water": at.low_water(),
                "confirmed": at.confirmed().len(), "named": at.named().len()}),
            Loaded::New => json!({"sink": cursor.sink.as_str(), "state": "new"}),
            Loaded::Damaged => json!({"sink": cursor.sink.as_str(), "state": "damaged"}),
        })
        .collect();
    let sealed: Vec<Value> = sealed
        .iter()
        .map(|sealed| json!({"sink": sealed.sink, "batches": sealed.batches, "bytes": sealed.bytes}))
        .collect();
    Ok(json!({
        "epoch": reader.epoch(), "tail": stat.tail, "head": stat.head, "records": records,
        "bytes": stat.bytes, "bytes_per_record": per_record(stat.bytes, records),
        "oldest": time(times.0), "newest": time(times.1), "at_risk_readings": stat.pending,
        "generations": generations, "owed_gaps": owed, "holes": holes.iter().map(ends).collect::<Vec<_>>(),
        "cursors": cursors, "sealed": sealed,
        "quarantined": {"generations": quarantined, "bytes": quarantined_bytes},
    }))
}

/// To a tenth of a byte.
fn per_record(bytes: u64, records: u64) -> Option<f64> {
    let tenths = bytes.saturating_mul(10).checked_div(records)?;
    u32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
}

/// A verification on its way through the journal.
#[derive(Debug)]
pub struct Verify {
    next: Option<Seq>,
    records: u64,
    generations: u64,
    findings: u64,
    is_ended: bool,
}

impl Verify {
    /// From the tail on.
    pub fn of(reader: &Reader) -> Self {
        Self { next: Some(reader.tail()), records: 0, generations: 0, findings: 0, is_ended: false }
    }

    /// What one more generation says: a line a finding, at the end one that sums up; `None` when all is said.
    pub fn piece(&mut self, reader: &Reader) -> Result<Option<Vec<u8>>, JournalError> {
        if let Some(from) = self.next {
            let Audit { next, records, findings } = reader.audit(from)?;
            (self.next, self.records, self.generations) = (next, self.records + records, self.generations + 1);
            return Ok(Some(self.say(&findings)));
        }
        if self.is_ended {
            return Ok(None);
        }
        self.is_ended = true;
        let mut out = self.say(&Inventory::take(reader)?.findings());
        let (records, generations, findings) = (self.records, self.generations, self.findings);
        let sum = json!({"ok": findings == 0, "generations": generations, "records": records, "findings": findings});
        out.extend_from_slice(format!("{sum}\n").as_bytes());
        Ok(Some(out))
    }

    fn say(&mut self, findings: &[Finding]) -> Vec<u8> {
        self.findings += u64::try_from(findings.len()).unwrap_or(u64::MAX);
        let line = |finding: &Finding| format!("{}\n", json!({"place": finding.place, "finding": finding.what}));
        findings.iter().map(line).collect::<String>().into_bytes()
    }
}
