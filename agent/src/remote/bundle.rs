//! What somebody at home needs to help: one JSON document of what the device knows of itself. The configuration in it names
//! files and holds no secrets; a login's name is left out all the same.

use std::fs;
use std::sync::Arc;

use journal::Reader;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::{Config, SinkKind, stage::Stage};
use crate::control::{journal as stat, status::Status};
use crate::sinks::lake::shelf::Shelf;
use crate::sinks::s3::Bucket;
use crate::telemetry::health::SinkHealth;

/// Files of the kernel that tell a board from another, and how it is.
const FACTS: [&str; 7] = [
    "/etc/os-release",
    "/proc/version",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/uptime",
    "/proc/self/status",
];
/// Of each so much.
const FACT_BYTES_MAX: usize = 4 << 10;

/// The bundle.
pub fn of(config: &Config, status: &Status, reader: &Reader) -> Value {
    let facts: serde_json::Map<String, Value> = FACTS
        .iter()
        .filter_map(|file| {
            let mut text = fs::read_to_string(file).ok()?;
            let end = (0..=FACT_BYTES_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
            Some(((*file).to_owned(), text.into()))
        })
        .collect();
    let stage = Stage::load(&config.journal.path).unwrap_or_default();
    json!({
        "v": 1,
        "status": status,
        "journal": stat::stat(reader).map_err(|error| error.to_string()).unwrap_or_default(),
        "revision": {"confirmed": stage.confirmed, "trial": stage.trial, "last": stage.last},
        "board": facts,
    })
}

/// Puts it into a lake, and gives its key there.
pub async fn put(config: &Config, sink: &str, bundle: &Value, clock: &Clock) -> Result<String, String> {
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
    let name = clock.now().to_string().replace([':', '.'], "-");
    let device = &config.device;
    let key = format!("{}support/v1/site={}/device={}/{name}.json.zst", lake.prefix.as_str(), device.site, device.id);
    let bytes = zstd::bulk::compress(bundle.to_string().as_bytes(), 3).map_err(|error| error.to_string())?;
    shelf.put_sealed(&key, bytes.into(), "application/zstd").await.map_err(|error| error.to_string())?;
    Ok(key)
}
