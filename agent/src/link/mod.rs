//! The one MQTT connection of a sink: publish and wait for the broker's yes; connect again for ever.
//!
//! The client library is a pipe and the journal is the truth: a fresh event loop for every connection, a clean
//! session, and nothing resent by the client. Whatever was under way when a connection ended is told so, and its
//! owner sends it again from the journal. Only `session` and `connect` name the client library.

mod session;

mod connect;
mod proxy;

mod tls;
mod validity;

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::{DeviceConfig, MqttConfig};
use crate::telemetry::health::SinkHealth;
use crate::telemetry::logs::chain;

use connect::{Course, Route, Secured};
use refusal::Refusal;
pub use session::PublishError;
use session::{Pipe, Session};
use tls::{Keyring, TlsError};

/// First and longest wait before the next connection; full jitter.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// A connection that held for so long was a good one: the next wait starts small again.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Largest payload: IoT Core refuses publishes above 128 KiB.
pub const PUBLISH_BYTES_MAX: usize = 128 << 10;

/// Who connects, and what the broker says when we are gone.
#[derive(Debug, Clone)]
pub struct Presence {
    /// MQTT client id.
    pub client_id: String,
    /// Retained status topic.
    pub topic: String,
    /// Retained there while we are connected.
    pub birth: Bytes,
    /// Retained there by the broker when we vanish, and by us when we end.
    pub gone: Bytes,
}

/// The topic `word` that stands beside the readings'.
pub fn beside(readings_topic: &str, word: &str) -> String {
    let above = readings_topic.rsplit_once('/').map_or(readings_topic, |(above, _)| above);
    format!("{above}/{word}")
}

impl Presence {
    /// The presence of a device whose readings go to `readings_topic`: `status` stands beside it.
    pub fn of(device: &DeviceConfig, readings_topic: &str, version: &str) -> Self {
        let topic = beside(readings_topic, "status");
        let birth = serde_json::json!({"state": "online", "device": device.id, "version": version});
        let gone = serde_json::json!({"state": "offline"});
        Self { client_id: device.id.to_string(), topic, birth: birth.to_string().into(), gone: gone.to_string().into() }
    }
}

/// A way to publish over the connection; clones share it.
#[derive(Debug, Clone)]
pub struct Link {
    pipe: watch::Receiver<Option<Pipe>>,
    /// First come, first sent: what waits for a connection goes out in order. (tokio's mutex is fair.)
    queue: Arc<Mutex<()>>,
    /// Why there is no connection.
    trouble: watch::Receiver<Option<Arc<str>>>,
}

impl Link {
    /// Publishes at QoS 1 and waits for the broker's PUBACK. Waits for a connection as long as it takes.
    pub async fn publish(&self, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        if payload.len() > PUBLISH_BYTES_MAX {
            return Err(PublishError::TooLarge { bytes: payload.len() });
        }
        let turn = self.queue.lock().await;
        let sent = self.send(topic, payload).await;
        drop(turn);
        match sent {
            Some(sent) => sent.confirmed().await,
            // The link has ended with the agent: nothing will be confirmed any more.
            None => std::future::pending().await,
        }
    }

    /// The same, ahead of everything that waits for its turn.
    pub async fn publish_ahead(&self, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        match self.send(topic, payload).await {
            Some(sent) => sent.confirmed().await,
            None => std::future::pending().await,
        }
    }

    /// Sends over the next connection that takes it; `None` if there will be no other.
    async fn send(&self, topic: &str, payload: Bytes) -> Option<session::Sent> {
        let mut pipe = self.pipe.clone();
        loop {
            let held = pipe.wait_for(Option::is_some).await.ok()?.clone()?;
            if let Some(sent) = held.send(topic, payload.clone()).await {
                return Some(sent);
            }
            // That one has ended; whoever ended it is about to say so.
            pipe.changed().await.ok()?;
        }
    }

    /// Why there is no connection, while there is none.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.borrow().clone()
    }
}

/// Makes the link and the task that keeps it connected until told to stop.
pub fn new(
    config: MqttConfig,
    presence: Presence,
    health: Arc<SinkHealth>,
    clock: Clock,
    stop: CancellationToken,
) -> (Link, impl Future<Output = ()> + Send + 'static) {
    let (pipe_tx, pipe) = watch::channel(None);
    let (trouble_tx, trouble) = watch::channel(None);
    let roads = Roads::new(config, health, clock);
    let task = keep_connected(roads, presence, pipe_tx, trouble_tx, stop);
    (Link { pipe, queue: Arc::new(Mutex::new(())), trouble }, task)
}

/// Where connections come from: what is the same for all of them.
struct Roads {
    config: Arc<MqttConfig>,
    health: Arc<SinkHealth>,
    clock: Clock,
    keyring: Option<Keyring>,
}

impl Roads {
    fn new(config: MqttConfig, health: Arc<SinkHealth>, clock: Clock) -> Self {
        let keyring = config.tls.clone().map(|tls| Keyring::new(tls, clock.clone(), health.clone()));
        Self { config: Arc::new(config), health, clock, keyring }
    }

    /// The next connection, with the keys as they are now.
    fn route(&mut self) -> Result<Route, TlsError> {
        let secured = match &mut self.keyring {
            None => None,
            Some(keyring) => {
                let keys = keyring.take()?;
                let refusal = Arc::new(Refusal::new(&self.config, &keys, &self.clock));
                Some(Secured { keys, refusal, health: self.health.clone() })
            }
        };
        Ok(Route { config: self.config.clone(), secured, course: Arc::new(Course::default()) })
    }

    /// Waits until there are other keys to connect with.
    async fn renewed(&mut self) {
        match &mut self.keyring {
            Some(keyring) => keyring.renewed().await,
            None => std::future::pending().await,
        }
    }

    fn is_renewed(&self) -> bool {
        self.keyring.as_ref().is_some_and(Keyring::is_renewed)
    }
}

async fn keep_connected(
    mut roads: Roads,
    presence: Presence,
    pipe: watch::Sender<Option<Pipe>>,
    trouble: watch::Sender<Option<Arc<str>>>,
    stop: CancellationToken,
) {
    let config = roads.config.clone();
    let mut backoff = Backoff::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
    let mut is_said = false;
    loop {
        let opened = roads.route().map_err(|error| chain(&error));
        let opened = opened.and_then(|route| Session::open(route, &presence).map_err(|error| chain(&error)));
        let reason = match opened {
            Ok(mut session) => {
                let mut connected_at = None;
                let reason = session
                    .drive(&stop, roads.renewed(), || {
                        info!(host = %config.host, port = config.port, "broker reached");
                        connected_at = Some(tokio::time::Instant::now());
                        is_said = false;
                        trouble.send_replace(None);
                        &pipe
                    })
                    .await;
                pipe.send_replace(None);
                if connected_at.is_some_and(|at| at.elapsed() >= STABLE_AFTER) {
                    backoff.reset();
                }
                reason
            }
            Err(reason) => reason,
        };
        if stop.is_cancelled() {
            return;
        }
        if roads.is_renewed() {
            info!(host = %config.host, port = config.port, "certificate, key or roots have changed, connecting with them");
            backoff.reset();
            continue;
        }
        if !std::mem::replace(&mut is_said, true) {
            warn!(host = %config.host, port = config.port, reason = %reason, "no connection to the broker, will try again");
        }
        trouble.send_replace(Some(Arc::from(format!("{}:{}: {reason}", config.host, config.port))));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_wait()) => {}
            // Somebody is mending it and wants to see whether it works.
            () = roads.renewed() => backoff.reset(),
        }
    }
}
