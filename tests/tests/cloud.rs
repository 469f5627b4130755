//! The far side: what `cloud/` and its guide promise, held against lakes that the agent wrote.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::places;
use e2e::pty::Port;
use e2e::standing::{Moment, StandingClock};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

/// How many numbers are followed to the bit.
const NUMBERS: usize = 300;

/// Two probes in one pond, the first with an alarm, and an instrument that says any number there is.
fn instruments(dir: &Path) -> String {
    let probe = |name: &str, alarm: &str| {
        let port = dir.join(name);
        format!(
            "[bus.{name}]\nport = \"{}\"\nbaud = 9600\n\n[instrument.{name}]\nbus = \"{name}\"\ntags = {{ pond = \"4\" }}\n\n\
             [instrument.{name}.protocol]\ntype = \"stream\"\nframe = {{ type = \"line\", start = \"o,\", end = \"\\r\\n\", max = 64 }}\n\
             decode = {{ type = \"delimited\", sep = \",\", columns = 2 }}\n\n\
             [instrument.{name}.quantity.dissolved_oxygen]\nfield = 2\nunit = \"mg/L\"\nmissing = [\"-9999\"]\nvalid = [0.0, 25.0]\n{alarm}\n",
            port.display()
        )
    };
    let alarm = "alarm = { below = 4.0, clear = 4.5 }\n";
    probe("do-1", alarm) + &probe("do-2", "") + &agent::counter("bits", &dir.join("bits"))
}

/// A farm whose days are written in a second: the agent's clock stands still until it is set on.
struct Farm {
    agent: Agent,
    ports: Vec<(&'static str, Port)>,
    said: usize,
    clock: StandingClock,
    // Gone last: the ports' names lie in it.
    dir: tempfile::TempDir,
}

impl Farm {
    fn begun(moment: Moment) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ports = ["do-1", "do-2", "bits"].map(|name| (name, Port::plugged(&dir.path().join(name))));
        let media = dir.path().join("media");
        fs::create_dir(&media).expect("a folder of ours");
        // Signed, so that its manifests have every field that there is.
        let key = dir.path().join("signing.pem");
        let openssl = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output();
        assert!(openssl.expect("openssl is installed").status.success());
        let device = format!("[device]\nhealth_every = \"0s\"\nsigning_key = \"{}\"", key.display());
        let preamble = agent::preamble(dir.path(), "50ms").replace("[device]", &device);
        let preamble = preamble.replace("gw-1", "pond-gw-1").replace("\"farm\"", "\"lac-vert\"");
        let config = preamble
            + &instruments(dir.path())
            + &agent::file_sink("lake", &media.join("lake"), "parquet")
            + &agent::file_sink("plain", &media.join("plain"), "ndjson");
        let clock = StandingClock::made(dir.path(), moment);
        let agent = clock.launched(dir.path(), &config);
        agent.wait_ready();
        let farm = Self { dir, agent, ports: Vec::from(ports), said: 0, clock };
        farm.wait_open();
        farm
    }

    /// Every port is heard, and the clock that stands still is believed.
    fn wait_open(&self) {
        self.ports.iter().for_each(|(name, port)| self.agent.wait_open(port, name));
        self.agent.wait_until("the clock to be believed", LIMIT, |status| status["clock"]["state"] == "synced");
    }

    /// At that moment each instrument says its line; returns once all of it is durable.
    fn say(&mut self, moment: Moment, lines: &[(&str, &str)]) {
        self.clock.set(moment);
        for (instrument, line) in lines {
            let (_, port) = self.ports.iter().find(|(name, _)| name == instrument).expect("one of ours");
            port.send(line.as_bytes(), LIMIT);
            self.said += line.matches('\n').count();
        }
        self.agent.wait_until("the readings", LIMIT, |status| {
            let read = status["instruments"].as_array().expect("a list").iter();
            let read: u64 = read.filter_map(|instrument| instrument["readings_total"].as_u64()).sum();
            usize::try_from(read) == Ok(self.said) && status["journal"]["at_risk_readings"] == 0
        });
    }

