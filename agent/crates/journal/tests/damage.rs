//! Five hundred damaged copies of a journal of two hundred thousand readings: whatever the disk did, the journal opens
//! in time, gives nothing but what was written, names what is missing, and numbers on.
//!
//! The seed is printed; `JOURNAL_DAMAGE_SEED` repeats a run, `JOURNAL_DAMAGE_COPIES` makes it longer, and
//! `JOURNAL_DAMAGE_ONLY` runs one copy. What each kind of damage may cost has a bound.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[path = "support/probe.rs"]
mod probing;
mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use journal::{Cursor, CursorFile, Journal, JournalError, Loaded, Reader, Settings};
use model::{Gap, Numbered, RangeSet, Record, Seq, SeqRange, SinkId};
use probing::probe;
use support::*;

const SEED_DEFAULT: u64 = 20_261_123;
const COPIES_DEFAULT: u64 = 560;
const LINES: u64 = 50_000;
const COMMITS: u64 = 250;
/// A file that makes sled hang costs the probe's limit at each of three tries; nothing may cost more.
const OPEN_LIMIT: Duration = Duration::from_secs(40);
const COPY_LIMIT: Duration = Duration::from_secs(300);

fn damaged_settings(path: &Path) -> Settings {
    Settings { generation_age_ms: COMMITS * 1000 / 5, probe: Some(probe()), ..settings(path) }
}

/// What every copy is made from.
struct Original {
    dir: PathBuf,
    records: Vec<Record>,
    head: Seq,
}

fn original(dir: &Path) -> Original {
    let (mut journal, reader) = open(damaged_settings(dir));
    let series = four_series("do-4");
    let mut records = Vec::new();
    for n in 0..COMMITS {
        let step = LINES / COMMITS;
        let mut taken = lines(&series, n * step, (n + 1) * step);
        taken.push(event(n));
        records.extend(taken.iter().cloned());
        put(&mut journal, n * 1000, taken);
    }
    let head = reader.head();
    let (mut file, _) = CursorFile::load(dir, &sink()).unwrap();
    let mut cursor = Cursor::default();
    for behind in [200, 100, 1] {
        cursor.confirm(SeqRange::new(Seq(head.0 - behind), head));
        file.store(&cursor).unwrap();
    }
    assert!(generation_dirs(dir).len() >= 5);
    Original { dir: dir.to_owned(), records, head }
}

fn sink() -> SinkId {
    SinkId::try_new("lake").unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            assert!(fs::copy(entry.path(), target).is_ok());
        }
    }
}

/// Random numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        noise(self.0) % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(u64::try_from(from.len()).unwrap())).unwrap()]
    }
}

const DAMAGES: &[&str] = &[
    "flip",
    "flip",
    "flip",
    "flip-many",
    "zero-page",
    "zero-page",
    "zero-pages",
    "truncate",
    "truncate",
    "truncate-tail",
    "empty-snap",
    "no-snap",
    "flip-snap",
    "no-conf",
    "empty-conf",
    "no-db",
    "empty-db",
    "garbage",
    "no-generation",
    "cursor",
    "notes",
    "epoch",
    "segment-head",
];

/// What was done to a copy.
struct Harm {
    kind: &'static str,
    place: String,
}

impl Harm {
    /// The most that it may cost, in records.
    ///
    /// sled keeps up to sixteen values in a page. A bit can spoil one value, or the numbers of a page; a page of the
    /// disk what has a part in it. Only what cuts a generation short or takes it away costs more.
    fn bound(&self) -> u64 {
        const VALUE: u64 = LINES / COMMITS * 4 + 1;
        const PAGE: u64 = 16 * VALUE;
        const GENERATION: u64 = (COMMITS / 5 + 1) * VALUE;
        match self.kind {
            "flip" => PAGE,
            "zero-page" | "segment-head" => 2 * PAGE,
            "flip-many" | "zero-pages" | "truncate" | "truncate-tail" | "no-db" | "empty-db" | "no-generation" => {
                GENERATION
            }
            // All the rest can be made again, or is there twice.
            _ => 0,
        }
    }
}

