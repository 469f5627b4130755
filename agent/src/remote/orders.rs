//! An order: one thing that a device is told to do, once. What became of it is put down before anything is done, so that
//! one that comes twice is done once, also across a restart.

use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::stage::replace;

/// Orders that are remembered.
const KEPT_MAX: usize = 64;
/// The longest id.
const ID_BYTES_MAX: usize = 128;
/// Largest file that is read back.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// `.../command/response/<id>`.
    Topic,
    /// An execution of an AWS IoT command.
    Command,
    /// An AWS IoT job.
    Job,
}

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id; the same id is the same order.
    pub id: String,
    /// Where it came from.
    pub reply: Reply,
    /// What to do.
    pub command: String,
    /// With what.
    pub args: Map<String, Value>,
    /// Not any more after this.
    pub expires: Option<Timestamp>,
}

/// What is said of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Answer {
    /// It will be done.
    Accepted,
    /// It is being done.
    Running,
    /// It was done.
    Succeeded {
        /// What came of it.
        result: Value,
    },
    /// It was not.
    Failed {
        /// Why not.
        error: String,
    },
}

/// An order that can not be read, with as much as can be answered to.
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    pub id: String,
    pub reply: Reply,
    pub error: String,
}

impl Answer {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Order {
    /// Reads `{"command", "args"?, "expires"?}`.
    pub fn read(id: &str, reply: Reply, body: &Value) -> Result<Self, Unread> {
        let unread = |error: &str| Unread { id: id.to_owned(), reply, error: error.to_owned() };
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(unread("an id has 1 to 128 bytes"));
        }
        let Value::Object(body) = body else {
            return Err(unread("a JSON object is expected: {\"command\", \"args\"}"));
        };
        let known = ["command", "args", "expires"];
        if let Some(key) = body.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(unread(&format!("unknown key `{key}`; known here: command, args, expires")));
        }
        let Some(command) = body.get("command").and_then(Value::as_str) else {
            return Err(unread("`command` is missing"));
        };
        let args = match body.get("args") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(args)) => args.clone(),
            Some(_) => return Err(unread("`args` is an object")),
        };
        let expires = match body.get("expires") {
            None | Some(Value::Null) => None,
            Some(time) => match time.as_str().and_then(Timestamp::parse) {
                Some(time) => Some(time),
                None => return Err(unread("`expires` is a time, such as 2026-11-23T10:00:00Z")),
            },
        };
        Ok(Self { id: id.to_owned(), reply, command: command.to_owned(), args, expires })
    }
}

/// An order that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    id: String,
    reply: Reply,
    command: String,
    answer: Answer,
}

/// The orders that were taken.
#[derive(Debug, Default)]
pub struct Ledger {
    file: PathBuf,
    kept: Vec<Kept>,
}

impl Ledger {
    /// Those of a journal's folder. A file that can not be read is begun anew.
    pub fn open(journal: &Path) -> Self {
        let file = journal.join("remote").join("orders.json");
        let is_small = std::fs::metadata(&file).is_ok_and(|about| about.len() <= FILE_BYTES_MAX);
        let kept = is_small.then(|| std::fs::read(&file).ok()).flatten();
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file, kept }
    }

    /// What was said last of the order with this id.
    pub fn answer(&self, id: &str, reply: Reply) -> Option<&Answer> {
        self.kept.iter().find(|kept| kept.id == id && kept.reply == reply).map(|kept| &kept.answer)
    }

    /// Those that were begun by an agent that is no more.
    pub fn unfinished(&self) -> Vec<Order> {
        let is_open = |kept: &&Kept| matches!(kept.answer, Answer::Accepted | Answer::Running);
        let order = |kept: &Kept| Order {
            id: kept.id.clone(),
            reply: kept.reply,
            command: kept.command.clone(),
            args: Map::new(),
            expires: None,
        };
        self.kept.iter().filter(is_open).map(order).collect()
    }

    /// Puts down, durably, what is said of an order.
    pub fn put_down(&mut self, order: &Order, answer: &Answer) -> std::io::Result<()> {
        // What was found out is said once and not kept: it may be large.
        let answer = match answer {
            Answer::Succeeded { .. } => Answer::Succeeded { result: Value::Null },
            other => other.clone(),
        };
        match self.kept.iter_mut().find(|kept| kept.id == order.id && kept.reply == order.reply) {
            Some(kept) => kept.answer = answer,
            None => self.kept.push(Kept {
                id: order.id.clone(),
                reply: order.reply,
                command: order.command.clone(),
                answer,
            }),
        }
        let surplus = self.kept.len().saturating_sub(KEPT_MAX);
        self.kept.drain(..surplus);
        replace(&self.file, &serde_json::to_vec(&self.kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_is_known_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let order = Order::read("a1", Reply::Topic, &json!({"command": "restart"})).unwrap();
        let mut ledger = Ledger::open(folder.path());
        ledger.put_down(&order, &Answer::Running).unwrap();
        let ledger = Ledger::open(folder.path());
        assert_eq!(ledger.answer("a1", Reply::Topic), Some(&Answer::Running));
        assert_eq!(ledger.answer("a1", Reply::Job), None);
        assert_eq!(ledger.unfinished().len(), 1);
    }

    #[test]
    fn what_is_no_order_is_refused_in_words() {
        for (body, words) in [
            (json!([]), "a JSON object is expected"),
            (json!({}), "`command` is missing"),
            (json!({"command": "flush", "args": 1}), "`args` is an object"),
            (json!({"command": "flush", "expires": "soon"}), "`expires` is a time"),
            (json!({"command": "flush", "sh": "rm"}), "unknown key `sh`"),
        ] {
            let unread = Order::read("a1", Reply::Topic, &body).unwrap_err();
            assert!(unread.error.contains(words), "{}", unread.error);
        }
    }
}
