//! An update that is ordered over the broker: answered when it is in and well, by the agent that it has put there.

use std::fs;

use e2e::agent::{self, item};
use e2e::board::{Board, WELL_WITHIN};
use e2e::depot::{Depot, Manners};
use e2e::mosquitto::Mosquitto;
use e2e::operator::Operator;
use e2e::patience::wait_for;
use serde_json::{Value, json};

use crate::LIMIT;

#[test]
fn an_order_to_update_is_answered_by_the_agent_that_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let operator = Operator::at(&broker, dir.path());
    let lines = agent::mqtt_sink("cloud", &broker.url()) + "[remote]\ncommands = true\n";
    let mut board = Board::made(dir.path(), &lines, WELL_WITHIN);
    board.start();
    board.wait_status("the link", |status| item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0));
    let depot = Depot::open();
    let better = board.rebuilt("better");
    let url = depot.put("better", fs::read(&better).unwrap(), Manners::Good);
    let signed: Value =
        serde_json::from_slice(&fs::read(board.signed(&better, &url, &["--version", "7.0.0"])).unwrap()).unwrap();

    let mut forged = signed.clone();
    forged["manifest"] = json!(signed["manifest"].as_str().expect("a text").replace("7.0.0", "8.0.0"));
    let refused = operator.wait_done("u0", &json!({"command": "update", "args": forged}));
    assert_eq!(refused["status"], "failed", "{refused}");

    operator.orders("u1", &json!({"command": "update", "args": signed}));
    wait_for(
        "the agent to fetch it",
        LIMIT,
        || board.log_tail(),
        || (board.update()["state"] == "staged").then_some(()),
    );
    let words: Vec<Value> = operator.answers("u1").iter().map(|answer| answer["status"].clone()).collect();
    assert_eq!(words, ["accepted", "running"]);
    let installed = board.install(&[]);
    assert_eq!(installed.code, Some(0), "{}\n{}", installed.said, board.log_tail());
    let context = || format!("{:?}\n{}", operator.answers("u1"), board.log_tail());
    let last = wait_for("the last word", LIMIT, context, || operator.answers("u1").into_iter().nth(2));
    assert_eq!((&last["status"], &last["result"]["version"]), (&json!("succeeded"), &json!("7.0.0")), "{last}");
}
