//! The composition root: makes every part from the checked configuration, starts them, and ends them in order.
//! The only file that knows every room; it holds no domain logic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalError, PROBE_LIMIT_DEFAULT, Probe, Reader};
use model::{Epoch, Event, EventKind, Record, SinkId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::acquire::{Bus, myself};
use crate::clock::Clock;
use crate::config::{Config, MqttConfig, SinkConfig, SinkKind};
use crate::control::server::{self, Answers};
use crate::link;
use crate::record::{self, Alarm, Inbox, Opened};
use crate::sinks::lake::shelf::Shelf;
use crate::sinks::lake::{LakeSink, Place, announce};
use crate::sinks::meter::{Allowance, Meter};
use crate::sinks::mqtt::beside::Beside;
use crate::sinks::mqtt::{MqttSink, alarms, presence};
use crate::sinks::runner::replay::{self, Replay, Replays};
use crate::sinks::runner::{self, Surroundings};
use crate::sinks::s3::Bucket;
use crate::supervise::Tasks;
use crate::telemetry::beats::Beats;
use crate::telemetry::health::{Health, InstrumentHealth, JournalHealth, SinkHealth};
use crate::update::task::{self as update, Updates};

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
    buses: Tasks,
    sinks: Tasks,
    links: Tasks,
    control_stop: CancellationToken,
    control: Option<std::thread::JoinHandle<()>>,
    inbox: Inbox,
    writer: oneshot::Receiver<Result<(), JournalError>>,
}

impl Agent {
    /// Starts every part. Ports, brokers, stores and the disk may be missing: each is waited for by its own task.
    /// `beats` is told who is alive.
    pub fn start(config: &Arc<Config>, flushes_at_end: bool, beats: &Beats) -> Result<Self, RunError> {
        let clock = Clock::with_anchors_in(&config.journal.path);
        let started_ms = clock.mono_ms();
        let health = Arc::new(health_of(config));
        let reserved = config.journal.reserved_bytes(config.sinks.len());
        let Opened { writer, inbox, reader, head, alarms } =
            record::open(&config.journal, (reserved, Some(probe())), &clock, &health.journal, health.sinks.clone())?;
        let parts =
            Parts { config, clock: &clock, reader: &reader, health: &health, inbox: &inbox, head: &head, alarms };
        // Sinks first: their cursors say what retention may take, and the writer asks for that at once.
        let mut links = Tasks::new(beats.clone());
        let mut sinks = Tasks::new(beats.clone());
        let replays = parts.start_sinks(flushes_at_end, &mut sinks, &mut links);
        let writer = start_writer(writer, beats)?;
        parts.say_boot();
        let mut buses = Tasks::new(beats.clone());
        buses.spawn("clock".to_owned(), record::watch_clock(clock.clone(), inbox.clone(), buses.stop_token()));
        if !config.device.health_every.is_zero() {
            let (reader, doors) = (reader.clone(), (inbox.clone(), clock.clone()));
            let journal = move || (reader.stat().bytes, reader.head().0);
            let task = myself::run(config.device.health_every, health.clone(), journal, doors, buses.stop_token());
            buses.spawn("myself".to_owned(), task);
        }
        for bus in &config.buses {
            let task = Bus::new(bus.clone(), &health.instruments, inbox.clone(), clock.clone());
            buses.spawn(format!("bus:{}", bus.id), task.run(buses.stop_token()));
        }
        let (updates, task) = update::new(config, &clock, inbox.clone(), buses.stop_token());
        buses.spawn("update".to_owned(), task);
        let control_stop = CancellationToken::new();
        let (config, health_of) = (config.clone(), health.clone());
        let answers = Answers {
            config,
            health: health_of,
            reader: reader.clone(),
            head,
            clock,
            started_ms,
            replays: Arc::new(replays),
        };
        let control = server::start(answers, beats.clone(), control_stop.clone())
            .map_err(|source| RunError::Disk { what: "control thread".to_owned(), source })?;
        Ok(Self { health, reader, updates, buses, sinks, links, control_stop, control: Some(control), inbox, writer })
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
        self.inbox.flush().await;
        self.sinks.drain(DRAIN_LIMITS[1]).await;
        self.links.drain(DRAIN_LIMITS[2]).await;
        self.control_stop.cancel();
        if let Some(control) = self.control.take()
            && tokio::task::spawn_blocking(move || control.join()).await.is_err()
        {
            warn!("the control thread did not end well");
        }
        drop(self.inbox);
        match self.writer.await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(RunError::WriterEnded),
        }
    }
}

/// This program again, as `journal probe`: a generation that makes it crash is never opened in the agent.
pub fn probe() -> Probe {
    // The kernel's name for it: right even when an upgrade has put another file in its place.
    let program = std::path::PathBuf::from("/proc/self/exe");
    Probe { program, args: ["journal", "probe"].map(Into::into).to_vec(), limit: PROBE_LIMIT_DEFAULT }
}

fn health_of(config: &Config) -> Health {
    let instruments = config.buses.iter().flat_map(|bus| &bus.instruments);
    let instruments = instruments.map(|instrument| {
        let quantities = instrument
            .quantities
            .iter()
            .map(|quantity| (quantity.series.quantity.to_string(), quantity.series.unit.clone()));
        Arc::new(InstrumentHealth::new(instrument.id.clone(), instrument.bus.clone(), quantities.collect()))
    });
    let sinks = config.sinks.iter().map(|sink| Arc::new(SinkHealth::new(sink.id.clone(), sink.kind.as_str())));
    Health { instruments: instruments.collect(), sinks: sinks.collect(), journal: Arc::new(JournalHealth::default()) }
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
struct Parts<'a> {
    config: &'a Arc<Config>,
    clock: &'a Clock,
    reader: &'a Reader,
    health: &'a Health,
    inbox: &'a Inbox,
    head: &'a watch::Receiver<model::Seq>,
    alarms: tokio::sync::broadcast::Sender<Alarm>,
}

