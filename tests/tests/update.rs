//! Updates of the agent: what is signed and whole is installed, and what does not run well is taken back, also when the
//! power goes at any step of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, exit, item};
use e2e::board::{Board, NOT_WELL_WITHIN, WELL_WITHIN, make_keys};
use e2e::depot::{Depot, Manners};
use e2e::mosquitto::Mosquitto;
use e2e::patience::{now, wait_for};
use e2e::places;
use e2e::pty::Port;
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(2);

/// A file that passes for a program as long as nobody runs it.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).expect("less than 251")).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of our own")
}

#[test]
fn a_manifest_is_signed_so_that_openssl_agrees_and_nothing_in_it_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::made(dir.path(), "", "");
    let file = dir.path().join("program");
    fs::write(&file, bytes(1000)).unwrap();
    let document = board.signed(&file, "https://updates.example/program", &["--version", "1.4.0"]);
    let signed: serde_json::Value = serde_json::from_str(&places::text(&document)).unwrap();

    // Somebody else's Ed25519 over what the documents say is signed.
    let text = signed["manifest"].as_str().unwrap();
    fs::write(dir.path().join("message"), format!("tidegate update v1\n{text}")).unwrap();
    let digits = signed["signature"].as_str().unwrap();
    let raw: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    fs::write(dir.path().join("signature"), raw).unwrap();
    let words = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message", "-sigfile"];
    let openssl = Command::new("openssl").args(words).arg("signature").current_dir(dir.path()).output().unwrap();
    assert!(openssl.status.success(), "{}", agent::stdout(&openssl));

    let verify = |document: &Path, more: &[&str]| {
        let output = board.cli(&[&["update", "verify", path(document)], more].concat());
        (output.status.code(), agent::stdout(&output) + &agent::stderr(&output))
    };
    let (code, said) = verify(&document, &[path(&file)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"version\":\"1.4.0\"") && said.contains("\"size\":1000"), "{said}");
    make_keys(dir.path(), "other.pem", "other.pub");
    assert_eq!(verify(&document, &["--key", path(&dir.path().join("other.pub"))]).0, Some(exit::NOT_FINE));
    let other = dir.path().join("other");
    fs::write(&other, bytes(1001)).unwrap();
    assert_eq!(verify(&document, &[path(&other)]).0, Some(exit::NOT_FINE));
    fs::write(&other, places::text(&document).replace("1.4.0", "1.4.1")).unwrap();
    let (code, said) = verify(&other, &[]);
    assert_eq!(code, Some(exit::NOT_FINE));
    assert!(said.contains("signature"), "{said}");
    let fetched = board.cli(&["update", "fetch", path(&other), "--file", path(&file)]);
    assert_eq!(fetched.status.code(), Some(exit::NOT_FINE), "{}", agent::stderr(&fetched));
    assert!(!dir.path().join("update/staged.json").is_file(), "nothing for the installer");
}

