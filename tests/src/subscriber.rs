//! An independent consumer: a paho client in Python that writes down every message it is given.
//!
//! Its session is durable, so that nothing is missed while it reconnects: start it before the agent.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::mosquitto::Mosquitto;
use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed_under};
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
    /// What it says that its payload is.
    pub content_type: Option<String>,
    /// The size of its payload as sent.
    pub bytes: u64,
    /// Its payload as JSON; null where it was none.
    pub payload: Value,
}

/// A message as the decoder sees it.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Its topic.
    pub topic: String,
    /// Its rows; none where the heading is lacking.
    pub rows: Vec<Row>,
    /// The heading that is lacking, and the positions that the message answers for.
    pub lacks: Option<(String, u64, u64)>,
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
        Self::start_under(broker.under(), "5", broker.port(), filter, heard)
    }

    /// The same in MQTT 3.1.1, from the broker on this port of this machine.
    pub fn start_in_3_1_1(port: u16, filter: &str, heard: &Path) -> Self {
        Self::start_under(&[], "3.1.1", port, filter, heard)
    }

    fn start_under(under: &[String], version: &str, port: u16, filter: &str, heard: &Path) -> Self {
        let python = places::python("helpers/subscribe.py");
        let mut command = leashed_under(under, Path::new(python.get_program()));
        command.args(python.get_args()).arg(port.to_string()).arg(filter).arg(heard).arg(version);
        let process = Process::start("subscriber", command, &heard.with_extension("log"));
        let subscriber = Self { heard: heard.to_owned(), process };
        subscriber.wait_subscribed(1);
        subscriber
    }

    /// Waits until it has subscribed so many times: once, and once more with each broker that has forgotten it.
    #[track_caller]
    pub fn wait_subscribed(&self, times: usize) {
        let count = || self.process.log().lines().filter(|line| *line == "subscribed").count();
        wait_for("the subscription", START_LIMIT, || self.process.log_tail(), || (count() >= times).then_some(()));
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

    /// What `cloud/tidegate_rows` makes of the messages on topics `.../readings`, one by one.
    ///
    /// # Panics
    /// When it can not read one.
    #[track_caller]
    pub fn decoded(&self, is_with_headings: bool) -> Vec<Decoded> {
        let mut command = places::python("helpers/rows.py");
        command.arg(&self.heard);
        if !is_with_headings {
            command.arg("--without-headings");
        }
        let Output { status, stdout, stderr } = command.output().expect("start python");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let lines = String::from_utf8_lossy(&stdout).into_owned();
        lines.lines().map(|line| decoded(line).unwrap_or_else(|| panic!("rows.py wrote {line}"))).collect()
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

fn decoded(line: &str) -> Option<Decoded> {
    let value: Value = serde_json::from_str(line).ok()?;
    let rows = value["rows"].as_array().into_iter().flatten().map(|row| Row::of_object(row, ""));
    let lacks = value["lacks"].as_str().zip(value["first"].as_u64()).zip(value["next"].as_u64());
    Some(Decoded {
        topic: value["topic"].as_str()?.to_owned(),
        rows: rows.collect::<Option<_>>()?,
        lacks: lacks.map(|((heading, first), next)| (heading.to_owned(), first, next)),
    })
}

fn message(line: &str) -> Option<Message> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Message {
        topic: value["topic"].as_str()?.to_owned(),
        retained: value["retained"].as_bool()?,
        content_type: value["content_type"].as_str().map(str::to_owned),
        bytes: value["bytes"].as_u64()?,
        payload: value["payload"].clone(),
    })
}