/// Damages the copy at `dir`; says what it did.
fn damage(dir: &Path, dice: &mut Dice) -> Harm {
    let generations = generation_dirs(dir);
    // The last one is the active one, and the most delicate.
    let generation = if dice.below(3) == 0 { generations.last().unwrap() } else { dice.pick(&generations) };
    let name = generation.file_name().unwrap().to_string_lossy().into_owned();
    let kind = *dice.pick(DAMAGES);
    let (db, conf) = (generation.join("db"), generation.join("conf"));
    let starting = |prefix: &str| {
        fs::read_dir(generation)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
    };
    match kind {
        "flip" => change(&db, |bytes| flip(bytes, dice)),
        "flip-many" => change(&db, |bytes| (0..20).for_each(|_| flip(bytes, dice))),
        "zero-page" => change(&db, |bytes| zero(bytes, dice, 4096)),
        "zero-pages" => change(&db, |bytes| (0..8).for_each(|_| zero(bytes, dice, 4096))),
        "segment-head" => change(&db, |bytes| zero(bytes, dice, 512 << 10)),
        "truncate" => change(&db, |bytes| bytes.truncate(place(bytes, dice))),
        "truncate-tail" => change(&db, |bytes| {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes.truncate(end.saturating_sub(usize::try_from(dice.below(8192)).unwrap()).max(1));
        }),
        "garbage" => change(&db, |bytes| {
            let length = 1 + dice.below(20_000);
            bytes.extend((0..length).map(|_| u8::try_from(dice.below(256)).unwrap()));
        }),
        "empty-snap" => starting("snap.").iter().for_each(|snap| fs::write(snap, b"").unwrap()),
        "no-snap" => starting("snap.").iter().for_each(|snap| fs::remove_file(snap).unwrap()),
        "flip-snap" => starting("snap.").iter().for_each(|snap| change(snap, |bytes| flip(bytes, dice))),
        "no-conf" => fs::remove_file(conf).unwrap(),
        "empty-conf" => fs::write(conf, b"").unwrap(),
        "no-db" => fs::remove_file(&db).unwrap(),
        "empty-db" => fs::write(&db, b"").unwrap(),
        "no-generation" => fs::remove_dir_all(generation).unwrap(),
        "cursor" => {
            let slot = dir.join("cursors").join(format!("lake.{}", dice.below(2)));
            change(&slot, |bytes| flip(bytes, dice));
        }
        "notes" => ["gaps", "holes", "newest"].iter().for_each(|note| {
            let length = dice.below(64);
            fs::write(dir.join(note), (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect::<Vec<_>>())
                .unwrap();
        }),
        "epoch" => change(&dir.join("epoch"), |bytes| bytes.truncate(place(bytes, dice))),
        other => panic!("no damage is called {other}"),
    }
    Harm { kind, place: name }
}

fn change(file: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    how(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn place(bytes: &[u8], dice: &mut Dice) -> usize {
    usize::try_from(dice.below(u64::try_from(bytes.len()).unwrap())).unwrap()
}

fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let at = place(bytes, dice);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn zero(bytes: &mut [u8], dice: &mut Dice, size: usize) {
    let from = place(bytes, dice) / size * size;
    let to = bytes.len().min(from + 4096);
    bytes[from..to].fill(0);
}

/// What a journal gives: the original records that came, and what it names lost.
#[derive(Debug, Default, PartialEq)]
struct Given {
    came: RangeSet,
    lost: RangeSet,
}

/// Reads all below `end`; every record must be the original.
fn give(reader: &Reader, original: &Original, end: Seq) -> Given {
    let mut given = Given::default();
    let mut at = Seq::FIRST;
    while at < end {
        let chunk = reader.read(SeqRange::new(at, end), 8192).unwrap();
        assert!(chunk.next > at, "a read gets on");
        for Numbered { seq, record, .. } in &chunk.records {
            let expected = &original.records[usize::try_from(seq.0 - 1).unwrap()];
            assert!(record == expected, "{seq} came as {record:?}, not {expected:?}");
            given.came.insert(SeqRange::new(*seq, seq.plus(1)));
        }
        chunk.lost.iter().for_each(|lost| given.lost.insert(lost.range));
        at = chunk.next;
    }
    given
}

fn tell(gaps: &[Gap], told: &mut RangeSet) -> Vec<Record> {
    gaps.iter().filter_map(|gap| gap.range).for_each(|range| told.insert(range));
    gaps.iter().map(|gap| Record::Event(Box::new(gap.clone().into_event(stamp(1))))).collect()
}

/// Opens. The other thread's children hold copies of all descriptors, locks included, until they become the program.
fn open_copy(dir: &Path) -> (Journal, Reader) {
    let started = now();
    loop {
        match Journal::open(damaged_settings(dir), moment(0), 42) {
            Err(JournalError::Locked { .. }) if started.elapsed() < OPEN_LIMIT => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

struct Outcome {
    opened_in: Duration,
    lost: u64,
}

/// What one kind of damage cost.
#[derive(Default)]
struct Toll {
    copies: u64,
    lost: u64,
    most: u64,
    longest: Duration,
}

impl Toll {
    fn add(&mut self, outcome: &Outcome) {
        self.copies += 1;
        self.lost += outcome.lost;
        self.most = self.most.max(outcome.lost);
        self.longest = self.longest.max(outcome.opened_in);
    }
}

fn check(dir: &Path, original: &Original, harm: &Harm) -> Outcome {
    let started = now();
    let (mut journal, reader) = open_copy(dir);
    let opened_in = started.elapsed();
    assert!(opened_in < OPEN_LIMIT, "opening took {opened_in:?}");
    assert!(reader.head() >= original.head, "numbers would be used twice: {} after {}", reader.head(), original.head);

    // Life goes on: losses are told, new readings are taken.
    let mut told = RangeSet::new();
    let owed = tell(&journal.owed_gaps(), &mut told);
    let series = four_series("do-4");
    let fresh = lines(&series, LINES, LINES + 8);
    let range = put(&mut journal, COMMITS * 1000, [owed, fresh.clone()].concat());
    assert!(range.first >= original.head);
    let first = give(&reader, original, original.head);
    let owed = tell(&journal.retain(Seq::FIRST, moment(COMMITS * 1000)).unwrap(), &mut told);
    if !owed.is_empty() {
        put(&mut journal, COMMITS * 1000, owed);
    }
    let newest = read_all(&reader, SeqRange::new(Seq(range.next.0 - 32), range.next));
    assert_eq!(newest.into_iter().map(|n| n.record).collect::<Vec<_>>(), fresh, "what is new reads back");

    let all = SeqRange::new(Seq::FIRST, original.head);
    let mut both = first.came.clone();
    first.lost.ranges().iter().for_each(|lost| {
        assert!(both.missing(*lost) == [*lost], "{lost} came and is lost");
        both.insert(*lost);
    });
    assert_eq!(both.missing(all), [], "what came and what is lost are all");
    // Below the tail nothing is the journal's any more; what a sink still wanted of it the read itself names.
    for lost in first.lost.ranges() {
        let kept = SeqRange::new(lost.first.max(reader.tail()).min(lost.next), lost.next);
        assert_eq!(told.missing(kept), [], "a loss is told");
    }
    let (lost, bound) = (first.lost.len(), harm.bound());
    assert!(lost <= bound, "{lost} lost, {bound} at most");
    let head = reader.head();
    drop((journal, reader));

    let (mut journal, reader) = open_copy(dir);
    assert_eq!(reader.head(), head, "the second start finds a clean journal");
    assert!(give(&reader, original, original.head) == first, "the second start gives the same");
    let again = [journal.owed_gaps(), journal.retain(Seq::FIRST, moment(COMMITS * 1000)).unwrap()].concat();
    assert_eq!(again, [], "what was told is not told again");
    let (_, loaded) = CursorFile::load(dir, &sink()).unwrap();
    assert!(matches!(loaded, Loaded::Cursor(_)), "one slot stands");
    Outcome { opened_in, lost }
}

#[expect(clippy::disallowed_methods, reason = "a test measures")]
fn now() -> Instant {
    Instant::now()
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn five_hundred_damaged_journals_open_lose_nothing_unnamed_and_never_lie() {
    let home = tempfile::tempdir().unwrap();
    let original = original(&home.path().join("original"));
    let seed = number("JOURNAL_DAMAGE_SEED", SEED_DEFAULT);
    let copies = number("JOURNAL_DAMAGE_COPIES", COPIES_DEFAULT);
    let only = env::var("JOURNAL_DAMAGE_ONLY").ok().and_then(|text| text.parse::<u64>().ok());
    println!("seed {seed}, {copies} copies of {} records", original.records.len());
    let next = AtomicU64::new(0);
    let summary: Mutex<BTreeMap<&str, Toll>> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    let (done, waiting) = mpsc::sync_channel::<()>(1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let done = done.clone();
            let (original, next, summary, failures, home) = (&original, &next, &summary, &failures, home.path());
            scope.spawn(move || {
                let _done = done;
                loop {
                    let copy = next.fetch_add(1, Ordering::Relaxed);
                    if copy >= copies {
                        return;
                    }
                    if only.is_some_and(|only| only != copy) {
                        continue;
                    }
                    let dir = home.join(format!("copy-{copy}"));
                    copy_tree(&original.dir, &dir);
                    let harm = damage(&dir, &mut Dice(noise(seed ^ (copy << 32))));
                    let what = format!("{} in {}", harm.kind, harm.place);
                    match catch_unwind(AssertUnwindSafe(|| check(&dir, original, &harm))) {
                        Ok(outcome) => {
                            if env::var_os("JOURNAL_DAMAGE_VERBOSE").is_some() {
                                println!("copy {copy}, {what}: {} lost", outcome.lost);
                            }
                            summary.lock().unwrap().entry(harm.kind).or_default().add(&outcome);
                        }
                        Err(why) => {
                            let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                            failures.lock().unwrap().push(format!("copy {copy}, {what}: {why}"));
                        }
                    }
                    fs::remove_dir_all(&dir).unwrap();
                }
            });
        }
        drop(done);
        let ended = waiting.recv_timeout(COPY_LIMIT * 4);
        assert!(ended == Err(mpsc::RecvTimeoutError::Disconnected), "the corpus hangs: {:?}", failures.lock().unwrap());
    });
    for (kind, Toll { copies, lost, most, longest }) in &*summary.lock().unwrap() {
        println!(
            "{kind:<14} {copies:>4} copies, {lost:>9} records lost, {most:>6} at most, opened in {longest:?} at most"
        );
    }
    let failures = failures.lock().unwrap();
    assert!(failures.is_empty(), "{} of {copies} copies:\n{}", failures.len(), failures.join("\n"));
}
