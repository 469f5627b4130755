//! One story of a journal, told again and again over a file layer that cuts the power, or refuses, at each call in
//! turn: what was acknowledged is there afterwards, and nothing ever panics.
//!
//! The layer stands under the journal's own files: epoch, cursors, sealed batches, the note of owed gaps, and the
//! making, syncing, renaming and removing of generations. The power cuts of `powercut.rs` are for sled's.

#[path = "support/faulty.rs"]
mod faulty;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use faulty::{Call, Faulty, Plan};
use journal::files::with_files;
use journal::{Cursor, CursorFile, Journal, JournalError, Loaded, NamedBatch, Reader, SealedStore, Settings};
use model::{BootId, Record, Seq, SeqRange, Series, SinkId};
use support::*;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
/// Small values in one commit: enough for the repack on sealing to be worth its while.
const SMALL_VALUES: u64 = 80;

/// What the journal has said yes to, and what it was asked for and may or may not have done.
#[derive(Debug, Clone, Default)]
struct Promised {
    records: BTreeMap<Seq, Record>,
    head: Option<Seq>,
    /// What may be on disk: the acknowledged cursor first.
    cursors: Vec<Cursor>,
    sealed: BTreeMap<SeqRange, Vec<u8>>,
    /// Sealed batches that may be there or not.
    loose: Vec<SeqRange>,
    /// All below it may go.
    drained: Option<Seq>,
}

/// One telling.
struct Story {
    open: Option<(Journal, Reader)>,
    cursor_file: Option<CursorFile>,
    cursor: Cursor,
    store: Option<SealedStore>,
    promised: Promised,
    series: Vec<Arc<Series>>,
    settings: Settings,
    now_ms: u64,
    refusals: Vec<JournalError>,
}

fn sink() -> SinkId {
    SinkId::try_new("lake").expect("holds in the story")
}

fn aged(path: &Path) -> Settings {
    Settings { generation_age_ms: 1000, ..settings(path) }
}

/// A journal of four generations, the second of which is damaged: so that the story has a loss to tell.
fn template(path: &Path) -> Promised {
    let (mut journal, reader) = open(aged(path));
    let mut promised = Promised { cursors: vec![Cursor::default()], ..Promised::default() };
    for n in 0..4 {
        let range = put(&mut journal, n * 1001, vec![event(n), event(n)]);
        promised.records.extend((range.first.0..).map(Seq).zip([event(n), event(n)]));
    }
    promised.head = Some(reader.head());
    drop((journal, reader));
    fs::write(generation_dirs(path)[1].join("db"), b"").expect("holds in the story");
    promised
}

impl Story {
    fn tell(settings: Settings, promised: Promised) -> Self {
        let series = four_series("do-4");
        let (cursor, refusals) = (Cursor::default(), Vec::new());
        let mut story = Self {
            open: None,
            cursor_file: None,
            cursor,
            store: None,
            promised,
            series,
            settings,
            now_ms: 10_000,
            refusals,
        };
        story.start();
        story.lines(3);
        story.seal_batch();
        story.cursor_step();
        story.small_values();
        // Old now: the next commit seals, and repacks what the small ones left.
        story.now_ms += 2000;
        story.lines(2);
        story.tell_losses();
        story.lines(1);
        story.confirm();
        story.cursor_step();
        story.drain();
        story.now_ms += 2000;
        story.lines(2);
        story.drain();
        story
    }

    /// What was refused is noted, and the story goes on, as the agent does; after a failed sync it starts anew.
    fn attempt<T>(&mut self, outcome: Result<T, JournalError>) -> Option<T> {
        outcome.map_err(|error| self.refusals.push(error)).ok()
    }

    fn start(&mut self) {
        self.open = None;
        let opened = Journal::open(self.settings.clone(), moment(self.now_ms), 42);
        self.open = self.attempt(opened);
        let loaded = CursorFile::load(&self.settings.path, &sink());
        self.cursor_file = self.attempt(loaded).map(|(file, _)| file);
        let store = SealedStore::open(&self.settings.path, &sink(), 1 << 20);
        self.store = self.attempt(store);
    }

    fn lines(&mut self, count: u64) {
        let at = self.promised.head.map_or(0, |head| head.0);
        self.commit(vec![(BOOT, lines(&self.series, at, at + count))]);
    }

