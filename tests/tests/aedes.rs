//! A strict broker that others wrote: mutual TLS, the protocol of port 443, and it hangs up on whoever publishes what it
//! denies, without a word. That costs no reading, blocks none, and is no tug of war.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use e2e::aedes::Aedes;
use e2e::agent::{self, Agent, item};
use e2e::patience::wait_for;
use e2e::pki::{Authority, Leaf};
use e2e::pty::Port;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::{Weather, Wire};
use serde_json::Value;

/// The agent's longest wait before it connects again included.
const LIMIT: Duration = Duration::from_mins(3);
const ALPN: &str = "alpn = \"x-amzn-mqtt-ca\"";

/// A strict broker at the end of a line, and whoever listens to it.
struct Cloud {
    broker: Aedes,
    wire: Wire,
    subscriber: Subscriber,
    authority: Authority,
}

impl Cloud {
    fn new(dir: &Path) -> Self {
        let authority = Authority::new(&dir.join("ca"));
        let server = authority.issue(&Leaf::server("server"));
        let broker = Aedes::started(&dir.join("broker"), &authority.certificate(), &server);
        let subscriber = Subscriber::start_in_3_1_1(broker.plain_port(), "farm/#", &dir.join("heard"));
        let wire = Wire::to(broker.tls_port(), None);
        Self { broker, wire, subscriber, authority }
    }

    /// The sink of a device that has a certificate, with this line in its section on TLS.
    fn sink(&self, name: &str, tls: &str) -> String {
        let device = self.authority.issue(&Leaf::client(name));
        let url = format!("mqtts://localhost:{}", self.wire.port());
        let sink = agent::mqtts_sink(name, &url, &self.authority.certificate(), Some(&device), "");
        sink.trim_end().to_owned() + "\n" + tls + "\n\n"
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    fn numbers(&self) -> BTreeSet<u64> {
        let rows = self.subscriber.rows();
        rows.iter().filter(|row| row.is_reading()).filter_map(|row| row.value).map(|value| value as u64).collect()
    }

    #[track_caller]
    fn wait_heard(&self, agent: &Agent, wanted: &BTreeSet<u64>) {
        wait_for(
            "the subscriber to have all",
            LIMIT,
            || format!("{:?}\n{}\n{}", self.numbers(), agent.log_tail(), self.broker.log_tail()),
            || wanted.is_subset(&self.numbers()).then_some(()),
        );
    }
}

fn cloud(status: &Value) -> &Value {
    item(status, "sinks", "cloud")
}

#[test]
fn all_readings_arrive_through_a_strict_broker_also_over_a_line_that_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    let port = Port::plugged(&dir.path().join("port"));
    let config =
        agent::preamble(dir.path(), "200ms") + &agent::counter("counter", port.path()) + &far.sink("cloud", ALPN);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, 50, |number| format!("n,{number}\r\n"));
    let is_well =
        |status: &Value| cloud(status)["state"] == "ok" && cloud(status)["delivered_total"].as_u64() > Some(100);
    let status = agent.wait_until("the broker", LIMIT, is_well);
    assert_eq!(cloud(&status)["protocol"], "3.1.1", "{status:#}");
    assert_eq!(cloud(&status)["tls"]["alpn"], "x-amzn-mqtt-ca", "{status:#}");
    for _ in 0..3 {
        far.wire.turn(Weather::Cut);
        agent.wait_until("the broker to be missed", LIMIT, |status| cloud(status)["state"] == "retrying");
        far.wire.turn(Weather::Fair);
        agent.wait_until("the broker again", LIMIT, |status| cloud(status)["state"] == "ok");
    }
    let said: BTreeSet<u64> = talker.said().iter().map(|said| said.number).collect();
    // It stays plugged in: what a busy agent has not read yet would go with it.
    let _port = talker.stop();
    far.wait_heard(&agent, &said);
    agent.wait_delivered(LIMIT);
    assert!(said.len() > 200, "{} lines prove nothing", said.len());
    assert!(far.subscriber.rows().iter().all(|row| row.event != "gap"), "nothing had to be dropped");
    agent.terminate();
}

