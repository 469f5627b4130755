//! The `alarm` topic: events that somebody must hear of at once, ahead of all that waits.
//!
//! A copy: the same event stands in the journal and arrives with the readings, confirmed by the cursor. So nothing is
//! kept here beyond memory; an oxygen that is still low after a restart raises its alarm again.

use std::time::Duration;

use model::{Epoch, Tags};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::beside::{Beside, Turn};
use super::envelope::{JSON, VERSION, is_empty};
use crate::config::DeviceConfig;
use crate::record::Alarm;

/// Alarms in one message: some 40 KiB.
const MESSAGE_ALARMS_MAX: usize = 100;
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
    mut beside: Beside,
    device: DeviceConfig,
    epoch: impl Fn() -> Option<Epoch>,
    mut heard: Receiver<Alarm>,
    stop: CancellationToken,
) {
    let mut publish = async |alarms: Vec<Alarm>| match encode(&device, epoch().as_ref(), &alarms) {
        Ok(payload) => {
            if !beside.publish("alarm", payload, JSON, Turn::Ahead).await {
                warn!("these alarms come with the readings alone");
            }
        }
        Err(error) => error!(%error, "alarms can not be encoded, they come with the readings"),
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
