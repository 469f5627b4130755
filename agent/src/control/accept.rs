//! Connections taken in, as many as there is room for: what one of them does costs the others nothing.
//!
//! Who says nothing is hung up on, who comes when all places are taken waits for one, and where too many wait, is told so. Memory and
//! descriptors are the agent's: what reads the instruments must never lack them because somebody asks.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

/// Connections that are served at a time.
const SERVED_MAX: usize = 64;
/// Connections that are open at a time: those that are served, and as many that wait.
const OPEN_MAX: usize = 2 * SERVED_MAX;
/// How long a request's head may take, also the next one's on a connection that stays.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long one waits for a place: those who say nothing have gone by then.
const PLACE_WITHIN: Duration = Duration::from_secs(6);
/// What a request's head may hold; hyper keeps no more of what was not read yet.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What is said where there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 53\r\n\r\n\
    too many connections are open: ask again in a moment\n";

/// Serves what comes, until it is dropped.
pub async fn serve<L: Listener>(mut listener: L, router: Router) {
    let (places, mut open) = (Arc::new(Semaphore::new(SERVED_MAX)), JoinSet::new());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        if open.len() >= OPEN_MAX {
            // No task for it, or there were no limit; a few bytes go into an empty buffer at once.
            refuse(stream).await;
            continue;
        }
        let (places, router) = (places.clone(), router.clone());
        open.spawn(async move {
            match timeout(PLACE_WITHIN, places.acquire_owned()).await {
                Ok(_place) => answer(stream, router).await,
                Err(_) => refuse(stream).await,
            }
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await {
        debug!(%error, "a connection broke off");
    }
}

async fn refuse(mut stream: impl AsyncWrite + Unpin) {
    if let Err(error) = stream.write_all(FULL).await {
        debug!(%error, "nobody hears that there is no place");
    }
}
