//! Whatever happens in the middle, the device ends on the new revision or on the old one, and it is reached again.

use std::time::Duration;

use e2e::agent::item;
use e2e::patience::pause;
use e2e::wire::Weather;
use serde_json::{Value, json};

use crate::pond::{LIMIT, Pond};

const ALL: &str = "allow = [\"instrument\", \"bus\", \"sink\", \"journal.commit_interval\"]";

#[test]
fn a_brokers_address_that_is_wrong_is_taken_back_and_not_tried_again() {
    let mut pond = Pond::with(ALL, &[]);
    let before = pond.in_force();
    pond.operator.wants("r1", &json!({"sink": {"cloud": {"url": "mqtt://127.0.0.1:1"}}}));
    let outcome = pond.operator.wait_outcome("r1");
    assert_eq!(outcome["status"], "rolled-back", "{outcome}");
    assert_eq!(pond.in_force()["hash"], before["hash"]);
    pond.wire.cut();
    pond.wait_linked();
    let numbers = pond.numbers();
    Pond::assert_unbroken(&numbers["one"]);
    Pond::assert_unbroken(&numbers["two"]);
    // The broker has retained it, and gives it again to each new connection.
    pond.agent.kill();
    pond.agent.start();
    pond.wait_linked();
    assert_eq!(pond.in_force()["revision"], Value::Null);
    assert_eq!(pond.in_force()["hash"], before["hash"]);
    pond.operator.wants("r2", &json!({"journal": {"commit_interval": "300ms"}}));
    assert_eq!(pond.operator.wait_outcome("r2")["status"], "applied");
}

#[test]
fn what_breaks_an_instrument_or_a_store_leaves_the_device_within_reach() {
    let pond = Pond::with(ALL, &[]);
    let store = json!({"type": "s3", "bucket": "none", "endpoint": "http://127.0.0.1:1"});
    pond.operator.wants("r1", &json!({"bus": {"two": {"port": "/dev/ttyGONE"}}, "sink": {"away": store}}));
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    pond.agent.wait_until("the instrument to be missed", LIMIT, |status| {
        item(status, "instruments", "two")["state"] == "down"
    });
    pond.operator.wants("r2", &json!({}));
    assert_eq!(pond.operator.wait_outcome("r2")["status"], "applied");
    pond.agent
        .wait_until("the instrument to be back", LIMIT, |status| item(status, "instruments", "two")["state"] == "up");
}

#[test]
fn a_link_that_is_lost_in_the_middle_takes_the_revision_back_and_a_short_cut_does_not() {
    for (weather, back_after, wanted) in [
        (Weather::Cut, Duration::from_millis(500), "applied"),
        (Weather::Deaf, Duration::from_secs(10), "rolled-back"),
        (Weather::Cut, Duration::from_secs(10), "rolled-back"),
    ] {
        let pond = Pond::new();
        // What comes through is the revision; nothing that is said behind it does.
        pond.operator.wants("r1", &json!({"journal": {"commit_interval": "300ms"}}));
        pond.agent.wait_until("the revision to be tried", LIMIT, |status| status["config"]["revision"] == "r1");
        if pond.operator.reports().is_empty() {
            pond.wire.turn(weather);
        }
        pause(back_after);
        pond.wire.turn(Weather::Fair);
        let outcome = pond.operator.wait_outcome("r1");
        // On a fast machine it was confirmed before the line was cut.
        assert!(outcome["status"] == wanted || outcome["status"] == "applied", "{weather:?}: {outcome}");
        let is_in_force = pond.in_force()["revision"] == "r1";
        assert_eq!(is_in_force, outcome["status"] == "applied", "{outcome}");
    }
}

/// `strace` ends the agent at the first, second... time that it opens, syncs or renames the file in which revisions are kept.
#[test]
fn killed_at_any_step_it_goes_on_with_the_new_revision_or_the_old_one() {
    for call in ["openat", "fsync", "rename"] {
        for when in 1..=4 {
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let trace = format!("trace={call}");
            let under = [
                "strace",
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-P",
                "DIR/journal/remote/revision.json.part",
                "-e",
                &trace,
                "-e",
                &inject,
                // What is traced does not outlive the tracer.
                "setpriv",
                "--pdeathsig",
                "KILL",
                "--",
            ];
            let mut pond = Pond::with("", &under);
            pond.operator.wants("r1", &json!({"instrument": {"two": {"quantity": {"number": {"scale": 2}}}}}));
            // Either it dies on the way, or that call is not made so often.
            let outcome = e2e::patience::wait_for(
                "the end, or the revision",
                LIMIT,
                || pond.agent.log_tail(),
                || {
                    let is_dead = pond.agent.ended().is_some();
                    let is_done = pond.operator.reports().iter().any(|report| report["status"] == "applied");
                    (is_dead || is_done).then_some(is_dead)
                },
            );
            if outcome {
                pond.agent.wait_ended(LIMIT);
                pond.agent.start();
            }
            let report = pond.operator.wait_outcome("r1");
            assert_eq!(report["status"], "applied", "{call} {when}: {report}");
            let status = pond.in_force();
            assert_eq!(status["revision"], "r1", "{call} {when}: {status}");
            println!("{call} {when}: {}", if outcome { "killed, and it went on" } else { "not reached" });
        }
    }
}

#[test]
fn a_revision_with_which_the_agent_never_lives_to_confirm_is_left_behind() {
    let mut pond = Pond::with(ALL, &[]);
    let before = pond.in_force();
    pond.operator.wants("r1", &json!({"sink": {"cloud": {"url": "mqtt://127.0.0.1:1"}}}));
    pond.agent.wait_until("the revision to be tried", LIMIT, |status| status["config"]["revision"] == "r1");
    // Three starts that end before it could be confirmed; the fourth is without it.
    for _ in 0..3 {
        pond.agent.kill();
        pond.agent.start();
        pond.agent.wait_ready();
    }
    pond.agent.kill();
    pond.agent.start();
    let outcome = pond.operator.wait_outcome("r1");
    assert_eq!(outcome["status"], "rolled-back", "{outcome}");
    assert_eq!(pond.in_force()["hash"], before["hash"]);
}

/// A power cut at any step finds the whole old file or the whole new one: the bytes are synced before they take the old ones'
/// place, and the folder after that, each time.
#[test]
fn what_is_put_down_is_on_the_disk_before_it_counts() {
    let under = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        "DIR/calls",
        "-e",
        "trace=fsync,rename",
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
    ];
    let mut pond = Pond::with("commands = true", &under);
    pond.operator.wants("r1", &json!({"journal": {"commit_interval": "300ms"}}));
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    assert_eq!(pond.operator.wait_done("o1", &json!({"command": "flush"}))["status"], "succeeded");
    pond.agent.kill();
    let calls = std::fs::read_to_string(pond.dir.join("calls")).expect("strace wrote");
    let about: Vec<&str> = calls.lines().filter(|line| line.contains("/journal/remote")).collect();
    let steps: Vec<&str> = about
        .iter()
        // One thread makes them one after the other: their beginnings are in the same order.
        .filter(|line| !line.contains("resumed"))
        .map(|line| match () {
            () if line.contains("rename(") => "rename",
            () if line.contains(".part>") => "sync the bytes",
            () => "sync the folder",
        })
        .collect();
    assert!(steps.len() >= 12 && steps.len().is_multiple_of(3), "{about:#?}");
    for step in steps.chunks(3) {
        assert_eq!(step, ["sync the bytes", "rename", "sync the folder"], "{about:#?}");
    }
}
