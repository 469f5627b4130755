//! The page in a browser: what it draws, for whom, and when it asks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, Agent};
use e2e::faketime;
use e2e::patience::{pause, wait_for};
use e2e::places::free_port;
use e2e::pty::Port;
use e2e::talker::Talker;
use e2e::web;
use serde_json::Value;

use crate::{BROWSER_LIMIT, LIMIT, LOAD_BYTES_MAX, pictures, started, texts};

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
