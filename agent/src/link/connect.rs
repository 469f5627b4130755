//! From nothing to bytes that the far side reads: name, TCP, proxy, TLS, each with words for what can go wrong there.
//!
//! The client library takes a stream from us and sees neither certificates nor proxies. What we learn about the end of
//! a connection stands in its [`Course`], because a broker that refuses our certificate says so after the handshake
//! (TLS 1.3, RFC 8446 section 4.4.2.4), where the library takes it for any failed read.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rumqttc::NetworkOptions;
use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::tokio_rustls::client::TlsStream;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::proxy::{self, ProxyError};
use super::refusal::Refusal;
use super::tls::Keys;
use super::validity;
use super::version::Answer;
use crate::config::proxy::{ProxyConfig, ProxyKind};
use crate::telemetry::health::{Shown, SinkHealth, TlsSession};
use crate::telemetry::logs::chain;

/// How long one address may take: a name often has one that leads nowhere (IPv6 behind a router that knows none), and
/// the others want their turn within the time that connecting has.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(8);
/// A connection that was asked for and not answered is asked for once more, beside the one before. By itself the kernel asks
/// after 1, 3 and 7 s: a line that comes back between two of them would wait, and the newest reading with it.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// What is read to find out why a write failed: an alert has 7 bytes, behind at most a few tickets.
const LAST_WORDS_BYTES: usize = 4 << 10;

/// The steps of a connection, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the files that it needs.
    Files,
    /// Name, TCP, proxy.
    Way,
    /// TLS; also where the far side refuses our certificate, which it says after the handshake.
    Tls,
    /// The broker's word that it takes us.
    Login,
    /// A message, and its word that it has it.
    Publish,
}

/// How a connection is going.
#[derive(Debug)]
pub struct Course {
    stage: Shown<String>,
    end: OnceLock<String>,
    /// Set once there is somebody to speak MQTT with: what is to blame should they end it before they have answered.
    is_reached: OnceLock<&'static str>,
    /// How that one began to speak.
    first_words: OnceLock<Vec<u8>>,
    /// There were bytes both ways, through a proxy where there is one.
    is_carried: OnceLock<()>,
    /// TLS was ended in its own words, in the handshake or after it.
    is_alerted: OnceLock<()>,
    /// Since when the line takes nothing more, while that is so.
    clogged: watch::Sender<Option<Instant>>,
}

/// Of the broker's first words so many are kept: its CONNACK's type, length, flags and reason.
const FIRST_WORDS_BYTES: usize = 4;
/// MQTT, section 3.2: the first byte of a CONNACK.
const CONNACK: u8 = 0x20;
/// A version of the protocol that the broker does not speak: in 3.1.1, section 3.2.2.3, and in 5, section 3.2.2.2.
const VERSION_REFUSED: [u8; 2] = [0x01, 0x84];

impl Default for Course {
    fn default() -> Self {
        let (end, is_reached, first_words, is_carried, is_alerted) = Default::default();
        let clogged = watch::channel(None).0;
        let stage = Shown::new("connecting".to_owned());
        Self { stage, end, is_reached, first_words, is_carried, is_alerted, clogged }
    }
}

impl Course {
    /// What is being waited for.
    pub fn stage(&self) -> String {
        self.stage.get()
    }

    /// Why it ended, where the connection itself was told.
    pub fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }

    /// What a connection that has ended without anybody's yes ended at.
    pub fn ended_at(&self) -> Stage {
        match (self.is_carried.get(), self.is_reached.get()) {
            (None, _) => Stage::Way,
            (_, None) => Stage::Tls,
            _ if self.is_alerted.get().is_some() => Stage::Tls,
            _ => Stage::Login,
        }
    }

    /// What a connection that the broker did not take tells of the version of MQTT that it spoke.
    pub fn answer(&self) -> Answer {
        match self.first_words.get().map(Vec::as_slice) {
            _ if self.is_reached.get().is_none() => Answer::OffTopic,
            Some([CONNACK, _, _, reason]) if VERSION_REFUSED.contains(reason) => Answer::Refused,
            None if self.end.get().is_none() => Answer::None,
            _ => Answer::OffTopic,
        }
    }

    /// Waits until the line has taken nothing for so long of what there is to send. The library waits for ever then, and
    /// says nothing of what it could not send: a message that is larger than the kernel's buffer on a line that is dead.
    pub async fn clogged(&self, patience: Duration) {
        let mut clogged = self.clogged.subscribe();
        loop {
            let since = *clogged.borrow_and_update();
            tokio::select! {
                () = sleep_until(since.unwrap_or_else(Instant::now) + patience), if since.is_some() => return,
                changed = clogged.changed() => changed.expect("this course has the sender"),
            }
        }
    }

    /// A write was taken, or was not.
    fn note_write(&self, is_taken: bool) {
        self.clogged.send_if_modified(|since| {
            let is_news = since.is_some() == is_taken;
            if is_news {
                *since = (!is_taken).then(Instant::now);
            }
            is_news
        });
    }

    /// Whoever was reached has not said a word.
    pub fn silence(&self) -> Option<String> {
        let suspect = self.is_reached.get().filter(|_| self.first_words.get().is_none())?;
        Some(format!("the connection was closed before the broker answered: {suspect}"))
    }

    /// There is somebody to speak MQTT with.
    fn reach(&self, suspect: &'static str) {
        self.stage.set("the broker to take the connection".to_owned());
        self.is_reached.get_or_init(|| suspect);
    }

    /// The client library of one version can not read the refusals of another, so they are read here.
    fn hear(&self, words: &[u8]) {
        if words.is_empty() || self.first_words.get().is_some() {
            return;
        }
        self.first_words.get_or_init(|| words[..words.len().min(FIRST_WORDS_BYTES)].to_vec());
        if self.answer() == Answer::Refused {
            self.end
                .get_or_init(|| format!("the broker does not speak this version of MQTT (CONNACK {:#04x})", words[3]));
        }
    }
}