    /// Each of another boot, which makes a value of each.
    fn small_values(&mut self) {
        let appends = (0..SMALL_VALUES).map(|n| (BootId(n), line(&self.series, n))).collect();
        self.commit(appends);
    }

    fn commit(&mut self, appends: Vec<(BootId, Vec<Record>)>) {
        let now = moment(self.now_ms);
        let Some((journal, reader)) = &mut self.open else { return };
        let first = reader.head();
        let mut records = Vec::new();
        for (boot, part) in appends {
            journal.append(boot, part.clone());
            records.extend(part);
        }
        let outcome = journal.commit(now);
        let is_lost = matches!(outcome, Err(JournalError::Sync { .. } | JournalError::Poisoned));
        match self.attempt(outcome) {
            Some(head) => {
                self.promised.records.extend((first.0..).map(Seq).zip(records));
                self.promised.head = Some(head);
            }
            None if is_lost => self.start(),
            // Still waiting: the next commit takes them along, so a later head may hold them.
            None => self.restart_without_pending(),
        }
    }

    /// Keeps the model simple: what was not acknowledged is appended anew by nobody.
    fn restart_without_pending(&mut self) {
        self.start();
    }

    fn batch() -> SeqRange {
        range(9, 13)
    }

    fn seal_batch(&mut self) {
        let Some(store) = &self.store else { return };
        self.promised.loose.push(Self::batch());
        let outcome = store.put(Self::batch(), b"the bytes of a batch");
        if self.attempt(outcome).is_some() {
            self.promised.loose.clear();
            self.promised.sealed.insert(Self::batch(), b"the bytes of a batch".to_vec());
            self.cursor.begin(NamedBatch { range: Self::batch(), key: "9".to_owned(), sealed: true });
        }
    }

    fn cursor_step(&mut self) {
        let Some(file) = &mut self.cursor_file else { return };
        self.promised.cursors.push(self.cursor.clone());
        let outcome = file.store(&self.cursor);
        if self.attempt(outcome).is_some() {
            self.promised.cursors = vec![self.cursor.clone()];
        }
    }

    fn tell_losses(&mut self) {
        let now = moment(self.now_ms);
        let Some((journal, reader)) = &mut self.open else { return };
        let everything = everything(reader);
        let read = reader.read(everything, usize::MAX);
        let told = journal.retain(Seq::FIRST, now);
        self.attempt(read);
        let events = |gap: model::Gap| Record::Event(Box::new(gap.into_event(stamp(0))));
        if let Some(gaps) = self.attempt(told).filter(|gaps| !gaps.is_empty()) {
            self.commit(vec![(BOOT, gaps.into_iter().map(events).collect())]);
        }
    }

    fn confirm(&mut self) {
        self.cursor.confirm(range(1, 13));
        let Some(store) = &self.store else { return };
        self.promised.sealed.clear();
        self.promised.loose.push(Self::batch());
        let outcome = store.remove(Self::batch());
        self.attempt(outcome);
    }

    fn drain(&mut self) {
        let now = moment(1 << 40);
        // Only what every possible cursor on disk has confirmed.
        let drained = self.promised.cursors.iter().map(Cursor::low_water).min();
        let (Some((journal, _)), Some(drained)) = (&mut self.open, drained) else { return };
        self.promised.drained = self.promised.drained.max(Some(drained));
        let outcome = journal.retain(drained, now);
        self.attempt(outcome);
    }
}

