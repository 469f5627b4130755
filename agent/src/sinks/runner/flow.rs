//! How much may be on its way at once: two seconds of what the line has shown to carry, so that an alarm or the newest
//! reading never waits long behind a backlog, and a fast line is still kept busy.

use std::time::Duration;

use tokio::time::Instant;

/// What may always be on its way: more than the slowest line carries in its round trip.
const LEAST_BYTES: u64 = 32 << 10;
/// How far ahead of the far side's yes we go.
const AHEAD: Duration = Duration::from_secs(2);
/// A shorter look says little about a rate.
const LOOK: Duration = Duration::from_millis(250);

/// What is on its way, and how fast it arrives.
#[derive(Debug, Default)]
pub struct Flow {
    on_the_way: u64,
    /// Bytes a second, as last seen.
    rate: u64,
    /// When the look under way began, and what has arrived since.
    look: Option<(Instant, u64)>,
}

impl Flow {
    /// Whether more may go.
    pub fn has_room(&self) -> bool {
        self.on_the_way < LEAST_BYTES.max(self.rate.saturating_mul(AHEAD.as_secs()))
    }

    /// A batch goes.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.on_the_way += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.look.get_or_insert((now, 0));
    }

    /// It is over there, or will not be.
    pub fn done(&mut self, bytes: usize, is_there: bool, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.on_the_way = self.on_the_way.saturating_sub(bytes);
        let Some((since, arrived)) = &mut self.look else { return };
        *arrived += if is_there { bytes } else { 0 };
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= LOOK {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
            self.rate = arrived.saturating_mul(1_000) / millis;
            self.look = None;
        }
        // An idle line shows nothing.
        self.look = if self.on_the_way == 0 { None } else { self.look.or(Some((now, 0))) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_line_has_little_on_its_way_and_a_fast_one_as_much_as_it_carries() {
        let begin = Instant::now();
        let mut flow = Flow::default();
        // 8 kB/s, the satellite: a batch of 16 KiB takes two seconds.
        for second in 0..10 {
            while flow.has_room() {
                flow.sent(16 << 10, begin + Duration::from_secs(second * 2));
            }
            assert!(flow.on_the_way <= 48 << 10, "{flow:?}");
            flow.done(16 << 10, true, begin + Duration::from_secs(second * 2 + 2));
        }
        // 1 MB/s: it grows with what arrives.
        for tick in 0..100 {
            let now = begin + Duration::from_secs(30) + Duration::from_millis(tick * 96);
            while flow.has_room() {
                flow.sent(96 << 10, now);
            }
            flow.done(96 << 10, true, now + Duration::from_millis(96));
        }
        assert!(flow.on_the_way > 1 << 20, "{flow:?}");
    }
}
