//! What happened, in the same journal and the same sequence as the readings.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{InstrumentId, QuantityId};
use crate::seq::SeqRange;
use crate::time::{Stamp, Timestamp};

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The agent started.
    Boot,
    /// The clock came to be trusted, or was stepped.
    ClockSet,
    /// An instrument's port failed or fell silent.
    InstrumentDown,
    /// It is back.
    InstrumentUp,
    /// Bytes that were no reading; the raw frame is in the facts. Rate limited.
    FrameRejected,
    /// A quantity crossed its limit.
    Alarm,
    /// It is back within.
    Clear,
    /// A configuration took effect.
    ConfigApplied,
    /// A remote configuration was refused.
    ConfigRejected,
    /// A remote configuration was taken back.
    ConfigRolledBack,
    /// Records were lost: see [`Gap`].
    Gap,
    /// Something was done that was asked for from afar.
    Command,
    /// An update of the agent ended: it runs, it was taken back, or it was refused.
    Update,
    /// The device has a new certificate, and has reached the broker with it.
    CertificateRenewed,
}

impl EventKind {
    /// All kinds, in the order of their numbers on disk. Append only.
    pub const ALL: [EventKind; 14] = [
        EventKind::Boot,
        EventKind::ClockSet,
        EventKind::InstrumentDown,
        EventKind::InstrumentUp,
        EventKind::FrameRejected,
        EventKind::Alarm,
        EventKind::Clear,
        EventKind::ConfigApplied,
        EventKind::ConfigRejected,
        EventKind::ConfigRolledBack,
        EventKind::Gap,
        EventKind::Command,
        EventKind::Update,
        EventKind::CertificateRenewed,
    ];

    /// The word used in JSON, Parquet and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Boot => "boot",
            EventKind::ClockSet => "clock-set",
            EventKind::InstrumentDown => "instrument-down",
            EventKind::InstrumentUp => "instrument-up",
            EventKind::FrameRejected => "frame-rejected",
            EventKind::Alarm => "alarm",
            EventKind::Clear => "clear",
            EventKind::ConfigApplied => "config-applied",
            EventKind::ConfigRejected => "config-rejected",
            EventKind::ConfigRolledBack => "config-rolled-back",
            EventKind::Gap => "gap",
            EventKind::Command => "command",
            EventKind::Update => "update",
            EventKind::CertificateRenewed => "certificate-renewed",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One fact about an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A count, a position or a duration.
    Integer(i64),
    /// A measure.
    Number(f64),
    /// Words or bytes in hex.
    Text(String),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Integer(integer) => integer.fmt(f),
            Fact::Number(number) => number.fmt(f),
            Fact::Text(text) => text.fmt(f),
        }
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Fact::Text(text.to_owned())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Fact::Text(text)
    }
}

impl From<i64> for Fact {
    fn from(integer: i64) -> Self {
        Fact::Integer(integer)
    }
}

impl From<u64> for Fact {
    fn from(count: u64) -> Self {
        Fact::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub kind: EventKind,
    /// To whom, where it is an instrument's.
    pub instrument: Option<InstrumentId>,
    /// In which of its quantities.
    pub quantity: Option<QuantityId>,
    /// The rest, by name; never one of a row's own fields.
    pub facts: BTreeMap<String, Fact>,
}

impl Event {
    /// An event without facts.
    pub fn new(stamp: Stamp, kind: EventKind) -> Self {
        Self { stamp, kind, instrument: None, quantity: None, facts: BTreeMap::new() }
    }

    /// The same event, said of an instrument.
    #[must_use]
    pub fn of(mut self, instrument: &InstrumentId) -> Self {
        self.instrument = Some(instrument.clone());
        self
    }

    /// The same event with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.facts.insert(name.to_owned(), fact.into());
        self
    }
}

/// Why records were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The journal's budget was spent.
    Quota,
    /// The disk gave back something else than was written.
    Corrupt,
    /// More came in than could be written.
    Overrun,
    /// A sink's far side refused them for good.
    Quarantine,
    /// The journal's budget was spent, and minima, means, maxima and last values stand in their place.
    Thinned,
}

impl GapReason {
    /// The word used in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Quota => "quota",
            GapReason::Corrupt => "corrupt",
            GapReason::Overrun => "overrun",
            GapReason::Quarantine => "quarantine",
            GapReason::Thinned => "thinned",
        }
    }
}

/// The record of a loss: what, how many, when, why. Nothing is ever lost without one.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// The positions that are gone, where they had any; for [`GapReason::Thinned`] those among which they are gone.
    pub range: Option<SeqRange>,
    /// How many readings and events.
    pub count: u64,
    /// The time of the first and the last of them, where known.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// The event that stands in the journal for this loss.
    pub fn into_event(self, stamp: Stamp) -> Event {
        let mut event =
            Event::new(stamp, EventKind::Gap).with("reason", self.reason.as_str()).with("count", self.count);
        if let Some(range) = self.range {
            event = event.with("lost_first", range.first.0).with("lost_next", range.next.0);
        }
        if let Some((from, to)) = self.times {
            event = event.with("lost_from", from.to_string()).with("lost_to", to.to_string());
        }
        event
    }
}
