//! `derive = { .. }`: a quantity that is not read but follows from others of the same instrument.

use instruments::derive::{Formula, oxygen};

use super::node::{Node, Tree};
use super::quantity::QuantityConfig;
use super::section::{Fit, Misfit, Section, nearest};
use super::value::{choice, integer, number, text};

/// What a quantity is derived from, and how.
#[derive(Debug, Clone)]
pub struct DeriveConfig {
    /// How it follows.
    pub formula: Formula,
    /// What from, as the formula wants them; the first is always a quantity, and leads.
    pub inputs: Vec<InputConfig>,
    /// What the formula's result is multiplied with for the unit that is asked for.
    pub factor: f64,
    /// The unit where the configuration names none.
    pub unit: String,
}

/// One input of a formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InputConfig {
    /// Always the same.
    Constant(f64),
    /// A quantity of the same instrument.
    Quantity {
        /// Its place among the instrument's quantities.
        index: usize,
        /// What its value is multiplied with for the unit of the formula.
        factor: f64,
    },
}

/// A quantity of the instrument, as its name is looked up.
pub(super) struct Known<'a> {
    /// Its name.
    pub name: &'a str,
    /// What can be derived from it.
    pub source: Source<'a>,
}

/// What can be derived from a quantity.
pub(super) enum Source<'a> {
    /// It is read from the instrument.
    Measured(&'a QuantityConfig),
    /// Nothing, it is wrong itself, and that was put down.
    Wrong,
    /// Nothing, it is derived itself.
    Derived,
}

#[derive(Debug, Clone, Copy)]
enum Type {
    Saturation,
    Concentration,
    Rate,
}

const TYPES: &[(&str, Type)] =
    &[("oxygen-saturation", Type::Saturation), ("oxygen-concentration", Type::Concentration), ("rate", Type::Rate)];

/// Units in the spelling of UCUM, and what makes the formula's unit of each.
type Units = &'static [(&'static str, f64)];

/// mg/L.
const OXYGEN: Units = &[("mg/L", 1.0), ("umol/L", oxygen::MG_PER_UMOL), ("ug/L", 1e-3)];
const PERCENT: Units = &[("%", 1.0)];
const CELSIUS: Units = &[("Cel", 1.0)];
/// Practical salinity has no unit, and many names.
const SALINITY: Units = &[("1", 1.0), ("PSU", 1.0), ("{PSU}", 1.0), ("1e-3", 1.0), ("g/kg", 1.0)];
/// hPa.
const PRESSURE: Units =
    &[("hPa", 1.0), ("mbar", 1.0), ("kPa", 10.0), ("Pa", 0.01), ("bar", 1_000.0), ("atm", oxygen::ATM_HPA)];

const PER: &[(&str, (&str, f64))] = &[("s", ("s", 1e3)), ("min", ("min", 6e4)), ("h", ("h", 3.6e6))];

/// Reads `derive`; `unit` is what the quantity is asked in, `known` the instrument's quantities, measured ones first.
pub(super) fn read(section: &Section<'_>, unit: Option<&str>, known: &[Known<'_>]) -> Option<DeriveConfig> {
    let config = match section.require("type", choice(TYPES))? {
        Type::Saturation => read_water(section, Formula::OxygenSaturation, ("oxygen", OXYGEN), known)
            .and_then(|config| told_in(section, unit, PERCENT, config)),
        Type::Concentration => read_water(section, Formula::OxygenConcentration, ("saturation", PERCENT), known)
            .and_then(|config| told_in(section, unit, OXYGEN, config)),
        Type::Rate => read_rate(section, known),
    };
    section.finish();
    config
}

/// Oxygen: the quantity that leads, and the water it is in.
fn read_water(
    section: &Section<'_>,
    formula: Formula,
    (lead, units): (&str, Units),
    known: &[Known<'_>],
) -> Option<DeriveConfig> {
    let lead = section.require(lead, |node| quantity(node, units, known)).flatten();
    let temperature = section.require("temperature", |node| input(node, CELSIUS, known)).flatten();
    let salinity = section.require("salinity", |node| input(node, SALINITY, known)).flatten();
    let pressure = if section.has("pressure") {
        section.get("pressure", |node| input(node, PRESSURE, known)).flatten()
    } else {
        // Asked for all the same, so that a misspelt one is told the right name.
        section.get("pressure", number).or(Some(oxygen::ATM_HPA)).map(InputConfig::Constant)
    };
    let inputs = vec![lead?, temperature?, salinity?, pressure?];
    Some(DeriveConfig { formula, inputs, factor: 1.0, unit: String::new() })
}

/// The same, told in the unit that is asked for; the first of `units` where none is.
fn told_in(section: &Section<'_>, unit: Option<&str>, units: Units, config: DeriveConfig) -> Option<DeriveConfig> {
    let (usual, _) = units[0];
    let Some((word, factor)) = units.iter().find(|(word, _)| *word == unit.unwrap_or(usual)) else {
        let misfit = Misfit::new(format!("this is not derived in \"{}\"", unit.unwrap_or_default()));
        section.refuse("", misfit.help(format!("unit = {}", spelt(units))));
        return None;
    };
    Some(DeriveConfig { factor: 1.0 / factor, unit: (*word).to_owned(), ..config })
}

fn read_rate(section: &Section<'_>, known: &[Known<'_>]) -> Option<DeriveConfig> {
    let of = section.require("of", |node| measured(node, known)).flatten();
    let per = section.require("per", choice(PER));
    let wrap = section.get("wrap", integer::<i64>(2..=1 << 32));
    let (index, of) = of?;
    let (word, per_ms) = per?;
    // 2^32 is the only number in range that a u32 does not hold.
    let wrap = wrap.map(|wrap| u32::try_from(wrap).map_or(f64::from(u32::MAX) + 1.0, f64::from));
    let inputs = vec![InputConfig::Quantity { index, factor: 1.0 }];
    let unit = format!("{}/{word}", of.series.unit);
    Some(DeriveConfig { formula: Formula::Rate { per_ms, wrap }, inputs, factor: 1.0, unit })
}

