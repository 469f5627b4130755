//! The `alarm` topic: events that somebody must hear of at once, ahead of all that waits.
//!
//! A copy: the same event stands in the journal and arrives with the readings, confirmed by the cursor. So nothing is
//! kept here beyond memory; an oxygen that is still low after a restart raises its alarm again.
//!
//! A broker that denies the topic may hang up without a word (MQTT 3.1.1 has none, and AWS IoT Core does that): an alarm
//! that goes ahead of all else over every connection would keep the readings away for ever. So where connections end over
//! it in a row, it waits for one that holds.

use std::sync::Arc;
use std::time::Duration;

use model::{Epoch, Tags};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::envelope::{JSON, VERSION, is_empty};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::DeviceConfig;
use crate::link::{Link, Message, PublishError};
use crate::record::Alarm;
use crate::sinks::REFUSALS_MAX;
use crate::sinks::meter::Meter;

/// Alarms in one message: some 40 KiB.
const MESSAGE_ALARMS_MAX: usize = 100;
/// Waits between two attempts at a message that the broker can not take now.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// So many connections in a row that ended before an alarm was confirmed are an unlucky line; more may be its fault.
const UNLUCKY_MAX: u32 = 3;
/// How long a connection must hold then before it is tried on it, at first and at most: what stands behind it has that long.
const HOLD_WAITS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(1_800));
/// How long the last alarms may take at the end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// No `first` and `next`: it does not answer for the positions between its events.
#[derive(Serialize)]
struct Envelope<'a> {
    v: u8,
    device: &'a str,
    site: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a Epoch>,
    #[serde(skip_serializing_if = "is_empty")]
    tags: &'a Tags,
    events: Vec<Row<'a>>,
}

/// As the event's row in the readings; without `seq` where it has none yet.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<model::Seq>,
    #[serde(flatten)]
    event: model::EventRow<'a>,
}

/// Publishes alarms until told to stop.
pub async fn run(
    link: Link,
    topic: String,
    device: DeviceConfig,
    epoch: impl Fn() -> Option<Epoch>,
    (mut heard, meter, clock): (Receiver<Alarm>, Arc<Meter>, Clock),
    stop: CancellationToken,
) {
    let mut unlucky = 0;
    let mut publish = async |alarms: Vec<Alarm>| {
        let payload = encode(&device, epoch().as_ref(), &alarms);
        let bytes = payload.as_ref().map_or(0, Vec::len);
        meter.spend(u64::try_from(bytes).unwrap_or(u64::MAX), Instant::now(), clock.now());
        publish(&link, &topic, payload, &mut unlucky).await;
    };
    loop {
        let next = tokio::select! {
            next = heard.recv() => next,
            () = stop.cancelled() => break,
        };
        match next {
            Ok(first) => tokio::select! {
                () = publish(with_waiting(first, &mut heard)) => {}
                () = stop.cancelled() => return,
            },
            Err(RecvError::Lagged(count)) => {
                warn!(count, "too many alarms without a connection, the oldest come with the readings alone");
            }
            Err(RecvError::Closed) => stop.cancelled().await,
        }
    }
    // The last commit may have brought one.
    if let Ok(first) = heard.try_recv() {
        let last = tokio::time::timeout(END_LIMIT, publish(with_waiting(first, &mut heard)));
        if last.await.is_err() {
            warn!("no time for the last alarms, they come with the readings");
        }
    }
}

fn with_waiting(first: Alarm, heard: &mut Receiver<Alarm>) -> Vec<Alarm> {
    let mut alarms = vec![first];
    while alarms.len() < MESSAGE_ALARMS_MAX {
        match heard.try_recv() {
            Ok(alarm) => alarms.push(alarm),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    alarms
}

fn encode(device: &DeviceConfig, epoch: Option<&Epoch>, alarms: &[Alarm]) -> serde_json::Result<Vec<u8>> {
    let events = alarms.iter().map(|alarm| Row { seq: alarm.seq, event: model::EventRow(&alarm.event) });
    serde_json::to_vec(&Envelope {
        v: VERSION,
        device: device.id.as_str(),
        site: device.site.as_str(),
        epoch,
        tags: &device.tags,
        events: events.collect(),
    })
}

/// `unlucky` counts the connections in a row that ended over alarms, this one's and those before.
async fn publish(link: &Link, topic: &str, payload: serde_json::Result<Vec<u8>>, unlucky: &mut u32) {
    let payload = match payload {
        Ok(payload) => payload.into(),
        Err(error) => return error!(%error, "alarms can not be encoded, they come with the readings"),
    };
    let message = Message { topic: topic.to_owned(), payload, content_type: Some(JSON), ..Message::default() };
    let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1);
    let mut refusals = 0;
    loop {
        match link.publish_ahead(&message).await {
            Ok(()) => {
                *unlucky = 0;
                return;
            }
            // The link knows when to try again.
            Err(PublishError::Disconnected) => {
                *unlucky += 1;
                if *unlucky == UNLUCKY_MAX {
                    warn!(
                        topic,
                        "connections end over an alarm: it waits for one that holds, does the broker forbid its topic?"
                    );
                }
                if *unlucky >= UNLUCKY_MAX {
                    held(link, hold_wait(*unlucky - UNLUCKY_MAX)).await;
                }
                continue;
            }
            Err(PublishError::NotNow { .. }) => {}
            // Perhaps it was a neighbour that the broker disliked.
            Err(
                error @ (PublishError::Disliked { .. } | PublishError::Refused { .. } | PublishError::TooLarge { .. }),
            ) => {
                refusals += 1;
                if refusals >= REFUSALS_MAX {
                    return error!(topic, %error, "the broker does not take alarms here, they come with the readings");
                }
            }
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// How long a connection must hold after so many more attempts that ended one.
fn hold_wait(doublings: u32) -> Duration {
    HOLD_WAITS.0.saturating_mul(2_u32.saturating_pow(doublings)).min(HOLD_WAITS.1)
}

/// Waits for a connection that holds for so long.
async fn held(link: &Link, wait: Duration) {
    loop {
        link.up().await;
        let connections = link.connections().seen();
        tokio::time::sleep(wait).await;
        if link.is_up() && !connections.has_new() {
            return;
        }
    }
}
