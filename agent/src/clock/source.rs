//! Where the time comes from: the board, or a test's.

use std::fmt::Debug;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{BootId, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use super::chrony::{self, Chrony};

/// A board's clocks.
pub trait Source: Debug + Send + Sync {
    /// Names the boot.
    fn boot(&self) -> BootId;
    /// Wall time, right or wrong.
    fn wall(&self) -> Timestamp;
    /// Milliseconds since the boot, sleep included.
    fn mono_ms(&self) -> u64;
    /// Who says that the wall clock is disciplined, if anybody does. Must not wait.
    fn voucher(&self) -> Option<Voucher>;
}

/// Who can say that something disciplines the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// adjtimex(2): whoever disciplines the clock tells the kernel.
    Kernel,
    /// systemd-timesyncd's mark.
    Timesyncd,
    /// chronyd's answer.
    Chrony,
}

impl Voucher {
    /// As a `clock-set` event names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Timesyncd => "timesyncd",
            Self::Chrony => "chrony",
        }
    }
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct BoardClocks {
    chrony: Chrony,
}

impl Default for BoardClocks {
    fn default() -> Self {
        Self { chrony: Chrony::at(chrony::COMMAND_PORT) }
    }
}

/// systemd-timesyncd touches it when it has set the clock; `/run` is empty after a boot.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

impl Source for BoardClocks {
    /// The kernel's name for this boot; a random one where there is none to read, which only makes times of one boot
    /// look like those of two.
    fn boot(&self) -> BootId {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        BootId(u64::from_str_radix(&digits, 16).unwrap_or_else(|_| fastrand::u64(..)))
    }

    // A clock set before 1970 reads as 1970: nothing is believed of it anyway.
    #[expect(clippy::disallowed_methods, reason = "this is the clock room")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn mono_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }

    /// The kernel knows best. Where it can not be asked (the unit's sandbox denies adjtimex, and so does 32 bits), the
    /// two daemons are that boards have.
    fn voucher(&self) -> Option<Voucher> {
        if let Some(is_disciplined) = kernel_is_disciplined() {
            return is_disciplined.then_some(Voucher::Kernel);
        }
        if Path::new(SYNCHRONIZED).try_exists().unwrap_or(false) {
            return Some(Voucher::Timesyncd);
        }
        (self.chrony.has_synchronised() == Some(true)).then_some(Voucher::Chrony)
    }
}

/// What adjtimex(2) says; nothing where it may not be asked (EPERM or ENOSYS in a sandbox), which is not a no. A query:
/// `modes` is zero, so nothing is set.
#[cfg(target_pointer_width = "64")]
fn kernel_is_disciplined() -> Option<bool> {
    use rtime_clock::adjtime::{Timex, adjtimex};
    /// The clock is not synchronised.
    const STA_UNSYNC: i32 = 0x0040;
    let mut timex = Timex::new();
    adjtimex(&mut timex).ok().map(|_| timex.0.status & STA_UNSYNC == 0)
}

/// The one safe binding of adjtimex(2) does not compile where the kernel's `long` has 32 bits: it puts an `i64` into
/// `timex.freq` (rtime-clock 0.14.2, still so in 0.15.1).
#[cfg(not(target_pointer_width = "64"))]
fn kernel_is_disciplined() -> Option<bool> {
    None
}
