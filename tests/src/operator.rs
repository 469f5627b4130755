//! Somebody far away who changes the configuration of devices: Debian's own MQTT clients.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::mosquitto::Mosquitto;
use crate::patience::wait_for;
use crate::subscriber::Subscriber;

/// A device answers in less than a second; one that rolls back takes as long as it was told to.
const LIMIT: Duration = Duration::from_mins(1);

/// An operator at a broker.
#[derive(Debug)]
pub struct Operator {
    port: u16,
    heard: Subscriber,
    answers: Subscriber,
}

impl Operator {
    /// Listens to what devices report.
    pub fn at(broker: &Mosquitto, dir: &Path) -> Self {
        Self {
            port: broker.port(),
            heard: Subscriber::start(broker, "farm/+/+/config/reported", &dir.join("reported")),
            answers: Subscriber::start(broker, "farm/+/+/command/response/+", &dir.join("answers")),
        }
    }

    /// Wants a revision of the configuration.
    pub fn wants(&self, revision: &str, config: &Value) {
        self.publishes(&json!({"revision": revision, "config": config, "author": "mara"}).to_string());
    }

    /// Retains this on the topic of the story's device.
    pub fn publishes(&self, document: &str) {
        self.sends("config/desired", document, true);
    }

    /// Gives an order to the story's device.
    pub fn orders(&self, id: &str, order: &Value) {
        self.sends(&format!("command/request/{id}"), &order.to_string(), false);
    }

    /// What was answered to an order so far.
    pub fn answers(&self, id: &str) -> Vec<Value> {
        self.answers.messages().into_iter().map(|message| message.payload).filter(|answer| answer["id"] == id).collect()
    }

    /// Gives an order and waits for the last word about it.
    #[track_caller]
    pub fn wait_done(&self, id: &str, order: &Value) -> Value {
        self.orders(id, order);
        let context = || format!("answered: {:?}", self.answers(id));
        wait_for(&format!("{order} to be done"), LIMIT, context, || {
            self.answers(id)
                .into_iter()
                .find(|answer| ["succeeded", "failed"].contains(&answer["status"].as_str().unwrap_or_default()))
        })
    }

    fn sends(&self, name: &str, text: &str, is_retained: bool) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-p", &self.port.to_string(), "-q", "1", "-t", &format!("farm/farm/gw-1/{name}"), "-s"]);
        if is_retained {
            command.arg("-r");
        }
        let mut client = command.stdin(Stdio::piped()).spawn().expect("Debian has mosquitto-clients");
        client.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it takes it");
        assert!(client.wait().expect("it ends").success(), "the broker takes it");
    }

    /// All that was reported so far.
    pub fn reports(&self) -> Vec<Value> {
        self.heard.messages().into_iter().map(|message| message.payload).collect()
    }

    /// Waits for a report of this revision that is not `pending`.
    #[track_caller]
    pub fn wait_outcome(&self, revision: &str) -> Value {
        self.wait_report(&format!("the outcome of {revision}"), |report| {
            report["revision"] == revision && report["status"] != "pending"
        })
    }

    /// Waits for a report; the latest that is as wanted.
    #[track_caller]
    pub fn wait_report(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let context = || format!("reported: {:?}", self.reports());
        wait_for(what, LIMIT, context, || self.reports().into_iter().rev().find(|report| wanted(report)))
    }
}
