//! Who listens on a link for a while: one who asked something and waits for the answer.
//!
//! What is subscribed to ends with the connection, and who listens has to ask again then; so nothing is subscribed to
//! that nobody waits for.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Heard, Listening};

/// Messages that wait to be read by one who listens: answers come one by one.
const HEARD_MAX: usize = 8;

/// All who listen for a while.
#[derive(Debug, Clone, Default)]
pub struct Ears(Arc<Mutex<Vec<Listening>>>);

impl Ears {
    /// One more, for topics that are named in full. It is gone when the receiver is.
    pub fn open(&self, topics: Vec<String>) -> mpsc::Receiver<Heard> {
        let (heard, receiver) = mpsc::channel(HEARD_MAX);
        let mut ears = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| !ear.heard.is_closed());
        ears.push(Listening { topics, heard });
        receiver
    }

    /// Tells those who wait for it; whether there was one.
    pub fn tell(&self, topic: &str, payload: &Bytes) -> bool {
        let ears = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_awaited = false;
        let wanted = |ear: &&Listening| !ear.heard.is_closed() && ear.topics.iter().any(|wanted| wanted == topic);
        for ear in ears.iter().filter(wanted) {
            ear.tell(Heard::Message { topic: topic.to_owned(), payload: payload.clone() });
            is_awaited = true;
        }
        is_awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_topic_is_told_and_who_has_gone_is_not() {
        let ears = Ears::default();
        let mut waiting = ears.open(vec!["a/accepted".to_owned()]);
        assert!(!ears.tell("a/rejected", &Bytes::new()));
        assert!(ears.tell("a/accepted", &Bytes::from_static(b"{}")));
        assert!(matches!(waiting.try_recv(), Ok(Heard::Message { topic, .. }) if topic == "a/accepted"));
        drop(waiting);
        assert!(!ears.tell("a/accepted", &Bytes::new()));
    }
}
