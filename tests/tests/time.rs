//! Honest time: a board that boots in 1970, a clock that is set while readings are taken, and one that never is.
//!
//! The agent runs under libfaketime.

use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::faketime::{self, set};
use e2e::lake::Lake;
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(1);

/// A counter and a folder, under an agent whose clock starts as `time` says; its sink holds for `hold`.
struct Board {
    dir: tempfile::TempDir,
    agent: Agent,
    port: Port,
}

impl Board {
    fn booted(time: &str, hold: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = Port::plugged(&dir.path().join("port"));
        let preamble = agent::preamble(dir.path(), "200ms");
        let config = preamble.replace("hold_untrusted = \"0s\"", &format!("hold_untrusted = \"{hold}\""))
            + &agent::counter("counter", port.path())
            + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
        set(dir.path(), time);
        let agent = faketime::launched(dir.path(), &config);
        agent.wait_ready();
        agent.wait_open(&port, "counter");
        Self { dir, agent, port }
    }
}

fn readings(rows: &[Row]) -> Vec<&Row> {
    let mut readings: Vec<&Row> = rows.iter().filter(|row| row.is_reading()).collect();
    readings.sort_by_key(|row| row.seq);
    readings
}

#[test]
fn readings_of_a_board_that_booted_in_1970_wait_for_the_clock_and_are_put_right_when_it_is_set() {
    let Board { dir, mut agent, port } = Board::booted("@1970-01-01 00:00:10", "1h");
    let talker = Talker::start(port, 50, |number| format!("n,{number}\r\n"));
    let status = agent.wait_until("readings that nobody vouches for to be held", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(100)
            && item(status, "sinks", "usb")["state"] == "holding"
    });
    assert_eq!(status["clock"]["state"], "untrusted");
    assert_eq!(item(&status, "sinks", "usb")["delivered_total"], 0);
    assert_eq!(agent.cli(&["status"]).status.code(), Some(exit::NOT_FINE), "somebody should look at that clock");
    let held = agent.tail(1)[0].clone();
    assert!(held.time.starts_with("1970-01-01"), "{}", held.time);
    assert_eq!(held.clock, "untrusted");

    // Somebody sets the clock: what was held goes, with its time put right.
    set(dir.path(), "+0");
    agent.wait_until("the clock to be trusted", LIMIT, |status| status["clock"]["state"] == "synced");
    let enough = talker.count() + 50;
    agent.wait_until("more readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(enough)
    });
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let rows = Lake::Folder(&dir.path().join("lake")).ndjson_rows();
    row::assert_each_once(&rows);
    let readings = readings(&rows);
    let today = |row: &&&Row| row.time.starts_with("20");
    assert_eq!(readings.iter().filter(today).count(), readings.len(), "a reading is still in 1970");
    let corrected = readings.iter().take_while(|row| row.clock == "corrected").count();
    assert!(corrected >= 100, "only {corrected} were put right");
    assert!(readings[corrected..].iter().all(|row| row.clock == "synced"));
    let times: Vec<&str> = readings.iter().map(|row| row.time.as_str()).collect();
    assert!(times.is_sorted(), "put right, they stand in the order in which they were taken");
    assert!(rows.iter().any(|row| row.event == "clock-set"), "history says when");
}

#[test]
fn a_clock_that_is_never_set_holds_readings_only_so_long_and_they_say_so() {
    let Board { dir, mut agent, port } = Board::booted("@1970-01-01 00:00:10", "3s");
    port.send(b"n,1\r\nn,2\r\n", LIMIT);
    agent.wait_until("the readings to be taken", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"] == 2
    });
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let rows = Lake::Folder(&dir.path().join("lake")).ndjson_rows();
    let readings = readings(&rows);
    assert_eq!(readings.iter().filter_map(|row| row.value).collect::<Vec<_>>(), [1.0, 2.0]);
    assert!(readings.iter().all(|row| row.clock == "untrusted" && row.time.starts_with("1970-01-01")));
}

#[test]
fn a_clock_that_is_set_back_and_forth_loses_nothing_and_numbers_go_on() {
    let Board { dir, mut agent, port } = Board::booted("+0", "0s");
    let talker = Talker::start(port, 50, |number| format!("n,{number}\r\n"));
    for (steps, offset) in (1..).zip(["-3d", "+2d", "-2h", "+0"]) {
        set(dir.path(), offset);
        let seen = || agent.tail(100_000).iter().filter(|row| row.event == "clock-set").count();
        agent.wait_until("the step to be recorded", LIMIT, |_| seen() >= steps);
    }
    let said = talker.count();
    agent.wait_until("all of it to be read", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(said)
    });
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let rows = Lake::Folder(&dir.path().join("lake")).ndjson_rows();
    row::assert_each_once(&rows);
    let values: Vec<f64> = readings(&rows).iter().filter_map(|row| row.value).collect();
    let expected: Vec<f64> = (0..u32::try_from(values.len()).unwrap()).map(f64::from).map(|n| values[0] + n).collect();
    assert_eq!(values, expected, "a number is missing or out of order");
    assert!(values.len() >= usize::try_from(said).unwrap());
}
