//! Measures the journal beside a naive append-only log, in one run: prints each number with its limit and their ratio,
//! asserts nothing. `tests/bench journal` runs it.
//!
//! ```text
//! journal_bench [DIRECTORY]                  the table; takes about two minutes and 1.5 GB there
//! journal_bench backlog DIRECTORY LINES      fills a journal and drains it, in one process: for a memory limit
//! journal_bench fill DIRECTORY LINES         fills one, says so, goes on until it is killed
//! journal_bench reopen DIRECTORY             opens one and commits a line
//! journal_bench start DIRECTORY              the same, after another process (`probe`) has looked, as the agent does
//! journal_bench starts DIRECTORY             that part of the table alone
//! ```
//!
//! The naive log writes 43 bytes a reading, in files of 8 MiB, and calls `fdatasync` at each commit: that is what the
//! device can do. Lines are made as they are taken, outside the time that is measured. Written is what the system was
//! given to write for this process (`write_bytes` of `/proc/self/io`: pages, and where the kernel keeps several in one
//! folio, all of them), stored is blocks on the disk, device is the sectors that the block device below was given, with
//! the file system's own journal: by anyone, so it takes a device of its own to mean something.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{Cursor, CursorFile, Journal, PROBE_LIMIT_DEFAULT, Probe, Reader, Settings};
use model::{Record, Seq, SeqRange, Series, SinkId, Value};
use support::{BOOT, everything, four_series, lines, moment};

const OUTAGE_LINES: u64 = 5_000_000;
const OUTAGE_LINES_A_COMMIT: u64 = 1000;
const ONLINE_LINES: u64 = 30_000;
const ONLINE_LINES_A_COMMIT: u64 = 10;
const REOPEN_LINES: u64 = 10_000_000;
/// A little less than what a generation is sealed at: two starts must not seal it.
const NEWEST_BYTES: u64 = 7 << 20;
const NAIVE_FILE_BYTES: u64 = 8 << 20;
const READ_RECORDS: usize = 4096;
/// How many reads a cursor is stored and space given back after.
const READS_A_STORE: u64 = 256;

/// What one engine did.
#[derive(Debug, Clone, Copy)]
struct Measures {
    busy: Duration,
    written: u64,
    /// What the block device below was given, by anyone, with the file system's own journal.
    device: u64,
    stored: u64,
    rss_kib: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["reopen", dir] => reopen(Settings::at(dir)),
        ["start", dir] => reopen(Settings { probe: Some(probe()), ..Settings::at(dir) }),
        ["starts", dir] => starts(tempfile::tempdir_in(dir).expect("a directory").path()),
        ["probe", ..] => {
            let words: Vec<_> = words[1..].iter().map(Into::into).collect();
            journal::answer_probe(&words, &mut std::io::stdout()).expect("says what it found");
        }
        ["fill", dir, count] => fill(Path::new(dir), count.parse().expect("a number of lines")),
        ["backlog", dir, count] => backlog(Path::new(dir), count.parse().expect("a number of lines")),
        [] => table(&tempfile::tempdir().expect("a directory")),
        [dir] => table(&tempfile::tempdir_in(dir).expect("a directory")),
        _ => println!("usage: journal_bench [DIRECTORY], or see the source"),
    }
}

fn table(dir: &tempfile::TempDir) {
    println!("in {}; a line has four values; the naive log in the last column", dir.path().display());
    println!("{:<44} {:>10} {:>10} {:>7} {:>10}", "", "measured", "limit", "ratio", "naive");
    outage(&dir.path().join("outage"));
    online(&dir.path().join("online"));
    reopens(&dir.path().join("reopen"));
    starts(&dir.path().join("starts"));
}

/// A number, what it must not exceed, or, if `is_floor`, fall below, and what the naive log needs.
fn print(name: &str, unit: &str, measured: f64, (limit, is_floor): (f64, bool), naive: Option<f64>) {
    let sign = if is_floor { '>' } else { '<' };
    let naive = naive.map_or(String::new(), |naive| format!("{naive:>10.2}"));
    println!("{name:<36} {unit:>7} {measured:>10.2} {sign}{limit:>9.2} {:>7.2} {naive}", measured / limit);
}

