//! The CLI's side of the socket: one request, one answer, read as it comes.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no agent answers on {socket}")]
    NotReached {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer broke off or made no sense.
    #[error("the agent's answer broke off")]
    Broken(#[from] hyper::Error),
    /// The agent said no.
    #[error("the agent answers {status}: {text}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
}

/// Asks the agent on `socket` for `path` (with query).
pub async fn get(socket: &Path, path: &str) -> Result<Response<Incoming>, ClientError> {
    ask(socket, Method::GET, path).await.map(|(response, _)| response)
}

/// The same, and which process has answered, by the kernel's word.
pub async fn get_and_who(socket: &Path, path: &str) -> Result<(Response<Incoming>, Option<i32>), ClientError> {
    ask(socket, Method::GET, path).await
}

/// Tells the agent on `socket` to do what `path` (with query) says.
pub async fn post(socket: &Path, path: &str) -> Result<Response<Incoming>, ClientError> {
    ask(socket, Method::POST, path).await.map(|(response, _)| response)
}

async fn ask(socket: &Path, method: Method, path: &str) -> Result<(Response<Incoming>, Option<i32>), ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ClientError::NotReached { socket: socket.to_path_buf(), source })?;
    let who = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    #[expect(clippy::disallowed_methods, reason = "the CLI has no supervisor; this ends with the connection")]
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "tidegate")
        .body(Empty::<Bytes>::new())
        .expect("paths are made by the CLI from checked parts");
    let response = sender.send_request(request).await?;
    if response.status() == StatusCode::OK {
        return Ok((response, who));
    }
    let status = response.status();
    let text = String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned();
    Err(ClientError::Refused { status, text })
}