    fn probes(&mut self, day: i64, hours: &[(i64, f64, f64)]) {
        for (hour, one, other) in hours {
            let (one, other) = (format!("o,{one}\r\n"), format!("o,{other}\r\n"));
            self.say((day, *hour, 0), &[("do-1", &one), ("do-2", &other)]);
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
            let lags =
                ["lake", "plain"].map(|sink| item(status, "sinks", sink)["lag_readings"].as_u64().expect("a lag"));
            lags.iter().all(|lag| head(status) - lag >= until)
        });
    }

    fn lake(&self, name: &str) -> String {
        self.dir.path().join("media").join(name).display().to_string()
    }
}

/// Three days: one as it should be, with a low morning; one whose readings come half a day late; one on which the disk loses
/// what the folder, which is away again, has not.
fn three_days() -> Farm {
    // What is from before the clock was believed is put right by the second: not into the day before.
    let mut farm = Farm::begun((20, 0, 1));
    let numbers = numbers().iter().fold(String::new(), |text, number| text + &format!("n,{number:e}\r\n"));
    farm.say((20, 0, 0), &[("bits", &numbers)]);
    farm.wait_delivered();
    farm.probes(20, &[(0, 6.5, 6.75), (1, 5.0, 5.25), (2, 3.9, 4.15)]);
    farm.say((20, 2, 30), &[("do-2", "o,-9999\r\n"), ("do-1", "o,40.5\r\n")]);
    farm.probes(20, &[(3, 3.5, 3.75), (4, 4.2, 4.45), (5, 5.5, 5.75), (6, 6.0, 6.25)]);
    farm.wait_delivered();

    farm.media(false);
    farm.probes(21, &[(0, 6.0, 6.5), (1, 5.0, 5.5), (2, 4.6, 5.1), (3, 5.2, 5.7)]);
    farm.clock.set((21, 15, 0));
    farm.media(true);
    farm.wait_delivered();

    farm.media(false);
    farm.probes(22, &[(1, 6.1, 6.8), (2, 6.2, 6.9)]);
    farm.agent.terminate();
    lose_the_newest_generation(&farm);
    farm.media(true);
    farm.clock.set((22, 4, 0));
    farm.agent.start();
    farm.agent.wait_ready();
    farm.wait_open();
    farm.said = 0;
    farm.probes(22, &[(5, 6.3, 7.0)]);
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

/// So many, from the ends of what there is and all over it. Not -0: with an offset, which every quantity has, it
/// is 0.
fn numbers() -> Vec<f64> {
    let ends = [0.1, 0.1 + 0.2, 1.0 / 3.0, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 9_007_199_254_740_993.0];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let others = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(state)
    });
    ends.into_iter().chain(others.filter(|number| number.is_finite())).take(NUMBERS).collect()
}

/// The farm of all stories that run now.
fn farm() -> Arc<Farm> {
    static SHARED: Mutex<Weak<Farm>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let farm = Arc::new(three_days());
        *shared = Arc::downgrade(&farm);
        farm
    })
}

/// Runs `tests/cloud/<script>`, which fails when something is wrong; what it prints.
#[track_caller]
fn script(script: &str, args: &[&str]) -> Value {
    let output = places::python(&format!("cloud/{script}")).args(args).output().expect("start python");
    assert!(output.status.success(), "{script}: {}{}", agent::stdout(&output), agent::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script} prints JSON: {error}"))
}

/// An answer without its column names.
#[track_caller]
fn is(answers: &Value, question: &str, columns: &[&str], expected: &Value) {
    let rows = list(answers, question).into_iter();
    let found: Vec<Value> = rows.map(|row| columns.iter().map(|column| row[column].clone()).collect()).collect();
    assert_eq!(&Value::from(found), expected, "{question}");
}

fn list(answers: &Value, question: &str) -> Vec<Value> {
    answers[question].as_array().unwrap_or_else(|| panic!("no such question: {question}")).clone()
}

#[test]
fn ten_questions_in_two_dialects_have_one_right_answer() {
    let farm = farm();
    let answers = script("questions.py", &[&farm.lake("lake"), &farm.lake("plain")]);
    readings_say(&answers);
    days_say(&answers);
    manifests_say(&answers);
}

