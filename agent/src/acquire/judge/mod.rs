//! What is thought of a value when it is taken: quality, alarm, and whether it is worth a reading.
//!
//! One judge a quantity. Flags never delete: a value that fails a test is a reading with quality `fail` or `suspect`.
//! What is not reported, by exception or because a
//! text was only said again, was not wanted, and is no loss.

mod alarm;
mod exception;
mod quality;
mod repeat;
mod spike;

use model::{Event, EventKind, Fact, Quality, Reading, Value};

use crate::config::QuantityConfig;
use alarm::{Alarm, Change};
use exception::Exception;
use quality::Tests;
use repeat::Repeat;

/// The judge of one quantity.
#[derive(Debug)]
pub struct Judge {
    tests: Tests,
    alarm: Option<Alarm>,
    exception: Option<Exception>,
    repeat: Option<Repeat>,
}

/// What became of a value.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The alarm, or its end, that it means.
    pub event: Option<Event>,
    /// Whether it is a reading.
    pub is_reported: bool,
}

impl Judge {
    /// A judge as configured.
    pub fn new(config: &QuantityConfig) -> Self {
        Self {
            tests: Tests::new(config.tests),
            alarm: config.alarm.map(Alarm::new),
            exception: config.exception.map(Exception::new),
            repeat: config.dedupe.map(Repeat::new),
        }
    }

    /// Judges a reading: sets its quality.
    pub fn judge(&mut self, reading: &mut Reading) -> Verdict {
        let mut event = None;
        if let Value::Number(value) = reading.value {
            reading.quality = self.tests.test(value, reading.stamp.mono_ms, reading.quality);
            // A value that can not be is no reason to wake anybody: the instrument is, and `status` says so.
            if reading.quality != Quality::Fail
                && let Some(alarm) = &mut self.alarm
                && let Some(change) = alarm.take(value, reading.stamp.mono_ms)
            {
                event = Some(alarm_event(reading, value, change, alarm.limit()));
            }
        }
        if let (Value::Text(text), Some(repeat)) = (&reading.value, &mut self.repeat)
            && repeat.is_repeat(text, reading.stamp.mono_ms)
        {
            return Verdict::default();
        }
        let is_worth = self.exception.as_mut().is_none_or(|exception| exception.is_worth(reading));
        // A reading that an alarm speaks of is there to be looked at.
        Verdict { is_reported: is_worth || event.is_some(), event }
    }

    /// Forgets the last values: the line was lost, and what comes next is not their neighbour.
    pub fn forget(&mut self) {
        self.tests.forget();
    }
}

fn alarm_event(reading: &Reading, value: f64, change: Change, limit: (&'static str, f64)) -> Event {
    let kind = match change {
        Change::Raised => EventKind::Alarm,
        Change::Cleared => EventKind::Clear,
    };
    let mut event = Event::new(reading.stamp, kind)
        .of(&reading.series.instrument)
        .with("value", Fact::Number(value))
        .with("unit", reading.series.unit.as_str())
        .with(limit.0, Fact::Number(limit.1));
    event.quantity = Some(reading.series.quantity.clone());
    event
}
