//! What was delivered goes again: to a broker all of it, the same to the letter; to a lake what it lacks.

use std::collections::BTreeMap;

use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::row;
use e2e::subscriber::Subscriber;

use super::*;

fn replay(agent: &Agent, args: &[&str], code: i32) -> Value {
    let output = agent.cli(&[&["--json", "replay"], args].concat());
    ends_with(&output, code);
    serde_json::from_str(&agent::stdout(&output)).expect("one object")
}

#[test]
fn a_broker_gets_it_again_to_the_letter() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/farm/gw-1/readings", &dir.path().join("heard"));
    let (mut agent, _port) =
        quiet(dir.path(), &agent::preamble(dir.path(), "100ms"), &agent::mqtt_sink("cloud", &broker.url()));
    let heard = || -> Vec<Row> { subscriber.messages().iter().flat_map(|it| row::of_envelope(&it.payload)).collect() };
    let count = heard().len();
    let said = replay(&agent, &["cloud", "--from", "101", "--to", "301"], 0);
    assert_eq!((&said["positions"], &said["again"].as_array().map(Vec::len)), (&200.into(), &Some(1)), "{said}");
    wait_for("those positions again", LIMIT, || agent.log_tail(), || (heard().len() >= count + 200).then_some(()));
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let mut by_seq: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for row in heard() {
        by_seq.entry(row.seq).or_default().push(row.whole);
    }
    for (seq, rows) in by_seq {
        let times = if (101..301).contains(&seq) { 2 } else { 1 };
        assert_eq!(rows.len(), times, "position {seq}");
        assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{rows:?}");
    }
}

#[test]
fn a_lake_gets_what_it_lacks_and_no_row_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("replayed");
    let lake = dir.path().join("lake");
    let sinks = agent::file_sink("usb", &lake, "parquet").replacen("batch", "manifest_every = \"0s\"\nbatch", 1)
        + &agent::s3_sink("cloud", &store, "replayed").replacen("batch", "manifest_every = \"0s\"\nbatch", 1);
    let (mut agent, _port) = quiet(dir.path(), &agent::preamble(dir.path(), "100ms"), &sinks);
    let all = |agent: &Agent, lake: &str| agent::stdout(&agent.cli(&["lake", "get", lake]));
    // All of the journal, whatever was taken away meanwhile.
    let is_all = |agent: &Agent, lake: &str| all(agent, lake) == agent::stdout(&agent.cli(&["journal", "export"]));
    let wait_for_all = |agent: &Agent, lake: &str| {
        wait_for("all of the journal in the lake", LIMIT, || agent.log_tail(), || is_all(agent, lake).then_some(()));
    };
    wait_for_all(&agent, "usb");
    wait_for_all(&agent, "cloud");

    // Nothing is lacking.
    for sink in ["usb", "cloud"] {
        assert_eq!(replay(&agent, &[sink, "--from", "1h"], 0)["positions"], 0);
    }

    // Somebody took two objects away.
    let objects = files(&lake, "/readings/");
    let (second, third) = (&objects[1], &objects[2]);
    fs::remove_file(second).unwrap();
    fs::remove_file(third).unwrap();
    let keys: Vec<String> = store.keys("replayed").into_iter().filter(|key| key.starts_with("readings/")).collect();
    store.delete("replayed", &keys[1]);
    for sink in ["usb", "cloud"] {
        ends_with(&agent.cli(&["lake", "verify", sink]), exit::NOT_FINE);
        let said = replay(&agent, &[sink, "--from", "1h"], 0);
        assert!(said["positions"].as_u64() > Some(0), "{said}");
        wait_for_all(&agent, sink);
        wait_for(
            "the lake whole again",
            LIMIT,
            || agent.log_tail(),
            || (agent.cli(&["lake", "verify", sink]).status.code() == Some(0)).then_some(()),
        );
    }

    // A lake that burnt down: another folder, nothing in it.
    agent.terminate();
    fs::remove_dir_all(&lake).unwrap();
    agent.start();
    agent.wait_ready();
    assert!(replay(&agent, &["usb", "--from", "1"], 0)["positions"].as_u64() > Some(READINGS));
    wait_for_all(&agent, "usb");
    agent.wait_delivered(LIMIT);
    agent.terminate();
    ends_with(&agent.cli(&["lake", "verify", "usb"]), 0);
}

#[test]
fn a_replay_that_can_not_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let (mut agent, _port) =
        quiet(dir.path(), &agent::preamble(dir.path(), "100ms"), &agent::file_sink("usb", &lake, "ndjson"));
    let refused = |agent: &Agent, args: &[&str], code: i32, words: &str| {
        let output = agent.cli(&[&["replay"], args].concat());
        ends_with(&output, code);
        assert!(agent::stderr(&output).contains(words), "{}", agent::stderr(&output));
    };
    refused(&agent, &["nobody", "--from", "1"], exit::UNAVAILABLE, "there is no sink \"nobody\"");
    refused(&agent, &["usb", "--from", "yesterday"], exit::USAGE, "yesterday");
    fs::rename(&lake, dir.path().join("elsewhere")).unwrap();
    fs::write(&lake, b"no folder").unwrap();
    refused(&agent, &["usb", "--from", "1"], exit::UNAVAILABLE, "can not say what it lacks");
    agent.terminate();
    refused(&agent, &["usb", "--from", "1"], exit::UNAVAILABLE, "no agent answers");
}
