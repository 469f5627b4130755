//! Asking a server one question by HTTPS with keys of ours (mutual TLS): a connection, a request, an answer, an end.
//!
//! What is asked this way is asked once in an hour, so no connection is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::header::{DATE, HOST};
use hyper_util::rt::TokioIo;
use rumqttc::NetworkOptions;

pub use super::connect::Target;
use super::connect::{Course, Route};
pub use super::tls::Keyring;
use crate::telemetry::logs::chain;

/// How long it may take, from the name to the last byte: a satellite link with packet loss needs it.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

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
