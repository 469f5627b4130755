//! The budget is kept at every instant, and each policy loses what it says it loses.
//!
//! A second thread looks at the disk without pause, as `du` does, while a journal is filled far over its budget with
//! what fills it worst: values that do not compress, tiny commits, large events.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use journal::{Journal, Reader, SealedStore, Settings, WhenFull};
use model::{Event, EventKind, Fact, Gap, GapReason, Record, Seq, SeqRange, SinkId, Value};
use support::*;

const MIB: u64 = 1 << 20;

/// `du -s`: the blocks of all below `path`, and its own.
fn du(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| du(&entry.path())).sum::<u64>();
    metadata.blocks() * 512 + if metadata.is_dir() { below } else { 0 }
}

/// The largest that a directory ever was.
struct Watcher {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<u64>>,
}

impl Watcher {
    fn of(path: &Path) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let path = path.to_owned();
        let thread = std::thread::spawn({
            let (stop, looks) = (stop.clone(), looks.clone());
            move || {
                let mut most = 0;
                while !stop.load(Ordering::Acquire) {
                    most = du(&path).max(most);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                most
            }
        });
        Self { stop, looks, thread: Some(thread) }
    }

    fn most(mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        assert!(self.looks.load(Ordering::Relaxed) > 100, "too few looks to prove anything");
        self.thread.take().expect("holds in the story").join().expect("holds in the story")
    }
}

/// Tells the gaps that the journal owes, as the agent does, and gives them back.
fn tell(journal: &mut Journal, ms: u64, drained: Seq) -> Vec<Gap> {
    let gaps = journal.retain(drained, moment(ms)).expect("holds in the story");
    journal.append(BOOT, gaps.iter().cloned().map(|gap| Record::Event(Box::new(gap.into_event(stamp(ms))))).collect());
    gaps
}

/// A journal of `mib` with a store for sealed batches beside it, filled several times over.
fn fill_over(mib: u64, when_full: WhenFull, commits: u64, commit: impl Fn(u64) -> Vec<Record>) -> (u64, u64) {
    let dir = tempfile::tempdir().expect("holds in the story");
    let path = dir.path().join("journal");
    let reserved = mib * MIB / 8;
    let settings = Settings { max_bytes: mib * MIB, reserved_bytes: reserved, when_full, ..settings(&path) };
    let (mut journal, reader) = open(settings);
    let watcher = Watcher::of(&path);
    let store = SealedStore::open(&path, &SinkId::try_new("lake").expect("holds in the story"), reserved)
        .expect("holds in the story");
    let (mut written, mut batch) = (0, 0);
    for n in 0..commits {
        let records = commit(n);
        written += u64::try_from(records.len()).expect("holds in the story");
        journal.append(BOOT, records);
        journal.commit(moment(n * 1000)).expect("holds in the story");
        if n % 10 == 0 {
            tell(&mut journal, n * 1000, Seq::FIRST);
            // The store is filled up as well, and refuses what is beyond its bound.
            batch += 1;
            let full = store.put(range(batch, batch + 1), &vec![7; 300_000]).is_err();
            assert!(!full || batch > 2, "nothing fits");
        }
        if n % 50 == 0 {
            // A reader opens what is sealed, and sled writes a snapshot into it.
            reader.read(everything(&reader), 10).expect("holds in the story");
        }
    }
    let most = watcher.most();
    assert!(most <= mib * MIB, "{most} bytes on disk, {} over", most - mib * MIB);
    (most, written)
}

/// Five hundred lines that do not compress, 16 KiB or more.
fn heavy(n: u64) -> Vec<Record> {
    heavy_lines(&four_series("do-4"), n * 500, n * 500 + 500)
}

/// One line and, now and then, an event with all the text that one may have.
fn tiny(n: u64) -> Vec<Record> {
    let mut records = heavy_lines(&four_series("do-4"), n, n + 1);
    if n.is_multiple_of(4) {
        let raw = (0..200).map(|i| format!("{:016x}", noise(n << 16 | i))).collect::<Vec<_>>().concat();
        records.push(Record::Event(Box::new(Event::new(stamp(n), EventKind::FrameRejected).with("raw", raw))));
    }
    records
}

/// As much as the agent ever commits at once.
fn bulk(n: u64) -> Vec<Record> {
    heavy_lines(&four_series("do-4"), n * 8_000, n * 8_000 + 8_000)
}

#[test]
fn eight_mebibytes_are_never_exceeded_by_values_that_do_not_compress() {
    let (most, written) = fill_over(8, WhenFull::DropOldest, 600, heavy);
    println!("8 MiB, heavy: at most {most} bytes, {written} records");
    assert!(most > 4 * MIB, "the budget is not used");
}

