//! `tidegate doctor`: every fault that can be staged is staged and recognised, with words that say which it is; where all is
//! well it finds none, and disturbs nobody.
//!
//! What only a board's own `/sys` and `/proc` can have is staged in folders (`agent/src/doctor/tests.rs`).

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::agent::{self, Agent, exit};
use e2e::desk::{Desk, Fate};
use e2e::faketime;
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::moto::Moto;
use e2e::patience::now;
use e2e::pki::{Authority, Leaf, Pair};
use e2e::places;
use e2e::process::leashed;
use e2e::pty::Port;
use e2e::road::Stop;
use e2e::seaweed::{KEY_ID, Seaweed};
use e2e::talker::Talker;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);
/// Everything that waits has a limit: the slowest story has black holes in it.
const WHOLE_LIMIT: Duration = Duration::from_secs(45);
/// Somebody who may nothing.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// What a look found.
struct Seen {
    story: &'static str,
    checks: Vec<Value>,
    code: Option<i32>,
    took: Duration,
    staged: usize,
}

impl Seen {
    /// A look with the configuration in `dir`, by a program (`setpriv ...`) and with variables.
    #[track_caller]
    fn with(story: &'static str, dir: &Path, args: &[&str], under: &[&str], env: &[(&str, String)]) -> Self {
        let program = places::tidegate();
        let mut words: Vec<&str> = under.to_vec();
        words.push(program.to_str().expect("a path of ours"));
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "100"]).args(words).arg("--config").arg(dir.join("tidegate.toml"));
        command.args(["--json", "doctor"]).args(args).env("NO_COLOR", "1").stdin(Stdio::null());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let began = now();
        let output = command.output().expect("coreutils has timeout");
        let took = began.elapsed();
        assert!(took < WHOLE_LIMIT, "{story}: {took:?}");
        let text = agent::stdout(&output);
        let found: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", agent::stderr(&output)));
        assert_eq!(found["v"], 1);
        let checks = found["checks"].as_array().expect("checks").clone();
        let seen = Self { story, checks, code: output.status.code(), took, staged: 0 };
        let worst = match &seen {
            seen if seen.of("fault").next().is_some() => "fault",
            seen if seen.of("warning").next().is_some() => "warning",
            _ => "ok",
        };
        assert_eq!(found["verdict"], worst, "{text}");
        for check in seen.of("fault").chain(seen.of("warning")) {
            assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no fix: {check:#}");
        }
        seen
    }

    #[track_caller]
    fn at(story: &'static str, dir: &Path, args: &[&str]) -> Self {
        Self::with(story, dir, args, &[], &[])
    }

    fn of(&self, verdict: &str) -> impl Iterator<Item = &Value> {
        self.checks.iter().filter(move |check| check["verdict"] == verdict)
    }

    fn find(&self, check: &str, of: &str) -> Option<&Value> {
        self.checks.iter().find(|it| it["check"] == check && it["of"].as_str().unwrap_or_default() == of)
    }

    /// That a fault that was staged is recognised: by name, of whom, how bad, in words.
    #[track_caller]
    fn expect(&mut self, check: &str, of: &str, verdict: &str, words: &[&str]) {
        let all = format!("{}: {:#}", self.story, Value::from(self.checks.clone()));
        let found = self.find(check, of).unwrap_or_else(|| panic!("no {check} of {of:?} in {all}"));
        assert_eq!(found["verdict"], verdict, "{found:#}");
        let text =
            format!("{} {}", found["seen"].as_str().unwrap_or_default(), found["fix"].as_str().unwrap_or_default());
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {found:#}");
        }
        self.staged += usize::from(verdict != "ok");
    }
}

