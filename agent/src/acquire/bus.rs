//! The task of one serial line: opens its port, listens, and opens it again for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::{Event, EventKind, Record};
use tokio::io::AsyncReadExt;
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::emit::Emitter;
use super::port;
use super::station::Station;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::BusConfig;
use crate::record::Inbox;
use crate::telemetry::health::{InstrumentHealth, PortState};

/// First and longest wait before a port is tried again: a technician who plugs a cable back in is watching.
const REOPEN_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Bytes taken from the port at once; the kernel's own buffer is as large.
const READ_BYTES_MAX: usize = 4096;

/// A line that says nothing for so long after it was opened is between two frames: 50 characters at 9600 baud.
const QUIET_AFTER_OPEN: Duration = Duration::from_millis(50);

/// One serial line and its instruments.
pub struct Bus {
    config: BusConfig,
    stations: Vec<Station>,
    emitter: Emitter,
    clock: Clock,
    /// Whether the instruments were last said to be down.
    is_said_down: bool,
}

impl Bus {
    /// A bus whose instruments' health is found in `health`.
    pub fn new(config: BusConfig, health: &[Arc<InstrumentHealth>], inbox: Inbox, clock: Clock) -> Self {
        let stations = config
            .instruments
            .iter()
            .filter_map(|instrument| {
                let health = health.iter().find(|health| health.id == instrument.id)?;
                Some(Station::new(instrument.clone(), health.clone()))
            })
            .collect();
        Self { config, stations, emitter: Emitter::new(inbox, clock.clone()), clock, is_said_down: false }
    }

    /// Listens until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let stopped = stop.clone().cancelled_owned();
        tokio::select! {
            () = stopped => self.set_port(PortState::Closed),
            () = self.listen_for_ever() => {}
        }
    }

    async fn listen_for_ever(&mut self) {
        let mut backoff = Backoff::new(REOPEN_WAITS.0, REOPEN_WAITS.1);
        loop {
            let error = match port::open(&self.config) {
                Ok(mut port) => {
                    backoff.reset();
                    self.say_up();
                    self.listen(&mut port).await
                }
                Err(error) => error,
            };
            self.say_down(&error);
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Reads until the port fails.
    async fn listen(&mut self, port: &mut SerialStream) -> io::Error {
        let mut buffer = vec![0; READ_BYTES_MAX];
        for station in &mut self.stations {
            station.reset();
        }
        let mut is_first = true;
        loop {
            let read = if is_first {
                tokio::time::timeout(QUIET_AFTER_OPEN, port.read(&mut buffer)).await
            } else {
                Ok(port.read(&mut buffer).await)
            };
            match read {
                Err(_quiet) => {}
                Ok(Ok(0)) => return io::Error::new(io::ErrorKind::UnexpectedEof, "the port was closed"),
                Ok(Ok(count)) => {
                    if is_first {
                        self.stations.iter_mut().for_each(Station::distrust_first_frame);
                    }
                    self.take(&buffer[..count]);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return error,
            }
            is_first = false;
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let at = self.clock.stamp();
        let mut records = Vec::new();
        for station in &mut self.stations {
            station.receive(bytes, at, &mut records);
        }
        let dropped = self.emitter.emit(records);
        if dropped > 0 {
            for station in &self.stations {
                station.health().readings_overrun_total.fetch_add(dropped, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    fn set_port(&self, state: PortState) {
        for station in &self.stations {
            station.health().port.set(state);
        }
    }

    fn say_up(&mut self) {
        self.set_port(PortState::Open);
        for station in &self.stations {
            station.health().last_error.set(None);
        }
        if std::mem::take(&mut self.is_said_down) {
            info!(bus = %self.config.id, port = %self.config.port.display(), "port is back");
            self.say(EventKind::InstrumentUp, None);
        } else {
            info!(bus = %self.config.id, port = %self.config.port.display(), "port open");
        }
    }

    /// Says it once: a cable that is out stays out for hours.
    fn say_down(&mut self, error: &io::Error) {
        self.set_port(PortState::Closed);
        let text = format!("{}: {error}", self.config.port.display());
        for station in &self.stations {
            station.health().last_error.set(Some(text.clone()));
        }
        if std::mem::replace(&mut self.is_said_down, true) {
            return;
        }
        warn!(bus = %self.config.id, port = %self.config.port.display(), %error, advice = port::advice(error), "port is down, will try again");
        self.say(EventKind::InstrumentDown, Some(&text));
    }

    fn say(&mut self, kind: EventKind, error: Option<&str>) {
        let stamp = self.clock.stamp();
        let events = self.stations.iter().map(|station| {
            let event = Event::new(stamp, kind).of(&station.config().id);
            Record::Event(match error {
                Some(error) => event.with("error", error),
                None => event,
            })
        });
        let events = events.collect();
        self.emitter.emit(events);
    }
}
