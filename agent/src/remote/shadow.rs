//! AWS IoT Core: what is wanted is the desired state of the named shadow `config`, what became of it the reported one.
//!
//! A delta says no more than that something differs, may come twice and out of order: it is only heard as a reason to ask
//! for the whole. What is answered is taken by its version; an older one is left alone. (Developer Guide, "Device Shadow
//! MQTT topics", "Using shadows in devices".)
//!
//! A shadow has no `null` and takes six levels: a revision that deletes a key, or a deep one, is written as
//! `{"document": "<text>"}`, which the reader takes signed or not.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;

use super::dialect::Said;
use super::report::Report;
use crate::backoff::Backoff;
use crate::link::{Heard, Message};

/// A report that is larger would push the shadow over its limit of 8 KiB: what is wanted stands in there, too.
const REPORT_BYTES_MAX: usize = 3 << 10;
/// How long an answer is waited for, at first and at most; then it is asked again.
const ANSWER_WAITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// The shadow of a thing.
pub struct Shadow {
    prefix: String,
    /// The version that was dealt with last.
    version: Option<u64>,
    /// What is wanted, as it stands in the shadow: it is reported back, so that the two agree when it is in force.
    desired: Option<Value>,
    get: Option<Unanswered>,
    update: Option<Unanswered>,
    /// Tells the answers to one report from those to another.
    reports: u64,
}

/// A request that has not been answered.
struct Unanswered {
    message: Message,
    again_at: Instant,
    backoff: Backoff,
}

impl Unanswered {
    fn new(message: Message) -> Self {
        Self {
            message,
            again_at: Instant::now() + ANSWER_WAITS.0,
            backoff: Backoff::new(ANSWER_WAITS.0, ANSWER_WAITS.1),
        }
    }

    /// The request again, where it is due.
    fn again(&mut self, now: Instant) -> Option<Said> {
        if now < self.again_at {
            return None;
        }
        self.again_at = now + ANSWER_WAITS.0 + self.backoff.next_wait();
        Some(Said::Ask(self.message.clone()))
    }
}

impl Shadow {
    pub fn of(thing: &str) -> Self {
        let prefix = format!("$aws/things/{thing}/shadow/name/config");
        Self { prefix, version: None, desired: None, get: None, update: None, reports: 0 }
    }

    /// No wildcard: AWS advises against it.
    pub fn subscriptions(&self) -> Vec<String> {
        let names = ["get/accepted", "get/rejected", "update/delta", "update/accepted", "update/rejected"];
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
            // A shadow has 8 KiB.
            Heard::TooLarge { .. } => return Vec::new(),
        };
        let Some(name) = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/')) else {
            return Vec::new();
        };
        let body: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let version = body["version"].as_u64();
        let is_news = version.is_none_or(|version| self.version.is_none_or(|held| version > held));
        match name {
            "update/delta" if is_news => vec![self.ask()],
            "get/accepted" => {
                self.get = None;
                let desired = &body["state"]["desired"];
                if !is_news || !desired.is_object() {
                    return Vec::new();
                }
                self.version = version.or(self.version);
                self.desired = Some(desired.clone());
                vec![Said::Desired(desired.to_string().into_bytes())]
            }
            "get/rejected" => {
                match body["code"].as_u64() {
                    // There is no shadow yet: the first report makes one.
                    Some(404) => self.get = None,
                    code if is_passing(code) => {}
                    code => {
                        self.get = None;
                        warn!(code, message = %body["message"], "the shadow can not be read");
                    }
                }
                Vec::new()
            }
            "update/accepted" | "update/rejected" if body["clientToken"] != self.token() => Vec::new(),
            "update/accepted" => {
                self.update = None;
                Vec::new()
            }
            "update/rejected" => self.rejected(&body),
            _ => Vec::new(),
        }
    }

    fn rejected(&mut self, body: &Value) -> Vec<Said> {
        match (body["code"].as_u64(), self.update.as_mut()) {
            // Too large with what is wanted in it.
            (Some(413), Some(update)) => {
                let mut shorter: Value = serde_json::from_slice(&update.message.payload).unwrap_or_default();
                let reported = shorter["state"]["reported"].as_object_mut();
                let had = reported.is_some_and(|reported| {
                    ["config", "document"].map(|key| reported.remove(key).is_some()).contains(&true)
                });
                if !had {
                    self.update = None;
                    return Vec::new();
                }
                update.message.payload = shorter.to_string().into();
                vec![Said::Ask(update.message.clone())]
            }
            (code, _) if is_passing(code) => Vec::new(),
            (code, _) => {
                self.update = None;
                warn!(code, message = %body["message"], "the shadow does not take the report");
                Vec::new()
            }
        }
    }

    /// When to call [`Shadow::wake`].
    pub fn due(&self) -> Option<Instant> {
        [&self.get, &self.update].into_iter().flatten().map(|request| request.again_at).min()
    }

    /// What was not answered is asked again.
    pub fn wake(&mut self) -> Vec<Said> {
        let now = Instant::now();
        [&mut self.get, &mut self.update].into_iter().flatten().filter_map(|request| request.again(now)).collect()
    }

    fn ask(&mut self) -> Said {
        let message = Message { topic: format!("{}/get", self.prefix), payload: "{}".into(), ..Message::default() };
        self.get = Some(Unanswered::new(message.clone()));
        Said::Ask(message)
    }

    fn token(&self) -> String {
        format!("report-{}", self.reports)
    }

    pub fn report(&mut self, report: &Report<'_>) -> Message {
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
        self.reports += 1;
        let body = json!({"state": {"reported": reported}, "clientToken": self.token()});
        let message = Message {
            topic: format!("{}/update", self.prefix),
            payload: body.to_string().into(),
            content_type: Some("application/json"),
            ..Message::default()
        };
        self.update = Some(Unanswered::new(message.clone()));
        message
    }
}

/// Whether the same request may be taken later: too many at once (429), the service's own trouble (5xx), somebody else at
/// the same time (409).
fn is_passing(code: Option<u64>) -> bool {
    matches!(code, Some(409 | 429 | 500..=599))
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
        let [Said::Desired(desired)] = &says(&mut shadow, "get/accepted", &json!({"state": state, "version": 7}))[..]
        else {
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