/// How many were staged is said, not only that the story went well.
impl Drop for Seen {
    fn drop(&mut self) {
        let Self { story, staged, took, .. } = self;
        let line = format!("doctor: {staged} staged and recognised in {} ms: {story}\n", took.as_millis());
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
}

/// Whether a look may be taken by somebody else than us: that needs root, and a program that he can reach.
fn may_be_nobody(story: &str) -> bool {
    let probe = Command::new(NOBODY[0]).args(&NOBODY[1..]).arg(places::tidegate()).arg("--version").output();
    let may = probe.is_ok_and(|probe| probe.status.success());
    if !may {
        let line = format!("SKIPPED {story}: another user's part needs root, and a program that others may run\n");
        std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    }
    may
}

fn write(dir: &Path, config: &str) {
    fs::write(dir.join("tidegate.toml"), config).expect("write into the story's folder");
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

/// What is looked at where all is well, and is.
const WELL: [(&str, &str); 17] = [
    ("agent-answers", ""),
    ("config-files", ""),
    ("port-rights", "counter"),
    ("port-free", "counter"),
    ("instrument-heard", "counter"),
    ("disk-write", ""),
    ("journal-written", ""),
    ("broker-tls", "cloud"),
    ("broker-certificate", "cloud"),
    ("broker-login", "cloud"),
    ("broker-publish", "cloud"),
    ("sink-delivers", "cloud"),
    ("store-put", "lake"),
    ("store-conditional", "lake"),
    ("store-read", "lake"),
    ("clock-skew", ""),
    ("store-folder", "usb"),
];

#[test]
fn where_all_is_well_nothing_is_at_fault_and_nobody_is_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let (server, device) = (authority.issue(&Leaf::server("server")), authority.issue(&Leaf::client("device")));
    let ca = authority.certificate();
    let broker = Mosquitto::secured(&dir.path().join("broker"), &[Secured { ca: &ca, shows: &server, crl: None }]);
    let store = Seaweed::shared();
    store.make_bucket("doctor-well");
    let port = Port::plugged(&dir.path().join("port"));
    let url = format!("mqtts://localhost:{}", broker.secured_ports()[0]);
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::mqtts_sink("cloud", &url, &ca, Some(&device), "")
        + &agent::s3_sink("lake", &store, "doctor-well")
        + &agent::file_sink("usb", &dir.path().join("stick"), "ndjson");
    open_to_all(&store.secret_file(), 0o600);
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, 20, |number| format!("n,{number}\r\n"));
    agent.wait_until("every sink to deliver", LIMIT, |status| {
        let all = |list: &str, count: &str| {
            status[list].as_array().is_some_and(|list| list.iter().all(|it| it[count].as_u64() > Some(0)))
        };
        all("sinks", "delivered_total") && all("instruments", "readings_total")
    });
    for _ in 0..2 {
        let seen = Seen::at("all is well", dir.path(), &[]);
        let faults: Vec<&Value> = seen.of("fault").collect();
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(seen.code, Some(0));
        for (check, of) in WELL {
            let found = seen.find(check, of).unwrap_or_else(|| panic!("{check} {of}: {:#?}", seen.checks));
            assert_eq!(found["verdict"], "ok", "{found:#}");
        }
        let names: std::collections::BTreeSet<&str> =
            seen.checks.iter().filter_map(|check| check["check"].as_str()).collect();
        assert!(names.len() >= 25, "{names:?}");
        let areas: Vec<&str> = seen.checks.iter().filter_map(|check| check["area"].as_str()).collect();
        let mut grouped = areas.clone();
        grouped.dedup();
        let once: std::collections::BTreeSet<&str> = grouped.iter().copied().collect();
        assert_eq!(once.len(), grouped.len(), "an area comes once: {grouped:?}");
    }
    let log = fs::read_to_string(dir.path().join("agent.log")).expect("the agent's log");
    assert_eq!(log.matches("broker reached").count(), 1, "the agent's connection is left alone\n{log}");
    let probes = store.keys("doctor-well").into_iter().filter(|key| key.starts_with("doctor/")).collect::<Vec<_>>();
    assert_eq!(probes, ["doctor/v1/site=farm/device=gw-1/probe"], "one object, however often it is asked");
    for left in ["doctor.tmp", "journal/doctor.tmp", "stick/.doctor.part"] {
        assert!(!dir.path().join(left).try_exists().unwrap(), "{left}");
    }

    // Offline nothing leaves; the agent's own word is there all the same.
    let offline = Seen::at("offline", dir.path(), &["--offline"]);
    assert_eq!(offline.code, Some(0));
    assert!(offline.find("broker-login", "cloud").is_none() && offline.find("network-connect", "").is_none());
    assert!(offline.find("sink-delivers", "cloud").is_some());
    // One area alone.
    let disk = Seen::at("one area", dir.path(), &["disk"]);
    assert!(disk.checks.iter().all(|check| check["area"] == "disk"), "{:#?}", disk.checks);
    drop(talker.stop());
    agent.terminate();
}