fn readings_say(answers: &Value) {
    let number = numbers().pop().expect("some");
    is(
        answers,
        "01-last-value",
        &["pond", "instrument", "value", "unit", "time", "clock"],
        &json!([
            ["4", "do-1", 6.3, "mg/L", "2026-11-22T05:00:00.000", "synced"],
            ["4", "do-2", 7.0, "mg/L", "2026-11-22T05:00:00.000", "synced"],
            [null, "bits", number, "1", "2026-11-20T00:00:00.000", "synced"],
        ]),
    );
    is(
        answers,
        "02-daily-minimum",
        &["day", "instrument", "lowest", "time"],
        &json!([
            ["2026-11-20", "do-1", 3.5, "2026-11-20T03:00:00.000"],
            ["2026-11-20", "do-2", 3.75, "2026-11-20T03:00:00.000"],
            ["2026-11-21", "do-1", 4.6, "2026-11-21T02:00:00.000"],
            ["2026-11-21", "do-2", 5.1, "2026-11-21T02:00:00.000"],
            ["2026-11-22", "do-1", 6.3, "2026-11-22T05:00:00.000"],
            ["2026-11-22", "do-2", 7.0, "2026-11-22T05:00:00.000"],
        ]),
    );
    // The last reading before a silence stands for an hour, the very last for nothing yet.
    is(
        answers,
        "03-hours-below",
        &["day", "instrument", "hours_below", "hours"],
        &json!([
            ["2026-11-20", "do-1", 2.0, 7.0],
            ["2026-11-20", "do-2", 1.0, 7.0],
            ["2026-11-21", "do-1", 0.0, 4.0],
            ["2026-11-21", "do-2", 0.0, 4.0],
            ["2026-11-22", "do-1", 0.0, null],
            ["2026-11-22", "do-2", 0.0, null],
        ]),
    );
}

fn days_say(answers: &Value) {
    let apart = list(answers, "07-drift").into_iter().map(|row| {
        let billionths = (row["apart"].as_f64().expect("a number") * 1e9).round();
        (row["hours"].as_u64(), billionths)
    });
    assert_eq!(apart.collect::<Vec<_>>(), [(Some(7), 0.25e9), (Some(4), 0.5e9), (Some(1), 0.7e9)]);
    is(
        answers,
        "09-quality",
        &["day", "instrument", "readings", "pass", "not_evaluated", "suspect", "fail", "missing", "good"],
        &json!([
            ["2026-11-20", "bits", 300, 0, 300, 0, 0, 0, 100.0],
            ["2026-11-20", "do-1", 8, 7, 0, 0, 1, 0, 87.5],
            ["2026-11-20", "do-2", 8, 7, 0, 0, 0, 1, 87.5],
            ["2026-11-21", "do-1", 4, 4, 0, 0, 0, 0, 100.0],
            ["2026-11-21", "do-2", 4, 4, 0, 0, 0, 0, 100.0],
            ["2026-11-22", "do-1", 1, 1, 0, 0, 0, 0, 100.0],
            ["2026-11-22", "do-2", 1, 1, 0, 0, 0, 0, 100.0],
        ]),
    );
    is(
        answers,
        "10-events",
        &["time", "event", "instrument", "value", "below", "reason"],
        &json!([
            ["2026-11-20T02:00:00.000", "alarm", "do-1", 3.9, 4.0, null],
            ["2026-11-20T05:00:00.000", "clear", "do-1", 5.5, 4.0, null],
            ["2026-11-22T04:00:00.000", "gap", null, null, null, "corrupt"],
            ["2026-11-22T04:00:00.000", "gap", null, null, null, "corrupt"],
        ]),
    );
}

fn manifests_say(answers: &Value) {
    // What the broken disk had and nobody else can not be counted, and the gap says so.
    is(
        answers,
        "04-completeness",
        &["day", "lost", "uncounted", "unexplained", "percent"],
        &json!([["2026-11-20", 0, 0, 0, 100.0], ["2026-11-21", 0, 0, 0, 100.0], ["2026-11-22", 0, 1, 0, null]]),
    );
    is(answers, "05-gaps", &["reason", "gaps"], &json!([["corrupt", 2]]));
    // How rows share objects is a matter of moments.
    let late = list(answers, "06-late").into_iter().filter(|row| row["day"] == "2026-11-21");
    let hours: Vec<f64> = late.filter_map(|row| row["hours"].as_f64()).collect();
    assert!(hours.contains(&15.0) && hours.iter().all(|hours| (12.0..=15.0).contains(hours)), "{hours:?}");
    let low = list(answers, "08-objects-below");
    let lowest = |instrument: &str| {
        let of_it = low.iter().filter(|row| row["instrument"] == instrument);
        of_it.filter_map(|row| row["lowest"].as_f64()).reduce(f64::min)
    };
    assert_eq!((lowest("do-1"), lowest("do-2")), (Some(3.5), Some(3.75)));
    assert!(low.iter().all(|row| row["key"].as_str().is_some_and(|key| key.contains("/dt=2026-11-20/"))));
}