/// Where a connection goes.
#[derive(Debug)]
pub struct Target {
    /// Who is there, in words: "the broker".
    pub who: &'static str,
    /// The key of the configuration that says where.
    pub key: &'static str,
    /// What its addresses begin with: `mqtts://`.
    pub scheme: &'static str,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What stands in between.
    pub proxy: Option<ProxyConfig>,
    /// Login, with the file that holds the password.
    pub login: Option<(String, PathBuf)>,
}

/// Everything a connection is made from.
#[derive(Debug, Clone)]
pub struct Route {
    /// Whereto.
    pub target: Arc<Target>,
    /// TLS, if any.
    pub secured: Option<Secured>,
    /// How it goes.
    pub course: Arc<Course>,
}

/// What TLS needs.
#[derive(Debug, Clone)]
pub struct Secured {
    /// Certificates and key.
    pub keys: Keys,
    /// Puts refusals into words.
    pub refusal: Arc<Refusal>,
    /// Where to show what was agreed on.
    pub health: Arc<SinkHealth>,
}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the name {host} can not be resolved: is there a network, and a DNS server? ({source})")]
    Name { host: String, source: io::Error },
    #[error("no connection to {address}: {source}")]
    Address { address: SocketAddr, source: io::Error },
    #[error("the proxy {proxy}: {source}")]
    Proxy { proxy: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{0}")]
    Tls(String),
}

impl ConnectError {
    /// Tells who was reached: somebody who refuses (whatever the kind says), or nobody (`Other`, `TimedOut` and the like).
    fn kind(&self) -> io::ErrorKind {
        match self {
            ConnectError::Name { .. } => io::ErrorKind::Other,
            ConnectError::Address { source, .. } => source.kind(),
            ConnectError::Proxy { source, .. } => {
                source.downcast_ref::<ConnectError>().map_or(io::ErrorKind::ConnectionRefused, ConnectError::kind)
            }
            ConnectError::Tls(_) => io::ErrorKind::InvalidData,
        }
    }
}

impl Route {
    /// Makes the connection. The error is for the library; what it says is in the course.
    pub async fn connect(self, network: NetworkOptions) -> io::Result<Wire> {
        match self.try_connect(network).await {
            Ok(wire) => Ok(wire),
            Err(error) => {
                // The first word stands: nothing that comes after it knows more.
                let words = self.course.end.get_or_init(|| error.to_string());
                Err(io::Error::new(error.kind(), words.clone()))
            }
        }
    }

    async fn try_connect(&self, network: NetworkOptions) -> Result<Wire, ConnectError> {
        let target = &*self.target;
        let tcp = match &target.proxy {
            None => self.tcp(&target.host, target.port, network).await?,
            Some(proxy) => self.through(proxy, network).await?,
        };
        self.course.is_carried.get_or_init(|| ());
        let stream = match &self.secured {
            None => Stream::Plain(tcp),
            Some(secured) => Stream::Tls(Box::new(self.handshake(secured, tcp).await?), secured.refusal.clone()),
        };
        self.course.reach(match &self.secured {
            None => "is this the port for mqtt://?",
            Some(secured) if secured.keys.client.alpn_protocols.is_empty() => {
                "is this a broker's port, and does it want an `alpn`?"
            }
            Some(_) => "is this a broker's port?",
        });
        Ok(Wire { stream, course: self.course.clone() })
    }

