//! What is asked of a lake: a span of time, and in it the readings of some instruments, quantities and qualities.

use model::{InstrumentId, Quality, QuantityId, Timestamp};

use crate::line::ManifestLine;
use crate::row::Row;

/// A question. Who names no instrument, quantity or quality asks for everything; who does asks for readings, and
/// events are left out: a manifest line says which series an object holds, not which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Up to this one, not included.
    pub to: Option<Timestamp>,
    /// Of any of these.
    pub instruments: Vec<InstrumentId>,
    /// Of any of these.
    pub quantities: Vec<QuantityId>,
    /// Of any of these.
    pub qualities: Vec<Quality>,
}

impl Query {
    /// Whether the object of a line may hold some of it. What a line can not tell is taken for a yes.
    pub fn may_be_in(&self, line: &ManifestLine) -> bool {
        let is_in_time =
            self.from.is_none_or(|from| line.time_max >= from) && self.to.is_none_or(|to| line.time_min < to);
        let has_series = line.instruments.iter().any(|series| {
            is_among(&self.instruments, Some(&series.instrument)) && is_among(&self.quantities, Some(&series.quantity))
        });
        let has_quality = line.quality.keys().any(|quality| is_among(&self.qualities, Some(quality)));
        is_in_time && (self.is_for_all() || has_series && has_quality)
    }

    /// Whether a row is part of it.
    pub fn wants(&self, row: &Row) -> bool {
        let is_in_time = self.from.is_none_or(|from| row.time >= from) && self.to.is_none_or(|to| row.time < to);
        let is_wanted = is_among(&self.instruments, row.instrument.as_ref())
            && is_among(&self.quantities, row.quantity.as_ref())
            && is_among(&self.qualities, row.quality.as_ref());
        is_in_time && is_wanted && (row.event.is_none() || self.is_for_all())
    }

    fn is_for_all(&self) -> bool {
        self.instruments.is_empty() && self.quantities.is_empty() && self.qualities.is_empty()
    }
}

fn is_among<T: PartialEq>(wanted: &[T], found: Option<&T>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
}
