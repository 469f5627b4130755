//! `tail` asked for a part of the journal: the same with the daemon and without, and a name that there is not is said.

use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item, stderr, stdout};
use e2e::pty::Port;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

/// An instrument that says `n,<level>,<flow>`: a level above 100 fails, and is an alarm above 50.
fn tank(name: &str, port: &Path) -> String {
    format!(
        "[bus.{name}]\nport = \"{}\"\nbaud = 115200\n\n[instrument.{name}]\nbus = \"{name}\"\n\n\
         [instrument.{name}.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"n,\", end = \"\\r\\n\", max = 64 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 3 }}\n\n\
         [instrument.{name}.quantity.level]\nfield = 2\nunit = \"cm\"\nvalid = [0.0, 100.0]\nalarm = {{ above = 50.0 }}\n\n\
         [instrument.{name}.quantity.flow]\nfield = 3\nunit = \"L/s\"\n\n",
        port.display()
    )
}

/// An agent that has heard 20 levels (10, 20, .. 200) and flows of two tanks.
fn heard(dir: &Path) -> Agent {
    let ports = ["north", "south"].map(|name| (name, Port::plugged(&dir.join(name))));
    let tanks: String = ports.iter().map(|(name, port)| tank(name, port.path())).collect();
    let agent = Agent::started(dir, &(agent::preamble(dir, "100ms") + &tanks));
    for (name, port) in &ports {
        agent.wait_open(port, name);
    }
    // The second ten when the first are read: they have a later time.
    for half in [1..=10, 11..=20] {
        let read = half.end() * 2;
        for number in half {
            for (_, port) in &ports {
                port.send(format!("n,{},{number}\r\n", number * 10).as_bytes(), LIMIT);
            }
        }
        agent.wait_until("all readings", LIMIT, |status| {
            ["north", "south"].iter().all(|name| item(status, "instruments", name)["readings_total"] == read)
                && status["journal"]["at_risk_readings"] == 0
        });
    }
    agent
}

#[track_caller]
fn rows(agent: &Agent, args: &[&str]) -> Vec<Value> {
    let output = agent.cli(&[&["tail", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What is asked, and what each line of the answer must have.
type Asked<'a> = (&'a [&'a str], usize, &'a dyn Fn(&Value) -> bool);

#[test]
fn a_part_is_the_same_part_with_and_without_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = heard(dir.path());
    let among =
        |row: &Value, field: &str, words: &[&str]| row[field].as_str().is_some_and(|word| words.contains(&word));
    let asked: &[Asked<'_>] = &[
        (&["--quantity", "flow", "-n", "1000"], 40, &|row| row["quantity"] == "flow"),
        (&["--instrument", "north", "--quantity", "flow", "-n", "1000"], 20, &|row| row["instrument"] == "north"),
        (&["--instrument", "north", "--instrument", "south", "--quantity", "flow", "-n", "1000"], 40, &|_| true),
        (&["--quality", "fail", "-n", "1000"], 20, &|row| {
            row["quality"] == "fail" && row["value"].as_f64() > Some(100.0)
        }),
        (&["--quality", "pass,fail", "-n", "1000"], 40, &|row| among(row, "quality", &["pass", "fail"])),
        (&["--quality", "fail", "--instrument", "south", "-n", "3"], 3, &|row| row["instrument"] == "south"),
        (&["--event", "alarm", "-n", "1000"], 2, &|row| row["event"] == "alarm" && row["quantity"] == "level"),
        (&["--event", "alarm,boot", "-n", "1000"], 3, &|row| among(row, "event", &["alarm", "boot"])),
        (&["--event", "alarm", "--instrument", "north", "-n", "1000"], 1, &|row| row["instrument"] == "north"),
        (&["--events", "--quantity", "level", "-n", "1000"], 2, &|row| row["event"].is_string()),
        (&["--quality", "suspect", "-n", "1000"], 0, &|_| false),
        (&["--since", "1h", "--quantity", "level"], 42, &|row| row["quantity"] == "level"),
        (&["--until", "1h", "-n", "1000"], 0, &|_| false),
        (&["--since", "2h", "--until", "1h"], 0, &|_| false),
    ];
    let ask = |agent: &Agent| -> Vec<Vec<Value>> { asked.iter().map(|(args, ..)| rows(agent, args)).collect() };
    let told = ask(&agent);
    for ((args, count, is_wanted), rows) in asked.iter().zip(&told) {
        assert_eq!(rows.len(), *count, "{args:?}: {rows:#?}");
        assert!(rows.iter().all(is_wanted), "{args:?}: {rows:#?}");
        assert!(
            rows.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()),
            "{args:?}: out of order"
        );
    }
    // What comes to an end in the middle: all before that time, and nothing of it.
    let all = rows(&agent, &["-n", "1000", "--instrument", "north"]);
    let middle = all.iter().find(|row| row["value"] == 110.0).expect("the eleventh level");
    let middle = middle["time"].as_str().unwrap().to_owned();
    let before = rows(&agent, &["-n", "1000", "--instrument", "north", "--until", &middle]);
    let expected = all.iter().filter(|row| row["time"].as_str() < Some(middle.as_str())).count();
    assert_eq!(before.len(), expected, "until {middle}");
    assert!(expected >= 20 && expected < all.len(), "{expected} of {}", all.len());
    agent.terminate();
    assert_eq!(ask(&agent), told, "the journal at rest says something else");
    assert_eq!(rows(&agent, &["-n", "1000", "--instrument", "north", "--until", &middle]), before);
}

#[test]
fn a_name_that_there_is_not_is_refused_with_the_one_that_may_be_meant() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = heard(dir.path());
    let wrong: &[(&[&str], &str)] = &[
        (&["--instrument", "nort"], "there is no instrument \"nort\"; is \"north\" meant?"),
        (&["--quantity", "levl"], "there is no quantity \"levl\"; is \"level\" meant?"),
        (&["--instrument", "north", "--quantity", "ph"], "there are flow, level"),
        (&["--instrument", "a&n=5 \u{e9}"], "there is no instrument \"a&n=5 \u{e9}\""),
        (&["--quality", "suspekt"], "suspect"),
        (&["--event", "alrm"], "alarm"),
        (&["--quality", "fail", "--events"], "cannot be used with"),
        (&["-f", "--until", "1h"], "cannot be used with"),
        (&["--since", "1h", "--until", "2h"], "is not after --since"),
        (&["-n", "100001"], "a count up to 100000"),
    ];
    let ask = |agent: &Agent| {
        for (args, words) in wrong {
            let output = agent.cli(&[&["tail"], *args].concat());
            assert_eq!(output.status.code(), Some(exit::USAGE), "{args:?}: {}{}", stdout(&output), stderr(&output));
            assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
        }
    };
    ask(&agent);
    agent.terminate();
    ask(&agent);
    // What is not configured any more is still in the journal.
    let south = dir.path().join("south");
    let config = agent::preamble(dir.path(), "100ms") + &tank("south", &south);
    std::fs::write(agent.config(), config).unwrap();
    assert_eq!(rows(&agent, &["--instrument", "north", "--quantity", "flow", "-n", "1000"]).len(), 20);
}