#[test]
fn lines_are_printed_as_they_come_and_the_last_says_what_to_begin_with() {
    let dir = tempfile::tempdir().unwrap();
    let hole = Hole::new();
    write(
        dir.path(),
        &(agent::preamble(dir.path(), "1s")
            + "[bus.pond]\nport = \"/dev/ttyUSB77\"\n\n"
            + &agent::mqtt_sink("cloud", &format!("mqtt://{}", hole.address))),
    );
    let mut command = leashed(&places::tidegate());
    command.arg("--config").arg(dir.path().join("tidegate.toml")).args(["doctor", "port", "network", "broker"]);
    let began = now();
    let mut child = command.stdout(Stdio::piped()).env("NO_COLOR", "1").spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let first_took = began.elapsed();
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let took = began.elapsed();
    assert_eq!(child.wait().expect("it ends").code(), Some(exit::NOT_FINE));
    assert_eq!(first, "port\n");
    assert!(first_took < Duration::from_secs(2) && took > Duration::from_secs(4), "{first_took:?} of {took:?}\n{rest}");
    assert!(rest.contains("FAULT  ") && rest.contains("fix: "), "{rest}");
    let last = rest.lines().last().unwrap_or_default();
    assert!(last.starts_with("begin with: port-there pond: "), "{rest}");
    assert!(rest.contains(" ok, 1 warning, 3 faults\n"), "{rest}");
    let unknown = agent::run(&["doctor", "pond"]);
    assert_eq!(unknown.status.code(), Some(exit::USAGE));
    assert!(agent::stderr(&unknown).contains("the areas are program, configuration"), "{}", agent::stderr(&unknown));
}

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
fn a_thing_of_aws_keeps_its_name_to_itself_while_the_agent_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let (server, device) = (authority.issue(&Leaf::server("server")), authority.issue(&Leaf::client("device")));
    let ca = authority.certificate();
    let broker = Mosquitto::secured(&dir.path().join("broker"), &[Secured { ca: &ca, shows: &server, crl: None }]);
    let url = format!("mqtts://localhost:{}", broker.secured_ports()[0]);
    let sink = agent::mqtts_sink("cloud", &url, &ca, Some(&device), "").replace("\"generic\"", "\"aws-iot\"");
    let mut agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &sink));
    agent.wait_delivered(LIMIT);
    let mut seen = Seen::at("a thing that is connected", dir.path(), &["broker"]);
    seen.expect("broker-login", "cloud", "ok", &["not tried", "sink-delivers"]);
    seen.expect("broker-tls", "cloud", "ok", &["TLSv1_3"]);
    assert!(seen.find("broker-publish", "cloud").is_none());
    let log = fs::read_to_string(dir.path().join("agent.log")).expect("the agent's log");
    assert_eq!(log.matches("broker reached").count(), 1, "{log}");
    agent.terminate();
    let mut seen = Seen::at("a thing that is not", dir.path(), &["broker"]);
    seen.expect("broker-login", "cloud", "ok", &["taken as \"gw-1\""]);
    seen.expect("broker-publish", "cloud", "ok", &["the broker has taken it"]);
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

/// A port that answers nobody: its queue of connections is full, and the kernel swallows who comes then.
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut queue = Vec::new();
        while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(one);
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

/// Somebody who takes connections and says this, or nothing.
fn speaker(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            // Who has gone does not hear it.
            client.write_all(words).ok();
            held.push(client);
        }
    });
    port
}

#[test]
fn a_network_that_fails_is_told_by_where() {
    let dir = tempfile::tempdir().unwrap();
    let hole = Hole::new();
    let sinks = agent::mqtt_sink("name", "mqtt://no-such-host.invalid:1883")
        + &agent::mqtt_sink("refused", "mqtt://127.0.0.1:1")
        + &agent::mqtt_sink("hole", &format!("mqtt://{}", hole.address))
        + agent::mqtt_sink("proxied", "mqtt://broker.example:1883").trim_end()
        + "\nproxy = \"http://127.0.0.1:2\"\n\n";
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("network", dir.path(), &["network", "broker"]);
    seen.expect("network-name", "no-such-host.invalid:1883", "fault", &["can not be resolved", "getent hosts"]);
    seen.expect("network-connect", "127.0.0.1:1", "fault", &["refused", "nothing listens on port 1"]);
    seen.expect("network-connect", &hole.address.to_string(), "fault", &["timed out", "firewall"]);
    seen.expect("network-connect", "127.0.0.1:2", "fault", &["refused"]);
    for sink in ["name", "refused", "hole", "proxied"] {
        seen.expect("broker-reached", sink, "fault", &["not tried"]);
    }
}

