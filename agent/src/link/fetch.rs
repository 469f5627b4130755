//! Asking a server one question by HTTPS with keys of ours (mutual TLS): a connection, a request, an answer, an end. And
//! a file from a server, from where we have it on, as slowly as it is read.
//!
//! What is asked this way is asked once in an hour, so no connection is kept.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection};
use hyper::header::{ACCEPT_ENCODING, CONTENT_RANGE, DATE, HOST, HeaderMap, LOCATION, RANGE, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rumqttc::NetworkOptions;

pub use super::connect::Target;
use super::connect::{Course, Route, Wire};
pub use super::tls::Keyring;
use crate::config::proxy::ProxyConfig;
use crate::telemetry::logs::chain;

/// How long it may take, from the name to the last byte: a satellite link with packet loss needs it.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A server that sends a file and has not sent anything for so long does not send the rest.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// What is read ahead of a file.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// What a server said.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its clock (RFC 9110, section 6.6.1), as it writes it.
    pub date: Option<String>,
    /// All of its body.
    pub body: Bytes,
}

/// Asks for `path`. Words, where there is no answer.
pub async fn get(
    keyring: &mut Keyring,
    target: &Arc<Target>,
    path: &str,
    header: (&'static str, &str),
) -> Result<Answer, String> {
    let secured = keyring.secure(target).map_err(|error| chain(&error))?;
    let course = Arc::new(Course::default());
    let route = Route { target: target.clone(), secured: Some(secured), course: course.clone() };
    match tokio::time::timeout(TIMEOUT, ask(route, target, path, header)).await {
        Ok(Ok(answer)) => Ok(answer),
        // What the connection itself was told knows more.
        Ok(Err(words)) => Err(course.end().map_or(words, str::to_owned)),
        Err(_) => Err(format!("no answer within {} s, waiting for {}", TIMEOUT.as_secs(), course.stage())),
    }
}

async fn ask(route: Route, target: &Target, path: &str, (name, value): (&'static str, &str)) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("{} broke it off: {}", target.who, chain(&error));
    let request = Request::get(path)
        .header(HOST, &target.host)
        .header(name, value)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let wire = route.connect(NetworkOptions::new()).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("the answer of {} broke off: {error}", target.who))?.to_bytes();
        Ok(Answer { status, date, body })
    };
    // The connection moves the bytes; it is polled here and needs no task of its own.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => match ended {
            // It has brought all that there is.
            Ok(()) => exchange.await,
            Err(error) => Err(broken(error)),
        },
    }
}

type Moving = Pin<Box<Connection<TokioIo<Wire>, Empty<Bytes>>>>;

/// A file that comes.
pub struct Coming {
    /// HTTP status.
    pub status: u16,
    /// The position that it begins with, where the server sends a part (RFC 9110, section 14.4).
    pub begin: Option<u64>,
    /// Where it is, if not here.
    pub location: Option<String>,
    /// The server's clock (RFC 9110, section 6.6.1), as it writes it.
    pub date: Option<String>,
    body: Incoming,
    /// Moves the bytes while the body is asked for them; gone once it has brought all.
    connection: Option<Moving>,
    who: &'static str,
    course: Arc<Course>,
}

/// The server of an address, and the path there. Words, where it is no address of ours.
pub fn place_of(url: &str, who: &'static str, key: &'static str) -> Result<(Target, String), String> {
    let uri: Uri = url.parse().map_err(|error| format!("\"{url}\" is no address: {error}"))?;
    let (scheme, port) = match uri.scheme_str() {
        Some("https") => ("https://", 443),
        Some("http") => ("http://", 80),
        _ => return Err(format!("\"{url}\" does not begin with https:// or http://")),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(format!("\"{url}\" names no host, or a login"));
    }
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let port = uri.port_u16().unwrap_or(port);
    Ok((Target { who, key, scheme, host, port, proxy: None, login: None }, path))
}

