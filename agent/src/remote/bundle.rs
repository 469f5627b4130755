//! A support bundle put into a lake, where somebody at home finds it.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, SinkKind};
use crate::control::bundle::Bundle;
use crate::sinks::lake::shelf::Shelf;
use crate::sinks::s3::Bucket;
use crate::telemetry::health::SinkHealth;

/// Puts it into a lake, and gives its key there.
pub async fn put(config: &Config, sink: &str, bundle: &Bundle, clock: &Clock) -> Result<String, String> {
    let found = config.sinks.iter().find(|held| held.id.as_str() == sink);
    let found = found.ok_or_else(|| format!("there is no sink \"{sink}\""))?;
    let lake = found.kind.lake().ok_or_else(|| format!("sink \"{sink}\" is no lake"))?;
    let shelf = match &found.kind {
        SinkKind::File(file) => Shelf::folder(file.path.clone()),
        SinkKind::S3(s3) => {
            Shelf::bucket(Bucket::new(s3, clock, &Arc::new(SinkHealth::new(found.id.clone(), found.kind.as_str()))))
        }
        SinkKind::Mqtt(_) => return Err(format!("sink \"{sink}\" is no lake")),
    };
    let device = &config.device;
    let folder = format!("{}support/v1/site={}/device={}", lake.prefix.as_str(), device.site, device.id);
    let key = format!("{folder}/{}.tar.zst", bundle.name());
    let bytes = bundle.archive().map_err(|error| error.to_string())?;
    shelf.put_sealed(&key, bytes.into(), "application/zstd").await.map_err(|error| error.to_string())?;
    Ok(key)
}
