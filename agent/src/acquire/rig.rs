//! What the tests of this room share: a station as a configuration makes it, fed by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Clock, Reading, Record, Stamp, Timestamp};

use super::station::Station;
use crate::config::{Layers, load};
use crate::telemetry::health::InstrumentHealth;

/// The station of the only instrument of this configuration; its bus is `b`.
pub fn station(instrument: &str) -> Station {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, format!("[device]\nid = \"d\"\n[bus.b]\nport = \"/dev/ttyS9\"\n{instrument}")).unwrap();
    let config = load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let config = config.buses[0].instruments[0].clone();
    let quantities = config.quantities.iter().map(|quantity| (quantity.series.quantity.to_string(), String::new()));
    let health = InstrumentHealth::new(config.id.clone(), config.bus.clone(), quantities.collect());
    Station::new(config, Arc::new(health))
}

/// So many milliseconds after the beginning of all time.
pub fn at(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(i64::try_from(mono_ms).unwrap()), mono_ms, clock: Clock::Synced }
}

/// What a station says to these bytes.
pub fn hear(station: &mut Station, bytes: &[u8], mono_ms: u64) -> Vec<Reading> {
    let mut records = Vec::new();
    station.receive(bytes, at(mono_ms), &mut records);
    readings(records)
}

/// The readings among records.
pub fn readings(records: Vec<Record>) -> Vec<Reading> {
    records
        .into_iter()
        .filter_map(|record| if let Record::Reading(reading) = record { Some(reading) } else { None })
        .collect()
}
