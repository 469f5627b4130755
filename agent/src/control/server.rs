//! The socket's server: `GET /v1/status`,
//! `GET /v1/tail?instrument=&quantity=&quality=&events=&event=&since=&until=&n=&follow=`, `GET /v1/journal/stat`,
//! `GET /v1/journal/export?from=&to=&instrument=`, `GET /v1/journal/verify`, `POST /v1/replay?sink=&from=&to=`,
//! `GET /v1/sniff?bus=`, `GET /v1/sinks`, `POST /v1/sinks/retry?sink=`, `GET /v1/sinks/aside?sink=&n=`,
//! `POST /v1/sinks/aside/retry?sink=&n=`, `POST /v1/sinks/aside/drop?sink=&n=`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Probe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::journal::{JournalError, Reader};
use axum::body::{Body, Bytes};
use axum::extract::{Query as Params, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use model::{Seq, SinkId};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::accept;
use super::journal::{self, Export, Verify};
use super::replay::{self, ReplayError, Wanted};
use super::sinks::{self as told, SinksError};
use super::status::Status;
use super::tail::{self, Query, Tail};
use super::web;
use crate::acquire::tap::{Piece, Taps, Way};
use crate::clock::Clock;
use crate::config::InForce;
use crate::sinks::runner::replay::Asks;
use crate::telemetry::beats::Beats;
use crate::telemetry::health::{Health, Shown};

/// Readable and writable for owner and group, nobody else.
const SOCKET_MODE: u32 = 0o660;
/// How long open connections may take to finish at the end.
const END_LIMIT: Duration = Duration::from_millis(500);

/// What the server answers from.
#[derive(Clone)]
pub struct Answers {
    /// The configuration in force.
    pub config: InForce,
    /// Everything's health.
    pub health: Arc<Health>,
    /// The journal.
    pub reader: Reader,
    /// The durable head, for following.
    pub head: watch::Receiver<Seq>,
    /// The clocks.
    pub clock: Clock,
    /// When the agent started, by the boot's clock.
    pub started_ms: u64,
    /// The lines, to be listened in on.
    pub taps: Taps,
    /// The ways to ask sinks for a replay.
    pub replays: Arc<Shown<BTreeMap<SinkId, Asks>>>,
}

/// Serves on a thread of its own until told to stop. A socket that can not be made is said and done without: the
/// readings matter more than the questions.
pub fn start(answers: Answers, beats: Beats, stop: CancellationToken) -> io::Result<std::thread::JoinHandle<()>> {
    let path = answers.config.get().local.socket.clone();
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        if let Err(error) = serve(&path, answers, beats, &stop) {
            warn!(socket = %path.display(), %error, "no control socket: `status` and `tail` will not reach this agent");
        }
    })
}

fn serve(path: &Path, answers: Answers, beats: Beats, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = listen(path)?;
        let page = web::serve(answers.clone());
        let router = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/tail", get(tail))
            .route("/v1/journal/stat", get(stat))
            .route("/v1/journal/export", get(export))
            .route("/v1/journal/verify", get(verify))
            .route("/v1/replay", post(again))
            .route("/v1/sniff", get(sniff))
            .route("/v1/sinks", get(sinks))
            .route("/v1/sinks/retry", post(hurry))
            .route("/v1/sinks/aside", get(asides))
            .route("/v1/sinks/aside/retry", post(aside_again))
            .route("/v1/sinks/aside/drop", post(aside_drop))
            .with_state(answers);
        tokio::select! {
            () = accept::serve(listener, router) => Ok(()),
            never = page => match never {},
            () = beats.watched("control".to_owned(), std::future::pending()) => Ok(()),
            () = stop.cancelled() => Ok(()),
        }
    });
    runtime.shutdown_timeout(END_LIMIT);
    if let Err(error) = std::fs::remove_file(path) {
        warn!(socket = %path.display(), %error, "socket not removed");
    }
    served
}

/// A socket file that nobody answers on is one that a kill left behind.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if Probe::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

async fn status(State(answers): State<Answers>) -> Json<Status> {
    let Answers { config, health, reader, clock, started_ms, .. } = answers;
    Json(Status::read(&config.get(), &health, &reader, &clock, started_ms))
}

async fn tail(State(answers): State<Answers>, Params(query): Params<Query>) -> Response {
    let reader = &answers.reader;
    let mut past = match Tail::begin(reader, query) {
        Ok(past) => past,
        Err(error) => return refuse(&error),
    };
    // Until there is something to say: whether a name is wrong is known when nothing was found under it.
    let first = loop {
        match past.piece(reader) {
            Ok(Some(piece)) if piece.is_empty() => tokio::task::yield_now().await,
            Ok(found) => break found,
            Err(error) => return refuse(&error),
        }
    };
    if first.is_none()
        && let Some(wrong) = past.query().unknown(&answers.config.get())
    {
        return (StatusCode::NOT_FOUND, wrong).into_response();
    }
    let (query, next) = (past.query().clone(), past.end());
    let follower = Follower { answers, query, past: first.is_some().then_some(past), first, next };
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(stream::try_unfold(follower, follow))).into_response()
}

