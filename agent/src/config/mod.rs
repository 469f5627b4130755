//! The configuration: layers as written, merged, and checked into values that need no further checking.
//!
//! `source`, `node` and `problem` know where everything stands, `section` and `value` read it, one file a section turns it
//! into a checked type. As-written and checked are two worlds: nothing outside this room sees a `Node`, and nothing
//! checked has an `Option` that stands for a default. This room reads files and the environment and nothing else.

pub mod bus;
pub mod clock;
pub mod credentials;
pub mod derive;
pub mod device;
pub mod instrument;
pub mod journal;
mod layers;
mod modbus;
mod node;
mod poll;
pub mod port;
mod problem;
mod profile;
mod protocol;
pub mod proxy;
pub mod quantity;
mod sdi12;
mod section;
pub mod sink;
mod source;
pub mod tls;
pub mod update;
mod value;

pub use bus::BusConfig;
pub use clock::ClockConfig;
pub use derive::{DeriveConfig, InputConfig};
pub use device::{DeviceConfig, LocalConfig};
pub use instrument::{AGENT_INSTRUMENT, InstrumentConfig};
pub use journal::{JournalConfig, SinkBytes};
pub use layers::{Layers, load};
pub use port::{PortName, UsbName};
pub use problem::{ConfigError, Located};
pub use profile::{About, PROFILE, Simulated, nearest_profile, shipped_profiles, simulated, trial_bus};
pub use quantity::{AlarmConfig, ExceptionConfig, Origin, QuantityConfig, TestsConfig};
pub use sink::{
    BatchConfig, LakeConfig, MqttCompress, MqttConfig, MqttFormat, MqttProfile, MqttVersion, SinkConfig, SinkKind,
    SpendingConfig,
};
pub use update::UpdateConfig;

pub use section::nearest;
pub use value::millis;

use std::sync::Arc;

use model::Series;

use node::Node;
use section::{Problems, Section};
use source::Sources;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[device]`
    pub device: DeviceConfig,
    /// `[journal]`
    pub journal: JournalConfig,
    /// `[clock]`
    pub clock: ClockConfig,
    /// `[local]`
    pub local: LocalConfig,
    /// `[bus.*]`, each with its instruments, in name order.
    pub buses: Vec<BusConfig>,
    /// `[sink.*]`, in name order.
    pub sinks: Vec<SinkConfig>,
    /// `[update]`
    pub update: UpdateConfig,
    /// SHA-256 over the merged configuration: two devices with the same hash run the same one.
    pub hash: String,
}

impl Config {
    /// What the instruments measure, in the order in which a bus asks or hears them.
    pub fn series(&self) -> Vec<Arc<Series>> {
        let instruments = self.buses.iter().flat_map(|bus| &bus.instruments);
        instruments.flat_map(|instrument| &instrument.quantities).map(|quantity| quantity.series.clone()).collect()
    }
}

/// Checks a merged tree. Every problem is found, not only the first.
fn check(root: &Node, sources: Sources, mut found: Vec<problem::Problem>) -> Result<Config, ConfigError> {
    let problems = Problems::default();
    let config = read(root, &problems);
    found.extend(problems.into_inner());
    found.sort_by_key(|problem| (problem.at.source, problem.at.span.start));
    if found.is_empty() { Ok(config) } else { Err(ConfigError { problems: found, sources }) }
}

fn read(root: &Node, problems: &Problems) -> Config {
    let section = Section::root(root, problems);
    let device = device::read(&section);
    let journal = journal::read(&section, &device);
    let local = device::read_local(&section, &device);
    let instruments = instrument::read_all(&section, &bus::names(&section));
    let buses = bus::read_all(&section, &instruments);
    let sinks = sink::read_all(&section, &device);
    let clock = clock::read(&section);
    let update = update::read(&section, &device, &journal);
    section.not_yet("remote");
    section.finish();
    Config { device, journal, clock, local, buses, sinks, update, hash: layers::hash(root) }
}
