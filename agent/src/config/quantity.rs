//! `[instrument.*.quantity.*]`: where a value comes from, what its number means, and what is thought of it.

use std::sync::Arc;
use std::time::Duration;

use instruments::{DecodeSpec, FieldSpec, Kind, Mechanics, ProtocolSpec, StatusSpec};
use model::{InstrumentId, QuantityId, Series, Tags};

use super::derive::{self, DeriveConfig, Known, Source};
use super::node::{Node, Tree};
use super::section::{Fit, Misfit, Section};
use super::value::{choice, duration, integer, list, number, text};

/// `[instrument.*.quantity.*]`
#[derive(Debug, Clone)]
pub struct QuantityConfig {
    /// Instrument, name, unit and tags.
    pub series: Arc<Series>,
    /// Where it comes from.
    pub origin: Origin,
    /// What the instrument's number is multiplied with.
    pub scale: f64,
    /// What is added after that.
    pub offset: f64,
    /// What its values are tested for.
    pub tests: TestsConfig,
    /// When somebody is to be woken.
    pub alarm: Option<AlarmConfig>,
    /// What is worth a reading; none: everything.
    pub exception: Option<ExceptionConfig>,
    /// The same text within this time of its last sight is no new reading.
    pub dedupe: Option<Duration>,
}

/// Where a quantity comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The instrument says it here.
    Field(FieldSpec),
    /// It follows from others.
    Derived(DeriveConfig),
}

impl QuantityConfig {
    /// Whether its values are texts.
    pub fn is_text(&self) -> bool {
        matches!(&self.origin, Origin::Field(field) if field.kind == Kind::Text)
    }
}

/// `valid`, `rate`, `flat`, `spike`
#[derive(Debug, Clone, Copy, Default)]
pub struct TestsConfig {
    /// Inside: quality `pass`; outside: `fail`.
    pub valid: Option<[f64; 2]>,
    /// A faster change, in units a second, is `suspect`.
    pub rate: Option<f64>,
    /// Unchanged for so long is `suspect`.
    pub flat: Option<Duration>,
    /// A value further from the one before is `suspect` until it is confirmed.
    pub spike: Option<f64>,
}

/// `alarm = { below | above, clear, after }`
#[derive(Debug, Clone, Copy)]
pub struct AlarmConfig {
    /// What is beyond.
    pub limit: Limit,
    /// Where it is over.
    pub clear: f64,
    /// How long a value must be beyond.
    pub after: Duration,
}

/// Which side of an alarm's limit is beyond.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Less than this.
    Below(f64),
    /// More than this.
    Above(f64),
}

/// `min_change`, `max_gap`
#[derive(Debug, Clone, Copy)]
pub struct ExceptionConfig {
    /// A value that moved by less is skipped,
    pub min_change: f64,
    /// unless the last reading is so old.
    pub max_gap: Duration,
}

/// Longest list of `missing` values.
const MISSING_MAX: usize = 64;

const KIND: &[(&str, Kind)] = &[("number", Kind::Number), ("text", Kind::Text)];

pub(super) fn read_measured(
    instrument: Option<&InstrumentId>,
    name: &str,
    tags: &Tags,
    protocol: Option<&ProtocolSpec>,
    section: &Section<'_>,
) -> Option<QuantityConfig> {
    let is_register = protocol.is_some_and(|protocol| matches!(protocol.mechanics, Mechanics::ModbusRtu(_)));
    let is_binary = !is_register && protocol.is_some_and(|protocol| matches!(protocol.decode, DecodeSpec::Struct(_)));
    let field = if is_register { Some(name.to_owned()) } else { read_field(section, is_binary) };
    let unit = section.get("unit", text).unwrap_or_default();
    let is_text = is_register && section.get("type", text).is_some_and(|format| format == "text");
    let usual = if is_text { Kind::Text } else { Kind::Number };
    let kind = section.get("kind", choice(KIND)).unwrap_or(usual);
    let missing = section.get("missing", list(missing_value)).unwrap_or_default();
    if missing.len() > MISSING_MAX {
        section.refuse("missing", Misfit::new(format!("at most {MISSING_MAX} values")));
    }
    let scale = section.get("scale", number).unwrap_or(1.0);
    let offset = section.get("offset", number).unwrap_or(0.0);
    let dedupe = read_dedupe(section, kind);
    // A register's status is read with the registers.
    let good = if is_register { None } else { section.section("good").map(|good| read_status(&good, is_binary)) };
    let good = match good {
        Some(read) => read.map(Some),
        None => Some(None),
    };
    let origin = || Some(Origin::Field(FieldSpec { field: field?, kind, missing, good: good? }));
    let quantity = read_quantity(instrument, name, tags, (unit, origin()), section)?;
    Some(QuantityConfig { scale, offset, dedupe, ..quantity })
}

