//! A line that drops, dies without a word, loses what comes back and takes its time: every reading that was durable
//! arrives, unchanged, whatever happens to the line, the broker and the agent meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::air::{Air, Climate};
use e2e::mosquitto::Mosquitto;
use e2e::patience::{now, wait_for};
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::subscriber::Subscriber;
use e2e::talker::{Said, Talker};
use e2e::wire::{Pace, Weather, Wire};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(3);
const LINES_PER_SECOND: u32 = 200;
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// An instrument, the agent, a line, a broker and a subscriber behind it.
struct Farm {
    agent: Agent,
    wire: Wire,
    subscriber: Subscriber,
    talker: Talker,
    /// Behind the line; the story may stop and start it.
    broker: Mosquitto,
    device: PathBuf,
    said: Vec<Said>,
    /// The last line that was durable when the agent ended.
    durable: Option<u64>,
}

impl Farm {
    fn new(dir: &Path, pace: Option<Pace>, sink: impl FnOnce(String) -> String) -> Self {
        let broker = Mosquitto::started(&dir.join("broker"));
        let subscriber = Subscriber::start(&broker, "farm/#", &dir.join("heard"));
        let wire = Wire::to(broker.port(), pace);
        let port = Port::plugged(&dir.join("port"));
        let config = agent::preamble(dir, &format!("{}ms", COMMIT_INTERVAL.as_millis()))
            + &agent::counter("counter", port.path())
            + &sink(agent::mqtt_sink("cloud", &wire.url()));
        let agent = Agent::started(dir, &config);
        agent.wait_open(&port, "counter");
        let device = port.device().expect("it is plugged in").to_owned();
        let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
        let farm = Self { agent, wire, subscriber, talker, broker, device, said: Vec::new(), durable: None };
        farm.wait_heard(100);
        farm
    }

    fn wait_heard(&self, count: usize) {
        let more = self.subscriber.rows().len() + count;
        wait_for(
            "readings over the line",
            LIMIT,
            || self.agent.log_tail(),
            || (self.subscriber.rows().len() >= more).then_some(()),
        );
    }

    fn wait_said(&self, lines: u64) {
        let enough = self.talker.count() + lines;
        wait_for("the instrument to go on", LIMIT, String::new, || (self.talker.count() >= enough).then_some(()));
    }

    fn wait_down(&self) {
        self.agent.wait_until("the agent to miss the broker", LIMIT, |status| {
            item(status, "sinks", "cloud")["state"] == "retrying"
        });
    }

    /// What the journal has on disk is asked of it and not guessed from the time: this machine does much else.
    fn note_durable(&mut self) {
        let rows = self.agent.tail(100);
        self.durable = numbers(&rows).last().copied();
        assert!(self.durable.is_some(), "nothing is durable: {rows:?}");
    }

    fn kill(&mut self) {
        self.note_durable();
        self.agent.kill();
        // What follows until it listens again is nobody's.
        self.said.extend(self.talker.said());
    }

    fn start(&mut self) {
        self.agent.start();
        self.agent.wait_device(&self.device, "counter");
    }

