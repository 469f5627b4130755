//! Waiting on a state, with a limit: the only place where the test house sleeps or reads a clock.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a state. Short against what a person notices, long against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The instant it is, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "the agent takes time from its clock room; a test measures the agent")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass where nothing can be awaited: the pace of an instrument.
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// Looks until `state` gives something, and gives it back.
///
/// # Panics
/// When `limit` has passed, with `what` was awaited and what `context` says about why it did not come.
#[track_caller]
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    context: impl FnOnce() -> String,
    mut state: impl FnMut() -> Option<T>,
) -> T {
    let deadline = now() + limit;
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(now() < deadline, "waited {limit:?} for {what}\n{}", context());
        pause(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_comes_is_given_back_and_one_that_does_not_is_named() {
        let mut looks = 0;
        let third = wait_for("the third look", Duration::from_secs(10), String::new, || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third, 3);

        let overdue = std::panic::catch_unwind(|| {
            wait_for("snow in July", Duration::ZERO, || "it is July".to_owned(), || None::<()>);
        })
        .unwrap_err();
        let message = overdue.downcast_ref::<String>().unwrap();
        assert!(message.contains("snow in July") && message.contains("it is July"), "{message}");
    }
}
