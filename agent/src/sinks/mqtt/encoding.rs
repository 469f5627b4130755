//! How a batch becomes a payload: its format, whether zstd stands around it, and the content type that says so.

use crate::config::{MqttCompress, MqttFormat};

/// Batches are small and links are slow: another percent behind this costs a small board ten times the time.
const ZSTD_LEVEL: i32 = 9;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// What a batch is written as.
    pub format: MqttFormat,
    /// What stands around that.
    pub compress: MqttCompress,
}

impl Encoding {
    /// MQTT 5, section 3.3.2.3.9. zstd is said by the suffix that is registered for it: a user property would be another
    /// twenty bytes a message.
    pub fn content_type(self) -> &'static str {
        match (self.format, self.compress) {
            (MqttFormat::Json | MqttFormat::JsonColumns, MqttCompress::None) => "application/json",
            (MqttFormat::Json | MqttFormat::JsonColumns, MqttCompress::Zstd) => "application/json+zstd",
            (MqttFormat::Senml, MqttCompress::None) => "application/senml+json",
            (MqttFormat::Senml, MqttCompress::Zstd) => "application/senml+json+zstd",
            (MqttFormat::Columnar, MqttCompress::None) => "application/vnd.tidegate.columnar",
            (MqttFormat::Columnar, MqttCompress::Zstd) => "application/vnd.tidegate.columnar+zstd",
        }
    }

    /// The content type of what goes with the readings as JSON, the headings.
    pub fn json_content_type(self) -> &'static str {
        Self { format: MqttFormat::Json, ..self }.content_type()
    }

    /// The payload as sent: one zstd frame where that is asked for.
    pub fn wrap(self, payload: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self.compress {
            MqttCompress::None => Ok(payload),
            MqttCompress::Zstd => zstd::bulk::compress(&payload, ZSTD_LEVEL),
        }
    }
}
