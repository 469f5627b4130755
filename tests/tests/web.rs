//! The local web page: what it shows in a browser, what it takes from nobody, and that it costs the readings nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item, stderr};
use e2e::faketime;
use e2e::measure::memory_mib;
use e2e::patience::{now, pause, wait_for};
use e2e::places::{self, free_port};
use e2e::pty::Port;
use e2e::talker::Talker;
use e2e::web;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const BROWSER_LIMIT: Duration = Duration::from_mins(3);
const TOKEN: &str = "correct-horse-battery-staple";
const PASSWORD: &str = "a-password-of-the-broker";

/// All that the page loads, with the first answers of the device.
const LOAD_BYTES_MAX: u64 = 150_000;

/// A counter with its port, the page, and a folder as its sink.
fn config(dir: &Path, port: &Port, web: u16, more: &str) -> String {
    let local = format!("web = \"127.0.0.1:{web}\"\n{more}\n");
    let base = agent::preamble(dir, "200ms").replace("[local]\n", &format!("[local]\n{local}"));
    base + &agent::counter("counter", port.path()) + &agent::file_sink("lake", &dir.join("lake"), "ndjson")
}

fn talking(port: Port) -> Talker {
    Talker::start(port, 20, |number| format!("n,{number}\r\n"))
}

fn started(dir: &Path, more: &str) -> (Agent, Talker, u16) {
    let (port, web) = (Port::plugged(&dir.join("port")), free_port());
    let agent = Agent::started(dir, &config(dir, &port, web, more));
    agent.wait_open(&port, "counter");
    web::wait_listening(web, LIMIT, || agent.log_tail());
    let talker = talking(port);
    agent.wait_until("readings", LIMIT, |status| item(status, "instruments", "counter")["state"] == "up");
    (agent, talker, web)
}