/// A number, or the name of a quantity; `None` where that is wrong itself.
fn input(node: &Node, units: Units, known: &[Known<'_>]) -> Fit<Option<InputConfig>> {
    match node.value {
        Tree::Integer(_) | Tree::Float(_) => number(node).map(|number| Some(InputConfig::Constant(number))),
        _ => quantity(node, units, known),
    }
}

/// The name of a quantity in one of these units.
fn quantity(node: &Node, units: Units, known: &[Known<'_>]) -> Fit<Option<InputConfig>> {
    let Some((index, quantity)) = measured(node, known)? else { return Ok(None) };
    let unit = quantity.series.unit.as_str();
    match units.iter().find(|(word, _)| *word == unit) {
        Some((_, factor)) => Ok(Some(InputConfig::Quantity { index, factor: *factor })),
        None => {
            let misfit = Misfit::new(format!("{} is in \"{unit}\"", quantity.series.quantity));
            Err(misfit.help(format!("what is derived from has a unit of {}", spelt(units))))
        }
    }
}

/// The quantity of this name, and its place.
fn measured<'k>(node: &Node, known: &[Known<'k>]) -> Fit<Option<(usize, &'k QuantityConfig)>> {
    let name = text(node).map_err(|misfit| misfit.help("the name of a quantity of this instrument"))?;
    let Some(index) = known.iter().position(|known| known.name == name) else {
        let names: Vec<String> = known
            .iter()
            .filter(|known| !matches!(known.source, Source::Derived))
            .map(|known| known.name.to_owned())
            .collect();
        let misfit = Misfit::new(format!("this instrument has no quantity {name}"));
        return Err(match nearest(&name, &names) {
            Some(right) => misfit.help(format!("did you mean \"{right}\"?")),
            None => misfit.help(format!("there is {}", names.join(", "))),
        });
    };
    match known[index].source {
        Source::Wrong => Ok(None),
        Source::Derived => {
            Err(Misfit::new(format!("{name} is derived itself")).help("name what the instrument measures"))
        }
        Source::Measured(quantity) if quantity.is_text() => Err(Misfit::new(format!("{name} is a text"))),
        Source::Measured(quantity) => Ok(Some((index, quantity))),
    }
}

