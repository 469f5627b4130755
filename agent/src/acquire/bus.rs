//! The task of one serial line: opens its port, does what [`Line`] decides, and opens it again for ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use instruments::Turn;
use model::{Event, EventKind, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::emit::Emitter;
use super::line::{Action, Line};
use super::port;
use super::schedule::{Change, Ended, SILENT_POLLS_MAX};
use super::station::Station;
use super::tap::{Taps, Way};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::{BusConfig, InstrumentConfig};
use crate::record::Inbox;
use crate::telemetry::health::{InstrumentHealth, PortState};

/// First and longest wait before a port is tried again: a technician who plugs a cable back in is watching.
const REOPEN_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Bytes taken from the port at once; the kernel's own buffer is as large.
const READ_BYTES_MAX: usize = 4096;

/// A line that says nothing for so long after it was opened is between two frames: 50 characters at 9600 baud.
const QUIET_AFTER_OPEN: Duration = Duration::from_millis(50);

/// A port that takes no bytes for so long is held up by its flow control, or dead.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A line as it is to be: the instruments on it may become others while it runs, the port does not.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The line.
    pub config: BusConfig,
    /// The health of its instruments, and of others. One whose health is the same goes on as it is.
    pub health: Vec<Arc<InstrumentHealth>>,
}

/// One serial line and its instruments.
pub struct Bus {
    config: BusConfig,
    wanted: watch::Receiver<Wanted>,
    taps: Taps,
    /// In the order of the configuration, as the line counts them.
    stations: Vec<Station>,
    line: Line,
    emitter: Emitter,
    clock: Clock,
    /// Whether the instruments were last said to be down.
    is_said_down: bool,
}

impl Bus {
    /// A bus as it is wanted now, and whenever that changes.
    pub fn new(mut wanted: watch::Receiver<Wanted>, taps: Taps, inbox: Inbox, clock: Clock) -> Self {
        let Wanted { config, health } = wanted.borrow_and_update().clone();
        let stations = config.instruments.iter().filter_map(|instrument| station(instrument, &health)).collect();
        let line = Line::new(&config);
        let emitter = Emitter::new(inbox, clock.clone());
        Self { config, wanted, taps, stations, line, emitter, clock, is_said_down: false }
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
            self.rearrange(PortState::Closed);
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

    /// Listens and asks until the port fails.
    async fn listen(&mut self, port: &mut SerialStream) -> io::Error {
        let mut buffer = vec![0; READ_BYTES_MAX];
        for station in &mut self.stations {
            station.reset();
        }
        self.line.open(self.clock.mono_ms());
        match hear(port, &mut buffer, Some(QUIET_AFTER_OPEN)).await {
            Ok(0) => {}
            Ok(count) => {
                self.stations.iter_mut().for_each(Station::distrust_first_frame);
                self.take(&buffer[..count]);
            }
            Err(error) => return error,
        }
        loop {
            if self.line.is_free() {
                self.rearrange(PortState::Open);
            }
            let now = self.clock.mono_ms();
            let action = self.line.next(&mut self.stations, now);
            if let Err(error) = self.act(action, port, &mut buffer, now).await {
                return error;
            }
        }
    }

    /// Makes the instruments those that are wanted. One that is wanted as it is goes on in the middle of its frame.
    fn rearrange(&mut self, port: PortState) {
        if !self.wanted.has_changed().unwrap_or(false) {
            return;
        }
        let Wanted { config, health } = self.wanted.borrow_and_update().clone();
        let mut before: Vec<Option<Station>> = std::mem::take(&mut self.stations).into_iter().map(Some).collect();
        let mut held = Vec::new();
        for instrument in &config.instruments {
            let Some(health) = health.iter().find(|health| health.id == instrument.id) else { continue };
            let same = before.iter().position(|station| station.as_ref().is_some_and(|station| station.is_of(health)));
            held.push(same);
            self.stations.extend(match same {
                Some(index) => before[index].take(),
                None => station(instrument, std::slice::from_ref(health)),
            });
            health.port.set(port);
        }
        info!(bus = %self.config.id, instruments = self.stations.len(), "the instruments on this line have changed");
        self.line.rearrange(&held, &config, self.clock.mono_ms());
        self.config = config;
    }

    async fn act(&mut self, action: Action, port: &mut SerialStream, buffer: &mut [u8], now: u64) -> io::Result<()> {
        match action {
            Action::Listen { until_mono_ms } => {
                // Silence ends a frame, too, where the protocol says so.
                let silence_ms = self.stations.iter_mut().filter_map(|station| station.silence_ends_at(now)).min();
                let until_mono_ms = [until_mono_ms, silence_ms].into_iter().flatten().min();
                let wait = until_mono_ms.map(|until| Duration::from_millis(until.saturating_sub(now)));
                let is_free = self.line.is_free();
                let heard = tokio::select! {
                    heard = hear(port, buffer, wait) => heard?,
                    // Who is in its turn finishes it first.
                    changed = self.wanted.changed(), if is_free => match changed {
                        Ok(()) => {
                            self.wanted.mark_changed();
                            return Ok(());
                        }
                        // Nobody will change it any more: the agent ends.
                        Err(_) => std::future::pending().await,
                    },
                };
                match heard {
                    0 if silence_ms.is_some_and(|at| at <= self.clock.mono_ms()) => self.give(&[]),
                    count => self.take(&buffer[..count]),
                }
            }
            Action::Write(bytes) => {
                // What came up to now is no answer to this.
                let count = hear(port, buffer, Some(Duration::ZERO)).await?;
                self.take(&buffer[..count]);
                tokio::time::timeout(WRITE_LIMIT, port.write_all(&bytes)).await??;
                self.taps.pass(&self.config.id, self.clock.stamp(), Way::Out, &bytes);
                self.line.wrote(bytes.len(), self.clock.mono_ms());
            }
            Action::Break => port::make_break(port).await?,
            Action::End { station, turn, ended } => {
                let mut records = Vec::new();
                self.stations[station].end_turn(&mut records);
                self.emit(records);
                self.end_turn(station, turn, &ended);
            }
        }
        Ok(())
    }

    /// An instrument was asked; what that says of it.
    fn end_turn(&mut self, index: usize, turn: Turn, ended: &Ended) {
        let health = self.stations[index].health();
        health.polls_skipped_total.fetch_add(ended.skipped, Ordering::Relaxed);
        if turn == Turn::Silent {
            health.polls_failed_total.fetch_add(1, Ordering::Relaxed);
            health.last_error.set(Some("no answer".to_owned()));
        }
        let Some(change) = ended.change else { return };
        health.is_unanswering.store(change == Change::Down, Ordering::Relaxed);
        let instrument = self.stations[index].config().id.clone();
        let (kind, error) = match change {
            Change::Down => {
                warn!(bus = %self.config.id, %instrument, polls = SILENT_POLLS_MAX, "instrument does not answer, will ask more rarely");
                (EventKind::InstrumentDown, Some(format!("no answer to {SILENT_POLLS_MAX} polls")))
            }
            Change::Up => {
                info!(bus = %self.config.id, %instrument, "instrument answers");
                health.last_error.set(None);
                (EventKind::InstrumentUp, None)
            }
        };
        self.say(kind, error.as_deref(), |station| station.config().id == instrument);
    }

    fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.line.heard(self.clock.mono_ms());
        self.give(bytes);
    }