#[test]
fn eight_mebibytes_are_never_exceeded_by_tiny_commits() {
    let (most, written) = fill_over(8, WhenFull::DropOldest, 2_500, tiny);
    println!("8 MiB, tiny: at most {most} bytes, {written} records");
}

#[test]
fn eight_mebibytes_are_never_exceeded_by_huge_commits() {
    let (most, written) = fill_over(8, WhenFull::DropOldest, 60, bulk);
    println!("8 MiB, bulk: at most {most} bytes, {written} records");
}

#[test]
fn sixteen_mebibytes_are_never_exceeded_whatever_the_policy() {
    for policy in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Thin] {
        let (most, written) = fill_over(16, policy, 900, heavy);
        println!("16 MiB, {policy:?}: at most {most} bytes, {written} records");
    }
}

#[test]
fn sixty_four_mebibytes_are_never_exceeded() {
    let (most, written) = fill_over(64, WhenFull::DropOldest, 160, bulk);
    println!("64 MiB: at most {most} bytes, {written} records");
    assert!(most > 48 * MIB, "the budget is not used");
}

fn counted(gaps: &[Gap]) -> u64 {
    gaps.iter().map(|gap| gap.count).sum()
}

fn readings(reader: &Reader) -> Vec<model::Numbered> {
    let chunk = read_over_holes(reader);
    chunk.into_iter().filter(|numbered| matches!(numbered.record, Record::Reading(_))).collect()
}

/// All that is left, holes passed over; only thinning may have made them.
fn read_over_holes(reader: &Reader) -> Vec<model::Numbered> {
    let (within, mut records) = (everything(reader), Vec::new());
    let mut at = within.first;
    while at < within.next {
        let chunk = reader.read(SeqRange::new(at, within.next), 1000).expect("holds in the story");
        assert!(chunk.lost.iter().all(|lost| lost.reason == GapReason::Thinned), "{:?}", chunk.lost);
        records.extend(chunk.records);
        at = chunk.next;
    }
    records
}

#[test]
fn drop_newest_refuses_readings_keeps_events_and_tells_the_loss_once_there_is_room_again() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let settings = Settings { max_bytes: 8 * MIB, when_full: WhenFull::DropNewest, ..settings(dir.path()) };
    let (mut journal, reader) = open(settings.clone());
    let (mut taken, mut n) = (0, 0);
    while journal.refused_total() < 20_000 {
        let mut records = heavy(n);
        taken += u64::try_from(records.len()).expect("holds in the story");
        records.push(event(n));
        journal.append(BOOT, records);
        journal.commit(moment(n)).expect("holds in the story");
        assert_eq!(journal.retain(Seq::FIRST, moment(n)).expect("holds in the story"), [], "told while it goes on");
        n += 1;
    }
    let first = readings(&reader);
    assert_eq!(first.len() as u64 + journal.refused_total(), taken, "the oldest are kept, the newest counted");
    assert_eq!(
        read_over_holes(&reader).len() - first.len(),
        usize::try_from(n).expect("holds in the story"),
        "every event is kept"
    );

    // Also a process that dies now tells of it.
    let refused = journal.refused_total();
    drop((journal, reader));
    let (mut journal, reader) = open(settings);
    let gaps = journal.owed_gaps();
    assert_eq!((counted(&gaps), gaps[0].reason), (refused, GapReason::Quota));
    assert_eq!(gaps[0].range, None, "what was refused never had a number");

    // Every sink has it all: room again, and readings go on.
    journal.retain(reader.head(), moment(1 << 40)).expect("holds in the story");
    let range = put(&mut journal, n, heavy(n));
    assert_eq!(journal.refused_total(), 0);
    assert_eq!(u64::try_from(read_all(&reader, range).len()).expect("holds in the story"), range.len());
}

#[test]
fn what_every_sink_has_goes_first_and_for_no_gap() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let settings = Settings { max_bytes: 8 * MIB, keep_delivered_ms: 1 << 50, ..settings(dir.path()) };
    let (mut journal, reader) = open(settings);
    for n in 0..500 {
        put(&mut journal, n, heavy(n));
        assert_eq!(
            journal.retain(reader.head(), moment(n)).expect("holds in the story"),
            [],
            "nothing is lost that was delivered"
        );
    }
    assert!(reader.tail() > Seq::FIRST, "the replay window gave way");
    assert!(reader.stat().bytes > 3 * MIB, "the replay window is kept as long as there is room");
}

