//! Power cuts: a writer on an ext4 file system that is shut down under it, as often as `JOURNAL_POWER_CUTS` says, and
//! afterwards everything that it had acknowledged is there to the bit, and no number was given out twice.
//!
//! Needs root and a loop device, and says on standard error that it is skipped where there are none; there the order
//! of the system calls in `crash.rs` stands in. That the rig finds a missing `fdatasync` is a test of its own: strace
//! answers the call in the system's place, and nothing is synced.
//!
//! Three processes: the test; itself again in a mount namespace, with the disk; itself again as the writer.

#[path = "support/disk.rs"]
mod disk;
mod support;

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use disk::Disk;
use journal::{Cursor, CursorFile, Journal, JournalError, Loaded, Reader, SealedStore, Settings};
use model::{Quality, Reading, Record, Seq, SeqRange, Series, SinkId, Value};
use support::*;

const CUTS: &str = "JOURNAL_POWER_CUTS";
const CUTS_DEFAULT: u64 = 20;
const DIR: &str = "JOURNAL_TEST_POWERCUT_DIR";
const ROUND: &str = "JOURNAL_TEST_POWERCUT_ROUND";
const WRITER_DIR: &str = "JOURNAL_TEST_POWERCUT_WRITER";
/// Set where `fdatasync` is to be taken out.
const SABOTAGE: &str = "JOURNAL_TEST_POWERCUT_SABOTAGE";
const WRITER: &str = "writer_goes_on_until_the_power_goes";
const INSIDE: &str = "inside_a_mount_namespace";

/// What the inner test says when the machine has no disk to give.
const NO_DISK: &str = "NO DISK";
/// Without the sync a loss shows at about every cut.
const CUTS_TO_A_LOSS_MAX: u64 = 10;

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let Some((status, said)) = run_inside(false) else { return };
    println!("{said}");
    assert!(status.success());
}

/// The test of the test.
#[test]
fn the_rig_finds_a_loss_when_the_fdatasync_is_taken_out() {
    let is_traced = Command::new("strace").args(["-e", "inject=fdatasync:retval=0", "true"]).output();
    if !is_traced.is_ok_and(|output| output.status.success()) {
        return skip("strace is not here or may not trace");
    }
    let Some((status, said)) = run_inside(true) else { return };
    println!("{said}");
    assert!(status.success() && said.contains("LOSS FOUND"));
}

fn skip(why: &str) {
    // Not `println`, which the harness keeps to itself when a test passes.
    writeln!(io::stderr(), "SKIPPED: power cuts: {why}").expect("the rig works");
}