fn outage(dir: &Path) {
    fs::create_dir_all(dir).expect("creates");
    reset_peak();
    let (mut journal, reader) = Journal::open(Settings::at(dir.join("journal")), moment(0), 42).expect("opens");
    let ours = append(&mut journal, &reader, dir, (OUTAGE_LINES, OUTAGE_LINES_A_COMMIT));
    let drained = drain(&mut journal, &reader, &dir.join("journal"));
    let left = reader.stat().bytes;
    drop((journal, reader));
    let naive = append_naive(&dir.join("naive"), (OUTAGE_LINES, OUTAGE_LINES_A_COMMIT));
    let a_line = |bytes: u64| float(bytes) / float(OUTAGE_LINES);
    let rate = |measures: Measures| float(OUTAGE_LINES) / measures.busy.as_secs_f64();
    print("outage: written a line", "B", a_line(ours.written), (40.0, false), Some(a_line(naive.written)));
    print("outage: device, a line", "B", a_line(ours.device), (40.0, false), Some(a_line(naive.device)));
    print("outage: device, a line, draining", "B", a_line(drained.device), (1.0, false), None);
    print("outage: stored a line", "B", a_line(ours.stored), (12.0, false), Some(a_line(naive.stored)));
    print("outage: append rate", "lines/s", rate(ours), (500_000.0, true), Some(rate(naive)));
    print("outage: written a line, draining", "B", a_line(drained.written), (1.0, false), None);
    print("outage: 5 M lines in, peak RSS", "MiB", mib(ours.rss_kib), (32.0, false), None);
    print("outage: 5 M lines in and out, peak RSS", "MiB", mib(drained.rss_kib), (32.0, false), None);
    print("outage: left on disk, drained", "MiB", float(left) / f64::from(1 << 20), (16.0, false), None);
    println!("{:<44} {:>10.0} lines/s", "  drained at", rate(drained));
    fs::remove_dir_all(dir).expect("removes");
}

fn online(dir: &Path) {
    fs::create_dir_all(dir).expect("creates");
    let (mut journal, reader) = Journal::open(Settings::at(dir.join("journal")), moment(0), 42).expect("opens");
    let ours = append(&mut journal, &reader, dir, (ONLINE_LINES, ONLINE_LINES_A_COMMIT));
    drop((journal, reader));
    let naive = append_naive(&dir.join("naive"), (ONLINE_LINES, ONLINE_LINES_A_COMMIT));
    let a_commit = |bytes: u64| float(bytes) / float(ONLINE_LINES / ONLINE_LINES_A_COMMIT);
    let (ours_device, naive_device) = (a_commit(ours.device), a_commit(naive.device));
    print("online: device, a commit of 10 lines", "B", ours_device, (naive_device * 1.3, false), Some(naive_device));
    let (ours, naive) = (a_commit(ours.written), a_commit(naive.written));
    print("online: written, a commit of 10 lines", "B", ours, (naive * 1.3, false), Some(naive));
    fs::remove_dir_all(dir).expect("removes");
}

fn reopens(dir: &Path) {
    let mut filling =
        self_as("fill").arg(dir).arg(REOPEN_LINES.to_string()).stdout(Stdio::piped()).spawn().expect("runs");
    let mut said = String::new();
    BufReader::new(filling.stdout.take().expect("piped")).read_line(&mut said).expect("says that it is full");
    // It is in the middle of a commit, or about to be.
    filling.kill().expect("kills");
    filling.wait().expect("ends");
    for name in ["after a kill", "clean", "cold"] {
        if name == "cold" {
            forget_pages(dir);
        }
        let output = self_as("reopen").arg(dir).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = said.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let (ms, rss_kib) = words.next().zip(words.next()).expect("says how long and how large");
        print(&format!("reopen with 10 M lines, {name}"), "ms", ms, (300.0, false), None);
        print(&format!("reopen with 10 M lines, {name}, RSS"), "MiB", rss_kib / 1024.0, (32.0, false), None);
    }
    fs::remove_dir_all(dir).expect("removes");
}

