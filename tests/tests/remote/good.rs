//! What is good is applied, at once, and nothing else is disturbed by it.

use std::fs;

use e2e::agent::item;
use e2e::depot::{Depot, Manners};
use e2e::lake::Lake;
use e2e::patience::now;
use e2e::row::Row;
use serde_json::json;

use crate::pond::{LIMIT, Pond};

/// The first number of `two` that has this scale's value is where the change took place; each before and behind it is there.
#[test]
fn a_scale_is_changed_and_no_instrument_misses_a_line() {
    let mut pond = Pond::new();
    let began = now();
    pond.operator.wants("r1", &json!({"instrument": {"two": {"quantity": {"number": {"scale": 2}}}}}));
    let outcome = pond.operator.wait_outcome("r1");
    println!("from publish to applied and reported: {:?}", began.elapsed());
    assert_eq!(outcome["status"], "applied", "{outcome}");
    assert_eq!(outcome["in_force"], "r1");
    let status = pond.in_force();
    assert_eq!((&status["revision"], &status["author"]), (&json!("r1"), &json!("mara")));
    assert_eq!(status["hash"], outcome["config_hash"]);
    pond.agent.wait_until("readings behind the change", LIMIT, |status| {
        item(status, "instruments", "two")["readings_total"].as_u64() > Some(20)
    });
    let numbers = pond.numbers();
    Pond::assert_unbroken(&numbers["one"]);
    let two = &numbers["two"];
    let turn = two.windows(2).position(|pair| pair[1] > pair[0] + 1).expect("the scale is another");
    Pond::assert_unbroken(&two[..=turn]);
    let halves: Vec<u64> = two[turn + 1..].iter().map(|number| number / 2).collect();
    Pond::assert_unbroken(&halves);
    // At most the line that was half heard when its decoder was exchanged.
    assert!(halves[0] <= two[turn] + 2, "{} behind {}", halves[0], two[turn]);
    let events = pond.agent.tail(100_000);
    let applied: Vec<&Row> = events.iter().filter(|row| row.event == "config-applied").collect();
    assert_eq!(applied.len(), 1, "{applied:?}");
}

#[test]
fn instruments_batches_and_intervals_come_and_go_and_survive_a_restart() {
    let mut pond = Pond::with("allow = [\"instrument\", \"bus\", \"sink\", \"journal.commit_interval\"]", &[]);
    let first = json!({
        "instrument": {"two": null},
        "bus": {"spare": {"port": "/dev/ttyNOWHERE"}},
        "sink": {"cloud": {"batch": {"max_age": "1s"}, "format": "json-columns"}},
        "journal": {"commit_interval": "300ms"},
    });
    pond.operator.wants("r1", &first);
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    let status = pond.agent.wait_until("one instrument", LIMIT, |status| {
        status["instruments"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert_eq!(status["instruments"][0]["id"], "one");
    // A merge patch lies over what stands on the device, not over the revision before it: the instrument is back.
    pond.operator.wants(
        "r2",
        &json!({"sink": {"second": {"type": "mqtt", "url": pond.broker.url(), "topic": "farm/second/readings"}}}),
    );
    assert_eq!(pond.operator.wait_outcome("r2")["status"], "applied");
    pond.agent.wait_until("the second sink to deliver", LIMIT, |status| {
        item(status, "sinks", "second")["delivered_total"].as_u64() > Some(0)
            && item(status, "instruments", "two")["state"] == "up"
    });
    pond.agent.kill();
    pond.agent.start();
    let held = pond.in_force();
    assert_eq!(held["revision"], "r2");
    let shown = pond.agent.cli(&["config", "show", "--origin"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown.lines().find(|line| line.contains("sink.second.type")).expect("the key is shown");
    assert!(line.contains("remote revision r2"), "{line}");
    pond.numbers();
    let lines = Lake::Folder(&pond.dir.join("lake")).manifest_lines();
    assert!(lines.iter().any(|line| line["config_revision"] == "r2"), "{lines:?}");
}

/// A technician's change of the file, and what came from afar, lie over each other.
#[test]
fn the_file_is_read_again_on_sighup_and_the_revision_stays() {
    let pond = Pond::new();
    pond.operator.wants("r1", &json!({"journal": {"commit_interval": "300ms"}}));
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    let before = pond.in_force();
    let file = pond.agent.config();
    let text = fs::read_to_string(&file).expect("the story's file");
    fs::write(&file, format!("{text}\n[bus.one]\n")).expect("write");
    pond.agent.hang_up();
    pond.agent.wait_log("the configuration is wrong, the one in force stays", LIMIT);
    fs::write(&file, text.replace("max_age = \"500ms\"", "max_age = \"900ms\"")).expect("write");
    pond.agent.hang_up();
    let after = pond.agent.wait_until("the file's change", LIMIT, |status| status["config"]["hash"] != before["hash"]);
    assert_eq!(after["config"]["revision"], "r1");
}

#[test]
fn a_document_that_fits_into_no_message_is_fetched_and_held_against_its_digest() {
    let pond = Pond::new();
    let depot = Depot::open();
    let tags: serde_json::Map<String, serde_json::Value> =
        (0..8_000).map(|number| (format!("tag-{number:05}"), json!("a lake that is far away"))).collect();
    let config = json!({"instrument": {"two": {"tags": tags}}});
    let document = json!({"revision": "large", "config": config}).to_string();
    assert!(document.len() > 128 << 10);
    let file = pond.dir.join("document");
    fs::write(&file, &document).expect("write");
    let digest = std::process::Command::new("sha256sum").arg(&file).output().expect("coreutils");
    let digest = String::from_utf8_lossy(&digest.stdout)[..64].to_owned();
    let url = depot.put("large", document.clone().into_bytes(), Manners::Good);
    let of = |name: &str, sha256: &str, url: &str| json!({"revision": name, "sha256": sha256, "url": url}).to_string();

    pond.operator.publishes(&of("large", &"0".repeat(64), &url));
    let refused = pond.operator.wait_outcome("large");
    assert!(refused["errors"].to_string().contains(&digest), "{refused}");
    pond.operator.publishes(&of("other", &digest, &url));
    let refused = pond.operator.wait_outcome("other");
    assert!(refused["errors"].to_string().contains("the document there is large"), "{refused}");
    pond.operator.publishes(&of("large", &digest, &url));
    pond.operator.wait_report("the large one to be applied", |report| {
        report["revision"] == "large" && report["status"] == "applied"
    });
    assert_eq!(pond.in_force()["revision"], "large");
}
