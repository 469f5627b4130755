//! What a far side refused for good is listed with its reason, also after a restart, until a person sends it again or drops it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::patience::wait_for;
use e2e::picky;
use e2e::process::Process;
use e2e::pty::Port;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

/// A broker that hangs up with a reason on what `disliked` holds at the time, and the agent with one reading a message.
fn picky_of(dir: &Path) -> (Process, Agent, Port) {
    let disliked = dir.join("disliked");
    fs::write(&disliked, "666.5").expect("it is the story's own");
    picky::with_agent(dir, &[&format!("@{}", disliked.display()), "99", "5"])
}

/// What a command prints as JSON, and that it ends with this code.
#[track_caller]
fn asked(agent: &Agent, args: &[&str], code: i32) -> Value {
    let output = agent.cli(&[&["--json", "sinks"], args].concat());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", agent::stdout(&output), agent::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// The batches of its only sink that are set aside; the link does not wait long after it was hung up on.
fn hurried(agent: &Agent) -> Value {
    asked(agent, &["retry", "cloud"], 0);
    asked(agent, &["quarantine", "ls"], 0)
}

fn wait_aside(agent: &Agent) {
    let is_there = || hurried(agent).as_array().is_some_and(|list| list.len() == 1).then_some(());
    wait_for("it to be set aside", LIMIT, || agent.log_tail(), is_there);
}

fn aside(status: &Value) -> u64 {
    item(status, "sinks", "cloud")["quarantined_batches"].as_u64().unwrap_or_default()
}

#[test]
fn what_was_refused_is_listed_across_restarts_goes_again_when_told_to_and_is_dropped_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, mut agent, line) = picky_of(dir.path());
    assert_eq!(asked(&agent, &["quarantine", "ls"], 0), Value::Array(Vec::new()));
    line.send(b"n,1\r\nn,666.5\r\nn,3\r\n", LIMIT);
    wait_aside(&agent);
    let sinks = asked(&agent, &[], exit::NOT_FINE);
    assert_eq!((&sinks[0]["id"], &sinks[0]["quarantined_batches"]), (&"cloud".into(), &1.into()), "{sinks:#}");
    assert!(sinks[0]["low_water"].is_u64(), "{sinks:#}");
    let screen = agent::stdout(&agent.cli(&["sinks"]));
    assert!(screen.contains("cloud (mqtt") && screen.contains("quarantine ls cloud"), "{screen}");

    // It is there after a restart, with the reason.
    let list = asked(&agent, &["quarantine", "ls", "cloud"], 0);
    agent.terminate();
    assert_eq!(agent.cli(&["sinks"]).status.code(), Some(exit::UNAVAILABLE));
    agent.start();
    agent.wait_until("it still to be set aside", LIMIT, |status| aside(status) == 1);
    assert_eq!(asked(&agent, &["quarantine", "ls"], 0), list);
    let reason = list[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("PayloadFormatInvalid") && list[0]["in_journal"] == true, "{list:#}");
    let number = list[0]["n"].to_string();
    let shown = asked(&agent, &["quarantine", "show", "cloud", &number], 0);
    assert_eq!((&shown["rows"][0]["value"], &shown["reason"]), (&666.5.into(), &list[0]["reason"]), "{shown:#}");
    assert!(agent::stdout(&agent.cli(&["sinks", "quarantine", "ls"])).contains(reason));

    // The broker has not changed its mind.
    asked(&agent, &["quarantine", "retry", "cloud", &number], 0);
    let is_again = || hurried(&agent)[0]["at"].as_str().is_some_and(|at| list[0]["at"] != *at);
    wait_for("it to be set aside again", LIMIT, || agent.log_tail(), || is_again().then_some(()));
    assert_eq!(asked(&agent, &["quarantine", "ls"], 0).as_array().map(Vec::len), Some(1));

    // Now it has.
    fs::write(dir.path().join("disliked"), "nothing of the kind").unwrap();
    let again = asked(&agent, &["quarantine", "retry", "cloud", "all"], 0);
    assert_eq!((&again["batches"], &again["positions"]), (&1.into(), &1.into()), "{again}");
    wait_for(
        "it over there",
        LIMIT,
        || broker.log_tail(),
        || {
            hurried(&agent);
            broker.log().contains("666.5").then_some(())
        },
    );
    assert_eq!(asked(&agent, &["quarantine", "ls"], 0), Value::Array(Vec::new()));
    agent.wait_delivered(LIMIT);
    asked(&agent, &[], 0);

    // Another, which nobody wants.
    fs::write(dir.path().join("disliked"), "667.5").unwrap();
    line.send(b"n,667.5\r\n", LIMIT);
    wait_aside(&agent);
    let number = asked(&agent, &["quarantine", "ls"], 0)[0]["n"].to_string();
    asked(&agent, &["quarantine", "drop", "cloud", &number], exit::USAGE);
    asked(&agent, &["quarantine", "drop", "cloud", "999999", "--yes"], exit::UNAVAILABLE);
    asked(&agent, &["quarantine", "drop", "nobody", "all", "--yes"], exit::UNAVAILABLE);
    assert_eq!(aside(&agent.status().unwrap()), 1, "nothing was dropped by these");
    asked(&agent, &["quarantine", "drop", "cloud", &number, "--yes"], 0);
    assert_eq!(asked(&agent, &["quarantine", "ls"], 0), Value::Array(Vec::new()));
    agent.wait_until("all to be well", LIMIT, |status| aside(status) == 0);
}
