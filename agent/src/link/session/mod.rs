//! One connection to the broker, from its opening to its end; never reused.
//!
//! What is the same in every version of MQTT is here; `v5` and `v4` (3.1.1) put the client library's two siblings into
//! the same words.
//!
//! Nothing moves unless the event loop is polled, and a poll that is dropped while connecting starts over, so one
//! task polls and does nothing else that could wait. Publishers wait elsewhere, on the acknowledgement.
//!
//! A link that is dead and does not say so is noticed within `keepalive`: a ping goes out after half of it, and whatever
//! was sent must be answered by something within the other half. The library alone would wait for a second ping, and for
//! ever where a message does not even fit into the kernel's buffer.

mod v4;
mod v5;

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connect::{Course, Route};
use super::ears::Ears;
use super::version::Version;
use super::{Heard, Message, PUBLISH_BYTES_MAX, Presence};

/// Connecting, TLS and CONNACK together: a cellular modem with a TPM needs it.
const CONNECT_TIMEOUT_S: u64 = 30;
/// Room for topic and properties beside the payload.
const PACKET_BYTES_MAX: u32 = 160 << 10;
/// Requests on their way to the event loop; the window of publishes is the runner's.
const REQUESTS_MAX: usize = 4;
/// Topics of one SUBSCRIBE: AWS IoT Core takes no more.
const SUBSCRIPTIONS_MAX: usize = 8;
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

/// The client library's handle, which sends.
#[derive(Debug, Clone)]
enum Client {
    V5(rumqttc::AsyncClient),
    V4(rumqttc4::AsyncClient),
}

/// A way into the event loop of a live connection.
#[derive(Debug, Clone)]
pub struct Pipe {
    client: Client,
    /// The largest packet that the broker takes.
    pub packet_bytes_max: usize,
    verdict: Arc<OnceLock<String>>,
}

/// A message that is on its way to the broker.
pub struct Sent {
    notice: Notice,
    verdict: Arc<OnceLock<String>>,
}

enum Notice {
    V5(rumqttc::PublishNotice),
    V4(rumqttc4::PublishNotice),
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

/// What a poll of the event loop tells.
enum Step {
    /// The broker has taken the connection.
    Taken { packet_bytes_max: usize },
    /// It said something, which answers what we sent or does not.
    Heard { is_answer: bool },
    /// A message came to a topic that is listened to.
    Message { topic: Bytes, payload: Bytes },
    /// What became of a subscription: how many of its topics were refused.
    Subscribed { refused: usize },
    /// Something went out that has to be answered.
    Asked,
    /// Nothing that matters here.
    Other,
}

/// Why the event loop can not go on.
struct Failure {
    words: String,
    /// Connecting, or getting rid of what is sent, took too long.
    is_timeout: bool,
    /// While connecting: nobody has heard of it.
    is_unheard: bool,
    /// The broker said why.
    goodbye: Option<Goodbye>,
}

/// Why a broker closed a connection.
enum Goodbye {
    TakenOver,
    /// It will do so again over the same message.
    Disliked(String),
    Other(String),
}

/// What a connection is opened with.
struct Terms<'a> {
    route: Route,
    presence: &'a Presence,
    ping_after_s: u16,
    /// Name and password.
    login: Option<(String, String)>,
}

impl Pipe {
    /// Puts a message at QoS 1 on its way; `None` if the connection has ended.
    pub async fn send(&self, message: &Message) -> Option<Sent> {
        let notice = match &self.client {
            Client::V5(client) => v5::publish(client, message).await.map(Notice::V5).map_err(|error| error.to_string()),
            Client::V4(client) => v4::publish(client, message).await.map(Notice::V4).map_err(|error| error.to_string()),
        };
        match notice {
            Ok(notice) => Some(Sent { notice, verdict: Arc::clone(&self.verdict) }),
            Err(error) => {
                debug!(%error, "publish not queued");
                None
            }
        }
    }

    /// Subscribes at QoS 1, and waits for the broker's answer.
    pub async fn subscribe(&self, topics: &[String]) -> Result<(), PublishError> {
        let answer = match &self.client {
            Client::V5(client) => v5::subscribe(client, topics).await,
            Client::V4(client) => v4::subscribe(client, topics).await,
        };
        answer.unwrap_or_else(|| Err(ended(&self.verdict)))
    }
}

