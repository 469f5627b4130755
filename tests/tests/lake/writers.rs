//! Several write to one day of one device's lake, and no line of any of them is lost.

use e2e::patience::wait_for;

use super::*;

/// What `ls` names, by journal.
fn epochs(agent: &Agent, lake: &str) -> Vec<String> {
    let listed = agent.cli(&["--json", "lake", "ls", lake]);
    ends_with(&listed, 0);
    let mut epochs: Vec<String> =
        lines(&listed).iter().map(|line| line["epoch"].as_str().expect("every line has one").to_owned()).collect();
    epochs.dedup();
    epochs
}

#[test]
fn a_new_journal_on_the_same_day_takes_no_line_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("twice");
    let usb = agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let sinks = usb + &agent::s3_sink("cloud", &store, "twice");
    heard(dir.path(), &sinks);
    // The card was changed: the same device, and a journal that knows of nothing.
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let agent = heard(dir.path(), &sinks);
    for lake in ["usb", "cloud"] {
        assert_eq!(epochs(&agent, lake).len(), 2, "{lake} names the objects of both journals");
        let verified = agent.cli(&["--json", "lake", "verify", lake]);
        ends_with(&verified, 0);
        let sum = lines(&verified).pop().expect("a sum");
        assert_eq!(sum["epochs"].as_array().map(Vec::len), Some(2), "{sum}");
    }
}

#[test]
fn a_device_that_writes_on_leaves_the_lines_that_a_stick_brought() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stick = here.path().join("stick");
    heard(here.path(), &agent::file_sink("usb", &stick, "ndjson"));

    // The same device, with another journal, is writing to the lake while the stick is carried there.
    let lake = there.path().join("lake");
    let port = Port::plugged(&there.path().join("port"));
    let config = agent::preamble(there.path(), "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &lake, "ndjson").replacen("batch", "manifest_every = \"1s\"\nbatch", 1);
    let mut agent = Agent::started(there.path(), &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
    let path = lake.to_str().unwrap().to_owned();
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        wait_for(what, LIMIT, || agent.log_tail(), || is_so().then_some(()));
    };
    until("its first manifest", &|| lake.join("manifests").is_dir() && !files(&lake, "/manifests/").is_empty());
    ends_with(&agent.cli(&["lake", "import", stick.to_str().unwrap(), &path]), 0);
    let carried = lines(&agent.cli(&["--json", "lake", "ls", &path])).len();
    until("the device's next lines", &|| lines(&agent.cli(&["--json", "lake", "ls", &path])).len() > carried);
    let _port = talker.stop();
    agent.wait_delivered(LIMIT);
    agent.terminate();
    assert_eq!(epochs(&agent, &path).len(), 2);
    assert_eq!(found(&agent, &lake), []);
}

#[test]
fn a_manifest_that_can_not_be_read_is_put_aside_and_the_days_lines_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let sinks = agent::file_sink("usb", &lake, "ndjson");
    heard(dir.path(), &sinks);
    let manifest = files(&lake, "/manifests/").remove(0);
    fs::write(&manifest, b"rubbish").unwrap();
    let agent = heard(dir.path(), &sinks);
    assert_eq!(found(&agent, &lake), [], "the device has its lines of the day still");
    let aside: Vec<_> = files(&lake, "/manifests/").into_iter().filter(|path| *path != manifest).collect();
    let [aside] = aside.as_slice() else { panic!("{aside:?} is not one") };
    assert_eq!(fs::read(aside).unwrap(), b"rubbish");
}
