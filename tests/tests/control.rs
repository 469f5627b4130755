//! The control socket under those who ask too much: the rest of the agent does not hold it up, and nobody holds up the rest.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::agent::{self, Agent, exit, item};
use e2e::patience::{now, pause, wait_for};
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::talker::Talker;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
/// What the socket promises.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);
/// A thread that is held at a system call goes on only after the story.
const HELD_MICROSECONDS: u64 = 300_000_000;

fn socket(dir: &Path) -> PathBuf {
    dir.join("agent.sock")
}

/// What is answered to these bytes, until the other side ends it; nothing where it does not within the limit.
fn ask(socket: &Path, request: &[u8], limit: Duration) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(limit)).expect("a limit above nothing");
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

const STATUS: &[u8] = b"GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// The status, and how long it took.
fn status(socket: &Path) -> (Value, Duration) {
    let begin = now();
    let answer = ask(socket, STATUS, LIMIT).expect("an answer");
    let took = begin.elapsed();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    (serde_json::from_str(body).expect("a status"), took)
}

/// The shortest and the longest of twenty answers: the shortest is the agent's, the longest also the machine's.
fn times(socket: &Path) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..20).map(|_| status(socket).1).collect();
    times.sort_unstable();
    (times[0], times[times.len() - 1])
}

/// The threads of the main runtime, by the name that tokio gives them.
fn workers(pid: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let is_worker = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("tokio"));
    let workers = tasks.filter_map(|task| Some(task.ok()?.path())).filter(is_worker);
    workers.filter_map(|task| Some(task.file_name()?.to_str()?.to_owned())).collect()
}

#[test]
fn the_socket_answers_while_the_main_runtime_is_busy_and_while_it_is_wedged() {
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<(String, Port)> =
        (1..=4).map(|number| (format!("c{number}"), Port::plugged(&dir.path().join(format!("c{number}"))))).collect();
    let counters: String = ports.iter().map(|(name, port)| agent::counter(name, port.path())).collect();
    let agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &counters));
    for (name, port) in &ports {
        agent.wait_open(port, name);
    }
    let socket = socket(dir.path());
    let idle = times(&socket);
    let talkers: Vec<Talker> =
        ports.into_iter().map(|(_, port)| Talker::start(port, 2_000, |number| format!("n,{number}\r\n"))).collect();
    let read = |status: &Value| -> u64 {
        (1..=4).filter_map(|number| item(status, "instruments", &format!("c{number}"))["readings_total"].as_u64()).sum()
    };
    agent.wait_until("thousands of readings", LIMIT, |status| read(status) > 4_000);
    let busy = times(&socket);

    // Every worker is held at its next system call.
    let workers = workers(agent.pid());
    assert!(workers.len() >= 2, "{workers:?}");
    let mut command = leashed(Path::new("strace"));
    command.args(["-qq", "-e", &format!("inject=all:delay_enter={HELD_MICROSECONDS}"), "-o", "/dev/null"]);
    command.args(workers.iter().flat_map(|worker| ["-p", worker]));
    let strace = Process::start("strace", command, &dir.path().join("strace.log"));
    let mut last: Option<(u64, Instant)> = None;
    wait_for(
        "the runtime to stand still for two seconds",
        LIMIT,
        || strace.log_tail(),
        || {
            let count = read(&status(&socket).0);
            match last {
                Some((before, since)) if before == count => (since.elapsed() > Duration::from_secs(2)).then_some(()),
                _ => {
                    last = Some((count, now()));
                    None
                }
            }
        },
    );
    let wedged = times(&socket);
    println!("a status, shortest and longest of twenty: idle {idle:?}, busy {busy:?}, wedged {wedged:?}");
    for (what, (shortest, _)) in [("idle", idle), ("busy", busy), ("wedged", wedged)] {
        assert!(shortest <= ANSWER_WITHIN, "{what}: {shortest:?}");
    }
    // What it has is told, too: the journal is read beside the runtime.
    let tail = ask(&socket, b"GET /v1/tail?n=3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", LIMIT);
    assert!(tail.as_deref().is_some_and(|tail| tail.matches("\"quantity\":\"number\"").count() == 3), "{tail:?}");
    drop(talkers);
    drop(strace);
}