/// Starts with a newest generation that is about to be sealed, of large commits and of small ones, with the probe on: an
/// agent is to take readings again within a second.
fn starts(dir: &Path) {
    for (name, in_commit) in [("large commits", OUTAGE_LINES_A_COMMIT), ("small commits", ONLINE_LINES_A_COMMIT)] {
        let place = dir.join(name);
        let (mut journal, reader) = Journal::open(Settings::at(&place), moment(0), 42).expect("opens");
        let mut n = 0;
        while reader.stat().bytes < NEWEST_BYTES {
            let commits = 16 * in_commit;
            for from in (n..n + commits).step_by(usize::try_from(in_commit).expect("small")) {
                journal.append(BOOT, lines(&four_series("do-4"), from, from + in_commit));
                journal.commit(moment(0)).expect("commits");
            }
            n += commits;
        }
        assert_eq!(reader.stat().generations.len(), 1, "it is about to be sealed");
        drop((journal, reader));
        for state in ["warm", "cold"] {
            if state == "cold" {
                forget_pages(&place);
            }
            let output = self_as("start").arg(&place).output().expect("runs");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let ms = said.split_whitespace().next().and_then(|word| word.parse().ok()).expect("says how long");
            assert_eq!(generations(&place), 1, "it was not sealed on the way");
            print(&format!("start, 7 MiB of {name}, {state}"), "ms", ms, (1000.0, false), None);
        }
    }
}

fn generations(dir: &Path) -> usize {
    let names = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("g0")).count()
}

/// This program again.
fn probe() -> Probe {
    let program = std::env::current_exe().expect("runs from a file");
    Probe { program, args: vec!["probe".into()], limit: PROBE_LIMIT_DEFAULT }
}

/// Takes lines in; only the journal's own time counts.
fn append(journal: &mut Journal, reader: &Reader, dir: &Path, (count, in_commit): (u64, u64)) -> Measures {
    let series = four_series("do-4");
    let (before, device, mut busy) = (written(), on_device(dir), Duration::ZERO);
    for n in (0..count).step_by(usize::try_from(in_commit).expect("small")) {
        let records = lines(&series, n, n + in_commit);
        let start = Instant::now();
        journal.append(BOOT, records);
        journal.commit(moment(n)).expect("commits");
        busy += start.elapsed();
    }
    let stored = reader.stat().bytes;
    let device = on_device(dir) - device;
    Measures { busy, written: written() - before, device, stored, rss_kib: proc_number("status", "VmHWM:") }
}

fn append_naive(dir: &Path, (count, in_commit): (u64, u64)) -> Measures {
    fs::create_dir_all(dir).expect("creates");
    reset_peak();
    let series = four_series("do-4");
    let (before, device, mut busy, mut files) = (written(), on_device(dir), Duration::ZERO, 0);
    let (mut file, mut length, mut stored) = (File::create(dir.join("0")).expect("creates"), 0, 0);
    for n in (0..count).step_by(usize::try_from(in_commit).expect("small")) {
        let records = lines(&series, n, n + in_commit);
        let start = Instant::now();
        let bytes = naive_bytes(n, &records);
        file.write_all(&bytes).expect("writes");
        file.sync_data().expect("syncs");
        busy += start.elapsed();
        length += u64::try_from(bytes.len()).expect("small");
        stored += u64::try_from(bytes.len()).expect("small");
        if length > NAIVE_FILE_BYTES {
            files += 1;
            length = 0;
            file = File::create(dir.join(files.to_string())).expect("creates");
        }
    }
    let device = on_device(dir) - device;
    Measures { busy, written: written() - before, device, stored, rss_kib: proc_number("status", "VmHWM:") }
}

fn naive_bytes(at: u64, records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len() * 43);
    for record in records {
        let Record::Reading(reading) = record else { continue };
        let Value::Number(number) = reading.value else { continue };
        bytes.extend_from_slice(&at.to_be_bytes());
        bytes.extend_from_slice(&reading.stamp.time.as_millis().to_be_bytes());
        bytes.extend_from_slice(&reading.stamp.mono_ms.to_be_bytes());
        bytes.extend_from_slice(&BOOT.0.to_be_bytes());
        bytes.extend_from_slice(&[0, 1, reading.quality.flag()]);
        bytes.extend_from_slice(&number.to_bits().to_be_bytes());
    }
    bytes
}

