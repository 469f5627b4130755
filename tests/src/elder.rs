//! A broker that speaks MQTT 3.1.1 and nothing else: amqtt on a port of its own, that can be stopped and come back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::patience::wait_for;
use crate::places::{self, free_port};
use crate::process::{Process, leashed};

/// Python starts in a second; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What whoever gives a name must know.
pub const PASSWORD: &str = "deep water";

/// A broker. It remembers nothing from one start to the next.
#[derive(Debug)]
pub struct Elder {
    port: u16,
    log: PathBuf,
    starts: usize,
    process: Option<Process>,
}

impl Elder {
    /// A broker that runs, and writes to the new file `log`.
    pub fn started(log: &Path) -> Self {
        let mut elder = Self { port: free_port(), log: log.to_owned(), starts: 0, process: None };
        elder.start();
        elder
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, on the same port as ever.
    pub fn start(&mut self) {
        let python = places::python("helpers/elder.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(self.port.to_string());
        let process = self.process.insert(Process::start("elder", command, &self.log));
        self.starts += 1;
        let starts = self.starts;
        let is_up = || process.log().lines().filter(|line| *line == "listening").count() >= starts;
        wait_for("the broker to listen", START_LIMIT, || process.log_tail(), || is_up().then_some(()));
    }

    /// Stops it, and with it all that it knows.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}