#[test]
fn a_download_goes_on_where_it_broke_off_and_what_is_wrong_is_not_staged() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::made(dir.path(), "", "");
    let depot = Depot::open();
    let (file, staged) = (dir.path().join("program"), dir.path().join("update/staged.json"));
    let whole = bytes(1_000_000);
    fs::write(&file, &whole).unwrap();
    let digest = {
        let output = Command::new("sha256sum").arg(&file).output().unwrap();
        agent::stdout(&output)[..64].to_owned()
    };
    let fetched = dir.path().join("update").join(&digest);
    let mut number = 0;
    let mut fetch = |bytes: Vec<u8>, manners: Manners| {
        number += 1;
        let url = depot.put(&format!("program-{number}"), bytes, manners);
        let document = board.signed(&file, &url, &[]);
        let url = depot.put(&format!("manifest-{number}"), fs::read(&document).unwrap(), Manners::Good);
        for old in [&staged, &fetched] {
            fs::remove_file(old).ok();
        }
        let output = board.cli(&["update", "fetch", &url]);
        let asked: Vec<_> = depot.asked().into_iter().filter(|asked| asked.path.starts_with("/program")).collect();
        (output.status.code(), agent::stderr(&output), asked)
    };
    let is_whole = || staged.is_file() && fs::read(&fetched).unwrap() == whole;

    let (code, said, asked) = fetch(whole.clone(), Manners::Cuts(300_000));
    assert_eq!(code, Some(0), "{said}");
    assert!(is_whole());
    assert!(asked.len() >= 4, "{asked:?}");
    assert!(asked.iter().map(|asked| asked.sent).sum::<usize>() < 1_200_000, "not from the start each time: {asked:?}");
    assert_eq!(asked.iter().filter(|asked| asked.from == 0).count(), 1, "{asked:?}");

    let (code, said, asked) = fetch(whole.clone(), Manners::Forgets(300_000));
    assert_eq!(code, Some(0), "a server that knows no ranges: {said} {asked:?}");
    assert!(is_whole());
    let (code, said, asked) = fetch(whole.clone(), Manners::Moves);
    assert_eq!(code, Some(0), "{said} {asked:?}");
    assert!(is_whole());

    // What is here already is of another file.
    fs::remove_file(&fetched).unwrap();
    let part = dir.path().join("update").join(format!("{digest}.part"));
    fs::write(&part, vec![1; 500_000]).unwrap();
    let (code, said, asked) = fetch(whole.clone(), Manners::Good);
    assert_eq!(code, Some(0), "{said}");
    assert!(is_whole());
    assert_eq!(asked.iter().map(|asked| asked.from).collect::<Vec<_>>(), [500_000, 0], "first the rest, then all");

    let mut wrong = whole.clone();
    wrong[700_000] ^= 1;
    let (code, said, _) = fetch(wrong, Manners::Good);
    assert_eq!(code, Some(exit::NOT_FINE), "{said}");
    assert!(said.contains("SHA-256") && !staged.is_file() && !part.is_file(), "{said}");
    let (code, said, _) = fetch([&whole[..], b"more"].concat(), Manners::Good);
    assert_eq!(code, Some(exit::NOT_FINE), "longer than it says: {said}");
    assert!(!staged.is_file());
    let (code, said, _) = fetch(whole.clone(), Manners::Short(400_000));
    assert_eq!(code, Some(exit::UNAVAILABLE), "truncated for ever: {said}");
    assert!(!staged.is_file());
}

#[test]
fn a_download_keeps_its_rate_and_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::made(dir.path(), "", "max_rate = \"200kB\"");
    let depot = Depot::open();
    let file = dir.path().join("program");
    fs::write(&file, bytes(1_000_000)).unwrap();
    let document = board.signed(&file, &depot.put("program", bytes(1_000_000), Manners::Good), &[]);
    let begun = now();
    let mut command = e2e::process::leashed(&places::tidegate());
    command.arg("--config").arg(dir.path().join("tidegate.toml")).args(["update", "fetch"]).arg(&document);
    let fetch = e2e::process::Process::start("fetch", command, &dir.path().join("fetch.log"));
    let here = || {
        let entries = fs::read_dir(dir.path().join("update")).into_iter().flatten().flatten();
        let parts = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "part"));
        parts.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum::<u64>()
    };
    wait_for("a third of it", LIMIT, || fetch.log_tail(), || (here() > 300_000).then_some(()));
    fetch.kill();
    let killed_at = here();
    assert!(killed_at < 900_000, "it was fast: {killed_at}");
    let report = board.update();
    let output = board.cli(&["update", "fetch", path(&document)]);
    assert!(output.status.success(), "{}", agent::stderr(&output));
    // What is read ahead is not counted yet: less than a second's worth.
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?} for five seconds' worth", begun.elapsed());
    let asked = depot.asked();
    let last = asked.last().unwrap();
    assert!(last.from as u64 >= killed_at.saturating_sub(65_536) && last.from > 0, "{asked:?} {report}");
    assert_eq!(board.update()["state"], "staged");
}

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
    let told = |board: &Board| {
        let tail = board.cli(&["tail", "--json", "-n", "2000"]);
        agent::stdout(&tail).lines().filter(|line| line.contains("\"update\"")).map(str::to_owned).collect::<Vec<_>>()
    };
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

