//! The one MQTT connection of a sink: publish and wait for the broker's yes; connect again for ever.
//!
//! The client library is a pipe and the journal is the truth: a fresh event loop for every connection, a clean
//! session, and nothing resent by the client. Whatever was under way when a connection ended is told so, and its
//! owner sends it again from the journal. Only `session` and `connect` name the client library.

mod session;
mod version;

mod connect;
mod ears;
pub mod fetch;
mod proxy;

mod tls;
mod validity;
pub mod visit;

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::MqttConfig;
use crate::telemetry::health::SinkHealth;
use crate::telemetry::logs::chain;

use connect::{Course, Route, Target};
use ears::Ears;
pub use session::PublishError;
use session::{End, Pipe, Session};
use tls::{Keyring, TlsError};
use version::{Answer, Versions};

/// First and longest wait before the next connection; full jitter.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// The same where nobody heard the attempt: it troubled no one, and the link may be back at any moment.
const UNHEARD_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// The same where another client has our id: two that fight for it help nobody.
const TAKEN_OVER_WAITS: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(1_800));

/// A connection that held for so long was a good one: the next wait starts small again.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Brokers older than MQTT 5's reasons just hang up on the one of two clients with one id that came first. After so many
/// times that is worth a word.
const HUNG_UP_MAX: u32 = 3;

/// A connection that is made so long after it was found out tries again: whoever runs the broker may have put it right.
const DENIED_FOR: Duration = Duration::from_secs(3_600);

/// The shortest keepalive; IoT Core takes no less.
const KEEPALIVE_LEAST: Duration = Duration::from_secs(30);

/// A connection that held for so long does not need to be kept so warm.
const HELD_LONG: Duration = Duration::from_secs(24 * 3_600);

/// Largest payload: IoT Core refuses publishes above 128 KiB.
pub const PUBLISH_BYTES_MAX: usize = 128 << 10;

/// What is published, and what the broker is told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// Its media type.
    pub content_type: Option<&'static str>,
    /// After so long the broker need not deliver it any more.
    pub expires: Option<Duration>,
    /// Whether the broker keeps it for those who come later.
    pub is_retained: bool,
}

impl Message {
    /// Bytes that it costs on the wire, but for what lies below MQTT: header, topic, a packet's number and properties.
    pub fn bytes(&self) -> u64 {
        let about = 16 + self.topic.len() + self.content_type.map_or(0, |word| 3 + word.len());
        u64::try_from(about + self.payload.len()).unwrap_or(u64::MAX)
    }
}

/// Tells whether there was another connection since it was made.
#[derive(Debug, Clone)]
pub struct Connections(watch::Receiver<Option<Arc<str>>>);

impl Connections {
    /// Whether a connection was made or lost since.
    pub fn has_new(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }

    /// The same, from now on.
    #[must_use]
    pub fn seen(&self) -> Self {
        let mut seen = self.0.clone();
        seen.mark_unchanged();
        Self(seen)
    }
}

/// Who connects, and what the broker says when we are gone.
#[derive(Clone)]
pub struct Presence {
    /// MQTT client id.
    pub client_id: String,
    /// Retained status topic; none: nothing is said of who connects.
    pub topic: Option<String>,
    /// Says what is retained there while we are connected.
    pub birth: Arc<dyn Fn() -> Bytes + Send + Sync>,
    /// Retained there by the broker when we vanish, and by us when we end.
    pub gone: Bytes,
    /// Called when another client has come with our id.
    pub on_taken_over: Arc<dyn Fn() + Send + Sync>,
    /// What is listened to, where something is.
    pub listening: Option<Listening>,
}

impl Presence {
    /// Somebody who connects for a while, of whom nothing is said.
    pub fn unsaid(client_id: String) -> Self {
        let (birth, on_taken_over) = (Arc::new(Bytes::new), Arc::new(|| {}));
        Self { client_id, topic: None, birth, gone: Bytes::new(), on_taken_over, listening: None }
    }
}