/// One line of two quantities a second.
fn steady(n: u64) -> Vec<Record> {
    heavy_lines(&four_series("do-4")[..2], n, n + 1)
        .into_iter()
        .enumerate()
        .map(|(i, record)| match record {
            Record::Reading(mut reading) => {
                reading.stamp = stamp(n * 1000);
                reading.value = Value::Number(
                    f64::from(u32::try_from(noise(n * 2 + i as u64) % 10_000).expect("holds in the story")) / 8.0,
                );
                Record::Reading(reading)
            }
            event @ Record::Event(_) => event,
        })
        .collect()
}

#[test]
fn thinning_costs_detail_before_days_and_every_reading_is_kept_or_counted() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let settings = Settings { max_bytes: 10 * MIB, when_full: WhenFull::Thin, ..settings(dir.path()) };
    let (mut journal, reader) = open(settings.clone());
    let (mut gaps, lines) = (Vec::new(), 600_000_u64);
    for from in (0..lines).step_by(2_000) {
        let records = (from..from + 2_000).flat_map(steady).collect();
        journal.append(BOOT, records);
        journal.commit(moment(from * 1000)).expect("holds in the story");
        gaps.extend(tell(&mut journal, from * 1000, Seq::FIRST));
    }
    journal.commit(moment(lines * 1000)).expect("holds in the story");
    let left = readings(&reader);
    let levels = |window: &str| left.iter().filter(|n| tag(n, "thinned") == Some(window.to_owned())).count();
    println!(
        "{} left, {} in minutes, {} in tens, {} in hours; {} gaps",
        left.len(),
        levels("1m"),
        levels("10m"),
        levels("1h"),
        gaps.len()
    );
    assert!(levels("1m") + levels("10m") + levels("1h") > 0, "nothing was thinned");
    assert!(left.windows(2).all(|pair| pair[0].seq < pair[1].seq), "positions are unique and ascend");
    assert_eq!(left.len() as u64 + counted(&gaps), lines * 2, "taken = kept + gaps");
    assert!(gaps.iter().any(|gap| gap.reason == GapReason::Thinned));
    let before = (readings(&reader), reader.head());
    drop((journal, reader));
    let (_journal, reader) = open(settings);
    assert_eq!((readings(&reader), reader.head()), before, "the same after a restart");
}

fn tag(numbered: &model::Numbered, name: &str) -> Option<String> {
    let Record::Reading(reading) = &numbered.record else { return None };
    reading.series.tags.get(name).cloned()
}

#[test]
fn a_minute_becomes_its_minimum_mean_maximum_last_and_count() {
    let dir = tempfile::tempdir().expect("holds in the story");
    let settings = Settings { max_bytes: 10 * MIB, when_full: WhenFull::Thin, ..settings(dir.path()) };
    let (mut journal, reader) = open(settings);
    let mut n = 0;
    let minute = loop {
        let records = (n..n + 2_000).flat_map(steady).collect();
        journal.append(BOOT, records);
        journal.commit(moment(n * 1000)).expect("holds in the story");
        n += 2_000;
        let minutes: Vec<_> = reader.read(range(1, 2_000), 40).expect("holds in the story").records;
        if minutes.iter().any(|numbered| tag(numbered, "thinned").as_deref() == Some("1m")) {
            break minutes;
        }
        assert!(n < 2_000_000, "never thinned");
    };
    // The first whole minute of the first quantity; the told clock starts on a full minute.
    let window = |reading: &model::Reading| (reading.stamp.time.as_millis() - START_MS) / 60_000;
    let series = &four_series("do-4")[0];
    let found: Vec<(String, f64)> = minute
        .iter()
        .filter_map(|numbered| match &numbered.record {
            Record::Reading(reading) if reading.series.quantity == series.quantity && window(reading) == 0 => {
                let Value::Number(value) = reading.value else { return None };
                Some((reading.series.tags["statistic"].clone(), value))
            }
            _ => None,
        })
        .collect();
    let values: Vec<f64> = (0..60)
        .filter_map(|n| match &steady(n)[0] {
            Record::Reading(reading) => match reading.value {
                Value::Number(value) => Some(value),
                _ => None,
            },
            Record::Event(_) => None,
        })
        .collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = values.iter().sum::<f64>() / 60.0;
    let expected = [("min", least), ("mean", mean), ("max", most), ("last", values[59]), ("count", 60.0)];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    let Record::Event(gap) = Record::Event(Box::new(
        journal.retain(Seq::FIRST, moment(n * 1000)).expect("holds in the story").remove(0).into_event(stamp(0)),
    )) else {
        unreachable!()
    };
    assert_eq!(gap.facts["reason"], Fact::from("thinned"));
}
