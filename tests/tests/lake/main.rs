//! The lake from the command line: what went in comes out, nothing is ever listed, and every damage is found and named.

mod announced;
mod rebuild;
mod replay;
mod signed;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use e2e::agent::{self, Agent, exit};
use e2e::counted::Counted;
use e2e::patience::now;
use e2e::pty::Port;
use e2e::row::Row;
use e2e::seaweed::{KEY_ID, REGION, SECRET, Seaweed};
use e2e::talker::Talker;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const READINGS: u64 = 400;
const LINES_PER_SECOND: u32 = 100;

/// An agent that has heard some hundred readings in several objects and has ended in order: its folder is what is left.
fn heard(dir: &Path, sinks: &str) -> Agent {
    let (mut agent, _port) = quiet(dir, &agent::preamble(dir, "100ms"), sinks);
    agent.terminate();
    agent
}

/// The same before its end, with the port on which nothing more is said.
fn quiet(dir: &Path, preamble: &str, sinks: &str) -> (Agent, Port) {
    let port = Port::plugged(&dir.join("port"));
    let config = preamble.to_owned() + &agent::counter("counter", port.path()) + sinks;
    let agent = Agent::started(dir, &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
    agent.wait_until("some hundred readings", LIMIT, |status| {
        agent::item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(READINGS)
    });
    let port = talker.stop();
    agent.wait_delivered(LIMIT);
    (agent, port)
}

fn seed() -> u64 {
    let nanos = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    std::env::var_os("SEED").and_then(|seed| seed.into_string().ok()?.parse().ok()).unwrap_or_else(|| nanos.into())
}

fn lines(output: &Output) -> Vec<Value> {
    let text = agent::stdout(output);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
}

#[track_caller]
fn ends_with(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", agent::stdout(output), agent::stderr(output));
}

/// The rows of `lake get`, which come in the order of the journal.
#[track_caller]
fn rows(output: &Output) -> Vec<Row> {
    ends_with(output, 0);
    let rows: Vec<Row> = lines(output).iter().map(|line| Row::of_object(line, "").expect("a row")).collect();
    assert!(rows.windows(2).all(|pair| pair[0].seq < pair[1].seq), "they are in order, each once");
    rows
}

#[test]
fn what_went_in_comes_out_of_a_folder_and_a_bucket_and_nothing_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("asked");
    let usb = agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let agent = heard(dir.path(), &(usb + &agent::s3_sink("cloud", &store, "asked")));
    let journal = agent.cli(&["journal", "export"]);
    ends_with(&journal, 0);
    let line = Counted::to(&store.address());
    let endpoint = line.endpoint();
    for (lake, extra) in [("usb", &[][..]), ("cloud", &["--endpoint", &endpoint][..])] {
        let ask = |args: &[&str]| agent.cli(&[&["--json", "lake", args[0], lake], &args[1..], extra].concat());

        let listed = ask(&["ls", "--from", "1h"]);
        ends_with(&listed, 0);
        let objects = lines(&listed);
        assert!(objects.len() >= 3, "{} objects are not several", objects.len());
        let of_ls = line.asked();

        // The replay of the lake is the journal itself, but for what came after the sink's last batch.
        let all = rows(&ask(&["get"]));
        let of_journal = lines(&journal);
        assert_eq!(
            all.iter().map(|row| &row.whole).collect::<Vec<_>>(),
            of_journal.iter().take(all.len()).collect::<Vec<_>>()
        );
        let readings: Vec<&Row> = all.iter().filter(|row| row.is_reading()).collect();
        let heard = journal_readings(&journal);
        assert_eq!(readings.len(), heard);

        // By time: the rows of one object, and only that object is read.
        let second = &objects[1];
        line.asked();
        let (from, to) = (second["time_min"].as_str().unwrap(), objects[2]["time_min"].as_str().unwrap());
        let part = rows(&ask(&["get", "--from", from, "--to", to, "--quantity", "number"]));
        let expected: Vec<&Row> =
            readings.iter().copied().filter(|row| from <= row.time.as_str() && row.time.as_str() < to).collect();
        assert_eq!(part.iter().collect::<Vec<_>>(), expected);
        let of_get = line.asked();
        assert!(rows(&ask(&["get", "--instrument", "nobody"])).is_empty());
        assert!(rows(&ask(&["get", "--quality", "fail"])).is_empty());

        let verified = ask(&["verify", "--from", "1h"]);
        ends_with(&verified, 0);
        let sum = lines(&verified).pop().expect("a sum");
        assert_eq!((&sum["ok"], &sum["rows"]), (&Value::Bool(true), &Value::from(all.len())));
        ends_with(&ask(&["verify", "--quick"]), 0);

        if lake == "cloud" {
            println!(
                "requests: ls {}, get of one object {}, verify and the rest {}",
                of_ls.len(),
                of_get.len(),
                line.asked().len()
            );
            assert!(of_ls.iter().all(|it| it.starts_with("GET /asked/manifests/")), "{of_ls:#?}");
            let opened: Vec<_> = of_get.iter().filter(|it| it.starts_with("GET /asked/readings/")).collect();
            assert!((1..=2).contains(&opened.len()), "{of_get:#?}");
        }
    }
}