#[test]
fn tls_that_fails_is_told_by_which_side_refuses_what() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let other = Authority::new(&dir.path().join("other"));
    let ca = authority.certificate();
    let device = authority.issue(&Leaf::client("device"));
    let shown = [
        authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::server("expired") }),
        authority.issue(&Leaf { from: "+2 days", until: "+30 days", ..Leaf::server("early") }),
        authority.issue(&Leaf { hosts: "DNS:broker.example", ..Leaf::server("name") }),
        other.issue(&Leaf::server("foreign")),
        authority.issue(&Leaf { until: "+5 days", ..Leaf::server("soon") }),
    ];
    let listeners: Vec<Secured> = shown.iter().map(|shows| Secured { ca: &ca, shows, crl: None }).collect();
    let broker = Mosquitto::secured(&dir.path().join("broker"), &listeners);
    let ours_expired = authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::client("ours-expired") });
    let ours_foreign = other.issue(&Leaf::client("ours-foreign"));
    let [expired, early, name, foreign, soon] = broker.secured_ports() else { panic!("five listeners") };
    let tls = |sink: &str, port: u16, identity: Option<&Pair>| {
        agent::mqtts_sink(sink, &format!("mqtts://localhost:{port}"), &ca, identity, "")
    };
    let sinks = tls("expired", *expired, Some(&device))
        + &tls("early", *early, Some(&device))
        + &tls("name", *name, Some(&device))
        + &tls("foreign", *foreign, Some(&device))
        + &tls("soon", *soon, Some(&device))
        + &tls("ours-expired", *soon, Some(&ours_expired))
        + &tls("ours-foreign", *soon, Some(&ours_foreign))
        + &tls("nobody", *soon, None)
        + &tls("plain", broker.port(), Some(&device));
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("TLS", dir.path(), &["broker"]);
    let clock = "timedatectl";
    for (sink, words) in [
        ("expired", &["the broker's certificate expired on 20", "is this device's clock right", clock][..]),
        ("early", &["the broker's certificate is valid from 20", "is this device's clock right", clock]),
        ("name", &["is for broker.example, and not for localhost", "`url`"]),
        ("foreign", &["from an authority that is not in", "ca"]),
        ("ours-expired", &["the broker refused our certificate", "it expired on 20"]),
        ("ours-foreign", &["the broker refused our certificate", "not from an authority that the broker trusts"]),
        ("nobody", &["wants a certificate from us", "set cert and key"]),
        ("plain", &["does this port speak TLS", "8883"]),
    ] {
        seen.expect("broker-tls", sink, "fault", words);
        assert!(seen.find("broker-login", sink).is_none(), "{sink}");
    }
    seen.expect("sink-certificate", "ours-expired", "fault", &["ours expired on 20"]);
    seen.expect("broker-certificate", "soon", "warning", &["4 days from now", "renewed there"]);
    seen.expect("broker-publish", "soon", "ok", &["farm/farm/gw-1/doctor", "come back"]);
}

#[test]
fn a_broker_is_told_by_the_step_that_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let guarded = Mosquitto::guarded(&dir.path().join("guarded"), "allow_anonymous false\n");
    let acl = dir.path().join("acl");
    fs::write(&acl, "topic readwrite elsewhere/#\n").unwrap();
    let rules = format!("allow_anonymous true\nacl_file {}\n", acl.display());
    let strict = Mosquitto::guarded(&dir.path().join("strict"), &rules);
    let web = speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let mute = speaker(b"");
    let proxy = Stop::tinyproxy(&dir.path().join("proxy"), 1, None);
    let sinks = agent::mqtt_sink("login", &guarded.url())
        + &agent::mqtt_sink("acl", &strict.url())
        + agent::mqtt_sink("acl-old", &strict.url()).trim_end()
        + "\nversion = \"3.1.1\"\n\n"
        + &agent::mqtt_sink("web", &format!("mqtt://127.0.0.1:{web}"))
        + &agent::mqtt_sink("mute", &format!("mqtt://127.0.0.1:{mute}"))
        + agent::mqtt_sink("proxy", &guarded.url()).trim_end()
        + &format!("\nproxy = \"http://127.0.0.1:{}\"\n\n", proxy.port())
        + agent::mqtt_sink("password", &guarded.url()).trim_end()
        + &format!("\nusername = \"me\"\npassword_file = \"{}/no-password\"\n\n", dir.path().display());
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("brokers", dir.path(), &["broker"]);
    seen.expect("broker-login", "login", "fault", &["otAuthorized", "username"]);
    seen.expect("broker-login", "acl", "ok", &["gw-1"]);
    seen.expect(
        "broker-publish",
        "acl",
        "fault",
        &["farm/farm/gw-1/doctor: the broker refused it: NotAuthorized", "ACL"],
    );
    seen.expect("broker-publish", "acl-old", "warning", &["not come back"]);
    seen.expect("broker-login", "web", "fault", &["an MQTT broker"]);
    seen.expect("broker-login", "mute", "fault", &["no answer within"]);
    seen.expect("broker-reached", "proxy", "fault", &["the proxy http://127.0.0.1", "let 127.0.0.1"]);
    seen.expect("broker-files", "password", "fault", &["no-password"]);
}

