//! Sees to it that the heading stands on the broker before the first message that needs it, on every connection: a
//! broker that was away may have forgotten what it retained.

use bytes::Bytes;
use tokio::sync::Mutex;

use super::encoding::Encoding;
use super::heading::Heading;
use crate::link::{Connections, Label, Link, PublishError, beside};

/// A heading, and whether it was said over the connection that there is.
pub struct SaidHeading {
    heading: Heading,
    topic: String,
    payload: Bytes,
    label: Label,
    /// `None`: not said yet. Held while it is said: who comes meanwhile waits, so that no message goes ahead of it.
    said: Mutex<Option<Connections>>,
    connections: Connections,
}

impl SaidHeading {
    /// A heading for the readings of `topic`, not said yet.
    pub fn new(heading: Heading, topic: &str, encoding: Encoding, link: &Link) -> std::io::Result<Self> {
        let topic = beside(topic, &format!("series/{}", hex::encode(heading.id)));
        let payload = Bytes::from(encoding.wrap(heading.json.clone())?);
        let label = Label { content_type: Some(encoding.json_content_type()), is_retained: true };
        Ok(Self { heading, topic, payload, label, said: Mutex::new(None), connections: link.connections() })
    }

    /// What is said.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// Publishes it, unless that was done since the connection was made.
    pub async fn say(&self, link: &Link) -> Result<(), PublishError> {
        let mut said = self.said.lock().await;
        if said.as_ref().is_some_and(|connections| !connections.has_new()) {
            return Ok(());
        }
        link.publish_labelled(&self.topic, self.payload.clone(), self.label).await?;
        // Confirmed over the connection that there is now: only the next one is news.
        *said = Some(self.connections.seen());
        Ok(())
    }
}
