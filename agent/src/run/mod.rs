//! The composition root: makes every part from the checked configuration, starts them, and ends them in order.
//! The only file that knows every room; it holds no domain logic.

mod wires;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalError, PROBE_LIMIT_DEFAULT, Probe, Reader};
use model::{BusId, Epoch, Event, EventKind, InstrumentId, Record, SinkId};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::acquire::tap::Taps;
use crate::acquire::{Bus, Wanted, myself};
use crate::clock::Clock;
use crate::config::{BusConfig, Config, InForce, InstrumentConfig, SinkConfig};
use crate::control::server::{self, Answers};
use crate::provision;
use crate::provision::renewal::{Renewals, Rotator};
use crate::record::{self, Alarm, Inbox, Opened};
use crate::remote::{Afar, Hands};
use crate::supervise::Tasks;
use crate::telemetry::beats::Beats;
use crate::telemetry::health::{Health, InstrumentHealth, Shown, SinkHealth};
use crate::update::task::{self as update, Updates};
use wires::Wires;

/// How long each group of tasks may take to end: ten seconds in all, as `docs/SEMANTICS.md` says.
const DRAIN_LIMITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(6), Duration::from_secs(2)];

/// Why the agent ended without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal can not be opened or written: nothing can be promised any more.
    #[error("the journal failed")]
    Journal(#[from] JournalError),
    /// A part could not be set up on the local disk.
    #[error("{what} can not be set up")]
    Disk {
        /// Which part.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A task that runs for ever has ended.
    #[error("task {0} ended by itself")]
    TaskEnded(String),
    /// The journal's writer has gone without a word.
    #[error("the journal's writer ended by itself")]
    WriterEnded,
}

/// The running agent.
pub struct Agent {
    /// Everything's health.
    pub health: Arc<Health>,
    /// The journal.
    pub reader: Reader,
    /// The way to offer an update of the agent.
    pub updates: Updates,
    house: House,
    buses: Tasks,
    sinks: Tasks,
    links: Tasks,
    /// How each line is told that the instruments on it are others.
    wanted: BTreeMap<BusId, watch::Sender<Wanted>>,
    wires: Wires,
    control_stop: CancellationToken,
    control: Option<std::thread::JoinHandle<()>>,
    writer: oneshot::Receiver<Result<(), JournalError>>,
}

impl Agent {
    /// Starts every part. Ports, brokers, stores and the disk may be missing: each is waited for by its own task.
    /// `beats` is told who is alive; `afar` is what may be asked of the agent from afar.
    pub fn start(
        config: &Arc<Config>,
        flushes_at_end: bool,
        beats: &Beats,
        afar: Option<Afar>,
    ) -> Result<Self, RunError> {
        let clock = Clock::with_anchors_in(&config.journal.path);
        let started_ms = clock.mono_ms();
        let health = Arc::new(health_of(config, None));
        let reserved = config.journal.reserved_bytes(config.sinks.len());
        let Opened { writer, inbox, reader, head, alarms } =
            record::open(&config.journal, (reserved, Some(probe())), &clock, &health.journal, health.sinks.get())?;
        let in_force = InForce::new(config.clone());
        let taps = Taps::default();
        let house = House { in_force, clock, reader, health, inbox, head, alarms, taps, flushes_at_end };
        let (health, reader) = (house.health.clone(), house.reader.clone());
        let tasks = || Tasks::new(beats.clone());
        let mut wires = Wires::new(afar.as_ref().and_then(|afar| afar.listening(config)));
        provision::settle(config);
        // Sinks first: their cursors say what retention may take, and the writer asks for that at once.
        let (mut links, mut sinks) = (tasks(), tasks());
        wires.start(&house, |_| true, &mut sinks, &mut links);
        let writer = start_writer(writer, beats)?;
        house.say_boot();
        let mut buses = tasks();
        house.start_clock(&mut buses);
        let wanted = house.start_lines(&mut buses);
        let (updates, task) = update::new(config, &house.clock, house.inbox.clone());
        buses.spawn("update".to_owned(), |stop| task.run(stop));
        let control_stop = CancellationToken::new();
        let answers = Answers {
            config: house.in_force.clone(),
            health: health.clone(),
            reader: reader.clone(),
            head: house.head.clone(),
            clock: house.clock.clone(),
            started_ms,
            taps: house.taps.clone(),
            replays: wires.replays.clone(),
        };
        let control = server::start(answers, beats.clone(), control_stop.clone())
            .map_err(|source| RunError::Disk { what: "control thread".to_owned(), source })?;
        let control = Some(control);
        let rotator = house.start_renewals(&wires, &mut links);
        if let Some((afar, way)) = afar.zip(wires.way.as_ref()) {
            let hands = Hands {
                layers: afar.layers().clone(),
                in_force: house.in_force.clone(),
                health: house.health.clone(),
                reader: house.reader.clone(),
                clock: house.clock.clone(),
                started_ms,
                asks: wires.replays.clone(),
                taps: house.taps.clone(),
                updates: Some(updates.clone()),
                rotator,
            };
            if let Some(task) = afar.into_task(way.subscribe(), house.inbox.clone(), hands) {
                links.spawn("remote".to_owned(), |stop| task.run(stop));
            }
        }
        Ok(Self { health, reader, updates, house, buses, sinks, links, wanted, wires, control_stop, control, writer })
    }

    /// Exchanges what differs for what `config` says, and leaves the rest as it is: an instrument that is the same does not
    /// miss a turn. False where that can not be done under way: then nothing was changed, and the agent has to be started
    /// anew with it.
    pub async fn apply(&mut self, config: &Arc<Config>) -> bool {
        let before = self.house.in_force.get();
        if needs_restart(&before, config) {
            return false;
        }
        let health = health_of(config, Some((&self.health, &before)));
        self.health.instruments.set(health.instruments.get());
        self.health.sinks.set(health.sinks.get());
        self.exchange_lines(&before, config).await;
        self.house.in_force.set(config.clone());
        let stale = wires::stale(&before, config);
        self.wires.retire(&stale, (&before, config), &mut self.sinks, &mut self.links).await;
        self.wires.start(
            &self.house,
            |sink| stale.contains(sink.id.as_str()) || !has_sink(&before, &sink.id),
            &mut self.sinks,
            &mut self.links,
        );
        let reserved = config.journal.reserved_bytes(config.sinks.len());
        self.house.inbox.adjust(config.journal.clone(), reserved, self.health.sinks.get()).await;
        info!(config = %config.hash, revision = config.revision(), "configuration applied");
        true
    }

    /// Lines that are gone or stand on another port end, new ones begin, the others are told what is on them now.
    async fn exchange_lines(&mut self, before: &Config, config: &Config) {
        let is_kept = |bus: &BusId| {
            let is_there = config.buses.iter().any(|now| now.id == *bus);
            is_there && before.is_same(config, &format!("bus.{bus}"))
        };
        let ended: Vec<BusId> = self.wanted.keys().filter(|bus| !is_kept(bus)).cloned().collect();
        for bus in ended {
            self.buses.retire(&format!("bus:{bus}"), DRAIN_LIMITS[0]).await;
            self.wanted.remove(&bus);
        }
        let health = self.health.instruments.get();
        for bus in &config.buses {
            let wanted = Wanted { config: bus.clone(), health: health.clone() };
            match self.wanted.get(&bus.id) {
                Some(line) => {
                    let (held, now) = (on_line(before, &bus.id), on_line(config, &bus.id));
                    let is_same =
                        held == now && now.iter().all(|id| before.is_same(config, &format!("instrument.{id}")));
                    if !is_same {
                        line.send_replace(wanted);
                    }
                }
                None => {
                    let line = self.house.start_line(wanted, &mut self.buses);
                    self.wanted.insert(bus.id.clone(), line);
                }
            }
        }
    }

    /// Waits until a part fails in a way that the agent does not go on from.
    pub async fn failed(&mut self) -> RunError {
        tokio::select! {
            ended = &mut self.writer => match ended {
                Ok(Err(error)) => RunError::Journal(error),
                Ok(Ok(())) | Err(_) => RunError::WriterEnded,
            },
            name = self.buses.ended() => RunError::TaskEnded(name),
            name = self.sinks.ended() => RunError::TaskEnded(name),
            name = self.links.ended() => RunError::TaskEnded(name),
        }
    }

    /// An orderly end: no more readings, one more commit, what is under way may arrive, the journal is closed.
    pub async fn stop(mut self) -> Result<(), RunError> {
        self.buses.drain(DRAIN_LIMITS[0]).await;
        self.house.inbox.flush().await;
        self.sinks.drain(DRAIN_LIMITS[1]).await;
        self.links.drain(DRAIN_LIMITS[2]).await;
        self.control_stop.cancel();
        if let Some(control) = self.control.take()
            && tokio::task::spawn_blocking(move || control.join()).await.is_err()
        {
            warn!("the control thread did not end well");
        }
        drop((self.house, self.wires));
        match self.writer.await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(RunError::WriterEnded),
        }
    }
}

