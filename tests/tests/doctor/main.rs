//! `tidegate doctor`: every fault that can be staged is staged and recognised, with words that say which it is; where all is
//! well it finds none, and disturbs nobody.
//!
//! What only a board's own `/sys` and `/proc` can have is staged in folders (`agent/src/doctor/tests.rs`).

mod far;
mod here;
mod look;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Duration;

use e2e::agent::{self, Agent, exit};
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::patience::now;
use e2e::pki::{Authority, Leaf};
use e2e::places;
use e2e::process::leashed;
use e2e::pty::Port;
use e2e::seaweed::Seaweed;
use e2e::talker::Talker;
use serde_json::Value;

use far::Hole;
use look::{LIMIT, Seen, open_to_all, write};

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