/// The quantities that follow from others, `measured` ones with these names.
pub(super) fn read_derived(
    instrument: Option<&InstrumentId>,
    tags: &Tags,
    derived: &[(String, Section<'_>)],
    named: &[(String, Section<'_>)],
    measured: &[Option<QuantityConfig>],
) -> Vec<Option<QuantityConfig>> {
    let sources = measured.iter().map(|quantity| quantity.as_ref().map_or(Source::Wrong, Source::Measured));
    let known = named.iter().zip(sources).map(|((name, _), source)| Known { name, source });
    let known: Vec<Known<'_>> =
        known.chain(derived.iter().map(|(name, _)| Known { name, source: Source::Derived })).collect();
    let read = |(name, section): &(String, Section<'_>)| {
        let unit = section.get("unit", text);
        let config = section.section("derive").and_then(|derive| derive::read(&derive, unit.as_deref(), &known));
        let unit = unit.or_else(|| Some(config.as_ref()?.unit.clone())).unwrap_or_default();
        read_quantity(instrument, name, tags, (unit, config.map(Origin::Derived)), section)
    };
    derived.iter().map(read).collect()
}

/// What any quantity has, wherever it comes from.
fn read_quantity(
    instrument: Option<&InstrumentId>,
    name: &str,
    tags: &Tags,
    (unit, origin): (String, Option<Origin>),
    section: &Section<'_>,
) -> Option<QuantityConfig> {
    let quantity = QuantityId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    let tests = read_tests(section);
    let alarm = section.section("alarm").and_then(|alarm| read_alarm(&alarm));
    let exception = read_exception(section);
    section.finish();
    let series = Series { instrument: instrument?.clone(), quantity: quantity?, unit, tags: tags.clone() };
    let (series, scale, offset) = (Arc::new(series), 1.0, 0.0);
    Some(QuantityConfig { series, origin: origin?, scale, offset, tests, alarm, exception, dedupe: None })
}

fn read_tests(section: &Section<'_>) -> TestsConfig {
    TestsConfig {
        valid: section.get("valid", range),
        rate: section.get("rate", rate),
        flat: section.get("flat", duration(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400))),
        spike: section.get("spike", spike),
    }
}

fn read_dedupe(section: &Section<'_>, kind: Kind) -> Option<Duration> {
    let dedupe = section.get("dedupe", duration(Duration::from_millis(100)..=Duration::from_secs(86_400)))?;
    if kind == Kind::Text {
        return Some(dedupe);
    }
    let misfit = Misfit::new("only texts are said again; a number that did not change is a measurement");
    section.refuse("dedupe", misfit.help("write `kind = \"text\"` if it is an id, or `min_change` with `max_gap`"));
    None
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

fn read_alarm(section: &Section<'_>) -> Option<AlarmConfig> {
    let (below, above) = (section.get("below", number), section.get("above", number));
    let clear = section.get("clear", number);
    let after = section.get("after", duration(Duration::ZERO..=Duration::from_secs(86_400))).unwrap_or_default();
    section.finish();
    let example = "alarm = { below = 4.0, clear = 4.5, after = \"60s\" }";
    let (limit, clear, is_apart) = match (below, above) {
        (Some(limit), None) => (Limit::Below(limit), clear.unwrap_or(limit), clear.is_none_or(|clear| clear >= limit)),
        (None, Some(limit)) => (Limit::Above(limit), clear.unwrap_or(limit), clear.is_none_or(|clear| clear <= limit)),
        _ => {
            section.refuse("", Misfit::new("an alarm has either `below` or `above`").help(example));
            return None;
        }
    };
    if !is_apart {
        section.refuse("clear", Misfit::new("`clear` lies on the good side of the limit").help(example));
        return None;
    }
    Some(AlarmConfig { limit, clear, after })
}

fn read_exception(section: &Section<'_>) -> Option<ExceptionConfig> {
    let min_change = section.get("min_change", number);
    let max_gap = section.get("max_gap", duration(Duration::from_secs(1)..=Duration::from_secs(86_400)));
    let min_change = min_change?;
    if min_change < 0.0 {
        section.refuse("min_change", Misfit::new("a change is not negative"));
    }
    let max_gap = max_gap.unwrap_or(Duration::from_secs(300));
    (min_change > 0.0).then_some(ExceptionConfig { min_change, max_gap })
}

/// `"0.5/min"`: a number of units a second, minute or hour; in units a second.
fn rate(node: &Node) -> Fit<f64> {
    let written = text(node)?;
    let misfit = || Misfit::new(format!("\"{written}\" is no rate")).help("rate = \"0.5/min\"; also /s and /h");
    let (number, per) = written.split_once('/').ok_or_else(misfit)?;
    let seconds = match per.trim() {
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(misfit()),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number / seconds),
        _ => Err(misfit()),
    }
}

fn spike(node: &Node) -> Fit<f64> {
    match number(node)? {
        threshold if threshold > 0.0 => Ok(threshold),
        _ => Err(Misfit::new("a spike is a change of more than nothing").help("spike = 3.0")),
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
