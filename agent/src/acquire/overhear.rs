//! Listening to a port that nobody has: its bytes as they come. Nothing is ever written to it.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::port;
use crate::config::BusConfig;

const READ_BYTES_MAX: usize = 4096;

/// Hands on what comes in within `limit`, piece by piece, until the port fails or `see` does.
pub async fn overhear(
    bus: &BusConfig,
    limit: Duration,
    mut see: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut port = port::open(bus)?;
    let until = Instant::now() + limit;
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        match timeout_at(until, port.read(&mut buffer)).await {
            Err(_over) => return Ok(()),
            Ok(Ok(0)) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the port was closed")),
            Ok(Ok(count)) => see(&buffer[..count])?,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}
