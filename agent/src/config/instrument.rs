//! `[instrument.*]`: what is on a bus, how it speaks, and what its fields mean.

use std::sync::Arc;

use instruments::{DecodeSpec, FieldSpec, Kind, Place, ProtocolSpec, SpecError, StatusSpec};
use model::{BusId, InstrumentId, QuantityId, Series, Tags};

use super::node::{Node, Tree};
use super::protocol;
use super::section::{Fit, Misfit, Section, nearest};
use super::value::{self, choice, integer, list, number, text};

/// `[instrument.*]`
#[derive(Debug, Clone)]
pub struct InstrumentConfig {
    /// Its name.
    pub id: InstrumentId,
    /// The line it is on.
    pub bus: BusId,
    /// How it speaks.
    pub protocol: ProtocolSpec,
    /// What it measures; the order is that of `fields()`.
    pub quantities: Vec<QuantityConfig>,
}

impl InstrumentConfig {
    /// Where the protocol finds each quantity.
    pub fn fields(&self) -> Vec<FieldSpec> {
        self.quantities.iter().map(|quantity| quantity.field.clone()).collect()
    }
}

/// `[instrument.*.quantity.*]`
#[derive(Debug, Clone)]
pub struct QuantityConfig {
    /// Instrument, name, unit and tags.
    pub series: Arc<Series>,
    /// Where the protocol finds it.
    pub field: FieldSpec,
    /// What the instrument's number is multiplied with.
    pub scale: f64,
    /// What is added after that.
    pub offset: f64,
    /// Inside: quality `pass`; outside: `fail`. None: `not-evaluated`.
    pub valid: Option<[f64; 2]>,
}

/// Most instruments of one device; each has a decoder and its counters in memory.
const INSTRUMENTS_MAX: usize = 1024;

/// Longest list of `missing` values.
const MISSING_MAX: usize = 64;

pub(super) fn read_all(root: &Section<'_>, buses: &[String]) -> Vec<InstrumentConfig> {
    let sections = root.named("instrument");
    if sections.len() > INSTRUMENTS_MAX {
        root.refuse("instrument", Misfit::new(format!("at most {INSTRUMENTS_MAX} instruments")));
    }
    sections.iter().filter_map(|(name, section)| read(name, section, buses)).collect()
}

