//! A second broker that others wrote: aedes on ports of its own. It speaks MQTT 3.1.1 alone, chooses the protocol by ALPN,
//! and hangs up on whoever publishes what its policy denies, as AWS IoT Core does and mosquitto can not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::patience::wait_for;
use crate::pki::Pair;
use crate::places::{self, free_port};
use crate::process::{Process, leashed};

/// Node starts in 300 ms; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A broker.
#[derive(Debug)]
pub struct Aedes {
    plain_port: u16,
    tls_port: u16,
    denied: PathBuf,
    process: Process,
}

impl Aedes {
    /// A broker that keeps its files in the new folder `dir`, with a listener for those who have a certificate of `ca`'s
    /// and speak `x-amzn-mqtt-ca`, and a plain one for whoever watches. Nothing is denied yet.
    pub fn started(dir: &Path, ca: &Path, shows: &Pair) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let (plain_port, tls_port, denied) = (free_port(), free_port(), dir.join("denied"));
        fs::write(&denied, "").expect("write into the story's folder");
        let mut command = leashed(&places::venv("node"));
        command.arg(places::tests().join("helpers/aedes.mjs")).arg(places::venv("../node"));
        command.arg(plain_port.to_string()).arg(&denied).arg(tls_port.to_string());
        command.args([ca, &shows.cert, &shows.key]);
        let process = Process::start("aedes", command, &dir.join("log"));
        let is_up = || process.log().lines().any(|line| line == "listening").then_some(());
        wait_for("the broker to listen", START_LIMIT, || process.log_tail(), is_up);
        Self { plain_port, tls_port, denied, process }
    }

    /// Where it takes anybody.
    pub fn plain_port(&self) -> u16 {
        self.plain_port
    }

    /// Where it speaks TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Denies from now on what has one of these words in its topic or its payload, and nothing else.
    pub fn deny(&self, words: &[&str]) {
        // Whole at any instant: it is read at each publish.
        let fresh = self.denied.with_extension("fresh");
        fs::write(&fresh, words.join("\n")).expect("write into the story's folder");
        fs::rename(&fresh, &self.denied).expect("rename in the story's folder");
    }

    /// How often it has denied a publish to a topic that ends so.
    pub fn denials(&self, topic: &str) -> usize {
        let log = self.process.log();
        log.lines().filter(|line| line.starts_with("denied ") && line.ends_with(topic)).count()
    }

    /// How often a client of this name has come.
    pub fn visits(&self, client: &str) -> usize {
        let line = format!("client {client}");
        self.process.log().lines().filter(|seen| **seen == line).count()
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}