fn journal_readings(export: &Output) -> usize {
    lines(export).iter().filter(|line| line.get("event").is_none()).count()
}

#[test]
fn no_question_to_a_bucket_lists_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("unlisted");
    let stick = dir.path().join("stick");
    let agent = heard(dir.path(), &agent::file_sink("usb", &stick, "ndjson"));
    let line = Counted::to(&store.address());
    // As from a laptop: no configuration, the usual variables.
    let laptop = |args: &[&str]| {
        let mut command = Command::new(e2e::places::tidegate());
        command.args(["--json", "--config", "/nonexistent.toml", "lake"]).args(args);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", REGION);
        command.env("AWS_ENDPOINT_URL", line.endpoint()).output().expect("it runs")
    };
    let whose = ["--site", "farm", "--device", "gw-1"];
    let bucket = "s3://unlisted/north/";
    let imported = laptop(&["import", stick.to_str().unwrap(), bucket]);
    ends_with(&imported, 0);
    for command in ["ls", "get", "verify"] {
        ends_with(&laptop(&[&[command, bucket][..], &whose].concat()), 0);
    }
    let asked = line.asked();
    let is_of_one_key = |request: &&String| {
        let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
        path.starts_with("/unlisted/north/manifests/v1/") || path.starts_with("/unlisted/north/readings/v1/")
    };
    let others: Vec<_> =
        asked.iter().filter(|request| !is_of_one_key(request) || request.contains("list-type")).collect();
    println!("{} requests, none of them a listing", asked.len());
    assert!(others.is_empty() && !asked.is_empty(), "{others:#?}");

    // Again: nothing is sent but questions.
    let again = laptop(&["import", stick.to_str().unwrap(), bucket]);
    ends_with(&again, 0);
    let sum = lines(&again).pop().expect("a sum");
    assert_eq!((&sum["copied"], &sum["lines"]), (&0.into(), &0.into()), "{sum}");
    assert!(line.asked().iter().all(|request| !request.starts_with("PUT")));
    let (of_stick, of_bucket) = (agent.cli(&["lake", "get"]), laptop(&[&["get", bucket][..], &whose].concat()));
    assert_eq!(agent::stdout(&of_stick), agent::stdout(&of_bucket));
    ends_with(&laptop(&["ls", bucket]), exit::USAGE);
    ends_with(&laptop(&[&["ls", "s3://nowhere/"][..], &whose].concat()), exit::UNAVAILABLE);

    // What happens to a bucket behind everybody's back is found as in a folder.
    let keys = store.keys("unlisted");
    let objects: Vec<_> = keys.iter().filter(|key| key.contains("/readings/")).collect();
    store.alter("unlisted", objects[0], |bytes| bytes[40] ^= 1);
    store.delete("unlisted", objects[1]);
    store.alter("unlisted", objects[2], |bytes| bytes.truncate(bytes.len() - 1));
    let found = laptop(&[&["verify", bucket][..], &whose].concat());
    ends_with(&found, exit::NOT_FINE);
    let found: Vec<_> = lines(&found)
        .iter()
        .filter_map(|line| Some((line["finding"].as_str()?.to_owned(), line["key"].as_str()?.to_owned())))
        .collect();
    let name = |key: &str| key.strip_prefix("north/").expect("below it").to_owned();
    let expected = [("content", objects[0]), ("object-missing", objects[1]), ("size", objects[2])];
    assert_eq!(found, expected.map(|(finding, key)| (finding.to_owned(), name(key))));
    let got = laptop(&[&["get", bucket][..], &whose].concat());
    ends_with(&got, exit::NOT_FINE);
    assert!(agent::stderr(&got).contains(objects[2].strip_prefix("north/").unwrap()));
}

