//! One alarm: raised when a value was beyond its limit for long enough, cleared when it is well within again.

use crate::config::AlarmConfig;
use crate::config::quantity::Limit;

/// What a value changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The alarm is raised now.
    Raised,
    /// It is over now.
    Cleared,
}

/// The state of an alarm. It is forgotten when the agent ends: a start with the oxygen low says so again.
#[derive(Debug)]
pub struct Alarm {
    config: AlarmConfig,
    /// Since when the value has been beyond the limit, by the boot's clock.
    beyond_since_ms: Option<u64>,
    is_raised: bool,
}

impl Alarm {
    /// An alarm that is not raised.
    pub fn new(config: AlarmConfig) -> Self {
        Self { config, beyond_since_ms: None, is_raised: false }
    }

    /// The limit's word and value.
    pub fn limit(&self) -> (&'static str, f64) {
        match self.config.limit {
            Limit::Below(limit) => ("below", limit),
            Limit::Above(limit) => ("above", limit),
        }
    }

    /// Takes a value.
    pub fn take(&mut self, value: f64, mono_ms: u64) -> Option<Change> {
        let (is_beyond, is_clear) = match self.config.limit {
            Limit::Below(limit) => (value < limit, value >= self.config.clear),
            Limit::Above(limit) => (value > limit, value <= self.config.clear),
        };
        if self.is_raised {
            self.is_raised = !is_clear;
            return is_clear.then_some(Change::Cleared);
        }
        if !is_beyond {
            self.beyond_since_ms = None;
            return None;
        }
        let since_ms = *self.beyond_since_ms.get_or_insert(mono_ms);
        let after_ms = u64::try_from(self.config.after.as_millis()).unwrap_or(u64::MAX);
        if mono_ms.saturating_sub(since_ms) < after_ms {
            return None;
        }
        self.is_raised = true;
        self.beyond_since_ms = None;
        Some(Change::Raised)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn oxygen() -> Alarm {
        Alarm::new(AlarmConfig { limit: Limit::Below(4.0), clear: 4.5, after: Duration::from_secs(60) })
    }

    #[test]
    fn an_alarm_waits_for_its_time_and_clears_with_hysteresis() {
        let mut alarm = oxygen();
        assert_eq!(alarm.take(3.9, 0), None);
        assert_eq!(alarm.take(4.1, 30_000), None, "back within: the wait starts over");
        assert_eq!(alarm.take(3.9, 40_000), None);
        assert_eq!(alarm.take(3.9, 99_999), None);
        assert_eq!(alarm.take(3.8, 100_000), Some(Change::Raised));
        assert_eq!(alarm.take(3.5, 110_000), None, "said once");
        assert_eq!(alarm.take(4.2, 120_000), None, "between limit and clear nothing changes");
        assert_eq!(alarm.take(4.5, 130_000), Some(Change::Cleared));
        assert_eq!(alarm.take(3.0, 140_000), None, "and it waits again");
    }

    #[test]
    fn without_a_wait_the_first_value_beyond_is_enough_and_above_is_the_mirror() {
        let config = AlarmConfig { limit: Limit::Above(30.0), clear: 29.0, after: Duration::ZERO };
        let mut alarm = Alarm::new(config);
        assert_eq!(alarm.take(30.0, 5), None);
        assert_eq!(alarm.take(30.1, 6), Some(Change::Raised));
        assert_eq!(alarm.take(29.5, 7), None);
        assert_eq!(alarm.take(29.0, 8), Some(Change::Cleared));
    }
}