    /// All that was durable before a kill, and all that was said since, arrives; what came twice came the same.
    #[track_caller]
    fn assert_all_arrives(mut self) {
        let before = self.said.iter().map(|said| said.number);
        let must: BTreeSet<u64> = before.filter(|number| Some(*number) <= self.durable).collect();
        let fresh: Vec<u64> = if self.durable.is_some() {
            // From the first line behind the last that was lost to the kill.
            let begun = self.talker.count();
            self.wait_said(50);
            self.talker.said().iter().map(|said| said.number).filter(|number| *number > begun + 20).collect()
        } else {
            self.wait_said(50);
            self.talker.said().iter().map(|said| said.number).collect()
        };
        let must: BTreeSet<u64> = must.into_iter().chain(fresh).collect();
        // A last line says that all before it were read: what is still on the way goes with the plug.
        let port = self.talker.stop();
        port.send(b"n,999999999\r\n", LIMIT);
        self.agent.wait_until("the last line to be read", LIMIT, |status| {
            item(status, "instruments", "counter")["values"]["number"]["value"] == 999_999_999.0
        });
        drop(port);
        self.agent.wait_delivered(LIMIT);
        self.agent.terminate();
        let rows = wait_for(
            "the subscriber to have all",
            LIMIT,
            || format!("{} rows", self.subscriber.rows().len()),
            || Some(self.subscriber.rows()).filter(|rows| must.is_subset(&numbers(rows))),
        );
        assert!(must.len() > 200, "{} lines prove nothing", must.len());
        assert!(rows.iter().all(|row| row.event != "gap"), "nothing had to be dropped");
        // The subscriber gives each place once; all that came for it must have been the same.
        let all = self.subscriber.messages().into_iter().filter(|message| message.topic.ends_with("/readings"));
        let all: Vec<Row> = all.flat_map(|message| row::of_envelope(&message.payload)).collect();
        for row in &all {
            let first = rows.iter().find(|first| (&first.epoch, first.seq) == (&row.epoch, row.seq));
            assert_eq!(first.map(|first| &first.whole), Some(&row.whole), "redelivered otherwise");
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "line numbers are small whole numbers")]
fn numbers(rows: &[Row]) -> BTreeSet<u64> {
    rows.iter().filter(|row| row.is_reading()).filter_map(|row| row.value).map(|value| value as u64).collect()
}

fn same(sink: String) -> String {
    sink
}

#[test]
fn a_line_that_is_cut_again_and_again_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let farm = Farm::new(dir.path(), None, same);
    for _ in 0..3 {
        farm.wire.turn(Weather::Cut);
        farm.wait_down();
        farm.wait_said(200);
        farm.wire.turn(Weather::Fair);
        farm.wait_heard(200);
    }
    farm.assert_all_arrives();
}

#[test]
fn a_line_that_dies_without_a_word_is_missed_within_the_keepalive_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let farm = Farm::new(dir.path(), None, |sink| sink.replace("batch", "keepalive = \"30s\"\nbatch"));
    farm.wire.turn(Weather::Dead);
    let since = now();
    farm.wait_down();
    let noticed = since.elapsed();
    assert!(noticed < Duration::from_secs(30), "noticed after {noticed:?}");
    farm.wire.turn(Weather::Fair);
    farm.assert_all_arrives();
}

#[test]
fn in_mqtt_3_1_1_a_line_that_dies_goes_deaf_and_is_cut_costs_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "version = \"3.1.1\"\nkeepalive = \"30s\"\nbatch";
    let farm = Farm::new(dir.path(), None, |sink| sink.replace("batch", lines));
    farm.wire.turn(Weather::Dead);
    let since = now();
    farm.wait_down();
    let noticed = since.elapsed();
    assert!(noticed < Duration::from_secs(30), "noticed after {noticed:?}");
    farm.wire.turn(Weather::Fair);
    farm.wait_heard(200);
    farm.wire.turn(Weather::Deaf);
    farm.wait_heard(50);
    farm.wire.turn(Weather::Cut);
    farm.wait_down();
    farm.wire.turn(Weather::Fair);
    farm.wait_heard(200);
    assert_eq!(item(&farm.agent.status().expect("it answers"), "sinks", "cloud")["protocol"], "3.1.1");
    farm.assert_all_arrives();
}

#[test]
fn confirmations_that_are_lost_cost_nothing_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let farm = Farm::new(dir.path(), None, same);
    farm.wire.turn(Weather::Deaf);
    // They arrive, and the agent is not told.
    farm.wait_heard(50);
    farm.wire.turn(Weather::Cut);
    farm.wire.turn(Weather::Fair);
    farm.assert_all_arrives();
}

#[test]
fn a_kill_while_the_line_is_cut_costs_nothing_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut farm = Farm::new(dir.path(), None, same);
    farm.wire.turn(Weather::Cut);
    farm.wait_said(600);
    farm.kill();
    farm.wire.turn(Weather::Fair);
    farm.start();
    farm.assert_all_arrives();
}

