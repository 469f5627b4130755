//! The disk fails under the agent: filled by somebody else, pulled out, read-only, not there at the start. The agent
//! stays up, says so, keeps the newest readings in memory and goes on by itself; what was said is delivered, once.
//!
//! Each story runs again in a mount namespace of its own, as root. Where that is not permitted it is skipped, and
//! says so.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::lake::Lake;
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::{Weather, Wire};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);
const INSIDE: &str = "TIDEGATE_TEST_OWN_MOUNTS";
const LINES_PER_SECOND: u32 = 200;

/// Runs `story` in a mount namespace of its own: this test again, started by `unshare`.
fn with_own_mounts(name: &str, story: impl FnOnce(&Path)) {
    if env::var_os(INSIDE).is_some() {
        let dir = tempfile::tempdir().expect("holds in the story");
        story(dir.path());
        return;
    }
    let own = ["--mount", "--propagation", "private"];
    let probe = Command::new("unshare").args(own).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        // Not a print macro: those are only shown when a test fails.
        writeln!(std::io::stderr(), "SKIPPED {name}: mounting needs root, and is not permitted here")
            .expect("holds in the story");
        return;
    }
    let mut again = Command::new("unshare");
    again.args(own).arg(env::current_exe().expect("holds in the story")).args([
        "--exact",
        name,
        "--nocapture",
        "--test-threads=1",
    ]);
    assert!(
        again.env(INSIDE, "1").status().expect("holds in the story").success(),
        "{name} failed in its own mount namespace, see above"
    );
}

