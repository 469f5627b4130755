//! How fast a count grows.
//!
//! 1. A first count has nothing before it: no rate. Neither has one at the same time as the one before, which then
//!    counts with the next.
//! 2. A count that falls has wrapped or was reset. Where it is known to wrap, and the increase that this would be is
//!    less than half of all it can count, it has wrapped. Otherwise it was reset, and how much was counted around that
//!    nobody knows: that interval has no rate, the next has one again.

use super::Derived;

/// The count before.
#[derive(Debug, Default)]
pub struct Counter {
    before: Option<(f64, u64)>,
}

impl Counter {
    /// The increase since the count before, in `per_ms`.
    pub fn rate(&self, count: f64, mono_ms: u64, per_ms: f64, wrap: Option<f64>) -> Derived {
        let Some((before, before_ms)) = self.before else { return Derived::Nothing };
        // Longer than seven weeks is no interval to tell a rate of.
        let Ok(passed_ms) = u32::try_from(mono_ms.saturating_sub(before_ms)) else { return Derived::Nothing };
        if passed_ms == 0 {
            return Derived::Nothing;
        }
        let grown = count - before;
        let grown = match wrap {
            Some(wrap) if grown < 0.0 && grown + wrap >= 0.0 && grown + wrap < wrap / 2.0 => grown + wrap,
            _ => grown,
        };
        let rate = grown / f64::from(passed_ms) * per_ms;
        if grown >= 0.0 && rate.is_finite() { Derived::Value(rate) } else { Derived::Missing }
    }

    /// Takes a count as the one before the next. One at the same time as the last changes nothing.
    pub fn remember(&mut self, count: f64, mono_ms: u64) {
        if self.before.is_none_or(|(_, before_ms)| before_ms != mono_ms) {
            self.before = Some((count, mono_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates a minute of counts that come every ten seconds.
    fn rates(counts: &[f64], wrap: Option<f64>) -> Vec<Derived> {
        let mut counter = Counter::default();
        let mut rate = |(count, mono_ms): (&f64, u64)| {
            let rate = counter.rate(*count, mono_ms, 60_000.0, wrap);
            counter.remember(*count, mono_ms);
            rate
        };
        counts.iter().zip((0..).step_by(10_000)).map(&mut rate).collect()
    }

    #[test]
    fn a_count_that_grows_has_a_rate() {
        assert_eq!(rates(&[100.0, 103.0, 103.0], None), [Derived::Nothing, Derived::Value(18.0), Derived::Value(0.0)]);
    }

    #[test]
    fn a_count_that_wraps_goes_on() {
        let wrapped = rates(&[65_530.0, 4.0, 14.0], Some(65_536.0));
        assert_eq!(wrapped, [Derived::Nothing, Derived::Value(60.0), Derived::Value(60.0)]);
    }

    #[test]
    fn a_count_that_was_reset_costs_one_interval() {
        let reset = [Derived::Nothing, Derived::Missing, Derived::Value(60.0)];
        assert_eq!(rates(&[5_000.0, 4.0, 14.0], None), reset, "it can not wrap");
        assert_eq!(rates(&[5_000.0, 4.0, 14.0], Some(65_536.0)), reset, "60,540 more at once is not believed");
        assert_eq!(rates(&[70_000.0, 4.0, 14.0], Some(65_536.0)), reset, "it was beyond where it wraps");
    }

    #[test]
    fn two_counts_at_once_are_one_interval_with_the_next() {
        let mut counter = Counter::default();
        counter.remember(100.0, 5);
        assert_eq!(counter.rate(101.0, 5, 1_000.0, None), Derived::Nothing);
        counter.remember(101.0, 5);
        assert_eq!(counter.rate(102.0, 1_005, 1_000.0, None), Derived::Value(2.0));
    }
}
