//! Who is still alive in here: every loop beats, and the service manager's watchdog is fed only while all of them do.
//!
//! A task is seen to beat from outside: beside it a timer turns, and both are polled in one place. So a task that hangs
//! in a system call, waits for a lock that nobody gives back, or starves with its whole runtime stops beating, while one
//! that waits for a broker, a port or a disk in the ordinary way goes on. What is not seen is a loop that turns and does
//! nothing: `status` shows that by its lag.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Turns of the timers between two looks: one that is late is no sign.
const TURNS_A_LOOK: u32 = 2;
/// Looks between two times at which the watchdog wants to be fed.
const LOOKS: u32 = 4;

/// All that beat.
#[derive(Debug, Clone, Default)]
pub struct Beats {
    /// How often each beats; none where no watchdog wants to know.
    every: Option<Duration>,
    all: Arc<Mutex<Vec<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    count: Weak<AtomicU64>,
    seen: u64,
}

/// One that beats, until it is dropped.
#[derive(Debug, Clone, Default)]
pub struct Beat(Arc<AtomicU64>);

impl Beats {
    /// For a watchdog that wants to be fed within `limit`.
    pub fn within(limit: Duration) -> Self {
        Self { every: Some(limit / LOOKS / TURNS_A_LOOK), all: Arc::default() }
    }

    /// How often to look whether all beat; none where no watchdog wants to know.
    pub fn look_every(&self) -> Option<Duration> {
        self.every.map(|every| every * TURNS_A_LOOK)
    }

    /// How long a loop that beats by itself may wait before it does.
    pub fn every(&self) -> Option<Duration> {
        self.every
    }

    /// One more that beats.
    pub fn beat(&self, name: &str) -> Beat {
        let beat = Beat::default();
        let watched = Watched { name: name.to_owned(), count: Arc::downgrade(&beat.0), seen: 0 };
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        beat
    }

    /// The same task, seen to beat.
    pub async fn watched(self, name: String, task: impl Future<Output = ()>) {
        let Some(every) = self.every else { return task.await };
        let beat = self.beat(&name);
        let mut task = pin!(task);
        loop {
            tokio::select! {
                biased;
                () = &mut task => return,
                () = tokio::time::sleep(every) => beat.strike(),
            }
        }
    }

    /// Those that have not beaten since the last look.
    pub fn silent(&self) -> Vec<String> {
        let mut silent = Vec::new();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|watched| {
            let Some(count) = watched.count.upgrade() else { return false };
            let count = count.load(Ordering::Relaxed);
            if count == watched.seen {
                silent.push(watched.name.clone());
            }
            watched.seen = count;
            true
        });
        silent
    }
}

impl Beat {
    /// Beats once.
    pub fn strike(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_waits_beats_and_one_that_has_ended_is_not_missed() {
        let beats = Beats::within(Duration::from_millis(400));
        let look = beats.look_every().expect("there is a watchdog");
        let waits = beats.clone().watched("waits".to_owned(), std::future::pending());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let ends = beats.clone().watched("ends".to_owned(), async move { drop(ended.await) });
        let looks = async {
            tokio::time::sleep(look).await;
            assert_eq!(beats.silent(), Vec::<String>::new());
            end.send(()).expect("it waits for that");
            for _ in 0..3 {
                tokio::time::sleep(look).await;
                assert_eq!(beats.silent(), Vec::<String>::new());
            }
        };
        // Those that beat are polled first: on a busy machine all of it is late, and in this order.
        tokio::select! {
            biased;
            () = waits => unreachable!("it waits for ever"),
            () = async { ends.await; std::future::pending().await } => {}
            () = looks => {}
        }
    }

    #[test]
    fn a_loop_that_hangs_is_named_until_it_beats_again() {
        let beats = Beats::within(Duration::from_secs(8));
        let (writer, other) = (beats.beat("record"), beats.beat("control"));
        writer.strike();
        other.strike();
        assert!(beats.silent().is_empty());
        other.strike();
        assert_eq!(beats.silent(), ["record"]);
        writer.strike();
        other.strike();
        assert!(beats.silent().is_empty());
    }
}
