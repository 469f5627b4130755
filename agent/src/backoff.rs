//! How long to wait before trying again: exponential with full jitter, so that a thousand devices that lost the same
//! broker do not come back in the same second.

use std::time::Duration;

/// A growing wait.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits of up to `first`, doubling to up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most: most.max(first), tries: 0 }
    }

    /// The next wait: between a quarter and the whole of what this try allows.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.tries.min(20)).unwrap_or(u32::MAX));
        self.tries = self.tries.saturating_add(1);
        let whole = doubled.min(self.most);
        let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(fastrand::u64(millis.div_ceil(4)..=millis))
    }

    /// How many waits there were since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Some part of `most`, another on each device.
pub fn spread(most: Duration) -> Duration {
    Duration::from_millis(fastrand::u64(0..=u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_most_and_no_further() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for tries in 0..200_u32 {
            let whole = Duration::from_millis(100 << tries.min(5)).min(Duration::from_secs(2));
            let wait = backoff.next_wait();
            assert!(wait <= whole && wait + Duration::from_millis(1) >= whole / 4, "try {tries}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
