//! The manifests of one device as far as they were read: which objects hold what, and whether anything is missing.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Clock, Day, Epoch, RangeSet, SeqRange, Timestamp};

use crate::chain::{Link, check_chain, uncovered};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::key::Home;
use crate::line::ManifestLine;
use crate::ndjson;
use crate::query::Query;
use crate::signature::VerifyingKey;
use crate::verify::Finding;

/// Lines of one day that are read: more than one object a second.
const DAY_LINES_MAX: usize = 100_000;

/// A manifest line, as it stands and as what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Without a line end; the chain holds its bytes.
    pub text: String,
    /// What it says.
    pub line: ManifestLine,
}

/// The lines of some days of upload.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    days: BTreeMap<Day, Vec<Entry>>,
    /// What is wrong with the manifests themselves.
    pub findings: Vec<Finding>,
}

impl Entry {
    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        Ok(Self { text: text.to_owned(), line: ManifestLine::parse(text)? })
    }
}

impl Catalogue {
    /// Adds a day's manifest; one that can not be read is a finding. A line that was made again gives way to the one
    /// that it stands for, should that have come after all.
    pub fn add(&mut self, home: &Home, day: Day, bytes: &[u8]) {
        match entries_of(bytes) {
            Ok(entries) => {
                self.days.insert(day, entries);
                if self.entries().any(|entry| entry.line.rebuilt) {
                    let written = self.entries().filter(|entry| !entry.line.rebuilt);
                    let written: HashSet<String> = written.map(|entry| entry.line.key.clone()).collect();
                    let stays = |entry: &Entry| !entry.line.rebuilt || !written.contains(&entry.line.key);
                    self.days.values_mut().for_each(|entries| entries.retain(stays));
                }
            }
            Err(error) => {
                self.days.insert(day, Vec::new());
                self.findings.push(Finding::Manifest { key: home.manifest_key(day), reason: in_full(&error) });
            }
        }
    }