/// Sections that everything else is made from.
const WHOLE: [&str; 7] = ["device", "clock", "local", "provision", "remote", "update", "journal.path"];

fn needs_restart(before: &Config, config: &Config) -> bool {
    let is_other_kind = |sink: &SinkConfig| {
        before.sinks.iter().any(|held| held.id == sink.id && held.kind.as_str() != sink.kind.as_str())
    };
    let pair = |config: &Config| config.provision.as_ref().map(|provision| provision.identity.clone());
    pair(before) != pair(config)
        || WHOLE.iter().any(|part| !before.is_same(config, part))
        || config.sinks.iter().any(is_other_kind)
}

fn has_sink(config: &Config, id: &SinkId) -> bool {
    config.sinks.iter().any(|sink| sink.id == *id)
}

fn on_line<'c>(config: &'c Config, bus: &BusId) -> Vec<&'c InstrumentId> {
    let instruments = config.buses.iter().filter(|held| held.id == *bus).flat_map(|held| &held.instruments);
    instruments.map(|instrument| &instrument.id).collect()
}

/// This program again, as `journal probe`: a generation that makes it crash is never opened in the agent.
pub fn probe() -> Probe {
    // The kernel's name for it: right even when an upgrade has put another file in its place.
    let program = std::path::PathBuf::from("/proc/self/exe");
    Probe { program, args: ["journal", "probe"].map(Into::into).to_vec(), limit: PROBE_LIMIT_DEFAULT }
}