impl Parts<'_> {
    fn say_boot(&self) {
        let Config { device, hash, .. } = &**self.config;
        info!(device = %device.id, site = %device.site, epoch = self.reader.epoch().as_ref().map(Epoch::as_str), config = %hash,
            instruments = self.health.instruments.len(), sinks = self.health.sinks.len(), "agent started");
        let event = Event::new(self.clock.stamp(), EventKind::Boot)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("boot_id", self.clock.boot().to_string())
            .with("config_hash", hash.as_str());
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the boot event");
        }
    }

    /// Starts the sinks; where the disk does not let one, its task waits for that. Links first: a lake announces over one.
    /// Gives the ways to ask them for a replay.
    fn start_sinks(&self, flushes_at_end: bool, sinks: &mut Tasks, links: &mut Tasks) -> BTreeMap<SinkId, Replays> {
        let with = |(sink, health)| (sink, self.surroundings(sink, health, flushes_at_end));
        let all: Vec<(&SinkConfig, Surroundings)> =
            self.config.sinks.iter().zip(&self.health.sinks).map(with).collect();
        let mut besides = HashMap::new();
        for (sink, with) in &all {
            if let SinkKind::Mqtt(mqtt) = &sink.kind {
                besides.insert(sink.id.clone(), self.connect(mqtt, with, links));
            }
        }
        let mut ways = BTreeMap::new();
        for (sink, with) in all {
            let (way, replays) = replay::channel();
            ways.insert(sink.id.clone(), way);
            self.start_sink(sink, (with, replays), &besides, sinks);
        }
        ways
    }

    /// Starts the link of an mqtt sink.
    fn connect(&self, mqtt: &MqttConfig, with: &Surroundings, links: &mut Tasks) -> Beside {
        let presence = presence::of(self.config, mqtt, with);
        let clock = self.clock.clone();
        let (link, task) = link::new(mqtt.clone(), presence, with.health.clone(), clock.clone(), links.stop_token());
        links.spawn(format!("link:{}", with.id), task);
        Beside { link, meter: with.meter.clone(), clock, topic: mqtt.beside.clone(), unlucky: 0 }
    }

    fn start_sink(
        &self,
        sink: &SinkConfig,
        (mut with, replays): (Surroundings, mpsc::Receiver<Replay>),
        besides: &HashMap<SinkId, Beside>,
        sinks: &mut Tasks,
    ) {
        let (config, clock, of) = (self.config.clone(), self.clock.clone(), sink.clone());
        let name = format!("sink:{}", sink.id);
        let stop = sinks.stop_token();
        let beside = sink.kind.lake().and_then(|lake| besides.get(lake.announce.as_ref()?));
        let news = beside.map(|beside| {
            let (news, heard) = watch::channel(None);
            sinks.spawn(format!("announce:{}", sink.id), announce::run(beside.clone(), heard, stop.clone()));
            Arc::new(news)
        });
        match &sink.kind {
            SinkKind::File(file) => {
                let file = file.clone();
                let make = move |epoch: &Epoch| {
                    let place = Place { journal: &config.journal.path, device: &config.device, epoch, clock: &clock };
                    LakeSink::open(Shelf::folder(file.path.clone()), &of, &file.lake, place, news.clone())
                };
                sinks.spawn(name, runner::run(make, with, replays, stop));
            }
            SinkKind::S3(s3) => {
                let (s3, health) = (s3.clone(), with.health.clone());
                let make = move |epoch: &Epoch| {
                    let place = Place { journal: &config.journal.path, device: &config.device, epoch, clock: &clock };
                    LakeSink::open(Shelf::bucket(Bucket::new(&s3, &clock, &health)), &of, &s3.lake, place, news.clone())
                };
                sinks.spawn(name, runner::run(make, with, replays, stop));
            }
            SinkKind::Mqtt(mqtt) => {
                // What is on its way to a broker that answers may go at the end; objects would only get small.
                with.flushes_at_end = true;
                let beside = besides[&sink.id].clone();
                let (reader, device) = (self.reader.clone(), config.device.clone());
                let (link, heard) = (beside.link.clone(), self.alarms.subscribe());
                let alarms = alarms::run(beside, device, move || reader.epoch(), heard, stop.clone());
                sinks.spawn(format!("alarms:{}", sink.id), alarms);
                let mqtt = mqtt.clone();
                let make = move |epoch: &Epoch| {
                    let (device, series) = (config.device.clone(), config.series());
                    MqttSink::new(link.clone(), &mqtt, of.batch, device, epoch.clone(), &series)
                };
                sinks.spawn(name, runner::run(make, with, replays, stop));
            }
        }
    }

    fn surroundings(&self, sink: &SinkConfig, health: &Arc<SinkHealth>, flushes_at_end: bool) -> Surroundings {
        Surroundings {
            id: sink.id.clone(),
            folder: self.config.journal.path.clone(),
            reader: self.reader.clone(),
            head: self.head.clone(),
            inbox: self.inbox.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
            hold_untrusted: self.config.clock.hold_untrusted,
            bytes: self.config.journal.sink_bytes(self.config.sinks.len()),
            meter: Arc::new(Meter::open(Allowance::of(sink), &self.config.journal.path, sink.id.as_str())),
            flushes_at_end,
        }
    }
}
