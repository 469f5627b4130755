//! `tidegate run`: the daemon.
//!
//! Runs until SIGTERM or SIGINT and ends within ten seconds; a kill at any instant is as good, but for what was not
//! yet durable. Under systemd it says when it is ready (`Type=notify`),
//! and that all its tasks are alive (`WatchdogSec=`). A missing port, broker or store is waited for.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use journal::JournalError;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Exit;
use crate::config::{self, Config, Layers};
use crate::remote::{self, Afar, Request};
use crate::run::{Agent, RunError};
use crate::telemetry::beats::Beats;
use crate::telemetry::logs::chain;

/// Threads of the main runtime: the boards have two or more cores, and one wedged task leaves the other.
const RUNTIME_THREADS: usize = 2;

/// How long a journal that is in use is waited for, and how often it is tried.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(100);

/// What may be asked of the agent at once.
const REQUESTS_MAX: usize = 4;

pub fn main(layers: &Layers) -> anyhow::Result<Exit> {
    let config = Arc::new(remote::begin(layers)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    let ended = runtime.block_on(serve(layers, config));
    // Nothing is waited for any more: what could be lost is on disk.
    runtime.shutdown_background();
    match ended? {
        None => Ok(Exit::Fine),
        Some(error) => Err(error).context("start anew"),
    }
}

/// What comes after an orderly end.
enum Next {
    Nothing,
    /// The same process, with this.
    Configuration(Arc<Config>),
    /// Another, in this one's place.
    Process,
}

/// This program again, as it lies on the disk now, in this process: also where no service manager would start it. Comes
/// back only where that can not be done.
fn start_anew() -> io::Error {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| "tidegate".into());
    std::process::Command::new(program).args(words).exec()
}

/// Asks for a start of the board: a file that somebody who may do it watches for (`tidegate-reboot.path`).
fn reboot(journal: &Path) {
    let asked = std::fs::write(journal.join("remote").join("reboot"), "told from afar\n");
    match asked {
        Ok(()) => warn!("told from afar to start the board anew, asked for it"),
        Err(error) => error!(%error, "the start of the board can not be asked for"),
    }
}

/// Runs the agent, and anew with another configuration where that can not be exchanged under way.
async fn serve(layers: &Layers, mut config: Arc<Config>) -> Result<Option<io::Error>, RunError> {
    let beats = sd_notify::watchdog_enabled().map_or_else(Beats::default, Beats::within);
    let mut signals = Signals::listen();
    loop {
        let (mut agent, mut asked) = start(layers, &config, &beats).await?;
        notify(NotifyState::Ready);
        let next = loop {
            let (wanted, done) = tokio::select! {
                error = agent.failed() => {
                    error!(error = chain(&error), "ending, the next start recovers");
                    return Err(error);
                }
                signal = signals.next() => match signal {
                    Asked::End(signal) => {
                        info!(signal, "ending");
                        break Next::Nothing;
                    }
                    Asked::Reload => match reload(layers) {
                        Some(config) => (config, None),
                        None => continue,
                    },
                },
                Some(request) = asked.recv() => match request {
                    Request::Apply(config, done) => (config, Some(done)),
                    Request::Restart => {
                        info!("told from afar to start anew");
                        break Next::Process;
                    }
                    Request::Reboot => {
                        reboot(&config.journal.path);
                        continue;
                    }
                },
                never = feed_watchdog(&beats) => match never {},
            };
            if !agent.apply(&wanted).await {
                info!("this configuration needs all parts to start anew");
                break Next::Configuration(wanted);
            }
            if done.is_some_and(|done| done.send(()).is_err()) {
                debug!("nobody waits for the configuration any more");
            }
        };
        // What starts anew in this process has never gone, as far as the service manager is concerned.
        if matches!(next, Next::Nothing) {
            notify(NotifyState::Stopping);
        }
        agent.stop().await?;
        match next {
            Next::Configuration(wanted) => config = wanted,
            Next::Process => return Ok(Some(start_anew())),
            Next::Nothing => return Ok(None),
        }
    }
}

/// Starts the agent. A journal that is in use is waited for: somebody who looks at one that nobody writes holds it for a
/// moment, and a start must not fail over that.
async fn start(
    layers: &Layers,
    config: &Arc<Config>,
    beats: &Beats,
) -> Result<(Agent, mpsc::Receiver<Request>), RunError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let afar = Afar::new(layers.clone(), requests);
        match Agent::start(config, false, beats, Some(afar)) {
            Err(RunError::Journal(JournalError::Locked { .. })) if Instant::now() < until => {
                tokio::time::sleep(LOCK_LOOK_EVERY).await;
            }
            started => return Ok((started?, asked)),
        }
    }
}

/// The configuration as it stands on the device now; what is wrong with it is said, and the one in force stays.
fn reload(layers: &Layers) -> Option<Arc<Config>> {
    match config::load(layers) {
        Ok(config) => Some(Arc::new(config)),
        Err(error) => {
            error!("{}", error.render(false));
            error!("the configuration is wrong, the one in force stays");
            None
        }
    }
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

/// What a signal asks for.
enum Asked {
    End(&'static str),
    Reload,
}

struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Self {
        let listen = |kind| signal(kind).expect("the kernel takes handlers for these signals");
        Self {
            term: listen(SignalKind::terminate()),
            int: listen(SignalKind::interrupt()),
            hangup: listen(SignalKind::hangup()),
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::End("SIGTERM"),
            _ = self.int.recv() => Asked::End("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