/// Runs the inner test in a mount namespace; `None` where that can not be.
fn run_inside(is_sabotaged: bool) -> Option<(ExitStatus, String)> {
    let dir = tempfile::tempdir().expect("the rig works");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(env::current_exe().expect("the rig works"));
    command.args(["--exact", INSIDE, "--nocapture", "--test-threads=1"]).env(DIR, dir.path());
    if is_sabotaged {
        command.env(SABOTAGE, "1");
    }
    let output = command.output();
    let said = output.as_ref().map(|output| [&output.stdout[..], &output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    match output {
        Ok(output) if !said.contains(NO_DISK) && said.contains("running 1 test") => Some((output.status, said)),
        _ => {
            skip(&format!("no root, mount namespace or loop device: {}", said.lines().last().unwrap_or_default()));
            None
        }
    }
}

#[test]
fn inside_a_mount_namespace() {
    let Ok(dir) = env::var(DIR) else { return };
    let is_sabotaged = env::var_os(SABOTAGE).is_some();
    let disk = match Disk::attach(Path::new(&dir)) {
        Ok(disk) => disk,
        Err(error) => return println!("{NO_DISK}: {error}"),
    };
    let cuts = env::var(CUTS).ok().and_then(|word| word.parse().ok()).unwrap_or(CUTS_DEFAULT);
    let mut known = Known::default();
    for round in 0..if is_sabotaged { CUTS_TO_A_LOSS_MAX } else { cuts } {
        write_until_cut(&disk, round, is_sabotaged, &mut known);
        disk.revive().expect("the rig works");
        // sled may panic at what it finds when the sync was taken out.
        let verified = catch_unwind(AssertUnwindSafe(|| known.verify(disk.path(), round)));
        let verdict = verified.unwrap_or_else(|_| Err("panics".to_owned()));
        println!("cut {round}: {} acknowledged, {verdict:?}", known.acknowledged);
        match verdict {
            Ok(()) => {}
            Err(loss) if is_sabotaged => return println!("LOSS FOUND at cut {round}: {loss}"),
            Err(loss) => panic!("cut {round}: {loss}"),
        }
    }
    assert!(is_sabotaged || known.removed > Seq::FIRST, "generations were sealed and removed on the way");
}

fn write_until_cut(disk: &Disk, round: u64, is_sabotaged: bool, known: &mut Known) {
    let exe = env::current_exe().expect("the rig works");
    let mut command = if is_sabotaged { Command::new("strace") } else { Command::new(&exe) };
    if is_sabotaged {
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:retval=0"]).arg(&exe);
    }
    let child = command
        .args(["--exact", WRITER, "--nocapture", "--test-threads=1"])
        .env(WRITER_DIR, disk.path())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("the rig works");
    let mut lines = BufReader::new(child.stdout.take().expect("the rig works")).lines().map_while(Result::ok);
    let acks = usize::try_from(10 + noise(round) % 250).expect("the rig works");
    let mut said = Vec::new();
    let mut heard = 0;
    while heard < acks {
        let line = lines.next().expect("the writer goes on until the cut");
        heard += usize::from(line.contains("@ACK"));
        said.push(line);
    }
    let cut_at = disk.cut().expect("the rig works");
    // It goes on until the first error, so what it said before the cut counts, whenever it was heard.
    said.extend(lines);
    for line in &said {
        known.hear(line, cut_at);
    }
    child.wait().expect("the rig works");
}

/// What the writer has said, over all rounds.
#[derive(Debug)]
struct Known {
    acknowledged: Seq,
    /// The durable records, and the round each is of.
    rounds: Vec<(SeqRange, u64)>,
    /// Confirmed by the last cursor stored.
    cursor: Seq,
    /// All below it may be removed.
    removed: Seq,
    sealed: BTreeSet<SeqRange>,
}

impl Default for Known {
    fn default() -> Self {
        let first = Seq::FIRST;
        Self { acknowledged: first, rounds: Vec::new(), cursor: first, removed: first, sealed: BTreeSet::new() }
    }
}

impl Known {
    /// Takes in a line of the writer. What was promised once the cut had begun does not count: a sync under way in that
    /// instant can come back as done. What was given up counts whenever it was said.
    fn hear(&mut self, line: &str, cut_at: u128) {
        let mut words = line.rsplit('@').next().unwrap_or_default().split(' ');
        let kind = words.next().unwrap_or_default();
        let at: Option<u128> = words.next().and_then(|word| word.parse().ok());
        let mut seq = || words.next().and_then(|word| word.parse().ok()).map(Seq);
        let is_in_time = at.is_some_and(|at| at < cut_at);
        match (kind, is_in_time, seq(), seq()) {
            ("ACK", true, Some(head), _) => self.acknowledged = head,
            ("CURSOR", true, Some(low), _) => self.cursor = low,
            ("SEALED", true, Some(first), Some(next)) => drop(self.sealed.insert(SeqRange::new(first, next))),
            ("RETAIN", _, Some(below), _) => self.removed = below,
            ("REMOVE", _, Some(first), Some(next)) => drop(self.sealed.remove(&SeqRange::new(first, next))),
            ("ACK" | "CURSOR" | "SEALED", false, ..) => println!("said too late to count: {line}"),
            _ => {}
        }
    }

    /// Opens what is there and holds it against what was said; `Err` names the loss.
    fn verify(&mut self, path: &Path, round: u64) -> Result<(), String> {
        let (journal, reader) = Journal::open(settings(path), moment(0), 42).map_err(|error| format!("{error:?}"))?;
        let (acknowledged, head) = (self.acknowledged, reader.head());
        let before = self.rounds.last().map_or(Seq::FIRST, |(range, _)| range.next);
        let is_all_there = head >= acknowledged && acknowledged >= before;
        is_all_there.then_some(()).ok_or_else(|| format!("{acknowledged} acknowledged, {head} there"))?;
        self.rounds.push((SeqRange::new(before, head), round));
        self.verify_records(&reader)?;
        drop((journal, reader));
        let (_, loaded) = CursorFile::load(path, &sink()).map_err(|error| format!("{error:?}"))?;
        match loaded {
            Loaded::Cursor(cursor) if cursor.low_water() >= self.cursor && cursor.low_water() <= head => {}
            Loaded::New if self.cursor == Seq::FIRST => {}
            other => return Err(format!("cursor {} stored, {other:?} there", self.cursor)),
        }
        let store = SealedStore::open(path, &sink(), SEALED_BYTES_MAX).map_err(|error| format!("{error:?}"))?;
        for range in &self.sealed {
            match store.get(*range) {
                Ok(Some(bytes)) if bytes == batch(*range) => {}
                other => return Err(format!("batch {range} sealed, {other:?} there")),
            }
        }
        Ok(())
    }

    fn verify_records(&self, reader: &Reader) -> Result<(), String> {
        let within = everything(reader);
        if within.first > self.removed {
            return Err(format!("{} may be removed, {} is the tail", self.removed, within.first));
        }
        let chunk = reader.read(within, usize::MAX).map_err(|error| format!("{error:?}"))?;
        if !chunk.lost.is_empty() || u64::try_from(chunk.records.len()) != Ok(within.len()) {
            return Err(format!("lost {:?}", chunk.lost));
        }
        let mut rounds = self.rounds.iter().skip_while(|(range, _)| range.next <= within.first).peekable();
        let series = four_series("do-4");
        for numbered in chunk.records {
            while rounds.next_if(|(range, _)| range.next <= numbered.seq).is_some() {}
            let round = rounds.peek().map_or(0, |(_, round)| *round);
            if numbered.record != record(&series, numbered.seq, round) {
                return Err(format!("{} is another record than round {round} put there", numbered.seq));
            }
        }
        Ok(())
    }
}

const SEALED_BYTES_MAX: u64 = 64 << 20;
/// Batches sealed at a time.
const SEALED_BATCHES: usize = 4;

fn sink() -> SinkId {
    SinkId::try_new("lake").expect("the rig works")
}

/// What stands at a number if a round put it there: no two rounds have the same. It does not compress, so that
/// commits go on into new segments: within one that is there already a missing sync shows late.
fn record(series: &[Arc<Series>], seq: Seq, round: u64) -> Record {
    let n = (round << 32) + seq.0;
    Record::Reading(Reading {
        stamp: stamp(n),
        series: Arc::clone(&series[usize::try_from(seq.0 % 4).expect("the rig works")]),
        value: Value::Number(f64::from_bits(noise(n) >> 2)),
        quality: Quality::Pass,
    })
}

/// The bytes of a batch: a page and a bit.
fn batch(range: SeqRange) -> Vec<u8> {
    (0..700).flat_map(|n| noise(range.first.0 + n).to_be_bytes()).collect()
}

/// Says a line, and when, in nanoseconds of the wall clock: after what it promises was done.
#[expect(clippy::disallowed_methods, reason = "the cut's time is taken from the same clock")]
fn say(kind: &str, what: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos();
    writeln!(io::stdout(), "@{kind} {now} {what}").expect("the rig works");
}

/// Does nothing unless it is the writer: then it uses everything that promises to last, and says what was promised.
#[test]
fn writer_goes_on_until_the_power_goes() {
    let (Ok(dir), Ok(round)) = (env::var(WRITER_DIR), env::var(ROUND)) else { return };
    let error = write(Path::new(&dir), round.parse().expect("the rig works"), env::var_os(SABOTAGE).is_some());
    say("ENDED", &format!("{error:?}"));
    // No destructor writes anything more.
    std::process::exit(0);
}

fn write(path: &Path, round: u64, is_sabotaged: bool) -> Result<(), JournalError> {
    // Sealing syncs everything too.
    let generation_age_ms = if is_sabotaged { u64::MAX } else { 100 };
    let (mut journal, reader) = Journal::open(Settings { generation_age_ms, ..settings(path) }, moment(0), 42)?;
    let series = four_series("do-4");
    let (mut file, loaded) = CursorFile::load(path, &sink())?;
    let mut cursor = if let Loaded::Cursor(cursor) = loaded { cursor } else { Cursor::default() };
    let store = SealedStore::open(path, &sink(), SEALED_BYTES_MAX)?;
    let mut batches = VecDeque::new();
    for n in 0u64.. {
        let from = reader.head();
        let count = 1 + noise(n + round) % 2000;
        let records = (from.0..from.0 + count).map(|seq| record(&series, Seq(seq), round)).collect();
        journal.append(BOOT, records);
        let head = journal.commit(moment(n))?;
        say("ACK", &format!("{head}"));
        // Anything else that syncs would sync the records with it.
        if is_sabotaged {
            continue;
        }
        if n % 5 == 0 {
            let range = SeqRange::new(from, head);
            store.put(range, &batch(range))?;
            say("SEALED", &format!("{} {}", range.first, range.next));
            batches.push_back(range);
        }
        if let Some(range) = batches.pop_front_if(|_| n % 5 == 0 && n > 5 * u64::try_from(SEALED_BATCHES).unwrap_or(0))
        {
            say("REMOVE", &format!("{} {}", range.first, range.next));
            store.remove(range)?;
        }
        if n % 7 == 0 {
            cursor.confirm(SeqRange::new(Seq::FIRST, Seq(from.0.saturating_sub(20_000).max(1))));
            file.store(&cursor)?;
            say("CURSOR", &format!("{}", cursor.low_water()));
            say("RETAIN", &format!("{}", cursor.low_water()));
            // Later than the records of any round.
            journal.retain(cursor.low_water(), moment(1 << 52))?;
        }
    }
    Ok(())
}
