//! Report by exception: a value that hardly moved is no reading, but silence never lasts longer than asked.

use model::{Quality, Reading, Value};

use crate::config::ExceptionConfig;

/// What was last reported of a quantity.
#[derive(Debug)]
pub struct Exception {
    config: ExceptionConfig,
    last: Option<(Value, Quality, u64)>,
}

impl Exception {
    /// Nothing was reported yet.
    pub fn new(config: ExceptionConfig) -> Self {
        Self { config, last: None }
    }

    /// Whether a reading is worth reporting; takes it as reported if so.
    pub fn is_worth(&mut self, reading: &Reading) -> bool {
        let Reading { stamp, value, quality, .. } = reading;
        let max_gap_ms = u64::try_from(self.config.max_gap.as_millis()).unwrap_or(u64::MAX);
        let is_worth = match &self.last {
            None => true,
            Some((last, last_quality, last_ms)) => {
                let has_moved = match (last, value) {
                    (Value::Number(last), Value::Number(value)) => (value - last).abs() >= self.config.min_change,
                    (last, value) => last != value,
                };
                has_moved || last_quality != quality || stamp.mono_ms.saturating_sub(*last_ms) >= max_gap_ms
            }
        };
        if is_worth {
            self.last = Some((value.clone(), *quality, stamp.mono_ms));
        }
        is_worth
    }
}
