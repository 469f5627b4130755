//! Whose turn it is on a line with many instruments.
//!
//! 1. The one that has been due for longest is next: nobody is overtaken twice.
//! 2. Turns lie on a grid of the instrument's period. One that is due while the bus is still busy with the one before is
//!    skipped and counted, not run twice in a row.
//! 3. An instrument that does not answer is asked more rarely: every second period, every fourth, up to every
//!    sixteenth and at most every ten minutes. The first answer makes it an instrument like any other again.

use std::time::Duration;

use instruments::Turn;

/// Silent polls before an instrument is said to be down: one may be lost to noise, two to a restart.
pub const SILENT_POLLS_MAX: u32 = 3;

/// The longest a dead instrument is left alone, in periods, and at all: somebody plugs it back in and waits.
const BACK_OFF_PERIODS_LOG2: u32 = 4;
const BACK_OFF_MS_MAX: u64 = 600_000;

/// How often the set-up of an instrument that talks by itself is tried again, in milliseconds.
const SET_UP_EVERY_MS: u64 = 5_000;

/// The turns of a line.
#[derive(Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    every_ms: Option<u64>,
    due_mono_ms: u64,
    /// Turns in a row that were no success.
    failed: u32,
    /// Turns in a row that nothing answered.
    silent: u32,
    is_down: bool,
    paused_until_mono_ms: Option<u64>,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub enum Pick {
    /// A turn begins.
    Begin(usize),
    /// A turn goes on.
    Resume(usize),
    /// Nobody is due before this time; `None`: ever.
    Nothing {
        /// Milliseconds since the boot.
        until_mono_ms: Option<u64>,
    },
}

/// What the end of a turn means for the instrument.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Turns that fell due meanwhile and are left out.
    pub skipped: u64,
    /// What it has become.
    pub change: Option<Change>,
}

/// A change of an instrument that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has not answered for [`SILENT_POLLS_MAX`] polls.
    Down,
    /// It answers again.
    Up,
}

impl Schedule {
    /// Turns of instruments that are asked every so often; `None`: only to be set up.
    pub fn new(every: impl Iterator<Item = Option<Duration>>) -> Self {
        let millis = |every: Duration| u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
        let slot = |every: Option<Duration>| Slot {
            every_ms: every.map(millis),
            due_mono_ms: 0,
            failed: 0,
            silent: 0,
            is_down: false,
            paused_until_mono_ms: None,
        };
        Self { slots: every.map(slot).collect() }
    }

    /// The instruments are others: each is one that was there (by its place then), or is new and due now.
    pub fn rearrange(
        &mut self,
        held: &[Option<usize>],
        every: impl Iterator<Item = Option<Duration>>,
        now_mono_ms: u64,
    ) {
        let mut before: Vec<Option<Slot>> = std::mem::take(&mut self.slots).into_iter().map(Some).collect();
        let mut new = Self::new(every).slots;
        for (slot, held) in new.iter_mut().zip(held) {
            match held.and_then(|index| before.get_mut(index)?.take()) {
                Some(kept) => *slot = kept,
                None => slot.due_mono_ms = now_mono_ms,
            }
        }
        self.slots = new;
    }

    /// The port was opened: everyone is due.
    pub fn open(&mut self, now_mono_ms: u64) {
        for slot in &mut self.slots {
            slot.due_mono_ms = now_mono_ms;
            slot.paused_until_mono_ms = None;
            (slot.failed, slot.silent) = (0, 0);
        }
    }

    /// The port was lost, and with it everyone on it.
    pub fn lose(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.is_down = true);
    }

    /// Whose turn it is; `wants_turn` tells of each whether it must be set up.
    pub fn pick(&self, now_mono_ms: u64, wants_turn: impl Fn(usize) -> bool) -> Pick {
        let due = |(index, slot): (usize, &Slot)| Some((slot.due(wants_turn(index), now_mono_ms)?, index));
        match self.slots.iter().enumerate().filter_map(due).min() {
            Some((due, index)) if due <= now_mono_ms => match self.slots[index].paused_until_mono_ms {
                Some(_) => Pick::Resume(index),
                None => Pick::Begin(index),
            },
            next => Pick::Nothing { until_mono_ms: next.map(|(due, _)| due) },
        }
    }

    /// A turn leaves the bus to others until then.
    pub fn pause(&mut self, index: usize, until_mono_ms: u64) {
        self.slots[index].paused_until_mono_ms = Some(until_mono_ms);
    }

    /// A turn goes on.
    pub fn resume(&mut self, index: usize) {
        self.slots[index].paused_until_mono_ms = None;
    }

    /// A turn is over.
    pub fn end(&mut self, index: usize, turn: Turn, now_mono_ms: u64) -> Ended {
        let slot = &mut self.slots[index];
        slot.paused_until_mono_ms = None;
        slot.failed = if turn == Turn::Answered { 0 } else { slot.failed.saturating_add(1) };
        slot.silent = if turn == Turn::Silent { slot.silent.saturating_add(1) } else { 0 };
        let every_ms = slot.every_ms.unwrap_or(SET_UP_EVERY_MS);
        let mut skipped = 0;
        slot.due_mono_ms = slot.due_mono_ms.saturating_add(slot.wait_ms(every_ms));
        if slot.due_mono_ms <= now_mono_ms {
            let missed = (now_mono_ms - slot.due_mono_ms) / every_ms + 1;
            slot.due_mono_ms = slot.due_mono_ms.saturating_add(missed.saturating_mul(every_ms));
            skipped = if slot.every_ms.is_some() { missed } else { 0 };
        }
        Ended { skipped, change: slot.change() }
    }
}

