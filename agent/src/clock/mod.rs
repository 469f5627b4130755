//! The only room that reads a clock: wall time, the boot's monotonic time, and how far the first can be believed.
//!
//! Wall time is believed (`synced`) once the kernel, or the daemon that keeps the clock, says that it is disciplined, or
//! once somebody is seen to set it to a time that can be (`date -s`, a GPS script, a modem). At that moment an **anchor**
//! is made: what the wall clock says when the boot's monotonic clock says so much. A reading taken before it carries its
//! monotonic time, so a sink can put its wall time right (`corrected`); without an anchor it says `untrusted`. History is
//! never rewritten, and positions in the journal depend on no clock.

mod anchors;
mod chrony;
mod source;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::Moment;
use model::{BootId, Clock as Trust, Event, EventKind, Record, Stamp, Timestamp};

pub use anchors::Anchors;
pub use source::{BoardClocks, Source, Voucher};

/// How often the clock is looked at for having been set.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Wall time that runs away from the monotonic clock by more than this between two looks was set, not slewed: the
/// kernel slews at most half a millisecond a second.
const STEP_MS_MIN: i64 = 500;

/// A clock before this can not be right: 2026-01-01, before the first release. A board without a battery starts in 1970
/// or at its last shutdown.
const PLAUSIBLE_FROM_MS: i64 = 1_767_225_600_000;

/// The board's clocks.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Box<dyn Source>,
    is_trusted: AtomicBool,
    /// Wall time less monotonic time at the last look.
    offset_ms: AtomicI64,
    anchors: Mutex<Anchors>,
}

impl Clock {
    /// The clocks of this boot; anchors are not remembered.
    pub fn of_this_boot() -> Self {
        Self::new(Box::new(BoardClocks::default()), Anchors::in_memory())
    }

    /// The clocks of this boot; anchors are remembered in the journal's folder.
    pub fn with_anchors_in(folder: &Path) -> Self {
        Self::new(Box::new(BoardClocks::default()), Anchors::open(folder))
    }

    /// Clocks read from `source`.
    pub fn new(source: Box<dyn Source>, anchors: Anchors) -> Self {
        let boot = source.boot();
        let offset_ms = AtomicI64::new(source.wall().as_millis() - signed(source.mono_ms()));
        // Trusted from the start where an earlier run of this boot saw the clock being set, or the kernel says so.
        let is_trusted = AtomicBool::new(anchors.of(boot).is_some());
        Self { boot, shared: Arc::new(Shared { source, is_trusted, offset_ms, anchors: Mutex::new(anchors) }) }
    }

    /// Names this boot of the kernel.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Both clocks, now.
    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.now(), mono_ms: self.mono_ms(), clock: self.trust() }
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        self.shared.source.wall()
    }

    /// Milliseconds since the boot, sleep included, never set.
    pub fn mono_ms(&self) -> u64 {
        self.shared.source.mono_ms()
    }

    /// Both clocks as the journal takes them.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), mono_ms: self.mono_ms() }
    }

    /// How far wall time can be believed now.
    pub fn trust(&self) -> Trust {
        if self.shared.is_trusted.load(Ordering::Relaxed) { Trust::Synced } else { Trust::Untrusted }
    }

    /// Whether readings of this boot that were taken before the clock was set can be put right.
    pub fn has_anchor(&self) -> bool {
        self.anchors().of(self.boot).is_some()
    }

    /// Puts the time of a record right that was taken before the clock was set, if an anchor of its boot is known.
    pub fn correct(&self, boot: BootId, record: &mut Record) {
        let stamp = record.stamp_mut();
        if stamp.clock == Trust::Untrusted
            && let Some(offset_ms) = self.anchors().of(boot)
        {
            stamp.time = Timestamp::from_millis(signed(stamp.mono_ms).saturating_add(offset_ms));
            stamp.clock = Trust::Corrected;
        }
    }

    /// Looks whether the clock has been set or has come to be disciplined since the last look; the event to record if
    /// so. An anchor is made when it is trusted for the first time in this boot, and is durable before the event is.
    pub fn look(&self) -> Option<Event> {
        let shared = &self.shared;
        let (wall, mono_ms) = (shared.source.wall(), shared.source.mono_ms());
        let offset_ms = wall.as_millis() - signed(mono_ms);
        let step_ms = offset_ms - shared.offset_ms.swap(offset_ms, Ordering::Relaxed);
        let is_step = step_ms.abs() >= STEP_MS_MIN;
        let was_trusted = shared.is_trusted.load(Ordering::Relaxed);
        let is_plausible = is_plausible(wall);
        // Only while the answer decides: neither chronyd is to be woken every second for ever, nor a log of audited calls
        // to be filled with adjtimex.
        let voucher = if was_trusted { None } else { shared.source.voucher() };
        let is_trusted = is_plausible && (was_trusted || voucher.is_some() || is_step);
        shared.is_trusted.store(is_trusted, Ordering::Relaxed);
        if is_trusted && !was_trusted {
            self.anchors().make(self.boot, offset_ms);
        }
        if !is_step && is_trusted == was_trusted {
            return None;
        }
        let said_by = voucher.map_or("step", Voucher::as_str);
        let event = Event::new(self.stamp(), EventKind::ClockSet)
            .with("step_ms", if is_step { step_ms } else { 0 })
            .with("said_by", said_by)
            .with("boot_id", self.boot.to_string());
        Some(event)
    }

    fn anchors(&self) -> MutexGuard<'_, Anchors> {
        self.shared.anchors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it can be that late, or that early: false for a board that starts in 1970.
pub fn is_plausible(wall: Timestamp) -> bool {
    wall.as_millis() >= PLAUSIBLE_FROM_MS
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
