//! Faults of the device itself: ports, configuration, agent, files, journal, disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use e2e::agent::{self, Agent, exit};
use e2e::faketime;
use e2e::pki::{Authority, Leaf, Pair};
use e2e::process::leashed;
use e2e::pty::Port;
use e2e::talker::Talker;

use crate::look::{LIMIT, NOBODY, Seen, may_be_nobody, open_to_all, write};

#[test]
fn a_port_that_is_not_there_not_ours_or_not_free_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path(), 0o755);
    let [free, barred, held] = ["free", "barred", "held"].map(|name| Port::plugged(&dir.path().join(name)));
    let device = |port: &Port| port.device().expect("plugged").to_owned();
    let bus = |name: &str, port: &Path| format!("[bus.{name}]\nport = \"{}\"\n\n", port.display());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let config = agent::preamble(dir.path(), "1s")
        + &bus("free", free.path())
        + &bus("barred", barred.path())
        + &bus("held", held.path())
        + &bus("file", &file)
        + &bus("gone", Path::new("/dev/ttyUSB77"))
        + "[bus.usb]\nport = \"usb:0403:6001:NOTHERE\"\n\n";
    write(dir.path(), &config);
    for port in [&free, &held] {
        open_to_all(&device(port), 0o666);
    }
    open_to_all(&device(&barred), 0o600);
    let mut holder = {
        // The command has the file, too, and goes with this block.
        let mut command = leashed(Path::new("sleep"));
        command.arg("600").stdin(File::open(device(&held)).unwrap()).spawn().unwrap()
    };

    let mut seen = Seen::at("ports", dir.path(), &["port"]);
    seen.expect("port-opens", "free", "ok", &["9600"]);
    seen.expect("port-there", "gone", "fault", &["/dev/ttyUSB77 is not there"]);
    seen.expect("port-name", "gone", "warning", &["whichever adapter came first", "by-id"]);
    seen.expect("port-there", "usb", "fault", &["usb:0403:6001:NOTHERE is not plugged in"]);
    seen.expect("port-there", "file", "fault", &["is no serial port"]);
    seen.expect("port-free", "held", "fault", &[&format!("open in sleep ({})", holder.id()), "end sleep"]);
    assert!(seen.find("port-opens", "held").is_none(), "what another has is not opened");
    assert_eq!(seen.code, Some(exit::NOT_FINE));

    if may_be_nobody("ports") {
        let mut seen = Seen::with("ports, as nobody", dir.path(), &["port"], &NOBODY, &[]);
        seen.expect("port-rights", "free", "ok", &[]);
        seen.expect("port-rights", "barred", "fault", &["may not open", "mode 600"]);
        assert!(seen.find("port-opens", "barred").is_none());
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_line_that_no_agent_has_is_listened_to() {
    let dir = tempfile::tempdir().unwrap();
    let [talks, silent] = ["talks", "silent"].map(|name| Port::plugged(&dir.path().join(name)));
    let config = agent::preamble(dir.path(), "1s")
        + &agent::counter("talks", talks.path())
        + &agent::counter("silent", silent.path())
        + &agent::counter("gone", &dir.path().join("gone"));
    write(dir.path(), &config);
    let talker = Talker::start(talks, 20, |number| format!("n,{number}\r\n"));
    let mut seen = Seen::at("lines", dir.path(), &["instrument", "--listen", "2"]);
    seen.expect("line-heard", "talks", "ok", &["bytes in 2 s", "\\r\\nn,"]);
    seen.expect("line-heard", "silent", "warning", &["nothing in 2 s at 115200 baud", "A and B exchanged"]);
    seen.expect("line-heard", "gone", "fault", &["No such file", "doctor port"]);
    drop(talker.stop());
}

#[test]
fn a_configuration_that_does_not_load_is_the_fault_and_the_rest_is_looked_at_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "[device]\nid = \"gw-1\"\n\n[bus.pond]\nprot = \"/dev/x\"\nbaud = 1\n");
    let mut seen = Seen::at("broken configuration", dir.path(), &[]);
    assert_eq!(seen.code, Some(exit::CONFIG));
    seen.expect("config-loads", "", "fault", &["tidegate.toml:", "more)", "`tidegate check`"]);
    for (check, of) in [("program-file", ""), ("memory", ""), ("ports-here", ""), ("disk-mount", "")] {
        assert!(seen.find(check, of).is_some(), "{check}: {:#?}", seen.checks);
    }
    // /etc/tidegate is for root and the group.
    open_to_all(dir.path(), 0o755);
    open_to_all(&dir.path().join("tidegate.toml"), 0o600);
    if may_be_nobody("configuration") {
        let mut barred = Seen::with("a configuration that is not for us", dir.path(), &[], &NOBODY, &[]);
        barred.expect("config-loads", "", "fault", &["Permission denied", "usermod -aG tidegate"]);
    }
    let text = agent::run(&["--config", dir.path().join("tidegate.toml").to_str().unwrap(), "doctor"]);
    assert_eq!(text.status.code(), Some(exit::CONFIG));
    assert!(agent::stdout(&text).contains("\nbegin with: config-loads: `tidegate check`"), "{}", agent::stdout(&text));
}