/// The files below a folder that have this in their path, in order.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            found.extend(files(&entry, part));
        } else if entry.to_string_lossy().contains(part) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn copy_of(lake: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([lake, to]).status().expect("coreutils has cp");
    assert!(status.success());
}

fn zstd(args: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new("zstd").args(args).arg(file).output().expect("zstd is installed");
    assert!(output.status.success(), "{}", agent::stderr(&output));
    output.stdout
}

/// Changes the lines of a manifest and writes it whole again, as somebody would who covers something up.
fn edit(manifest: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = String::from_utf8(zstd(&["-dcq"], manifest)).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let plain = manifest.with_extension("plain");
    fs::write(&plain, lines.join("\n") + "\n").expect("beside it");
    fs::write(manifest, zstd(&["-cq"], &plain)).expect("a file of ours");
    fs::remove_file(plain).expect("just written");
}

/// Finding and key of everything that `verify` says against a lake.
fn found(agent: &Agent, lake: &Path) -> Vec<(String, String)> {
    let lake = lake.to_str().expect("a path of ours");
    let output = agent.cli(&["--json", "lake", "verify", lake]);
    let all = lines(&output);
    let sum = all.last().expect("a sum");
    let is_whole = sum["ok"] == true;
    ends_with(&output, if is_whole { 0 } else { exit::NOT_FINE });
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let findings: Vec<_> = all
        .iter()
        .filter(|line| line.get("finding").is_some())
        .map(|line| (text(line, "finding"), text(line, "key") + &text(line, "before")))
        .collect();
    assert_eq!(is_whole, findings.is_empty());
    let people = agent.cli(&["lake", "verify", lake]);
    assert!(findings.iter().all(|(_, key)| agent::stdout(&people).contains(key.as_str())), "people are told too");
    findings
}

/// A lake that is whole, and copies of it to damage.
struct Whole {
    dir: tempfile::TempDir,
    agent: Agent,
}

/// A damaged lake: what `verify` said, the keys of its objects, and of its manifest.
struct Damaged {
    findings: Vec<(String, String)>,
    keys: Vec<String>,
    manifest: String,
}

impl Whole {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let lake = dir.path().join("lake");
        let agent = heard(dir.path(), &agent::file_sink("usb", &lake, "parquet"));
        assert_eq!(found(&agent, &lake), []);
        Self { dir, agent }
    }

    #[track_caller]
    fn damaged(&self, what: &str, damage: impl FnOnce(&[PathBuf], &Path)) -> Damaged {
        let copy = self.dir.path().join("damaged");
        fs::remove_dir_all(&copy).ok();
        copy_of(&self.dir.path().join("lake"), &copy);
        let (objects, manifest) = (files(&copy, "/readings/"), files(&copy, "/manifests/").pop().expect("one"));
        assert!(objects.len() >= 4, "{} objects", objects.len());
        damage(&objects, &manifest);
        let findings = found(&self.agent, &copy);
        println!("{what}: {findings:?}");
        let key = |path: &PathBuf| path.strip_prefix(&copy).expect("below it").display().to_string();
        Damaged { findings, keys: objects.iter().map(key).collect(), manifest: key(&manifest) }
    }
}

