//! Alarms on their way out ahead of everything else: as soon as their commit is durable, with the number it gave them.
//!
//! While the disk is away they go out without a number: the fish can not wait for a card. Nothing here makes them
//! arrive: they are copies of events that stand in the journal, or will, and are delivered with everything else.

use journal::Reader;
use model::{Event, EventKind, Record, Seq, SeqRange};
use tokio::sync::broadcast;
use tracing::warn;

/// Alarms kept for a sink that has no connection; of more, the oldest go the usual way alone.
const WAITING_ALARMS_MAX: usize = 256;

/// An event that somebody must hear of at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its number; none while it could not be written.
    pub seq: Option<Seq>,
    /// What happened.
    pub event: Event,
}

/// The alarms of the next commit, and who hears of them.
pub struct Alarms {
    heard_by: broadcast::Sender<Alarm>,
    waiting: Vec<Event>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { heard_by: broadcast::Sender::new(WAITING_ALARMS_MAX), waiting: Vec::new() }
    }
}

impl Alarms {
    /// Where listeners are let in.
    pub fn heard_by(&self) -> broadcast::Sender<Alarm> {
        self.heard_by.clone()
    }

    /// Sees what is taken in.
    pub fn notice(&mut self, records: &[Record]) {
        let alarms = records.iter().filter_map(alarm_in).take(WAITING_ALARMS_MAX.saturating_sub(self.waiting.len()));
        self.waiting.extend(alarms.cloned());
    }

    /// Whether a commit can not wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What waited is durable, somewhere in `range`.
    pub fn written(&mut self, reader: &Reader, range: SeqRange) {
        if self.waiting.is_empty() {
            return;
        }
        let records = match reader.read(range, usize::MAX) {
            Ok(chunk) => chunk.records,
            Err(error) => {
                warn!(%error, "alarms could not be read back, they go out without their numbers");
                return self.unwritten();
            }
        };
        for numbered in records {
            if let Some(event) = alarm_in(&numbered.record)
                && let Some(place) = self.waiting.iter().position(|waiting| waiting == event)
            {
                self.tell(Some(numbered.seq), place);
            }
        }
        // What a full journal refused has no number.
        self.unwritten();
    }

    /// What waits could not be written for now.
    pub fn unwritten(&mut self) {
        while !self.waiting.is_empty() {
            self.tell(None, 0);
        }
    }

    fn tell(&mut self, seq: Option<Seq>, place: usize) {
        let alarm = Alarm { seq, event: self.waiting.remove(place) };
        // Nobody listens where there is no broker: the event goes with the readings.
        drop(self.heard_by.send(alarm));
    }
}

/// A limit that was passed either way, and an instrument that is lost or back: a dead probe watches over no fish.
fn alarm_in(record: &Record) -> Option<&Event> {
    let Record::Event(event) = record else { return None };
    let kinds = [EventKind::Alarm, EventKind::Clear, EventKind::InstrumentDown, EventKind::InstrumentUp];
    kinds.contains(&event.kind).then_some(event)
}