/// What became of what was under way when a connection ended.
fn ended(verdict: &OnceLock<String>) -> PublishError {
    match verdict.get() {
        Some(reason) => PublishError::Disliked { reason: reason.clone() },
        None => PublishError::Disconnected,
    }
}

impl Client {
    /// Puts on its way what is retained on the status topic, if there is a place; tells whether there was.
    fn try_retain(&self, topic: &str, payload: Bytes) -> bool {
        match self {
            Client::V5(client) => v5::try_retain(client, topic, payload).is_ok(),
            Client::V4(client) => v4::try_retain(client, topic, payload).is_ok(),
        }
    }

    fn try_subscribe(&self, topics: &[String]) -> bool {
        match self {
            Client::V5(client) => v5::try_subscribe(client, topics).is_ok(),
            Client::V4(client) => v4::try_subscribe(client, topics).is_ok(),
        }
    }

    fn try_disconnect(&self) -> bool {
        match self {
            Client::V5(client) => client.try_disconnect().is_ok(),
            Client::V4(client) => client.try_disconnect().is_ok(),
        }
    }
}

impl Sent {
    /// Waits for the PUBACK.
    pub async fn confirmed(self) -> Result<(), PublishError> {
        let answer = match self.notice {
            Notice::V5(notice) => v5::confirmed(notice).await,
            Notice::V4(notice) => v4::confirmed(notice).await.then_some(Ok(())),
        };
        answer.unwrap_or_else(|| Err(ended(&self.verdict)))
    }
}

/// The event loop, and with it the connection.
enum Connection {
    V5(Box<v5::Connection>),
    V4(Box<v4::Connection>),
}

impl Connection {
    fn new(version: Version, terms: Terms<'_>) -> Self {
        match version {
            Version::V5 => Self::V5(Box::new(v5::Connection::new(terms))),
            Version::V4 => Self::V4(Box::new(v4::Connection::new(terms))),
        }
    }

    async fn poll(&mut self) -> Result<Step, Failure> {
        match self {
            Self::V5(connection) => connection.poll().await,
            Self::V4(connection) => connection.poll().await,
        }
    }

    fn client(&self) -> Client {
        match self {
            Self::V5(connection) => Client::V5(connection.client.clone()),
            Self::V4(connection) => Client::V4(connection.client.clone()),
        }
    }
}