/// Where pictures are kept to be looked at.
fn pictures() -> PathBuf {
    let folder = places::tests().join("../target/web");
    fs::create_dir_all(&folder).expect("make a folder below target");
    folder
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

/// A pond's day: four quantities of one instrument, by the number of the line.
fn pond(number: u64) -> String {
    let turn = std::f64::consts::TAU * f64::from(u32::try_from(number).expect("few lines")) / 450.0;
    let ripple = (turn * 1_100.0).sin() * 0.2;
    let oxygen = 6.4 - 2.6 * turn.sin() + ripple;
    format!(
        "p,{:.2},{oxygen:.2},{:.2},{:.0}\r\n",
        21.0 + 2.4 * (turn - 0.8).sin() + ripple,
        8.1 + 0.25 * turn.cos(),
        5200.0 + ripple * 400.0
    )
}

fn pond_config(port: &Path, elsewhere: &Path) -> String {
    let mut text = format!(
        "[bus.rs485]\nport = \"{}\"\n\n[instrument.pond-4]\nbus = \"rs485\"\n\n[instrument.pond-4.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"p,\", end = \"\\r\\n\", max = 64 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 5 }}\n\n",
        port.display()
    );
    for (field, name, unit, more) in [
        (2, "water_temperature", "Cel", "valid = [-5.0, 45.0]"),
        (3, "dissolved_oxygen", "mg/L", "valid = [0.0, 25.0]\nalarm = { below = 4.2, clear = 4.6, after = \"0s\" }"),
        (4, "ph", "[pH]", "valid = [0.0, 14.0]"),
        (5, "conductivity", "uS/cm", ""),
    ] {
        write!(text, "[instrument.pond-4.quantity.{name}]\nfield = {field}\nunit = \"{unit}\"\n{more}\n\n")
            .expect("a string takes it");
    }
    text + &agent::counter("feeder", elsewhere)
}

/// A day passes in half a minute; the page draws it as the journal has it, on a phone and on a desk, by day and by night.
#[test]
fn a_day_is_drawn_as_the_journal_has_it_and_anybody_can_use_the_page() {
    // An hour more than is shown: what is read before the clock is set stays out of it.
    const STEPS: i64 = 150;
    let dir = tempfile::tempdir().unwrap();
    let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
    let base =
        agent::preamble(dir.path(), "50ms").replace("[local]\n", &format!("[local]\nweb = \"127.0.0.1:{web}\"\n"));
    let config = base
        + &pond_config(port.path(), &dir.path().join("nothing-plugged-in"))
        + &agent::file_sink("lake", &dir.path().join("lake"), "ndjson")
        + &agent::mqtt_sink("cloud", &format!("mqtt://127.0.0.1:{}", free_port()));
    faketime::set(dir.path(), &format!("-{}", STEPS * 600));
    let agent = faketime::launched(dir.path(), &config);
    agent.wait_ready();
    agent.wait_open(&port, "pond-4");
    let talker = Talker::start(port, 15, pond);
    for step in (0..STEPS).rev() {
        // Two hours of silence in the afternoon.
        if !(40..52).contains(&step) {
            pause(Duration::from_millis(200));
            faketime::set(dir.path(), &if step == 0 { "+0".to_owned() } else { format!("-{}", step * 600) });
        }
    }
    let before = talker.count();
    wait_for("lines of today", LIMIT, String::new, || (talker.count() > before + 15).then_some(()));

    let pictures = pictures();
    let browser = web::browser(dir.path(), "look", web, &[pictures.to_str().unwrap()]);
    let looks = web::seen(&browser, BROWSER_LIMIT);
    assert_eq!(looks.len(), 4, "{}", browser.log_tail());
    let origin = format!("http://127.0.0.1:{web}/");
    for look in &looks {
        check_look(look, &origin);
    }
    let _port = talker.stop();
    compare_with_tail(&agent, web);
}

/// What a size and a scheme must have.
fn check_look(look: &Value, origin: &str) {
    let which = format!("{} {}", look["width"], look["colorScheme"]);
    assert!(
        look["bytes"].as_u64().is_some_and(|bytes| (8_000..LOAD_BYTES_MAX).contains(&bytes)),
        "{which}: {}",
        look["bytes"]
    );
    assert!(texts(&look["requests"]).iter().all(|url| url.starts_with(origin)), "{which}: {}", look["requests"]);
    assert_eq!(texts(&look["said"]), Vec::<&str>::new(), "{which}: the console, and what the policy refused");
    assert_eq!(texts(&look["axe"]), Vec::<&str>::new(), "{which}");
    assert!(look["passes"].as_u64() > Some(20), "{which}: axe has looked at nothing: {}", look["passes"]);
    assert_eq!(look["wide"][0], look["wide"][1], "{which}: it scrolls sideways");
    assert!(look["contrast"].as_f64() >= Some(7.0), "{which}: {}", look["contrast"]);
    assert_eq!(look["keys"]["wanted"], look["keys"]["reached"], "{which}: Tab does not reach everything");
    assert_eq!(look["keys"]["unseen"], serde_json::json!([]), "{which}: focus that can not be seen");
    assert_eq!(texts(&look["spoken"]), ["summary"], "{which}: only the summary speaks by itself");
    let text = look["text"].as_str().expect("text");
    for words in [
        "gw-1",
        "farm",
        "pond-4",
        "dissolved oxygen",
        "mg/L",
        "retrying",
        "2 faults",
        "instrument feeder",
        "tidegate ports",
    ] {
        assert!(text.contains(words), "{which} lacks {words}:\n{text}");
    }
    let charts = look["charts"].as_array().expect("a list");
    let oxygen =
        charts.iter().find(|chart| chart[1].as_str().is_some_and(|words| words.starts_with("dissolved oxygen")));
    let oxygen = oxygen.expect("a chart of oxygen");
    let words = oxygen[1].as_str().expect("words");
    assert!(
        oxygen[0] == "img" && words.contains("least 3.") && words.contains("mg/L") && words.contains("1 gap"),
        "{oxygen}"
    );
    assert!(oxygen[2].as_u64() >= Some(1), "an alarm is marked: {oxygen}");
    assert_eq!(oxygen[3], 2, "a line on either side of the gap: {oxygen}");
}

/// Every reading of the last day is in the history once, in its step.
fn compare_with_tail(agent: &Agent, web: u16) {
    agent.wait_until("all to be durable", LIMIT, |status| status["journal"]["at_risk_readings"] == 0);
    // What was read is kept for 20 s before it is read on.
    let rows = agent.tail(100_000);
    let rows: Vec<_> = rows.iter().filter(|row| row.quantity == "dissolved_oxygen" && row.event.is_empty()).collect();
    let times = millis(&rows.iter().map(|row| row.time.as_str()).collect::<Vec<_>>());
    let numbers: Vec<(i64, f64)> = times.into_iter().zip(rows.iter().filter_map(|row| row.value)).collect();
    assert!(numbers.len() > 300, "{}", numbers.len());
    let line = wait_for(
        "the last readings in the history",
        LIMIT,
        || agent.log_tail(),
        || {
            let told = web::get(web, "/v1/history?hours=24", &[]).json();
            let (from, step) = (told["from_ms"].as_i64()?, told["step_ms"].as_i64()?);
            let line = told["series"].as_array()?.iter().find(|line| line["quantity"] == "dissolved_oxygen")?.clone();
            let count: i64 = line["count"].as_array()?.iter().filter_map(Value::as_i64).sum();
            let wanted = numbers.iter().filter(|(at, _)| *at >= from).count();
            (told["is_whole"] == true && i64::try_from(wanted) == Ok(count)).then_some((from, step, line))
        },
    );
    let (from, step, line) = line;
    let first = line["first"].as_i64().expect("a number");
    let mut compared = 0;
    for (index, mean) in line["mean"].as_array().expect("a list").iter().enumerate() {
        let begin = from + (first + i64::try_from(index).expect("few")) * step;
        let inside: Vec<f64> =
            numbers.iter().filter(|(at, _)| (begin..begin + step).contains(at)).map(|(_, value)| *value).collect();
        assert_eq!(line["count"][index].as_u64(), u64::try_from(inside.len()).ok(), "step {index}");
        let Some(mean) = mean.as_f64() else {
            assert!(inside.is_empty() && line["min"][index].is_null() && line["max"][index].is_null());
            continue;
        };
        let least = inside.iter().copied().fold(f64::INFINITY, f64::min);
        let most = inside.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = inside.iter().sum();
        let count = f64::from(u32::try_from(inside.len()).expect("few"));
        for (told, is) in
            [(line["min"][index].as_f64(), least), (Some(mean), sum / count), (line["max"][index].as_f64(), most)]
        {
            assert!(told.is_some_and(|told| (told - is).abs() < 0.02), "step {index}: {told:?} is {is}");
        }
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

/// Times as GNU's date reads them.
fn millis(times: &[&str]) -> Vec<i64> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), times.join("\n")).expect("write it");
    let output =
        Command::new("date").args(["-u", "+%s%3N", "-f"]).arg(file.path()).output().expect("coreutils has date");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.parse().expect("milliseconds")).collect()
}

