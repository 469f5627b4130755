//! What the stories share: a journal in a temporary directory, lines of an instrument, and a clock that is told.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::{Journal, Moment, Reader, Settings};
use model::{
    BootId, Clock, Event, EventKind, InstrumentId, Numbered, Quality, QuantityId, Reading, Record, Seq, SeqRange,
    Series, Stamp, Timestamp, Value,
};

/// The boot of all that is not said to be of another.
pub const BOOT: BootId = BootId(0xb007);
/// Where the told clock starts.
pub const START_MS: i64 = 1_763_805_600_000;

/// `ms` after the start, by both clocks.
pub fn moment(ms: u64) -> Moment {
    let wall = Timestamp::from_millis(START_MS + i64::try_from(ms).expect("small"));
    Moment { wall, mono_ms: 5_000 + ms }
}

/// The same instant as a stamp.
pub fn stamp(ms: u64) -> Stamp {
    let now = moment(ms);
    Stamp { time: now.wall, mono_ms: now.mono_ms, clock: Clock::Synced }
}

/// A journal that seals at the default size and keeps nothing that is drained.
pub fn settings(path: &Path) -> Settings {
    Settings { keep_delivered_ms: 0, ..Settings::at(path) }
}

/// Opens with a fixed epoch.
pub fn open(settings: Settings) -> (Journal, Reader) {
    Journal::open(settings, moment(0), 42).expect("opens")
}

/// The series of an instrument with four quantities.
pub fn four_series(instrument: &str) -> Vec<Arc<Series>> {
    let quantities = [("temperature", "Cel"), ("ph", "[pH]"), ("dissolved_oxygen", "mg/L"), ("salinity", "g/kg")];
    let series = quantities.into_iter().map(|(quantity, unit)| {
        Arc::new(Series {
            instrument: InstrumentId::try_new(instrument).expect("a name"),
            quantity: QuantityId::try_new(quantity).expect("a name"),
            unit: unit.to_owned(),
            tags: BTreeMap::from([("pond".to_owned(), "4".to_owned())]),
        })
    });
    series.collect()
}

/// Noise that is the same on every machine: splitmix64.
pub fn noise(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `n`th line of an instrument: four hundredths-quantised values with a noise of a few steps, a second apart.
pub fn line(series: &[Arc<Series>], n: u64) -> Vec<Record> {
    let stamp = stamp(n * 1000 + noise(n) % 3);
    let value = |i: usize| {
        let i = u64::try_from(i).expect("small");
        // Four coins make a bell of standard deviation two or so.
        let bell = (0..4).map(|coin| noise(n * 64 + i * 8 + coin) % 4).sum::<u64>();
        let steps = i32::try_from(700 + i * 311 + (n / 200) % 40 + bell).expect("small");
        Value::Number(f64::from(steps) / 100.0)
    };
    let reading = |(i, series): (usize, &Arc<Series>)| {
        Record::Reading(Reading { stamp, series: Arc::clone(series), value: value(i), quality: Quality::Pass })
    };
    series.iter().enumerate().map(reading).collect()
}

/// Lines that do not compress: a thousand take 32 KiB.
pub fn heavy_lines(series: &[Arc<Series>], from: u64, to: u64) -> Vec<Record> {
    let mut records = lines(series, from, to);
    for (record, n) in records.iter_mut().zip(from * 4..) {
        if let Record::Reading(reading) = record {
            reading.value = Value::Number(f64::from_bits(noise(n) >> 2));
        }
    }
    records
}

/// Lines `from..to`.
pub fn lines(series: &[Arc<Series>], from: u64, to: u64) -> Vec<Record> {
    (from..to).flat_map(|n| line(series, n)).collect()
}

/// An event with a number in it.
pub fn event(n: u64) -> Record {
    Record::Event(Box::new(Event::new(stamp(n), EventKind::Alarm).with("n", n)))
}

/// Appends and commits.
pub fn put(journal: &mut Journal, ms: u64, records: Vec<Record>) -> SeqRange {
    let range = journal.append(BOOT, records);
    assert_eq!(journal.commit(moment(ms)).expect("commits"), range.next);
    range
}

/// All that a range holds; nothing may be lost.
pub fn read_all(reader: &Reader, within: SeqRange) -> Vec<Numbered> {
    let mut records = Vec::new();
    let mut at = within.first;
    while at < within.next.min(reader.head()) {
        let chunk = reader.read(SeqRange::new(at, within.next), 1000).expect("reads");
        assert_eq!(chunk.lost, [], "nothing may be lost");
        assert!(chunk.next > at, "a read gets on");
        records.extend(chunk.records);
        at = chunk.next;
    }
    records
}

/// From the tail to the head.
pub fn everything(reader: &Reader) -> SeqRange {
    SeqRange::new(reader.tail(), reader.head())
}

/// A range of plain numbers.
pub fn range(first: u64, next: u64) -> SeqRange {
    SeqRange::new(Seq(first), Seq(next))
}

/// The directories of the generations.
pub fn generation_dirs(path: &Path) -> Vec<std::path::PathBuf> {
    let mut dirs: Vec<_> = std::fs::read_dir(path)
        .expect("lists")
        .map(|entry| entry.expect("entry").path())
        .filter(|entry| entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('g')))
        .filter(|entry| entry.is_dir())
        .collect();
    dirs.sort();
    dirs
}

/// What stands in a directory.
pub fn entries(path: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(path).expect("a directory");
    listing.map(|entry| entry.expect("an entry").path()).collect()
}

/// Copies a file or a directory. What sled's thread removes meanwhile is left out, as a cut would.
pub fn copy_tree(from: &Path, to: &Path) {
    if !from.is_dir() {
        match std::fs::copy(from, to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => assert!(copied.is_ok(), "copies {}", from.display()),
        }
        return;
    }
    std::fs::create_dir_all(to).expect("makes");
    for entry in entries(from) {
        copy_tree(&entry, &to.join(entry.file_name().expect("a name")));
    }
}
