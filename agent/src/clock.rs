//! The only room that reads a clock: wall time, the boot's monotonic time, and whether the first can be believed.
//!
//! Wall time is trusted once systemd-timesyncd has set it in this boot. What this room does not do yet: ask chrony
//! or the kernel, put anchors into the journal and correct earlier readings from them; until then a reading taken
//! before the clock was set says `untrusted`, and stays so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use journal::Moment;
use model::{BootId, Clock as Trust, Stamp, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// systemd-timesyncd touches it when it has set the clock; `/run` is empty after a boot.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// How often the trust is looked up: a file look-up a reading would cost more than the reading.
const LOOK_MS: u64 = 1_000;

/// The board's clocks.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    trust: Arc<Looked>,
}

#[derive(Debug, Default)]
struct Looked {
    next_look_ms: AtomicU64,
    is_synced: AtomicBool,
}

impl Clock {
    /// The clocks of this boot.
    pub fn of_this_boot() -> Self {
        Self { boot: read_boot_id(), trust: Arc::new(Looked::default()) }
    }

    /// Names this boot of the kernel.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Both clocks, now.
    pub fn stamp(&self) -> Stamp {
        let mono_ms = self.mono_ms();
        Stamp { time: self.now(), mono_ms, clock: self.trust(mono_ms) }
    }

    /// Wall time.
    // A clock set before 1970 reads as 1970: nothing is believed of it anyway.
    #[expect(clippy::disallowed_methods, reason = "this is the clock room")]
    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since the boot, sleep included, never set.
    pub fn mono_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }

    /// Both clocks as the journal takes them.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), mono_ms: self.mono_ms() }
    }

    fn trust(&self, mono_ms: u64) -> Trust {
        if mono_ms >= self.trust.next_look_ms.load(Ordering::Relaxed) {
            self.trust.next_look_ms.store(mono_ms + LOOK_MS, Ordering::Relaxed);
            let is_synced = Path::new(SYNCHRONIZED).try_exists().unwrap_or(false);
            self.trust.is_synced.store(is_synced, Ordering::Relaxed);
        }
        if self.trust.is_synced.load(Ordering::Relaxed) { Trust::Synced } else { Trust::Untrusted }
    }
}

/// The kernel's name for this boot; a random one where there is none to read, which only makes times of one boot
/// look like those of two.
fn read_boot_id() -> BootId {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    BootId(u64::from_str_radix(&digits, 16).unwrap_or_else(|_| fastrand::u64(..)))
}
