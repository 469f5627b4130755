//! One batch on its way: tried until the far side takes it or refuses it for good. Time does not run out; only a
//! permanent refusal ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::sinks::{Batch, DeliverError, Sink};
use crate::telemetry::health::{SinkHealth, SinkState};

/// First and longest wait between two attempts.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// A far side that refuses for good is believed after so many times: a broker that is being reconfigured says no, too.
const REFUSALS_MAX: u32 = 3;

/// How a delivery ended.
pub struct Outcome {
    /// The batch.
    pub batch: Batch,
    /// Why it was refused for good; `None`: it is durable over there.
    pub refused: Option<String>,
}

/// Delivers a batch, however long it takes.
pub async fn deliver<S: Sink>(sink: Arc<S>, batch: Batch, health: Arc<SinkHealth>, clock: Clock) -> Outcome {
    let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
    let mut refusals = 0;
    loop {
        let error = match sink.deliver(&batch).await {
            Ok(()) => {
                succeeded(&health, &clock, backoff.tries());
                return Outcome { batch, refused: None };
            }
            Err(error) => error,
        };
        if backoff.tries() == 0 {
            warn!(sink = %health.id, range = %batch.range, %error, "delivery failed, will try again");
        }
        health.state.set(SinkState::Retrying);
        health.last_error.set(Some(error.to_string()));
        let wait = match error {
            DeliverError::Retry { after, .. } => backoff.next_wait().max(after.unwrap_or_default()),
            DeliverError::Reject { reason } => {
                refusals += 1;
                if refusals >= REFUSALS_MAX {
                    return Outcome { batch, refused: Some(reason) };
                }
                backoff.next_wait()
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