/// An agent with nothing to read.
fn quiet(dir: &Path) -> Agent {
    Agent::started(dir, &agent::preamble(dir, "200ms"))
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

#[test]
fn what_is_no_request_is_refused_or_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let agent = quiet(dir.path());
    let socket = socket(dir.path());
    let long = [b"GET /v1/status HTTP/1.1\r\nhost: x\r\nx: ".as_slice(), &vec![b'a'; 1 << 20], b"\r\n\r\n"].concat();
    let requests: &[(&[u8], &[&str])] = &[
        (b"\0\xff\r\n\r\n", &["HTTP/1.1 400", ""]),
        (b"hello\r\n\r\n", &["HTTP/1.1 400", ""]),
        (b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &["HTTP/1.1 404"]),
        (b"DELETE /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &["HTTP/1.1 405"]),
        (b"GET /v1/tail?n=-1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &["HTTP/1.1 400"]),
        (b"GET /v1/tail?quality=good HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &["HTTP/1.1 400"]),
        // Half a request, and silence.
        (b"GET /v1/status HT", &[""]),
        (b"", &[""]),
    ];
    for (request, expected) in requests {
        let answer = ask(&socket, request, LIMIT);
        let answer = answer.unwrap_or_else(|| panic!("{:?} is waited for", String::from_utf8_lossy(request)));
        assert!(expected.iter().any(|words| answer.starts_with(words)), "{request:?}: {answer}");
        status(&socket);
    }
    // One that is too long is not even read to its end.
    let answer = ask(&socket, &long, LIMIT);
    assert!(answer.as_ref().is_none_or(|answer| answer.is_empty() || answer.starts_with("HTTP/1.1 431")), "{answer:?}");
    status(&socket);
    drop(agent);
}

#[test]
fn a_thousand_connections_take_no_more_than_their_share_and_let_others_in() {
    let dir = tempfile::tempdir().unwrap();
    let agent = quiet(dir.path());
    let socket = socket(dir.path());
    let before = descriptors(agent.pid());
    let silent: Vec<UnixStream> = (0..1_000).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    assert!(silent.len() > 500, "{}", silent.len());
    let during = descriptors(agent.pid());
    // While all of them still hold their ends.
    let status = agent.wait_until("an answer", LIMIT, |_| true);
    assert!(during <= before + 140, "{before} descriptors, then {during}");
    assert_eq!(status["device"], "gw-1");
    wait_for(
        "the silent to be hung up on",
        LIMIT,
        || agent.log_tail(),
        || (descriptors(agent.pid()) <= before + 2).then_some(()),
    );
    drop(silent);
}

#[test]
fn who_asks_for_much_and_reads_nothing_costs_little() {
    const READINGS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms") + &agent::counter("counter", port.path());
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let lines: Vec<String> = (1..=READINGS).map(|number| format!("n,{number}\r\n")).collect();
    port.send(lines.concat().as_bytes(), LIMIT);
    agent.wait_until("all readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"] == READINGS
            && status["journal"]["at_risk_readings"] == 0
    });
    let resident = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a kernel that counts");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    };
    let (socket, before) = (socket(dir.path()), resident());
    let asked: Vec<UnixStream> = (0..40)
        .map(|number| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            let path = ["/v1/journal/export", "/v1/tail?since=2000-01-01T00:00:00Z&follow=true"][number % 2];
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    // Each has been answered as far as it takes it.
    for mut stream in &asked {
        let mut head = [0; 15];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
    pause(Duration::from_secs(2));
    let during = resident();
    println!("{} clients that read nothing: {before} kB resident, then {during} kB", asked.len());
    assert!(during <= before + 40 * 1_024, "{before} kB, then {during} kB");
    assert!(status(&socket).1 < LIMIT);
    drop(asked);
}

#[test]
fn nobody_outside_the_group_reads_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let agent = quiet(dir.path());
    let socket = socket(dir.path());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    // The folder and the configuration are open, so that it is the socket that says no.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(agent.config(), fs::Permissions::from_mode(0o644)).unwrap();
    let asked_as = |id: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", id, "--regid", id, "--clear-groups", "--"]).arg(places::tidegate());
        command.arg("--config").arg(agent.config()).arg("status").output().expect("util-linux has setpriv")
    };
    let stranger = asked_as("65534");
    let words = agent::stderr(&stranger);
    assert_eq!(stranger.status.code(), Some(exit::UNAVAILABLE), "{words}");
    assert!(words.contains("ermission denied"), "{words}");
    assert!(agent.status().is_some(), "its owner is answered");
}
