//! A broker that others wrote and that speaks MQTT 3.1.1 alone: all readings arrive through it, and nothing has to be
//! configured for that.
//!
//! This one never answers a CONNECT of MQTT 5, it waits in silence for the rest of it: only patience tells.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::elder::{Elder, PASSWORD};
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::{Weather, Wire};

/// The agent waits in vain for an answer in MQTT 5, each time.
const LIMIT: Duration = Duration::from_mins(3);

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "line numbers are small whole numbers")]
fn numbers(subscriber: &Subscriber) -> BTreeSet<u64> {
    subscriber
        .rows()
        .iter()
        .filter(|row| row.is_reading())
        .filter_map(|row| row.value)
        .map(|value| value as u64)
        .collect()
}

#[test]
fn all_readings_arrive_through_a_broker_that_speaks_3_1_1_alone_also_when_it_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut elder = Elder::started(&dir.join("elder.log"));
    let subscriber = Subscriber::start_in_3_1_1(elder.port(), "farm/#", &dir.join("heard"));
    let wire = Wire::to(elder.port(), None);
    let port = Port::plugged(&dir.join("port"));
    let password = dir.join("password");
    fs::write(&password, PASSWORD).unwrap();
    let login = format!("username = \"gw-1\"\npassword_file = \"{}\"\nbatch", password.display());
    let config = agent::preamble(dir, "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", &wire.url()).replace("batch", &login);
    let mut agent = Agent::started(dir, &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, 50, |number| format!("n,{number}\r\n"));
    let speaks = |version: &str| {
        agent.wait_until("the agent to find its words", LIMIT, |status| {
            let cloud = item(status, "sinks", "cloud");
            cloud["protocol"] == version && cloud["state"] == "ok" && cloud["delivered_total"].as_u64() > Some(100)
        });
    };
    speaks("3.1.1");
    let screen = agent::stdout(&agent.cli(&["status"]));
    assert!(screen.contains("cloud (mqtt 3.1.1)"), "{screen}");

    // What it has confirmed and not passed on yet it forgets when it ends, and that is no fault of the agent's.
    wire.turn(Weather::Cut);
    let status = agent.wait_until("the agent to miss the broker", LIMIT, |status| {
        item(status, "sinks", "cloud")["state"] == "retrying"
    });
    let confirmed = item(&status, "sinks", "cloud")["delivered_total"].as_u64().expect("a number");
    wait_for(
        "the subscriber to have what is confirmed",
        LIMIT,
        || format!("{} rows of {confirmed}", subscriber.rows().len()),
        || (subscriber.rows().len() as u64 >= confirmed).then_some(()),
    );
    elder.stop();
    let enough = talker.count() + 300;
    wait_for("the instrument to go on", LIMIT, String::new, || (talker.count() >= enough).then_some(()));
    elder.start();
    subscriber.wait_subscribed(2);
    wire.turn(Weather::Fair);
    agent.wait_until("the broker again", LIMIT, |status| item(status, "sinks", "cloud")["state"] == "ok");

    let said: BTreeSet<u64> = talker.said().iter().map(|said| said.number).collect();
    let _port = talker.stop();
    wait_for(
        "the subscriber to have all",
        LIMIT,
        || format!("lacks {:?}", said.difference(&numbers(&subscriber)).collect::<Vec<_>>()),
        || said.is_subset(&numbers(&subscriber)).then_some(()),
    );
    assert!(said.len() > 500, "{} lines prove nothing", said.len());
    assert!(subscriber.rows().iter().all(|row| row.event != "gap"), "nothing had to be dropped");

    // Birth and last will are the same as ever.
    agent.kill();
    let statuses = || {
        let heard = subscriber.messages().into_iter().filter(|message| message.topic.ends_with("/status"));
        heard.map(|message| message.payload["state"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses().first().map(String::as_str), Some("online"));
    let is_offline = || (statuses().last().map(String::as_str) == Some("offline")).then_some(());
    wait_for("the last will", LIMIT, || format!("{:?}", statuses()), is_offline);
}
