//! The far side of AWS IoT Core, as a client of a broker: Device Shadow, Jobs, Commands and fleet provisioning.
//!
//! `tests/helpers/iot/__main__.py` says what it can be told and what it tells. That it speaks as AWS does is proved by
//! AWS's own clients, in `tests/tests/iot.rs`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use serde_json::{Value, json};

use crate::mosquitto::Mosquitto;
use crate::patience::wait_for;
use crate::pki::{Authority, Pair};
use crate::places;
use crate::process::{Process, leashed};

/// Python starts in 300 ms and answers in one; a machine that builds beside it takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The far side.
#[derive(Debug)]
pub struct Iot {
    process: Process,
    stdin: ChildStdin,
    told: u64,
    /// Which lines of its log were given as events.
    given: BTreeSet<usize>,
}

impl Iot {
    /// Where a broker takes anybody; devices get certificates of `issuer`'s. Its log lies in `dir`.
    pub fn started(dir: &Path, broker: &Mosquitto, issuer: Option<&Authority>) -> Self {
        Self::start(dir, json!({ "port": broker.port() }), issuer)
    }

    /// Where the broker on this port wants a certificate.
    pub fn secured(dir: &Path, port: u16, ca: &Path, shows: &Pair, issuer: Option<&Authority>) -> Self {
        let tls = json!({ "ca": ca, "cert": shows.cert, "key": shows.key });
        Self::start(dir, json!({ "port": port, "tls": tls }), issuer)
    }

    fn start(dir: &Path, mut config: Value, issuer: Option<&Authority>) -> Self {
        if let Some(Pair { cert, key }) = issuer.map(Authority::pair) {
            config["issuer"] = json!({ "cert": cert, "key": key });
        }
        let mut command = leashed(&places::venv("python"));
        command.arg("-B").arg(places::tests().join("helpers/iot")).arg(config.to_string());
        let (process, stdin) = Process::start_told("iot", command, &dir.join("iot.log"));
        let mut iot = Self { process, stdin, told: 0, given: BTreeSet::new() };
        iot.event(&json!({ "event": "ready" }), LIMIT);
        iot
    }

    /// Tells it to do something; what it answers.
    #[track_caller]
    pub fn tell(&mut self, line: &Value) -> Value {
        self.told += 1;
        let mut line = line.clone();
        line["ref"] = json!(self.told);
        writeln!(self.stdin, "{line}").expect("the far side reads what it is told");
        let answer = self.event(&json!({ "answer": line["do"], "ref": self.told }), LIMIT);
        assert!(answer["error"].is_null(), "{line}: {answer}");
        answer
    }

    /// The next of its lines, once it is there, with all that `wanted` has. None is given twice; those before it stay.
    #[track_caller]
    pub fn event(&mut self, wanted: &Value, limit: Duration) -> Value {
        let fields = wanted.as_object().expect("an object");
        let found = || {
            let log = self.process.log();
            let fresh = log.lines().enumerate().filter(|(number, _)| !self.given.contains(number));
            let mut events =
                fresh.filter_map(|(number, line)| Some((number, serde_json::from_str::<Value>(line).ok()?)));
            events.find(|(_, event)| fields.iter().all(|(name, value)| event[name] == *value))
        };
        let (number, event) = wait_for(&wanted.to_string(), limit, || self.process.log_tail(), found);
        self.given.insert(number);
        event
    }

    /// How many of its lines have all that `wanted` has, given or not.
    pub fn count(&self, wanted: &Value) -> usize {
        let fields = wanted.as_object().expect("an object");
        let log = self.process.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| fields.iter().all(|(name, value)| event[name] == *value)).count()
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_told_it_does_and_says() {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::started(&dir.path().join("broker"));
        let mut iot = Iot::started(dir.path(), &broker, None);
        let update =
            json!({ "do": "shadow-update", "thing": "gw-1", "name": "config", "state": { "reported": { "rev": 1 } } });
        assert_eq!(iot.tell(&update)["version"], 1);
        assert_eq!(iot.tell(&update)["version"], 2);
        let reported = json!({ "event": "reported", "thing": "gw-1", "name": "config" });
        assert_eq!(iot.event(&reported, LIMIT)["version"], 1);
        assert_eq!(iot.event(&reported, LIMIT)["state"], json!({ "rev": 1 }));
        assert_eq!(iot.count(&reported), 2);
    }
}
