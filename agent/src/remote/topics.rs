//! Any broker: what is wanted is retained on `<...>/config/desired`, what became of it on `<...>/config/reported`.

use super::Said;
use super::report::Report;
use crate::link::{Heard, Message};

/// The topics of a device.
pub struct Topics {
    desired: String,
    reported: String,
}

impl Topics {
    /// Those below the device's topic.
    pub fn below(beside: &str) -> Self {
        Self { desired: format!("{beside}/config/desired"), reported: format!("{beside}/config/reported") }
    }

    pub fn subscriptions(&self) -> Vec<String> {
        vec![self.desired.clone()]
    }

    pub fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match heard {
            // An empty message is how what is retained is taken away: nothing is wanted.
            Heard::Message { topic, payload } if topic == self.desired && !payload.is_empty() => {
                vec![Said::Desired(payload.to_vec())]
            }
            Heard::Message { .. } | Heard::Connected => Vec::new(),
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
