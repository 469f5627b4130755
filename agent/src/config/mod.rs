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
pub mod local;
mod modbus;
mod node;
mod poll;
pub mod port;
mod problem;
mod profile;
mod protocol;
pub mod provision;
pub mod proxy;
pub mod quantity;
pub mod remote;
mod schema;
mod sdi12;
mod secrets;
mod section;
mod shown;
pub mod sink;
mod source;
pub mod stage;
pub mod tls;
pub mod update;
mod value;

pub use bus::BusConfig;
pub use clock::ClockConfig;
pub use derive::{DeriveConfig, InputConfig};
pub use device::DeviceConfig;
pub use instrument::{AGENT_INSTRUMENT, InstrumentConfig};
pub use journal::{JournalConfig, SinkBytes};
pub use layers::{
    Layers, RevisionError, journal_path, load, load_local, load_staged, load_with, stage_of, who_and_where,
};
pub use local::{LocalConfig, WebConfig};
pub use port::{PortName, UsbName, port_name};
pub use problem::{ConfigError, Located};
pub use profile::{About, PROFILE, Simulated, nearest_profile, profile_names, shipped_profiles, simulated, trial_bus};
pub use provision::ProvisionConfig;
pub use quantity::{AlarmConfig, ExceptionConfig, Origin, QuantityConfig, TestsConfig};
pub use remote::RemoteConfig;
pub use sink::{
    BatchConfig, LakeConfig, MqttCompress, MqttConfig, MqttFormat, MqttProfile, MqttVersion, SinkConfig, SinkKind,
    SpendingConfig,
};
pub use update::UpdateConfig;

pub use schema::schema;
pub use secrets::Redactor;
pub use section::nearest;
pub use shown::{ShownKey, keys_with, shown};
pub use value::millis;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// `[remote]`, where there is one.
    pub remote: Option<RemoteConfig>,
    /// `[update]`
    pub update: UpdateConfig,
    /// `[provision]`, where there is one.
    pub provision: Option<ProvisionConfig>,
    /// SHA-256 over the merged configuration: two devices with the same hash run the same one.
    pub hash: String,
    /// The revision from afar that is in it.
    pub revision: Option<Arc<stage::Revision>>,
    /// What differs where it differs.
    parts: Parts,
}

/// The parts of a configuration that can be exchanged by themselves, each with the hash of what was written for it:
/// `device`, `instrument.do-4`, `sink.lake`, `sink.lake.batch`.
type Parts = BTreeMap<String, String>;

/// The configuration in force, for all who look it up when they need it.
#[derive(Debug, Clone)]
pub struct InForce(Arc<Mutex<Arc<Config>>>);

impl InForce {
    /// In force from the start.
    pub fn new(config: Arc<Config>) -> Self {
        Self(Arc::new(Mutex::new(config)))
    }

    /// What is in force now.
    pub fn get(&self) -> Arc<Config> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in its place.
    pub fn set(&self, config: Arc<Config>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

impl Config {
    /// The name of the revision from afar that is in force.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_ref().map(|revision| revision.revision.as_str())
    }

    /// What the instruments measure, in the order in which a bus asks or hears them.
    pub fn series(&self) -> Vec<Arc<Series>> {
        let instruments = self.buses.iter().flat_map(|bus| &bus.instruments);
        instruments.flat_map(|instrument| &instrument.quantities).map(|quantity| quantity.series.clone()).collect()
    }

    /// Whether a part (`bus.rs485`) is the same in both, or in neither.
    pub fn is_same(&self, other: &Self, part: &str) -> bool {
        self.parts.get(part) == other.parts.get(part)
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
    let local = local::read(&section, &device);
    let instruments = instrument::read_all(&section, &bus::names(&section));
    let buses = bus::read_all(&section, &instruments);
    let sinks = sink::read_all(&section, &device);
    let clock = clock::read(&section);
    let update = update::read(&section, &device, &journal);
    let remote = remote::read(&section, &device, &sinks);
    let provision = provision::read(&section, &device, &sinks);
    section.finish();
    let (hash, parts) = (layers::hash(root), parts(root));
    Config { device, journal, clock, local, buses, sinks, remote, update, provision, hash, revision: None, parts }
}

/// Sections whose tables are parts by themselves.
const NAMED: [&str; 3] = ["bus", "instrument", "sink"];

fn parts(root: &Node) -> Parts {
    let mut parts = Parts::new();
    for (key, section) in root.children() {
        if !NAMED.contains(&key) {
            parts.insert(key.to_owned(), layers::hash(section));
            continue;
        }
        for (name, node) in section.children() {
            let mut whole = node.clone();
            // What a sink's batches are cut by concerns its runner alone.
            if let Some(batch) = whole.take("batch") {
                parts.insert(format!("{key}.{name}.batch"), layers::hash(&batch));
            }
            parts.insert(format!("{key}.{name}"), layers::hash(&whole));
        }
    }
    if let Some(path) = root.child("journal").and_then(|journal| journal.child("path")) {
        parts.insert("journal.path".to_owned(), layers::hash(path));
    }
    parts
}
