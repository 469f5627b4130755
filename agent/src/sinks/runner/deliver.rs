//! One batch on its way: tried until the far side takes it or refuses it for good. Time does not run out; only a
//! permanent refusal ends it. What is sent again costs again, and waits for its allowance like the first time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::sinks::meter::{Meter, Wait};
use crate::sinks::{Batch, DeliverError, REFUSALS_MAX, Sink};
use crate::telemetry::health::{SinkHealth, SinkState};

/// First and longest wait between two attempts.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How a delivery ended.
pub struct Outcome {
    /// The batch.
    pub batch: Batch,
    /// What became of it.
    pub end: End,
}

/// What became of a batch.
pub enum End {
    /// It is durable over there.
    Arrived,
    /// It was refused for good.
    Refused(String),
    /// The connection went before it was confirmed.
    Away,
    /// The same, because of this batch or another one that was under way.
    Disliked(String),
}

/// Delivers a batch, however long it takes.
///
/// Several may wait for the same far side: when one gets through (`through`), the others try at once, for those behind
/// them wait for them.
pub async fn deliver<S: Sink>(
    sink: Arc<S>,
    batch: Batch,
    health: Arc<SinkHealth>,
    (clock, meter): (Clock, Arc<Meter>),
    through: Arc<Notify>,
) -> Outcome {
    let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
    let mut refusals = 0;
    loop {
        let error = match sink.deliver(&batch).await {
            Ok(()) => {
                succeeded(&health, &clock, backoff.tries());
                through.notify_waiters();
                return Outcome { batch, end: End::Arrived };
            }
            Err(error) => error,
        };
        let not_before = match &error {
            DeliverError::Away => return Outcome { batch, end: End::Away },
            DeliverError::Disliked { reason } => return Outcome { batch, end: End::Disliked(reason.clone()) },
            DeliverError::Retry { after, .. } => after.unwrap_or_default(),
            DeliverError::Reject { .. } => Duration::ZERO,
        };
        // Who was refused, or was told when to come, is not helped by it.
        let is_woken = matches!(error, DeliverError::Retry { after: None, .. });
        if backoff.tries() == 0 {
            warn!(sink = %health.id, range = %batch.range, %error, "delivery failed, will try again");
        }
        health.state.set(SinkState::Retrying);
        health.last_error.set(Some(error.to_string()));
        if let DeliverError::Reject { reason } = error {
            refusals += 1;
            if refusals >= REFUSALS_MAX {
                return Outcome { batch, end: End::Refused(reason) };
            }
        }
        let wait = backoff.next_wait();
        tokio::select! {
            () = tokio::time::sleep(wait.max(not_before)) => {}
            () = through.notified(), if is_woken => {}
        }
        allowed(&meter, &health, &clock).await;
        meter.spend(sink.cost(&batch), Instant::now(), clock.now());
    }
}

/// Waits until the sink may send again.
async fn allowed(meter: &Meter, health: &SinkHealth, clock: &Clock) {
    loop {
        let wait = match meter.may_send(Instant::now(), clock.now()) {
            Ok(()) => return,
            Err(Wait::For(wait)) => wait,
            Err(Wait::Month(reason)) => {
                health.last_error.set(Some(reason));
                health.state.set(SinkState::Spent);
                RETRY_WAITS.1
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn succeeded(health: &SinkHealth, clock: &Clock, tries: u32) {
    health.last_success_at.store(clock.now().as_millis(), Ordering::Relaxed);
    health.state.set(SinkState::Ok);
    if tries > 0 {
        info!(sink = %health.id, "delivering again");
    }
}
