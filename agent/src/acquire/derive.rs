//! Quantities that follow from others of the same instrument: which values belong together, and how good the result is.
//!
//! 1. Together belongs what was said in one frame; of an instrument that is asked, in one turn.
//! 2. The first input leads: each of its values gives one derived value, with its time. Where the leading one was not
//!    said, nothing is derived; where it was and another input was not, or had nothing, the derived value is missing.
//! 3. It is as good as the worst of its inputs, after their own tests. It is `pass` only if all of them are; tests of its
//!    own can only make it worse, or evaluate what nobody has.
//! 4. The inputs stay as they are, whether they are reported or not.

use std::sync::Arc;

use instruments::derive::{Derivation, Derived};
use model::{Quality, Reading, Series, Stamp, Value};

use crate::config::{DeriveConfig, InputConfig, Origin, QuantityConfig};

/// Everything that is derived of one instrument.
#[derive(Debug)]
pub struct Derivations {
    each: Vec<One>,
}

/// A derived quantity, with its place among the instrument's quantities.
pub type Found = (usize, Reading);

/// One derived quantity.
#[derive(Debug)]
struct One {
    index: usize,
    series: Arc<Series>,
    config: DeriveConfig,
    derivation: Derivation,
    /// What was said of each input since the last value that was derived.
    said: Vec<Option<Said>>,
}

/// What was said of an input, in the unit of the formula.
#[derive(Debug, Clone, Copy)]
struct Said {
    stamp: Stamp,
    value: Option<f64>,
    quality: Quality,
}

impl Derivations {
    /// What is derived of these quantities.
    pub fn new(quantities: &[QuantityConfig]) -> Self {
        let derived = |(index, quantity): (usize, &QuantityConfig)| match &quantity.origin {
            Origin::Derived(config) => Some(One::new(index, quantity.series.clone(), config.clone())),
            Origin::Field(_) => None,
        };
        Self { each: quantities.iter().enumerate().filter_map(derived).collect() }
    }

    /// Takes a reading of the quantity at `index`, scaled and judged; what follows from it is added to `found`.
    pub fn take(&mut self, index: usize, reading: &Reading, found: &mut Vec<Found>) {
        for one in &mut self.each {
            one.take(index, reading, found);
        }
    }

    /// The frame or the turn is over: what was not said by now is missing.
    pub fn conclude(&mut self, found: &mut Vec<Found>) {
        for one in &mut self.each {
            one.conclude(found);
        }
    }

    /// The line was lost: what comes next has nothing to do with what came before.
    pub fn forget(&mut self) {
        for one in &mut self.each {
            one.said.fill(None);
            one.derivation.forget();
        }
    }
}

impl One {
    fn new(index: usize, series: Arc<Series>, config: DeriveConfig) -> Self {
        let derivation = Derivation::new(config.formula);
        let said = vec![None; config.inputs.len()];
        Self { index, series, config, derivation, said }
    }

    fn take(&mut self, index: usize, reading: &Reading, found: &mut Vec<Found>) {
        for slot in 0..self.config.inputs.len() {
            let InputConfig::Quantity { index: wanted, factor } = self.config.inputs[slot] else { continue };
            if wanted != index {
                continue;
            }
            // Said once more before the others were: what belongs together begins anew.
            if self.said[slot].is_some() {
                self.conclude(found);
            }
            let value = if let Value::Number(value) = reading.value { Some(value * factor) } else { None };
            self.said[slot] = Some(Said { stamp: reading.stamp, value, quality: reading.quality });
        }
        let is_whole =
            |(input, said): (&InputConfig, &Option<Said>)| matches!(input, InputConfig::Constant(_)) || said.is_some();
        if self.config.inputs.iter().zip(&self.said).all(is_whole) {
            self.conclude(found);
        }
    }

    /// Derives from what was said, if the leading input was, and forgets it.
    fn conclude(&mut self, found: &mut Vec<Found>) {
        if let Some(lead) = self.said.first().copied().flatten()
            && let Some((value, quality)) = self.reckon(lead.stamp.mono_ms)
        {
            found.push((self.index, Reading { stamp: lead.stamp, series: self.series.clone(), value, quality }));
        }
        self.said.fill(None);
    }

    /// What follows; `None` where there can be nothing yet.
    fn reckon(&mut self, mono_ms: u64) -> Option<(Value, Quality)> {
        let value = |(input, said): (&InputConfig, &Option<Said>)| match input {
            InputConfig::Constant(value) => Some(*value),
            InputConfig::Quantity { .. } => said.and_then(|said| said.value),
        };
        let missing = Some((Value::Missing, Quality::Missing));
        let inputs: Option<Vec<f64>> = self.config.inputs.iter().zip(&self.said).map(value).collect();
        let Some(inputs) = inputs else { return missing };
        let quality = self.said.iter().flatten().map(|said| said.quality).fold(Quality::Pass, worst);
        let derived = self.derivation.reckon(&inputs, mono_ms);
        // A count that can not be is compared with the one before, and nothing is compared with it.
        if quality != Quality::Fail {
            self.derivation.remember(&inputs, mono_ms);
        }
        match derived {
            Derived::Value(value) => {
                let value = value * self.config.factor;
                if value.is_finite() { Some((Value::Number(value), quality)) } else { missing }
            }
            Derived::Missing => missing,
            Derived::Nothing => None,
        }
    }
}

/// The worst of the inputs. Not as in a judge's verdict: one that nobody evaluated spoils a `pass`.
fn worst(one: Quality, other: Quality) -> Quality {
    let rank = |quality| match quality {
        Quality::Pass => 0,
        Quality::NotEvaluated => 1,
        Quality::Suspect => 2,
        Quality::Fail => 3,
        Quality::Missing => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}
