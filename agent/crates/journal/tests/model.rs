//! The journal against a model that can not lose anything: a map in memory, under any sequence of operations.
//!
//! The seed is printed and the same in every run; `JOURNAL_MODEL_SEED` (a number) takes another, `JOURNAL_MODEL_CASES`
//! more cases. A crash is a copy of the directory as it is at that instant, with everything still open and nothing said
//! goodbye to.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::PathBuf;

use journal::{Cursor, Journal, NamedBatch, Reader, SealedStore, Settings};
use model::{Record, Seq, SeqRange, SinkId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::*;

const CASES_DEFAULT: u32 = 48;
const SEALED_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone)]
enum Operation {
    Append { lines: u64, events: u64 },
    Commit { after_ms: u64 },
    Read { from: u64, count: usize },
    Begin { count: u64 },
    Confirm { batch: usize },
    Replay { from: u64, count: u64 },
    Store,
    Trim,
    Reopen,
    Crash,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0u64..40, 0u64..3).prop_map(|(lines, events)| Operation::Append { lines, events }),
        4 => (0u64..400).prop_map(|after_ms| Operation::Commit { after_ms }),
        3 => (any::<u64>(), 1usize..500).prop_map(|(from, count)| Operation::Read { from, count }),
        3 => (1u64..200).prop_map(|count| Operation::Begin { count }),
        3 => any::<usize>().prop_map(|batch| Operation::Confirm { batch }),
        1 => (any::<u64>(), 1u64..100).prop_map(|(from, count)| Operation::Replay { from, count }),
        2 => Just(Operation::Store),
        2 => Just(Operation::Trim),
        1 => Just(Operation::Reopen),
        2 => Just(Operation::Crash),
    ]
}