/// A sink to a store behind a desk, with the agent's key.
fn lake(name: &str, endpoint: &str, bucket: &str, secret: &Path) -> String {
    agent::s3_sink_at(name, endpoint, bucket, "") + &key(name, KEY_ID, secret)
}

fn key(name: &str, id: &str, secret: &Path) -> String {
    format!(
        "[sink.{name}.credentials]\ntype = \"static\"\naccess_key_id = \"{id}\"\nsecret_access_key_file = \"{}\"\n\n",
        secret.display()
    )
}

#[test]
fn a_store_is_told_by_what_it_refuses() {
    const BUCKET: &str = "doctor";
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("doctor-refused");
    let moto = Moto::started(dir.path(), BUCKET);
    let secret = store.secret_file();
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "wrongwrongwrongwrongwrongwrongwrongwrong").unwrap();
    let gone: PathBuf = dir.path().join("no-secret");
    let desk = || Desk::to(moto.port());
    let [ignores, refuses, denies, bars, skews] = [desk(), desk(), desk(), desk(), desk()];
    ignores.rule_with("PUT ", "if-none-match", Fate::Without("if-none-match"), usize::MAX);
    refuses.rule_with("PUT ", "if-none-match", Fate::Answer(501, "NotImplemented"), usize::MAX);
    denies.rule("PUT ", Fate::Answer(403, "AccessDenied"), usize::MAX);
    bars.rule("", Fate::Answer(403, "AccessDenied"), usize::MAX);
    skews.rule("PUT ", Fate::Answer(403, "RequestTimeTooSkewed"), usize::MAX);
    let endpoint = store.endpoint();
    let sinks = agent::s3_sink_at("secret", &endpoint, "doctor-refused", "")
        + &key("secret", KEY_ID, &wrong)
        + &agent::s3_sink_at("stranger", &endpoint, "doctor-refused", "")
        + &key("stranger", "nobodyknowsthiskey01", &secret)
        + &lake("bucket", &endpoint, "no-such-bucket", &secret)
        + &lake("empty", &endpoint, "doctor-refused", &gone)
        + &lake("ignores", &ignores.endpoint(), BUCKET, &secret)
        + &lake("refuses", &refuses.endpoint(), BUCKET, &secret)
        + &lake("denies", &denies.endpoint(), BUCKET, &secret)
        + &lake("bars", &bars.endpoint(), BUCKET, &secret)
        + &lake("skews", &skews.endpoint(), BUCKET, &secret)
        + &lake("web", &format!("http://127.0.0.1:{}", speaker(b"220 smtp\r\n")), BUCKET, &secret)
        + &agent::file_sink("stick", &dir.path().join("no/such/stick"), "ndjson")
        + &agent::file_sink("unmounted", Path::new("/mnt/tidegate-lake"), "ndjson");
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("stores", dir.path(), &["store"]);
    seen.expect("store-credentials", "secret", "fault", &["SignatureDoesNotMatch", "secret"]);
    seen.expect("store-credentials", "stranger", "fault", &["InvalidAccessKeyId"]);
    seen.expect("store-put", "bucket", "fault", &["NoSuchBucket", "no-such-bucket"]);
    seen.expect("store-credentials", "empty", "fault", &["no credentials", "no-secret"]);
    seen.expect("store-conditional", "ignores", "warning", &["takes no notice", "whole"]);
    seen.expect("store-conditional", "refuses", "warning", &["does not take", "whole"]);
    seen.expect("store-put", "denies", "warning", &["AccessDenied", "s3:PutObject", "can be read"]);
    seen.expect("store-put", "bars", "fault", &["AccessDenied", "s3:PutObject"]);
    seen.expect("store-credentials", "skews", "fault", &["RequestTimeTooSkewed", "clock"]);
    seen.expect("store-reached", "web", "fault", &["endpoint"]);
    seen.expect("store-folder", "stick", "fault", &["is not there", "plug the stick in"]);
    seen.expect("store-mount", "unmounted", "warning", &["nothing is mounted"]);

    faketime::set(dir.path(), "-3d");
    let mut early = Seen::with("a clock three days behind", dir.path(), &["clock"], &[], &faketime::env(dir.path()));
    early.expect("clock-skew", "", "fault", &["s behind", "signatures"]);
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
    const NAME: &str = "a_disk_that_is_full_read_only_or_forgets_is_told";
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