/// A connection.
pub struct Session {
    connection: Connection,
    client: Client,
    presence: Presence,
    ears: Ears,
    /// Whether the status is said; else the will alone says something of the device.
    says_birth: bool,
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
    pub fn open(
        route: Route,
        version: Version,
        (presence, ears): (&Presence, &Ears),
        says_birth: bool,
        keepalive: Duration,
    ) -> Result<Self, OpenError> {
        let course = route.course.clone();
        let login = match &route.target.login {
            None => None,
            Some((username, file)) => {
                let password = std::fs::read_to_string(file)
                    .map_err(|source| OpenError::Password { path: file.display().to_string(), source })?;
                Some((username.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
            }
        };
        let ping_after_s = u16::try_from(keepalive.as_secs() / 2).unwrap_or(u16::MAX).max(1);
        let connection = Connection::new(version, Terms { route, presence, ping_after_s, login });
        let client = connection.client();
        Ok(Self { connection, client, presence: presence.clone(), ears: ears.clone(), says_birth, course, keepalive })
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
            let polled = tokio::select! {
                polled = self.connection.poll() => polled,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return End::Silent(format!("nothing heard from the broker for {} s", patience.as_secs()));
                }
                () = self.course.clogged(patience) => {
                    return End::Silent(format!("nothing could be sent for {} s", patience.as_secs()));
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
            match polled {
                Ok(Step::Taken { packet_bytes_max }) => {
                    if let Some(on_connected) = on_connected.take() {
                        self.say_birth();
                        self.subscribe();
                        let verdict = Arc::clone(&verdict);
                        let pipe = Pipe { client: self.client.clone(), packet_bytes_max, verdict };
                        on_connected().send_replace(Some(pipe));
                    }
                }
                Ok(Step::Heard { is_answer }) => unanswered.heard(is_answer),
                Ok(Step::Message { topic, payload }) => {
                    unanswered.heard(false);
                    self.pass_on(&topic, payload);
                }
                Ok(Step::Subscribed { refused }) => {
                    unanswered.heard(true);
                    self.subscribed(refused);
                }
                Ok(Step::Asked) => unanswered.sent(),
                Ok(Step::Other) => {}
                Err(failure) => {
                    let is_connected = on_connected.is_none();
                    let reason = self.reason(&failure);
                    return match failure.goodbye {
                        _ if !is_connected && failure.is_unheard => End::Unheard(reason),
                        None if is_connected && self.course.end().is_none() => End::HungUp(reason),
                        None => End::Broken(reason),
                        Some(Goodbye::TakenOver) => End::TakenOver,
                        // Known before the publishers are told that the connection is gone.
                        Some(Goodbye::Disliked(reason)) => End::Disliked(verdict.get_or_init(|| reason).clone()),
                        Some(Goodbye::Other(reason)) => {
                            End::Broken(format!("the broker closed the connection: {reason}"))
                        }
                    };
                }
            }
        }
    }

    /// What the connection itself was told about its end says more than what the library makes of it.
    fn reason(&self, failure: &Failure) -> String {
        match self.course.end() {
            Some(words) => words.to_owned(),
            None if failure.is_timeout => {
                format!("no answer within {CONNECT_TIMEOUT_S} s: waited for {}", self.course.stage())
            }
            None => self.course.silence().unwrap_or_else(|| failure.words.clone()),
        }
    }

    fn say_birth(&self) {
        let Some(topic) = self.status_topic() else { return };
        // The channel of a connection that just opened is empty; were it not, the next connection says it.
        if !self.client.try_retain(topic, (self.presence.birth)()) {
            debug!("birth not queued");
        }
    }

    /// Where the status is said, if it is.
    fn status_topic(&self) -> Option<&str> {
        self.presence.topic.as_deref().filter(|_| self.says_birth)
    }

    /// Subscribes to what is listened to. Like the birth it is left out where connections end over it.
    fn subscribe(&self) {
        let Some(listening) = self.presence.listening.as_ref().filter(|_| self.says_birth) else { return };
        for topics in listening.topics.chunks(SUBSCRIPTIONS_MAX) {
            if !self.client.try_subscribe(topics) {
                warn!("no room for a subscription, the next connection subscribes");
            }
        }
    }

    fn subscribed(&self, refused: usize) {
        if refused > 0 {
            warn!(refused, "the broker refuses subscriptions: nothing can be done from afar through them");
        }
        if let Some(listening) = &self.presence.listening {
            listening.tell(Heard::Connected);
        }
    }

    fn pass_on(&self, topic: &[u8], payload: Bytes) {
        let Ok(topic) = std::str::from_utf8(topic) else { return };
        let is_message = payload.len() <= PUBLISH_BYTES_MAX;
        if is_message && self.ears.tell(topic, &payload) {
            return;
        }
        let Some(listening) = &self.presence.listening else { return };
        let topic = topic.to_owned();
        let bytes = payload.len();
        listening.tell(if is_message { Heard::Message { topic, payload } } else { Heard::TooLarge { topic, bytes } });
    }

    /// The retained status and a DISCONNECT, so that the broker keeps the will to itself; as far as the link lets us.
    async fn say_goodbye(&mut self) {
        if self.status_topic().is_none_or(|topic| self.client.try_retain(topic, self.presence.gone.clone())) {
            self.leave().await;
        }
    }

    /// A DISCONNECT alone, so that the broker keeps the will to itself: somebody is back at once. The library waits for
    /// what is under way first.
    async fn leave(&mut self) {
        if !self.client.try_disconnect() {
            return;
        }
        let ended = async { while self.connection.poll().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE_TIMEOUT, ended).await.is_err() {
            debug!("no time for a goodbye");
        }
    }
}

/// Whether connecting failed without anybody having heard of it.
fn is_unheard(error: &io::Error) -> bool {
    // What a resolver says has no kind of its own.
    !matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
    )
}
