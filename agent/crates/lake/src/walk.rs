//! Which days' manifests to read for a question: every key is computed, nothing is listed.
//!
//! A manifest is of the day of *upload*, and what was read today may be uploaded in a month. So the walk goes from the
//! day before `from` (a clock may have been set back over midnight) towards today. It may stop behind `to`: a sink
//! uploads in the order of the journal, so once positions join without a hole from before `from` to behind `to`,
//! nothing that is asked for can come later. While a hole is open it goes on, to today if need be.
//!
//! Then it goes back until what it has begins before `from` or at the start of a chain. Without `from` it begins
//! today, goes back to the start of the chain, and looks a month further for the journal of an earlier device of
//! that name. A chain that does not begin yet, or no line at all, is followed over a year without manifests: a farm
//! may rest for a season.

use model::Day;

use crate::catalogue::Catalogue;
use crate::query::Query;

/// Manifests that are asked for at once.
const WINDOW_DAYS: i64 = 16;
/// The same behind `to`, where any may be the last that is needed.
const WINDOW_DAYS_BEHIND: i64 = 4;
/// Days without manifests before the start of a chain, until nothing earlier is expected.
const REST_DAYS: i64 = 31;
/// The same before a line that is no start.
const REST_DAYS_MAX: i64 = 366;
/// Days before today that are never looked at: ten years.
const DAYS_MAX: i64 = 3_660;

/// A walk over days of upload.
#[derive(Debug)]
pub struct Walk {
    query: Query,
    today: Day,
    /// The first day that was looked at, or is to be.
    first: Day,
    /// The first day behind those that were looked at.
    next: Day,
}

impl Walk {
    /// A walk that begins.
    pub fn new(query: &Query, today: Day) -> Self {
        let begin = query.from.map_or(today.following(), |from| Day(from.day().0 - 1));
        let begin = begin.clamp(Day(today.0 - DAYS_MAX), today.following());
        Self { query: query.clone(), today, first: begin, next: begin }
    }

    /// The days to read next, knowing what was read so far; none at the end.
    pub fn next(&mut self, seen: &Catalogue) -> Vec<Day> {
        let ahead = self.ahead(seen);
        if ahead > 0 {
            let from = self.next;
            self.next = Day(from.0 + ahead);
            return (from.0..self.next.0).map(Day).collect();
        }
        let back = self.back(seen);
        let to = self.first;
        self.first = Day(to.0 - back);
        (self.first.0..to.0).map(Day).collect()
    }

    /// The first and the last day that were looked at.
    pub fn looked(&self) -> (Day, Day) {
        (self.first, Day(self.next.0 - 1))
    }

    /// How many days to go on.
    fn ahead(&self, seen: &Catalogue) -> i64 {
        let rest = self.today.0 + 1 - self.next.0;
        match (self.query.from, self.query.to) {
            (Some(from), Some(to)) if self.next > to.day() => {
                let is_begun = seen.has_start() || seen.reaches_back_to(from);
                let is_settled = is_begun && seen.reaches_on_to(to) && seen.holes().is_empty();
                if is_settled { 0 } else { rest.min(WINDOW_DAYS_BEHIND) }
            }
            (Some(_), Some(to)) => rest.min(WINDOW_DAYS).min(to.day().0 + 1 - self.next.0),
            _ => rest.min(WINDOW_DAYS),
        }
    }

    /// How many days to go back.
    fn back(&self, seen: &Catalogue) -> i64 {
        let Some(first) = seen.first_day() else {
            // With `from`, nothing that was uploaded earlier can be asked for.
            let rested = self.today.0 + 1 - self.first.0;
            return if self.query.from.is_some() { 0 } else { self.room(REST_DAYS_MAX - rested) };
        };
        let rested = first.0 - self.first.0;
        match self.query.from {
            Some(from) if seen.has_start() || seen.reaches_back_to(from) => 0,
            None if seen.has_start() => self.room(REST_DAYS - rested),
            _ => self.room(REST_DAYS_MAX - rested),
        }
    }

    fn room(&self, days: i64) -> i64 {
        let to_limit = self.first.0 - (self.today.0 - DAYS_MAX);
        days.min(WINDOW_DAYS).min(to_limit).max(0)
    }
}
