//! Damage in the log of the newest generation costs what it hit, and what sled would drop without a word is put back.
//!
//! Each story spoils the raw bytes that sled wrote, and opens the journal as the agent does: another process looks first.

#[path = "support/probe.rs"]
mod probing;
mod support;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use journal::{Journal, JournalError, Reader, Settings, open_offline_with};
use model::{Gap, GapReason, Record, Seq, SeqRange};
use probing::probe;
use support::*;

/// What is done to the bytes of a log.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

const SEED: u64 = 20_261_124;
const FLIPS: u64 = 60;
const COMMITS: u64 = 400;
const LINES_A_COMMIT: u64 = 10;

fn vetted(path: &Path) -> Settings {
    Settings { probe: Some(probe()), ..settings(path) }
}

/// Opens. The children of the other stories hold copies of all descriptors, locks included, until they become the
/// program.
fn reopen(path: &Path) -> (Journal, Reader) {
    loop {
        match Journal::open(vetted(path), moment(0), 42) {
            Err(JournalError::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.expect("opens whatever the disk did"),
        }
    }
}

fn log_of(path: &Path) -> PathBuf {
    generation_dirs(path).pop().expect("a generation").join("db")
}

fn spoil(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(log_of(path)).expect("reads");
    how(&mut bytes);
    fs::write(log_of(path), bytes).expect("writes");
}

/// Where the values that begin at `seq` stand in inserts: behind their number and their length.
fn inserts_of(bytes: &[u8], seq: Seq) -> Vec<Range<usize>> {
    let mark = [&[0, 8][..], &seq.0.to_be_bytes()].concat();
    let found = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let value = |at: usize| {
        let length_at = at + mark.len();
        match bytes[length_at] {
            small @ 34..=240 => Some(length_at + 1..length_at + 1 + usize::from(small)),
            large @ 241..=248 => {
                let length = 240 + 256 * (usize::from(large) - 241) + usize::from(bytes[length_at + 1]);
                Some(length_at + 2..length_at + 2 + length)
            }
            _ => None,
        }
    };
    found.filter_map(|(at, _)| value(at)).collect()
}

/// A journal of events, one a commit, each a value of its own.
fn of_events(path: &Path, count: u64) {
    let (mut journal, _reader) = reopen(path);
    for n in 0..count {
        put(&mut journal, n, vec![event(n)]);
    }
}

/// What reads, with what is named lost between.
fn given(reader: &Reader, head: Seq) -> (Vec<(Seq, Record)>, Vec<SeqRange>) {
    let chunk = reader.read(SeqRange::new(Seq::FIRST, head), usize::MAX).expect("reads");
    let records = chunk.records.into_iter().map(|numbered| (numbered.seq, numbered.record)).collect();
    (records, chunk.lost.iter().map(|lost| lost.range).collect())
}

fn quarantined(path: &Path) -> usize {
    fs::read_dir(path.join("quarantine")).map_or(0, Iterator::count)
}

fn counted(gaps: &[Gap]) -> u64 {
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Corrupt));
    gaps.iter().map(|gap| gap.count).sum()
}

#[test]
fn one_flipped_bit_in_the_log_costs_one_page_and_not_the_generation() {
    let home = tempfile::tempdir().expect("a directory");
    let original = home.path().join("original");
    let (mut journal, reader) = reopen(&original);
    let series = four_series("do-4");
    for n in 0..COMMITS {
        put(&mut journal, n * 1000, lines(&series, n * LINES_A_COMMIT, (n + 1) * LINES_A_COMMIT));
    }
    let head = reader.head();
    let expected = given(&reader, head).0;
    drop((journal, reader));
    let used = fs::read(log_of(&original)).expect("reads").iter().rposition(|byte| *byte != 0).expect("not empty");
    let most_in_a_page = 16 * LINES_A_COMMIT * 4;
    let mut costs = Vec::new();
    for flip in 0..FLIPS {
        let at = usize::try_from(noise(SEED + flip) % used as u64).expect("below a usize");
        let path = home.path().join(flip.to_string());
        copy_tree(&original, &path);
        spoil(&path, |bytes| bytes[at] ^= 1 << (flip % 8));
        let (mut journal, reader) = reopen(&path);
        let (records, lost) = given(&reader, head);
        let cost = head.0 - 1 - u64::try_from(records.len()).expect("64 bits");
        assert!(cost <= most_in_a_page, "seed {SEED}, flip {flip} at {at}: {cost} lost");
        assert!(records.iter().all(|record| expected[usize::try_from(record.0.0 - 1).expect("small")] == *record));
        assert_eq!(lost.iter().map(SeqRange::len).sum::<u64>(), cost, "what does not read is named");
        assert_eq!(counted(&journal.owed_gaps()), cost, "and told");
        assert!(reader.head() >= head);
        costs.push(cost);
    }
    println!("seed {SEED}: {FLIPS} flips in {used} bytes cost {costs:?} of {} records", head.0 - 1);
}

#[test]
fn records_that_sled_drops_from_the_very_end_without_a_word_are_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    of_events(dir.path(), 50);
    // The checksum of the message around record 45: its own value, and the five behind it, are whole.
    spoil(dir.path(), |bytes| {
        let value = inserts_of(bytes, Seq(45)).pop().expect("it was inserted");
        bytes[value.start - 14] ^= 1;
    });
    let (mut journal, reader) = reopen(dir.path());
    assert_eq!(reader.head(), Seq(51), "no number is given out again");
    let (records, lost) = given(&reader, Seq(51));
    assert_eq!((records.len(), lost), (50, Vec::new()));
    assert_eq!(journal.owed_gaps(), [], "nothing was lost, nothing is told");
    assert_eq!(quarantined(dir.path()), 0);
    assert_eq!(put(&mut journal, 100, vec![event(50)]).first, Seq(51));
    drop((journal, reader));
    let (_journal, reader) = reopen(dir.path());
    assert_eq!(given(&reader, Seq(52)), ((1..52).map(|n| (Seq(n), event(n - 1))).collect(), Vec::new()));
}