#[test]
fn a_reading_that_the_broker_denies_goes_last_and_blocks_nothing_and_arrives_when_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    far.broker.deny(&["666.5"]);
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &far.sink("cloud", ALPN).replace("= 500 }", "= 1 }");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,1\r\nn,2\r\nn,3\r\nn,666.5\r\nn,5\r\nn,6\r\nn,7\r\n", LIMIT);
    far.wait_heard(&agent, &BTreeSet::from([1, 2, 3, 5, 6, 7]));
    let status = agent.status().expect("it answers");
    assert_eq!(cloud(&status)["quarantined_batches"], 0, "nobody has said that it is to blame: {status:#}");
    assert_eq!(cloud(&status)["lag_readings"], 1, "{status:#}");
    far.broker.deny(&[]);
    // By itself it tries again within two minutes.
    agent.terminate();
    agent.start();
    far.wait_heard(&agent, &BTreeSet::from([666]));
}

#[test]
fn an_alarm_topic_that_the_broker_denies_blocks_no_reading_and_the_alarm_comes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    far.broker.deny(&["/alarm "]);
    let port = Port::plugged(&dir.path().join("port"));
    let watched =
        agent::counter("counter", port.path()).trim_end().to_owned() + "\nalarm = { below = 4.0, clear = 4.5 }\n\n";
    let config = agent::preamble(dir.path(), "200ms") + &watched + &far.sink("cloud", ALPN);
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,3\r\n", LIMIT);
    wait_for(
        "the broker to deny it",
        LIMIT,
        || far.broker.log_tail(),
        || (far.broker.denials("/alarm") > 0).then_some(()),
    );
    port.send(b"n,1\r\nn,2\r\nn,5\r\nn,6\r\nn,7\r\n", LIMIT);
    far.wait_heard(&agent, &BTreeSet::from([1, 2, 3, 5, 6, 7]));
    wait_for(
        "the alarm among the readings",
        LIMIT,
        || agent.log_tail(),
        || far.subscriber.rows().iter().any(|row| row.event == "alarm").then_some(()),
    );
    agent.wait_delivered(LIMIT);
    far.broker.deny(&[]);
    let is_alarm = |message: &e2e::subscriber::Message| message.topic.ends_with("/alarm");
    wait_for(
        "the alarm itself, once it may",
        LIMIT,
        || format!("{}\n{}", agent.log_tail(), far.broker.log_tail()),
        || far.subscriber.messages().iter().any(is_alarm).then_some(()),
    );
}

#[test]
fn a_status_that_the_broker_denies_is_kept_back_and_the_readings_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    far.broker.deny(&["/status "]);
    let port = Port::plugged(&dir.path().join("port"));
    let config =
        agent::preamble(dir.path(), "200ms") + &agent::counter("counter", port.path()) + &far.sink("cloud", ALPN);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
    far.wait_heard(&agent, &BTreeSet::from([1, 2, 3]));
    agent.wait_delivered(LIMIT);
    let (denials, visits) = (far.broker.denials("/status"), far.broker.visits("gw-1"));
    // Three times the birth, and each time the will that the broker says of itself; then one that holds.
    assert!((3..=6).contains(&denials) && visits <= 6, "{denials} denials, {visits} visits");
    agent.terminate();
}

#[test]
fn a_topic_that_the_broker_denies_is_no_tug_of_war_and_is_asked_about() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    far.broker.deny(&["/readings "]);
    let port = Port::plugged(&dir.path().join("port"));
    let config =
        agent::preamble(dir.path(), "200ms") + &agent::counter("counter", port.path()) + &far.sink("cloud", ALPN);
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
    agent.wait_until("the agent to ask", LIMIT, |status| {
        cloud(status)["last_error"].as_str().is_some_and(|why| why.contains("or does it forbid a topic of ours?"))
    });
    // Each time it waits for longer: the first waits double from a second on.
    let visits = far.broker.visits("gw-1");
    assert!(visits < 10, "{visits} connections\n{}", far.broker.log_tail());
    far.broker.deny(&[]);
    agent.wait_delivered(LIMIT);
    far.wait_heard(&agent, &BTreeSet::from([1, 2, 3]));
    assert_eq!(cloud(&agent.status().expect("it answers"))["quarantined_batches"], 0);
}

#[test]
fn a_protocol_that_the_broker_does_not_speak_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let far = Cloud::new(dir.path());
    let config = agent::preamble(dir.path(), "200ms") + &far.sink("wrong", "alpn = \"mqtt\"") + &far.sink("silent", "");
    let mut agent = Agent::started(dir.path(), &config);
    let says = |status: &Value, id: &str, words: &str| {
        item(status, "sinks", id)["last_error"].as_str().is_some_and(|why| why.contains(words))
    };
    agent.wait_until("both to say what is wrong", LIMIT, |status| {
        says(status, "wrong", "the broker does not speak mqtt on this port: is `alpn` right?")
            && says(status, "silent", "does it want an `alpn`?")
    });
    agent.terminate();
}
