//! What a sink may spend: bytes and messages a second, and bytes a month.
//!
//! A message goes as soon as nothing is owed, and is owed for afterwards: a large one is not held back for ever by a small
//! rate. The month's account stands in a file, drawn in slices before they are spent, so that a crash costs the rest of
//! a slice and never spends twice. Alarms are counted and never wait.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{MqttProfile, SinkConfig, SinkKind, SpendingConfig};
use crate::lasting;

/// A month's budget is drawn from its file in so many slices: a write for each.
const SLICES: u64 = 256;

/// What is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    /// Bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Messages a second.
    pub messages_per_second: Option<u32>,
    /// Bytes a calendar month, in UTC.
    pub bytes_per_month: Option<u64>,
}

/// What AWS IoT Core lets one connection do ("AWS IoT Core endpoints and quotas"): what is above is discarded there, or
/// held up.
const AWS_IOT: Allowance =
    Allowance { bytes_per_second: Some(512 << 10), messages_per_second: Some(100), bytes_per_month: None };

impl Allowance {
    /// What a sink is allowed by its configuration and by what it sends to.
    pub fn of(sink: &SinkConfig) -> Self {
        let SpendingConfig { max_rate, budget } = sink.spending;
        let own = Self { bytes_per_second: max_rate, messages_per_second: None, bytes_per_month: budget };
        match &sink.kind {
            SinkKind::Mqtt(mqtt) if mqtt.profile == MqttProfile::AwsIot => own.at_most(&AWS_IOT),
            _ => own,
        }
    }

    /// The same, and no more than another allows.
    #[must_use]
    fn at_most(self, other: &Self) -> Self {
        fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            bytes_per_second: least(self.bytes_per_second, other.bytes_per_second),
            messages_per_second: least(self.messages_per_second, other.messages_per_second),
            bytes_per_month: least(self.bytes_per_month, other.bytes_per_month),
        }
    }
}

/// Why nothing may go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// For so long.
    For(Duration),
    /// Until the next month; the words say it.
    Month(String),
}

/// The meter of one sink.
#[derive(Debug)]
pub struct Meter {
    allowance: Allowance,
    account: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When all that was spent on bytes, and on messages, is earned again.
    earned_at: [Option<Instant>; 2],
    /// Months since year 0, drawn from its budget, and of that spent.
    month: u32,
    drawn: u64,
    spent: u64,
}

impl Meter {
    /// A meter whose account is `<folder>/budgets/<sink>`.
    pub fn open(allowance: Allowance, folder: &Path, sink: &str) -> Self {
        let account = folder.join("budgets").join(sink);
        let known = fs::read_to_string(&account).ok().and_then(|text| parse(&text));
        let (month, drawn) = known.unwrap_or_default();
        // What was drawn and not spent is not known to be unspent.
        let state = State { earned_at: [None; 2], month, drawn, spent: drawn };
        Self { allowance, account, state: Mutex::new(state) }
    }

    /// Whether a message may go; if not, why.
    pub fn may_send(&self, now: Instant, wall: Timestamp) -> Result<(), Wait> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = self.allowance.bytes_per_month {
            state.turn_to(month_of(wall));
            if state.spent >= budget {
                let (year, month) = (state.month / 12, state.month % 12 + 1);
                return Err(Wait::Month(format!(
                    "the budget of {year}-{month:02} is spent, alarms alone are sent until it is over"
                )));
            }
        }
        let owed = state.earned_at.iter().flatten().max().map(|at| at.saturating_duration_since(now));
        match owed {
            Some(owed) if !owed.is_zero() => Err(Wait::For(owed)),
            _ => Ok(()),
        }
    }

    /// Counts a message that goes.
    pub fn spend(&self, bytes: u64, now: Instant, wall: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let costs = [
            self.allowance
                .bytes_per_second
                .map(|rate| Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))),
            self.allowance.messages_per_second.map(|rate| Duration::from_micros(1_000_000 / u64::from(rate.max(1)))),
        ];
        for (earned_at, cost) in state.earned_at.iter_mut().zip(costs) {
            if let Some(cost) = cost {
                *earned_at = Some(earned_at.unwrap_or(now).max(now) + cost);
            }
        }
        let Some(budget) = self.allowance.bytes_per_month else { return };
        state.turn_to(month_of(wall));
        state.spent = state.spent.saturating_add(bytes);
        if state.spent > state.drawn {
            state.drawn = state.spent + budget / SLICES;
            if let Err(error) = store(&self.account, state.month, state.drawn) {
                // It is counted in memory; a restart now would forget it, and spend more than it may.
                warn!(account = %self.account.display(), %error, "the month's account could not be written");
            }
            if state.spent >= budget {
                info!(budget, "the month's budget is spent, alarms alone are sent until it is over");
            }
        }
    }
}

