//! An independent consumer: a paho client in Python that writes down every message it is given.
//!
//! Its session is durable, so that nothing is missed while it reconnects: start it before the agent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::mosquitto::Mosquitto;
use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed};
use crate::row::{self, Row};

/// Python starts in 200 ms; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Whether the broker gave it from its memory.
    pub retained: bool,
    /// Its payload as JSON; null where it was none.
    pub payload: Value,
}

/// A running subscriber.
#[derive(Debug)]
pub struct Subscriber {
    heard: PathBuf,
    process: Process,
}

impl Subscriber {
    /// Subscribes at `QoS` 1, and returns once the broker has confirmed it. Messages go to the new file `heard`.
    pub fn start(broker: &Mosquitto, filter: &str, heard: &Path) -> Self {
        let python = places::python("helpers/subscribe.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(broker.port().to_string()).arg(filter).arg(heard);
        let process = Process::start("subscriber", command, &heard.with_extension("log"));
        wait_for(
            "the subscription",
            START_LIMIT,
            || process.log_tail(),
            || process.log().contains("subscribed").then_some(()),
        );
        Self { heard: heard.to_owned(), process }
    }

    /// What was heard so far.
    pub fn messages(&self) -> Vec<Message> {
        // The last line may be half written: it is whole the next time.
        places::text(&self.heard).lines().filter_map(message).collect()
    }

    /// Every reading and event heard so far, by place in the journal, each once: `QoS` 1 may repeat.
    pub fn rows(&self) -> Vec<Row> {
        let readings = self.messages().into_iter().filter(|message| message.topic.ends_with("/readings"));
        row::distinct(readings.flat_map(|message| row::of_envelope(&message.payload)).collect())
    }

    /// Waits until so many messages have been heard.
    #[track_caller]
    pub fn wait_for_messages(&self, count: usize, limit: Duration) -> Vec<Message> {
        wait_for(
            &format!("{count} messages"),
            limit,
            || self.process.log_tail(),
            || Some(self.messages()).filter(|messages| messages.len() >= count),
        )
    }
}

fn message(line: &str) -> Option<Message> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Message {
        topic: value["topic"].as_str()?.to_owned(),
        retained: value["retained"].as_bool()?,
        payload: value["payload"].clone(),
    })
}
