//! What the installer refuses while nothing is touched.

use std::fs;

use e2e::agent::{self, exit};
use e2e::board::{Board, WELL_WITHIN};
use e2e::places;

use crate::path;

#[test]
fn what_was_tampered_with_or_can_not_run_here_is_refused_while_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", WELL_WITHIN);
    board.start();
    let (before, better) = (board.installed(), board.rebuilt("better"));
    let refused = |words: &str| {
        let installed = board.install(&[]);
        assert_eq!(installed.code, Some(exit::NOT_FINE), "{}", installed.said);
        let report = board.update();
        assert_eq!(report["state"], "failed", "{report}");
        assert!(report["why"].as_str().is_some_and(|why| why.contains(words)), "{words}: {report}");
        assert!(board.installed() == before && board.restarts() == 0, "nothing was touched");
        let left: Vec<_> = fs::read_dir(dir.path().join("bin")).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
    };
    let staged = dir.path().join("update/staged.json");
    let fetched = |board: &Board| {
        let output = board.cli(&["update", "verify", path(&staged)]);
        let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        dir.path().join("update").join(manifest["sha256"].as_str().unwrap())
    };

    // The folder is the agent's: whoever has the agent can write there.
    board.stage(&better, &[]);
    let mut bytes = fs::read(&better).unwrap();
    bytes[5000] ^= 1;
    fs::write(fetched(&board), &bytes).unwrap();
    refused("SHA-256");
    board.stage(&better, &[]);
    bytes.truncate(100_000);
    fs::write(fetched(&board), &bytes).unwrap();
    refused("bytes");
    board.stage(&better, &[]);
    let link = fetched(&board);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&better, &link).unwrap();
    refused("can not be used");
    fs::remove_file(&link).unwrap();
    board.stage(&better, &[]);
    let document = places::text(&staged);
    fs::write(&staged, document.replace("\"signature\":\"", "\"signature\":\"00")).unwrap();
    refused("signature");
    fs::write(&staged, document.replace("http://127.0.0.1:9", "http://127.0.0.1:8")).unwrap();
    refused("signature");

    // Signed, and wrong all the same.
    board.stage(&board.broken("silent", "exit 0"), &[]);
    fs::write(fetched(&board), "#!/bin/sh\nexit 1\n").unwrap();
    refused("bytes");
    let dud = dir.path().join("dud");
    fs::write(&dud, "#!/bin/sh\nexit 3\n").unwrap();
    board.stage(&dud, &[]);
    refused("exit status: 3");
    let stranger = dir.path().join("stranger");
    fs::write(&stranger, "#!/bin/sh\necho busybox 1.2\n").unwrap();
    board.stage(&stranger, &[]);
    refused("no tidegate");
    fs::write(&stranger, "\u{7f}ELF of another machine").unwrap();
    board.stage(&stranger, &[]);
    refused("can not be run");
    let picky = dir.path().join("picky");
    fs::write(&picky, "#!/bin/sh\ncase $1 in --version) echo tidegate 9.0.0 ;; *) echo no such key; exit 78 ;; esac\n")
        .unwrap();
    board.stage(&picky, &[]);
    refused("no such key");
    assert_eq!(board.status().unwrap()["journal"]["state"], "ok");
}

#[test]
fn what_can_not_read_the_journal_or_not_be_taken_back_is_refused_by_its_manifest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut board = Board::made(dir.path(), "", WELL_WITHIN);
    board.start();
    let better = board.rebuilt("better");
    let refused = |words: &[&str], why: &str| {
        let document = board.signed(&better, "http://127.0.0.1:9/", words);
        let output = board.cli(&["update", "fetch", path(&document), "--file", path(&better)]);
        assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{words:?}");
        assert!(agent::stderr(&output).contains(why), "{}", agent::stderr(&output));
        // The installer asks again: the agent may be anybody.
        fs::create_dir_all(dir.path().join("update")).unwrap();
        fs::copy(&document, dir.path().join("update/staged.json")).unwrap();
        let installed = board.install(&[]);
        assert_eq!(installed.code, Some(exit::NOT_FINE), "{}", installed.said);
        assert!(installed.said.contains(why), "{}", installed.said);
    };
    refused(&["--version", "0.0.9"], "older");
    refused(&["--version", "0.0.9", "--downgrade", "--reads", "0"], "journal");
    refused(&["--version", "0.0.9", "--downgrade", "--reads", "0", "--writes", "0"], "journal");
    refused(&["--version", "8.0.0", "--reads", "1,2", "--writes", "2"], "no way back");
    refused(&["--target", "riscv64gc-unknown-linux-gnu"], "riscv64gc");
    assert_eq!(board.restarts(), 0);
    // Older, and fit for this journal.
    board.stage(&better, &["--version", "0.0.9", "--downgrade"]);
    let installed = board.install(&[]);
    assert_eq!(installed.code, Some(0), "{}\n{}", installed.said, board.log_tail());
    assert_eq!(board.installed(), fs::read(&better).unwrap());
}
