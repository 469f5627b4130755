//! The sinks and the links under them, as parts that come and go one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::{Epoch, SinkId};
use tokio::sync::{mpsc, watch};

use super::House;
use crate::backoff::spread;
use crate::config::{Config, MqttConfig, MqttFormat, SinkConfig, SinkKind};
use crate::link::{self, Listening};
use crate::sinks::lake::shelf::Shelf;
use crate::sinks::lake::{LakeSink, Place, announce};
use crate::sinks::meter::{Allowance, Meter};
use crate::sinks::mqtt::beside::Beside;
use crate::sinks::mqtt::{MqttSink, alarms, presence};
use crate::sinks::runner::replay::{self, Ask, Asks};
use crate::sinks::runner::{self, Surroundings};
use crate::sinks::s3::Bucket;
use crate::supervise::Tasks;
use crate::telemetry::health::{Shown, SinkHealth};

/// How long a sink, and a link, may take to end when another takes its place.
const RETIRE_LIMIT: Duration = Duration::from_secs(6);
/// Over so long the devices of a fleet spread that are told at once to connect anew.
const SPREAD: Duration = Duration::from_secs(3);

/// What leads out of the device.
pub struct Wires {
    /// The ways to ask sinks for a replay.
    pub replays: Arc<Shown<BTreeMap<SinkId, Asks>>>,
    /// The link over which the device is told from afar, whichever it is now.
    pub way: Option<watch::Sender<Beside>>,
    besides: HashMap<SinkId, Beside>,
    /// The same for who has to follow one that is exchanged.
    ways: HashMap<SinkId, watch::Sender<Beside>>,
    listening: Option<(SinkId, Listening)>,
    /// Whether what is connected from now on is so because the configuration was changed.
    is_started: bool,
}

impl Wires {
    /// None yet; `listening` is what one of the links will listen to.
    pub fn new(listening: Option<(SinkId, Listening)>) -> Self {
        let (besides, ways) = (HashMap::new(), HashMap::new());
        Self { replays: Arc::default(), way: None, besides, ways, listening, is_started: false }
    }

    /// Ends these sinks. A link goes with its sink only where that is another: other batches need no other connection.
    pub async fn retire(
        &mut self,
        stale: &BTreeSet<String>,
        (before, config): (&Config, &Config),
        sinks: &mut Tasks,
        links: &mut Tasks,
    ) {
        for id in stale {
            for part in ["announce", "alarms", "sink"] {
                sinks.retire(&format!("{part}:{id}"), RETIRE_LIMIT).await;
            }
            if !before.is_same(config, &format!("sink.{id}")) {
                links.retire(&format!("link:{id}"), RETIRE_LIMIT).await;
                self.besides.retain(|sink, _| sink.as_str() != *id);
            }
            self.replays.lock().retain(|sink, _| sink.as_str() != *id);
        }
    }

    /// Starts those sinks that are asked for; where the disk does not let one, its task waits for that. Links first: a
    /// lake announces over one.
    pub fn start(
        &mut self,
        house: &House,
        is_wanted: impl Fn(&SinkConfig) -> bool,
        sinks: &mut Tasks,
        links: &mut Tasks,
    ) {
        let config = house.in_force.get();
        let health = house.health.sinks.get();
        let with = |sink: &SinkConfig, health: &Arc<SinkHealth>| (sink.clone(), surroundings(house, sink, health));
        let all: Vec<(SinkConfig, Surroundings)> = config
            .sinks
            .iter()
            .zip(&health)
            .filter(|(sink, _)| is_wanted(sink))
            .map(|(sink, health)| with(sink, health))
            .collect();
        for (sink, with) in &all {
            if let SinkKind::Mqtt(mqtt) = &sink.kind
                && !self.besides.contains_key(&sink.id)
            {
                let beside = self.connect(house, mqtt, with, links);
                self.besides.insert(sink.id.clone(), beside);
            }
        }
        for (sink, mut with) in all {
            // One meter for all that goes over a link.
            if let Some(beside) = self.besides.get(&sink.id) {
                with.meter = beside.meter.clone();
            }
            let (way, replays) = replay::channel();
            self.replays.lock().insert(sink.id.clone(), way);
            self.start_sink(house, &sink, (with, replays), sinks);
        }
        self.is_started = true;
    }

    /// Starts the link of an mqtt sink.
    fn connect(&mut self, house: &House, mqtt: &MqttConfig, with: &Surroundings, links: &mut Tasks) -> Beside {
        let listening =
            self.listening.as_ref().filter(|(via, _)| *via == with.id).map(|(_, listening)| listening.clone());
        let listens = listening.is_some();
        let presence = presence::of(&house.in_force, mqtt, with, listening);
        let clock = house.clock.clone();
        let mut made = None;
        // A fleet that is told at once to use another broker does not come to it at once.
        let first_wait = if self.is_started { spread(SPREAD) } else { Duration::ZERO };
        links.spawn(format!("link:{}", with.id), |stop| {
            let parts = (with.health.clone(), clock.clone());
            let (link, task) = link::new(mqtt.clone(), presence, parts, first_wait, stop);
            made = Some(link);
            task
        });
        let link = made.expect("made where the task is");
        let beside = Beside { link, meter: with.meter.clone(), clock, topic: mqtt.beside.clone(), unlucky: 0 };
        if listens {
            match &self.way {
                Some(way) => drop(way.send_replace(beside.clone())),
                None => self.way = Some(watch::channel(beside.clone()).0),
            }
        }
        match self.ways.get(&with.id) {
            Some(way) => drop(way.send_replace(beside.clone())),
            None => drop(self.ways.insert(with.id.clone(), watch::channel(beside.clone()).0)),
        }
        beside
    }

