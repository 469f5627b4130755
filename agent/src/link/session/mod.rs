//! One connection to the broker, from its opening to its end; never reused.
//!
//! Nothing moves unless the event loop is polled, and a poll that is dropped while connecting starts over, so one
//! task polls and does nothing else that could wait. Publishers wait elsewhere, on the acknowledgement.
//!
//! A link that is dead and does not say so is noticed within `keepalive`: a ping goes out after half of it, and whatever
//! was sent must be answered by something within the other half. The library alone would wait for a second ping.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{DisconnectReasonCode, LastWill, Packet, PubAckReason, PublishProperties};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, PublishNotice, PublishNoticeError,
    PublishOptions, SessionMode, StateError, TopicAliasPolicy,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connect::{Course, Route};
use super::{Message, Presence};
use crate::telemetry::logs::chain;

/// Connecting, TLS and CONNACK together: a cellular modem with a TPM needs it.
const CONNECT_TIMEOUT_S: u64 = 30;
/// Room for topic and properties beside the payload.
const PACKET_BYTES_MAX: u32 = 160 << 10;
/// Requests on their way to the event loop; the window of publishes is the runner's.
const REQUESTS_MAX: usize = 4;
/// Publishes under way at once, the runner's window and the birth. The library sets room for 65,535 aside unless told:
/// 18 MB a connection.
const IN_FLIGHT_MAX: u16 = 32;
/// How long the goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// A publish that was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The connection ended before the broker said yes.
    #[error("the connection ended before the broker confirmed")]
    Disconnected,
    /// The broker closed the connection because of something that was under way, perhaps this.
    #[error("the broker closed the connection: {reason}")]
    Disliked {
        /// Its reason code.
        reason: String,
    },
    /// The broker has had enough for now (0x97), or could not (0x80, 0x83).
    #[error("the broker can not take it now: {reason}")]
    NotNow {
        /// Its reason code.
        reason: String,
    },
    /// The broker said no.
    #[error("the broker refused it: {reason}")]
    Refused {
        /// Its reason code.
        reason: String,
    },
    /// Larger than the broker takes, or than any that we know.
    #[error("a message of {bytes} bytes is above the limit of {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
}

/// A way into the event loop of a live connection.
#[derive(Debug, Clone)]
pub struct Pipe {
    client: AsyncClient,
    /// The largest packet that the broker takes.
    pub packet_bytes_max: usize,
    verdict: Arc<OnceLock<String>>,
}

/// A message that is on its way to the broker.
pub struct Sent {
    notice: PublishNotice,
    verdict: Arc<OnceLock<String>>,
}

/// Why a connection ended, or did not come to be.
#[derive(Debug)]
pub enum End {
    /// The agent ends.
    Stopping,
    /// There are other keys to connect with.
    Renewed,
    /// Nobody heard us: no route, no name, no answer. Trying again soon troubles no one.
    Unheard(String),
    /// The far side refused us, or said why it closed the connection.
    Broken(String),
    /// What was a connection ended without a reason.
    HungUp(String),
    /// The broker closed it because of something that we had sent.
    Disliked(String),
    /// It was dead and did not say so.
    Silent(String),
    /// Another client came with our id (0x8E).
    TakenOver,
}

/// What was sent and has not been answered by anything.
#[derive(Debug, Default)]
struct Unanswered {
    count: u32,
    /// When the wait for an answer began: at the first of them, or at the last word of the broker's.
    since: Option<Instant>,
}

impl Unanswered {
    fn sent(&mut self) {
        self.count += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn heard(&mut self, is_answer: bool) {
        self.count = self.count.saturating_sub(u32::from(is_answer));
        self.since = (self.count > 0).then(Instant::now);
    }
}

impl Pipe {
    /// Puts a message at QoS 1 on its way; `None` if the connection has ended.
    pub async fn send(&self, message: &Message) -> Option<Sent> {
        let expiry = message.expires.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX));
        let properties = PublishProperties {
            content_type: message.content_type.map(str::to_owned),
            message_expiry_interval: expiry,
            ..PublishProperties::default()
        };
        let mut options = PublishOptions::new(QoS::AtLeastOnce).retain(message.is_retained);
        if properties != PublishProperties::default() {
            options = options.properties(properties);
        }
        match self.client.publish_tracked(message.topic.clone(), message.payload.clone(), options).await {
            Ok(notice) => Some(Sent { notice, verdict: Arc::clone(&self.verdict) }),
            Err(error) => {
                debug!(%error, "publish not queued");
                None
            }
        }
    }
}

