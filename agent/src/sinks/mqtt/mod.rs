//! The MQTT sink: one batch a publish, in the format that is asked for, confirmed by the broker's PUBACK and nothing less.

pub mod alarms;
pub mod beside;
mod by_series;
mod columnar;
mod encoding;
mod envelope;
#[cfg(test)]
mod golden;
mod heading;
mod json_columns;
pub mod presence;
mod said;
mod senml;
mod units;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Epoch, Numbered, SeqRange, Series};

use super::{Batch, BatchLimits, DeliverError, Sink};
use crate::config::{BatchConfig, DeviceConfig, MqttConfig, MqttFormat};
use crate::link::{Link, Message, PUBLISH_BYTES_MAX, PublishError};
use encoding::Encoding;
use heading::Heading;
use said::SaidHeading;

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
    encoding: Encoding,
    /// What `columnar` messages refer to.
    heading: Option<SaidHeading>,
}

impl MqttSink {
    /// A sink that publishes over `link` as `config` says. `series` are those of the configured instruments.
    pub fn new(
        link: Link,
        config: &MqttConfig,
        batch: BatchConfig,
        device: DeviceConfig,
        epoch: Epoch,
        series: &[Arc<Series>],
    ) -> std::io::Result<Self> {
        let bytes_max = usize::try_from(batch.max_bytes).unwrap_or(usize::MAX).min(PUBLISH_BYTES_MAX);
        let limits = BatchLimits { age_max: batch.max_age, records_max: batch.max_readings, bytes_max, window: WINDOW };
        let encoding = Encoding { format: config.format, compress: config.compress };
        let fits = |json: &[u8]| encoding.wrap(json.to_vec()).is_ok_and(|payload| payload.len() <= bytes_max);
        let heading = match config.format {
            MqttFormat::Columnar => {
                let heading = Heading::new(&device, &epoch, series, fits)?;
                Some(SaidHeading::new(heading, &config.beside, encoding, &link)?)
            }
            MqttFormat::Json | MqttFormat::JsonColumns | MqttFormat::Senml => None,
        };
        let (topic, is_live_first, expires) = (config.topic.clone(), config.is_live_first, config.expires);
        Ok(Self { link, topic, device, epoch, limits, is_live_first, expires, encoding, heading })
    }

    fn payload(&self, range: SeqRange, records: &[Numbered]) -> std::io::Result<Vec<u8>> {
        let (device, epoch) = (&self.device, &self.epoch);
        let payload = match (self.encoding.format, &self.heading) {
            (MqttFormat::Json, _) => envelope::encode(device, epoch, range, records)?,
            (MqttFormat::JsonColumns, _) => json_columns::encode(device, epoch, range, records)?,
            (MqttFormat::Senml, _) => senml::encode(device, epoch, range, records)?,
            (MqttFormat::Columnar, heading) => {
                let heading = heading.as_ref().expect("made in `new` for this format");
                columnar::encode(heading.heading(), range, records)?
            }
        };
        self.encoding.wrap(payload)
    }

    /// A message to the readings' topic.
    fn message(&self, topic: String, payload: Bytes) -> Message {
        let content_type = Some(self.encoding.content_type());
        Message { topic, payload, content_type, expires: self.expires, is_retained: false }
    }

    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        if let Some(heading) = &self.heading {
            heading.say(&self.link).await?;
        }
        self.link.publish(&self.message(batch.key.clone(), batch.bytes.clone())).await
    }
}

impl Sink for MqttSink {
    fn limits(&self) -> BatchLimits {
        let about = self.message(self.topic.clone(), Bytes::new()).bytes();
        let bytes_max = self.limits.bytes_max.min(self.link.payload_bytes_max(about));
        BatchLimits { bytes_max, ..self.limits }
    }

    /// `epoch` and `seq` tell a subscriber what it has seen; sealing every message would wear the flash for nothing.
    fn is_sealed(&self) -> bool {
        false
    }

    fn cut(&self, records: &[Numbered]) -> usize {
        match self.encoding.format {
            MqttFormat::Columnar => records.len().min(columnar::RECORDS_MAX),
            MqttFormat::Json | MqttFormat::JsonColumns | MqttFormat::Senml => records.len(),
        }
    }

    fn encode(&self, range: SeqRange, records: &[Numbered]) -> Result<Batch, DeliverError> {
        let bytes = self
            .payload(range, records)
            .map_err(|error| DeliverError::reject(format!("can not be encoded: {error}")))?;
        Ok(Batch { range, key: self.topic.clone(), bytes: Bytes::from(bytes), note: Bytes::new() })
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), DeliverError> {
        self.publish(batch).await.map_err(|error| match error {
            // What goes first over the next connection is decided when there is one.
            PublishError::Disconnected => DeliverError::Away,
            PublishError::Disliked { reason } => DeliverError::Disliked { reason },
            PublishError::NotNow { .. } => DeliverError::retry(error.to_string()),
            PublishError::Refused { .. } | PublishError::TooLarge { .. } => DeliverError::reject(error.to_string()),
        })
    }

    fn cost(&self, batch: &Batch) -> u64 {
        let heading = self.heading.as_ref().map_or(0, SaidHeading::cost);
        heading + self.message(batch.key.clone(), batch.bytes.clone()).bytes()
    }

    fn is_reachable(&self) -> bool {
        self.link.is_up()
    }

    async fn reachable(&self) {
        self.link.up().await;
    }

    fn hurry(&self) {
        self.link.hurry();
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