impl State {
    /// A new month begins. A clock that goes back changes nothing: what was spent was spent.
    fn turn_to(&mut self, month: u32) {
        if month > self.month {
            (self.month, self.drawn, self.spent) = (month, 0, 0);
        }
    }
}

fn month_of(wall: Timestamp) -> u32 {
    // `YYYY-MM-...`
    let text = wall.to_string();
    let part = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    part(0, 4) * 12 + part(5, 7).saturating_sub(1)
}

/// `<year>-<month> <bytes drawn>`, twice, so that damage does not pass for a number.
fn parse(text: &str) -> Option<(u32, u64)> {
    let (first, second) = text.strip_suffix('\n')?.split_once('\n')?;
    let (month, drawn) = first.split_once(' ').filter(|_| first == second)?;
    let (year, month) = month.split_once('-')?;
    Some((year.parse::<u32>().ok()? * 12 + month.parse::<u32>().ok()?.checked_sub(1)?, drawn.parse().ok()?))
}

fn store(account: &Path, month: u32, drawn: u64) -> io::Result<()> {
    fs::create_dir_all(lasting::folder_of(account))?;
    let line = format!("{}-{:02} {drawn}\n", month / 12, month % 12 + 1);
    lasting::replace(account, format!("{line}{line}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVEMBER: i64 = 1_795_392_000_000; // 2026-11-23
    const DECEMBER: i64 = NOVEMBER + 20 * 86_400_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_rate_is_owed_for_after_the_message_and_kept_over_time() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let allowance =
            Allowance { bytes_per_second: Some(1_000), messages_per_second: Some(100), ..Allowance::default() };
        let meter = Meter::open(allowance, dir.path(), "cloud");
        let begin = Instant::now();
        let mut sent = 0_u64;
        for ms in 0..60_000 {
            let now = begin + Duration::from_millis(ms);
            if meter.may_send(now, at(NOVEMBER)).is_ok() {
                sent += 5_000;
                meter.spend(5_000, now, at(NOVEMBER));
            }
        }
        assert_eq!(sent, 60_000, "a message of five seconds' worth every five seconds");
        for _ in 0..3 {
            meter.spend(0, begin + Duration::from_mins(2), at(NOVEMBER));
        }
        let wait = meter.may_send(begin + Duration::from_mins(2), at(NOVEMBER));
        assert_eq!(wait, Err(Wait::For(Duration::from_millis(30))));
    }

    #[test]
    fn a_months_budget_outlives_a_crash_and_is_new_in_the_next_month() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let allowance = Allowance { bytes_per_month: Some(256_000), ..Allowance::default() };
        let now = Instant::now();
        let mut sent = 0_u64;
        // It is killed after every third message.
        loop {
            let meter = Meter::open(allowance, dir.path(), "cloud");
            if meter.may_send(now, at(NOVEMBER)).is_err() {
                break;
            }
            for _ in 0..3 {
                meter.spend(1_000, now, at(NOVEMBER));
                sent += 1_000;
            }
        }
        assert!((190_000..=258_000).contains(&sent), "{sent} of 256,000 were spent");
        let meter = Meter::open(allowance, dir.path(), "cloud");
        let Err(Wait::Month(words)) = meter.may_send(now, at(NOVEMBER)) else { panic!("it is spent") };
        assert!(words.contains("2026-11"), "{words}");
        assert_eq!(meter.may_send(now, at(DECEMBER)), Ok(()));
        assert!(Meter::open(allowance, dir.path(), "other").may_send(now, at(NOVEMBER)).is_ok());
    }

    #[test]
    fn an_account_that_does_not_read_is_a_new_one_and_a_clock_set_back_gives_nothing_again() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("budgets")).expect("a folder");
        fs::write(dir.path().join("budgets/cloud"), "2026-11 12\n2026-11 99\n").expect("a file");
        let allowance = Allowance { bytes_per_month: Some(1_000), ..Allowance::default() };
        let meter = Meter::open(allowance, dir.path(), "cloud");
        let now = Instant::now();
        meter.spend(1_000, now, at(DECEMBER));
        assert!(meter.may_send(now, at(NOVEMBER)).is_err());
    }
}