fn read(name: &str, section: &Section<'_>, buses: &[String]) -> Option<InstrumentConfig> {
    let id = InstrumentId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    let bus = section.require("bus", |node| known_bus(node, buses));
    section.get("profile", text); // Laid under this section by `profile`.
    section.not_yet("every");
    let tags = section.get("tags", value::texts).unwrap_or_default();
    // A profile that was not found is one problem, not three.
    let is_bare = !section.has("profile");
    let protocol = match section.section("protocol") {
        Some(protocol) => protocol::read(&protocol),
        None if !is_bare => None,
        None => {
            let misfit = Misfit::new("an instrument needs a protocol");
            section.refuse("", misfit.help("name a shipped `profile`, or describe it in `protocol`"));
            None
        }
    };
    let named = section.named("quantity");
    if named.is_empty() && is_bare {
        let misfit = Misfit::new("an instrument needs at least one quantity");
        section.refuse("", misfit.help(format!("add [instrument.{name}.quantity.<name>] with field and unit")));
    }
    let is_binary =
        protocol.as_ref().is_some_and(|protocol: &ProtocolSpec| matches!(protocol.decode, DecodeSpec::Struct(_)));
    let quantities: Vec<Option<QuantityConfig>> = named
        .iter()
        .map(|(quantity, section)| read_quantity(id.as_ref(), quantity, &tags, is_binary, section))
        .collect();
    section.finish();
    let quantities: Vec<QuantityConfig> = quantities.into_iter().collect::<Option<_>>()?;
    let config = InstrumentConfig { id: id?, bus: bus?, protocol: protocol?, quantities };
    try_binding(&config, section, &named)?;
    Some(config)
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

const KIND: &[(&str, Kind)] = &[("number", Kind::Number), ("text", Kind::Text)];

fn read_quantity(
    instrument: Option<&InstrumentId>,
    name: &str,
    tags: &Tags,
    is_binary: bool,
    section: &Section<'_>,
) -> Option<QuantityConfig> {
    let quantity = QuantityId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    let field = read_field(section, is_binary);
    let unit = section.get("unit", text).unwrap_or_default();
    let kind = section.get("kind", choice(KIND)).unwrap_or(Kind::Number);
    let missing = section.get("missing", list(missing_value)).unwrap_or_default();
    if missing.len() > MISSING_MAX {
        section.refuse("missing", Misfit::new(format!("at most {MISSING_MAX} values")));
    }
    let scale = section.get("scale", number).unwrap_or(1.0);
    let offset = section.get("offset", number).unwrap_or(0.0);
    let valid = section.get("valid", range);
    let good = section.section("good").map(|good| read_status(&good, is_binary));
    for later in ["spike", "rate", "flat", "alarm", "min_change", "max_gap", "dedupe"] {
        section.not_yet(later);
    }
    section.finish();
    let series = Series { instrument: instrument?.clone(), quantity: quantity?, unit, tags: tags.clone() };
    let good = match good {
        Some(read) => Some(read?),
        None => None,
    };
    let field = FieldSpec { field: field?, kind, missing, good };
    Some(QuantityConfig { series: Arc::new(series), field, scale, offset, valid })
}

/// Where a field is; in a binary frame an offset with a type, and a bit if one is wanted, are one place.
fn read_field(section: &Section<'_>, is_binary: bool) -> Option<String> {
    let field = section.require("field", selector);
    if !is_binary {
        return field;
    }
    let kind = section.get("type", text);
    let bit = section.get("bit", integer::<u32>(0..=63));
    let (mut field, Some(kind)) = (field?, kind) else { return section.get("field", selector) };
    field = format!("{field}:{kind}");
    Some(match bit {
        Some(bit) => format!("{field}.{bit}"),
        None => field,
    })
}

/// `good`: the status that gates a value.
fn read_status(section: &Section<'_>, is_binary: bool) -> Option<StatusSpec> {
    let field = read_field(section, is_binary);
    let values = section.require("values", list(missing_value));
    let suspect = section.get("suspect", list(missing_value)).unwrap_or_default();
    let missing = section.get("missing", list(missing_value)).unwrap_or_default();
    section.finish();
    let values = values?;
    if values.len() + suspect.len() + missing.len() > MISSING_MAX {
        section.refuse("values", Misfit::new(format!("at most {MISSING_MAX} values")));
    }
    Some(StatusSpec { field: field?, values, suspect, missing })
}

/// A field is a column number, an offset or the decoder's own name for it; all are kept as text.
pub(super) fn selector(node: &Node) -> Fit<String> {
    match &node.value {
        Tree::Integer(place) if *place >= 0 => Ok(place.to_string()),
        Tree::Integer(_) => Err(Misfit::new("columns count from 1, offsets from 0")),
        _ => match text(node)? {
            empty if empty.is_empty() => Err(Misfit::new("a field can not be empty")),
            field => Ok(field),
        },
    }
}

/// `missing` takes texts, and numbers for convenience.
fn missing_value(node: &Node) -> Fit<String> {
    match &node.value {
        Tree::Integer(number) => Ok(number.to_string()),
        Tree::Float(number) => Ok(number.to_string()),
        _ => text(node),
    }
}

fn range(node: &Node) -> Fit<[f64; 2]> {
    let limits = list(number)(node)?;
    match limits[..] {
        [low, high] if low <= high => Ok([low, high]),
        [_, _] => Err(Misfit::new("the lower limit comes first")),
        _ => Err(Misfit::new("two limits are expected here").help("valid = [0.0, 25.0]")),
    }
}