/// Reads all, as a sink does: the cursor is stored, and what it has passed goes.
fn drain(journal: &mut Journal, reader: &Reader, path: &Path) -> Measures {
    let sink = SinkId::try_new("lake").expect("a name");
    let (mut file, _) = CursorFile::load(path, &sink).expect("loads");
    let mut cursor = Cursor::default();
    let (before, device, start) = (written(), on_device(path), Instant::now());
    let within = everything(reader);
    let (mut next, mut reads) = (within.first, 0u64);
    while next < within.next {
        next = reader.read(SeqRange::new(next, within.next), READ_RECORDS).expect("reads").next;
        reads += 1;
        if reads.is_multiple_of(READS_A_STORE) || next == within.next {
            cursor.confirm(SeqRange::new(Seq::FIRST, next));
            file.store(&cursor).expect("stores");
            journal.retain(next, moment(1 << 40)).expect("retains");
        }
    }
    let rss_kib = proc_number("status", "VmHWM:");
    let device = on_device(path) - device;
    Measures { busy: start.elapsed(), written: written() - before, device, stored: reader.stat().bytes, rss_kib }
}

fn backlog(dir: &Path, count: u64) {
    let (mut journal, reader) = Journal::open(Settings::at(dir), moment(0), 42).expect("opens");
    let filled = append(&mut journal, &reader, dir, (count, OUTAGE_LINES_A_COMMIT));
    drop((journal, reader));
    println!(
        "filled    {:>9} readings, {:>6.1} MiB on disk, peak RSS {:>5.1} MiB",
        count * 4,
        mib(filled.stored / 1024),
        mib(filled.rss_kib)
    );
    reset_peak();
    let start = Instant::now();
    let (mut journal, reader) = Journal::open(Settings::at(dir), moment(0), 42).expect("opens");
    println!(
        "opened in {:>9.1} ms, RSS {:.1} MiB",
        start.elapsed().as_secs_f64() * 1e3,
        mib(proc_number("status", "VmRSS:"))
    );
    let drained = drain(&mut journal, &reader, dir);
    let rate = float(count * 4) / drained.busy.as_secs_f64();
    println!(
        "drained   {rate:>9.0} readings/s, {:>6.1} MiB on disk, peak RSS {:>5.1} MiB",
        mib(drained.stored / 1024),
        mib(drained.rss_kib)
    );
}

fn fill(dir: &Path, count: u64) {
    let (mut journal, reader) = Journal::open(Settings::at(dir), moment(0), 42).expect("opens");
    append(&mut journal, &reader, dir, (count, OUTAGE_LINES_A_COMMIT));
    println!("full");
    append(&mut journal, &reader, dir, (u64::MAX >> 20, ONLINE_LINES_A_COMMIT));
}

fn reopen(settings: Settings) {
    let series: Vec<Arc<Series>> = four_series("do-4");
    let start = Instant::now();
    let (mut journal, _reader) = Journal::open(settings, moment(0), 42).expect("opens");
    journal.append(BOOT, lines(&series, 0, 1));
    journal.commit(moment(0)).expect("commits");
    println!("{} {}", start.elapsed().as_secs_f64() * 1e3, proc_number("status", "VmHWM:"));
}

fn self_as(mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("runs from a file"));
    command.arg(mode);
    command
}

/// Takes a directory's files out of the page cache.
fn forget_pages(dir: &Path) {
    let mut places: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(fs::read_dir(&place).expect("lists").map(|entry| entry.expect("an entry").path()));
        } else {
            let from = format!("if={}", place.display());
            Command::new("dd").args([&from, "iflag=nocache", "count=0", "status=none"]).status().expect("dd is here");
        }
    }
}

/// Sectors written to the device below `dir`, times their 512 bytes; 0 where there is none to ask.
fn on_device(dir: &Path) -> u64 {
    Command::new("sync").arg("-f").arg(dir).status().expect("sync is here");
    let device = fs::metadata(dir).expect("is there").dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    stat.split_whitespace().nth(6).and_then(|word| word.parse().ok()).map_or(0, |sectors: u64| sectors * 512)
}

fn written() -> u64 {
    proc_number("io", "write_bytes:")
}

/// Starts the peak of the resident set anew (proc(5), `clear_refs`).
fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may reset its own");
}

fn proc_number(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(Path::new("/proc/self").join(file)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52, printed with two decimals")]
fn float(number: u64) -> f64 {
    number as f64
}

fn mib(kib: u64) -> f64 {
    float(kib) / 1024.0
}