#[test]
fn the_page_says_since_when_the_agent_is_gone_and_goes_on_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, _talker, port) = started(dir.path(), "");
    let browser = web::browser(dir.path(), "watch", port, &[]);
    let last = |browser: &e2e::process::Process| {
        web::said(browser).last().map(|said| said["summary"].to_string()).unwrap_or_default()
    };
    let awaits = |words: &str| {
        let what = format!("the page to say {words}");
        wait_for(&what, LIMIT, || browser.log_tail(), || last(&browser).contains(words).then_some(()));
    };
    wait_for(
        "health",
        LIMIT,
        || browser.log_tail(),
        || (last(&browser).contains("well") || last(&browser).contains("warning")).then_some(()),
    );
    agent.kill();
    awaits("No answer since");
    agent.start();
    wait_for(
        "health again",
        LIMIT,
        || browser.log_tail(),
        || (last(&browser).contains("well") || last(&browser).contains("warning")).then_some(()),
    );
}

#[test]
fn a_page_that_nobody_looks_at_asks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, _talker, port) = started(dir.path(), "");
    let browser = web::browser(dir.path(), "hide", port, &[]);
    let said = web::seen(&browser, BROWSER_LIMIT).remove(0);
    assert_eq!(said["asked"], 0);
    // A day, the hour that there is of it, and once more when it is looked at again.
    assert!((2..=4).contains(&said["past"].as_u64().expect("a number")), "{said}");
}

