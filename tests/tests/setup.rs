//! A first configuration, by questions on a terminal and by flags: it is right, and the agent reads with it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item, stderr, stdout};
use e2e::captures::wire_of;
use e2e::patience::wait_for;
use e2e::places;
use e2e::player::Player;
use e2e::process::{Process, leashed};
use e2e::pty::Port;

const LIMIT: Duration = Duration::from_mins(2);

/// `tidegate simulate PROFILE` with a name for its port.
fn simulated(dir: &Path, profile: &str) -> (Process, PathBuf) {
    let link = dir.join(format!("port-{profile}"));
    let mut command = leashed(&places::tidegate());
    command.args(["simulate", profile, "--port"]).arg(&link);
    let process = Process::start(profile, command, &dir.join(format!("{profile}.log")));
    wait_for("the simulated port", LIMIT, || process.log_tail(), || link.try_exists().ok()?.then_some(()));
    (process, link)
}

/// Runs the agent with a written configuration, its journal and socket in the story's folder, until the instrument was read.
fn runs_with(dir: &Path, file: &Path, instrument: &str) {
    let text = fs::read_to_string(file).expect("it was written");
    let run = dir.join("run");
    fs::create_dir_all(run.join("conf.d")).expect("a folder of the story's");
    let places = format!("[journal]\npath = \"{0}/journal\"\n[local]\nsocket = \"{0}/s\"\n", run.display());
    fs::write(run.join("conf.d/places.toml"), places).expect("write into the story's folder");
    let mut agent = Agent::started(&run, &text);
    agent.wait_until("its readings", LIMIT, |status| {
        item(status, "instruments", instrument)["readings_total"].as_u64().is_some_and(|readings| readings > 0)
    });
    agent.terminate();
}

fn setup(args: &[&str]) -> std::process::Output {
    agent::run(&[&["setup"], args].concat())
}

#[test]
fn flags_make_a_configuration_that_the_agent_reads_with() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    let (_simulator, link) = simulated(dir.path(), "nmea-sounder");
    let port = format!("{}=nmea-sounder", link.display());
    let folder = dir.path().join("lake");
    let args = [
        "--output",
        file.to_str().unwrap(),
        "--site",
        "lac-vert",
        "--device",
        "gw-7",
        "--port",
        &port,
        "--mqtt",
        "mqtts://broker.example:8883",
        "--cert",
        "/etc/tidegate/device.pem",
        "--key",
        "/etc/tidegate/device.key",
        "--s3",
        "farm-lake",
        "--region",
        "eu-west-1",
        "--folder",
        folder.to_str().unwrap(),
    ];
    let output = setup(&args);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(&output), stderr(&output));
    for words in ["is written", "device gw-7 at lac-vert", "systemctl enable --now tidegate", "doctor"] {
        assert!(stdout(&output).contains(words), "{words}: {}", stdout(&output));
    }
    let text = fs::read_to_string(&file).unwrap();
    for line in ["profile = \"nmea-sounder\"", "baud = 4800", "type   = \"s3\"", "cert = \"/etc/tidegate/device.pem\""]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let checked = agent::run(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));

    // Never over another one; with leave, which keeps it.
    let again = setup(&["--output", file.to_str().unwrap(), "--yes"]);
    assert_eq!(again.status.code(), Some(exit::USAGE), "{}", stderr(&again));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let only_folder = [
        "--output",
        file.to_str().unwrap(),
        "--force",
        "--site",
        "pond",
        "--port",
        &port,
        "--folder",
        folder.to_str().unwrap(),
    ];
    let again = setup(&only_folder);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(dir.path().join("tidegate.toml.bak")).unwrap(), text);
    runs_with(dir.path(), &file, "nmea-sounder");
}

#[test]
fn what_is_missing_without_a_terminal_is_named_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml").display().to_string();
    for (args, flag) in [
        (&["--output", &file][..], "--site"),
        (&["--output", &file, "--site", "a"], "--port"),
        (&["--output", &file, "--site", "a", "--port", "/dev/null=nmea-gps"], "--mqtt"),
        (&["--output", &file, "--site", "a", "--port", "/dev/null=nmea-gsp", "--yes"], "did you mean \"nmea-gps\"?"),
        (&["--output", &file, "--site", "a b", "--yes"], "not ' '"),
        (&["--output", &file, "--s3", "b", "--yes"], "--region"),
    ] {
        let output = setup(args);
        assert_eq!(output.status.code(), Some(exit::USAGE), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(flag), "{args:?}: {}", stderr(&output));
    }
    let wrong = setup(&["--output", &file, "--yes", "--mqtt", "broker.example"]);
    assert_eq!(wrong.status.code(), Some(exit::CONFIG), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("nothing was written"), "{}", stderr(&wrong));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
    let plain = setup(&["--output", &file, "--yes"]);
    assert_eq!(plain.status.code(), Some(0), "{}", stderr(&plain));
    let nowhere = setup(&["--output", "/nonexistent/tidegate.toml", "--yes"]);
    assert_eq!(nowhere.status.code(), Some(exit::DISK), "{}", stderr(&nowhere));
}

