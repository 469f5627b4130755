//! When the oxygen falls somebody hears of it at once: ahead of batches that are not due, of a backlog, and of a disk
//! that is full.

use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::row::Row;
use e2e::subscriber::{Message, Subscriber};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

/// A counter whose number must not fall below four.
fn watched(port: &Path) -> String {
    agent::counter("do-4", port).trim_end().to_owned() + "\nalarm = { below = 4.0, clear = 4.5 }\n\n"
}

/// A sink that waits an hour for a batch, unless it has `readings`.
fn patient_sink(url: &str, readings: u32) -> String {
    let sink = agent::mqtt_sink("cloud", url);
    sink.replace("max_age = \"500ms\", max_readings = 500", &format!("max_age = \"1h\", max_readings = {readings}"))
}

fn is_alarm(message: &Message) -> bool {
    message.topic == "farm/farm/gw-1/alarm"
}

#[track_caller]
fn wait_for_alarms(subscriber: &Subscriber, count: usize) -> Vec<Value> {
    wait_for(
        &format!("{count} alarms"),
        LIMIT,
        || format!("{:#?}", subscriber.messages().last()),
        || {
            let heard = subscriber.messages();
            let events = heard.iter().filter(|message| is_alarm(message)).flat_map(|message| {
                assert!(message.payload["first"].is_null(), "it does not answer for what lies between");
                message.payload["events"].as_array().cloned().unwrap_or_default()
            });
            Some(events.collect::<Vec<_>>()).filter(|events| events.len() >= count)
        },
    )
}

fn readings(status: &Value) -> u64 {
    item(status, "instruments", "do-4")["readings_total"].as_u64().unwrap_or_default()
}

#[test]
fn an_alarm_does_not_wait_for_its_batch_and_stands_in_the_readings_too() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let port = Port::plugged(&dir.path().join("port"));
    // Neither the commit nor the batch is due for a long time.
    let config = agent::preamble(dir.path(), "10s") + &watched(port.path()) + &patient_sink(&broker.url(), 500);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "do-4");
    port.send(b"n,7.5\r\nn,3.9\r\n", LIMIT);
    let alarms = wait_for_alarms(&subscriber, 1);
    assert_eq!(
        (&alarms[0]["event"], &alarms[0]["value"], &alarms[0]["below"]),
        (&"alarm".into(), &3.9.into(), &4.0.into())
    );
    assert_eq!((&alarms[0]["instrument"], &alarms[0]["quantity"]), (&"do-4".into(), &"number".into()));
    port.send(b"n,4.2\r\nn,4.6\r\n", LIMIT);
    let alarms = wait_for_alarms(&subscriber, 2);
    assert_eq!((&alarms[1]["event"], &alarms[1]["value"]), (&"clear".into(), &4.6.into()));
    assert!(!subscriber.messages().iter().any(|message| message.topic.ends_with("/readings")), "no batch was due");

    agent.terminate();
    let rows: Vec<Row> = wait_for(
        "the readings that the end sends",
        LIMIT,
        || format!("{:#?}", subscriber.messages()),
        || Some(subscriber.rows()).filter(|rows| rows.iter().any(|row| row.event == "clear")),
    );
    for alarm in &alarms {
        let row =
            rows.iter().find(|row| Some(row.seq) == alarm["seq"].as_u64()).expect("it has a place in the journal");
        assert_eq!(&row.whole, alarm, "the same event, word for word");
    }
}

#[test]
fn after_an_outage_the_alarm_overtakes_the_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    broker.stop();
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms") + &watched(port.path()) + &patient_sink(&broker.url(), 10);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "do-4");
    let backlog = "n,5\r\nn,6\r\n".repeat(2_500);
    port.send(backlog.as_bytes(), LIMIT);
    port.send(b"n,3.1\r\n", LIMIT);
    agent.wait_until("the backlog to be durable", LIMIT, |status| {
        readings(status) == 5_001 && status["journal"]["at_risk_readings"] == 0
    });
    broker.start();
    let messages = subscriber.wait_for_messages(500, LIMIT);
    let alarm_at = messages.iter().position(is_alarm).expect("the alarm was heard");
    // What was on its way when it came: a window, and the birth.
    assert!(alarm_at <= 32, "{alarm_at} messages of {} came before the alarm", messages.len());
    agent.terminate();
}
