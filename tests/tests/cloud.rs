//! The far side: what `cloud/` and its guide promise, held against lakes that the agent wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::faketime;
use e2e::places;
use e2e::pty::Port;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

/// Two probes in one pond, the first with an alarm, and an instrument that says any number there is.
fn instruments(dir: &Path) -> String {
    let mut text = String::new();
    for (name, alarm) in [("do-1", "alarm = { below = 4.0, clear = 4.5 }\n"), ("do-2", "")] {
        let port = dir.join(name);
        text += &format!(
            "[bus.{name}]\nport = \"{}\"\nbaud = 9600\n\n[instrument.{name}]\nbus = \"{name}\"\ntags = {{ pond = \"4\" }}\n\n\
             [instrument.{name}.protocol]\ntype = \"stream\"\nframe = {{ type = \"line\", start = \"o,\", end = \"\\r\\n\", max = 64 }}\n\
             decode = {{ type = \"delimited\", sep = \",\", columns = 2 }}\n\n\
             [instrument.{name}.quantity.dissolved_oxygen]\nfield = 2\nunit = \"mg/L\"\nmissing = [\"-9999\"]\nvalid = [0.0, 25.0]\n{alarm}\n",
            port.display()
        );
    }
    text + &agent::counter("bits", &dir.join("bits"))
}

/// A farm whose days are written in a second: the agent's clock stands still until it is set on.
struct Farm {
    agent: Agent,
    ports: Vec<(&'static str, Port)>,
    said: u64,
    // Gone last: the ports' names lie in it.
    dir: tempfile::TempDir,
}

impl Farm {
    fn begun(time: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ports = ["do-1", "do-2", "bits"].map(|name| (name, Port::plugged(&dir.path().join(name))));
        let media = dir.path().join("media");
        fs::create_dir(&media).expect("a folder of ours");
        let preamble = agent::preamble(dir.path(), "50ms").replace("gw-1", "pond-gw-1").replace("\"farm\"", "\"lac-vert\"");
        let config = preamble
            + &instruments(dir.path())
            + &agent::file_sink("lake", &media.join("lake"), "parquet")
            + &agent::file_sink("plain", &media.join("plain"), "ndjson");
        faketime::set(dir.path(), time);
        let agent = faketime::launched(dir.path(), &config);
        agent.wait_ready();
        let farm = Self { dir, agent, ports: Vec::from(ports), said: 0 };
        farm.wait_open();
        farm
    }

    /// Every port is heard, and the clock that stands still is believed.
    fn wait_open(&self) {
        self.ports.iter().for_each(|(name, port)| self.agent.wait_open(port, name));
        self.agent.wait_until("the clock to be believed", LIMIT, |status| status["clock"]["state"] == "synced");
    }

    /// At `time` each instrument says its line; returns once all of it is durable.
    fn say(&mut self, time: &str, lines: &[(&str, &str)]) {
        faketime::set(self.dir.path(), time);
        for (instrument, line) in lines {
            let (_, port) = self.ports.iter().find(|(name, _)| name == instrument).expect("one of ours");
            port.send(line.as_bytes(), LIMIT);
            self.said += 1;
        }
        self.agent.wait_until("the readings", LIMIT, |status| {
            let read = status["instruments"].as_array().expect("a list").iter();
            read.filter_map(|instrument| instrument["readings_total"].as_u64()).sum::<u64>() == self.said
                && status["journal"]["at_risk_readings"] == 0
        });
    }

    fn probes(&mut self, day: &str, hours: &[(u8, f64, f64)]) {
        for (hour, one, other) in hours {
            let (one, other) = (format!("o,{one}\r\n"), format!("o,{other}\r\n"));
            self.say(&format!("{day} {hour:02}:00:00"), &[("do-1", &one), ("do-2", &other)]);
        }
    }

    fn media(&self, is_there: bool) {
        let (media, away) = (self.dir.path().join("media"), self.dir.path().join("away"));
        if is_there { fs::rename(away, media) } else { fs::rename(media, away) }.expect("a folder of ours");
    }

    /// Both sinks have what was said up to now. A clock that stands still is noticed every second, and an event says so:
    /// they never have all.
    fn wait_delivered(&self) {
        let head = |status: &Value| status["journal"]["head"].as_u64().expect("a head");
        let until = head(&self.agent.status().expect("it answers"));
        self.agent.wait_until("both sinks to have it", LIMIT, |status| {
            let lags = ["lake", "plain"].map(|sink| item(status, "sinks", sink)["lag_readings"].as_u64().expect("a lag"));
            lags.iter().all(|lag| head(status) - lag >= until)
        });
    }

