//! The double of a broker that takes offence (`helpers/picky.py`), and an agent that sends it one reading a message.

use std::path::Path;
use std::time::Duration;

use crate::agent::{self, Agent};
use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed};
use crate::pty::Port;

/// Python starts in a second; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The broker with these words, the agent, and the port that its instrument `counter` is on.
///
/// # Panics
///
/// When the broker does not say its port in time.
pub fn with_agent(dir: &Path, words: &[&str]) -> (Process, Agent, Port) {
    let python = places::python("helpers/picky.py");
    let mut command = leashed(Path::new(python.get_program()));
    command.args(python.get_args()).args(words);
    let broker = Process::start("picky", command, &dir.join("picky.log"));
    let its_port = || broker.log().lines().next().and_then(|line| line.parse().ok());
    let port: u16 = wait_for("its port", START_LIMIT, || broker.log_tail(), its_port);
    let line = Port::plugged(&dir.join("port"));
    let sink = agent::mqtt_sink("cloud", &format!("mqtt://127.0.0.1:{port}")).replace("= 500 }", "= 1 }");
    let config = agent::preamble(dir, "200ms") + &agent::counter("counter", line.path()) + &sink;
    let agent = Agent::started(dir, &config);
    agent.wait_open(&line, "counter");
    (broker, agent, line)
}
