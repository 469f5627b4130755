//! The MQTT sink: one JSON envelope a publish, confirmed by the broker's PUBACK and nothing less.

pub mod alarms;
mod envelope;

use bytes::Bytes;
use model::{Epoch, Numbered, SeqRange};

use super::{Batch, BatchLimits, DeliverError, Sink};
use crate::config::{BatchConfig, DeviceConfig};
use crate::link::{Link, PublishError};

/// Publishes under way at once: below IoT Core's 100, above what a 600 ms satellite link needs at 64 kbit/s.
const WINDOW: usize = 16;

/// A broker's topic.
pub struct MqttSink {
    link: Link,
    topic: String,
    device: DeviceConfig,
    epoch: Epoch,
    limits: BatchLimits,
}

impl MqttSink {
    /// A sink that publishes to `topic` over `link`.
    pub fn new(link: Link, topic: String, device: DeviceConfig, epoch: Epoch, batch: BatchConfig) -> Self {
        let limits = BatchLimits {
            age_max: batch.max_age,
            records_max: batch.max_readings,
            bytes_max: usize::try_from(batch.max_bytes).unwrap_or(usize::MAX),
            window: WINDOW,
        };
        Self { link, topic, device, epoch, limits }
    }
}

impl Sink for MqttSink {
    fn limits(&self) -> BatchLimits {
        self.limits
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
        loop {
            match self.link.publish(&batch.key, batch.bytes.clone()).await {
                Ok(()) => return Ok(()),
                // The link knows when to try the next connection, and keeps the order; nothing here need wait.
                Err(PublishError::Disconnected) => {}
                Err(error @ PublishError::NotNow { .. }) => return Err(DeliverError::retry(error.to_string())),
                Err(error @ (PublishError::Refused { .. } | PublishError::TooLarge { .. })) => {
                    return Err(DeliverError::reject(error.to_string()));
                }
            }
        }
    }

    async fn tend(&self, _is_end: bool) -> Result<(), DeliverError> {
        match self.link.trouble() {
            Some(reason) => Err(DeliverError::retry(reason.to_string())),
            None => Ok(()),
        }
    }
}