impl Damaged {
    #[track_caller]
    fn says(&self, expected: &[(&str, &String)]) {
        let found: Vec<_> = self.findings.iter().map(|(finding, key)| (finding.as_str(), key)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn an_object_that_is_missing_altered_swapped_or_cut_short_is_named() {
    let seed = seed();
    println!("SEED={seed}");
    let whole = Whole::new();
    let lake = whole.damaged("an object deleted", |objects, _| fs::remove_file(&objects[1]).unwrap());
    lake.says(&[("object-missing", &lake.keys[1])]);

    for turn in 0..8_u64 {
        let lake = whole.damaged("one bit flipped", |objects, _| {
            let mut bytes = fs::read(&objects[2]).unwrap();
            let bit = usize::try_from(seed.wrapping_add(turn).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16).unwrap();
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            fs::write(&objects[2], bytes).unwrap();
        });
        lake.says(&[("content", &lake.keys[2])]);
    }

    let lake = whole.damaged("two objects swapped", |objects, _| {
        let (one, other) = (fs::read(&objects[1]).unwrap(), fs::read(&objects[2]).unwrap());
        fs::write(&objects[1], other).unwrap();
        fs::write(&objects[2], one).unwrap();
    });
    assert_eq!(lake.findings.iter().map(|(_, key)| key).collect::<Vec<_>>(), [&lake.keys[1], &lake.keys[2]]);

    let lake = whole.damaged("an object cut short", |objects, _| {
        let bytes = fs::read(&objects[0]).unwrap();
        fs::write(&objects[0], &bytes[..bytes.len() / 2]).unwrap();
    });
    lake.says(&[("size", &lake.keys[0])]);
}

#[test]
fn a_manifest_line_that_is_missing_altered_or_moved_is_named() {
    let whole = Whole::new();
    let lake = whole.damaged("a line removed", |_, manifest| edit(manifest, |lines| drop(lines.remove(1))));
    lake.says(&[("line-missing", &lake.keys[2])]);

    let lake = whole.damaged("the first line removed", |_, manifest| edit(manifest, |lines| drop(lines.remove(0))));
    lake.says(&[("nothing-before", &lake.keys[1])]);

    let lake = whole.damaged("a line altered", |_, manifest| {
        edit(manifest, |lines| lines[1] = lines[1].replace("\"agent\":\"", "\"agent\":\"9"));
    });
    lake.says(&[("line-altered", &lake.keys[1])]);

    let lake = whole.damaged("a line that hides a low value", |_, manifest| {
        edit(manifest, |lines| lines[1] = lines[1].replacen("\"min\":", "\"min\":1", 1));
    });
    lake.says(&[("line-altered", &lake.keys[1]), ("field", &lake.keys[1])]);

    let lake = whole.damaged("two lines swapped", |_, manifest| edit(manifest, |lines| lines.swap(1, 2)));
    lake.says(&[("line-moved", &lake.keys[2]), ("line-moved", &lake.keys[1]), ("line-moved", &lake.keys[3])]);

    let lake = whole.damaged("the manifest cut short", |_, manifest| {
        let bytes = fs::read(manifest).unwrap();
        fs::write(manifest, &bytes[..bytes.len() - 1]).unwrap();
    });
    lake.says(&[("manifest", &lake.manifest), ("nothing", &String::new())]);

    let lake = whole.damaged("the manifest deleted", |_, manifest| fs::remove_file(manifest).unwrap());
    lake.says(&[("nothing", &String::new())]);
}

#[test]
fn what_was_lost_on_the_device_is_a_gap_in_the_lake_and_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let (media, away) = (dir.path().join("media"), dir.path().join("away"));
    fs::create_dir(&media).unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let lake = media.join("lake");
    let config = agent::preamble(dir.path(), "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &lake, "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    let say = |agent: &Agent, count: u64, lag: std::ops::RangeInclusive<u64>| {
        agent.wait_open(&port, "counter");
        (1..=50).for_each(|number| port.send(format!("n,{number}\r\n").as_bytes(), LIMIT));
        agent.wait_until("all readings", LIMIT, |status| {
            agent::item(status, "instruments", "counter")["readings_total"] == count
                && status["journal"]["at_risk_readings"] == 0
                && agent::item(status, "sinks", "usb")["lag_readings"].as_u64().is_some_and(|it| lag.contains(&it))
        });
    };
    say(&agent, 50, 0..=0);
    // The stick is pulled out, fifty readings wait for it, and the disk loses them.
    fs::rename(&media, &away).unwrap();
    say(&agent, 100, 50..=u64::MAX);
    agent.terminate();
    let journal = dir.path().join("journal");
    let generation = files(&journal, "/g0").into_iter().find(|path| path.ends_with("db")).expect("a generation");
    fs::write(generation, b"gone").unwrap();
    ends_with(&agent.cli(&["journal", "repair"]), 0);
    fs::remove_dir_all(journal.join("sealed")).ok();
    fs::rename(&away, &media).unwrap();
    agent.start();
    agent.wait_ready();
    say(&agent, 50, 0..=0);
    agent.terminate();

    let verified = agent.cli(&["--json", "lake", "verify"]);
    ends_with(&verified, 0);
    let lines = lines(&verified);
    let sum = lines.last().expect("a sum");
    assert_eq!((&sum["ok"], &sum["findings"]), (&true.into(), &0.into()), "{lines:#?}");
    let gap = lines.iter().find(|line| line.get("gap").is_some()).expect("the gap");
    assert_eq!(gap["gap"]["reason"], "corrupt");
    let people = agent::stdout(&agent.cli(&["lake", "verify"]));
    assert!(
        people.contains("gap at ") && people.contains("corrupt, positions ") && people.contains("complete: "),
        "{people}"
    );
    let objects = agent.cli(&["--json", "lake", "ls"]);
    println!("{people}{}", agent::stdout(&objects));
    let ranges: Vec<_> =
        self::lines(&objects).iter().map(|line| (line["first"].as_u64(), line["next"].as_u64())).collect();
    assert!(ranges.windows(2).any(|pair| pair[0].1 < pair[1].0), "positions are lost: {ranges:?}");
}

#[test]
fn a_stick_is_carried_to_another_folder_and_what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let stick = dir.path().join("stick");
    let agent = heard(dir.path(), &agent::file_sink("usb", &stick, "ndjson"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let import = |from: &Path, to: &Path| agent.cli(&["--json", "lake", "import", &text(from), &text(to)]);
    let sum = |output: &Output| lines(output).pop().expect("a sum");

    // Two halves: the manifest was written last before the second stick was put in.
    let (early, late) = (dir.path().join("early"), dir.path().join("late"));
    copy_of(&stick, &early);
    copy_of(&stick, &late);
    let count = files(&stick, "/readings/").len();
    files(&early, "/readings/").iter().skip(2).for_each(|path| fs::remove_file(path).unwrap());
    files(&late, "/readings/").iter().take(2).for_each(|path| fs::remove_file(path).unwrap());
    edit(&files(&early, "/manifests/")[0], |lines| lines.truncate(1));

    let home = dir.path().join("home");
    let output = import(&early, &home);
    ends_with(&output, 0);
    let said = sum(&output);
    assert_eq!((&said["copied"], &said["lines"], &said["without_line"]), (&2.into(), &1.into(), &1.into()), "{said}");
    let output = import(&late, &home);
    ends_with(&output, 0);
    let said = sum(&output);
    assert_eq!(
        (&said["copied"], &said["present"], &said["lines"]),
        (&(count - 2).into(), &2.into(), &(count - 1).into()),
        "{said}"
    );
    assert_eq!(found(&agent, &home), []);
    let of = |lake: &Path| agent::stdout(&agent.cli(&["lake", "get", &text(lake)]));
    assert_eq!(of(&home), of(&stick));
    for path in files(&stick, "/") {
        let carried = home.join(path.strip_prefix(&stick).unwrap());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&carried).unwrap(), "{}", carried.display());
    }

    // The later one first: its lines are there at once, and the objects are missed until the other stick comes.
    let other = dir.path().join("other");
    ends_with(&import(&late, &other), exit::NOT_FINE);
    assert_eq!(found(&agent, &other).len(), 2);
    ends_with(&import(&early, &other), 0);
    assert_eq!(found(&agent, &other), []);
    assert_eq!(of(&other), of(&stick));

    // Other bytes under the same name stay, and are named.
    let object = files(&home, "/readings/").remove(1);
    let other = fs::read(&object).unwrap().iter().rev().copied().collect::<Vec<u8>>();
    fs::remove_file(&files(&home, "/manifests/")[0]).unwrap();
    fs::write(&object, &other).unwrap();
    let output = import(&stick, &home);
    ends_with(&output, exit::NOT_FINE);
    let key = text(object.strip_prefix(&home).unwrap());
    assert!(
        lines(&output).iter().any(|line| line["finding"] == "taken" && line["key"] == key.as_str()),
        "{}",
        agent::stdout(&output)
    );
    assert_eq!(fs::read(&object).unwrap(), other);

    // An altered object on the stick does not get in.
    let fresh = dir.path().join("fresh");
    fs::write(files(&stick, "/readings/").remove(0), b"rubbish").unwrap();
    ends_with(&import(&stick, &fresh), exit::NOT_FINE);
    assert_eq!(files(&fresh, "/readings/").len(), count - 1);
}

#[test]
fn rows_that_a_lake_has_in_other_objects_are_not_carried_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let agent = heard(dir.path(), &(agent::file_sink("a", &one, "ndjson") + &agent::file_sink("b", &other, "parquet")));
    let before = files(&one, "/");
    let output = agent.cli(&["--json", "lake", "import", other.to_str().unwrap(), "a"]);
    ends_with(&output, exit::NOT_FINE);
    let said = lines(&output);
    let (sum, findings) = said.split_last().expect("a sum");
    assert!(!findings.is_empty() && findings.iter().all(|line| line["finding"] == "overlap"), "{said:#?}");
    assert_eq!((&sum["copied"], &sum["lines"]), (&0.into(), &0.into()));
    assert_eq!(files(&one, "/"), before);
    ends_with(&agent.cli(&["lake", "verify", "a"]), 0);
}

#[test]
fn what_can_not_be_asked_is_said_with_the_right_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tidegate.toml");
    let one = agent::preamble(dir.path(), "1s") + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    fs::write(&config, &one).unwrap();
    let ask = |args: &[&str]| agent::run(&[&["--config", config.to_str().unwrap(), "lake"], args].concat());
    let asked = |args: &[&str], code: i32, said: &str| {
        let output = ask(args);
        ends_with(&output, code);
        assert!(agent::stderr(&output).contains(said), "{args:?}: {}", agent::stderr(&output));
    };
    asked(&["ls"], exit::UNAVAILABLE, "is not there");
    fs::create_dir(dir.path().join("lake")).unwrap();
    asked(&["ls"], 0, "0 objects");
    asked(&["verify"], exit::NOT_FINE, "");
    asked(&["ls", "usbs"], exit::USAGE, "did you mean \"usb\"?");
    asked(&["ls", "--from", "2026-11-23", "--to", "2026-11-22"], exit::USAGE, "not before");
    asked(&["ls", "--from", "yesterday"], exit::USAGE, "neither RFC 3339");
    asked(&["get", "--quality", "good"], exit::USAGE, "not-evaluated");
    asked(&["ls", "s3:///x"], exit::USAGE, "names no bucket");
    asked(&["import", "/nonexistent", "usb"], exit::UNAVAILABLE, "is no folder");
    let nobody = e2e::places::free_port();
    asked(
        &["ls", "s3://b/", "--endpoint", &format!("http://127.0.0.1:{nobody}"), "--from", "1h"],
        exit::UNAVAILABLE,
        "s3://b/",
    );
    fs::write(&config, one.replace("sink.usb", "sink.a") + &agent::file_sink("b", dir.path(), "ndjson")).unwrap();
    asked(&["ls"], exit::USAGE, "say which sink");
    fs::write(&config, "[device]\nid = 3\n").unwrap();
    asked(&["ls"], exit::CONFIG, "");
}

/// Every command of the guide runs as it stands there.
#[test]
fn the_guide_to_the_lake_shows_commands_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("farm-lake");
    let stick = dir.path().join("stick");
    heard(dir.path(), &agent::file_sink("usb", &stick, "ndjson"));
    let guide = fs::read_to_string(e2e::places::tests().join("../docs/LAKE.md")).unwrap();
    let blocks = guide.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let programs = e2e::places::tidegate().parent().expect("a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    for command in commands {
        let command = command.split("   #").next().unwrap_or(command);
        let command = command.replace("/media/usb/lake", stick.to_str().unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &command]).current_dir(&dir).env("PATH", &path);
        bash.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", REGION);
        let begun = now();
        let output = bash.env("AWS_ENDPOINT_URL", store.endpoint()).output().expect("bash runs it");
        println!("{:>6} ms  {command}", begun.elapsed().as_millis());
        ends_with(&output, 0);
    }
}
