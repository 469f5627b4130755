//! One connection to the broker, from its opening to its end; never reused.
//!
//! Nothing moves unless the event loop is polled, and a poll that is dropped while connecting starts over, so one
//! task polls and does nothing else that could wait. Publishers wait elsewhere, on the acknowledgement.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{LastWill, Packet, PubAckReason};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, PublishNotice, PublishNoticeError, PublishOptions,
    SessionMode,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connect::{Course, Route};
use super::{PUBLISH_BYTES_MAX, Presence};
use crate::telemetry::logs::chain;

/// Seconds between pings; a half-open link is noticed at the second one that stays unanswered.
const KEEP_ALIVE_S: u16 = 30;
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
    /// Larger than any broker we know takes.
    #[error("a message of {bytes} bytes is above the limit of {PUBLISH_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// A way into the event loop of a live connection.
#[derive(Debug, Clone)]
pub struct Pipe {
    client: AsyncClient,
}

/// A message that is on its way to the broker.
pub struct Sent(PublishNotice);

impl Pipe {
    /// Puts a message at QoS 1 on its way; `None` if the connection has ended.
    pub async fn send(&self, topic: &str, payload: Bytes) -> Option<Sent> {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        match self.client.publish_tracked(topic.to_owned(), payload, options).await {
            Ok(notice) => Some(Sent(notice)),
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
        self.0.wait_completion_async().await.map_err(|error| verdict(&error))
    }
}

/// MQTT 5, section 3.4.2.1: what a PUBACK's reason means for the message.
fn verdict(error: &PublishNoticeError) -> PublishError {
    let PublishNoticeError::V5PubAck(reason) = error else { return PublishError::Disconnected };
    let words = format!("{reason:?}");
    match reason {
        PubAckReason::QuotaExceeded
        | PubAckReason::UnspecifiedError
        | PubAckReason::ImplementationSpecificError
        | PubAckReason::PacketIdentifierInUse => PublishError::NotNow { reason: words },
        _ => PublishError::Refused { reason: words },
    }
}

/// A connection.
pub struct Session {
    client: AsyncClient,
    eventloop: EventLoop,
    presence: Presence,
    course: Arc<Course>,
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
    pub fn open(route: Route, presence: &Presence) -> Result<Self, OpenError> {
        let (config, course) = (route.config.clone(), route.course.clone());
        let mut options = MqttOptions::new(&presence.client_id, (config.host.as_str(), config.port));
        options.set_keep_alive(KEEP_ALIVE_S);
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
        Ok(Self { client, eventloop, presence: presence.clone(), course })
    }

    /// Polls until the connection ends or is told to; says why. `renewed` comes when there are other keys to connect
    /// with. `on_connected` gives where to show the way in.
    pub async fn drive<'p>(
        &mut self,
        stop: &CancellationToken,
        renewed: impl Future<Output = ()>,
        on_connected: impl FnOnce() -> &'p watch::Sender<Option<Pipe>>,
    ) -> String {
        let mut on_connected = Some(on_connected);
        let mut renewed = pin!(renewed);
        loop {
            let event = tokio::select! {
                event = self.eventloop.poll() => event,
                () = stop.cancelled() => {
                    if on_connected.is_none() {
                        self.say_goodbye().await;
                    }
                    return "stopping".to_owned();
                }
                () = &mut renewed => {
                    if on_connected.is_none() {
                        self.leave().await;
                    }
                    return "other keys to connect with".to_owned();
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    if let Some(on_connected) = on_connected.take() {
                        self.say_birth();
                        on_connected().send_replace(Some(Pipe { client: self.client.clone() }));
                    }
                }
                Ok(Event::Incoming(Packet::Disconnect(goodbye))) => {
                    return format!("the broker closed the connection: {:?}", goodbye.reason_code);
                }
                Ok(_) => {}
                Err(error) => return self.reason(&error),
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
        if let Err(error) = self.client.try_publish(self.presence.topic.clone(), self.presence.birth.clone(), options) {
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
