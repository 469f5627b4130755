//! The MQTT sink: one JSON envelope a publish, confirmed by the broker's PUBACK and nothing less.

pub mod alarms;
mod envelope;

use std::time::Duration;

use bytes::Bytes;
use model::{Epoch, Numbered, SeqRange};

use super::{Batch, BatchLimits, DeliverError, Sink};
use crate::config::{BatchConfig, DeviceConfig, MqttConfig};
use crate::link::{Link, Message, PublishError};

/// Publishes under way at once: below IoT Core's 100, above what a 600 ms satellite link needs at 64 kbit/s.
const WINDOW: usize = 16;

/// A broker's topic.
pub struct MqttSink {
    link: Link,
    topic: String,
    device: DeviceConfig,
    epoch: Epoch,
    limits: BatchLimits,
    is_live_first: bool,
    expires: Option<Duration>,
}

impl MqttSink {
    /// A sink that publishes over `link` as `config` says.
    pub fn new(link: Link, config: &MqttConfig, device: DeviceConfig, epoch: Epoch, batch: BatchConfig) -> Self {
        let limits = BatchLimits {
            age_max: batch.max_age,
            records_max: batch.max_readings,
            bytes_max: usize::try_from(batch.max_bytes).unwrap_or(usize::MAX),
            window: WINDOW,
        };
        let (topic, is_live_first, expires) = (config.topic.clone(), config.is_live_first, config.expires);
        Self { link, topic, device, epoch, limits, is_live_first, expires }
    }
}

impl MqttSink {
    fn message(&self, batch: &Batch) -> Message {
        Message {
            topic: batch.key.clone(),
            payload: batch.bytes.clone(),
            content_type: Some(envelope::JSON),
            expires: self.expires,
            ..Message::default()
        }
    }
}

impl Sink for MqttSink {
    fn limits(&self) -> BatchLimits {
        let about = Message { topic: self.topic.clone(), content_type: Some(envelope::JSON), ..Message::default() };
        let bytes_max = self.limits.bytes_max.min(self.link.payload_bytes_max(about.bytes()));
        BatchLimits { bytes_max, ..self.limits }
    }

    /// `epoch` and `seq` tell a subscriber what it has seen; sealing every message would wear the flash for nothing.
    fn is_sealed(&self) -> bool {
        false
    }

    fn cut(&self, records: &[Numbered]) -> usize {
        records.len()
    }

    fn encode(&self, range: SeqRange, records: &[Numbered]) -> Result<Batch, DeliverError> {
        let bytes = envelope::encode(&self.device, &self.epoch, range, records)
            .map_err(|error| DeliverError::reject(format!("can not be encoded: {error}")))?;
        Ok(Batch { range, key: self.topic.clone(), bytes: Bytes::from(bytes), note: Bytes::new() })
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), DeliverError> {
        self.link.publish(&self.message(batch)).await.map_err(|error| match error {
            // What goes first over the next connection is decided when there is one.
            PublishError::Disconnected => DeliverError::Away,
            PublishError::Disliked { reason } => DeliverError::Disliked { reason },
            PublishError::NotNow { .. } => DeliverError::retry(error.to_string()),
            PublishError::Refused { .. } | PublishError::TooLarge { .. } => DeliverError::reject(error.to_string()),
        })
    }

    fn cost(&self, batch: &Batch) -> u64 {
        self.message(batch).bytes()
    }

    fn is_reachable(&self) -> bool {
        self.link.is_up()
    }

    async fn reachable(&self) {
        self.link.up().await;
    }

    fn is_live_first(&self) -> bool {
        self.is_live_first
    }

    async fn tend(&self, _is_end: bool) -> Result<(), DeliverError> {
        match self.link.trouble() {
            Some(reason) => Err(DeliverError::retry(reason.to_string())),
            None => Ok(()),
        }
    }
}
