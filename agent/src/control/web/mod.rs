//! The local web page, with `/metrics` and `/healthz`: off unless `[local] web` says where, and nothing can be changed by it.
//!
//! | path | |
//! |---|---|
//! | `/`, `/page.css`, `/page.js` | the page; says nothing of the device and needs no token |
//! | `/v1/status` | what `status --json` prints |
//! | `/v1/page` | the same, with the verdicts on it and the device's time |
//! | `/v1/history?hours=24` | the last hours in steps, for charts |
//! | `/metrics` | `OpenMetrics` |
//! | `/healthz` | 200, or 503 with the names of the checks that fail |
//!
//! Everything that a stranger can make it spend has a limit: connections, bytes of a request, time to send one, time to take
//! an answer, time between two. A port that can not be had is tried again for ever; the readings never wait for any of it.

mod exposition;
mod guard;
mod history;
mod page;
mod patient;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::check::{self, Check, Verdict};
use super::server::Answers;
use super::status::Status;
use crate::config::WebConfig;
use crate::config::local::TokenError;
use crate::telemetry::metrics;
use guard::{Guard, Refusal};
use history::{HOURS_MAX, History};
use page::Answer;
use patient::Patient;

/// Connections at once: a browser has six, a scraper one. Whoever comes then is told to come again.
const CONNECTIONS_MAX: usize = 32;
/// Bytes of a request's head, and of what is read ahead.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Its lines.
const HEAD_LINES_MAX: usize = 64;
/// How long a head may take to come, and how long nothing may come between two.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may wait for somebody to take more of it.
const TAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long until a port that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// The same after a connection could not be taken: no descriptors, most likely.
const BREATH: Duration = Duration::from_secs(1);
/// What is said to those who are too many.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum WebError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("can not listen")]
    Port(#[from] io::Error),
}

struct Site {
    answers: Answers,
    guard: Guard,
    history: History,
}

/// Serves where the configuration wants it, for ever; where it does not, waits for ever.
pub async fn serve(answers: Answers) -> Infallible {
    let Some(web) = answers.config.get().local.web.clone() else { return std::future::pending().await };
    let mut said = String::new();
    let (listener, guard) = loop {
        match open(&web).await {
            Ok(open) => break open,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                if error != said {
                    warn!(address = %web.listen, error, "no web page, tried again every {} s", RETRY.as_secs());
                    said = error;
                }
            }
        }
        sleep(RETRY).await;
    };
    info!(address = %web.listen, "web page");
    accept(&listener, &Arc::new(Site { answers, guard, history: History::default() })).await
}

async fn open(web: &WebConfig) -> Result<(TcpListener, Guard), WebError> {
    let guard = Guard::new(web)?;
    Ok((TcpListener::bind(web.listen).await?, guard))
}

async fn accept(listener: &TcpListener, site: &Arc<Site>) -> Infallible {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = open.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "a connection of the web page ended badly");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if open.len() < CONNECTIONS_MAX => {
                    open.spawn(converse(stream, site.clone()));
                }
                Ok((stream, from)) => {
                    // It fits into any fresh socket's buffer, or whoever it is for has gone.
                    let told = stream.try_write(FULL);
                    debug!(%from, is_told = told.is_ok(), "too many connections to the web page");
                }
                Err(error) => {
                    warn!(%error, "a connection to the web page could not be taken");
                    sleep(BREATH).await;
                }
            },
        }
    }
}

/// One connection, until one of both is done with it.
async fn converse(stream: TcpStream, site: Arc<Site>) {
    let Ok(local) = stream.local_addr() else { return };
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(answer(&site, &request, local.ip()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_LINES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, TAKE_LIMIT)), service);
    if let Err(error) = served.await {
        debug!(%error, "a connection to the web page broke off");
    }
}

async fn answer(site: &Site, request: &Request<Incoming>, local: IpAddr) -> Answer {
    if let Err(refusal) = site.guard.admits(request, local) {
        return refuse(refusal);
    }
    let path = request.uri().path();
    if let Some(file) = page::file(path) {
        return file;
    }
    if let Err(refusal) = site.guard.knows(request.headers()) {
        return refuse(refusal);
    }
    match path {
        "/v1/status" => page::json(StatusCode::OK, serde_json::to_vec(&site.status()).expect("plain data")),
        "/v1/page" => site.live(),
        "/v1/history" => site.past(request.uri().query()).await,
        "/metrics" => site.metrics(),
        "/healthz" => site.health(),
        _ => page::words(StatusCode::NOT_FOUND, "there is nothing of that name\n"),
    }
}

fn refuse(refusal: Refusal) -> Answer {
    let mut answer = page::words(refusal.status(), refusal.words());
    let more = match refusal {
        Refusal::Method => (header::ALLOW, "GET, HEAD"),
        Refusal::Token => (header::WWW_AUTHENTICATE, "Bearer realm=\"tidegate\""),
        Refusal::Host => return answer,
    };
    answer.headers_mut().insert(more.0, HeaderValue::from_static(more.1));
    answer
}

impl Site {
    fn status(&self) -> Status {
        let Answers { config, health, reader, clock, started_ms, .. } = &self.answers;
        Status::read(&config.get(), health, reader, clock, *started_ms)
    }

    fn live(&self) -> Answer {
        let status = self.status();
        let now_ms = self.answers.clock.now().as_millis();
        let told = json!({"now_ms": now_ms, "checks": check::of_status(&status), "status": status});
        page::json(StatusCode::OK, told.to_string())
    }

    async fn past(&self, query: Option<&str>) -> Answer {
        let asked = query.unwrap_or_default().split('&').find_map(|part| part.strip_prefix("hours="));
        let hours = match asked.map(str::parse::<i64>) {
            None => HOURS_MAX,
            Some(Ok(hours)) if (1..=HOURS_MAX).contains(&hours) => hours,
            Some(_) => return page::words(StatusCode::BAD_REQUEST, "hours is a whole number from 1 to 24\n"),
        };
        let Answers { config, reader, clock, .. } = &self.answers;
        match self.history.of(reader.clone(), clock.clone(), config.get(), hours).await {
            Ok(told) => page::json(StatusCode::OK, told),
            Err(error) => {
                debug!(%error, "the journal can not be read for the web page");
                page::words(StatusCode::SERVICE_UNAVAILABLE, "the journal can not be read now\n")
            }
        }
    }

    fn metrics(&self) -> Answer {
        let status = self.status();
        let (checks, now) = (check::of_status(&status), self.answers.clock.now());
        let text = exposition::text(&status, &checks, &self.answers.health, now);
        page::answer(StatusCode::OK, metrics::CONTENT_TYPE, text)
    }

    /// Names only: who asks for this may be a machine on the way.
    fn health(&self) -> Answer {
        let checks = check::of_status(&self.status());
        let worst = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        let name = |check: &Check| match &check.of {
            Some(of) => format!("{}:{of}", check.check),
            None => check.check.clone(),
        };
        let faults: Vec<String> = checks.iter().filter(|check| check.verdict == Verdict::Fault).map(name).collect();
        let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        page::json(status, format!("{}\n", json!({"status": worst.as_str(), "faults": faults})))
    }
}