#[test]
fn an_orderly_end_while_the_line_is_cut_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut farm = Farm::new(dir.path(), None, same);
    farm.wire.turn(Weather::Cut);
    farm.wait_said(600);
    farm.note_durable();
    farm.agent.terminate();
    farm.said.extend(farm.talker.said());
    farm.wire.turn(Weather::Fair);
    farm.start();
    farm.assert_all_arrives();
}

#[test]
fn a_kill_while_a_slow_line_catches_up_costs_nothing_durable() {
    let dir = tempfile::tempdir().unwrap();
    let pace = Pace { delay: Duration::from_millis(150), bytes_per_second: 384_000 / 8 };
    let mut farm = Farm::new(dir.path(), Some(pace), same);
    farm.wire.turn(Weather::Cut);
    farm.wait_said(3_000);
    farm.wire.turn(Weather::Fair);
    farm.wait_heard(500);
    farm.kill();
    farm.start();
    farm.assert_all_arrives();
}

#[test]
fn a_broker_that_comes_back_without_its_sessions_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut farm = Farm::new(dir.path(), None, same);
    farm.broker.stop();
    farm.wait_said(400);
    farm.broker.start();
    farm.assert_all_arrives();
}

#[test]
fn after_an_outage_the_newest_goes_before_the_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let pace = Pace { delay: Duration::from_millis(300), bytes_per_second: 64_000 / 8 };
    let farm = Farm::new(dir.path(), Some(pace), same);
    farm.wire.turn(Weather::Cut);
    farm.wait_down();
    // At 64 kbit/s it takes minutes to say what these were.
    farm.wait_said(4_000);
    let newest = farm.talker.count();
    let heard = numbers(&farm.subscriber.rows()).len();
    farm.wire.turn(Weather::Fair);
    wait_for(
        "a reading taken after the line came back",
        LIMIT,
        || farm.agent.log_tail(),
        || numbers(&farm.subscriber.rows()).last().is_some_and(|last| *last > newest).then_some(()),
    );
    let caught_up = numbers(&farm.subscriber.rows()).len() - heard;
    assert!(caught_up < 1_500, "{caught_up} readings of the backlog came before the newest");
}

/// A broker of this version that hangs up on `666.5`, for this reason, and the agent with one reading a message.
fn picky(dir: &Path, reason: &str, version: &str) -> (Process, Agent, Port) {
    e2e::picky::with_agent(dir, &["666.5", reason, version])
}

/// Waits until the picky broker has taken readings of these values.
#[track_caller]
fn wait_taken(broker: &Process, agent: &Agent, wanted: &[&str]) {
    let values = || -> BTreeSet<String> {
        let log = broker.log();
        let messages = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let readings =
            messages.flat_map(|message| message["payload"]["readings"].as_array().cloned().unwrap_or_default());
        readings.map(|reading| reading["value"].to_string()).collect()
    };
    wait_for(
        "the others",
        LIMIT,
        || format!("{}\n{}", agent.log_tail(), broker.log_tail()),
        || wanted.iter().all(|value| values().contains(*value)).then_some(()),
    );
}

const SAID: &[u8] = b"n,1\r\nn,2\r\nn,3\r\nn,666.5\r\nn,5\r\nn,6\r\nn,7\r\n";
const TAKEN: &[&str] = &["1.0", "2.0", "3.0", "5.0", "6.0", "7.0"];

#[test]
fn a_message_that_the_broker_hangs_up_on_with_a_reason_is_set_aside_and_what_stands_behind_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, agent, line) = picky(dir.path(), "99", "5");
    line.send(SAID, LIMIT);
    wait_taken(&broker, &agent, TAKEN);
    let is_aside = |status: &Value| item(status, "sinks", "cloud")["quarantined_batches"] == 1;
    let status = agent.wait_until("it to be set aside", LIMIT, is_aside);
    let why = item(&status, "sinks", "cloud")["last_error"].as_str().unwrap_or_default();
    assert!(why.contains("PayloadFormatInvalid"), "{status:#}");
    agent.wait_until("a gap to name it", LIMIT, |_| agent.tail(100).iter().any(|row| row.event == "gap"));
}

