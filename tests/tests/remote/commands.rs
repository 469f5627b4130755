//! What a device is told to do is done once, answered, and written down; and there is nothing that it can not be told in a
//! fixed list.

use std::process::Command;

use e2e::agent::{item, stdout};

use e2e::patience::wait_for;
use serde_json::{Value, json};

use crate::pond::{LIMIT, Pond};

fn pond() -> Pond {
    Pond::with("commands = true", &[])
}

#[test]
fn each_command_is_accepted_done_and_answered() {
    let pond = pond();
    let done = |id: &str, command: &str, args: Value| {
        let answer = pond.operator.wait_done(id, &json!({"command": command, "args": args}));
        assert_eq!(answer["status"], "succeeded", "{command}: {answer}");
        answer["result"].clone()
    };
    let status = done("1", "status", json!({}));
    assert_eq!(status["device"], "gw-1");
    let words: Vec<Value> = pond.operator.answers("1").into_iter().map(|answer| answer["status"].clone()).collect();
    assert_eq!(words, ["accepted", "running", "succeeded"]);

    let rows = done("2", "tail", json!({"instrument": "one", "n": 5}));
    assert_eq!(rows["rows"].as_array().map(Vec::len), Some(5), "{rows}");

    let sniffed = done("3", "sniff", json!({"bus": "two", "seconds": 10, "bytes": 60}));
    let hex: String =
        sniffed["pieces"].as_array().into_iter().flatten().filter_map(|piece| piece["hex"].as_str()).collect();
    // `n,` and a number.
    assert!(hex.contains("6e2c3") && hex.len() == 120, "{sniffed}");

    let probed = done("4", "probe", json!({"instrument": "two"}));
    assert_eq!((&probed["state"], &probed["bus"]), (&json!("up"), &json!("two")), "{probed}");
    assert!(probed["readings"].as_u64() > Some(0) && probed["values"]["number"]["value"].is_number(), "{probed}");

    let flushed = done("5", "flush", json!({"sink": "cloud"}));
    assert!(flushed["records"]["cloud"].is_u64(), "{flushed}");

    let replayed = done("6", "replay", json!({"sink": "cloud", "from": "1", "to": "5"}));
    assert!(replayed["positions"].as_u64() > Some(0), "{replayed}");

    done("7", "log-level", json!({"level": "debug", "minutes": 1}));
    let bundle = done("8", "support-bundle", json!({}));
    assert_eq!(bundle["status"]["device"], "gw-1");
    let put = done("9", "support-bundle", json!({"sink": "lake"}));
    let key = put["key"].as_str().expect("a key");
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--wildcards", "-xOf"]).arg(pond.dir.join("lake").join(key)).arg("*/status.json");
    let found: Value =
        serde_json::from_slice(&tar.output().expect("tar runs").stdout).expect("the status in the bundle");
    assert_eq!(found["device"], "gw-1", "{found:?}");
    // The last one is durable a commit after its answer.
    let told = || pond.agent.tail(100_000).into_iter().filter(|row| row.event == "command").count();
    wait_for("nine events", LIMIT, || pond.agent.log_tail(), || (told() == 9).then_some(()));
}

#[test]
fn what_can_not_be_done_is_refused_in_words() {
    let pond = pond();
    for (id, order, words) in [
        ("n1", json!({"command": "sh", "args": {"c": "reboot"}}), "there is no command"),
        ("n2", json!({"command": "reboot"}), "remote.allow_reboot"),
        ("n3", json!({"command": "sniff", "args": {"bus": "/dev/ttyS0"}}), "there is no bus"),
        ("n4", json!({"command": "sniff", "args": {"bus": "one", "seconds": 4_000}}), "from 1 to 60"),
        ("n5", json!({"command": "tail", "args": {"file": "/etc/shadow"}}), "unknown argument `file`"),
        ("n6", json!({"command": "support-bundle", "args": {"sink": "cloud"}}), "is no lake"),
        ("n7", json!({"command": "log-level", "args": {"level": "loud"}}), "error, warn, info"),
        ("n8", json!({"args": {}}), "`command` is missing"),
    ] {
        let answer = pond.operator.wait_done(id, &order);
        assert_eq!(answer["status"], "failed", "{answer}");
        assert!(answer["error"].as_str().unwrap_or_default().contains(words), "{words}: {answer}");
    }
}

/// `QoS` 1 may bring an order twice, and a retained one comes with every connection.
#[test]
fn an_order_is_carried_out_once_also_across_the_restart_that_it_asks_for() {
    let pond = pond();
    let before = pond.agent.wait_until("status", LIMIT, |_| true)["uptime_s"].as_u64();
    let pid = pond.agent.pid();
    let answer = pond.operator.wait_done("again", &json!({"command": "restart"}));
    assert_eq!(answer["status"], "succeeded", "{answer}");
    let boots = || {
        stdout(&pond.agent.cli(&["tail", "--json", "-n", "100000"]))
            .lines()
            .filter(|line| line.contains("\"event\":\"boot\""))
            .count()
    };
    wait_for("the agent to start anew", LIMIT, || pond.agent.log_tail(), || (boots() == 2).then_some(()));
    assert_eq!(pond.agent.pid(), pid, "in the same process");
    pond.agent.wait_until("it to be up", LIMIT, |status| {
        item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0)
    });
    for _ in 0..3 {
        pond.operator.orders("again", &json!({"command": "restart"}));
    }
    wait_for(
        "it to be answered again",
        LIMIT,
        || pond.agent.log_tail(),
        || {
            let succeeded =
                pond.operator.answers("again").iter().filter(|answer| answer["status"] == "succeeded").count();
            (succeeded >= 4).then_some(())
        },
    );
    assert_eq!(boots(), 2, "uptime was {before:?} s");
}

#[test]
fn an_order_that_has_expired_is_not_carried_out() {
    let pond = pond();
    let answer = pond.operator.wait_done("late", &json!({"command": "status", "expires": "2020-01-01T00:00:00Z"}));
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(error.contains("expired"), "{answer}");
}

#[test]
fn without_leave_no_order_is_heard() {
    let pond = Pond::new();
    pond.operator.orders("x1", &json!({"command": "status"}));
    pond.operator.wants("r1", &json!({}));
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    assert_eq!(pond.operator.answers("x1"), Vec::<Value>::new());
}