/// Asks for a file, from a position on. Words, where there is no answer.
pub async fn open(
    keyring: &mut Keyring,
    url: &str,
    proxy: Option<&ProxyConfig>,
    (who, key): (&'static str, &'static str),
    from: u64,
) -> Result<Coming, String> {
    let (mut target, path) = place_of(url, who, key)?;
    target.proxy = proxy.cloned();
    let secured = match target.scheme {
        "https://" => Some(keyring.secure(&target).map_err(|error| chain(&error))?),
        _ => None,
    };
    let (target, course) = (Arc::new(target), Arc::new(Course::default()));
    let route = Route { target: target.clone(), secured, course: course.clone() };
    match tokio::time::timeout(TIMEOUT, begin(route, &target, &path, from)).await {
        Ok(Ok(coming)) => Ok(coming),
        Ok(Err(words)) => Err(course.end().map_or(words, str::to_owned)),
        Err(_) => Err(format!("no answer within {} s, waiting for {}", TIMEOUT.as_secs(), course.stage())),
    }
}

async fn begin(route: Route, target: &Target, path: &str, from: u64) -> Result<Coming, String> {
    let (who, course) = (target.who, route.course.clone());
    let broken = |error: hyper::Error| format!("{who} broke it off: {}", chain(&error));
    let host = host_of(target);
    // Positions are those of the file, not of what somebody on the way packs it into.
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT_ENCODING, "identity");
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let wire = route.connect(NetworkOptions::new()).await.map_err(|error| error.to_string())?;
    let builder = http1::Builder::new().max_buf_size(AHEAD_BYTES_MAX).clone();
    let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await.map_err(broken)?;
    let mut connection = Box::pin(connection);
    let exchange = sender.send_request(request);
    tokio::pin!(exchange);
    let (response, connection) = tokio::select! {
        response = &mut exchange => (response.map_err(broken)?, Some(connection)),
        ended = &mut connection => {
            ended.map_err(broken)?;
            (exchange.await.map_err(broken)?, None)
        }
    };
    let (head, body) = response.into_parts();
    let (begin, location) = (begin_of(&head.headers), text_of(&head.headers, LOCATION));
    let date = text_of(&head.headers, DATE);
    Ok(Coming { status: head.status.as_u16(), begin, location, date, body, connection, who, course })
}

/// RFC 9112, section 3.2: as it stands in the address, without the port that goes without saying. Addresses that are signed
/// for a while are signed with it.
fn host_of(target: &Target) -> String {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    match (target.scheme, target.port) {
        ("https://", 443) | ("http://", 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

fn text_of(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// RFC 9110, section 14.4: `bytes 42-1233/1234`.
fn begin_of(headers: &HeaderMap) -> Option<u64> {
    let range = text_of(headers, CONTENT_RANGE)?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

impl Coming {
    /// The next bytes; none where there are no more. Words, where the rest does not come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match tokio::time::timeout(SILENCE_MAX, self.piece()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(words)) => Err(self.course.end().map_or(words, str::to_owned)),
            Err(_) => Err(format!("{} has sent nothing for {} s", self.who, SILENCE_MAX.as_secs())),
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        let who = self.who;
        let broken = |error: hyper::Error| format!("{who} broke it off: {}", chain(&error));
        loop {
            let frame = match &mut self.connection {
                None => self.body.frame().await,
                Some(connection) => tokio::select! {
                    frame = self.body.frame() => frame,
                    ended = connection => {
                        // What it has brought is still there to be read; what it has not is missed by the body.
                        self.connection = None;
                        ended.map_err(broken)?;
                        continue;
                    }
                },
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(frame)) => {
                    // Trailers say nothing to us.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_one_with_a_login_is_refused() {
        let place = |url: &str| {
            place_of(url, "the server", "url").map(|(target, path)| (target.scheme, target.host, target.port, path))
        };
        let of = |scheme, host: &str, port, path: &str| Ok((scheme, host.to_owned(), port, path.to_owned()));
        assert_eq!(place("https://a.example/b?c=d"), of("https://", "a.example", 443, "/b?c=d"));
        assert_eq!(place("http://[::1]:8080"), of("http://", "::1", 8080, "/"));
        let host = |url: &str| place_of(url, "the server", "url").map(|(target, _)| host_of(&target));
        assert_eq!(host("https://a.example/"), Ok("a.example".to_owned()));
        assert_eq!(host("http://[::1]:8080/"), Ok("[::1]:8080".to_owned()));
        for bad in ["", "ftp://a/b", "/b", "https://", "https://anna:secret@a.example/", "https://a b/"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