/// Stages what does not run well, and sees it taken back.
#[track_caller]
fn is_taken_back(board: &Board, bad: &Path, words: &str) {
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

/// Kills the installer before each of its renames (and links, and removals), has it started again, and sees what comes of it.
fn kill_at_each_step(board: &Board, candidates: &[&Path; 2], is_good: bool) -> usize {
    let mut kills = 0;
    for call in ["rename", "link", "unlink"] {
        for step in 1.. {
            let (old, new) = (board.installed(), candidates[kills % 2]);
            board.stage(new, &[]);
            let new = fs::read(new).unwrap();
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

/// A package of a program, made by Debian's own tools.
fn package(dir: &Path, program: &Path, version: &str) -> std::path::PathBuf {
    let tree = dir.join(format!("tree-{version}"));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::copy(program, tree.join("usr/bin/tidegate")).unwrap();
    let control = format!(
        "Package: tidegate\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let deb = dir.join(format!("tidegate_{version}_all.deb"));
    let words = ["--root-owner-group", "-Znone", "--build"];
    let output = Command::new("dpkg-deb").args(words).arg(&tree).arg(&deb).output().unwrap();
    assert!(output.status.success(), "{}", agent::stderr(&output));
    deb
}

#[test]
fn a_package_is_handed_to_dpkg_and_the_one_before_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let admin = root.join("var/lib/dpkg");
    fs::create_dir_all(admin.join("info")).unwrap();
    fs::create_dir_all(admin.join("updates")).unwrap();
    fs::create_dir_all(root.join("usr")).unwrap();
    fs::write(admin.join("status"), "").unwrap();
    // The program's place is the one in dpkg's tree.
    let dpkg = ["dpkg", "--force-not-root", "--force-confold"].map(|word| format!("\"{word}\"")).join(", ");
    let lines = format!(
        "{WELL_WITHIN}\npackage = [{dpkg}, \"--instdir={0}\", \"--admindir={0}/var/lib/dpkg\", \"--log=/dev/null\", \"-i\"]",
        root.display()
    );
    let mut board = Board::made(dir.path(), "", &lines);
    fs::rename(dir.path().join("bin"), root.join("usr/bin")).unwrap();
    std::os::unix::fs::symlink(root.join("usr/bin"), dir.path().join("bin")).unwrap();
    let [one, two] = ["one", "two"].map(|name| board.rebuilt(name));
    let packages = [package(dir.path(), &one, "1.0-1"), package(dir.path(), &two, "2.0-1")];
    board.start();
    let version = || {
        let output = Command::new("dpkg-query")
            .arg(format!("--admindir={}", admin.display()))
            .args(["-W", "-f", "${Version} ${Status}", "tidegate"])
            .output()
            .unwrap();
        agent::stdout(&output)
    };
    for (package, (program, shown)) in packages.iter().zip([(&one, "1.0-1"), (&two, "2.0-1")]) {
        board.stage(package, &["--version", "1.0.0"]);
        let installed = board.install(&[]);
        assert_eq!(installed.code, Some(0), "{}\n{}", installed.said, board.log_tail());
        assert_eq!(board.installed(), fs::read(program).unwrap());
        assert_eq!(version(), format!("{shown} install ok installed"));
    }
    let config = dir.path().join("tidegate.toml");
    fs::write(&config, places::text(&config).replace("health_within = \"90s\"", "health_within = \"3s\"")).unwrap();
    let bad = package(dir.path(), &board.broken("bad", "exit 1"), "3.0-1");
    is_taken_back(&board, &bad, "has not answered");
    assert_eq!(version(), "2.0-1 install ok installed", "dpkg knows that it is back");
    // Neither dpkg nor what it was given is of any use: the program alone goes back.
    let half = dir.path().join("half.deb");
    fs::write(&half, &fs::read(&packages[0]).unwrap()[..20_000]).unwrap();
    board.stage(&half, &["--version", "1.0.0"]);
    assert_eq!(board.install(&[]).code, Some(exit::NOT_FINE));
    assert_eq!(board.update()["state"], "failed", "it does not even unpack");
    assert_eq!(board.installed(), fs::read(&two).unwrap());
}
