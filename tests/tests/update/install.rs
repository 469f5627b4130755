//! The way of a good update, from the offer to the event that tells of it; and of one that the agent itself gives up.

use std::fs;

use e2e::agent::{self, item};
use e2e::board::{Board, WELL_WITHIN};
use e2e::depot::{Depot, Manners};
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::talker::Talker;

use crate::{LIMIT, bytes, told};

#[test]
fn an_update_is_fetched_by_the_agent_installed_beside_it_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(dir.path());
    let port = Port::plugged(&dir.path().join("port"));
    let lines = agent::counter("counter", port.path()) + &agent::mqtt_sink("cloud", &broker.url());
    let mut board = Board::made(dir.path(), &lines, WELL_WITHIN);
    let depot = Depot::open();
    let better = board.rebuilt("better");
    let url = depot.put("better", fs::read(&better).unwrap(), Manners::Cuts(9_000_000));
    let document = board.signed(&better, &url, &["--version", "7.0.0"]);
    board.start();
    let talker = Talker::start(port, 20, |number| format!("n,{number}\r\n"));
    board.wait_status("all to be well", |status| {
        item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(20)
            && item(status, "instruments", "counter")["state"] == "up"
    });
    let first = board.status().unwrap();

    // As a command or a desired state leaves it.
    fs::create_dir_all(dir.path().join("update")).unwrap();
    fs::copy(&document, dir.path().join("update/offer.json")).unwrap();
    board.stop();
    board.start();
    wait_for(
        "the agent to fetch it",
        LIMIT,
        || board.log_tail(),
        || (board.update()["state"] == "staged").then_some(()),
    );
    let installed = board.install(&[]);
    assert_eq!(installed.code, Some(0), "{}\n{}", installed.said, board.log_tail());
    assert_eq!(board.installed(), fs::read(&better).unwrap());
    let report = board.update();
    assert_eq!((report["state"].as_str(), report["version"].as_str()), (Some("done"), Some("7.0.0")), "{report}");
    assert_eq!(board.restarts(), 1, "once, and no more");
    assert_eq!(board.status().unwrap()["epoch"], first["epoch"]);
    let events = wait_for(
        "the end to be told",
        LIMIT,
        || board.log_tail(),
        || Some(told(&board)).filter(|told| !told.is_empty()),
    );
    assert!(events[0].contains("7.0.0") && events[0].contains("done"), "{events:?}");
    // Once, also by those who are started later.
    board.stop();
    board.start();
    let head = board.status().unwrap()["journal"]["head"].as_u64();
    board.wait_status("it to go on", |status| status["journal"]["head"].as_u64() > head.map(|head| head + 200));
    assert_eq!(told(&board).len(), 1, "{:?}", told(&board));
    assert_eq!(board.install(&[]).code, Some(0), "nothing is installed twice");
    assert_eq!(board.restarts(), 1);
    assert!(talker.count() > 100);
}

#[test]
fn what_the_agent_itself_finds_wrong_is_told_and_not_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", "");
    let depot = Depot::open();
    let better = board.rebuilt("better");
    let url = depot.put("better", bytes(fs::metadata(&better).unwrap().len().try_into().unwrap()), Manners::Good);
    let document = board.signed(&better, &url, &["--version", "7.0.0"]);
    fs::create_dir_all(dir.path().join("update")).unwrap();
    fs::copy(&document, dir.path().join("update/offer.json")).unwrap();
    board.start();
    let report = wait_for(
        "the agent to give it up",
        LIMIT,
        || board.log_tail(),
        || Some(board.update()).filter(|report| report["state"] == "failed"),
    );
    assert!(report["why"].as_str().is_some_and(|why| why.contains("SHA-256")), "{report}");
    assert_eq!(depot.asked().len(), 1, "once, for it is wrong from the start on");
    let events =
        wait_for("it to be told", LIMIT, || board.log_tail(), || Some(told(&board)).filter(|told| !told.is_empty()));
    assert!(events[0].contains("7.0.0") && events[0].contains("failed"), "{events:?}");
    board.stop();
    board.start();
    assert_eq!(board.update()["state"], "failed", "also after a restart");
    assert!(depot.asked().is_empty());
}
