//! When something was observed, and how far that can be believed.
//!
//! Times are milliseconds: a serial line knows no microseconds, and they cost more bytes than the values do.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 with three decimals, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: i64,
}

/// Length of a UTC day.
const DAY_MILLIS: i64 = 86_400_000;

impl Timestamp {
    /// The earliest representable instant, 0000-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp { millis: -62_167_219_200_000 };
    /// The latest representable instant, 9999-12-30T22:00:00Z (the last that jiff prints everywhere).
    pub const MAX: Timestamp = Timestamp { millis: 253_402_207_200_000 };

    /// The instant `millis` after 1970; instants that RFC 3339 can not say are clamped.
    pub fn from_millis(millis: i64) -> Self {
        Self { millis: millis.clamp(Self::MIN.millis, Self::MAX.millis) }
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.millis
    }

    /// The instant `millis` later (or earlier).
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.millis.saturating_add(millis))
    }

    /// The UTC day it falls on.
    pub fn day(self) -> Day {
        Day(self.millis.div_euclid(DAY_MILLIS))
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self::from_millis(t.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.millis).expect("clamped by from_millis");
        write!(f, "{instant:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }
}

/// A UTC day, counted from 1970-01-01. Shown as `2026-11-22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The first instant of the day.
    pub fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(DAY_MILLIS))
    }

    /// The day after.
    #[must_use]
    pub fn following(self) -> Day {
        Day(self.0 + 1)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}

/// How far a time can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The clock was set by a trusted source when the reading was taken.
    Synced,
    /// It was not, and the time was put right later from the boot's monotonic clock.
    Corrected,
    /// It was not, and nothing better is known.
    Untrusted,
}

impl Clock {
    /// The word used in JSON, Parquet and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Clock::Synced => "synced",
            Clock::Corrected => "corrected",
            Clock::Untrusted => "untrusted",
        }
    }
}

/// Names one boot of the kernel: monotonic times compare only within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u64);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// When something was observed, by both of the board's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Wall time, UTC.
    pub time: Timestamp,
    /// Milliseconds since the boot, counted through sleep, never set: what corrects `time` later.
    pub mono_ms: u64,
    /// How far `time` can be believed.
    pub clock: Clock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339_utc_with_milliseconds() {
        let time = Timestamp::from_millis(1_763_805_600_123);
        assert_eq!(time.to_string(), "2025-11-22T10:00:00.123Z");
        assert_eq!(Timestamp::parse("2025-11-22T10:00:00.123Z"), Some(time));
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(time.day().to_string(), "2025-11-22");
        assert_eq!(Timestamp::from_millis(-1).day().to_string(), "1969-12-31");
    }

    #[test]
    fn an_absurd_clock_is_clamped_and_still_prints() {
        for millis in [i64::MIN, i64::MAX] {
            let text = Timestamp::from_millis(millis).to_string();
            assert!(Timestamp::parse(&text).is_some(), "{text}");
        }
    }
}
