//! Sees to it that the heading stands on the broker before the first message that needs it, on every connection: a
//! broker that was away may have forgotten what it retained.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::Mutex;

use super::encoding::Encoding;
use super::heading::Heading;
use crate::link::{Connections, Link, Message, PublishError};

/// A heading, and whether it was said over the connection that there is.
pub struct SaidHeading {
    heading: Heading,
    message: Message,
    /// `None`: not said yet. Held while it is said: who comes meanwhile waits, so that no message goes ahead of it.
    said: Mutex<Option<Connections>>,
    /// Whether the next time was counted as spent already.
    is_counted: AtomicBool,
    connections: Connections,
}

fn is_due(said: Option<&Connections>) -> bool {
    said.is_none_or(Connections::has_new)
}

impl SaidHeading {
    /// A heading for topics that begin with `beside`, not said yet.
    pub fn new(heading: Heading, beside: &str, encoding: Encoding, link: &Link) -> std::io::Result<Self> {
        let message = Message {
            topic: format!("{beside}/series/{}", hex::encode(heading.id)),
            payload: Bytes::from(encoding.wrap(heading.json.clone())?),
            content_type: Some(encoding.json_content_type()),
            expires: None,
            is_retained: true,
        };
        Ok(Self {
            heading,
            message,
            said: Mutex::new(None),
            is_counted: AtomicBool::new(false),
            connections: link.connections(),
        })
    }

    /// What is said.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// Publishes it, unless that was done since the connection was made.
    pub async fn say(&self, link: &Link) -> Result<(), PublishError> {
        let mut said = self.said.lock().await;
        if !is_due(said.as_ref()) {
            return Ok(());
        }
        link.publish(&self.message).await?;
        // Confirmed over the connection that there is now: only the next one is news.
        *said = Some(self.connections.seen());
        self.is_counted.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that it adds to the next message.
    pub fn cost(&self) -> u64 {
        let is_due = self.said.try_lock().is_ok_and(|said| is_due(said.as_ref()));
        if is_due && !self.is_counted.swap(true, Ordering::Relaxed) { self.message.bytes() } else { 0 }
    }
}
