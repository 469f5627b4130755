//! The journal against a model that can not lose anything: a map in memory, under any sequence of operations.

mod support;

use std::collections::BTreeMap;

use journal::{Cursor, Journal, NamedBatch, Reader, Settings};
use model::{Record, Seq, SeqRange, SinkId};
use proptest::prelude::*;
use support::*;

#[derive(Debug, Clone)]
enum Operation {
    Append { lines: u64, events: u64 },
    Commit { after_ms: u64 },
    Read { from: u64, count: usize },
    Begin { count: u64 },
    Confirm { batch: usize },
    Store,
    Retain,
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0u64..40, 0u64..3).prop_map(|(lines, events)| Operation::Append { lines, events }),
        4 => (0u64..400).prop_map(|after_ms| Operation::Commit { after_ms }),
        3 => (any::<u64>(), 1usize..500).prop_map(|(from, count)| Operation::Read { from, count }),
        3 => (1u64..200).prop_map(|count| Operation::Begin { count }),
        3 => any::<usize>().prop_map(|batch| Operation::Confirm { batch }),
        2 => Just(Operation::Store),
        2 => Just(Operation::Retain),
        1 => Just(Operation::Reopen),
    ]
}

/// The journal, and what is known to be true of it.
struct World {
    dir: tempfile::TempDir,
    open: Option<(Journal, Reader)>,
    now_ms: u64,
    durable: BTreeMap<Seq, Record>,
    waiting: Vec<(Seq, Record)>,
    cursor: Cursor,
    stored: Cursor,
    drained: Seq,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("holds in the model");
        let mut world = Self {
            dir,
            open: None,
            now_ms: 0,
            durable: BTreeMap::new(),
            waiting: Vec::new(),
            cursor: Cursor::default(),
            stored: Cursor::default(),
            drained: Seq::FIRST,
        };
        world.reopen();
        world
    }

    fn settings(&self) -> Settings {
        Settings { generation_age_ms: 1000, ..settings(self.dir.path()) }
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
        let (_, loaded) = journal::CursorFile::load(self.dir.path(), &Self::sink()).expect("holds in the model");
        self.cursor = self.stored.clone();
        match loaded {
            journal::Loaded::Cursor(cursor) => assert_eq!(cursor, self.stored),
            other => assert_eq!((other, &self.stored), (journal::Loaded::New, &Cursor::default())),
        }
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
            Operation::Begin { count } => {
                let within = everything(self.reader());
                if let Some(free) = self.cursor.next_unconfirmed(within) {
                    let range = SeqRange::new(free.first, free.next.min(free.first.plus(count)));
                    self.cursor.begin(NamedBatch { range, key: format!("{range}"), sealed: false });
                }
            }
            Operation::Confirm { batch } => {
                let named = self.cursor.named();
                if !named.is_empty() {
                    let range = named[batch % named.len()].range;
                    self.cursor.confirm(range);
                }
            }
            Operation::Store => {
                let (mut file, _) =
                    journal::CursorFile::load(self.dir.path(), &Self::sink()).expect("holds in the model");
                file.store(&self.cursor).expect("holds in the model");
                self.stored = self.cursor.clone();
            }
            Operation::Retain => {
                self.drained = self.drained.max(self.stored.low_water());
                let (drained, now) = (self.drained, moment(1 << 40));
                assert_eq!(self.journal().retain(drained, now).expect("holds in the model"), []);
            }
            Operation::Reopen => self.reopen(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_is_a_map_that_survives(operations in prop::collection::vec(operation(), 1..60)) {
        let mut world = World::new();
        for operation in &operations {
            world.apply(operation);
        }
        world.read(0, usize::MAX);
    }
}