#[track_caller]
fn mount(args: &[&str]) {
    let output = Command::new("mount").args(args).output().expect("holds in the story");
    assert!(output.status.success(), "mount {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A card of 48 MiB that can be put into its slot and pulled out.
struct Card {
    card: PathBuf,
    slot: PathBuf,
}

impl Card {
    fn new(dir: &Path) -> Self {
        let (card, slot) = (dir.join("card"), dir.join("slot"));
        fs::create_dir_all(&card).expect("holds in the story");
        fs::create_dir_all(&slot).expect("holds in the story");
        mount(&["-t", "tmpfs", "-o", "size=48m", "tmpfs", card.to_str().expect("holds in the story")]);
        let card = Self { card, slot };
        card.put_in();
        card
    }

    fn put_in(&self) {
        mount(&[
            "--bind",
            self.card.to_str().expect("holds in the story"),
            self.slot.to_str().expect("holds in the story"),
        ]);
    }

    fn pull_out(&self) {
        let output = Command::new("umount").arg("-l").arg(&self.slot).output().expect("holds in the story");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,bind,{how}"), self.slot.to_str().expect("holds in the story")]);
    }

    /// The whole file system, wherever it is mounted; nobody may have it open for writing.
    fn remount_card(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}"), self.card.to_str().expect("holds in the story")]);
    }

    /// Somebody else takes all that is free.
    fn fill(&self) -> PathBuf {
        let path = self.card.join("somebody-elses");
        let mut file = File::create(&path).expect("holds in the story");
        while file.write_all(&[0; 4 << 10]).is_ok() {}
        path
    }
}

fn said(number: u64) -> String {
    format!("n,{number}\r\n")
}

fn config(dir: &Path, card: &Card, port: &Port) -> String {
    let (here, there) = (dir.join("journal"), card.slot.join("journal"));
    let preamble = agent::preamble(dir, "200ms");
    let preamble =
        preamble.replace(here.to_str().expect("holds in the story"), there.to_str().expect("holds in the story"));
    preamble + &agent::counter("counter", port.path()) + &agent::file_sink("usb", &dir.join("lake"), "ndjson")
}

fn readings(status: &Value) -> u64 {
    item(status, "instruments", "counter")["readings_total"].as_u64().unwrap_or_default()
}

fn at_risk(status: &Value) -> u64 {
    status["journal"]["at_risk_readings"].as_u64().unwrap_or_default()
}

/// Waits until the journal is degraded and says `why`; then readings still go on, in memory, and every surface says so.
#[track_caller]
fn assert_degraded(agent: &Agent, why: &str) {
    let status = agent.wait_until("the journal to be degraded", LIMIT, |status| {
        status["journal"]["state"] == "degraded" && status["journal"]["error"].as_str().is_some_and(|e| e.contains(why))
    });
    let before = readings(&status);
    agent.wait_until("readings to go on in memory", LIMIT, |status| {
        readings(status) > before + 300 && at_risk(status) > 300
    });
    let screen = agent.cli(&["status"]);
    assert_eq!(screen.status.code(), Some(exit::NOT_FINE));
    assert!(agent::stdout(&screen).contains("degraded"), "{}", agent::stdout(&screen));
}

#[track_caller]
fn assert_well_again(agent: &Agent) {
    agent.wait_until("the journal to be written again", LIMIT, |status| {
        status["journal"]["state"] == "ok" && at_risk(status) < 300 && item(status, "sinks", "usb")["state"] == "ok"
    });
}

/// Ends the story: every line that was said is in the lake, once, and no gap was needed.
#[track_caller]
fn assert_all_delivered(dir: &Path, mut agent: Agent, talker: Talker) {
    let enough = talker.count() + 300;
    agent.wait_until("more readings on the disk that is back", LIMIT, |status| readings(status) > enough);
    let lines = talker.said();
    let count = u64::try_from(lines.len()).expect("holds in the story");
    agent.wait_until("all that was said to be read", LIMIT, |status| readings(status) >= count);
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let verified = agent.cli(&["lake", "verify", "usb", "--from", "1h"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
    let rows = Lake::Folder(&dir.join("lake")).ndjson_rows();
    row::assert_each_once(&rows);
    assert!(rows.iter().all(|row| row.event != "gap"), "nothing had to be dropped");
    let found: Vec<f64> = rows.iter().filter(|row| row.is_reading()).filter_map(|row: &Row| row.value).collect();
    #[expect(clippy::cast_precision_loss, reason = "line numbers are small whole numbers")]
    let missing: Vec<u64> = lines.iter().map(|said| said.number).filter(|n| !found.contains(&(*n as f64))).collect();
    assert!(
        missing.is_empty(),
        "{} of {} lines are missing: {:?}",
        missing.len(),
        lines.len(),
        &missing[..missing.len().min(20)]
    );
}

#[test]
fn a_disk_filled_by_somebody_else_costs_nothing_but_time() {
    with_own_mounts("a_disk_filled_by_somebody_else_costs_nothing_but_time", |dir| {
        let card = Card::new(dir);
        let port = Port::plugged(&dir.join("port"));
        let agent = Agent::started(dir, &config(dir, &card, &port));
        agent.wait_open(&port, "counter");
        let talker = Talker::start(port, LINES_PER_SECOND, said);
        agent.wait_until("readings", LIMIT, |status| readings(status) > 200);
        for _ in 0..2 {
            let filler = card.fill();
            assert_degraded(&agent, "full");
            fs::remove_file(filler).expect("holds in the story");
            assert_well_again(&agent);
        }
        assert_all_delivered(dir, agent, talker);
    });
}

#[test]
fn a_card_pulled_out_and_put_back_read_only_at_first_costs_nothing_but_time() {
    with_own_mounts("a_card_pulled_out_and_put_back_read_only_at_first_costs_nothing_but_time", |dir| {
        let card = Card::new(dir);
        let port = Port::plugged(&dir.join("port"));
        let agent = Agent::started(dir, &config(dir, &card, &port));
        agent.wait_open(&port, "counter");
        let talker = Talker::start(port, LINES_PER_SECOND, said);
        agent.wait_until("readings", LIMIT, |status| readings(status) > 200);
        card.pull_out();
        assert_degraded(&agent, "");
        assert!(
            !card.slot.join("journal").try_exists().expect("holds in the story"),
            "no other journal is begun in the empty slot"
        );
        card.remount_card("ro");
        card.put_in();
        assert_degraded(&agent, "ead-only");
        card.remount_card("rw");
        // The slot was mounted while the card was read-only, and keeps that for itself.
        card.remount("rw");
        assert_well_again(&agent);
        assert_all_delivered(dir, agent, talker);
    });
}

#[test]
fn a_start_without_a_usable_disk_takes_readings_and_delivers_them_once_it_is_repaired() {
    with_own_mounts("a_start_without_a_usable_disk_takes_readings_and_delivers_them_once_it_is_repaired", |dir| {
        let card = Card::new(dir);
        card.remount("ro");
        let port = Port::plugged(&dir.join("port"));
        let agent = Agent::started(dir, &config(dir, &card, &port));
        agent.wait_open(&port, "counter");
        let talker = Talker::start(port, LINES_PER_SECOND, said);
        assert_degraded(&agent, "ead-only");
        card.remount("rw");
        assert_well_again(&agent);
        let status = agent.status().expect("holds in the story");
        assert!(status["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()));
        assert_all_delivered(dir, agent, talker);
    });
}

#[test]
fn a_disk_that_fills_while_the_line_is_cut_costs_nothing_but_time() {
    with_own_mounts("a_disk_that_fills_while_the_line_is_cut_costs_nothing_but_time", |dir| {
        let card = Card::new(dir);
        let port = Port::plugged(&dir.join("port"));
        let broker = Mosquitto::started(&dir.join("broker"));
        let subscriber = Subscriber::start(&broker, "farm/#", &dir.join("heard"));
        let wire = Wire::to(broker.port(), None);
        let config = config(dir, &card, &port) + &agent::mqtt_sink("cloud", &wire.url());
        let agent = Agent::started(dir, &config);
        agent.wait_open(&port, "counter");
        let talker = Talker::start(port, LINES_PER_SECOND, said);
        agent.wait_until("readings", LIMIT, |status| readings(status) > 200);
        wire.turn(Weather::Cut);
        agent.wait_until("the broker to be missed", LIMIT, |status| {
            item(status, "sinks", "cloud")["state"] == "retrying"
        });
        let filler = card.fill();
        assert_degraded(&agent, "full");
        fs::remove_file(filler).expect("holds in the story");
        assert_well_again(&agent);
        wire.turn(Weather::Fair);
        assert_all_delivered(dir, agent, talker);
        // The folder has all that was said, and the subscriber what the folder has.
        let filed = Lake::Folder(&dir.join("lake")).ndjson_rows();
        wait_for(
            "the subscriber to have all",
            LIMIT,
            || format!("{} of {} rows", subscriber.rows().len(), filed.len()),
            || (subscriber.rows().len() >= filed.len()).then_some(()),
        );
    });
}

#[test]
fn an_alarm_does_not_wait_for_a_full_disk_and_gets_its_number_when_there_is_room() {
    with_own_mounts("an_alarm_does_not_wait_for_a_full_disk_and_gets_its_number_when_there_is_room", |dir| {
        let card = Card::new(dir);
        let port = Port::plugged(&dir.join("port"));
        let broker = Mosquitto::started(&dir.join("broker"));
        let subscriber = Subscriber::start(&broker, "farm/#", &dir.join("heard"));
        let config = config(dir, &card, &port).replace("unit = \"1\"", "unit = \"1\"\nalarm = { below = 0.0 }");
        let mut agent = Agent::started(dir, &(config + &agent::mqtt_sink("cloud", &broker.url())));
        agent.wait_open(&port, "counter");
        let filler = card.fill();
        port.send(b"n,1\r\n", LIMIT);
        agent.wait_until("the journal to be degraded", LIMIT, |status| status["journal"]["state"] == "degraded");
        port.send(b"n,-1\r\n", LIMIT);
        let heard = |topic: &'static str| {
            let messages = subscriber.messages().into_iter().filter(move |message| message.topic.ends_with(topic));
            messages.flat_map(|message| message.payload["events"].as_array().cloned().unwrap_or_default())
        };
        let alarm = wait_for("the alarm", LIMIT, || agent.log_tail(), || heard("/alarm").next());
        assert_eq!((&alarm["value"], &alarm["seq"]), (&Value::from(-1.0), &Value::Null), "it has no number yet");
        fs::remove_file(filler).expect("holds in the story");
        let mut numbered = wait_for(
            "the same among the readings",
            LIMIT,
            || agent.log_tail(),
            || heard("/readings").find(|event| event["event"] == "alarm"),
        );
        let seq = numbered.as_object_mut().and_then(|event| event.remove("seq"));
        assert!(seq.is_some_and(|seq| seq.is_u64()) && numbered == alarm, "{numbered} after {alarm}");
        agent.terminate();
    });
}
