//! Messages beside the readings: alarms, and what a lake announces. They go over a sink's link, count in its meter, and are
//! tried until the broker has them or has refused them for good.
//!
//! A broker that denies a topic may hang up without a word (MQTT 3.1.1 has none, and AWS IoT Core does that): a message that
//! goes over every connection, and ahead of all else, would keep the readings away for ever. So where connections end over
//! one in a row, it waits for one that holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::link::{Link, Message, PublishError};
use crate::sinks::REFUSALS_MAX;
use crate::sinks::meter::Meter;

/// Waits between two attempts at a message that the broker can not take now.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// So many connections in a row that ended before a message was confirmed are an unlucky line; more may be its fault.
const UNLUCKY_MAX: u32 = 3;
/// How long a connection must hold then before it is tried on it, at first and at most: all else has that long.
const HOLD_WAITS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(1_800));

/// A sink's way to its broker, for what is no reading.
#[derive(Debug, Clone)]
pub struct Beside {
    /// The connection.
    pub link: Link,
    /// What the sink may spend. What goes beside is counted and never waits for it.
    pub meter: Arc<Meter>,
    /// The clocks.
    pub clock: Clock,
    /// What topics begin with.
    pub topic: String,
    /// Connections in a row that ended before a message was confirmed.
    pub unlucky: u32,
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Ahead of all that waits.
    Ahead,
    /// In its turn.
    Queued,
}

impl Beside {
    /// Publishes to `<topic>/<name>`, however long it takes; false if the broker refuses it for good.
    pub async fn publish(&mut self, name: &str, payload: Vec<u8>, content_type: &'static str, turn: Turn) -> bool {
        let topic = format!("{}/{name}", self.topic);
        let message =
            Message { topic, payload: payload.into(), content_type: Some(content_type), ..Message::default() };
        self.send(&message, turn).await
    }

    /// The same for any message.
    pub async fn send(&mut self, message: &Message, turn: Turn) -> bool {
        let Self { link, meter, clock, unlucky, .. } = self;
        meter.spend(u64::try_from(message.payload.len()).unwrap_or(u64::MAX), Instant::now(), clock.now());
        let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
        let mut refusals = 0;
        loop {
            let sent = match turn {
                Turn::Ahead => link.publish_ahead(message).await,
                Turn::Queued => link.publish(message).await,
            };
            match sent {
                Ok(()) => {
                    *unlucky = 0;
                    return true;
                }
                // The link knows when to try again.
                Err(PublishError::Disconnected) => {
                    *unlucky = unlucky.saturating_add(1);
                    if *unlucky == UNLUCKY_MAX {
                        let topic = &message.topic;
                        warn!(
                            topic,
                            "connections end over this topic, it waits for one that holds: does the broker forbid it?"
                        );
                    }
                    if *unlucky >= UNLUCKY_MAX {
                        hold(link, hold_wait(*unlucky - UNLUCKY_MAX)).await;
                    }
                    continue;
                }
                Err(PublishError::NotNow { .. }) => {}
                // Perhaps it was a neighbour that the broker disliked.
                Err(
                    error @ (PublishError::Disliked { .. }
                    | PublishError::Refused { .. }
                    | PublishError::TooLarge { .. }),
                ) => {
                    refusals += 1;
                    if refusals >= REFUSALS_MAX {
                        error!(topic = message.topic, %error, "the broker does not take this topic");
                        return false;
                    }
                }
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

/// How long a connection must hold after so many more attempts that ended one.
fn hold_wait(doublings: u32) -> Duration {
    HOLD_WAITS.0.saturating_mul(2_u32.saturating_pow(doublings)).min(HOLD_WAITS.1)
}

/// Waits for a connection that holds for so long.
async fn hold(link: &Link, wait: Duration) {
    loop {
        link.up().await;
        let connections = link.connections().seen();
        tokio::time::sleep(wait).await;
        if link.is_up() && !connections.has_new() {
            return;
        }
    }
}