#[test]
fn a_message_that_the_broker_hangs_up_on_without_a_word_goes_last_and_is_not_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, agent, line) = picky(dir.path(), "none", "5");
    line.send(SAID, LIMIT);
    wait_taken(&broker, &agent, TAKEN);
    let status = agent.status().expect("it answers");
    let cloud = item(&status, "sinks", "cloud");
    assert_eq!(cloud["quarantined_batches"], 0, "nobody has said that it is to blame: {status:#}");
    assert_eq!(cloud["lag_readings"], 1, "{status:#}");
}

#[test]
fn a_broker_that_says_that_it_does_not_know_mqtt_5_is_spoken_to_in_3_1_1() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, agent, line) = picky(dir.path(), "none", "3.1.1");
    line.send(SAID, LIMIT);
    // The one that it hangs up on goes last here too, over connections that begin with 3.1.1.
    wait_taken(&broker, &agent, TAKEN);
    let status = agent.status().expect("it answers");
    let cloud = item(&status, "sinks", "cloud");
    assert_eq!((&cloud["protocol"], &cloud["lag_readings"]), (&"3.1.1".into(), &1.into()), "{status:#}");
}

#[test]
fn a_broker_that_says_that_our_id_is_taken_is_an_alarm_and_no_tug_of_war() {
    let dir = tempfile::tempdir().unwrap();
    let (_broker, agent, line) = picky(dir.path(), "8e", "5");
    line.send(b"n,666.5\r\n", LIMIT);
    let status = agent.wait_until("the agent to say so", LIMIT, |status| {
        item(status, "sinks", "cloud")["last_error"].as_str().is_some_and(|why| why.contains("0x8E"))
    });
    assert_eq!(item(&status, "sinks", "cloud")["state"], "retrying");
    let is_alarm = |row: &Row| row.event == "alarm" && row.whole["what"] == "client-id-taken";
    agent.wait_until("the alarm to be durable", LIMIT, |_| agent.tail(100).iter().any(is_alarm));
}

#[test]
fn a_broker_that_hangs_up_on_one_of_two_clients_with_one_id_leads_to_the_right_question() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", &broker.url());
    let agent = Agent::started(dir.path(), &config);
    agent.wait_until("the broker", LIMIT, |status| item(status, "sinks", "cloud")["lag_readings"] == 0);
    let python = places::python("helpers/taker.py");
    let mut command = leashed(Path::new(python.get_program()));
    command.args(python.get_args()).arg(broker.port().to_string()).arg("gw-1");
    let _taker = Process::start("taker", command, &dir.path().join("taker.log"));
    agent.wait_until("the agent to ask", LIMIT, |status| {
        item(status, "sinks", "cloud")["last_error"].as_str().is_some_and(|why| why.contains("another client"))
    });
}

/// A client that takes the agent's id, subscribes, and leaves its session behind; then these many bytes for it.
fn leave_session(broker: &Mosquitto, version: &str, sizes: &[usize]) {
    let port = broker.port().to_string();
    let mut subscribe = Command::new("mosquitto_sub");
    // A session that outlives its connection is said in one way or the other.
    subscribe.args(if version == "5" { &["-V", "5", "-x", "3600"][..] } else { &["-V", "mqttv311"] });
    let status = subscribe.args(["-c", "-E", "-p", &port, "-i", "gw-1", "-q", "1", "-t", "cmd/#"]).status();
    assert!(status.expect("tests/run installs it").success());
    for size in sizes {
        let mut publish = Command::new("mosquitto_pub");
        publish.args(["-p", &port, "-q", "1", "-t", "cmd/gw-1", "-m", &"x".repeat(*size)]);
        assert!(publish.status().expect("tests/run installs it").success());
    }
}

