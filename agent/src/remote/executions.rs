//! AWS IoT's ways to give orders: commands, which are for a device that is connected now, and jobs, which wait for it.
//!
//! (Developer Guide, "Remote commands", "Jobs device MQTT API".) A job's document is an order. One job at a time is asked
//! for; the service gives the same one again until it was ended, so one that an earlier agent began is known by its id.

use serde_json::{Map, Value, json};

use super::dialect::Said;
use super::orders::{Answer, Order, Reply};
use crate::link::{Heard, Message};

/// A value of a job's `statusDetails` has at most 1,024 characters.
const DETAIL_CHARS_MAX: usize = 1_024;
/// A command's answer with all its results.
const RESULT_CHARS_MAX: usize = 8 << 10;

/// The executions of a thing.
pub struct Executions {
    commands: String,
    jobs: String,
}

impl Executions {
    pub fn of(thing: &str) -> Self {
        Self { commands: format!("$aws/commands/things/{thing}/executions"), jobs: format!("$aws/things/{thing}/jobs") }
    }

    /// `+` stands at the execution alone: anywhere else it ends the connection.
    pub fn subscriptions(&self) -> Vec<String> {
        let Self { commands, jobs } = self;
        vec![format!("{commands}/+/request/json"), format!("{jobs}/notify-next"), format!("{jobs}/start-next/accepted")]
    }

    pub fn hear(&self, heard: &Heard) -> Vec<Said> {
        let (topic, payload) = match heard {
            Heard::Message { topic, payload } => (topic, payload),
            Heard::Connected => return vec![self.start_next()],
            // An order has 32 KiB.
            Heard::TooLarge { .. } => return Vec::new(),
        };
        let body: Value = serde_json::from_slice(payload).unwrap_or_default();
        if let Some(rest) = topic.strip_prefix(&self.commands).and_then(|rest| rest.strip_prefix('/')) {
            let Some(id) = rest.strip_suffix("/request/json") else { return Vec::new() };
            return vec![Said::Order(Order::read(id, Reply::Command, &body))];
        }
        let execution = &body["execution"];
        match topic.strip_prefix(&self.jobs) {
            // What is next may be what is being done: starting it again gives it again.
            Some("/notify-next") if execution["jobId"].is_string() => vec![self.start_next()],
            Some("/start-next/accepted") => match execution["jobId"].as_str() {
                Some(id) => vec![Said::Order(Order::read(id, Reply::Job, &execution["jobDocument"]))],
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn start_next(&self) -> Said {
        Said::Ask(Message { topic: format!("{}/start-next", self.jobs), payload: "{}".into(), ..Message::default() })
    }

    pub fn answer(&self, id: &str, reply: Reply, answer: &Answer) -> Message {
        let (topic, body) = match reply {
            Reply::Job => (format!("{}/{id}/update", self.jobs), job(answer)),
            Reply::Topic | Reply::Command => (format!("{}/{id}/response/json", self.commands), command(answer)),
        };
        Message {
            topic,
            payload: body.to_string().into(),
            content_type: Some("application/json"),
            ..Message::default()
        }
    }
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted | Answer::Running => "IN_PROGRESS",
        Answer::Succeeded { .. } => "SUCCEEDED",
        Answer::Failed { .. } => "FAILED",
    }
}

fn job(answer: &Answer) -> Value {
    let cut = |text: String| text.chars().take(DETAIL_CHARS_MAX).collect::<String>();
    let details = match answer {
        Answer::Accepted | Answer::Running => json!({"step": answer.as_str()}),
        Answer::Succeeded { result } => json!({"result": cut(result.to_string())}),
        Answer::Failed { error } => json!({"error": cut(error.clone())}),
    };
    json!({"status": word(answer), "statusDetails": details})
}

fn command(answer: &Answer) -> Value {
    let mut body = Map::new();
    body.insert("status".to_owned(), word(answer).into());
    match answer {
        Answer::Accepted | Answer::Running => {}
        Answer::Succeeded { result } => {
            let text: String = result.to_string().chars().take(RESULT_CHARS_MAX).collect();
            body.insert("result".to_owned(), json!({"result": {"s": text}}));
        }
        Answer::Failed { error } => {
            let description: String = error.chars().take(DETAIL_CHARS_MAX).collect();
            body.insert("statusReason".to_owned(), json!({"reasonCode": "FAILED", "reasonDescription": description}));
        }
    }
    Value::Object(body)
}