/// The health of all parts; of those that are the same as before it is the same.
fn health_of(config: &Config, before: Option<(&Health, &Config)>) -> Health {
    let held_instrument = |instrument: &InstrumentConfig| {
        let (health, before) = before?;
        let is_same = before.is_same(config, &format!("instrument.{}", instrument.id))
            && before.is_same(config, &format!("bus.{}", instrument.bus));
        health.instruments.get().into_iter().find(|held| is_same && held.id == instrument.id)
    };
    let held_sink = |sink: &SinkConfig| {
        let (health, before) = before?;
        let is_same = before.is_same(config, &format!("sink.{}", sink.id));
        health.sinks.get().into_iter().find(|held| is_same && held.id == sink.id)
    };
    let instruments = config.buses.iter().flat_map(|bus| &bus.instruments);
    let instruments = instruments.map(|instrument| {
        held_instrument(instrument).unwrap_or_else(|| {
            let quantities = instrument
                .quantities
                .iter()
                .map(|quantity| (quantity.series.quantity.to_string(), quantity.series.unit.clone()));
            Arc::new(InstrumentHealth::new(instrument.id.clone(), instrument.bus.clone(), quantities.collect()))
        })
    });
    let new_sink = |sink: &SinkConfig| Arc::new(SinkHealth::new(sink.id.clone(), sink.kind.as_str()));
    let sinks = config.sinks.iter().map(|sink| held_sink(sink).unwrap_or_else(|| new_sink(sink)));
    let journal = before.map_or_else(Arc::default, |(health, _)| health.journal.clone());
    Health {
        instruments: Shown::new(instruments.collect()),
        sinks: Shown::new(sinks.collect()),
        journal,
        remote: Shown::default(),
    }
}

