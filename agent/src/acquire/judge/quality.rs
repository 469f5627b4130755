//! The quality of a value, to QARTOD (Manual for Real-Time Quality Control of Dissolved Oxygen Observations, version
//! 2.1, 2018): gross range (test 4), spike (test 6, [`super::spike`]), rate of change (test 7) and flat line (test 8).
//! The worst verdict counts; a test that lacks a neighbour is not made.

use std::time::Duration;

use model::Quality;

use super::spike::{Opinion, Spike};
use crate::config::TestsConfig;

/// The worse of two verdicts: fail, then suspect, then pass, then a test that was not made.
pub fn worse(one: Quality, other: Quality) -> Quality {
    let rank = |quality| match quality {
        Quality::Fail => 3,
        Quality::Suspect => 2,
        Quality::Pass => 1,
        Quality::NotEvaluated | Quality::Missing => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// The tests of one quantity and what they remember.
#[derive(Debug)]
pub struct Tests {
    valid: Option<[f64; 2]>,
    /// Largest change in a millisecond.
    rate: Option<f64>,
    flat: Option<Duration>,
    spike: Option<Spike>,
    last: Option<(f64, u64)>,
    unchanged_since_ms: u64,
}

impl Tests {
    /// Tests as configured.
    pub fn new(config: TestsConfig) -> Self {
        let TestsConfig { valid, rate, flat, spike } = config;
        let (rate, spike) = (rate.map(|rate| rate / 1_000.0), spike.map(Spike::new));
        Self { valid, rate, flat, spike, last: None, unchanged_since_ms: 0 }
    }

    /// Tests a value taken at `mono_ms`, of which the instrument itself has `said` what it thinks. That stands: a test
    /// can only make it worse.
    pub fn test(&mut self, value: f64, mono_ms: u64, said: Quality) -> Quality {
        let verdicts = [self.test_range(value), self.test_rate(value, mono_ms), self.test_flat(value, mono_ms)];
        self.last = Some((value, mono_ms));
        let quality = verdicts.into_iter().fold(said, worse);
        // A value that can not be is no neighbour: what follows it would be a spike, too.
        if quality == Quality::Fail { quality } else { worse(quality, self.test_spike(value)) }
    }

    /// The next value has no neighbour before it.
    pub fn forget(&mut self) {
        self.last = None;
        if let Some(spike) = &mut self.spike {
            spike.forget();
        }
    }

    fn test_spike(&mut self, value: f64) -> Quality {
        match self.spike.as_mut().map_or(Opinion::None, |spike| spike.take(value)) {
            Opinion::None => Quality::NotEvaluated,
            Opinion::Pass => Quality::Pass,
            Opinion::Suspect => Quality::Suspect,
        }
    }

    fn test_range(&self, value: f64) -> Quality {
        match self.valid {
            None => Quality::NotEvaluated,
            Some([low, high]) if (low..=high).contains(&value) => Quality::Pass,
            Some(_) => Quality::Fail,
        }
    }

    fn test_rate(&self, value: f64, mono_ms: u64) -> Quality {
        let (Some(rate), Some((last, last_ms))) = (self.rate, self.last) else { return Quality::NotEvaluated };
        let Ok(passed_ms) = u32::try_from(mono_ms.saturating_sub(last_ms)) else { return Quality::NotEvaluated };
        if passed_ms == 0 {
            return Quality::NotEvaluated;
        }
        if (value - last).abs() > rate * f64::from(passed_ms) { Quality::Suspect } else { Quality::Pass }
    }

    fn test_flat(&mut self, value: f64, mono_ms: u64) -> Quality {
        let Some(flat) = self.flat else { return Quality::NotEvaluated };
        let is_same = self.last.is_some_and(|(last, _)| last.to_bits() == value.to_bits());
        if !is_same {
            self.unchanged_since_ms = mono_ms;
        }
        let unchanged_ms = mono_ms.saturating_sub(self.unchanged_since_ms);
        let flat_ms = u64::try_from(flat.as_millis()).unwrap_or(u64::MAX);
        if unchanged_ms >= flat_ms { Quality::Suspect } else { Quality::Pass }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tests_nothing_is_claimed() {
        assert_eq!(Tests::new(TestsConfig::default()).test(1e9, 0, Quality::NotEvaluated), Quality::NotEvaluated);
    }

    #[test]
    fn the_worst_verdict_counts() {
        let config = TestsConfig {
            valid: Some([0.0, 20.0]),
            rate: Some(1.0),
            flat: Some(Duration::from_secs(3)),
            ..TestsConfig::default()
        };
        let mut tests = Tests::new(config);
        let mut test = |value: f64, mono_ms: u64| tests.test(value, mono_ms, Quality::NotEvaluated);
        assert_eq!(test(5.0, 0), Quality::Pass);
        assert_eq!(test(5.5, 1_000), Quality::Pass);
        assert_eq!(test(7.0, 2_000), Quality::Suspect, "1.5 in a second");
        assert_eq!(test(25.0, 3_000), Quality::Fail);
        assert_eq!(test(7.0, 100_000), Quality::Pass, "18 in 97 seconds");
        for (second, expected) in [(1, Quality::Pass), (2, Quality::Pass), (3, Quality::Suspect), (4, Quality::Suspect)]
        {
            assert_eq!(test(7.0, 100_000 + second * 1_000), expected, "unchanged for {second} s");
        }
        assert_eq!(test(7.01, 105_000), Quality::Pass);
    }

    #[test]
    fn a_value_that_can_not_be_is_no_neighbour_of_a_spike() {
        let config = TestsConfig { valid: Some([0.0, 20.0]), spike: Some(3.0), ..TestsConfig::default() };
        let mut tests = Tests::new(config);
        assert_eq!(tests.test(8.0, 0, Quality::NotEvaluated), Quality::Pass, "in range");
        assert_eq!(tests.test(-9999.0, 1, Quality::NotEvaluated), Quality::Fail);
        assert_eq!(tests.test(8.5, 2, Quality::NotEvaluated), Quality::Pass);
        assert_eq!(tests.test(14.0, 3, Quality::Fail), Quality::Fail, "the instrument says so itself");
        assert_eq!(tests.test(9.0, 4, Quality::NotEvaluated), Quality::Pass);
        assert_eq!(tests.test(14.0, 5, Quality::NotEvaluated), Quality::Suspect);
        assert_eq!(tests.test(9.0, 6, Quality::Suspect), Quality::Suspect, "a status stands");
    }
}
