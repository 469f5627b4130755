//! One connection to a broker for somebody who looks: how far it comes, and what it ended at. Made like the link's own, from
//! the same files and in the same words; nothing is said of the device, and no attempt is repeated but in the other version
//! of MQTT.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::SinkId;
use rumqttc::NetworkOptions;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use super::connect::Stage;
use super::ears::Ears;
use super::session::{End, Pipe, Session};
use super::version::Version;
use super::{Message, Presence, Roads};
use crate::clock::Clock;
use crate::config::MqttConfig;
use crate::telemetry::health::{SinkHealth, TlsHealth};
use crate::telemetry::logs::chain;

/// MQTT 5, and 3.1.1 where the broker does not answer to that.
const ATTEMPTS: usize = 2;
/// What is published; who listens to everything sees what it was.
const PAYLOAD: &[u8] = b"{\"from\":\"tidegate doctor\"}";
/// How long the message may take on its way back, once the broker has it.
const ECHO_LIMIT: Duration = Duration::from_secs(2);

/// What is done once there is a connection.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// MQTT client id. Nobody else may be connected as this.
    pub client_id: &'a str,
    /// What is published to.
    pub topic: &'a str,
    /// Whether it is listened to, too. There are brokers that close the connection over a topic that they forbid.
    pub listens: bool,
}

/// What a visit found.
#[derive(Debug, Clone)]
pub struct Visit {
    /// What it ended at, and why; none: all was done.
    pub ended: Option<(Stage, String)>,
    /// How it was secured, as far as it came.
    pub tls: Option<TlsHealth>,
    /// The version that the broker took.
    pub protocol: Option<&'static str>,
    /// Whether what was published came back.
    pub is_echoed: bool,
}

/// Connects and, with an errand, logs in and publishes to itself. Each attempt may take `limit`.
pub async fn visit(config: &MqttConfig, errand: Option<Errand<'_>>, clock: &Clock, limit: Duration) -> Visit {
    let id = SinkId::try_new("visit").expect("a name");
    let health = Arc::new(SinkHealth::new(id, "mqtt"));
    let mut roads = Roads::new(config.clone(), health.clone(), clock.clone(), Ears::default());
    let done = match errand {
        None => look(&mut roads, limit).await.map(|()| false),
        Some(errand) => enter(&mut roads, errand, limit).await,
    };
    let (ended, is_echoed) = match done {
        Ok(is_echoed) => (None, is_echoed),
        Err(ended) => (Some(ended), false),
    };
    Visit { ended, tls: health.tls.get(), protocol: health.protocol.get(), is_echoed }
}

/// As far as TLS.
async fn look(roads: &mut Roads, limit: Duration) -> Result<(), (Stage, String)> {
    let route = roads.route().map_err(|error| (Stage::Files, chain(&error)))?;
    let course = route.course.clone();
    match timeout(limit, route.connect(NetworkOptions::new())).await {
        Ok(Ok(_wire)) => Ok(()),
        Ok(Err(error)) => Err((course.ended_at(), error.to_string())),
        Err(_) => Err((course.ended_at(), slow(limit, &course.stage()))),
    }
}

async fn enter(roads: &mut Roads, errand: Errand<'_>, limit: Duration) -> Result<bool, (Stage, String)> {
    let mut first = None;
    for _ in 0..ATTEMPTS {
        let version = roads.versions.next();
        match once(roads, version, errand, limit).await {
            Ok(is_echoed) => return Ok(is_echoed),
            // What the version that we would rather speak ended at says more.
            Err(ended) => first = first.or(Some(ended)),
        }
        if roads.versions.next() == version {
            break;
        }
    }
    Err(first.expect("an attempt was made"))
}

async fn once(
    roads: &mut Roads,
    version: Version,
    errand: Errand<'_>,
    limit: Duration,
) -> Result<bool, (Stage, String)> {
    let presence = Presence::unsaid(errand.client_id.to_owned());
    let route = roads.route().map_err(|error| (Stage::Files, chain(&error)))?;
    let course = route.course.clone();
    let opened = Session::open(route, version, (&presence, &roads.ears), false, roads.config.keepalive);
    let mut session = opened.map_err(|error| (Stage::Files, chain(&error)))?;
    let (pipe, held) = watch::channel(None);
    let stop = CancellationToken::new();
    let ended = {
        let mut driven = pin!(session.drive(&stop, pending(), || &pipe));
        let talked = talk(held.clone(), &roads.ears, errand);
        tokio::select! {
            end = &mut driven => words(end),
            () = sleep(limit) => slow(limit, &course.stage()),
            talked = talked => {
                // In good order: the broker is told that we go.
                stop.cancel();
                driven.await;
                roads.health.protocol.set(Some(version.as_str()));
                return talked.map_err(|words| (Stage::Publish, words));
            }
        }
    };
    if held.borrow().is_some() {
        roads.health.protocol.set(Some(version.as_str()));
        return Err((Stage::Publish, ended));
    }
    roads.versions.learn(course.answer());
    Err((course.ended_at(), ended))
}

/// Publishes; whether it came back.
async fn talk(mut held: watch::Receiver<Option<Pipe>>, ears: &Ears, errand: Errand<'_>) -> Result<bool, String> {
    let pipe = held.wait_for(Option::is_some).await.map(|held| held.clone());
    let Ok(Some(pipe)) = pipe else { return pending().await };
    let topics = vec![errand.topic.to_owned()];
    let mut heard = ears.open(topics.clone());
    // A device need not be allowed to listen.
    let is_listening = errand.listens && pipe.subscribe(&topics).await.is_ok();
    let message =
        Message { topic: errand.topic.to_owned(), payload: Bytes::from_static(PAYLOAD), ..Message::default() };
    let Some(sent) = pipe.send(&message).await else { return pending().await };
    sent.confirmed().await.map_err(|error| error.to_string())?;
    Ok(is_listening && timeout(ECHO_LIMIT, heard.recv()).await.is_ok_and(|heard| heard.is_some()))
}

fn slow(limit: Duration, stage: &str) -> String {
    format!("no answer within {} s: waited for {stage}", limit.as_secs())
}

fn words(end: End) -> String {
    match end {
        End::Stopping | End::Renewed => "it was ended".to_owned(),
        End::Unheard(words) | End::Broken(words) | End::HungUp(words) | End::Silent(words) => words,
        End::Disliked(reason) => format!("the broker closed the connection over what was sent: {reason}"),
        End::TakenOver => "another client connects with the same id (0x8E)".to_owned(),
    }
}
