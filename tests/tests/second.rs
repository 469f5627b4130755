//! The same on a store of other people's (moto), and on one that takes no notice of `If-None-Match`.

use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::desk::{Desk, Fate};
use e2e::moto::Moto;
use e2e::pty::Port;
use e2e::seaweed::{KEY_ID, SECRET};
use e2e::talker::Talker;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);
const BUCKET: &str = "pond";

fn sink(status: &Value) -> &Value {
    item(status, "sinks", "lake")
}

fn delivered(status: &Value) -> u64 {
    sink(status)["delivered_total"].as_u64().unwrap_or_default()
}

/// An agent that talks to a store over a desk, with a device that says fifty lines a second.
fn started(dir: &Path, desk: &Desk) -> (Agent, Talker) {
    let port = Port::plugged(&dir.join("port"));
    let secret = dir.join("secret");
    std::fs::write(&secret, SECRET).expect("write into the story's folder");
    let config = agent::preamble(dir, "200ms")
        + &agent::counter("counter", port.path())
        + &agent::s3_sink_at("lake", &desk.endpoint(), BUCKET, "manifest_every = \"0s\"")
        + &format!(
            "[sink.lake.credentials]\ntype = \"static\"\naccess_key_id = \"{KEY_ID}\"\n\
             secret_access_key_file = \"{}\"\n",
            secret.display()
        );
    let agent = Agent::started(dir, &config);
    agent.wait_open(&port, "counter");
    (agent, Talker::start(port, 50, |number| format!("n,{number}\r\n")))
}

/// Ends the agent; what its lake gives back is the journal, and it is whole.
#[track_caller]
fn assert_whole(agent: &mut Agent, talker: Talker) {
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let text = |args: &[&str]| {
        let output = agent.cli(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}{}", agent::stdout(&output), agent::stderr(&output));
        agent::stdout(&output)
    };
    text(&["lake", "verify", "lake", "--from", "1h"]);
    let (got, journal) = (text(&["--json", "lake", "get", "lake", "--from", "1h"]), text(&["journal", "export"]));
    let rows =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect() };
    let (got, journal) = (rows(&got), rows(&journal));
    // What the end itself put into the journal comes with the next start.
    assert!(got.len() >= 100 && journal.len() - got.len() <= 1, "{} of {}", got.len(), journal.len());
    assert_eq!(got, journal[..got.len()]);
}

#[test]
fn an_upload_to_another_store_is_whole_and_what_is_missing_there_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Moto::started(dir.path(), BUCKET);
    let desk = Desk::to(store.port());
    let (mut agent, talker) = started(dir.path(), &desk);
    for tree in ["readings", "manifests"] {
        let before = agent.status().map_or(0, |status| delivered(&status));
        desk.rule(&format!("PUT /{BUCKET}/{tree}/"), Fate::LoseReply, 2);
        let status = agent.wait_until("an object whose reply was lost", LIMIT, |status| {
            delivered(status) > before + 50 && sink(status)["state"] == "ok"
        });
        assert_eq!(sink(&status)["conditional_put"], "honoured", "{status:#}");
    }
    assert_whole(&mut agent, talker);
    let key = store.keys(BUCKET).into_iter().find(|key| key.starts_with("readings/")).expect("an object");
    store.delete(BUCKET, &key);
    let verified = agent.cli(&["--json", "lake", "verify", "lake", "--from", "1h"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(agent::stdout(&verified).contains("object-missing"), "{}", agent::stdout(&verified));
}

#[test]
fn a_store_that_takes_no_notice_of_the_condition_overwrites_with_the_same_bytes_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Moto::started(dir.path(), BUCKET);
    let desk = Desk::to(store.port());
    for header in ["if-none-match", "if-match"] {
        desk.rule_with("PUT ", header, Fate::Without(header), usize::MAX);
    }
    let (mut agent, talker) = started(dir.path(), &desk);
    let status = agent.wait_until("objects", LIMIT, |status| delivered(status) > 100);
    assert_eq!(sink(&status)["conditional_put"], "ignored", "{status:#}");
    assert!(agent::stdout(&agent.cli(&["status"])).contains("takes no notice of If-None-Match"));
    let before = delivered(&status);
    desk.rule(&format!("PUT /{BUCKET}/readings/"), Fate::LoseReply, 2);
    agent.wait_until("an object whose reply was lost", LIMIT, |status| {
        delivered(status) > before + 50 && sink(status)["state"] == "ok"
    });
    // The day's manifest is there, and the agent does not know it any more.
    agent.kill();
    agent.start();
    agent.wait_until("objects of the new start", LIMIT, |status| delivered(status) > 50);
    assert_whole(&mut agent, talker);
}
