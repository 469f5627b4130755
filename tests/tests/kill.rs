//! `kill -9` at full speed, again and again: what was durable is in every lake, once.
//!
//! An instrument numbers its lines and never waits for anybody. The agent is killed ten times in the middle of its
//! work and started again with the same folder. At the end every line that it had time to make durable is in the
//! lake, no line is there twice, and no place of the journal is used twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::agent::{self, Agent};
use e2e::lake::Lake;
use e2e::mosquitto::Mosquitto;
use e2e::patience::{now, wait_for};
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::seaweed::Seaweed;
use e2e::subscriber::Subscriber;
use e2e::talker::{Said, Talker};

const LINES_PER_SECOND: u32 = 2_000;

/// Lines said between two kills: uneven, so that a kill meets every stage of a commit and of a delivery.
const LINES_BEFORE_KILL: [u64; 10] = [500, 2_311, 1_277, 4_093, 811, 3_001, 1_999, 5_003, 1_601, 2_777];

const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// A line counts as read this long after it went into the port: the agent reads within a millisecond, but this
/// machine also runs the instrument, a broker and two stores on two cores.
const READ_WITHIN: Duration = Duration::from_millis(300);

const LIMIT: Duration = Duration::from_mins(3);

/// The lines that must have been durable at this instant.
fn owed(said: &[Said], opened: Instant, killed: Instant) -> impl Iterator<Item = u64> {
    let due = killed.checked_sub(COMMIT_INTERVAL + READ_WITHIN).unwrap_or(opened);
    said.iter().filter(move |said| opened < said.at && said.at < due).map(|said| said.number)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "line numbers are small whole numbers")]
fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().filter(|row| row.is_reading()).filter_map(|row| row.value).map(|value| value as u64).collect()
}

#[test]
fn ten_kills_at_full_speed_lose_nothing_durable_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("kills");
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let folder = dir.path().join("lake");
    let port = Port::plugged(&dir.path().join("port"));
    let device = port.device().unwrap().to_owned();
    let sinks = [
        agent::mqtt_sink("cloud", &broker.url()),
        agent::s3_sink("store", &store, "kills"),
        agent::file_sink("usb", &folder, "ndjson"),
    ];
    let interval = format!("{}ms", COMMIT_INTERVAL.as_millis());
    let config = agent::preamble(dir.path(), &interval) + &agent::counter("counter", port.path()) + &sinks.concat();
    let mut agent = Agent::started(dir.path(), &config);
    let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));

    let mut must = BTreeSet::new();
    for lines in LINES_BEFORE_KILL {
        agent.wait_device(&device, "counter");
        let (opened, before) = (now(), talker.count());
        wait_for(
            "the instrument to go on",
            LIMIT,
            || agent.log_tail(),
            || (talker.count() > before + lines).then_some(()),
        );
        let killed = now();
        agent.kill();
        must.extend(owed(&talker.said(), opened, killed));
        agent.start();
    }
    agent.wait_device(&device, "counter");
    drop(talker.stop());
    agent.wait_ready();
    agent.wait_delivered(LIMIT);
    agent.terminate();
    assert!(must.len() > 10_000, "{} lines were said long enough before a kill: that proves nothing", must.len());

    let stored = Lake::Bucket(&store, "kills").parquet_rows();
    let filed = Lake::Folder(&folder).ndjson_rows();
    for (lake, rows) in [("the object store", &stored), ("the folder", &filed)] {
        row::assert_each_once(rows);
        let numbers = numbers(rows);
        assert_none_missing(lake, &must, &numbers);
        let distinct: BTreeSet<&u64> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "{lake} holds a line twice");
        assert!(rows.iter().all(|row| row.event != "gap"), "{lake} names a gap: nothing had to be dropped");
    }
    let boots = filed.iter().filter(|row| row.event == "boot").count();
    assert_eq!(boots, LINES_BEFORE_KILL.len() + 1, "every start is told");

    // The broker has acknowledged all; its copies reach the subscriber in their own time.
    let heard = wait_for("the subscriber to have as much as the folder", LIMIT, String::new, || {
        Some(subscriber.rows()).filter(|rows| rows.len() >= filed.len())
    });
    assert_none_missing("the subscriber", &must, &numbers(&heard));
}

#[track_caller]
fn assert_none_missing(reader: &str, must: &BTreeSet<u64>, numbers: &[u64]) {
    let there: BTreeSet<u64> = numbers.iter().copied().collect();
    let missing: Vec<&u64> = must.difference(&there).collect();
    let first = &missing[..missing.len().min(20)];
    assert!(missing.is_empty(), "{reader} lost {} of {} durable lines: {first:?} ...", missing.len(), must.len());
}