/// Opens what is left, with nothing in between any more, and holds it against what was promised.
fn assert_kept(settings: &Settings, promised: &Promised, at: &str) {
    let (mut journal, reader) = Journal::open(settings.clone(), moment(20_000), 42).expect("holds in the story");
    let head = promised.head.expect("holds in the story");
    assert!(reader.head() >= head, "{at}: {head} was acknowledged, {} is there", reader.head());
    let within = everything(&reader);
    assert!(within.first <= promised.drained.unwrap_or(Seq::FIRST), "{at}: {} was not drained", within.first);
    let chunk = reader.read(within, usize::MAX).expect("holds in the story");
    let read: BTreeMap<Seq, &Record> = chunk.records.iter().map(|numbered| (numbered.seq, &numbered.record)).collect();
    for (seq, record) in promised.records.range(within.first..) {
        let is_lost = chunk.lost.iter().any(|lost| lost.range.first <= *seq && *seq < lost.range.next);
        // The damaged generation of the template; and what was drained may go in any order.
        let is_expected = (Seq(3)..Seq(5)).contains(seq) || Some(*seq) < promised.drained;
        assert!(!is_lost || is_expected, "{at}: {seq} is lost");
        assert!(is_lost || read.get(seq) == Some(&record), "{at}: {seq} is another record");
    }
    assert_told(&mut journal, &read, &within, at);
    let (_, loaded) = CursorFile::load(&settings.path, &sink()).expect("holds in the story");
    let cursor = match loaded {
        Loaded::Cursor(cursor) => cursor,
        Loaded::New => Cursor::default(),
        Loaded::Damaged => panic!("{at}: no slot of the cursor reads"),
    };
    assert!(promised.cursors.contains(&cursor), "{at}: {cursor:?}");
    let store = SealedStore::open(&settings.path, &sink(), 1 << 20).expect("holds in the story");
    for (range, bytes) in &promised.sealed {
        assert_eq!(store.get(*range).expect("holds in the story").as_ref(), Some(bytes), "{at}: a sealed batch");
    }
    for range in &promised.loose {
        assert!(store.get(*range).is_ok(), "{at}: a batch that is half there");
    }
    let leftovers = fs::read_dir(&settings.path)
        .expect("holds in the story")
        .map(|entry| entry.expect("holds in the story").path());
    let leftovers: Vec<_> =
        leftovers.filter(|path| path.extension().is_some_and(|ext| ext == "tmp" || ext == "old")).collect();
    assert_eq!(leftovers, Vec::<std::path::PathBuf>::new(), "{at}: left behind");
    let quarantined = fs::read_dir(settings.path.join("quarantine")).map_or(0, Iterator::count);
    assert!(quarantined <= 1, "{at}: a generation that was to go, or to come, was taken for a damaged one");
    let next = put(&mut journal, 20_000, vec![event(99)]);
    assert!(next.first >= head, "{at}: numbers are not given out twice");
}

/// The damaged generation is still there, to be found out when it is read; or it is told, or owed.
fn assert_told(journal: &mut Journal, read: &BTreeMap<Seq, &Record>, within: &SeqRange, at: &str) {
    if within.first > Seq(3) {
        return;
    }
    let lost = range(3, 5);
    let is_told = read.values().any(|record| match record {
        Record::Event(event) => {
            *event
                == Box::new(
                    model::Gap { range: Some(lost), count: 2, times: None, reason: model::GapReason::Corrupt }
                        .into_event(event.stamp),
                )
        }
        Record::Reading(_) => false,
    });
    let owed = journal.retain(Seq::FIRST, moment(20_000)).expect("holds in the story");
    assert!(is_told || owed.iter().any(|gap| gap.range == Some(lost)), "{at}: a loss is told nowhere");
}

/// Tells the story over a fresh copy of the template.
fn told(dir: &Path, template: (&Path, &Promised), plan: Plan) -> (Rc<Faulty>, Story) {
    let root = dir.join("journal");
    copy_tree(template.0, &root);
    let layer = Rc::new(Faulty::new(&root, &dir.join("aside"), plan));
    let story = with_files(Rc::clone(&layer) as Rc<_>, || Story::tell(aged(&root), template.1.clone()));
    (layer, story)
}

fn counted(template: (&Path, &Promised)) -> Vec<Call> {
    let dir = tempfile::tempdir().expect("holds in the story");
    let (layer, mut story) = told(dir.path(), template, Plan::Count);
    assert!(story.refusals.is_empty(), "{:?}", story.refusals);
    story.open = None;
    assert_kept(&story.settings, &story.promised, "nothing failed");
    layer.calls()
}

#[test]
fn the_story_makes_every_kind_of_call() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let promised = template(dir.path());
    let calls = counted((dir.path(), &promised));
    let kinds =
        [Call::MakeDir, Call::Write, Call::Sync, Call::SyncData, Call::Rename, Call::RemoveFile, Call::RemoveTree];
    for kind in kinds {
        assert!(calls.contains(&kind), "{kind:?} in {calls:?}");
    }
    println!("{} calls: {calls:?}", calls.len());
}

