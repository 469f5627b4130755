//! `tidegate run`: the daemon.
//!
//! Runs until SIGTERM or SIGINT and ends within ten seconds; a kill at any instant is as good, but for what was not
//! yet durable. Under systemd it says when it is ready (`Type=notify`),
//! and that all its tasks are alive (`WatchdogSec=`). A missing port, broker or store is waited for.

use std::convert::Infallible;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, error, info, warn};

use super::Exit;
use crate::config::Config;
use crate::run::{Agent, RunError};
use crate::telemetry::beats::Beats;
use crate::telemetry::logs::chain;

/// Threads of the main runtime: the boards have two or more cores, and one wedged task leaves the other.
const RUNTIME_THREADS: usize = 2;

pub fn main(config: &Arc<Config>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    let ended = runtime.block_on(serve(config));
    // Nothing is waited for any more: what could be lost is on disk.
    runtime.shutdown_background();
    Ok(ended.map(|()| Exit::Fine)?)
}

async fn serve(config: &Arc<Config>) -> Result<(), RunError> {
    let beats = sd_notify::watchdog_enabled().map_or_else(Beats::default, Beats::within);
    let mut agent = Agent::start(config, false, &beats)?;
    notify(NotifyState::Ready);
    tokio::select! {
        error = agent.failed() => {
            error!(error = chain(&error), "ending, the next start recovers");
            return Err(error);
        }
        signal = asked_to_end() => info!(signal, "ending"),
        never = feed_watchdog(&beats) => match never {},
    }
    notify(NotifyState::Stopping);
    agent.stop().await
}

/// Tells the service manager that all is alive, as long as it is. What hangs is named once, and the watchdog ends it.
async fn feed_watchdog(beats: &Beats) -> Infallible {
    let Some(every) = beats.look_every() else { return std::future::pending().await };
    let mut named = Vec::new();
    loop {
        tokio::time::sleep(every).await;
        let silent = beats.silent();
        if silent.is_empty() {
            notify(NotifyState::Watchdog);
        } else if silent != named {
            error!(tasks = silent.join(", "), "no beat, the watchdog is not fed");
        }
        named = silent;
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        debug!(%error, "no service manager told");
    }
}

async fn asked_to_end() -> &'static str {
    let listen = |kind| signal(kind).expect("the kernel takes handlers for these signals");
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    let mut hangup = listen(SignalKind::hangup());
    loop {
        tokio::select! {
            _ = term.recv() => return "SIGTERM",
            _ = int.recv() => return "SIGINT",
            _ = hangup.recv() => warn!("reloading is not there yet in this version: restart to apply a configuration"),
        }
    }
}