impl Sent {
    /// Waits for the PUBACK.
    pub async fn confirmed(self) -> Result<(), PublishError> {
        let Err(error) = self.notice.wait_completion_async().await else { return Ok(()) };
        let PublishNoticeError::V5PubAck(reason) = error else {
            return Err(match self.verdict.get() {
                Some(reason) => PublishError::Disliked { reason: reason.clone() },
                None => PublishError::Disconnected,
            });
        };
        Err(verdict(reason))
    }
}

/// MQTT 5, section 3.4.2.1: what a PUBACK's reason means for the message.
fn verdict(reason: PubAckReason) -> PublishError {
    let words = format!("{reason:?}");
    match reason {
        PubAckReason::QuotaExceeded
        | PubAckReason::UnspecifiedError
        | PubAckReason::ImplementationSpecificError
        | PubAckReason::PacketIdentifierInUse => PublishError::NotNow { reason: words },
        _ => PublishError::Refused { reason: words },
    }
}

/// MQTT 5, section 3.14.2.1: what a broker closes a connection for that will happen again with the same message.
fn is_dislike(reason: DisconnectReasonCode) -> bool {
    matches!(
        reason,
        DisconnectReasonCode::MalformedPacket
            | DisconnectReasonCode::ProtocolError
            | DisconnectReasonCode::NotAuthorized
            | DisconnectReasonCode::TopicNameInvalid
            | DisconnectReasonCode::PacketTooLarge
            | DisconnectReasonCode::PayloadFormatInvalid
            | DisconnectReasonCode::RetainNotSupported
            | DisconnectReasonCode::QoSNotSupported
    )
}

/// A connection.
pub struct Session {
    client: AsyncClient,
    eventloop: EventLoop,
    presence: Presence,
    course: Arc<Course>,
    keepalive: Duration,
}

