//! What is installed, does not run well, and is taken back.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::agent::{self, exit, item};
use e2e::board::{Board, NOT_WELL_WITHIN};
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::places;

use crate::{LIMIT, path};

/// Stages what does not run well, and sees it taken back.
#[track_caller]
pub fn is_taken_back(board: &Board, bad: &Path, words: &str) {
    let before = board.installed();
    board.stage(bad, &["--version", "9.9.9"]);
    let installed = board.install(&[]);
    assert_eq!(installed.code, Some(exit::NOT_FINE), "{}", installed.said);
    let report = board.update();
    assert_eq!(report["state"], "rolled-back", "{report}");
    let why = report["why"].as_str().unwrap_or_default();
    assert!(why.contains(words) && !why.contains("does not answer either"), "{words}: {report}");
    assert!(board.installed() == before, "the old one is there again");
    let status = board.wait_status("the old one to answer", |_| true);
    assert_eq!(status["journal"]["state"], "ok", "{status}");
}

#[test]
fn an_update_that_exits_that_hangs_or_that_can_not_open_the_journal_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let within = format!("health_within = \"{}s\"\nhealthy_for = \"1s\"", NOT_WELL_WITHIN.as_secs());
    let mut board = Board::made(dir.path(), "", &within);
    board.start();
    is_taken_back(&board, &board.broken("exits", "exit 1"), "has not answered");
    is_taken_back(&board, &board.broken("hangs", "exec sleep 1000"), "has not answered");
    // The agent itself, before a journal that a later release wrote.
    let elsewhere = dir.path().join("later.toml");
    fs::create_dir_all(dir.path().join("later")).unwrap();
    fs::write(dir.path().join("later/epoch"), "tidegate-journal 99 abcdefgh\n").unwrap();
    let config = places::text(&dir.path().join("tidegate.toml"));
    fs::write(&elsewhere, config.replace("/journal\"", "/later\"")).unwrap();
    let program = places::tidegate();
    let run = format!("exec {} --config {} run", path(&program), path(&elsewhere));
    let by_itself = Command::new(&program).arg("--config").arg(&elsewhere).arg("run").output().unwrap();
    assert_eq!(by_itself.status.code(), Some(exit::DISK), "{}", agent::stderr(&by_itself));
    is_taken_back(&board, &board.broken("strange", &run), "has not answered");
    // The same one is not tried twice, whoever asks for it.
    let restarts = board.restarts();
    assert_eq!(board.install(&[]).code, Some(0));
    assert_eq!(board.restarts(), restarts);
}

#[test]
fn an_update_that_the_watchdog_ends_again_and_again_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", "health_within = \"100s\"\nhealthy_for = \"20s\"");
    board.start();
    // From the next start on, as if the new one hung: it answers, and does not last.
    fs::write(dir.path().join("watchdog"), "5").unwrap();
    let before = board.installed();
    board.stage(&board.rebuilt("worse"), &[]);
    let installed = board.install(&[]);
    let report = board.update();
    assert_eq!(report["state"], "rolled-back", "{report} {}", installed.said);
    assert!(report["why"].as_str().is_some_and(|why| why.contains("started anew")), "{report}");
    assert!(board.installed() == before);
}

#[test]
fn an_update_that_does_not_reach_the_broker_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::started(dir.path());
    let wire = e2e::wire::Wire::to(broker.port(), None);
    let lines = agent::mqtt_sink("cloud", &wire.url());
    let mut board = Board::made(dir.path(), &lines, "health_within = \"20s\"\nhealthy_for = \"1s\"");
    board.start();
    board.wait_status("the broker", |status| !item(status, "sinks", "cloud")["protocol"].is_null());
    let before = board.installed();
    board.stage(&board.rebuilt("worse"), &[]);
    // The line is cut once it is looked at how the old one is.
    fs::write(
        dir.path().join("restart.sh"),
        format!("touch {0}/cut\n{1}", dir.path().display(), places::text(&dir.path().join("restart.sh"))),
    )
    .unwrap();
    let installed = std::thread::scope(|scope| {
        let installing = scope.spawn(|| board.install(&[]));
        wait_for("the restart", LIMIT, || board.log_tail(), || dir.path().join("cut").is_file().then_some(()));
        wire.turn(e2e::wire::Weather::Cut);
        installing.join().unwrap()
    });
    let report = board.update();
    assert_eq!(report["state"], "rolled-back", "{report} {}", installed.said);
    assert!(report["why"].as_str().is_some_and(|why| why.contains("broker") && why.contains("cloud")), "{report}");
    assert!(board.installed() == before);
}
