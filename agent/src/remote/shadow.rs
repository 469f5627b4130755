//! AWS IoT Core: what is wanted is the desired state of the named shadow `config`, what became of it the reported one.
//!
//! A delta says no more than that something differs, may come twice and out of order: it is only heard as a reason to ask
//! for the whole. What is answered is taken by its version; an older one is left alone. (Developer Guide, "Device Shadow
//! MQTT topics", "Using shadows in devices".)
//!
//! A shadow has no `null` and takes six levels: a revision that deletes a key, or a deep one, is written as
//! `{"document": "<text>"}`, which the reader takes signed or not.

use serde_json::{Value, json};

use super::Said;
use super::report::Report;
use crate::link::{Heard, Message};

/// A report that is larger would push the shadow over its limit of 8 KiB: what is wanted stands in there, too.
const REPORT_BYTES_MAX: usize = 3 << 10;

/// The shadow of a thing.
pub struct Shadow {
    prefix: String,
    /// The version that was dealt with last.
    version: Option<u64>,
    /// What is wanted, as it stands in the shadow: it is reported back, so that the two agree when it is in force.
    desired: Option<Value>,
}

impl Shadow {
    pub fn of(thing: &str) -> Self {
        Self { prefix: format!("$aws/things/{thing}/shadow/name/config"), version: None, desired: None }
    }

    /// No wildcard: AWS advises against it.
    pub fn subscriptions(&self) -> Vec<String> {
        let names = ["get/accepted", "get/rejected", "update/delta", "update/rejected"];
        names.iter().map(|name| format!("{}/{name}", self.prefix)).collect()
    }

    pub fn hear(&mut self, heard: Heard) -> Vec<Said> {
        let (topic, payload) = match heard {
            // A new connection: what was said while there was none is not said again. A shadow that was deleted and made
            // anew counts from the beginning.
            Heard::Connected => {
                self.version = None;
                return vec![self.ask()];
            }
            Heard::Message { topic, payload } => (topic, payload),
        };
        let Some(name) = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/')) else { return Vec::new() };
        let body: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let version = body["version"].as_u64();
        let is_news = version.is_none_or(|version| self.version.is_none_or(|held| version > held));
        match name {
            "update/delta" if is_news => vec![self.ask()],
            "get/accepted" if is_news => {
                self.version = version.or(self.version);
                let desired = &body["state"]["desired"];
                if !desired.is_object() {
                    return Vec::new();
                }
                self.desired = Some(desired.clone());
                vec![Said::Desired(desired.to_string().into_bytes())]
            }
            "get/rejected" if body["code"] != 404 => {
                tracing::warn!(code = %body["code"], message = %body["message"], "the shadow can not be read");
                Vec::new()
            }
            "update/rejected" => {
                tracing::warn!(code = %body["code"], message = %body["message"], "the shadow does not take the report");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn ask(&self) -> Said {
        Said::Ask(Message { topic: format!("{}/get", self.prefix), payload: "{}".into(), ..Message::default() })
    }

    pub fn report(&self, report: &Report<'_>) -> Message {
        let mut reported = report.json();
        // What is wanted is told back once it is in force: then nothing differs, and fleet indexing finds who has it.
        if let (Value::Object(reported), Some(Value::Object(desired))) = (&mut reported, &self.desired)
            && report.is_applied()
            && Value::Object(desired.clone()).to_string().len() <= REPORT_BYTES_MAX
        {
            for (key, value) in desired {
                reported.insert(key.clone(), value.clone());
            }
        }
        let body = json!({"state": {"reported": reported}, "clientToken": report.outcome.sha256.get(..32)});
        Message {
            topic: format!("{}/update", self.prefix),
            payload: body.to_string().into(),
            content_type: Some("application/json"),
            ..Message::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(shadow: &mut Shadow, name: &str, body: &Value) -> Vec<Said> {
        let topic = format!("$aws/things/pond/shadow/name/config/{name}");
        shadow.hear(Heard::Message { topic, payload: body.to_string().into() })
    }

    #[test]
    fn a_delta_is_a_reason_to_ask_and_an_old_one_is_none() {
        let mut shadow = Shadow::of("pond");
        assert!(matches!(&shadow.hear(Heard::Connected)[..], [Said::Ask(_)]));
        let state = json!({"desired": {"revision": "r2", "config": {}}});
        let [Said::Desired(desired)] = &says(&mut shadow, "get/accepted", &json!({"state": state, "version": 7}))[..] else {
            panic!("the desired state is heard");
        };
        assert_eq!(serde_json::from_slice::<Value>(desired).unwrap(), state["desired"]);
        assert_eq!(says(&mut shadow, "update/delta", &json!({"state": {}, "version": 6})), []);
        assert_eq!(says(&mut shadow, "update/delta", &json!({"state": {}, "version": 7})), []);
        assert_eq!(says(&mut shadow, "get/accepted", &json!({"state": state, "version": 5})), []);
        assert!(matches!(&says(&mut shadow, "update/delta", &json!({"state": {}, "version": 8}))[..], [Said::Ask(_)]));
        assert_eq!(says(&mut shadow, "get/rejected", &json!({"code": 404})), []);
    }
}
