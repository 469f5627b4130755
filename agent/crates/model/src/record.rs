//! What the journal holds: readings and events, numbered.

use std::sync::Arc;

use crate::event::Event;
use crate::seq::Seq;
use crate::series::Series;
use crate::time::{BootId, Stamp};
use crate::value::{Quality, Value};

/// One quantity at one instant (an OGC Observation, a `SenML` record).
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When its first byte arrived, or the instrument's own time where the configuration says so.
    pub stamp: Stamp,
    /// Who measured what, in which unit.
    pub series: Arc<Series>,
    /// What was measured.
    pub value: Value,
    /// How good it is.
    pub quality: Quality,
}

/// A reading or an event: what stands at one position of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A reading.
    Reading(Reading),
    /// An event. Boxed, because it is rare and larger than a reading, of which a batch holds fifty thousand.
    Event(Box<Event>),
}

impl Record {
    /// When it was observed.
    pub fn stamp(&self) -> &Stamp {
        match self {
            Record::Reading(reading) => &reading.stamp,
            Record::Event(event) => &event.stamp,
        }
    }

    /// When it was observed, to be put right.
    pub fn stamp_mut(&mut self) -> &mut Stamp {
        match self {
            Record::Reading(reading) => &mut reading.stamp,
            Record::Event(event) => &mut event.stamp,
        }
    }
}

/// A record with its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// Its position.
    pub seq: Seq,
    /// The boot in which it was taken.
    pub boot: BootId,
    /// The record.
    pub record: Record,
}
