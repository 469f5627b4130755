//! The bus's side of the journal's door: readings go in, and what finds it full is counted until a gap can say so.

use model::{Gap, GapReason, Record, Timestamp};
use tracing::error;

use crate::clock::Clock;
use crate::record::{Full, Inbox};

/// What was dropped since the last gap.
struct Overrun {
    count: u64,
    from: Timestamp,
    to: Timestamp,
}

/// Offers records to the journal.
pub struct Emitter {
    inbox: Inbox,
    clock: Clock,
    overrun: Option<Overrun>,
}

impl Emitter {
    /// An emitter on this way in.
    pub fn new(inbox: Inbox, clock: Clock) -> Self {
        Self { inbox, clock, overrun: None }
    }

    /// Offers records; gives the number of those that were dropped.
    pub fn emit(&mut self, mut records: Vec<Record>) -> u64 {
        if records.is_empty() {
            return 0;
        }
        let is_owing = self.overrun.is_some();
        if let Some(overrun) = &self.overrun {
            let gap = Gap {
                range: None,
                count: overrun.count,
                times: Some((overrun.from, overrun.to)),
                reason: GapReason::Overrun,
            };
            records.insert(0, Record::Event(Box::new(gap.into_event(self.clock.stamp()))));
        }
        match self.inbox.offer(records) {
            Ok(()) => {
                self.overrun = None;
                0
            }
            Err(Full(mut records)) => {
                if is_owing {
                    records.remove(0);
                }
                self.count_dropped(&records)
            }
        }
    }

    fn count_dropped(&mut self, records: &[Record]) -> u64 {
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let times = || records.iter().map(|record| record.stamp().time);
        let (Some(from), Some(to)) = (times().min(), times().max()) else { return 0 };
        match &mut self.overrun {
            Some(overrun) => {
                overrun.count += count;
                overrun.to = to.max(overrun.to);
            }
            None => {
                error!("the journal can not keep up, readings are dropped and will be named in a gap");
                self.overrun = Some(Overrun { count, from, to });
            }
        }
        count
    }
}