#[test]
fn what_root_writes_is_for_the_group_that_the_folder_is_of() {
    const GROUP: u32 = 54_321;
    let dir = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(dir.path(), None, Some(GROUP)).is_err() {
        // Not to the captured output: what did not run should be seen.
        writeln!(std::io::stderr(), "SKIPPED: giving a folder to another group needs root").unwrap();
        return;
    }
    let file = dir.path().join("tidegate.toml");
    for args in [&["--yes"][..], &["--yes", "--force"]] {
        let output = setup(&[&["--output", file.to_str().unwrap()], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.gid(), metadata.permissions().mode() & 0o777), (GROUP, 0o640));
    }
}

/// Somebody at a terminal who answers each question when it is asked.
struct Person {
    terminal: Port,
    child: Child,
    seen: String,
}

impl Person {
    fn at(dir: &Path, args: &[&str]) -> Self {
        let terminal = Port::plugged(&dir.join("terminal"));
        let side = || fs::File::options().read(true).write(true).open(terminal.path()).expect("a terminal");
        let mut command = Command::new(places::tidegate());
        command.arg("setup").args(args).stdin(Stdio::from(side())).stdout(Stdio::from(side())).stderr(side());
        let child = command.env("NO_COLOR", "1").spawn().expect("start setup");
        Self { terminal, child, seen: String::new() }
    }

    /// Waits for the question, from what was seen last on, and answers it.
    fn answer(&mut self, question: &str, answer: &str) {
        let mut seen = std::mem::take(&mut self.seen);
        let after = wait_for(
            question,
            LIMIT,
            || question.to_owned(),
            || {
                seen += &String::from_utf8_lossy(&self.terminal.written());
                seen.find(question).map(|at| seen[at + question.len()..].to_owned())
            },
        );
        self.seen = after;
        self.terminal.send(format!("{answer}\n").as_bytes(), LIMIT);
    }

    fn ends(mut self) -> (Option<i32>, String) {
        let mut ended = None;
        wait_for("setup to end", LIMIT, String::new, || {
            ended = self.child.try_wait().expect("our own child");
            self.seen += &String::from_utf8_lossy(&self.terminal.written());
            ended.map(|_| ())
        });
        (ended.and_then(|status| status.code()), self.seen)
    }
}

#[test]
fn a_person_at_a_terminal_is_asked_and_the_instrument_is_found_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    let port = Port::plugged(&dir.path().join("sounder"));
    let path = port.path().display().to_string();
    let _player = Player::start(port, wire_of("nmea/sounder.log", dir.path()));

    // A machine's own ports are asked about, too: whatever there is here, nothing is on it.
    let listed = agent::run(&["--json", "ports"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&stdout(&listed)).unwrap();

    let mut person = Person::at(dir.path(), &["--output", file.to_str().unwrap()]);
    person.answer("Site [default]: ", "lac vert");
    person.answer("Site [default]: ", "lac-vert");
    person.answer("Device [", "");
    for _ in &listed {
        person.answer("or skip [detect]: ", "skip");
    }
    person.answer("Another serial port (nothing: no more): ", &path);
    person.answer("or skip [detect]: ", "nmea-suonder");
    person.answer("or skip [skip]: ", "detect");
    person.answer("Another serial port (nothing: no more): ", "");
    person.answer("(nothing: none): ", "mqtts://broker.example:8883");
    person.answer("(nothing: the system's): ", "");
    person.answer("certificate (nothing: none): ", "/etc/tidegate/device.pem");
    person.answer("key: ", "/etc/tidegate/device.key");
    person.answer("Bucket of S3 (nothing: none): ", "");
    person.answer("Folder, as of a stick (nothing: none): ", dir.path().join("lake").to_str().unwrap());
    let (code, seen) = person.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("next:"), "{seen}");
    let text = fs::read_to_string(&file).unwrap();
    for line in
        ["site = \"lac-vert\"", "profile = \"nmea-sounder\"", "key = \"/etc/tidegate/device.key\"", "type   = \"file\""]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let checked = agent::run(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    runs_with(dir.path(), &file, "nmea-sounder");
}

#[test]
fn a_port_that_is_to_be_detected_and_is_not_known_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    let port = Port::plugged(&dir.path().join("login"));
    let path = port.path().display().to_string();
    let _player = Player::start(port, b"pond-gw-1 login: \r\n".to_vec());
    let output = setup(&[
        "--output",
        file.to_str().unwrap(),
        "--site",
        "a",
        "--folder",
        "/tmp/x",
        "--port",
        &format!("{path}=detect"),
    ]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}", stderr(&output));
    assert!(!file.try_exists().unwrap());
}