    /// Gives bytes, or silence, to every instrument on the line.
    fn give(&mut self, bytes: &[u8]) {
        let at = self.clock.stamp();
        self.taps.pass(&self.config.id, at, Way::In, bytes);
        let mut records = Vec::new();
        for station in &mut self.stations {
            station.receive(bytes, at, &mut records);
        }
        self.emit(records);
    }

    fn emit(&mut self, records: Vec<Record>) {
        let dropped = self.emitter.emit(records);
        if dropped > 0 {
            for station in &self.stations {
                station.health().readings_overrun_total.fetch_add(dropped, Ordering::Relaxed);
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
            info!(bus = %self.config.id, port = %self.config.port, "port is back");
            // Those that are asked are up when they answer.
            self.say(EventKind::InstrumentUp, None, |station| station.config().every.is_none());
        } else {
            info!(bus = %self.config.id, port = %self.config.port, "port open");
        }
    }

    /// Says it once: a cable that is out stays out for hours.
    fn say_down(&mut self, error: &io::Error) {
        self.set_port(PortState::Closed);
        self.line.lose();
        let text = format!("{}: {error}", self.config.port);
        for station in &self.stations {
            station.health().last_error.set(Some(text.clone()));
        }
        if std::mem::replace(&mut self.is_said_down, true) {
            return;
        }
        warn!(bus = %self.config.id, port = %self.config.port, %error, advice = port::advice(error), "port is down, will try again");
        self.say(EventKind::InstrumentDown, Some(&text), |_| true);
    }

    fn say(&mut self, kind: EventKind, error: Option<&str>, of: impl Fn(&Station) -> bool) {
        let stamp = self.clock.stamp();
        let events = self.stations.iter().filter(|station| of(station)).map(|station| {
            let event = Event::new(stamp, kind).of(&station.config().id);
            Record::Event(match error {
                Some(error) => Box::new(event.with("error", error)),
                None => Box::new(event),
            })
        });
        let events = events.collect();
        self.emitter.emit(events);
    }
}

/// A station for an instrument, with its health found among these.
fn station(instrument: &InstrumentConfig, health: &[Arc<InstrumentHealth>]) -> Option<Station> {
    let health = health.iter().find(|health| health.id == instrument.id)?;
    if let Some(every) = instrument.every {
        health.asked_every(u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    }
    Some(Station::new(instrument.clone(), health.clone()))
}

/// Reads what is there, or waits for it for so long; none came: 0.
async fn hear(port: &mut SerialStream, buffer: &mut [u8], wait: Option<Duration>) -> io::Result<usize> {
    let read = match wait {
        Some(wait) => match tokio::time::timeout(wait, port.read(buffer)).await {
            Ok(read) => read,
            Err(_quiet) => return Ok(0),
        },
        None => port.read(buffer).await,
    };
    match read {
        Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the port was closed")),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        read => read,
    }
}