    /// The link of a sink, whichever it is now.
    pub fn way(&self, sink: &SinkId) -> Option<watch::Receiver<Beside>> {
        self.ways.get(sink).map(watch::Sender::subscribe)
    }

    fn start_sink(
        &self,
        house: &House,
        sink: &SinkConfig,
        (mut with, replays): (Surroundings, mpsc::Receiver<Ask>),
        sinks: &mut Tasks,
    ) {
        let (config, clock, of) = (house.in_force.get(), house.clock.clone(), sink.clone());
        let name = format!("sink:{}", sink.id);
        let beside = sink.kind.lake().and_then(|lake| self.besides.get(lake.announce.as_ref()?));
        let news = beside.map(|beside| {
            let (news, heard) = watch::channel(None);
            sinks.spawn(format!("announce:{}", sink.id), |stop| announce::run(beside.clone(), heard, stop));
            Arc::new(news)
        });
        let in_force = house.in_force.clone();
        match &sink.kind {
            SinkKind::File(file) => {
                let file = file.clone();
                let make = move |epoch: &Epoch| {
                    let place = Place { epoch, clock: &clock, in_force: &in_force };
                    LakeSink::open(Shelf::folder(file.path.clone()), &of, &file.lake, place, news.clone())
                };
                sinks.spawn(name, |stop| runner::run(make, with, replays, stop));
            }
            SinkKind::S3(s3) => {
                let (s3, health) = (s3.clone(), with.health.clone());
                let make = move |epoch: &Epoch| {
                    let place = Place { epoch, clock: &clock, in_force: &in_force };
                    LakeSink::open(Shelf::bucket(Bucket::new(&s3, &clock, &health)), &of, &s3.lake, place, news.clone())
                };
                sinks.spawn(name, |stop| runner::run(make, with, replays, stop));
            }
            SinkKind::Mqtt(mqtt) => {
                // What is on its way to a broker that answers may go at the end; objects would only get small.
                with.flushes_at_end = true;
                let beside = self.besides[&sink.id].clone();
                let (reader, device) = (house.reader.clone(), config.device.clone());
                let (link, heard) = (beside.link.clone(), house.alarms.subscribe());
                sinks.spawn(format!("alarms:{}", sink.id), |stop| {
                    alarms::run(beside, device, move || reader.epoch(), heard, stop)
                });
                let mqtt = mqtt.clone();
                let make = move |epoch: &Epoch| {
                    let (device, series) = (config.device.clone(), config.series());
                    MqttSink::new(link.clone(), &mqtt, of.batch, device, epoch.clone(), &series)
                };
                sinks.spawn(name, |stop| runner::run(make, with, replays, stop));
            }
        }
    }
}

/// The sinks that have to end, and where they are still wanted begin anew: those that are others or gone, and the
/// lakes that announce over such a one.
pub fn stale(before: &Config, config: &Config) -> BTreeSet<String> {
    let is_same = |part: String| before.is_same(config, &part);
    let has_other_series = || {
        let instruments = |config: &Config| {
            config.series().into_iter().map(|series| series.instrument.clone()).collect::<BTreeSet<_>>()
        };
        let (held, now) = (instruments(before), instruments(config));
        held != now || now.iter().any(|id| !is_same(format!("instrument.{id}")))
    };
    let is_stale = |sink: &SinkConfig| {
        let lists_series = matches!(&sink.kind, SinkKind::Mqtt(mqtt) if mqtt.format == MqttFormat::Columnar);
        !is_same(format!("sink.{}", sink.id))
            || !is_same(format!("sink.{}.batch", sink.id))
            || (lists_series && has_other_series())
    };
    let mut stale: BTreeSet<String> =
        before.sinks.iter().filter(|sink| is_stale(sink)).map(|sink| sink.id.to_string()).collect();
    let is_over_one = |sink: &&SinkConfig| {
        let over = sink.kind.lake().and_then(|lake| lake.announce.as_ref());
        over.is_some_and(|over| !is_same(format!("sink.{over}")))
    };
    stale.extend(before.sinks.iter().filter(is_over_one).map(|sink| sink.id.to_string()));
    stale
}

fn surroundings(house: &House, sink: &SinkConfig, health: &Arc<SinkHealth>) -> Surroundings {
    let config = house.in_force.get();
    Surroundings {
        id: sink.id.clone(),
        folder: config.journal.path.clone(),
        reader: house.reader.clone(),
        head: house.head.clone(),
        inbox: house.inbox.clone(),
        clock: house.clock.clone(),
        health: health.clone(),
        hold_untrusted: config.clock.hold_untrusted,
        bytes: config.journal.sink_bytes(config.sinks.len()),
        meter: Arc::new(Meter::open(Allowance::of(sink), &config.journal.path, sink.id.as_str())),
        flushes_at_end: house.flushes_at_end,
    }
}