#[test]
fn a_power_cut_at_any_call_keeps_what_was_acknowledged() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let promised = template(dir.path());
    let calls = counted((dir.path(), &promised));
    let mut disks = 0;
    for (at, call) in calls.iter().enumerate() {
        for is_half in [false, true] {
            if is_half && !matches!(call, Call::Write | Call::RemoveTree) {
                continue;
            }
            let dir_of_one = tempfile::tempdir().expect("holds in the story");
            let (layer, mut story) = told(dir_of_one.path(), (dir.path(), &promised), Plan::Cut { at, is_half });
            assert!(layer.is_cut(), "the same calls in every telling");
            story.open = None;
            for frozen in layer.frozen() {
                let name = format!("call {at} of {}, {call:?}, half {is_half}, {}", calls.len(), frozen.display());
                assert_kept(&aged(&frozen), &story.promised, &name);
                disks += 1;
            }
        }
    }
    println!("{} calls, {disks} disks", calls.len());
}

#[test]
fn a_refusal_at_any_call_is_an_error_and_costs_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let promised = template(dir.path());
    let calls = counted((dir.path(), &promised));
    for (at, call) in calls.iter().enumerate() {
        // Each errno as often as the other: the journal's own files make no difference between them.
        let errnos = if at % 2 == 0 { [ENOSPC, EIO] } else { [EIO, ENOSPC] };
        for (errno, stays) in errnos.into_iter().zip([false, true]) {
            let dir_of_one = tempfile::tempdir().expect("holds in the story");
            let plan = Plan::Refuse { at, errno, stays };
            let (_, mut story) = told(dir_of_one.path(), (dir.path(), &promised), plan);
            story.open = None;
            let name = format!("call {at} of {}, {call:?}, errno {errno}, stays {stays}", calls.len());
            assert_kept(&story.settings, &story.promised, &name);
        }
    }
}

/// Three sealed generations that every sink has, removed over a layer with this plan.
fn removed(root: &Path, plan: Plan) -> (Rc<Faulty>, Journal, Reader, Result<(), JournalError>) {
    let (mut journal, reader) = open(aged(root));
    for n in 0..4 {
        put(&mut journal, n * 1001, vec![event(n), event(n)]);
    }
    let layer = Rc::new(Faulty::new(root, &root.with_extension("aside"), plan));
    let drained = reader.head();
    let outcome = with_files(Rc::clone(&layer) as Rc<_>, || journal.retain(drained, moment(1 << 40)).map(drop));
    (layer, journal, reader, outcome)
}

#[test]
fn a_generation_whose_removal_is_refused_stays_listed_and_goes_the_next_time_for_no_gap() {
    let home = tempfile::tempdir().expect("holds in the story");
    let (layer, ..) = removed(&home.path().join("counted"), Plan::Count);
    let calls = layer.calls();
    assert!(calls.contains(&Call::Rename) && calls.contains(&Call::RemoveTree), "{calls:?}");
    let mut refusals = 0;
    for (at, call) in calls.iter().enumerate() {
        for errno in [EIO, ENOSPC] {
            let root = home.path().join(format!("{at}-{errno}"));
            let (_, mut journal, reader, outcome) = removed(&root, Plan::Refuse { at, errno, stays: false });
            refusals += usize::from(outcome.is_err());
            let name = format!("call {at}, {call:?}, errno {errno}");
            let listed: Vec<Seq> = reader.stat().generations.iter().map(|generation| generation.range.first).collect();
            let number = |dir: &std::path::PathBuf| {
                let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
                name[1..].parse().map(Seq).ok()
            };
            let there: Vec<Seq> = generation_dirs(&root).iter().filter_map(number).collect();
            assert_eq!(listed, there, "{name}: what is listed is there, and what is there is listed");
            journal.retain(reader.head(), moment(1 << 40)).expect("nothing is refused any more");
            assert_eq!(generation_dirs(&root).len(), 1, "{name}: it went the next time, and left nothing");
            drop((journal, reader));
            let (mut journal, _reader) = open(aged(&root));
            assert_eq!(journal.owed_gaps(), [], "{name}: it was delivered");
            assert_eq!(journal.retain(Seq::FIRST, moment(1)).expect("holds in the story"), [], "{name}");
        }
    }
    println!("{} calls, {refusals} refusals told", calls.len());
}