fn start_writer(
    writer: record::Writer,
    beats: &Beats,
) -> Result<oneshot::Receiver<Result<(), JournalError>>, RunError> {
    let (ended, receiver) = oneshot::channel();
    let (beat, every) = (beats.beat("record"), beats.every());
    std::thread::Builder::new()
        .name("record".to_owned())
        .spawn(move || {
            if ended.send(writer.run(&beat, every)).is_err() {
                warn!("nobody waits for the journal's writer any more");
            }
        })
        .map_err(|source| RunError::Disk { what: "record thread".to_owned(), source })?;
    Ok(receiver)
}

/// What the parts are made from.
#[derive(Clone)]
struct House {
    in_force: InForce,
    clock: Clock,
    reader: Reader,
    health: Arc<Health>,
    inbox: Inbox,
    head: watch::Receiver<model::Seq>,
    alarms: tokio::sync::broadcast::Sender<Alarm>,
    taps: Taps,
    flushes_at_end: bool,
}

impl House {
    fn say_boot(&self) {
        let config = self.in_force.get();
        let Config { device, hash, .. } = &*config;
        info!(device = %device.id, site = %device.site, epoch = self.reader.epoch().as_ref().map(Epoch::as_str), config = %hash,
            revision = config.revision(), instruments = self.health.instruments.lock().len(),
            sinks = self.health.sinks.lock().len(), "agent started");
        let event = Event::new(self.clock.stamp(), EventKind::Boot)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("boot_id", self.clock.boot().to_string())
            .with("config_hash", hash.as_str());
        let event = match config.revision() {
            Some(revision) => event.with("config_revision", revision),
            None => event,
        };
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the boot event");
        }
    }

    fn start_clock(&self, tasks: &mut Tasks) {
        let (clock, inbox, reader) = (self.clock.clone(), self.inbox.clone(), self.reader.clone());
        tasks.spawn("clock".to_owned(), |stop| record::watch_clock(clock.clone(), inbox.clone(), stop));
        let every = self.in_force.get().device.health_every;
        if !every.is_zero() {
            let journal = move || (reader.stat().bytes, reader.head().0);
            let health = self.health.clone();
            tasks.spawn("myself".to_owned(), |stop| myself::run(every, health, journal, (inbox, clock), stop));
        }
    }

    fn start_renewals(&self, wires: &Wires, tasks: &mut Tasks) -> Option<Rotator> {
        let config = self.in_force.get();
        let way = wires.way(&config.provision.as_ref()?.sink)?;
        let parts = (self.inbox.clone(), self.clock.clone(), self.health.clone());
        let (renewals, rotator) = Renewals::new(&config, way, parts)?;
        tasks.spawn("renewals".to_owned(), |stop| renewals.run(stop));
        Some(rotator)
    }

    fn start_lines(&self, tasks: &mut Tasks) -> BTreeMap<BusId, watch::Sender<Wanted>> {
        let health = self.health.instruments.get();
        let wanted = |config: BusConfig| Wanted { config, health: health.clone() };
        let buses = self.in_force.get().buses.clone();
        buses.into_iter().map(|bus| (bus.id.clone(), self.start_line(wanted(bus), tasks))).collect()
    }

    fn start_line(&self, wanted: Wanted, tasks: &mut Tasks) -> watch::Sender<Wanted> {
        let name = format!("bus:{}", wanted.config.id);
        let (line, told) = watch::channel(wanted);
        let bus = Bus::new(told, self.taps.clone(), self.inbox.clone(), self.clock.clone());
        tasks.spawn(name, |stop| bus.run(stop));
        line
    }
}