    /// All lines, by day of upload, each day's as they stand.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.days.values().flatten()
    }

    /// The lines that were made again from their objects: the chain does not go through them.
    pub fn rebuilt(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| entry.line.rebuilt)
    }

    /// The lines that this device has not signed.
    pub fn unsigned(&self, key: &VerifyingKey) -> Vec<Finding> {
        let of = |entry: &Entry| match key.has_signed(&entry.text) {
            Some(true) => None,
            Some(false) => Some(Finding::Signature { key: entry.line.key.clone() }),
            None => Some(Finding::Unsigned { key: entry.line.key.clone() }),
        };
        self.entries().filter_map(of).collect()
    }

    /// The lines of one day.
    pub fn day(&self, day: Day) -> &[Entry] {
        self.days.get(&day).map_or(&[], Vec::as_slice)
    }

    /// The first day with a manifest.
    pub fn first_day(&self) -> Option<Day> {
        self.days.keys().next().copied()
    }

    /// The lines whose objects may hold what is asked for, in replay order: journal by journal, each by position.
    pub fn select(&self, query: &Query) -> Vec<&Entry> {
        let epochs = self.epochs();
        let place = |entry: &Entry| epochs.iter().position(|epoch| **epoch == entry.line.epoch);
        let mut selected: Vec<_> = self.current().filter(|entry| query.may_be_in(&entry.line)).collect();
        selected.sort_by_cached_key(|entry| (place(entry), entry.line.first, entry.line.next));
        selected
    }

    /// The journals, in the order in which they first appear.
    pub fn epochs(&self) -> Vec<&Epoch> {
        let mut seen = HashSet::new();
        self.entries().map(|entry| &entry.line.epoch).filter(|epoch| seen.insert(*epoch)).collect()
    }

    /// Whether nothing was uploaded before these lines by the first journal in them: it has the start of its chain.
    pub fn has_start(&self) -> bool {
        self.lowest().is_some_and(|line| line.prev.is_some_and(|prev| prev.is_none()))
    }

    /// Whether the first journal in these lines has one from before an instant, by a clock that can be believed.
    pub fn reaches_back_to(&self, from: Timestamp) -> bool {
        let Some(epoch) = self.entries().next().map(|entry| &entry.line.epoch) else { return false };
        self.believed().any(|line| line.epoch == *epoch && line.time_min <= from)
    }

    /// Whether some journal has gone on behind an instant.
    pub fn reaches_on_to(&self, to: Timestamp) -> bool {
        self.believed().any(|line| line.time_min >= to)
    }

    /// The lines whose times can be believed; all of them where a device has no other clock.
    fn believed(&self) -> impl Iterator<Item = &ManifestLine> {
        let is_trusted = |line: &ManifestLine| !line.clock.contains_key(&Clock::Untrusted);
        let has_other = self.entries().any(|entry| is_trusted(&entry.line));
        self.entries().map(|entry| &entry.line).filter(move |line| !has_other || is_trusted(line))
    }

    /// The lines that later ones stand for: what a device sent again because its first object was lost. The line stays,
    /// the chain holds it; its object is not expected, unless the later one has its name.
    pub fn superseded(&self) -> Vec<&Entry> {
        let mut covered: HashMap<&Epoch, RangeSet> = HashMap::new();
        let mut superseded = Vec::new();
        let mut entries: Vec<&Entry> = self.entries().collect();
        entries.sort_by_key(|entry| entry.line.uploaded_at);
        for entry in entries.into_iter().rev() {
            let covered = covered.entry(&entry.line.epoch).or_default();
            if covered.missing(entry.line.range()).is_empty() {
                superseded.push(entry);
            }
            covered.insert(entry.line.range());
        }
        superseded
    }

    /// The lines whose objects are in the lake.
    fn current(&self) -> impl Iterator<Item = &Entry> {
        let superseded: HashSet<*const Entry> = self.superseded().into_iter().map(std::ptr::from_ref).collect();
        self.entries().filter(move |entry| !superseded.contains(&std::ptr::from_ref::<Entry>(entry)))
    }

    /// Positions that no line answers for, journal by journal.
    pub fn holes(&self) -> Vec<(Epoch, SeqRange)> {
        let of = |epoch: &Epoch| uncovered(self.lines_of(epoch));
        self.epochs().into_iter().flat_map(|epoch| of(epoch).into_iter().map(|hole| (epoch.clone(), hole))).collect()
    }

    /// All that speaks against the lines being whole for what is asked: manifests that can not be read, broken chains,
    /// positions in no object and in two, and an end on either side that nothing proves. `looked` are the days of
    /// upload that were looked at.
    pub fn prove(&self, query: &Query, looked: (Day, Day)) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        for epoch in self.epochs() {
            let entries = || self.entries().filter(|entry| entry.line.epoch == *epoch);
            let links: Vec<_> =
                entries().map(|entry| Link { line: &entry.line, digest: Digest::of(entry.text.as_bytes()) }).collect();
            findings.extend(check_chain(&links, None));
            let current = self.current().filter(|entry| entry.line.epoch == *epoch);
            findings.extend(overlaps(current.map(|entry| &entry.line)));
        }
        let named = |range: &SeqRange| {
            findings.iter().any(|finding| match finding {
                Finding::LineMissing { ranges, .. } => ranges.contains(range),
                _ => false,
            })
        };
        let holes: Vec<_> = self.holes().into_iter().filter(|(_, range)| !named(range)).collect();
        findings.extend(holes.into_iter().map(|(epoch, range)| Finding::Hole { epoch, range }));
        findings.extend(self.open_ends(query, looked));
        findings
    }

    fn open_ends(&self, query: &Query, looked: (Day, Day)) -> Vec<Finding> {
        let ends = self.lowest().zip(self.believed().max_by_key(|line| line.time_max));
        let Some((first, last)) = ends else {
            return vec![Finding::Nothing { from: looked.0, to: looked.1 }];
        };
        let is_begun = self.has_start() || query.from.is_some_and(|from| self.reaches_back_to(from));
        let is_over = query.to.is_none_or(|to| last.time_max >= to);
        let before = (!is_begun).then(|| Finding::NothingBefore { key: first.key.clone(), time: first.time_min });
        let after = Finding::NothingAfter { key: last.key.clone(), time: last.time_max };
        before.into_iter().chain((!is_over).then_some(after)).collect()
    }

    fn lines_of(&self, epoch: &Epoch) -> impl Iterator<Item = &ManifestLine> {
        self.entries().map(|entry| &entry.line).filter(move |line| line.epoch == *epoch)
    }

    /// The line with the first positions of the first journal.
    fn lowest(&self) -> Option<&ManifestLine> {
        let epoch = &self.entries().next()?.line.epoch;
        self.lines_of(epoch).min_by_key(|line| line.first)
    }
}

fn overlaps<'a>(lines: impl Iterator<Item = &'a ManifestLine>) -> Vec<Finding> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| (line.first, line.next));
    let mut findings = Vec::new();
    let mut furthest: Option<&ManifestLine> = None;
    for line in lines {
        let common = furthest.map(|other| (other, other.range().intersection(&line.range())));
        if let Some((other, range)) = common.filter(|(_, range)| !range.is_empty()) {
            findings.push(Finding::Overlap { key: line.key.clone(), with: other.key.clone(), range });
        }
        furthest = furthest.filter(|other| other.next >= line.next).or(Some(line));
    }
    findings
}

/// The lines of a manifest object.
pub fn entries_of(bytes: &[u8]) -> Result<Vec<Entry>, LakeError> {
    let mut entries = Vec::new();
    ndjson::lines(bytes, |number, text| {
        if number > DAY_LINES_MAX {
            return Err(LakeError::TooLarge(DAY_LINES_MAX, "lines"));
        }
        let line = serde_json::from_str(text).map_err(|source| LakeError::Line { number, source })?;
        entries.push(Entry { text: text.to_owned(), line });
        Ok(())
    })?;
    Ok(entries)
}

fn in_full(error: &LakeError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
