//! What slow, deaf and many clients, a port that is taken and a disk that hangs cost.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use e2e::agent::{Agent, item};
use e2e::measure::memory_mib;
use e2e::patience::{now, pause, wait_for};
use e2e::places::free_port;
use e2e::pty::Port;
use e2e::web;

use crate::{LIMIT, config, started, talking};

/// Those who say nothing, those who say it slowly, those who say too much and those who listen to nothing.
#[test]
fn a_thousand_connections_and_slow_clients_cost_the_agent_little() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, talker, port) = started(dir.path(), "");
    let before = memory_mib(&agent, "VmRSS").expect("proc tells");
    let began = now();
    let mut held = Vec::new();
    for number in 0..1_000 {
        let mut stream = web::connect(port);
        // One third says nothing, one begins a request, one asks and does not read. Some are closed already.
        let said: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/page HTTP/1.1\r\nHost: local",
            _ => b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        stream.write_all(said).ok();
        held.push(stream);
    }
    let during = memory_mib(&agent, "VmRSS").expect("proc tells");
    assert!(during - before < 8.0, "{before} MiB before, {during} MiB with a thousand connections");
    let full = web::get(port, "/v1/status", &[]);
    assert!(full.status == 503 || full.status == 0, "32 are served, the rest is told so: {full:?}");
    let status = agent.status().expect("the socket answers all the same");
    assert!(item(&status, "instruments", "counter")["readings_total"].as_u64() > Some(0));
    // Nobody was sent away by hand: the limits make room.
    wait_for(
        "room for another",
        LIMIT,
        || agent.log_tail(),
        || (web::get(port, "/healthz", &[]).status == 200).then_some(()),
    );
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    drop(held);

    let long = web::get(port, "/", &[&format!("X-Long: {}", "x".repeat(40_000))]);
    assert!(long.status == 431 || long.status == 0, "{}", long.status);
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: y")).collect();
    let many = web::get(port, "/", &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(many.status, 431);
    assert_eq!(web::ask(port, "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").status, 400, "TLS is not spoken here");

    // A head that comes a byte a second ends when its time is over.
    let mut slow = web::connect(port);
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let began = now();
    wait_for(
        "a slow client to be sent away",
        LIMIT,
        || agent.log_tail(),
        || {
            pause(Duration::from_millis(500));
            slow.write_all(b"X").err().map(|_| ())
        },
    );
    assert!((8..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let said = talker.count();
    agent.wait_until("all that was said", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() >= Some(said)
    });
}

/// Many answers asked for on one connection, and none taken: the connection ends, and its place is free.
#[test]
fn who_takes_no_answer_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, _talker, port) = started(dir.path(), "");
    let request = "GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2_000);
    let mut deaf: Vec<_> = (0..32).map(|_| web::connect(port)).collect();
    for stream in &mut deaf {
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        stream.write_all(request.as_bytes()).ok();
    }
    let full = web::get(port, "/healthz", &[]);
    assert!(full.status == 503 || full.status == 0, "all places are taken: {full:?}");
    wait_for(
        "room for another",
        LIMIT,
        || agent.log_tail(),
        || (web::get(port, "/healthz", &[]).status == 200).then_some(()),
    );
    let mut rest = Vec::new();
    // It ends for them, too, in whatever way.
    for stream in &mut deaf {
        stream.read_to_end(&mut rest).ok();
    }
}

#[test]
fn a_port_that_is_taken_is_said_and_tried_again_and_a_reload_opens_or_closes_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
    let taken = TcpListener::bind(("127.0.0.1", web)).unwrap();
    let whole = config(dir.path(), &port, web, "");
    let agent = Agent::started(dir.path(), &whole);
    agent.wait_log("no web page, tried again", LIMIT);
    agent.wait_open(&port, "counter");
    drop(taken);
    wait_for("the page", LIMIT, || agent.log_tail(), || std::net::TcpStream::connect(("127.0.0.1", web)).ok());
    assert_eq!(web::get(web, "/healthz", &[]).json()["status"].as_str().map(str::is_empty), Some(false));

    fs::write(agent.config(), whole.replace(&format!("web = \"127.0.0.1:{web}\""), "web = \"off\"")).unwrap();
    agent.hang_up();
    wait_for(
        "the port to be closed",
        LIMIT,
        || agent.log_tail(),
        || std::net::TcpStream::connect(("127.0.0.1", web)).err(),
    );
    agent.wait_ready();
    fs::write(agent.config(), &whole).unwrap();
    agent.hang_up();
    web::wait_listening(web, LIMIT, || agent.log_tail());
}

/// As on a card that does not answer: the journal's writer makes a twentieth sync, and it does not return for two minutes.
#[test]
fn the_page_answers_while_the_disk_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
    let config = config(dir.path(), &port, web, "");
    let hang = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let hang = [&hang[..], &["-e", "inject=fdatasync:delay_enter=120000000:when=20+"]].concat();
    let agent = Agent::launched_under(dir.path(), &config, &hang);
    agent.wait_ready();
    web::wait_listening(web, LIMIT, || agent.log_tail());
    let _talker = talking(port);
    let at_risk = || web::get(web, "/v1/page", &[]).json()["status"]["journal"]["at_risk_readings"].as_u64();
    // Five commits a second: fifty readings wait for a sync that takes longer than a commit may.
    wait_for("what is at risk to grow", LIMIT, || agent.log_tail(), || (at_risk() > Some(50)).then_some(()));
    let began = now();
    let told = web::get(web, "/v1/history", &[]);
    assert_eq!((told.status, told.json()["is_whole"].as_bool()), (200, Some(true)), "{told:?}");
    for path in ["/", "/metrics", "/healthz"] {
        assert_ne!(web::get(web, path, &[]).status, 0, "{path}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let before = at_risk();
    wait_for("it to grow on", LIMIT, || agent.log_tail(), || (at_risk() > before).then_some(()));
}