/// Topics that are listened to, and who is told.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Topic filters, subscribed to at QoS 1 on every connection.
    pub topics: Vec<String>,
    /// Gets what comes. Where it is full, what comes is dropped and that is said: what matters is retained, or asked again.
    pub heard: mpsc::Sender<Heard>,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A connection was made, and the topics were subscribed to.
    Connected,
    /// A message.
    Message {
        /// Where.
        topic: String,
        /// What; at most 128 KiB.
        payload: Bytes,
    },
    /// A message that is larger than any may be; what was in it is gone.
    TooLarge {
        /// Where.
        topic: String,
        /// How large.
        bytes: usize,
    },
}

impl Listening {
    fn tell(&self, heard: Heard) {
        if self.heard.try_send(heard).is_err() {
            warn!("messages come faster than they are dealt with, one was dropped");
        }
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
    /// Who listens for a while.
    ears: Ears,
    /// Somebody wants a connection now.
    hurry: Arc<Notify>,
}

impl Link {
    /// Publishes at QoS 1 and waits for the broker's PUBACK. Waits for a connection as long as it takes.
    pub async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let turn = self.queue.lock().await;
        let sent = self.send(message).await?;
        drop(turn);
        sent.confirmed().await
    }

    /// The same, ahead of everything that waits for its turn.
    pub async fn publish_ahead(&self, message: &Message) -> Result<(), PublishError> {
        self.send(message).await?.confirmed().await
    }