    fn lake(&self, name: &str) -> PathBuf {
        self.dir.path().join("media").join(name)
    }
}

/// Three days: one as it should be, with a low morning; one whose readings come half a day late; one on which the disk loses
/// what the folder, which is away again, has not.
fn three_days() -> Farm {
    let mut farm = Farm::begun("2026-11-20 00:00:00");
    let numbers: String = numbers().iter().map(|number| format!("n,{number:e}\r\n")).collect();
    farm.said += 299;
    farm.say("2026-11-20 00:00:00", &[("bits", &numbers)]);
    farm.probes("2026-11-20", &[(0, 6.5, 6.75), (1, 5.0, 5.25), (2, 3.9, 4.15)]);
    farm.say("2026-11-20 02:30:00", &[("do-2", "o,-9999\r\n"), ("do-1", "o,40.5\r\n")]);
    farm.probes("2026-11-20", &[(3, 3.5, 3.75), (4, 4.2, 4.45), (5, 5.5, 5.75), (6, 6.0, 6.25)]);
    farm.wait_delivered();

    farm.media(false);
    farm.probes("2026-11-21", &[(0, 6.0, 6.5), (1, 5.0, 5.5), (2, 4.6, 5.1), (3, 5.2, 5.7)]);
    faketime::set(farm.dir.path(), "2026-11-21 15:00:00");
    farm.media(true);
    farm.wait_delivered();

    farm.media(false);
    farm.probes("2026-11-22", &[(1, 6.1, 6.8), (2, 6.2, 6.9)]);
    farm.agent.terminate();
    lose_the_newest_generation(&farm);
    farm.media(true);
    faketime::set(farm.dir.path(), "2026-11-22 04:00:00");
    farm.agent.start();
    farm.agent.wait_ready();
    farm.wait_open();
    farm.said = 0;
    farm.probes("2026-11-22", &[(5, 6.3, 7.0)]);
    farm.wait_delivered();
    farm.agent.terminate();
    farm
}

fn lose_the_newest_generation(farm: &Farm) {
    let journal = farm.dir.path().join("journal");
    let folders = fs::read_dir(&journal).expect("the journal").map(|entry| entry.expect("readable").path());
    let generation = folders.filter(|path| path.join("db").is_file()).max().expect("a generation");
    fs::write(generation.join("db"), b"gone").expect("a file of ours");
    let repaired = farm.agent.cli(&["journal", "repair"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", agent::stderr(&repaired));
    fs::remove_dir_all(journal.join("sealed")).ok();
}

/// Three hundred numbers, from the ends of what there is and all over it.
fn numbers() -> Vec<f64> {
    let ends = [0.1, 0.1 + 0.2, 1.0 / 3.0, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 9_007_199_254_740_993.0, -0.0];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let others = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(state)
    });
    ends.into_iter().chain(others.filter(|number| number.is_finite())).take(300).collect()
}

/// Runs `tests/cloud/<script>`, which fails when something is wrong; what it prints.
#[track_caller]
fn script(script: &str, args: &[&Path]) -> Value {
    let output = places::python(&format!("cloud/{script}")).args(args).output().expect("start python");
    assert!(output.status.success(), "{script}: {}{}", agent::stdout(&output), agent::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script} prints JSON: {error}"))
}

/// The named columns of an answer.
fn columns(answer: &Value, names: &[&str]) -> Vec<Vec<Value>> {
    let rows = answer.as_array().unwrap_or_else(|| panic!("no such question: {answer}"));
    rows.iter().map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
}

#[test]
fn ten_questions_in_two_dialects_have_one_right_answer() {
    let farm = three_days();
    if let Some(keep) = std::env::var_os("KEEP") {
        std::process::Command::new("cp").arg("-r").arg(farm.dir.path()).arg(keep).status().unwrap();
    }
    println!("{}", script("tables.py", &[&farm.lake("lake")]));
    println!("{}", script("stack.py", &[&farm.lake("lake")]));
    let answers = script("questions.py", &[&farm.lake("lake")]);
    println!("{answers:#}");
}
