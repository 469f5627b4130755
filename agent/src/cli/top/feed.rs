//! What comes from the agent: its status once a second, what the journal has of before, the bytes of a line that is looked at.
//!
//! Each asks again for ever: an agent that goes away comes back.

use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use model::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::model::{Frame, Row};
use crate::control::client::{self, ClientError};
use crate::control::status::Status;
use crate::control::tail::Query;

/// How often the agent is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may think about it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest line that is taken from it.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What has come.
#[derive(Debug)]
pub enum News {
    /// How it is.
    Status(Box<Status>),
    /// It did not say; why.
    Away(String),
    /// What was before.
    Past(Vec<Row>),
    /// What goes over the line that is looked at.
    Frame(Frame),
    /// What could not be had beside the status.
    Note(String),
}

/// What somebody who watches wants beside the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The bytes of this line.
    pub bus: Option<String>,
    /// What an instrument was before: its name, and the time of its last reading.
    pub past: Option<Past>,
}

/// What was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Of one instrument; none: of all.
    pub instrument: Option<String>,
    /// From then on.
    pub since: Timestamp,
    /// Up to then.
    pub until: Timestamp,
    /// The last so many.
    pub n: usize,
}

/// Asks for the status, once.
pub async fn status(socket: &Path) -> Result<Status, anyhow::Error> {
    let asked = async {
        let body = client::get(socket, "/v1/status").await?.into_body();
        Ok::<_, ClientError>(body.collect().await?.to_bytes())
    };
    let body = timeout(ANSWER_WITHIN, asked).await.map_err(|_| anyhow::anyhow!("no answer within 5 s"))??;
    Ok(serde_json::from_slice(&body)?)
}

/// Asks for all of it, until it is dropped.
pub async fn run(socket: &Path, wants: watch::Receiver<Wants>, news: mpsc::Sender<News>) {
    tokio::join!(statuses(socket, &news), pasts(socket, wants.clone(), &news), frames(socket, wants, &news));
}

async fn statuses(socket: &Path, news: &mpsc::Sender<News>) {
    let mut every = interval(ASK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let heard = match status(socket).await {
            Ok(status) => News::Status(Box::new(status)),
            Err(error) => News::Away(format!("{error:#}")),
        };
        if news.send(heard).await.is_err() {
            return;
        }
    }
}

async fn pasts(socket: &Path, mut wants: watch::Receiver<Wants>, news: &mpsc::Sender<News>) {
    let mut had = None;
    loop {
        let wanted = wants.borrow_and_update().past.clone();
        if let Some(past) = wanted.as_ref().filter(|_| wanted != had) {
            let told = match timeout(ANSWER_WITHIN, rows(socket, past)).await {
                Ok(Ok(rows)) => News::Past(rows),
                Ok(Err(error)) => News::Note(format!("the journal does not say what was before: {error:#}")),
                Err(_) => News::Note("the journal does not say within 5 s what was before".to_owned()),
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
        had = wanted;
        if wants.changed().await.is_err() {
            return;
        }
    }
}

async fn rows(socket: &Path, past: &Past) -> Result<Vec<Row>, anyhow::Error> {
    let query = Query {
        instrument: past.instrument.iter().cloned().collect(),
        since: Some(past.since),
        until: Some(past.until),
        n: Some(past.n),
        ..Query::default()
    };
    let mut lines = Lines::of(client::get(socket, &query.path()).await?);
    let mut rows = Vec::new();
    while let Some(row) = lines.next().await? {
        rows.push(row);
    }
    Ok(rows)
}

/// A piece of a line as the agent tells it.
#[derive(Deserialize)]
struct Told {
    time: Timestamp,
    way: String,
    hex: String,
}

async fn frames(socket: &Path, mut wants: watch::Receiver<Wants>, news: &mpsc::Sender<News>) {
    loop {
        let wanted = wants.borrow_and_update().bus.clone();
        let Some(bus) = &wanted else {
            if wants.changed().await.is_err() {
                return;
            }
            continue;
        };
        let is_other = async { while wants.changed().await.is_ok() && wants.borrow_and_update().bus == wanted {} };
        tokio::select! {
            () = is_other => {}
            () = listen(socket, bus, news) => {}
        }
    }
}

/// Listens to a line; where that ends, again a second later.
async fn listen(socket: &Path, bus: &str, news: &mpsc::Sender<News>) {
    loop {
        let heard = async {
            let mut lines = Lines::of(client::get(socket, &format!("/v1/sniff?bus={bus}")).await?);
            while let Some(Told { time, way, hex }) = lines.next().await? {
                let frame = Frame { time, is_in: way == "in", bytes: hex::decode(hex)? };
                news.send(News::Frame(frame)).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        // An agent that is away is said by its status.
        if let Err(error) = heard.await
            && matches!(error.downcast_ref(), Some(ClientError::Refused { .. }))
            && news.send(News::Note(format!("{bus} can not be listened to: {error:#}"))).await.is_err()
        {
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

/// Lines of JSON as they come, in whatever pieces.
struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    fn of(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), rest: Vec::new() }
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, anyhow::Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            anyhow::ensure!(self.rest.len() <= LINE_BYTES_MAX, "a line without an end");
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}
