//! What all `columnar` messages of a configuration have in common: whose they are, and what their numbers for series
//! mean. It stands on a retained topic named by its content, so that no message needs to carry it and none can be read
//! with the wrong one.
//!
//! The series are those of the configuration in force. A reading of another one, from before the configuration was
//! changed, brings its series along in its message: rare, and nothing to remember.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Epoch, Series, Tags};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::envelope::{VERSION, is_empty};
use crate::config::DeviceConfig;

/// Bytes of the hash that name it: eight are enough to tell the few that a device ever has.
pub const ID_BYTES: usize = 8;

/// The heading of a configuration.
#[derive(Debug)]
pub struct Heading {
    /// Names it in every message.
    pub id: [u8; ID_BYTES],
    /// The retained message, as JSON.
    pub json: Vec<u8>,
    numbers: HashMap<Arc<Series>, u32>,
}

#[derive(Serialize)]
struct Json<'a> {
    v: u8,
    device: &'a str,
    site: &'a str,
    epoch: &'a Epoch,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
    series: Vec<SeriesJson<'a>>,
}

/// A series as a row names it.
#[derive(Serialize)]
pub struct SeriesJson<'a> {
    instrument: &'a str,
    quantity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
}

impl<'a> SeriesJson<'a> {
    /// The words of a series.
    pub fn of(series: &'a Series) -> Self {
        let Series { instrument, quantity, unit, tags } = series;
        Self { instrument: instrument.as_str(), quantity: quantity.as_str(), unit, tags }
    }
}

impl Heading {
    /// The heading of as many of `series` as fit a message; the others are named where they are used.
    pub fn new(
        device: &DeviceConfig,
        epoch: &Epoch,
        series: &[Arc<Series>],
        fits: impl Fn(&[u8]) -> bool,
    ) -> serde_json::Result<Self> {
        let mut count = series.len();
        loop {
            let known = &series[..count];
            let json = serde_json::to_vec(&Json {
                v: VERSION,
                device: device.id.as_str(),
                site: device.site.as_str(),
                epoch,
                tags: &device.tags,
                series: known.iter().map(|series| SeriesJson::of(series)).collect(),
            })?;
            if count > 0 && !fits(&json) {
                count /= 2;
                continue;
            }
            let mut id = [0; ID_BYTES];
            id.copy_from_slice(&Sha256::digest(&json)[..ID_BYTES]);
            return Ok(Self { id, json, numbers: known.iter().cloned().zip(0..).collect() });
        }
    }

    /// The number of a series.
    pub fn number(&self, series: &Arc<Series>) -> Option<u32> {
        self.numbers.get(series).copied()
    }

    /// How many series it names: the next number is the first that a message may give out itself.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}
