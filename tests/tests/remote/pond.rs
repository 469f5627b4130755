//! What the stories share: two instruments that talk, an agent, a line to a broker, and an operator behind it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::mosquitto::Mosquitto;
use e2e::operator::Operator;
use e2e::pty::Port;
use e2e::row::Row;
use e2e::talker::Talker;
use e2e::wire::Wire;
use serde_json::Value;

pub const LIMIT: Duration = Duration::from_mins(1);
/// A device that is cut off is back after so long.
pub const CONFIRM_WITHIN: &str = "5s";
const LINES_PER_SECOND: u32 = 20;

/// Records that the broker has, as a status tells.
pub fn delivered(status: &Value) -> u64 {
    item(status, "sinks", "cloud")["delivered_total"].as_u64().unwrap_or(0)
}

/// The pond.
pub struct Pond {
    pub agent: Agent,
    pub operator: Operator,
    pub wire: Wire,
    pub broker: Mosquitto,
    talkers: Vec<Talker>,
    pub dir: PathBuf,
    _folder: tempfile::TempDir,
}

/// The configuration that stands on the device, with more lines for `[remote]`.
fn config(dir: &Path, ports: &[Port], url: &str, remote: &str) -> String {
    let mut text = agent::preamble(dir, "200ms");
    for (name, port) in ["one", "two"].iter().zip(ports) {
        text += &agent::counter(name, port.path());
    }
    text += &agent::mqtt_sink("cloud", url);
    text += &agent::file_sink("lake", &dir.join("lake"), "ndjson");
    write!(text, "[remote]\nvia = \"cloud\"\nconfig = true\nconfirm_within = \"{CONFIRM_WITHIN}\"\n{remote}\n")
        .expect("a string takes it");
    text
}

impl Pond {
    /// With what a revision may touch by default.
    pub fn new() -> Self {
        Self::with("", &[])
    }

    /// With more lines for `[remote]`, and the agent run by another program.
    pub fn with(remote: &str, under: &[&str]) -> Self {
        Self::made(remote, under, "")
    }

    /// With more lines for the sink to the broker.
    pub fn with_sink(lines: &str) -> Self {
        Self::made("", &[], lines)
    }

    fn made(remote: &str, under: &[&str], sink: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the story");
        let dir = folder.path().to_owned();
        let broker = Mosquitto::started(&dir.join("broker"));
        let operator = Operator::at(&broker, &dir);
        let wire = Wire::to(broker.port(), None);
        let ports = ["one", "two"].map(|name| Port::plugged(&dir.join(name)));
        let remote = remote.replace("DIR", &dir.display().to_string());
        let topic = "topic = \"farm/{site}/{device}/readings\"";
        let text = config(&dir, &ports, &wire.url(), &remote).replace(topic, &format!("{topic}\n{sink}"));
        let under: Vec<String> = under.iter().map(|word| word.replace("DIR", &dir.display().to_string())).collect();
        let agent = Agent::started_under(&dir, &text, &under);
        // An instrument whose port is not open is down.
        agent.wait_until("the ports to be open", LIMIT, |status| {
            ["one", "two"].iter().all(|name| item(status, "instruments", name)["state"] != "down")
        });
        let talkers = ports
            .into_iter()
            .map(|port| Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n")))
            .collect();
        let pond = Self { agent, operator, wire, broker, talkers, dir, _folder: folder };
        pond.wait_linked();
        pond
    }

    /// Waits until the broker was reached.
    pub fn wait_linked(&self) {
        self.agent.wait_until("the broker to be reached", LIMIT, |status| {
            item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0)
        });
    }

    /// Records that the broker has.
    pub fn delivered(&self) -> u64 {
        delivered(&self.agent.wait_until("status", LIMIT, |_| true))
    }

    /// What `status` says of the configuration.
    pub fn in_force(&self) -> Value {
        self.agent.wait_until("status", LIMIT, |_| true)["config"].clone()
    }

    /// Ends the talking, waits for what was said, and gives the numbers that each instrument is known by.
    pub fn numbers(&mut self) -> BTreeMap<String, Vec<u64>> {
        let _ports: Vec<Port> = self.talkers.drain(..).map(Talker::stop).collect();
        self.agent.wait_delivered(LIMIT);
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for row in self.agent.tail(100_000).into_iter().filter(Row::is_reading) {
            if let (true, Some(value)) = (row.quantity == "number", row.value) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counted up from 0")]
                numbers.entry(row.instrument).or_default().push(value as u64);
            }
        }
        numbers
    }

    /// Nothing that the instrument said is missing.
    #[track_caller]
    pub fn assert_unbroken(numbers: &[u64]) {
        let broken = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
        assert_eq!(broken, None, "of {} numbers", numbers.len());
        assert!(!numbers.is_empty(), "nothing was heard");
    }
}