async fn stat(State(answers): State<Answers>) -> Response {
    match journal::stat(&answers.reader) {
        Ok(stat) => Json(stat).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Piece by piece, as fast as the other side takes them: memory is bounded by a piece.
async fn export(State(answers): State<Answers>, Params(export): Params<Export>) -> Response {
    let reader = answers.reader;
    let range = match export.range(&reader) {
        Ok(range) => range,
        Err(error) => return refuse(&error),
    };
    let pieces = stream::try_unfold((reader, export, range), |(reader, export, range)| async move {
        if range.is_empty() {
            return Ok::<_, JournalError>(None);
        }
        let (piece, rest) = export.piece(&reader, range)?;
        // Other questions are answered between two pieces.
        tokio::task::yield_now().await;
        Ok(Some((Bytes::from(piece), (reader, export, rest))))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

async fn verify(State(answers): State<Answers>) -> Response {
    let reader = answers.reader;
    let verify = Verify::of(&reader);
    let pieces = stream::try_unfold((reader, verify), |(reader, mut verify)| async move {
        let piece = verify.piece(&reader)?;
        tokio::task::yield_now().await;
        Ok::<_, JournalError>(piece.map(|piece| (Bytes::from(piece), (reader, verify))))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

/// What goes over a line, until who asked has gone.
async fn sniff(State(answers): State<Answers>, Params(line): Params<Line>) -> Response {
    let config = answers.config.get();
    let Some(bus) = config.buses.iter().find(|bus| bus.id.as_str() == line.bus) else {
        return (StatusCode::NOT_FOUND, format!("there is no bus \"{}\"", line.bus)).into_response();
    };
    let pieces = stream::unfold(answers.taps.listen(bus.id.clone()), |mut heard| async move {
        let Piece { at, way, bytes } = heard.recv().await?;
        let way = if way == Way::In { "in" } else { "out" };
        let told = serde_json::json!({"time": at.time, "way": way, "hex": hex::encode(bytes)});
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("{told}\n"))), heard))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

/// Which line.
#[derive(serde::Deserialize)]
struct Line {
    bus: String,
}

async fn again(State(answers): State<Answers>, Params(wanted): Params<Wanted>) -> Response {
    match replay::replay(&wanted, &answers.reader, &answers.replays.get()).await {
        Ok(replayed) => Json(replayed).into_response(),
        Err(error @ ReplayError::NoSink(_)) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
        Err(error) => (StatusCode::CONFLICT, error.to_string()).into_response(),
    }
}

async fn sinks(State(answers): State<Answers>) -> Json<Value> {
    let Answers { config, health, reader, clock, started_ms, .. } = answers;
    Json(told::sinks(&Status::read(&config.get(), &health, &reader, &clock, started_ms), &health))
}

async fn hurry(State(answers): State<Answers>, Params(wanted): Params<told::Wanted>) -> Response {
    done(told::hurry(&wanted, &answers.replays.get()).await)
}

async fn asides(State(answers): State<Answers>, Params(wanted): Params<told::Wanted>) -> Response {
    done(told::asides(&wanted, &answers.config.get().journal.path, &answers.reader, &answers.replays.get()))
}

async fn aside_again(State(answers): State<Answers>, Params(wanted): Params<told::Wanted>) -> Response {
    let journal = answers.config.get().journal.path.clone();
    done(told::again(&wanted, &journal, &answers.reader, &answers.replays.get()).await)
}

async fn aside_drop(State(answers): State<Answers>, Params(wanted): Params<told::Wanted>) -> Response {
    let journal = answers.config.get().journal.path.clone();
    done(told::drop_asides(&wanted, &journal, &answers.replays.get()).await)
}

fn done(done: Result<Value, SinksError>) -> Response {
    let code = match done {
        Ok(value) => return Json(value).into_response(),
        Err(SinksError::NoSink(_) | SinksError::NoBatch { .. }) => StatusCode::NOT_FOUND,
        Err(SinksError::Journal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::CONFLICT,
    };
    (code, done.err().map(|error| error.to_string()).unwrap_or_default()).into_response()
}

fn refuse(error: &JournalError) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

struct Follower {
    answers: Answers,
    query: Query,
    first: Option<Vec<u8>>,
    /// What is there already, until it has been told.
    past: Option<Tail>,
    next: Seq,
}

/// The next piece of a tail: what is there already, and where it is followed, what comes. Waits for the head to move where
/// there is none.
async fn follow(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, JournalError> {
    if let Some(first) = follower.first.take() {
        return Ok(Some((Bytes::from(first), follower)));
    }
    while let Some(past) = &mut follower.past {
        match past.piece(&follower.answers.reader)? {
            Some(piece) if piece.is_empty() => tokio::task::yield_now().await,
            Some(piece) => return Ok(Some((Bytes::from(piece), follower))),
            None => follower.past = None,
        }
    }
    if !follower.query.follow {
        return Ok(None);
    }
    loop {
        let (piece, next) = tail::since(&follower.answers.reader, &follower.query, follower.next)?;
        let is_moved = next > follower.next;
        follower.next = next;
        if !piece.is_empty() {
            return Ok(Some((Bytes::from(piece), follower)));
        }
        if !is_moved && follower.answers.head.changed().await.is_err() {
            return Ok(None); // The writer is gone: nothing will come.
        }
    }
}
