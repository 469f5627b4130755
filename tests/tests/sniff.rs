//! Listening in on a line: with the agent, which goes on undisturbed, and without it.

use std::fs;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item, stderr, stdout};
use e2e::pty::Port;
use e2e::talker::Talker;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_line_is_heard_beside_the_agent_and_what_was_kept_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms") + &agent::counter("counter", port.path());
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let name = port.path().display().to_string();
    let talker = Talker::start(port, 20, |number| format!("n,{number}\r\n"));
    let kept = dir.path().join("kept");
    // By the name of its bus, and by that of its port.
    let heard = agent.cli(&["sniff", "counter", "--seconds", "2", "--output", kept.to_str().unwrap()]);
    assert_eq!(heard.status.code(), Some(0), "{}", stderr(&heard));
    let text = stdout(&heard);
    assert!(text.lines().all(|line| line.starts_with('+') && line.contains(" in  ")), "{text}");
    assert!(text.contains("6e 2c") && text.contains("|n,"), "{text}");
    let again = agent.cli(&["sniff", &name, "--seconds", "1", "--json"]);
    let first: Value = serde_json::from_str(stdout(&again).lines().next().expect("a piece")).expect("JSON");
    assert_eq!(first["way"], "in", "{first}");

    let probed = agent.cli(&["probe", "counter", "--input", kept.to_str().unwrap(), "--json"]);
    let totals: Value = serde_json::from_str(stdout(&probed).lines().last().expect("totals")).expect("JSON");
    assert!(fs::read(&kept).unwrap().starts_with(b"n,") && totals.to_string().contains("\"frames\""), "{totals}");
    let said = talker.count();
    let _port = talker.stop();
    agent.wait_until("all that was said", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(said)
    });
    agent.wait_delivered(LIMIT);
    let numbers: Vec<f64> = agent.tail(10_000).into_iter().filter_map(|row| row.value).collect();
    assert!(numbers.windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < f64::EPSILON), "{numbers:?}");
}

#[test]
fn without_an_agent_the_port_itself_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let name = port.path().display().to_string();
    let _talker = Talker::start(port, 20, |number| format!("n,{number}\r\n"));
    let heard = agent::run(&["--config", "/nonexistent", "sniff", &name, "--baud", "9600", "--seconds", "2"]);
    assert_eq!(heard.status.code(), Some(0), "{}", stderr(&heard));
    assert!(stdout(&heard).contains("|n,"), "{}", stdout(&heard));

    let quiet = Port::plugged(&dir.path().join("quiet"));
    let heard =
        agent::run(&["--config", "/nonexistent", "sniff", &quiet.path().display().to_string(), "--seconds", "1"]);
    assert_eq!((heard.status.code(), stdout(&heard).as_str()), (Some(exit::NOT_FINE), ""), "nothing came");
    let gone = agent::run(&["--config", "/nonexistent", "sniff", "/dev/ttyNOWHERE"]);
    assert_eq!(gone.status.code(), Some(exit::DISK), "{}", stderr(&gone));
    let wrong = agent::run(&["--config", "/nonexistent", "sniff", "usb:1:2"]);
    assert!(stderr(&wrong).contains("names no USB device"), "{}", stderr(&wrong));
}

#[test]
fn ports_are_listed_without_opening_them_also_without_a_configuration() {
    let listed = agent::run(&["--config", "/nonexistent", "--json", "ports"]);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    let ports: Value = serde_json::from_str(&stdout(&listed)).expect("JSON");
    assert!(ports.as_array().is_some_and(|ports| ports.iter().all(|port| port["path"].is_string())), "{ports}");
}