#[test]
fn an_agent_that_can_not_be_asked_is_told_by_why() {
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path(), 0o755);
    let socket = dir.path().join("agent.sock");
    write(dir.path(), &agent::preamble(dir.path(), "1s"));
    Seen::at("no agent", dir.path(), &["program"]).expect("agent-answers", "", "fault", &["no agent runs"]);
    drop(UnixListener::bind(&socket).unwrap());
    let mut stale = Seen::at("a socket that a kill left", dir.path(), &["program"]);
    stale.expect("agent-answers", "", "fault", &["nobody listens", "restart"]);
    fs::remove_file(&socket).unwrap();
    let odd = UnixListener::bind(&socket).unwrap();
    let answer = std::thread::spawn(move || {
        let (mut client, _) = odd.accept().unwrap();
        client.write_all(b"220 smtp.example\r\n").unwrap();
    });
    Seen::at("somebody else's socket", dir.path(), &["program"]).expect("agent-answers", "", "fault", &["version"]);
    answer.join().unwrap();
    fs::remove_file(&socket).unwrap();
    let mut agent = Agent::started(dir.path(), &agent::preamble(dir.path(), "1s"));
    if may_be_nobody("socket") {
        let mut barred = Seen::with("somebody who may not ask", dir.path(), &["program"], &NOBODY, &[]);
        barred.expect("agent-answers", "", "fault", &["may not ask", "usermod -aG"]);
    }
    let mut down = Seen::at("an agent that runs", dir.path(), &["program", "clock"]);
    down.expect("agent-answers", "", "ok", &["gw-1"]);
    agent.terminate();
}

#[test]
fn what_the_agent_says_of_itself_is_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    faketime::set(dir.path(), "@1970-01-01 00:00:10");
    let port = Port::unplugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtt_sink("cloud", "mqtt://127.0.0.1:1");
    let mut agent = faketime::launched(dir.path(), &config);
    agent.wait_ready();
    agent.wait_until("the sink to have tried", LIMIT, |status| status["sinks"][0]["state"] == "retrying");
    let env = faketime::env(dir.path());
    let mut seen = Seen::with("an agent in trouble", dir.path(), &["--offline"], &[], &env);
    seen.expect("clock-trust", "", "warning", &["nobody has set the clock"]);
    seen.expect("clock-plausible", "", "fault", &["1970-01-01"]);
    seen.expect("instrument-heard", "counter", "fault", &["down"]);
    seen.expect("sink-delivers", "cloud", "fault", &["retrying"]);
    seen.expect("port-there", "counter", "fault", &["is not there"]);
    agent.terminate();
}

#[test]
fn secrets_that_everybody_reads_and_files_that_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let pair = authority.issue(&Leaf::client("device"));
    let ca = authority.certificate();
    let gone = Pair { cert: dir.path().join("gone.pem"), key: dir.path().join("gone.key") };
    let sinks = agent::mqtts_sink("open", "mqtts://127.0.0.1:1", &ca, Some(&pair), "")
        + &agent::mqtts_sink("gone", "mqtts://127.0.0.1:1", &ca, Some(&gone), "");
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    open_to_all(&pair.key, 0o644);
    let mut seen = Seen::at("files", dir.path(), &["configuration"]);
    seen.expect("config-secrets", "", "warning", &["sink.open.tls.key", "mode 644", "chmod 640"]);
    seen.expect("config-files", "", "fault", &["sink.gone.tls.cert", "is not there"]);
}