#[test]
fn without_its_token_nothing_of_the_device_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let (agent, _talker, port) = started(dir.path(), &format!("web_token_file = \"{}\"", file.display()));
    for path in ["/v1/status", "/v1/page", "/v1/history", "/metrics", "/healthz", "/nothing"] {
        for lines in [
            &[][..],
            &["Authorization: Bearer correct-horse-battery-stapl"],
            &["Authorization: Basic eDp5"],
            &["Cookie: token=1"],
        ] {
            let answer = web::get(port, path, lines);
            assert_eq!(answer.status, 401, "{path} {lines:?}");
            assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")), "{answer:?}");
            assert!(!answer.body.contains("gw-1") && !answer.body.contains("counter"), "{answer:?}");
        }
        let answer = web::get(port, path, &[&format!("Authorization: Bearer {TOKEN}")]);
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}: {answer:?}");
    }
    let files: String = ["/", "/page.css", "/page.js"].iter().map(|path| web::get(port, path, &[]).body).collect();
    assert!(files.len() < 40_000 && !files.contains("gw-1"), "{}", files.len());

    let browser = web::browser(dir.path(), "login", port, &[TOKEN, pictures().join("login.png").to_str().unwrap()]);
    let said = web::seen(&browser, BROWSER_LIMIT).remove(0);
    assert_eq!(said["axe"], serde_json::json!([]));
    assert_eq!((said["focus"].as_str(), said["refused"].as_str()), (Some("token"), Some("That is not the token.")));
    assert_eq!(said["hash"], format!("http://127.0.0.1:{port}/"), "the token does not stay in the address");
    assert_eq!(said["stored"], serde_json::json!([0, ""]), "neither for longer than the tab, nor as a cookie");
    let requests = texts(&said["requests"]);
    assert!(requests.iter().all(|url| !url.contains(TOKEN)), "{requests:?}");
    assert!(!agent.log_tail().contains(TOKEN));
}

