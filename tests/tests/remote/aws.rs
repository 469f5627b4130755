//! The same over AWS IoT Core: the named shadow `config`, commands and jobs, with a far side that AWS's own clients take for
//! the real one, over mutual TLS.

use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::iot::Iot;
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::pki::{Authority, Leaf};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(1);

struct Thing {
    iot: Iot,
    agent: Agent,
    _broker: Mosquitto,
    _folder: TempDir,
}

impl Thing {
    fn new(prepare: impl FnOnce(&mut Iot)) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the story");
        let dir = folder.path();
        let authority = Authority::new(&dir.join("ca"));
        let (server, device) = (authority.issue(&Leaf::server("server")), authority.issue(&Leaf::client("device")));
        let listener = Secured { ca: &authority.certificate(), shows: &server, crl: None };
        let broker = Mosquitto::secured(&dir.join("broker"), &[listener]);
        let mut iot = Iot::started(dir, &broker, None);
        prepare(&mut iot);
        let url = format!("mqtts://localhost:{}", broker.secured_ports()[0]);
        let sink = agent::mqtts_sink("cloud", &url, &authority.certificate(), Some(&device), "")
            .replace("\"generic\"", "\"aws-iot\"");
        let remote = "[remote]\nvia = \"cloud\"\nconfig = true\ncommands = true\nconfirm_within = \"20s\"\n";
        let agent = Agent::started(dir, &(agent::preamble(dir, "200ms") + &sink + remote));
        Self { iot, agent, _broker: broker, _folder: folder }
    }

    fn wants(&mut self, revision: &str, config: &Value) {
        let desired = json!({"revision": revision, "config": config, "author": "mara"});
        self.iot
            .tell(&json!({"do": "shadow-update", "thing": "gw-1", "name": "config", "state": {"desired": desired}}));
    }

    /// Waits until the shadow reports this of this revision.
    #[track_caller]
    fn wait_reported(&mut self, revision: &str, status: &str) -> Value {
        loop {
            let event = self.iot.event(&json!({"event": "reported", "thing": "gw-1", "name": "config"}), LIMIT);
            if event["state"]["revision"] == revision && event["state"]["status"] == status {
                return event["state"].clone();
            }
        }
    }

    fn shadow(&mut self) -> Value {
        self.iot.tell(&json!({"do": "show", "what": "shadow", "thing": "gw-1", "name": "config"}))["shadow"].clone()
    }
}

#[test]
fn the_shadow_says_what_is_wanted_and_what_became_of_it() {
    let mut thing = Thing::new(|_| {});
    thing.wants("r1", &json!({"journal": {"commit_interval": "300ms"}}));
    let reported = thing.wait_reported("r1", "applied");
    assert_eq!(reported["in_force"], "r1", "{reported}");
    let shadow = thing.shadow();
    assert_eq!(shadow["state"]["delta"], Value::Null, "what is in force does not differ: {shadow}");
    thing.wants("r2", &json!({"journal": {"commit_interval": 7}}));
    let refused = thing.wait_reported("r2", "rejected");
    assert_eq!(refused["errors"][0]["path"], "journal.commit_interval", "{refused}");
    assert_eq!(refused["in_force"], "r1", "{refused}");
    // A deep one, and one that deletes, as a text.
    let document = json!({"revision": "r3", "config": {"instrument": {"none": null}}}).to_string();
    let desired = json!({"revision": null, "config": null, "author": null, "document": document});
    thing.iot.tell(&json!({"do": "shadow-update", "thing": "gw-1", "name": "config", "state": {"desired": desired}}));
    thing.wait_reported("r3", "applied");
}

