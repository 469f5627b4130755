//! Power cuts: the installer is killed before each move that lasts, and all of it in the middle of a look.

use std::fs;
use std::path::Path;

use e2e::board::{Board, NOT_WELL_WITHIN, WELL_WITHIN};
use e2e::patience::wait_for;

use crate::LIMIT;

/// Kills the installer before each of its renames (and links, and removals), has it started again, and sees what comes of it.
fn kill_at_each_step(board: &Board, candidates: &[&Path; 2], is_good: bool) -> usize {
    let mut kills = 0;
    for call in ["rename", "link", "unlink"] {
        for step in 1.. {
            let (old, new) = (board.installed(), candidates[kills % 2]);
            board.stage(new, &[]);
            let new = fs::read(new).expect("a program of our own");
            let when = format!("inject={call}:signal=KILL:when={step}");
            let trace = format!("trace={call}");
            let installed = board.install(&["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &when]);
            let is_killed = installed.code.is_none_or(|code| code == 137);
            let now = board.installed();
            assert!(now == old || now == new, "{call} {step}: neither the old one nor the new one is there");
            let installed = if is_killed { board.install(&[]) } else { installed };
            let report = board.update();
            let expected = if is_good { "done" } else { "rolled-back" };
            assert_eq!(report["state"], expected, "{call} {step}: {report}\n{}\n{}", installed.said, board.log_tail());
            assert!(board.installed() == if is_good { new } else { old }, "{call} {step}: {report}");
            let status = board.wait_status("the agent to answer", |_| true);
            assert_eq!(status["journal"]["state"], "ok", "{call} {step}: {status}");
            for left in ["rollback/installer", "rollback/new", "bin/.tidegate.new"] {
                assert!(!board.dir().join(left).is_file(), "{call} {step}: {left} is left over");
            }
            if !is_killed {
                break;
            }
            kills += 1;
        }
    }
    kills
}

#[test]
fn a_power_cut_at_any_step_of_a_good_update_ends_on_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", WELL_WITHIN);
    board.start();
    let (even, odd) = (board.rebuilt("even"), board.rebuilt("odd"));
    let kills = kill_at_each_step(&board, &[&even, &odd], true);
    assert!(kills >= 10, "{kills} kills prove nothing");
}

#[test]
fn a_power_cut_at_any_step_of_a_bad_update_ends_on_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let within = format!("health_within = \"{}s\"\nhealthy_for = \"1s\"", NOT_WELL_WITHIN.as_secs());
    let mut board = Board::made(dir.path(), "", &within);
    board.start();
    let (exits, fails) = (board.broken("exits", "exit 1"), board.broken("fails", "exit 74"));
    let kills = kill_at_each_step(&board, &[&exits, &fails], false);
    assert!(kills >= 12, "{kills} kills prove nothing");
}

#[test]
fn a_device_that_is_dark_for_a_while_in_the_middle_goes_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", "health_within = \"90s\"\nhealthy_for = \"6s\"");
    board.start();
    let better = board.rebuilt("better");
    board.stage(&better, &[]);
    // All of it goes while the new one is looked at; agent and installer come back as at a boot.
    let installing = board.installing();
    wait_for(
        "it to be looked at",
        LIMIT,
        || installing.log_tail(),
        || (board.update()["state"] == "checking").then_some(()),
    );
    installing.kill();
    board.stop();
    board.start();
    assert_eq!(board.update()["state"], "checking");
    let installed = board.install(&[]);
    assert_eq!(installed.code, Some(0), "{}", installed.said);
    assert_eq!(board.installed(), fs::read(&better).unwrap());
}