#[test]
fn only_who_asks_for_this_device_is_answered_and_nothing_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, _talker, port) = started(dir.path(), "web_hosts = [\"pond.local\"]");
    let asked =
        |host: &str| web::ask(port, &format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    for host in ["127.0.0.1", &format!("127.0.0.1:{port}"), "localhost:9999", "pond.local", "[::1]:1"] {
        assert_eq!(asked(host).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "pond.local.evil.example", "10.0.0.1", "x@127.0.0.1", ""] {
        let answer = asked(host);
        assert_eq!(answer.status, 421, "{host}: {answer:?}");
        assert!(!answer.body.contains("gw-1"), "{answer:?}");
    }
    let bare = web::ask(port, "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(bare.status, 421, "{bare:?}");
    // curl, as an attacker's browser would: the name resolves to this device.
    let evil = format!("http://evil.example:{port}/v1/status");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"]);
    let output = curl.arg("--resolve").arg(format!("evil.example:{port}:127.0.0.1")).arg(&evil).output().expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "421");

    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "WHATEVER"] {
        for path in ["/", "/v1/status", "/v1/replay?sink=lake", "/metrics"] {
            let answer = web::ask(
                port,
                &format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                ),
            );
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    for path in ["/v1/replay?sink=lake&from=1", "/v1/sniff?bus=counter", "/v1/journal/export", "/../etc/passwd", "//"] {
        assert_eq!(web::get(port, path, &[]).status, 404, "{path}");
    }
    let head = web::ask(port, "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""), "{head:?}");
    for hours in ["0", "25", "x", "-1", "99999999999999999999"] {
        assert_eq!(web::get(port, &format!("/v1/history?hours={hours}"), &[]).status, 400, "{hours}");
    }
    for path in ["/", "/page.js", "/v1/status", "/nothing", "/metrics"] {
        let answer = web::get(port, path, &["Origin: http://evil.example"]);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for words in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(words), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(!answer.head.iter().any(|line| line.starts_with("access-control-")), "{answer:?}");
    }
}

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
fn metrics_are_openmetrics_and_healthz_says_which_check_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, talker, port) = started(dir.path(), "");
    agent.wait_until("readings", LIMIT, |status| {
        item(status, "instruments", "counter")["readings_total"].as_u64() > Some(20)
    });
    let answer = web::get(port, "/metrics", &[]);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    assert!(answer.body.ends_with("# EOF\n"));
    let families = parsed(&answer.body);
    let sample = |family: &str, label: (&str, &str)| -> Option<f64> {
        let samples = families[family]["samples"].as_array()?;
        samples.iter().find(|sample| label.0.is_empty() || sample[1][label.0] == label.1)?[2].as_f64()
    };
    assert!(sample("tidegate_instrument_readings", ("instrument", "counter")) > Some(20.0), "{families:#}");
    assert!(sample("tidegate_value", ("quantity", "number")) > Some(20.0), "{families:#}");
    assert!(sample("tidegate_process_resident_memory_bytes", ("", "")) > Some(1e6));
    assert!(sample("tidegate_uptime_seconds", ("", "")) < Some(600.0));
    assert_eq!(sample("tidegate_sink_state", ("tidegate_sink_state", "ok")), Some(1.0));
    assert_eq!(sample("tidegate_instrument_state", ("tidegate_instrument_state", "up")), Some(1.0));
    assert_eq!(families["tidegate_journal_committed_records"]["type"], "counter");
    assert!(families.as_object().expect("families").values().all(|family| family["help"] != ""), "{families:#}");
    // Another parser of the same text is the manual: `metrics.rs` holds it against the code.
    let manual = fs::read_to_string(places::tests().join("../docs/OPERATIONS.md")).unwrap();
    for name in families.as_object().expect("families").keys() {
        assert!(manual.contains(&format!("| `{name}")), "{name} is not in docs/OPERATIONS.md");
    }

    let health = web::get(port, "/healthz", &[]);
    assert_eq!((health.status, health.json()["faults"].clone()), (200, serde_json::json!([])), "{health:?}");
    let mut unplugged = talker.stop();
    unplugged.unplug();
    let health = wait_for(
        "healthz to say no",
        LIMIT,
        || agent.log_tail(),
        || Some(web::get(port, "/healthz", &[])).filter(|answer| answer.status == 503),
    );
    assert_eq!(health.json(), serde_json::json!({"status": "fault", "faults": ["instrument-heard:counter"]}));
    unplugged.plug();
    let _talker = talking(unplugged);
    wait_for(
        "healthz to say yes",
        LIMIT,
        || agent.log_tail(),
        || (web::get(port, "/healthz", &[]).status == 200).then_some(()),
    );
}

