//! A real broker: mosquitto on a port of its own, with its own configuration, that can be stopped and come back.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::patience::wait_for;
use crate::pki::Pair;
use crate::places::free_port;
use crate::process::{Process, leashed_under};

/// mosquitto is up in 50 ms; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A broker.
#[derive(Debug)]
pub struct Mosquitto {
    dir: PathBuf,
    port: u16,
    secured: Vec<u16>,
    /// A program and its words that runs it; empty: it runs by itself.
    under: Vec<String>,
    process: Option<Process>,
}

/// A listener that shows a certificate and wants one of the same authority.
#[derive(Debug)]
pub struct Secured<'a> {
    /// Whom it trusts.
    pub ca: &'a Path,
    /// Who it is.
    pub shows: &'a Pair,
    /// Whom it trusts no more.
    pub crl: Option<&'a Path>,
}

impl Mosquitto {
    /// A broker that keeps its files in the new folder `dir`. It does not run yet.
    pub fn stopped(dir: &Path) -> Self {
        Self::with_listeners(dir, &[])
    }

    /// A broker that runs, with listeners that speak TLS beside the plain one.
    pub fn secured(dir: &Path, listeners: &[Secured]) -> Self {
        let mut broker = Self::with_listeners(dir, listeners);
        broker.start();
        broker
    }

    fn with_listeners(dir: &Path, listeners: &[Secured]) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let port = free_port();
        let secured: Vec<u16> = listeners.iter().map(|_| free_port()).collect();
        let mut text = configuration(dir, "127.0.0.1", port);
        for (listener, port) in listeners.iter().zip(&secured) {
            let Pair { cert, key } = listener.shows;
            let (ca, cert, key) = (listener.ca.display(), cert.display(), key.display());
            write!(
                text,
                "listener {port} 127.0.0.1\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n"
            )
            .expect("a string takes it");
            if let Some(crl) = listener.crl {
                writeln!(text, "crlfile {}", crl.display()).expect("a string takes it");
            }
        }
        fs::write(dir.join("mosquitto.conf"), text).expect("write the broker's configuration");
        Self { dir: dir.to_owned(), port, secured, under: Vec::new(), process: None }
    }

    /// A broker that runs.
    pub fn started(dir: &Path) -> Self {
        let mut broker = Self::stopped(dir);
        broker.start();
        broker
    }

    /// A broker that runs, and lets in and lets do what these lines of its configuration say.
    pub fn guarded(dir: &Path, rules: &str) -> Self {
        let mut broker = Self::with_listeners(dir, &[]);
        let conf = dir.join("mosquitto.conf");
        let mut text = fs::read_to_string(&conf).expect("it was just written").replace("allow_anonymous true\n", rules);
        // With these 2.0.11 closes the connection over a message that it has refused, and has confirmed so.
        for line in ["max_queued_messages 0\n", "max_queued_bytes 0\n"] {
            text = text.replace(line, "");
        }
        fs::write(conf, text).expect("write the broker's configuration");
        broker.start();
        broker
    }

    /// A broker that runs in a network namespace, which `under` enters, and listens on all addresses there.
    pub fn started_within(under: Vec<String>, dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let port = free_port();
        fs::write(dir.join("mosquitto.conf"), configuration(dir, "0.0.0.0", port)).expect("write its configuration");
        let mut broker = Self { dir: dir.to_owned(), port, secured: Vec::new(), under, process: None };
        broker.start();
        broker
    }

    /// Where it listens, once it runs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What runs it: who would speak to it from its own network namespace is run by the same.
    pub fn under(&self) -> &[String] {
        &self.under
    }

    /// Where its listeners with TLS are, in their order.
    pub fn secured_ports(&self) -> &[u16] {
        &self.secured
    }

    /// For the agent's `url`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Starts it, on the same port as ever.
    pub fn start(&mut self) {
        let mut command = leashed_under(&self.under, Path::new("mosquitto"));
        command.arg("-c").arg(self.dir.join("mosquitto.conf"));
        // Debian keeps daemons out of a user's PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
        let process = self.process.insert(Process::start("mosquitto", command, &self.dir.join("log")));
        for port in self.secured.iter().chain([&self.port]) {
            wait_for(
                "mosquitto to listen",
                START_LIMIT,
                || process.log_tail(),
                || process.listens(*port).then_some(()),
            );
        }
    }

    /// Stops it in good order: it writes down sessions and what they wait for, and has them when it is started again.
    /// (Killed with -9 it forgets what it has acknowledged; the stories are about the agent's promises, not about its.)
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate(STOP_LIMIT);
        }
    }
}

fn configuration(dir: &Path, address: &str, port: u16) -> String {
    let mut text = format!(
        "listener {port} {address}\n\
         allow_anonymous true\n\
         persistence true\n\
         persistence_location {}/\n\
         autosave_interval 0\n\
         max_queued_messages 0\n\
         max_queued_bytes 0\n\
         log_dest stderr\n\
         log_type error\nlog_type warning\nlog_type notice\n",
        dir.display()
    );
    // As root it would become `mosquitto`, who can not write here. For anybody else the line has no effect.
    writeln!(text, "user root").expect("a string takes it");
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::subscriber::Subscriber;

    fn publish(broker: &Mosquitto, payload: &str) {
        let port = broker.port().to_string();
        let topic = ["-q", "1", "-t", "farm/a/b/readings", "-m", payload];
        let status = Command::new("mosquitto_pub").args(["-p", &port]).args(topic).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_subscriber_hears_what_was_published_also_while_it_was_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Mosquitto::started(&dir.path().join("broker"));
        let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
        publish(&broker, r#"{"n":1}"#);
        subscriber.wait_for_messages(1, START_LIMIT);

        // The session outlives the broker: what comes before the subscriber is back is kept for it.
        broker.stop();
        broker.start();
        publish(&broker, r#"{"n":2}"#);
        let messages = subscriber.wait_for_messages(2, Duration::from_mins(1));
        assert_eq!(messages[0].topic, "farm/a/b/readings");
        assert_eq!(messages[1].payload["n"], 2);
    }
}