impl Slot {
    fn due(&self, wants_turn: bool, now_mono_ms: u64) -> Option<u64> {
        if let Some(until_mono_ms) = self.paused_until_mono_ms {
            return Some(until_mono_ms);
        }
        match (wants_turn, self.every_ms) {
            // Set up at once; but what fails is not tried again in the same breath.
            (true, _) if self.failed == 0 => Some(self.due_mono_ms.min(now_mono_ms)),
            (true, _) | (false, Some(_)) => Some(self.due_mono_ms),
            (false, None) => None,
        }
    }

    fn wait_ms(&self, every_ms: u64) -> u64 {
        let doublings = self.silent.saturating_sub(1).min(BACK_OFF_PERIODS_LOG2);
        every_ms.saturating_mul(1 << doublings).min(BACK_OFF_MS_MAX).max(every_ms)
    }

    fn change(&mut self) -> Option<Change> {
        if self.is_down && self.silent == 0 {
            self.is_down = false;
            return Some(Change::Up);
        }
        if !self.is_down && self.silent >= SILENT_POLLS_MAX && self.every_ms.is_some() {
            self.is_down = true;
            return Some(Change::Down);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seconds: &[u64]) -> Schedule {
        let mut schedule = Schedule::new(seconds.iter().map(|seconds| Some(Duration::from_secs(*seconds))));
        schedule.open(0);
        schedule
    }

    /// Runs turns of `turn_ms` up to `until`, and counts those of each.
    fn run(schedule: &mut Schedule, until: u64, turn_ms: u64, turn: impl Fn(usize) -> Turn) -> (Vec<u64>, u64) {
        let (mut now, mut turns, mut skipped) = (0, vec![0; schedule.slots.len()], 0);
        while now < until {
            match schedule.pick(now, |_| false) {
                Pick::Begin(index) | Pick::Resume(index) => {
                    turns[index] += 1;
                    now += turn_ms;
                    skipped += schedule.end(index, turn(index), now).skipped;
                }
                Pick::Nothing { until_mono_ms } => now = until_mono_ms.expect("somebody is asked"),
            }
        }
        (turns, skipped)
    }

    #[test]
    fn each_has_its_own_period() {
        let (turns, skipped) = run(&mut schedule(&[1, 5, 60]), 60_000, 50, |_| Turn::Answered);
        assert_eq!((turns, skipped), (vec![60, 12, 1], 0));
    }

    #[test]
    fn a_bus_that_is_too_full_is_shared_fairly_and_counts_what_it_left_out() {
        let (turns, skipped) = run(&mut schedule(&[1, 1, 1]), 60_000, 1_000, |_| Turn::Answered);
        assert!(turns.iter().all(|turns| *turns == 20), "{turns:?}");
        assert!(skipped >= 110, "{skipped}");
    }

    #[test]
    fn a_dead_one_is_asked_ever_more_rarely_and_the_rest_as_before() {
        let dead = |index| if index == 0 { Turn::Silent } else { Turn::Answered };
        let (turns, _) = run(&mut schedule(&[1, 1]), 600_000, 400, dead);
        assert!(turns[0] <= 5 + 600 / 16 && turns[1] >= 598, "{turns:?}");
    }

    #[test]
    fn down_is_said_after_three_and_up_after_one() {
        let mut schedule = schedule(&[1]);
        let changes: Vec<_> = [Turn::Silent, Turn::Silent, Turn::Silent, Turn::Silent, Turn::Refused, Turn::Answered]
            .into_iter()
            .map(|turn| schedule.end(0, turn, 0).change)
            .collect();
        assert_eq!(changes, [None, None, Some(Change::Down), None, Some(Change::Up), None]);
        schedule.lose();
        schedule.open(9_000);
        assert_eq!(schedule.pick(9_000, |_| false), Pick::Begin(0));
        assert_eq!(schedule.end(0, Turn::Answered, 9_100).change, Some(Change::Up));
    }

    #[test]
    fn a_paused_turn_lets_others_by_and_goes_on_in_time() {
        let mut schedule = schedule(&[10, 10]);
        assert_eq!(schedule.pick(0, |_| false), Pick::Begin(0));
        schedule.pause(0, 500);
        assert_eq!(schedule.pick(0, |_| false), Pick::Begin(1));
        schedule.end(1, Turn::Answered, 100);
        assert_eq!(schedule.pick(100, |_| false), Pick::Nothing { until_mono_ms: Some(500) });
        assert_eq!(schedule.pick(500, |_| false), Pick::Resume(0));
    }

    #[test]
    fn one_that_only_talks_has_a_turn_to_be_set_up() {
        let mut schedule = Schedule::new([None].into_iter());
        schedule.open(0);
        assert_eq!(schedule.pick(0, |_| false), Pick::Nothing { until_mono_ms: None });
        assert_eq!(schedule.pick(0, |_| true), Pick::Begin(0));
        schedule.end(0, Turn::Silent, 100);
        assert_eq!(schedule.pick(100, |_| true), Pick::Nothing { until_mono_ms: Some(5_000) });
    }
}
