//! Manifests and downloads: on a line that breaks off, from servers of all kinds, at a rate.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, exit};
use e2e::board::{Board, make_keys};
use e2e::depot::{Depot, Manners};
use e2e::patience::{now, wait_for};
use e2e::pki::{Authority, Leaf};
use e2e::places;
use e2e::process::{Process, leashed};

use crate::{LIMIT, bytes, path};

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
fn a_server_is_held_against_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let pair = authority.issue(&Leaf::server("updates"));
    let board = Board::made(dir.path(), "", &format!("ca = \"{}\"", authority.certificate().display()));
    let file = dir.path().join("program");
    fs::write(&file, bytes(3_000_000)).unwrap();
    let port = places::free_port();
    let mut command = leashed(Path::new("openssl"));
    command
        .args(["s_server", "-WWW", "-accept", &port.to_string(), "-cert"])
        .arg(&pair.cert)
        .arg("-key")
        .arg(&pair.key);
    command.current_dir(dir.path());
    let server = Process::start("openssl", command, &dir.path().join("server.log"));
    wait_for("the server to listen", LIMIT, || server.log_tail(), || server.log().contains("ACCEPT").then_some(()));
    let document = board.signed(&file, &format!("https://localhost:{port}/program"), &[]);
    let output = board.cli(&["update", "fetch", path(&document)]);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", agent::stderr(&output), server.log_tail());
    assert_eq!(board.update()["bytes"], 3_000_000);
    // Another name than the certificate's, and another authority than ours.
    let document = board.signed(&file, &format!("https://127.0.0.1:{port}/program"), &[]);
    fs::remove_dir_all(dir.path().join("update")).unwrap();
    let output = board.cli(&["update", "fetch", path(&document)]);
    assert_eq!(output.status.code(), Some(exit::UNAVAILABLE), "{}", agent::stderr(&output));
    assert!(agent::stderr(&output).contains("certificate"), "{}", agent::stderr(&output));
    let other = Authority::new(&dir.path().join("other"));
    fs::copy(other.certificate(), authority.certificate()).unwrap();
    let document = board.signed(&file, &format!("https://localhost:{port}/program"), &[]);
    let output = board.cli(&["update", "fetch", path(&document)]);
    assert_eq!(output.status.code(), Some(exit::UNAVAILABLE), "{}", agent::stderr(&output));
    assert!(agent::stderr(&output).contains("certificate"), "{}", agent::stderr(&output));
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
    let mut command = leashed(&places::tidegate());
    command.arg("--config").arg(dir.path().join("tidegate.toml")).args(["update", "fetch"]).arg(&document);
    let fetch = Process::start("fetch", command, &dir.path().join("fetch.log"));
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