/// A connection that can not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The login's password file.
    #[error("can not read password_file {path}")]
    Password {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Session {
    /// Prepares a connection: reads the file that the login needs, every time, so that a changed one is used.
    pub fn open(route: Route, presence: &Presence, keepalive: Duration) -> Result<Self, OpenError> {
        let (config, course) = (route.config.clone(), route.course.clone());
        let mut options = MqttOptions::new(&presence.client_id, (config.host.as_str(), config.port));
        options.set_keep_alive(u16::try_from(keepalive.as_secs() / 2).unwrap_or(u16::MAX).max(1));
        options.set_topic_alias_policy(TopicAliasPolicy::Lru);
        options.set_session_mode(SessionMode::Clean);
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        let will = LastWill::new(&presence.topic, presence.gone.to_vec(), QoS::AtLeastOnce, true, None);
        options.set_last_will(will);
        if let Some((username, file)) = &config.login {
            let password = std::fs::read_to_string(file)
                .map_err(|source| OpenError::Password { path: file.display().to_string(), source })?;
            options.set_credentials(username, password.trim_end_matches(['\r', '\n']).to_owned());
        }
        options.set_socket_connector(move |_, network| route.clone().connect(network));
        let mut network = options.network_options();
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, eventloop) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        Ok(Self { client, eventloop, presence: presence.clone(), course, keepalive })
    }

    /// Polls until the connection ends or is told to; says why. `renewed` comes when there are other keys to connect
    /// with. `on_connected` gives where to show the way in.
    pub async fn drive<'p>(
        &mut self,
        stop: &CancellationToken,
        renewed: impl Future<Output = ()>,
        on_connected: impl FnOnce() -> &'p watch::Sender<Option<Pipe>>,
    ) -> End {
        let mut on_connected = Some(on_connected);
        let mut renewed = pin!(renewed);
        let mut unanswered = Unanswered::default();
        let verdict = Arc::new(OnceLock::new());
        let patience = self.keepalive / 2;
        loop {
            let deadline = unanswered.since.map(|since| since + patience);
            let event = tokio::select! {
                event = self.eventloop.poll() => event,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return End::Silent(format!("nothing heard from the broker for {} s", patience.as_secs()));
                }
                () = stop.cancelled() => {
                    if on_connected.is_none() {
                        self.say_goodbye().await;
                    }
                    return End::Stopping;
                }
                () = &mut renewed => {
                    if on_connected.is_none() {
                        self.leave().await;
                    }
                    return End::Renewed;
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                    if let Some(on_connected) = on_connected.take() {
                        self.say_birth();
                        let most = answer.properties.and_then(|properties| properties.max_packet_size);
                        let packet_bytes_max =
                            most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
                        let verdict = Arc::clone(&verdict);
                        let pipe = Pipe { client: self.client.clone(), packet_bytes_max, verdict };
                        on_connected().send_replace(Some(pipe));
                    }
                }
                Ok(Event::Incoming(packet)) => {
                    unanswered.heard(matches!(packet, Packet::PubAck(_) | Packet::PingResp));
                }
                Ok(Event::Outgoing(Outgoing::Publish(_) | Outgoing::PingReq)) => unanswered.sent(),
                Ok(Event::Outgoing(_) | Event::Auth(_)) => {}
                Err(error) if on_connected.is_some() && is_unheard(&error) => return End::Unheard(self.reason(&error)),
                Err(error) => {
                    let reason = self.reason(&error);
                    return match goodbye_in(&error) {
                        None if on_connected.is_none() && self.course.end().is_none() => End::HungUp(reason),
                        None => End::Broken(reason),
                        Some(DisconnectReasonCode::SessionTakenOver) => End::TakenOver,
                        // Known before the publishers are told that the connection is gone.
                        Some(reason) if is_dislike(reason) => {
                            End::Disliked(verdict.get_or_init(|| format!("{reason:?}")).clone())
                        }
                        Some(reason) => End::Broken(format!("the broker closed the connection: {reason:?}")),
                    };
                }
            }
        }
    }

    /// What the connection itself was told about its end says more than what the library makes of it.
    fn reason(&self, error: &ConnectionError) -> String {
        match (self.course.end(), error) {
            (Some(words), _) => words.to_owned(),
            (None, ConnectionError::Timeout(_)) => {
                format!("no answer within {CONNECT_TIMEOUT_S} s: waited for {}", self.course.stage())
            }
            (None, error) => chain(error),
        }
    }

    fn say_birth(&self) {
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        // The channel of a connection that just opened is empty; were it not, the next connection says it.
        if let Err(error) = self.client.try_publish(self.presence.topic.clone(), (self.presence.birth)(), options) {
            debug!(%error, "birth not queued");
        }
    }

    /// The retained status and a DISCONNECT, so that the broker keeps the will to itself; as far as the link lets us.
    async fn say_goodbye(&mut self) {
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        let gone = self.client.try_publish(self.presence.topic.clone(), self.presence.gone.clone(), options);
        if gone.is_ok() {
            self.leave().await;
        }
    }

    /// A DISCONNECT alone, so that the broker keeps the will to itself: somebody is back at once. The library waits for
    /// what is under way first.
    async fn leave(&mut self) {
        if self.client.try_disconnect().is_err() {
            return;
        }
        let ended = async { while self.eventloop.poll().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE_TIMEOUT, ended).await.is_err() {
            debug!("no time for a goodbye");
        }
    }
}

/// The reason of the DISCONNECT that the broker sent.
fn goodbye_in(error: &ConnectionError) -> Option<DisconnectReasonCode> {
    match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => Some(*reason_code),
        _ => None,
    }
}

/// Whether an attempt failed without anybody having heard of it.
fn is_unheard(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Timeout(_) => true,
        // What a resolver says has no kind of its own.
        ConnectionError::Io(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::InvalidData
        ),
        _ => false,
    }
}