#[test]
fn answers_that_are_lost_late_doubled_or_refused_change_nothing_but_the_time_it_takes() {
    let mut thing = Thing::new(|_| {});
    let config = |interval: &str| json!({"journal": {"commit_interval": interval}});
    for (revision, interval, fault) in [
        ("twice", "300ms", json!({"duplicate": true})),
        ("turned", "310ms", json!({"duplicate": false, "delta_out_of_order": true})),
        (
            "busy",
            "320ms",
            json!({"delta_out_of_order": false, "reject_next": ["shadow-get", 429, "Too many requests"]}),
        ),
        ("lost", "330ms", json!({"lose_next": 1, "op": "shadow-get"})),
        ("unheard", "340ms", json!({"drop_next": 1, "op": "shadow-update"})),
        ("clash", "350ms", json!({"reject_next": ["shadow-update", 409, "Version conflict"]})),
        (
            "large",
            "360ms",
            json!({"reject_next": ["shadow-update", 413, "The payload exceeds the maximum size allowed"]}),
        ),
    ] {
        // What is asked of the far side by the story itself is no request of the device's.
        let desired = json!({"revision": revision, "config": config(interval)});
        let mut line = json!({"do": "fault"});
        line.as_object_mut().expect("an object").extend(fault.as_object().expect("an object").clone());
        thing.iot.tell(&line);
        if revision == "turned" {
            // Its delta comes behind that of the next one.
            thing.wants("before", &config("305ms"));
        }
        thing
            .iot
            .tell(&json!({"do": "shadow-update", "thing": "gw-1", "name": "config", "state": {"desired": desired}}));
        let reported = thing.wait_reported(revision, "applied");
        assert_eq!(reported["in_force"], revision, "{reported}");
    }
    let status = thing.agent.wait_until("status", LIMIT, |_| true);
    assert_eq!(status["config"]["revision"], "large");
}

#[test]
fn a_device_that_was_away_finds_what_is_wanted_and_the_jobs_that_wait() {
    let mut thing = Thing::new(|iot| {
        let desired = json!({"revision": "early", "config": {"journal": {"commit_interval": "300ms"}}});
        iot.tell(&json!({"do": "shadow-update", "thing": "gw-1", "name": "config", "state": {"desired": desired}}));
        iot.tell(&json!({"do": "job", "thing": "gw-1", "id": "j1", "document": {"command": "flush"}}));
        iot.tell(&json!({"do": "job", "thing": "gw-1", "id": "j2", "document": {"command": "fly"}}));
    });
    thing.wait_reported("early", "applied");
    for (id, status) in [("j1", "SUCCEEDED"), ("j2", "FAILED")] {
        thing.iot.event(&json!({"event": "execution", "id": id, "status": "IN_PROGRESS"}), LIMIT);
        let ended = thing.iot.event(&json!({"event": "execution", "id": id, "status": status}), LIMIT);
        assert!(ended["statusDetails"].is_object(), "{ended}");
    }
    // A restart ends the agent in the middle of the job: it is done once all the same.
    thing.iot.tell(&json!({"do": "job", "thing": "gw-1", "id": "j3", "document": {"command": "restart"}}));
    thing.iot.event(&json!({"event": "execution", "id": "j3", "status": "SUCCEEDED"}), LIMIT);
    thing.agent.wait_until("it to be back", LIMIT, |status| {
        item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0) && status["uptime_s"].as_u64() > Some(2)
    });
    let boots = thing.agent.tail(1_000).into_iter().filter(|row| row.event == "boot").count();
    assert_eq!(boots, 2);
}

#[test]
fn a_command_of_the_service_is_done_within_its_time() {
    let mut thing = Thing::new(|_| {});
    thing
        .agent
        .wait_until("the link", LIMIT, |status| item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0));
    thing.iot.tell(&json!({"do": "command", "thing": "gw-1", "id": "c1", "payload": {"command": "tail", "args": {"n": 1}}, "timeout_s": 30}));
    let ended = thing.iot.event(&json!({"event": "command", "id": "c1", "status": "SUCCEEDED"}), LIMIT);
    assert!(ended["result"]["result"]["s"].as_str().is_some_and(|text| text.contains("rows")), "{ended}");
    thing.iot.tell(
        &json!({"do": "command", "thing": "gw-1", "id": "c2", "payload": {"command": "reboot"}, "timeout_s": 30}),
    );
    let ended = thing.iot.event(&json!({"event": "command", "id": "c2", "status": "FAILED"}), LIMIT);
    assert!(
        ended["statusReason"]["reasonDescription"].as_str().is_some_and(|text| text.contains("allow_reboot")),
        "{ended}"
    );
}