fn spelt(units: Units) -> String {
    let words: Vec<String> = units.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Layers, Located, Origin, load};

    /// The derived quantity of an instrument with oxygen, temperature, a tag and a count.
    fn derive(keys: &str) -> Result<(DeriveConfig, String), Vec<Located>> {
        let text = format!(
            r#"[device]
id = "d"
[bus.b]
port = "/dev/ttyS9"
[instrument.i]
bus = "b"
[instrument.i.protocol]
type   = "stream"
decode = {{ type = "delimited", sep = ",", columns = 5 }}
[instrument.i.quantity]
dissolved_oxygen  = {{ field = 1, unit = "umol/L" }}
water_temperature = {{ field = 2, unit = "Cel" }}
air_pressure      = {{ field = 3, unit = "kPa" }}
tag_id            = {{ field = 4, kind = "text" }}
total             = {{ field = 5, unit = "{{fish}}" }}
also_derived      = {{ derive = {{ type = "rate", of = "total", per = "h" }} }}
it                = {{ {keys} }}
"#
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidegate.toml");
        std::fs::write(&file, text).unwrap();
        let config = load(&Layers { file, env: BTreeMap::new() }).map_err(|error| error.located())?;
        let quantities = &config.buses[0].instruments[0].quantities;
        let it = quantities.iter().find(|quantity| quantity.series.quantity.as_str() == "it").unwrap();
        let Origin::Derived(derived) = &it.origin else { panic!("it is derived") };
        Ok((derived.clone(), it.series.unit.clone()))
    }

    const SATURATION: &str =
        r#"type = "oxygen-saturation", oxygen = "dissolved_oxygen", temperature = "water_temperature""#;

    #[test]
    fn quantities_come_in_their_units_and_numbers_are_constants() {
        let (config, unit) =
            derive(&format!(r#"derive = {{ {SATURATION}, salinity = 32, pressure = "air_pressure" }}"#)).unwrap();
        assert_eq!(config.formula, Formula::OxygenSaturation);
        let quantity = |index, factor| InputConfig::Quantity { index, factor };
        // In name order: air_pressure, dissolved_oxygen, tag_id, total, water_temperature.
        let expected =
            [quantity(1, oxygen::MG_PER_UMOL), quantity(4, 1.0), InputConfig::Constant(32.0), quantity(0, 10.0)];
        assert_eq!((&config.inputs[..], unit.as_str()), (&expected[..], "%"));
        let (config, _) = derive(&format!("derive = {{ {SATURATION}, salinity = 0.5 }}")).unwrap();
        assert_eq!(config.inputs[3], InputConfig::Constant(oxygen::ATM_HPA), "at sea level where nothing is said");
    }

    #[test]
    fn a_rate_has_the_unit_of_its_count_or_the_one_that_is_asked_for() {
        let (config, unit) =
            derive(r#"derive = { type = "rate", of = "total", per = "min", wrap = 4294967296 }"#).unwrap();
        assert_eq!(config.formula, Formula::Rate { per_ms: 60_000.0, wrap: Some(4_294_967_296.0) });
        assert_eq!(unit, "{fish}/min");
        let (_, unit) = derive(r#"unit = "/min", derive = { type = "rate", of = "total", per = "min" }"#).unwrap();
        assert_eq!(unit, "/min");
    }

    #[test]
    fn what_can_not_be_derived_is_told_with_its_place() {
        for (keys, text, message, help) in [
            (
                r#"derive = { type = "oxygen-saturation", oxygen = "disolved_oxygen", temperature = 20, salinity = 0 }"#,
                "\"disolved_oxygen\"",
                "this instrument has no quantity disolved_oxygen",
                "did you mean \"dissolved_oxygen\"?",
            ),
            (
                r#"derive = { type = "oxygen-saturation", oxygen = "total", temperature = 20, salinity = 0 }"#,
                "\"total\"",
                "total is in \"{fish}\"",
                "what is derived from has a unit of \"mg/L\" or \"umol/L\" or \"ug/L\"",
            ),
            (
                r#"derive = { type = "oxygen-saturation", oxygen = 8.0, temperature = 20, salinity = 0 }"#,
                "8.0",
                "a text is expected here, not a number",
                "the name of a quantity of this instrument",
            ),
            (
                r#"unit = "1", derive = { type = "oxygen-saturation", oxygen = "dissolved_oxygen", temperature = 20, salinity = 0 }"#,
                "derive",
                "this is not derived in \"1\"",
                "unit = \"%\"",
            ),
            (
                r#"derive = { type = "rate", of = "also_derived", per = "min" }"#,
                "\"also_derived\"",
                "also_derived is derived itself",
                "name what the instrument measures",
            ),
            (r#"derive = { type = "rat", of = "total", per = "min" }"#, "\"rat\"", "", "did you mean \"rate\"?"),
            (r#"derive = { type = "rate", of = "tag_id", per = "min" }"#, "\"tag_id\"", "tag_id is a text", ""),
            (
                r#"field = 1, derive = { type = "rate", of = "total", per = "min" }"#,
                "field",
                "unknown key `field` in [instrument.i.quantity.it]",
                "",
            ),
        ] {
            let problems = derive(keys).unwrap_err();
            let [problem] = &problems[..] else { panic!("{keys}: {problems:#?}") };
            assert_eq!(problem.text, text, "{keys}");
            assert!(message.is_empty() || problem.message == message, "{}", problem.message);
            assert!(help.is_empty() || problem.help.as_deref() == Some(help), "{:?}", problem.help);
        }
    }

    #[test]
    fn what_is_derived_takes_no_register() {
        let text = r#"[device]
id = "d"
[bus.b]
port = "/dev/ttyS9"
[instrument.i]
bus = "b"
every = "10s"
protocol = { type = "modbus-rtu", unit = 1 }
[instrument.i.quantity]
a_rate = { derive = { type = "rate", of = "total", per = "min" } }
flow   = { register = 2, type = "f32" }
total  = { register = 4, type = "u32" }
"#;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidegate.toml");
        std::fs::write(&file, text).unwrap();
        let config = load(&Layers { file, env: BTreeMap::new() });
        let config = config.unwrap_or_else(|error| panic!("{}", error.render(false)));
        let instrument = &config.buses[0].instruments[0];
        let names: Vec<&str> = instrument.quantities.iter().map(|quantity| quantity.series.quantity.as_str()).collect();
        assert_eq!(names, ["flow", "total", "a_rate"], "what is measured comes first, as the samples number it");
        assert_eq!(instrument.fields().len(), 2);
    }

    #[test]
    fn salinity_must_be_said() {
        let problems = derive(&format!("derive = {{ {SATURATION} }}")).unwrap_err();
        assert_eq!(problems[0].message, "`salinity` is missing in [instrument.i.quantity.it.derive]");
    }
}
