//! Any broker: what is wanted is retained on `<...>/config/desired`, what became of it on `<...>/config/reported`; orders come
//! on `<...>/command/request/<id>`, answers go to `<...>/command/response/<id>`. An order is for a device that is connected now:
//! a retained one would come again with each connection, and is known by its id.

use serde_json::{Value, json};

use super::dialect::Said;
use super::orders::{Answer, Order, Reply};
use super::report::Report;
use crate::config::RemoteConfig;
use crate::link::{Heard, Message};

/// The topics of a device.
pub struct Topics {
    desired: String,
    reported: String,
    command: String,
}

impl Topics {
    /// Those below the device's topic.
    pub fn below(beside: &str) -> Self {
        Self {
            desired: format!("{beside}/config/desired"),
            reported: format!("{beside}/config/reported"),
            command: format!("{beside}/command"),
        }
    }

    pub fn subscriptions(&self, remote: &RemoteConfig) -> Vec<String> {
        let config = remote.config.then(|| self.desired.clone());
        let commands = remote.commands.then(|| format!("{}/request/+", self.command));
        config.into_iter().chain(commands).collect()
    }

    pub fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match heard {
            // An empty message is how what is retained is taken away: nothing is wanted.
            Heard::Message { topic, payload } if topic == self.desired && !payload.is_empty() => {
                vec![Said::Desired(payload.to_vec())]
            }
            Heard::Message { topic, payload } if !payload.is_empty() => {
                let rest = topic.strip_prefix(&self.command).and_then(|rest| rest.strip_prefix("/request/"));
                let Some(id) = rest else { return Vec::new() };
                let body: Value = serde_json::from_slice(&payload).unwrap_or_default();
                vec![Said::Order(Order::read(id, Reply::Topic, &body))]
            }
            Heard::TooLarge { topic, bytes } if topic == self.desired => vec![Said::TooLarge { bytes }],
            Heard::Message { .. } | Heard::TooLarge { .. } | Heard::Connected => Vec::new(),
        }
    }

    pub fn answer(&self, id: &str, answer: &Answer) -> Message {
        let mut body = json!({"id": id});
        if let (Value::Object(body), Ok(Value::Object(said))) = (&mut body, serde_json::to_value(answer)) {
            body.extend(said);
        }
        Message {
            topic: format!("{}/response/{id}", self.command),
            payload: body.to_string().into(),
            content_type: Some("application/json"),
            ..Message::default()
        }
    }

    pub fn report(&self, report: &Report<'_>) -> Message {
        Message {
            topic: self.reported.clone(),
            payload: report.json().to_string().into(),
            content_type: Some("application/json"),
            expires: None,
            is_retained: true,
        }
    }
}