#[test]
fn a_record_spoilt_near_the_end_is_named_and_what_stands_behind_it_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    of_events(dir.path(), 50);
    spoil(dir.path(), |bytes| {
        for value in inserts_of(bytes, Seq(45)) {
            bytes[value.end - 1] ^= 1;
        }
    });
    let damaged = fs::read(log_of(dir.path())).expect("reads");
    let (mut journal, reader) = reopen(dir.path());
    let (records, lost) = given(&reader, Seq(51));
    assert_eq!((records.len(), lost), (49, vec![range(45, 46)]));
    let gaps = journal.owed_gaps();
    assert_eq!(counted(&gaps), 1, "{gaps:?}");
    assert!(put(&mut journal, 100, vec![event(50)]).first >= Seq(51));
    let evidence = dir.path().join("quarantine").join(format!("g{:020}", 1)).join("db");
    assert!(fs::read(evidence).expect("kept") == damaged, "to the byte: sled was not let near it");
}

/// A power cut in the middle of a commit leaves any of its pages, in any order. What was acknowledged before is there
/// and nothing is told, unless the cut left whole values with a hole before them: that can not be told from damage.
#[test]
fn a_torn_commit_costs_nothing_that_was_acknowledged_and_is_no_damage() {
    const PAGE: usize = 4096;
    let home = tempfile::tempdir().expect("a directory");
    let series = four_series("do-4");
    for (name, lines_in_commit) in [("ten lines", 10), ("three thousand lines", 3000)] {
        let (mut clean, mut told) = (0, 0);
        for round in 0..20u64 {
            let path = home.path().join(format!("{lines_in_commit}-{round}"));
            let (mut journal, reader) = reopen(&path);
            for n in 0..5 + round {
                put(&mut journal, n, lines(&series, n * 10, (n + 1) * 10));
            }
            let acknowledged = reader.head();
            let before = fs::read(log_of(&path)).expect("reads");
            let torn = heavy_lines(&series, 1000, 1000 + lines_in_commit);
            put(&mut journal, 1000, torn);
            drop((journal, reader));
            spoil(&path, |bytes| {
                for (n, page) in (0u64..).zip(bytes.chunks_mut(PAGE)) {
                    let at = usize::try_from(n).expect("small") * PAGE;
                    let old = before.get(at..at + page.len()).map_or_else(|| vec![0; page.len()], <[u8]>::to_vec);
                    let is_written = noise(SEED + round * 10_000 + n).is_multiple_of(2);
                    if !is_written {
                        page.copy_from_slice(&old);
                    }
                }
            });
            let (mut journal, reader) = reopen(&path);
            assert!(reader.head() >= acknowledged, "{name}, round {round}");
            let (_, lost) = given(&reader, acknowledged);
            assert_eq!(lost, [], "{name}, round {round}: acknowledged");
            let is_told = !journal.owed_gaps().is_empty();
            assert!(!is_told || lines_in_commit > 10, "{name}, round {round}: told without a loss");
            assert_eq!(quarantined(&path) > 0, is_told, "{name}, round {round}");
            *(if is_told { &mut told } else { &mut clean }) += 1;
        }
        println!("seed {SEED}: a torn commit of {name}: {clean} clean, {told} with a hole before what is whole");
    }
}

/// Without the agent: what reads is read, the rest is named, and not a byte of the journal changes.
#[test]
fn a_damaged_journal_reads_offline_as_far_as_it_reads_and_stays_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let original = home.path().join("original");
    {
        let aged = Settings { generation_age_ms: 1000, ..vetted(&original) };
        let (mut journal, _reader) = open(aged);
        for n in 0..40 {
            put(&mut journal, (n / 20) * 2000, vec![event(n)]);
        }
    }
    assert_eq!(generation_dirs(&original).len(), 2);
    let emptied = |bytes: &mut Vec<u8>| bytes.clear();
    let flipped = |bytes: &mut Vec<u8>| {
        for value in inserts_of(bytes, Seq(38)) {
            bytes[value.end - 1] ^= 1;
        }
    };
    let all_of_it: Vec<u64> = (1..21).collect();
    let all_but_one: Vec<u64> = (1..41).filter(|n| *n != 38).collect();
    for (name, damage, left) in
        [("emptied", &emptied as Damage, all_of_it), ("flipped", &flipped as Damage, all_but_one)]
    {
        let path = home.path().join(name);
        copy_tree(&original, &path);
        spoil(&path, damage);
        let before = fs::read(log_of(&path)).expect("reads");
        let reader = loop {
            match open_offline_with(&path, Some(probe())) {
                Err(JournalError::Locked { .. }) => std::thread::yield_now(),
                opened => break opened.expect("opens as far as it reads"),
            }
        };
        let (records, lost) = given(&reader, Seq(u64::MAX));
        assert_eq!(records.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), left, "{name}");
        assert_eq!(lost.len(), 1, "{name}: {lost:?}");
        let (mut findings, mut at) = (Vec::new(), Some(Seq::FIRST));
        while let Some(from) = at {
            let audit = reader.audit(from).expect("the machine is fine");
            findings.extend(audit.findings);
            at = audit.next;
        }
        assert!(!findings.is_empty(), "{name}: verify says so");
        drop(reader);
        assert!(fs::read(log_of(&path)).expect("reads") == before, "{name}: nothing is changed");
        assert_eq!(quarantined(&path), 0);
    }
}