fn parsed(text: &str) -> Value {
    let mut python = places::python("helpers/openmetrics.py");
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the parser refuses\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn no_secret_of_the_configuration_is_in_any_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
    let kept = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (token, password, secret) =
        (kept("token", TOKEN), kept("password", PASSWORD), kept("secret", "a-secret-of-the-store"));
    let login = format!("username = \"agent\"\npassword_file = \"{password}\"\n");
    let config = config(dir.path(), &port, web, &format!("web_token_file = \"{token}\""))
        + &agent::mqtt_sink("cloud", &format!("mqtt://127.0.0.1:{}", free_port()))
            .replace("profile =", &format!("{login}profile ="))
        + &agent::s3_sink_at("store", &format!("http://127.0.0.1:{}", free_port()), "b", "")
        + &format!(
            "[sink.store.credentials]\ntype = \"static\"\naccess_key_id = \"KEYKEYKEY\"\nsecret_access_key_file = \"{secret}\"\n"
        );
    let agent = Agent::started(dir.path(), &config);
    web::wait_listening(web, LIMIT, || agent.log_tail());
    let _talker = talking(port);
    agent.wait_until("both far sides to fail", LIMIT, |status| {
        ["cloud", "store"].iter().all(|sink| item(status, "sinks", sink)["last_error"].is_string())
    });
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for path in
        ["/", "/page.css", "/page.js", "/v1/status", "/v1/page", "/v1/history", "/metrics", "/healthz", "/nothing"]
    {
        for lines in [&[bearer.as_str()][..], &[]] {
            let answer = web::get(web, path, lines);
            let all = format!("{answer:?}");
            for word in [TOKEN, PASSWORD, "a-secret-of-the-store", "KEYKEYKEY", &password, &token, &secret] {
                assert!(!all.contains(word), "{word} is in {path}: {all}");
            }
        }
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

#[test]
fn what_would_open_too_much_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    let checked = |local: &str| {
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, format!("[local]\n{local}\n")).unwrap();
        let output = agent::run(&["check", file.to_str().unwrap()]);
        (output.status.code(), stderr(&output))
    };
    for (local, token, says) in [
        ("web = \"0.0.0.0:8480\"", None, "local.web_token_file"),
        ("web = \"[::]:8480\"", None, "beyond loopback"),
        ("web = \"192.0.2.1:8480\"", None, "beyond loopback"),
        ("web = \"8480\"", None, "no address with a port"),
        ("web = \"127.0.0.1:0\"", None, "no address with a port"),
        ("web = \"on\"", None, "127.0.0.1:8480"),
        ("web = \"127.0.0.1:8480\"\nweb_hosts = [\"pond.local:80\"]", None, "without a port"),
        ("web = \"127.0.0.1:8480\"\nweb_hosts = [\"*\"]", None, "no host's name"),
        ("web = \"0.0.0.0:8480\"\nweb_token_file = \"{short}\"", Some(""), "at least 16"),
        ("web = \"0.0.0.0:8480\"\nweb_token_file = \"{short}\"", Some("fifteen-letters"), "at least 16"),
        ("web = \"127.0.0.1:8480\"\nweb_token_file = \"{short}\"", Some("with a space in between"), "without spaces"),
    ] {
        if let Some(token) = token {
            fs::write(&short, token).unwrap();
        }
        let (code, said) = checked(&local.replace("{short}", short.to_str().unwrap()));
        assert_eq!(code, Some(exit::CONFIG), "{local}: {said}");
        assert!(said.contains(says), "{local}: {said}");
        assert!(token.is_none_or(|token| token.is_empty() || !said.contains(token)), "{said}");
    }
    fs::write(&short, "sixteen-letters!").unwrap();
    let file = format!("web_token_file = \"{}\"", short.display());
    for local in [
        "web = \"off\"",
        "web = \"127.0.0.1:8480\"",
        "web = \"[::1]:8480\"",
        &format!("web = \"0.0.0.0:8480\"\n{file}"),
    ] {
        assert_eq!(checked(local).0, Some(0), "{local}");
    }
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

/// Asked with curl, by addresses that are this machine's.
#[test]
fn it_listens_where_it_is_told_in_both_families() {
    for (listen, asked) in
        [("0.0.0.0", &["127.0.0.1", "127.0.0.2"][..]), ("[::1]", &["[::1]"]), ("[::]", &["[::1]", "127.0.0.3"])]
    {
        let dir = tempfile::tempdir().unwrap();
        let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
        let file = dir.path().join("token");
        fs::write(&file, TOKEN).unwrap();
        let more = format!("web_token_file = \"{}\"", file.display());
        let config =
            config(dir.path(), &port, web, &more).replace(&format!("127.0.0.1:{web}"), &format!("{listen}:{web}"));
        let agent = Agent::started(dir.path(), &config);
        agent.wait_log("web page address", LIMIT);
        for address in asked {
            let answered = |bearer: &str, host: &str| {
                let mut curl = Command::new("curl");
                curl.args(["-gs", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-H", bearer, "-H", host]);
                let output = curl.arg(format!("http://{address}:{web}/v1/status")).output().expect("curl");
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            let own = format!("Host: {address}:{web}");
            let bearer = format!("Authorization: Bearer {TOKEN}");
            let said = [answered(&bearer, &own), answered("X: y", &own), answered(&bearer, "Host: 192.0.2.99")];
            assert_eq!(said, ["200", "401", "421"], "{listen} asked at {address}: {}", agent.log_tail());
        }
    }
}
