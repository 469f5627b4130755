//! Quantities that no instrument says and that follow from those it does: formulas, and what they remember.
//!
//! What is derived is a quantity of its own; the one it comes from stays as it was said. Inputs come in the units named at
//! each [`Formula`], the result goes out in its unit: other units are the caller's, and so is what the qualities of
//! the inputs make of the result.

mod counter;
pub mod oxygen;

use counter::Counter;

/// How a quantity follows from others. The inputs are given in this order, the leading one first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Formula {
    /// Oxygen in mg/L, temperature in Cel, practical salinity, pressure of the air in hPa: saturation in %.
    OxygenSaturation,
    /// Oxygen saturation in %, temperature in Cel, practical salinity, pressure of the air in hPa: oxygen in mg/L.
    OxygenConcentration,
    /// A count that only grows: how much in so long.
    Rate {
        /// The time it is told for, in milliseconds.
        per_ms: f64,
        /// Where the count begins again with 0, if it does.
        wrap: Option<f64>,
    },
}

/// What came of a formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Derived {
    /// A finite number.
    Value(f64),
    /// There is none: the inputs are beyond the formula, or a count was reset.
    Missing,
    /// There can be none yet: a first count has nothing to be compared with.
    Nothing,
}

/// A formula at work.
#[derive(Debug)]
pub struct Derivation {
    formula: Formula,
    counter: Counter,
}

impl Derivation {
    /// A formula that has heard nothing yet.
    pub fn new(formula: Formula) -> Self {
        Self { formula, counter: Counter::default() }
    }

    /// What follows from these inputs, heard at `mono_ms`.
    pub fn reckon(&self, inputs: &[f64], mono_ms: u64) -> Derived {
        let value = match (self.formula, inputs) {
            (Formula::OxygenSaturation, [oxygen, temperature, salinity, pressure]) => {
                oxygen::solubility_mg_per_l(*temperature, *salinity, *pressure).map(|full| 100.0 * oxygen / full)
            }
            (Formula::OxygenConcentration, [saturation, temperature, salinity, pressure]) => {
                oxygen::solubility_mg_per_l(*temperature, *salinity, *pressure).map(|full| saturation / 100.0 * full)
            }
            (Formula::Rate { per_ms, wrap }, [count]) => return self.counter.rate(*count, mono_ms, per_ms, wrap),
            _ => None,
        };
        value.filter(|value| value.is_finite()).map_or(Derived::Missing, Derived::Value)
    }

    /// Takes these inputs as believed: what comes next is compared with them.
    pub fn remember(&mut self, inputs: &[f64], mono_ms: u64) {
        if let (Formula::Rate { .. }, [count]) = (self.formula, inputs) {
            self.counter.remember(*count, mono_ms);
        }
    }

    /// The line was lost: what comes next can not be compared.
    pub fn forget(&mut self) {
        self.counter = Counter::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_and_concentration_are_each_others_inverse() {
        let (temperature, salinity, pressure) = (12.5, 31.0, 987.0);
        let saturation = Derivation::new(Formula::OxygenSaturation);
        let Derived::Value(percent) = saturation.reckon(&[7.5, temperature, salinity, pressure], 0) else {
            panic!("water as it is")
        };
        let concentration = Derivation::new(Formula::OxygenConcentration);
        let Derived::Value(oxygen) = concentration.reckon(&[percent, temperature, salinity, pressure], 0) else {
            panic!("water as it is")
        };
        assert!((oxygen - 7.5).abs() < 1e-12, "{oxygen}");
    }

    #[test]
    fn what_is_no_water_has_no_saturation() {
        let saturation = Derivation::new(Formula::OxygenSaturation);
        assert_eq!(saturation.reckon(&[8.0, 85.0, 0.0, 1013.25], 0), Derived::Missing, "a probe's power-on value");
        assert_eq!(saturation.reckon(&[8.0], 0), Derived::Missing);
    }
}