#[test]
fn a_session_that_another_client_has_left_under_our_id_with_large_messages_in_it_harms_nothing() {
    for version in ["5", "3.1.1"] {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::started(&dir.path().join("broker"));
        let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
        // What a command line takes: 12 KiB is what another agent has died from.
        leave_session(&broker, version, &[12 << 10, 100 << 10]);
        let wire = Wire::to(broker.port(), None);
        let port = Port::plugged(&dir.path().join("port"));
        let sink = agent::mqtt_sink("cloud", &wire.url());
        let config = agent::preamble(dir.path(), "200ms")
            + &agent::counter("counter", port.path())
            + &sink.replace("batch", &format!("version = \"{version}\"\nbatch"));
        let agent = Agent::started(dir.path(), &config);
        agent.wait_open(&port, "counter");
        port.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
        agent.wait_delivered(LIMIT);
        wait_for(
            "the subscriber to have all",
            LIMIT,
            || agent.log_tail(),
            || numbers(&subscriber.rows()).is_superset(&BTreeSet::from([1, 2, 3])).then_some(()),
        );
        assert_eq!(wire.connections(), 1, "MQTT {version}\n{}", agent.log_tail());
        // The session is not taken up but ended: what waited in it does not come.
        assert!(wire.bytes().1 < 1 << 10, "MQTT {version}: {} bytes came", wire.bytes().1);
    }
}

#[test]
fn a_message_of_12_kib_that_nobody_has_asked_for_is_confirmed_and_left() {
    for version in ["5", "3.1.1"] {
        let dir = tempfile::tempdir().unwrap();
        let (broker, agent, line) = e2e::picky::with_agent(dir.path(), &["666.5", "none", version, "12288"]);
        line.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
        wait_taken(&broker, &agent, &["1.0", "2.0", "3.0"]);
        agent.wait_delivered(LIMIT);
        let confirmed = || broker.log().lines().filter(|line| line.starts_with("confirmed")).count();
        wait_for("it to be confirmed", LIMIT, || broker.log_tail(), || (confirmed() > 0).then_some(()));
        assert_eq!(confirmed(), 1, "one connection, one message\n{}", broker.log_tail());
    }
}

#[test]
fn a_broker_is_told_how_large_a_message_may_be_and_keeps_larger_ones_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, agent, line) = e2e::picky::with_agent(dir.path(), &["666.5", "none", "5", "307200"]);
    line.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
    wait_taken(&broker, &agent, &["1.0", "2.0", "3.0"]);
    agent.wait_delivered(LIMIT);
    let told: Vec<String> = broker.log().lines().filter(|line| line.starts_with("takes ")).map(str::to_owned).collect();
    assert_eq!(told, ["takes 163840"], "once: one connection");
    assert!(!broker.log().contains("confirmed"), "{}", broker.log_tail());
}

#[test]
fn a_line_that_dies_under_a_message_larger_than_the_kernels_buffer_is_missed_within_the_keepalive() {
    let dir = tempfile::tempdir().unwrap();
    let (delay, kbit) = (Duration::from_millis(75), 384);
    let climate = Climate { delay, kbit, loss: 0.0, congestion: "reno", seed: 1 };
    // The relay takes what the line would not: it is a socket on the same machine.
    let air = match Air::new(climate, &dir.path().join("air.log")) {
        Ok(air) => air,
        Err(why) => return eprintln!("LEFT OUT: {why}"),
    };
    let broker = Mosquitto::started_within(air.far(), &dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let port = Port::plugged(&dir.path().join("port"));
    let url = format!("mqtt://{}:{}", air.far_address(), broker.port());
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", &url).replace("batch", "keepalive = \"30s\"\nbatch");
    let mut agent = Agent::started_under(dir.path(), &config, &air.near());
    agent.wait_open(&port, "counter");
    agent
        .wait_until("the broker", LIMIT, |status| item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0));
    air.turn(false);
    // Messages of 95 KB each.
    let lines: Vec<u8> = (1..=2_000).flat_map(|number| format!("n,{number}\r\n").into_bytes()).collect();
    port.send(&lines, LIMIT);
    let since = now();
    agent.wait_until("the agent to miss the broker", LIMIT, |status| {
        item(status, "sinks", "cloud")["state"] == "retrying"
    });
    let noticed = since.elapsed();
    assert!(noticed < Duration::from_secs(30), "noticed after {noticed:?}");
    air.turn(true);
    agent.wait_delivered(LIMIT);
    let all: BTreeSet<u64> = (1..=2_000).collect();
    wait_for(
        "the subscriber to have all",
        LIMIT,
        || agent.log_tail(),
        || all.is_subset(&numbers(&subscriber.rows())).then_some(()),
    );
    agent.terminate();
}
