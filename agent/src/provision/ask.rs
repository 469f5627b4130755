//! A question to AWS IoT Core and its answer: `<topic>`, and `<topic>/accepted` or `<topic>/rejected` on the same
//! connection ("Device provisioning MQTT API", AWS IoT Core developer guide). Who asks listens first.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::link::{Heard, Link, Message, PublishError};

/// Waits before a question is asked again.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// An answer that has not come by then does not come any more: the service answers in a second or two.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// "Too many requests".
const TOO_MANY: u16 = 429;
/// From here on it is the far side's fault.
const FAULT_FROM: u16 = 500;

/// A no, in the far side's own words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// As in HTTP.
    #[serde(default)]
    pub status_code: u16,
    /// Its name.
    #[serde(default)]
    pub error_code: String,
    /// More words.
    #[serde(default)]
    pub error_message: String,
}

/// No answer, or a no.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The broker was not reached, or did not answer, within the patience there was.
    #[error("no answer from the broker within {patience_s} s: {reason}")]
    Unreached {
        /// How long it was tried.
        patience_s: u64,
        /// What stood in the way.
        reason: String,
    },
    /// The broker does not let us.
    #[error("the broker does not let this device use {topic} ({reason}): does its policy allow it?")]
    Denied {
        /// What for.
        topic: String,
        /// Its words.
        reason: String,
    },
    /// The far side says no.
    #[error("{topic} is rejected: {} {}: {}; {}", .rejection.status_code, .rejection.error_code, .rejection.error_message, .rejection.remedy())]
    Rejected {
        /// What was asked.
        topic: String,
        /// What it says.
        rejection: Rejection,
    },
    /// It says something else than it should.
    #[error("the answer to {topic} has no {lacks}")]
    Nonsense {
        /// What was asked.
        topic: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The connection ended, or the answer did not come.
    #[error("{0}")]
    Passing(String),
}

impl Rejection {
    /// It may be another time.
    fn is_passing(&self) -> bool {
        self.status_code == TOO_MANY || self.status_code >= FAULT_FROM
    }

    /// The token was used, is unknown or too old: another can be had.
    pub fn is_of_token(&self) -> bool {
        self.error_code.contains("OwnershipToken")
    }

    /// What a person can do.
    fn remedy(&self) -> &'static str {
        match (self.status_code, self.error_code.as_str()) {
            _ if self.is_passing() => "the service is busy, try again later",
            _ if self.is_of_token() => "run it again, another token is asked for",
            (403, _) => "does the claim's policy allow it, and does the template's hook let this device in?",
            (404, _) | (_, "ResourceNotFound") => "is `template` its right name, and is it enabled?",
            (_, "InvalidParameters") => "do `parameters` have all that the template wants to know?",
            _ => "the log of AWS IoT in CloudWatch says more",
        }
    }
}

impl AskError {
    fn is_passing(&self) -> bool {
        match self {
            AskError::Rejected { rejection, .. } => rejection.is_passing(),
            AskError::Passing(_) => true,
            AskError::Unreached { .. } | AskError::Denied { .. } | AskError::Nonsense { .. } => false,
        }
    }
}

/// Asks until there is an answer, or patience is at its end.
pub async fn ask(link: &Link, topic: &str, body: &Value, patience: Duration) -> Result<Value, AskError> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
    let mut last = None;
    loop {
        let error = match timeout_at(deadline, once(link, topic, body)).await {
            Ok(Err(error)) if error.is_passing() => error,
            Ok(answered) => return answered,
            Err(_) => return Err(out_of_patience(link, last, patience)),
        };
        let wait = backoff.next_wait();
        if Instant::now() + wait >= deadline {
            return Err(out_of_patience(link, Some(error), patience));
        }
        last = Some(error);
        tokio::time::sleep(wait).await;
    }
}

/// What came last says the most; what keeps the link away is known to the link.
fn out_of_patience(link: &Link, last: Option<AskError>, patience: Duration) -> AskError {
    match last {
        Some(rejected @ AskError::Rejected { .. }) => rejected,
        last => {
            let trouble = link.trouble().map(|trouble| trouble.to_string());
            let last = last.map(|error| error.to_string());
            let reason = trouble.or(last).unwrap_or_else(|| "it was not reached yet".to_owned());
            AskError::Unreached { patience_s: patience.as_secs(), reason }
        }
    }
}

async fn once(link: &Link, topic: &str, body: &Value) -> Result<Value, AskError> {
    let refused = |error: PublishError| match error {
        PublishError::Refused { reason } => AskError::Denied { topic: topic.to_owned(), reason },
        error => AskError::Passing(error.to_string()),
    };
    let accepted = format!("{topic}/accepted");
    let mut heard = link.listen(vec![accepted.clone(), format!("{topic}/rejected")]).await.map_err(refused)?;
    let payload = Bytes::from(body.to_string());
    let message = Message { topic: topic.to_owned(), payload, ..Message::default() };
    link.publish_ahead(&message).await.map_err(refused)?;
    let answer = timeout(ANSWER_LIMIT, heard.recv()).await;
    let Ok(Some(Heard::Message { topic: answered, payload })) = answer else {
        return Err(AskError::Passing(format!("no answer to {topic} came")));
    };
    let said: Value = serde_json::from_slice(&payload).unwrap_or_default();
    if answered == accepted {
        return Ok(said);
    }
    match serde_json::from_value(said) {
        Ok(rejection) => Err(AskError::Rejected { topic: topic.to_owned(), rejection }),
        Err(_) => Err(AskError::Nonsense { topic: topic.to_owned(), lacks: "errorCode" }),
    }
}