#[test]
fn a_day_that_lacks_something_is_not_complete_whatever_took_it() {
    println!("{}", script("completeness.py", &[&farm().lake("lake")]));
}

#[test]
fn the_tables_have_the_columns_that_the_agent_writes() {
    println!("{}", script("tables.py", &[&farm().lake("lake")]));
}

#[test]
fn the_template_is_valid_and_lets_a_device_do_what_the_agent_does_and_no_more() {
    println!("{}", script("stack.py", &[&farm().lake("lake")]));
}

#[test]
fn two_readers_who_know_only_the_guide_get_every_number_to_the_bit() {
    let farm = farm();
    let said = numbers().iter().map(|number| format!("{:016x}", number.to_bits())).collect::<Value>();
    let read = script("readers.py", &[&farm.lake("lake"), &farm.lake("plain"), &said.to_string()]);
    println!("{read}");
}

/// The blocks of a language in the last part of the guide.
fn without_aws(language: &str) -> String {
    let guide = fs::read_to_string(places::tests().join("../docs/CLOUD.md")).expect("the guide");
    let (_, part) = guide.split_once("\n## Without AWS\n").expect("the part without AWS");
    let fence = format!("```{language}\n");
    let blocks = part.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// Every command as it stands there, one after the other, but for what is the machine's: ports, folders, what is installed.
#[test]
fn the_guide_leads_from_nothing_to_a_query_without_aws() {
    let dir = tempfile::tempdir().unwrap();
    let root = places::tests().join("..").canonicalize().unwrap();
    let [s3, broker, master, filer, volume, admin] = std::array::from_fn(|_| places::free_port());
    let ours = |text: &str| {
        let text = text.replace("/tmp/tidegate", &dir.path().display().to_string());
        let text = text.replace(":8333", &format!(":{s3}"));
        text.replace(":1883", &format!(":{broker}")).replace("-p 1883", &format!("-p {broker}"))
    };
    let config = dir.path().join("tidegate.toml");
    fs::write(&config, ours(&without_aws("toml"))).unwrap();
    let venv = places::venv("python").parent().and_then(Path::parent).expect("bin lies in it").to_owned();
    std::os::unix::fs::symlink(&venv, dir.path().join("venv")).unwrap();

    let console = without_aws("console");
    let commands =
        console.lines().filter_map(|line| line.strip_prefix("$ ")).filter(|line| !line.contains("pip install"));
    let others = format!(
        "weed mini -s3.port={s3} -master.port={master} -filer.port={filer} -volume.port={volume} -admin.port={admin} \
         -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0 "
    );
    let commands: Vec<String> = commands
        .map(|line| ours(line).replace("--config tidegate.toml", &format!("--config {}", config.display())))
        .map(|line| line.replace("weed mini ", &others))
        .collect();
    assert!(commands.len() >= 12, "{commands:#?}");
    // What was started goes when the guide is through; the store would take its time over an orderly end.
    let script = format!("trap 'kill -KILL $(jobs -p); wait' EXIT\nset -euo pipefail -x\n{}\n", commands.join("\n"));
    let programs = places::tidegate().parent().expect("a folder").display().to_string();
    let path = format!("{programs}:{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=10", "180", "bash", "-c", &script]).current_dir(&root).env("PATH", path);
    let output = bash.output().expect("coreutils has timeout");
    let said = agent::stdout(&output);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", agent::stderr(&output));
    assert!(said.contains("complete: "), "verify says so");
    assert!(said.contains("4,pond-gw-1,optode,dissolved_oxygen,"), "the last value of pond 4");
}