#[test]
fn a_journal_that_does_not_open_or_that_somebody_has_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = agent::preamble(dir.path(), "200ms") + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_delivered(LIMIT);
    // Somebody has removed the socket under an agent that runs.
    fs::remove_file(dir.path().join("agent.sock")).unwrap();
    let mut lost = Seen::at("an agent without its socket", dir.path(), &["program", "journal"]);
    lost.expect("agent-answers", "", "fault", &["no agent runs"]);
    lost.expect("journal-reads", "", "warning", &["in use by another process", "socket"]);
    agent.kill();
    let mut stopped = Seen::at("an agent that was killed", dir.path(), &["journal"]);
    stopped.expect("journal-reads", "", "ok", &["records 1 to "]);
    let epoch = dir.path().join("journal/epoch");
    fs::write(&epoch, "tidegate-journal 99 zzzz\n").unwrap();
    let mut later = Seen::at("a journal of a later release", dir.path(), &["journal"]);
    later.expect("journal-reads", "", "fault", &["journal verify"]);
    assert_eq!(later.code, Some(exit::NOT_FINE));
}

/// In a mount namespace of its own: this test again, started by `unshare`.
#[test]
fn a_disk_that_is_full_read_only_or_forgets_is_told() {
    const INSIDE: &str = "TIDEGATE_TEST_OWN_MOUNTS";
    const NAME: &str = "here::a_disk_that_is_full_read_only_or_forgets_is_told";
    let own = ["--mount", "--propagation", "private"];
    if std::env::var_os(INSIDE).is_none() {
        let probe = Command::new("unshare").args(own).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        if !probe.is_ok_and(|probe| probe.status.success()) {
            let words = format!("SKIPPED {NAME}: mounting needs root, and is not permitted here\n");
            return std::io::stderr().write_all(words.as_bytes()).unwrap();
        }
        let mut again = Command::new("unshare");
        again.args(own).arg(std::env::current_exe().unwrap());
        again.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
        assert!(again.status().unwrap().success(), "{NAME} failed in its own mount namespace, see above");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (card, stick) = (dir.path().join("card"), dir.path().join("stick"));
    let mount = |args: &[&str]| {
        let output = Command::new("mount").args(args).output().unwrap();
        assert!(output.status.success(), "mount {args:?}: {}", agent::stderr(&output));
    };
    for folder in [&card, &stick] {
        fs::create_dir_all(folder).unwrap();
        mount(&["-t", "tmpfs", "-o", "size=48m,nr_inodes=600", "tmpfs", folder.to_str().unwrap()]);
    }
    let journal = card.join("journal");
    fs::create_dir_all(journal.join("quarantine/g1")).unwrap();
    let config = agent::preamble(dir.path(), "1s")
        .replace(dir.path().join("journal").to_str().unwrap(), journal.to_str().unwrap())
        + &agent::file_sink("usb", &stick.join("lake"), "ndjson");
    write(dir.path(), &config);
    let look = |story| Seen::at(story, dir.path(), &["disk", "journal", "store"]);
    let mut small = look("a card that is too small, of memory");
    small.expect("disk-filesystem", "", "warning", &["tmpfs", "empty after a power cut"]);
    small.expect("disk-space", "", "warning", &["the journal may grow by", "lower [journal] max_bytes"]);
    small.expect("disk-inodes", "", "warning", &["files can still be made"]);
    small.expect("journal-quarantine", "", "warning", &["1 damaged generations"]);
    small.expect("store-space", "usb", "warning", &["MiB are free"]);
    small.expect("disk-write", "", "ok", &["1 MiB written and synced"]);
    for folder in [&card, &stick] {
        let mut filler = File::create(folder.join("somebody-elses")).unwrap();
        while filler.write_all(&[0; 4 << 10]).is_ok() {}
    }
    let mut full = look("a card and a stick that are full");
    full.expect("disk-space", "", "fault", &["0 MiB are free", "make room"]);
    full.expect("disk-write", "", "fault", &["No space left", "make room"]);
    full.expect("store-space", "usb", "fault", &["0 MiB are free"]);
    full.expect("store-folder", "usb", "fault", &["No space left"]);
    for folder in [&card, &stick] {
        mount(&["-o", "remount,ro", folder.to_str().unwrap()]);
    }
    let mut read_only = look("a card and a stick that are read-only");
    read_only.expect("disk-mount", "", "fault", &["is read-only", "remount,rw"]);
    read_only.expect("disk-write", "", "fault", &["ead-only", "dmesg"]);
    read_only.expect("store-mount", "usb", "fault", &["read-only"]);
}
