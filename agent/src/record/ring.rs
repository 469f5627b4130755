//! What has been taken in and not been written: the newest records, as many as there is room for.
//!
//! While the journal's disk is there this is one commit. While it is not, it is all there is: it keeps what is newest,
//! and what falls out is counted until a gap can say so.

use std::collections::VecDeque;

use model::{EventKind, Fact, Gap, GapReason, Record, Stamp, Timestamp, Value};

/// Records kept in memory: a minute of the fastest bus, an hour of a usual board.
pub const RING_RECORDS_MAX: usize = 65_536;
/// Their bytes, for records with long texts: the agent stays below 64 MiB.
pub const RING_BYTES_MAX: usize = 16 << 20;
/// A record without its texts.
const RECORD_BYTES: usize = 160;

/// What fell out of the ring.
#[derive(Debug, Clone, Copy)]
struct Fallen {
    count: u64,
    from: Timestamp,
    to: Timestamp,
}

/// Records in order, the newest at the end.
#[derive(Debug, Default)]
pub struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    fallen: Option<Fallen>,
}

impl Ring {
    /// Takes records in; gives the number of those that fell out for them.
    pub fn push(&mut self, records: impl IntoIterator<Item = Record>) -> u64 {
        let mut fallen = 0;
        for record in records {
            self.bytes += bytes_of(&record);
            self.records.push_back(record);
            while self.records.len() > RING_RECORDS_MAX || self.bytes > RING_BYTES_MAX {
                fallen += 1;
                self.drop_oldest();
            }
        }
        fallen
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it is time to write, whatever the clock says.
    pub fn is_half_full(&self) -> bool {
        self.records.len() >= RING_RECORDS_MAX / 2 || self.bytes >= RING_BYTES_MAX / 2
    }

    /// Takes all out, behind the gap for what fell out.
    pub fn take(&mut self, stamp: Stamp) -> Vec<Record> {
        let gap = self.fallen.take().map(|fallen| {
            let times = Some((fallen.from, fallen.to));
            let gap = Gap { range: None, count: fallen.count, times, reason: GapReason::Overrun };
            Record::Event(Box::new(gap.into_event(stamp)))
        });
        self.bytes = 0;
        gap.into_iter().chain(self.records.drain(..)).collect()
    }

    fn drop_oldest(&mut self) {
        let Some(record) = self.records.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(bytes_of(&record));
        let time = record.stamp().time;
        // A gap that falls out tells of others: they are told with it.
        let count = told_by(&record).unwrap_or(1);
        let fallen = self.fallen.get_or_insert(Fallen { count: 0, from: time, to: time });
        fallen.count += count;
        fallen.from = fallen.from.min(time);
        fallen.to = fallen.to.max(time);
    }
}

fn told_by(record: &Record) -> Option<u64> {
    match record {
        Record::Event(event) if event.kind == EventKind::Gap => match event.facts.get("count") {
            Some(Fact::Integer(count)) => u64::try_from(*count).ok(),
            _ => None,
        },
        Record::Event(_) | Record::Reading(_) => None,
    }
}

fn bytes_of(record: &Record) -> usize {
    let text = |fact: &Fact| if let Fact::Text(text) = fact { text.len() } else { 0 };
    RECORD_BYTES
        + match record {
            Record::Reading(reading) => {
                if let Value::Text(text) = &reading.value {
                    text.len()
                } else {
                    0
                }
            }
            Record::Event(event) => {
                event.facts.iter().map(|(name, fact)| RECORD_BYTES + name.len() + text(fact)).sum::<usize>()
            }
        }
}

#[cfg(test)]
mod tests {
    use model::{Clock, Event};

    use super::*;

    fn stamp(ms: i64) -> Stamp {
        Stamp { time: Timestamp::from_millis(ms), mono_ms: 0, clock: Clock::Synced }
    }

    fn event(ms: i64) -> Record {
        Record::Event(Box::new(Event::new(stamp(ms), EventKind::Alarm)))
    }

    #[test]
    fn the_newest_are_kept_and_what_fell_out_is_counted_with_its_times() {
        let mut ring = Ring::default();
        let count = i64::try_from(RING_RECORDS_MAX).expect("small");
        assert_eq!(ring.push((0..count + 1_000).map(event)), 1_000);
        let taken = ring.take(stamp(0));
        let Record::Event(gap) = &taken[0] else { panic!("a gap") };
        assert_eq!((&gap.facts["count"], &gap.facts["reason"]), (&Fact::Integer(1_000), &"overrun".into()));
        assert_eq!(gap.facts["lost_to"], Timestamp::from_millis(999).to_string().into());
        assert_eq!(taken[1].stamp().time, Timestamp::from_millis(1_000));
        assert_eq!((taken.len(), ring.len()), (RING_RECORDS_MAX + 1, 0));
        assert_eq!(ring.take(stamp(0)), []);
    }

    #[test]
    fn long_texts_fill_it_sooner_and_a_gap_that_falls_out_is_still_told() {
        let mut ring = Ring::default();
        let gap = Gap { range: None, count: 7, times: None, reason: GapReason::Overrun };
        ring.push([Record::Event(Box::new(gap.into_event(stamp(0))))]);
        let raw = "x".repeat(4_000);
        let long =
            |ms| Record::Event(Box::new(Event::new(stamp(ms), EventKind::FrameRejected).with("raw", raw.as_str())));
        let fallen = ring.push((0..10_000).map(long));
        assert!(fallen > 1_000 && ring.len() * 4_000 <= RING_BYTES_MAX);
        let Record::Event(gap) = ring.take(stamp(0)).remove(0) else { panic!("a gap") };
        assert_eq!(gap.facts["count"], Fact::Integer(i64::try_from(fallen).expect("small") - 1 + 7));
    }
}
