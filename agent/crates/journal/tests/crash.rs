//! What was acknowledged is there: after a kill by the words of the killed process, after a power cut by the order of
//! its system calls (a kill hides a missing `fdatasync` completely, so it must not be the only test).
//!
//! The child is this test binary again, asked by name to write and to print each head after its commit.

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use journal::Settings;
use model::{Record, Seq, SeqRange};
use support::*;

const CHILD_DIR: &str = "JOURNAL_TEST_CHILD_DIR";
const CHILD_COMMITS: &str = "JOURNAL_TEST_CHILD_COMMITS";
const CHILD: &str = "child_writes_until_it_is_killed";

/// Does nothing unless it is the child: then it commits lines, and says each head once it is durable.
#[test]
fn child_writes_until_it_is_killed() {
    let (Ok(dir), Ok(commits)) = (env::var(CHILD_DIR), env::var(CHILD_COMMITS)) else { return };
    let settings = Settings { generation_age_ms: 200, ..settings(Path::new(&dir)) };
    let (mut journal, reader) = open(settings);
    let series = four_series("do-4");
    for n in 0..commits.parse().unwrap() {
        let at = reader.head().0;
        journal.append(BOOT, lines(&series, at, at + 1 + noise(at) % 30));
        let head = journal.commit(moment(n)).unwrap();
        writeln!(std::io::stdout(), "ACK {head}").unwrap();
        journal.retain(Seq::FIRST, moment(n)).unwrap();
    }
}

fn acknowledged(line: &str) -> Option<Seq> {
    line.rsplit_once("ACK ").and_then(|(_, head)| head.trim().parse().ok()).map(Seq)
}

#[test]
fn what_a_killed_process_acknowledged_is_there_and_the_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let series = four_series("do-4");
    let mut last = Seq::FIRST;
    for round in 0..6u64 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir.path())
            .env(CHILD_COMMITS, "1000000")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let until = 30 + noise(round) % 400;
        let acks: Vec<Seq> =
            stdout.by_ref().filter_map(|line| acknowledged(&line)).take(usize::try_from(until).unwrap()).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        let head = stdout.filter_map(|line| acknowledged(&line)).chain(acks.iter().copied()).max().unwrap();
        assert!(acks[0] > last, "numbers go on");
        let (_journal, reader) = open(settings(dir.path()));
        assert!(reader.head() >= head, "round {round}: {head} was acknowledged, {} is there", reader.head());
        let mut expected: Vec<Record> = Vec::new();
        let mut at = last.0;
        while at < head.0 {
            let records = lines(&series, at, at + 1 + noise(at) % 30);
            at += u64::try_from(records.len()).unwrap();
            expected.extend(records);
        }
        let read = read_all(&reader, SeqRange::new(last, head));
        assert_eq!(read.into_iter().map(|n| n.record).collect::<Vec<_>>(), expected, "round {round}");
        last = reader.head();
    }
}

#[test]
fn fdatasync_follows_the_last_write_before_each_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let journal = dir.path().join("journal");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "32", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, &journal)
        .env(CHILD_COMMITS, "20")
        .output();
    let is_traced = matches!(&output, Ok(output) if output.status.success());
    if !is_traced {
        println!("skipped: strace is not here or may not trace; the power cut rig covers this");
        return;
    }
    let mut unsynced = 0;
    let mut acks = 0;
    for call in fs::read_to_string(&trace).unwrap().lines() {
        let is_on_db = call.contains("/db>");
        if is_on_db && call.contains("pwrite64(") {
            unsynced += 1;
        } else if is_on_db && call.contains("fdatasync(") {
            unsynced = 0;
        } else if call.contains("ACK ") {
            assert_eq!(unsynced, 0, "acknowledged with writes that are not synced: {call}");
            acks += 1;
        }
    }
    assert_eq!(acks, 20, "each acknowledgement is one write");
}
