//! A disk that says no to a sync: the agent does not try again, because the kernel has already forgotten what it could
//! not write. It ends with 74, and the next start goes on from what the disk really holds.

use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::lake::Lake;
use e2e::pty::Port;
use e2e::row;
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_failed_sync_is_never_retried_and_the_next_start_goes_on_without_a_hole_it_does_not_name() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &lake, "ndjson");
    // Every thread's twentieth fdatasync and all after it fail; the journal's writer is the only one that makes so many.
    let fault = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let fault = [&fault[..], &["-e", "inject=fdatasync:error=EIO:when=20+"]].concat();
    let mut agent = Agent::launched_under(dir.path(), &config, &fault);
    agent.wait_ready();
    let talker = Talker::start(port, 100, |number| format!("n,{number}\r\n"));
    assert_eq!(agent.wait_ended(LIMIT), Some(exit::DISK), "{}", agent.log_tail());

    agent.start();
    agent.wait_ready();
    agent.wait_until("new readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(100)
    });
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let rows = Lake::Folder(&lake).ndjson_rows();
    row::assert_each_once(&rows);
    let values: Vec<f64> =
        rows.iter().filter(|row| row.is_reading() && row.instrument == "counter").filter_map(|row| row.value).collect();
    let distinct: std::collections::BTreeSet<u64> = values.iter().map(|value| value.to_bits()).collect();
    assert_eq!(distinct.len(), values.len(), "a line is there twice");
    assert!(values.len() > 200, "what was durable before the fault is there, and what came after");
    assert_eq!(rows.iter().filter(|row| row.event == "boot").count(), 2);
}