/// The journal, and what is known to be true of it.
struct World {
    dir: tempfile::TempDir,
    /// The journal is in `dir/<lives>`: a crash moves it on.
    lives: u64,
    open: Option<(Journal, Reader)>,
    now_ms: u64,
    durable: BTreeMap<Seq, Record>,
    waiting: Vec<(Seq, Record)>,
    cursor: Cursor,
    stored: Cursor,
    /// Batches whose bytes were sealed and not removed.
    sealed: BTreeSet<SeqRange>,
    drained: Seq,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("holds in the model");
        let mut world = Self {
            dir,
            lives: 0,
            open: None,
            now_ms: 0,
            durable: BTreeMap::new(),
            waiting: Vec::new(),
            cursor: Cursor::default(),
            stored: Cursor::default(),
            sealed: BTreeSet::new(),
            drained: Seq::FIRST,
        };
        world.reopen();
        world
    }

    fn settings(&self) -> Settings {
        Settings { generation_age_ms: 1000, ..settings(&self.path()) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(self.lives.to_string())
    }

    fn store(&self) -> SealedStore {
        SealedStore::open(&self.path(), &Self::sink(), SEALED_BYTES_MAX).expect("holds in the model")
    }

    fn sink() -> SinkId {
        SinkId::try_new("lake").expect("holds in the model")
    }

    fn journal(&mut self) -> &mut Journal {
        &mut self.open.as_mut().expect("holds in the model").0
    }

    fn reader(&self) -> &Reader {
        &self.open.as_ref().expect("holds in the model").1
    }

    fn reopen(&mut self) {
        self.open = None;
        self.waiting.clear();
        self.open = Some(Journal::open(self.settings(), moment(self.now_ms), 42).expect("holds in the model"));
        let (_, loaded) = journal::CursorFile::load(&self.path(), &Self::sink()).expect("holds in the model");
        self.cursor = self.stored.clone();
        match loaded {
            journal::Loaded::Cursor(cursor) => assert_eq!(cursor, self.stored),
            other => assert_eq!((other, &self.stored), (journal::Loaded::New, &Cursor::default())),
        }
        for range in &self.sealed {
            let bytes = self.store().get(*range).expect("holds in the model");
            assert_eq!(bytes, Some(range.to_string().into_bytes()), "a sealed batch is there to the byte");
        }
        assert_eq!(self.journal().owed_gaps(), [], "nothing was lost");
        self.read(0, usize::MAX);
    }

    /// The old life is ended behind the back of its copy, in which the new one begins.
    fn crash(&mut self) {
        let from = self.path();
        self.lives += 1;
        copy_tree(&from, &self.path());
        self.reopen();
        std::fs::remove_dir_all(from).expect("holds in the model");
    }

    fn begin(&mut self, count: u64) {
        let within = everything(self.reader());
        let Some(free) = self.cursor.next_unconfirmed(within) else { return };
        let range = SeqRange::new(free.first, free.next.min(free.first.plus(count)));
        self.store().put(range, range.to_string().as_bytes()).expect("holds in the model");
        self.sealed.insert(range);
        self.cursor.begin(NamedBatch { range, key: format!("{range}"), sealed: true });
    }

    fn confirm(&mut self, batch: usize) {
        let named = self.cursor.named();
        if named.is_empty() {
            return;
        }
        let range = named[batch % named.len()].range;
        self.cursor.confirm(range);
        assert!(self.cursor.named().iter().all(|batch| batch.range != range));
        self.store().remove(range).expect("holds in the model");
        self.sealed.remove(&range);
    }

    /// Something that was confirmed is asked for again: it is neither confirmed nor below the low water any more.
    fn replay(&mut self, from: u64, count: u64) {
        let within = everything(self.reader());
        let first = Seq(within.first.0 + from % (within.len() + 1));
        let range = SeqRange::new(first, first.plus(count).min(within.next));
        self.cursor.replay(range);
        assert!(range.is_empty() || self.cursor.confirmed().missing(range) == [range]);
        assert!(range.is_empty() || self.cursor.low_water() <= range.first);
    }

    fn append(&mut self, count: u64, events: u64) {
        let series = four_series("do-4");
        let start = self.now_ms;
        let mut records: Vec<Record> = (0..events).map(|n| event(start + n)).collect();
        records.extend(lines(&series, start, start + count));
        let range = self.journal().append(BOOT, records.clone());
        let expected = self.durable.last_key_value().map_or(Seq::FIRST, |(seq, _)| seq.plus(1));
        let expected = self.waiting.last().map_or(expected, |(seq, _)| seq.plus(1));
        assert_eq!(range.first, expected, "numbers go on");
        self.waiting.extend((range.first.0..).map(Seq).zip(records));
        assert_eq!(self.waiting.last().map_or(range.next, |(seq, _)| seq.plus(1)), range.next);
    }

    fn read(&self, from: u64, count: usize) {
        let (tail, head) = (self.reader().tail(), self.reader().head());
        assert_eq!(head, self.durable.last_key_value().map_or(Seq::FIRST, |(seq, _)| seq.plus(1)));
        assert!(tail <= self.drained, "nothing goes before it is drained");
        let from = Seq(tail.0 + from % (head.0 - tail.0 + 1));
        let chunk = self.reader().read(SeqRange::new(from, Seq(u64::MAX)), count).expect("holds in the model");
        assert_eq!(chunk.lost, []);
        let expected = self.durable.range(from..).take(count);
        let read = chunk.records.iter().map(|numbered| (numbered.seq, &numbered.record));
        assert!(read.eq(expected.map(|(seq, record)| (*seq, record))));
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { lines, events } => self.append(lines, events),
            Operation::Commit { after_ms } => {
                self.now_ms += after_ms;
                let now = moment(self.now_ms);
                self.journal().commit(now).expect("holds in the model");
                self.durable.extend(std::mem::take(&mut self.waiting));
            }
            Operation::Read { from, count } => self.read(from, count),
            Operation::Begin { count } => self.begin(count),
            Operation::Confirm { batch } => self.confirm(batch),
            Operation::Replay { from, count } => self.replay(from, count),
            Operation::Store => {
                let (mut file, _) = journal::CursorFile::load(&self.path(), &Self::sink()).expect("holds in the model");
                file.store(&self.cursor).expect("holds in the model");
                self.stored = self.cursor.clone();
            }
            Operation::Trim => {
                self.drained = self.drained.max(self.stored.low_water());
                let (drained, now) = (self.drained, moment(1 << 40));
                assert_eq!(self.journal().retain(drained, now).expect("holds in the model"), []);
            }
            Operation::Reopen => self.reopen(),
            Operation::Crash => self.crash(),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|word| word.parse().expect("a number"))
}

#[test]
fn the_journal_is_a_map_that_survives() {
    let seed = number("JOURNAL_MODEL_SEED").unwrap_or(3);
    let cases = number("JOURNAL_MODEL_CASES").map_or(CASES_DEFAULT, |cases| u32::try_from(cases).expect("32 bits"));
    println!("JOURNAL_MODEL_SEED={seed} JOURNAL_MODEL_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&prop::collection::vec(operation(), 1..60), |operations| {
        let mut world = World::new();
        for operation in &operations {
            world.apply(operation);
        }
        world.read(0, usize::MAX);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