    /// Listens to these topics, named in full, until the receiver is dropped or the connection ends. Waits for a connection
    /// as long as it takes, and until the broker has taken the subscription.
    pub async fn listen(&self, topics: Vec<String>) -> Result<mpsc::Receiver<Heard>, PublishError> {
        let mut pipe = self.pipe.clone();
        loop {
            let held = pipe.wait_for(Option::is_some).await.map(|held| held.clone());
            match held {
                Ok(Some(held)) => {
                    let heard = self.ears.open(topics.clone());
                    return held.subscribe(&topics).await.map(|()| heard);
                }
                Ok(None) => {}
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Sends over the next connection that takes it.
    async fn send(&self, message: &Message) -> Result<session::Sent, PublishError> {
        let mut pipe = self.pipe.clone();
        loop {
            let held = pipe.wait_for(Option::is_some).await.map(|held| held.clone());
            let held = match held {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                // The link has ended with the agent: nothing will be confirmed any more.
                Err(_) => std::future::pending().await,
            };
            let bytes = usize::try_from(message.bytes()).unwrap_or(usize::MAX);
            // The client library would end the connection over it, again and again.
            if message.payload.len() > PUBLISH_BYTES_MAX || bytes > held.packet_bytes_max {
                return Err(PublishError::TooLarge { bytes, most: held.packet_bytes_max.min(PUBLISH_BYTES_MAX) });
            }
            if let Some(sent) = held.send(message).await {
                return Ok(sent);
            }
            // That one has ended; whoever ended it is about to say so.
            if pipe.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.pipe.borrow().is_some()
    }

    /// How large a payload may be over this connection, beside a topic and properties of `about` bytes.
    pub fn payload_bytes_max(&self, about: u64) -> usize {
        let packet = self.pipe.borrow().as_ref().map_or(usize::MAX, |pipe| pipe.packet_bytes_max);
        packet.saturating_sub(usize::try_from(about).unwrap_or(usize::MAX)).min(PUBLISH_BYTES_MAX)
    }

    /// Waits for a connection.
    pub async fn up(&self) {
        if self.pipe.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tries now, where it waits before the next attempt to connect.
    pub fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Tells of connections made from now on.
    pub fn connections(&self) -> Connections {
        Connections(self.trouble.clone())
    }

    /// Why there is no connection, while there is none.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.borrow().clone()
    }
}

/// Makes the link and the task that keeps it connected until told to stop; it connects after `first_wait`.
pub fn new(
    config: MqttConfig,
    presence: Presence,
    (health, clock): (Arc<SinkHealth>, Clock),
    first_wait: Duration,
    stop: CancellationToken,
) -> (Link, impl Future<Output = ()> + Send + 'static) {
    let (pipe_tx, pipe) = watch::channel(None);
    let (trouble_tx, trouble) = watch::channel(None);
    let ears = Ears::default();
    let hurry = Arc::new(Notify::new());
    let hurried = hurry.clone();
    let roads = Roads::new(config, health, clock, ears.clone());
    let task = async move {
        tokio::select! {
            () = tokio::time::sleep(first_wait) => keep_connected(roads, presence, pipe_tx, (trouble_tx, hurried), stop).await,
            () = stop.cancelled() => {}
        }
    };
    (Link { pipe, queue: Arc::new(Mutex::new(())), trouble, ears, hurry }, task)
}

/// Where connections come from: what is the same for all of them.
struct Roads {
    config: Arc<MqttConfig>,
    target: Arc<Target>,
    health: Arc<SinkHealth>,
    keyring: Option<Keyring>,
    versions: Versions,
    ears: Ears,
}

impl Roads {
    fn new(config: MqttConfig, health: Arc<SinkHealth>, clock: Clock, ears: Ears) -> Self {
        let keyring = config.tls.clone().map(|tls| Keyring::new(tls, clock, health.clone()));
        let versions = Versions::new(config.version);
        let target = Arc::new(Target {
            who: "the broker",
            key: "url",
            scheme: "mqtts://",
            host: config.host.clone(),
            port: config.port,
            proxy: config.proxy.clone(),
            login: config.login.clone(),
        });
        Self { config: Arc::new(config), target, health, keyring, versions, ears }
    }

    /// A connection from its opening to its end, and what the next one has to learn from it.
    async fn travel(
        &mut self,
        presence: &Presence,
        says_birth: bool,
        keepalive: Duration,
        pipe: &watch::Sender<Option<Pipe>>,
        stop: &CancellationToken,
        on_connected: impl FnOnce(),
    ) -> End {
        let version = self.versions.next();
        let route = match self.route() {
            Ok(route) => route,
            Err(error) => return End::Broken(chain(&error)),
        };
        let course = route.course.clone();
        let mut session = match Session::open(route, version, (presence, &self.ears), says_birth, keepalive) {
            Ok(session) => session,
            Err(error) => return End::Broken(chain(&error)),
        };
        let (config, health) = (self.config.clone(), self.health.clone());
        let mut is_taken = false;
        let end = session
            .drive(stop, self.renewed(), || {
                info!(host = %config.host, port = config.port, version = version.as_str(), "broker reached");
                health.protocol.set(Some(version.as_str()));
                is_taken = true;
                on_connected();
                pipe
            })
            .await;
        pipe.send_replace(None);
        match end {
            _ if is_taken => self.versions.learn(Answer::Taken),
            // We ended it, before anybody could answer.
            End::Stopping | End::Renewed => {}
            _ => self.versions.learn(course.answer()),
        }
        end
    }

    /// The next connection, with the keys as they are now.
    fn route(&mut self) -> Result<Route, TlsError> {
        let secured = self.keyring.as_mut().map(|keyring| keyring.secure(&self.target)).transpose()?;
        Ok(Route { target: self.target.clone(), secured, course: Arc::new(Course::default()) })
    }

    /// Waits until there are other keys to connect with.
    async fn renewed(&mut self) {
        match &mut self.keyring {
            Some(keyring) => keyring.renewed().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether the status is said. A broker that forbids its topic hangs up over it (AWS IoT Core wants `iot:RetainPublish`),
/// and would have nothing else: so after some connections that were hung up one tries without.
#[derive(Default)]
struct Births {
    denied_at: Option<tokio::time::Instant>,
}

impl Births {
    fn are_denied(&self) -> bool {
        self.denied_at.is_some_and(|at| at.elapsed() < DENIED_FOR)
    }

    fn are_said(&self, hung_up: u32) -> bool {
        !self.are_denied() && hung_up < HUNG_UP_MAX
    }

    /// Takes note of how long a connection held, with or without.
    fn learn(&mut self, was_said: bool, held: Duration, topic: &str) {
        if !was_said && !self.are_denied() && held >= STABLE_AFTER {
            self.denied_at = Some(tokio::time::Instant::now());
            warn!(
                topic,
                "a connection holds without it: does the broker forbid this topic, or one that is listened to? The status is not \
                 said any more, and nothing is heard from afar"
            );
        }
    }
}

async fn keep_connected(
    mut roads: Roads,
    presence: Presence,
    pipe: watch::Sender<Option<Pipe>>,
    (trouble, hurried): (watch::Sender<Option<Arc<str>>>, Arc<Notify>),
    stop: CancellationToken,
) {
    let config = roads.config.clone();
    let waits = |(first, most)| Backoff::new(first, most);
    let (mut broken, mut unheard, mut taken_over) =
        (waits(RECONNECT_WAITS), waits(UNHEARD_WAITS), waits(TAKEN_OVER_WAITS));
    let mut is_said = false;
    let mut keepalive = config.keepalive;
    let mut hung_up = 0;
    let mut births = Births::default();
    loop {
        let says_birth = births.are_said(hung_up);
        let mut connected_at: Option<tokio::time::Instant> = None;
        let end = roads
            .travel(&presence, says_birth, keepalive, &pipe, &stop, || {
                connected_at = Some(tokio::time::Instant::now());
                is_said = false;
                trouble.send_replace(None);
            })
            .await;
        if connected_at.is_some() {
            unheard.reset();
        }
        let held = connected_at.map_or(Duration::ZERO, |at| at.elapsed());
        if held >= STABLE_AFTER {
            broken.reset();
        }
        if let Some(topic) = &presence.topic {
            births.learn(says_birth, held, topic);
        }
        hung_up = if matches!(end, End::HungUp(_)) && held < STABLE_AFTER { hung_up + 1 } else { 0 };
        keepalive = adapted(keepalive, config.keepalive, &end, held);
        let (reason, wait) = match end {
            End::Stopping => return,
            End::Renewed => {
                info!(host = %config.host, port = config.port, "certificate, key or roots have changed, connecting with them");
                broken.reset();
                continue;
            }
            End::Unheard(reason) => (reason, unheard.next_wait()),
            End::HungUp(reason) if hung_up >= HUNG_UP_MAX => {
                let id = &presence.client_id;
                let hint = "or does it forbid a topic of ours?";
                (
                    format!("{reason}, again and again: does another client connect as \"{id}\", {hint}"),
                    broken.next_wait(),
                )
            }
            End::HungUp(reason) | End::Broken(reason) | End::Silent(reason) | End::Disliked(reason) => {
                (reason, broken.next_wait())
            }
            End::TakenOver => {
                (presence.on_taken_over)();
                let id = &presence.client_id;
                let reason = format!("another client connects as \"{id}\" (0x8E): give each device an id of its own");
                (reason, taken_over.next_wait())
            }
        };
        if !std::mem::replace(&mut is_said, true) {
            warn!(host = %config.host, port = config.port, reason = %reason, "no connection to the broker, will try again");
        }
        trouble.send_replace(Some(Arc::from(format!("{}:{}: {reason}", config.host, config.port))));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            // Somebody is mending it and wants to see whether it works.
            () = roads.renewed() => broken.reset(),
            () = hurried.notified() => broken.reset(),
        }
    }
}

/// The keepalive of the next connection. Routers on the way forget a connection that is quiet for longer than they like:
/// one that died in silence is kept warmer, down to the shortest that brokers take; one that held for a day less so.
fn adapted(keepalive: Duration, configured: Duration, end: &End, held: Duration) -> Duration {
    match end {
        End::Silent(_) => (keepalive / 2).max(KEEPALIVE_LEAST),
        _ if held >= HELD_LONG => (keepalive * 2).min(configured),
        _ => keepalive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_died_in_silence_is_kept_warmer_and_one_that_holds_less_so() {
        let (most, silent) = (Duration::from_secs(240), End::Silent(String::new()));
        let shorter = adapted(most, most, &silent, Duration::ZERO);
        assert_eq!(shorter, Duration::from_secs(120));
        assert_eq!(adapted(KEEPALIVE_LEAST, most, &silent, Duration::ZERO), KEEPALIVE_LEAST);
        let broken = End::Broken(String::new());
        assert_eq!(adapted(shorter, most, &broken, Duration::from_secs(60)), shorter);
        assert_eq!(adapted(shorter, most, &broken, HELD_LONG), most);
        assert_eq!(adapted(most, most, &broken, HELD_LONG), most, "never longer than configured");
    }
}
