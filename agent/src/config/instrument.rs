//! `[instrument.*]`: what is on a bus, how it speaks, and what its fields mean.

use std::ops::RangeInclusive;
use std::time::Duration;

use instruments::{FieldSpec, Mechanics, Place, ProtocolSpec, SpecError};
use model::{BusId, InstrumentId};

use super::node::Node;
use super::quantity::{self, Origin, QuantityConfig};
use super::section::{Fit, Misfit, Section, nearest};
use super::value::{self, duration, text};
use super::{modbus, protocol};

/// `[instrument.*]`
#[derive(Debug, Clone)]
pub struct InstrumentConfig {
    /// Its name.
    pub id: InstrumentId,
    /// The line it is on.
    pub bus: BusId,
    /// How often it is asked, where it is.
    pub every: Option<Duration>,
    /// How it speaks.
    pub protocol: ProtocolSpec,
    /// What it measures, in the order of `fields()`, and behind that what is derived.
    pub quantities: Vec<QuantityConfig>,
}

impl InstrumentConfig {
    /// Where the protocol finds each quantity.
    pub fn fields(&self) -> Vec<FieldSpec> {
        let field = |quantity: &QuantityConfig| match &quantity.origin {
            Origin::Field(field) => Some(field.clone()),
            Origin::Derived(_) => None,
        };
        self.quantities.iter().filter_map(field).collect()
    }
}

/// The agent's own readings have this name among the instruments.
pub const AGENT_INSTRUMENT: &str = "tidegate";

/// Most instruments of one device; each has a decoder and its counters in memory.
const INSTRUMENTS_MAX: usize = 1024;

pub(super) fn read_all(root: &Section<'_>, buses: &[String]) -> Vec<InstrumentConfig> {
    let sections = root.named("instrument");
    if sections.len() > INSTRUMENTS_MAX {
        root.refuse("instrument", Misfit::new(format!("at most {INSTRUMENTS_MAX} instruments")));
    }
    sections.iter().filter_map(|(name, section)| read(name, section, buses)).collect()
}

fn read(name: &str, section: &Section<'_>, buses: &[String]) -> Option<InstrumentConfig> {
    let id = InstrumentId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    if name == AGENT_INSTRUMENT {
        section.refuse("", Misfit::new("the agent itself has this name among the instruments").help("take another"));
    }
    let bus = section.require("bus", |node| known_bus(node, buses));
    section.get("profile", text); // Laid under this section by `profile`.
    let tags = section.get("tags", value::texts).unwrap_or_default();
    // A profile that was not found is one problem, not three.
    let is_bare = !section.has("profile");
    let said = section.section("protocol");
    let mut protocol = match &said {
        Some(protocol) => protocol::read(protocol),
        None if !is_bare => None,
        None => {
            let misfit = Misfit::new("an instrument needs a protocol");
            section.refuse("", misfit.help("name a shipped `profile`, or describe it in `protocol`"));
            None
        }
    };
    let named = section.named("quantity");
    let (derived, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, section)| section.has("derive"));
    if named.is_empty() && is_bare {
        let misfit = Misfit::new("an instrument needs at least one quantity");
        section.refuse("", misfit.help(format!("add [instrument.{name}.quantity.<name>] with field and unit")));
    }
    let every = read_every(section, protocol.as_ref());
    if let (Some(ProtocolSpec { mechanics: Mechanics::ModbusRtu(unit), .. }), Some(said)) = (&mut protocol, &said) {
        let base = modbus::address_base(said);
        let registers = named.iter().map(|(_, section)| modbus::read_register(section, base));
        let registers: Vec<_> = registers.collect();
        unit.registers = registers.into_iter().flatten().collect();
    }
    let quantities: Vec<Option<QuantityConfig>> = named
        .iter()
        .map(|(name, section)| quantity::read_measured(id.as_ref(), name, &tags, protocol.as_ref(), section))
        .collect();
    let derived = quantity::read_derived(id.as_ref(), &tags, &derived, &named, &quantities);
    section.finish();
    let quantities: Vec<QuantityConfig> = quantities.into_iter().chain(derived).collect::<Option<_>>()?;
    let config = InstrumentConfig { id: id?, bus: bus?, every: every?, protocol: protocol?, quantities };
    if let Mechanics::ModbusRtu(unit) = &config.protocol.mechanics
        && unit.registers.len() != named.len()
    {
        return None;
    }
    try_binding(&config, section, &named)?;
    Some(config)
}

/// Periods: a bus at 115,200 baud does one exchange in some 10 ms; a day has at least one reading.
const EVERY: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(86_400);

/// `every` of an instrument that is asked; the outer `None` is a problem that was put down.
#[expect(clippy::option_option, reason = "wrong, and right without a period, are two things")]
fn read_every(section: &Section<'_>, protocol: Option<&ProtocolSpec>) -> Option<Option<Duration>> {
    let Some(protocol) = protocol else {
        section.get("every", duration(EVERY));
        return None;
    };
    if protocol.mechanics.is_asked() {
        return section.require("every", duration(EVERY)).map(Some);
    }
    if section.get("every", duration(EVERY)).is_some() {
        let misfit = Misfit::new("an instrument that talks by itself is not asked");
        section.refuse("every", misfit.help("take `every` out, or write the protocol with `steps`"));
        return None;
    }
    Some(None)
}

/// A configuration is right when the protocol and the fields fit each other: the same call that `run` makes.
fn try_binding(config: &InstrumentConfig, section: &Section<'_>, named: &[(String, Section<'_>)]) -> Option<()> {
    let Err(SpecError { place, fault }) = instruments::bind(&config.protocol, &config.fields()) else {
        return Some(());
    };
    let misfit = Misfit::new(fault.to_string());
    match place {
        Place::Field(index) => named[index].1.refuse("field", misfit),
        Place::Ignore(_) => section.refuse("protocol.ignore", misfit),
        Place::Key(key) => section.refuse(&format!("protocol.{key}"), misfit),
    }
    None
}

fn known_bus(node: &Node, buses: &[String]) -> Fit<BusId> {
    let name = text(node)?;
    if buses.contains(&name) {
        return BusId::try_new(&name).map_err(|error| Misfit::new(error.to_string()));
    }
    let misfit = Misfit::new(format!("there is no [bus.{name}]"));
    Err(match nearest(&name, buses) {
        Some(right) => misfit.help(format!("did you mean \"{right}\"?")),
        None if buses.is_empty() => misfit.help(format!("add a section [bus.{name}] with its port")),
        None => misfit.help(format!("there is {}", buses.join(", "))),
    })
}