    async fn tcp(&self, host: &str, port: u16, network: NetworkOptions) -> Result<TcpStream, ConnectError> {
        self.course.stage.set(format!("the name {host} to be resolved"));
        let named = |source| ConnectError::Name { host: host.to_owned(), source };
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(named)?;
        let mut last = named(io::Error::other("it has no address"));
        for address in addresses.take(ADDRESSES_MAX) {
            self.course.stage.set(format!("{address} to answer"));
            let source = match timeout(ADDRESS_TIMEOUT, ask(address, &network)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(source)) => source,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer: is the port open on the way there?"),
            };
            last = ConnectError::Address { address, source };
        }
        Err(last)
    }

    async fn through(&self, proxy: &ProxyConfig, network: NetworkOptions) -> Result<TcpStream, ConnectError> {
        let scheme = match proxy.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        let shown = format!("{scheme}://{}:{}", proxy.host, proxy.port);
        let failed = |source| ConnectError::Proxy { proxy: shown.clone(), source };
        let mut tcp = self.tcp(&proxy.host, proxy.port, network).await.map_err(|error| failed(Box::new(error)))?;
        let target = &*self.target;
        self.course.stage.set(format!("the proxy {shown} to reach {}", target.who));
        let asked: Result<(), ProxyError> = proxy::ask(&mut tcp, proxy, &target.host, target.port).await;
        asked.map_err(|error| failed(chain(&error).into()))?;
        Ok(tcp)
    }

    async fn handshake(&self, secured: &Secured, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        self.course.stage.set("the TLS handshake".to_owned());
        let host = &self.target.host;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| ConnectError::Tls(format!("\"{host}\" is no name that a certificate can have")))?;
        let connector = TlsConnector::from(secured.keys.client.clone());
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| ConnectError::Tls(secured.refusal.of_handshake(&error)))?;
        let connection = stream.get_ref().1;
        let text = |alpn: &[u8]| String::from_utf8_lossy(alpn).into_owned();
        let session = TlsSession {
            version: connection.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            alpn: connection.alpn_protocol().map(text),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            // Brokers send others behind it, and some of those have expired without anybody needing them.
            broker: connection
                .peer_certificates()
                .and_then(|chain| validity::of(chain.first()?, &secured.keys.verifier)),
        };
        debug!(?session, "TLS is up");
        secured.health.set_tls(|tls| tls.session = Some(session));
        Ok(stream)
    }
}

/// Asks for a connection, again and again until one of the questions is answered. Those that were not are forgotten then.
async fn ask(address: SocketAddr, network: &NetworkOptions) -> io::Result<TcpStream> {
    let mut asked = FuturesUnordered::new();
    loop {
        asked.push(rumqttc::default_socket_connect(address.to_string(), network.clone()));
        if let Ok(Some(answer)) = timeout(ASK_EVERY, asked.next()).await {
            return answer;
        }
    }
}

/// The stream that the library reads and writes.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    /// Where its beginning and its end are told.
    course: Arc<Course>,
}

#[derive(Debug)]
enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Inside TLS, with what puts its end into words.
    Tls(Box<TlsStream<TcpStream>>, Arc<Refusal>),
}

impl Wire {
    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Stream::Tls(stream, refusal) => {
                let polled = Pin::new(stream).poll_read(context, buffer);
                if let Poll::Ready(Err(error)) = &polled
                    && let Some(words) = refusal.of_alert(error)
                {
                    self.course.is_alerted.get_or_init(|| ());
                    self.course.end.get_or_init(|| words);
                }
                polled
            }
        };
        self.course.hear(&buffer.filled()[before..]);
        polled
    }

    /// A broker that refuses our certificate says so and closes. A write that finds the connection closed fails before
    /// anybody has read what was said, so that is read here.
    fn written<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.course.note_write(polled.is_ready());
        if let Poll::Ready(Err(_)) = &polled {
            let mut last_words = [0; LAST_WORDS_BYTES];
            // What is not there yet does not come any more.
            let _ended = self.read(context, &mut ReadBuf::new(&mut last_words));
        }
        polled
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let polled = match &mut wire.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Stream::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        };
        wire.written(context, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let polled = match &mut wire.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Stream::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        };
        wire.written(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Stream::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a connection that ended after these words of the broker's.
    fn after(words: &[u8]) -> Answer {
        let course = Course::default();
        course.reach("");
        course.hear(words);
        course.answer()
    }

    #[test]
    fn the_first_words_tell_whether_the_version_is_refused() {
        assert_eq!(after(&[0x20, 2, 0, 0x01]), Answer::Refused, "in the words of 3.1.1");
        assert_eq!(after(&[0x20, 3, 0, 0x84, 0]), Answer::Refused, "in those of 5");
        assert_eq!(after(&[0x20, 2, 0, 0x05]), Answer::OffTopic, "who is not authorized has been understood");
        assert_eq!(after(&[0x20, 3, 0, 0x87, 0]), Answer::OffTopic);
        assert_eq!(after(b"HTTP/1.1 400 Bad Request"), Answer::OffTopic);
        assert_eq!(after(&[]), Answer::None);
        assert_eq!(Course::default().answer(), Answer::OffTopic, "nobody was reached");
    }

    #[test]
    fn a_connection_that_tls_ended_tells_nothing_of_the_version() {
        let course = Course::default();
        course.reach("");
        course.end.get_or_init(|| "the broker refused our certificate".to_owned());
        assert_eq!(course.answer(), Answer::OffTopic);
    }
}
