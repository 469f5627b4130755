//! Measures the journal beside a naive append-only log, in one run: `cargo run --release -p journal --example
//! journal_bench -- [lines] [lines a commit] [directory]`.
//!
//! Both take the same lines of four values; the naive log writes 43 bytes a reading and calls `fdatasync` at each
//! commit. Bytes written are the process's own, from `/proc/self/io`; stored bytes are blocks on the disk.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use journal::{Journal, Reader, Settings};
use model::{Record, Series, Value};
use support::{BOOT, everything, four_series, lines, moment};

/// What one engine did.
struct Measures {
    seconds: f64,
    written: u64,
    stored: u64,
}

fn proc_number(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn written() -> u64 {
    proc_number("/proc/self/io", "wchar:")
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number / 16).expect("small enough")) * 16.0
        + f64::from(u8::try_from(number % 16).expect("four bits"))
}

fn append_naive(path: &Path, commits: &[Vec<Record>]) -> Measures {
    let mut file = File::create(path).expect("creates");
    let (start, before) = (Instant::now(), written());
    for (at, records) in (0u64..).zip(commits) {
        let mut bytes = Vec::new();
        for record in records {
            let Record::Reading(reading) = record else { continue };
            bytes.extend_from_slice(&at.to_be_bytes());
            bytes.extend_from_slice(&reading.stamp.time.as_millis().to_be_bytes());
            bytes.extend_from_slice(&reading.stamp.mono_ms.to_be_bytes());
            bytes.extend_from_slice(&BOOT.0.to_be_bytes());
            bytes.extend_from_slice(&[0, 1, reading.quality.flag()]);
            let Value::Number(number) = reading.value else { continue };
            bytes.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        file.write_all(&bytes).expect("writes");
        file.sync_data().expect("syncs");
    }
    let stored = file.metadata().expect("metadata").blocks() * 512;
    Measures { seconds: start.elapsed().as_secs_f64(), written: written() - before, stored }
}

fn report(name: &str, readings: u64, measures: &Measures) {
    println!(
        "{name:8} {:10.0} readings/s  {:7.2} B written a reading  {:7.2} B stored a reading  {:7.2} B stored a line",
        float(readings) / measures.seconds,
        float(measures.written) / float(readings),
        float(measures.stored) / float(readings),
        float(measures.stored) / float(readings) * 4.0,
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(500_000);
    let in_commit: u64 = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(1000);
    let dir = arguments.next().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a directory");
    let series = four_series("do-4");
    println!("{count} lines of four values, {in_commit} a commit, in {}", dir.path().display());

    // Built beforehand in slices, so that neither engine is charged for making them.
    let slice: u64 = 50_000;
    let (mut ours, mut naive) = (Measures { seconds: 0.0, written: 0, stored: 0 }, Vec::new());
    let rss_before = proc_number("/proc/self/status", "VmRSS:");
    let start = Instant::now();
    let (mut journal, reader) = Journal::open(Settings::at(dir.path().join("journal")), moment(0), 42).expect("opens");
    println!("open     {:10.1} ms (new)", start.elapsed().as_secs_f64() * 1e3);
    let mut at = 0;
    while at < count {
        let to = count.min(at + slice);
        let commits: Vec<Vec<Record>> = (at..to)
            .step_by(usize::try_from(in_commit).expect("small"))
            .map(|n| lines(&series, n, to.min(n + in_commit)))
            .collect();
        naive.push(append_naive(&dir.path().join(format!("naive{at}")), &commits));
        let (start, before) = (Instant::now(), written());
        for (n, records) in (at..).step_by(usize::try_from(in_commit).expect("small")).zip(commits) {
            journal.append(BOOT, records);
            journal.commit(moment(n)).expect("commits");
        }
        ours.seconds += start.elapsed().as_secs_f64();
        ours.written += written() - before;
        at = to;
    }
    let readings = count * 4;
    ours.stored = reader.stat().bytes;
    let naive = Measures {
        seconds: naive.iter().map(|m| m.seconds).sum(),
        written: naive.iter().map(|m| m.written).sum(),
        stored: naive.iter().map(|m| m.stored).sum(),
    };
    report("journal", readings, &ours);
    report("naive", readings, &naive);
    println!(
        "ratio    {:10.2} rate          {:7.3} written               {:7.3} stored",
        naive.seconds / ours.seconds,
        float(ours.written) / float(naive.written),
        float(ours.stored) / float(naive.stored)
    );
    println!(
        "rss      {:10} kB before, {} kB after the append",
        rss_before,
        proc_number("/proc/self/status", "VmRSS:")
    );
    drain(journal, &reader);
    drop(reader);
    reopen(&dir.path().join("journal"), &series);
}

fn drain(mut journal: Journal, reader: &Reader) {
    let before = written();
    let start = Instant::now();
    let within = everything(reader);
    let mut next = within.first;
    while next < within.next {
        next = reader.read(model::SeqRange::new(next, within.next), 4096).expect("reads").next;
    }
    journal.retain(reader.head(), moment(1 << 40)).expect("retains");
    println!(
        "drain    {:10.0} readings/s  {:7.3} B written a reading, {} B on disk after, {} kB rss",
        float(within.len()) / start.elapsed().as_secs_f64(),
        float(written() - before) / float(within.len()),
        reader.stat().bytes,
        proc_number("/proc/self/status", "VmRSS:")
    );
}

fn reopen(path: &Path, series: &[Arc<Series>]) {
    let start = Instant::now();
    let (mut journal, _reader) = Journal::open(Settings::at(path), moment(0), 42).expect("opens");
    journal.append(BOOT, lines(series, 0, 1));
    journal.commit(moment(0)).expect("commits");
    println!(
        "reopen   {:10.1} ms to the first durable reading, {} kB rss",
        start.elapsed().as_secs_f64() * 1e3,
        proc_number("/proc/self/status", "VmRSS:")
    );
}
