//! A fleet in one process: each device has its own configuration, link, and task that is told from afar, as the agent makes
//! them; what they share is one journal for their events. Run by `tests/fleet`, which has the brokers.
//!
//! `fleet DEVICES PORT OTHER_PORT FOLDER`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::backoff::spread;
use tidegate::clock::Clock;
use tidegate::config::{Config, InForce, Layers, MqttConfig, SinkKind};
use tidegate::link::{self, Heard, Link, Listening, Message, Presence};
use tidegate::record::{self, Opened};
use tidegate::remote::{self, Afar, Hands, Request};
use tidegate::sinks::meter::{Allowance, Meter};
use tidegate::sinks::mqtt::beside::Beside;
use tidegate::supervise::Tasks;
use tidegate::telemetry::beats::{Beat, Beats};
use tidegate::telemetry::health::{Health, JournalHealth, Shown, SinkHealth};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// As the agent spreads them: `run/wires.rs`.
const SPREAD: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(180);
const PIECE_MS: u128 = 100;

/// When devices came to a broker.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

struct Shared {
    hands: Hands,
    inbox: record::Inbox,
    arrivals: Arrivals,
}

fn write_config(folder: &Path, number: usize, port: u16) -> PathBuf {
    let dir = folder.join(format!("d{number:04}"));
    std::fs::create_dir_all(dir.join("journal")).expect("make a device's folder");
    let text = format!(
        "[device]\nid = \"d{number:04}\"\nsite = \"farm\"\n[journal]\npath = \"{}\"\n[sink.cloud]\ntype = \"mqtt\"\n\
         url = \"mqtt://127.0.0.1:{port}\"\n[remote]\nconfig = true\nallow = [\"sink\", \"journal.commit_interval\"]\n",
        dir.join("journal").display()
    );
    let file = dir.join("tidegate.toml");
    std::fs::write(&file, text).expect("write a device's configuration");
    file
}

fn mqtt(config: &Config) -> (MqttConfig, Arc<SinkHealth>) {
    let sink = &config.sinks[0];
    let SinkKind::Mqtt(mqtt) = &sink.kind else { panic!("it is an mqtt sink") };
    (mqtt.clone(), Arc::new(SinkHealth::new(sink.id.clone(), "mqtt")))
}

fn presence(id: &str, listening: Option<Listening>, arrivals: Option<Arrivals>) -> Presence {
    // The birth is made for each connection.
    let birth = move || {
        if let Some(arrivals) = &arrivals {
            arrivals.lock().expect("nobody panics with it").push(Instant::now());
        }
        "{}".into()
    };
    Presence {
        client_id: id.to_owned(),
        topic: Some(format!("farm/farm/{id}/status")),
        birth: Arc::new(birth),
        gone: "{}".into(),
        on_taken_over: Arc::new(|| {}),
        listening,
    }
}

async fn device(shared: Arc<Shared>, file: PathBuf, stop: CancellationToken) {
    let layers = Layers { file, env: BTreeMap::new() };
    let config = Arc::new(remote::begin(&layers).expect("the fleet's configuration is right"));
    let (requests, mut asked) = mpsc::channel(4);
    let afar = Afar::new(layers, requests);
    let (_, listening) = afar.listening(&config).expect("it is told from afar");
    let id = config.device.id.to_string();
    let in_force = InForce::new(config.clone());
    let clock = shared.hands.clock.clone();
    let connect = |config: &Config, wait: Duration, tasks: &mut Tasks| {
        let (mqtt, health) = mqtt(config);
        let meter = Meter::open(Allowance::of(&config.sinks[0]), &config.journal.path, "cloud");
        let presence = presence(&id, Some(listening.clone()), Some(shared.arrivals.clone()));
        let mut made = None;
        tasks.spawn("link".to_owned(), |stop| {
            let (link, task) = link::new(mqtt.clone(), presence, (health, clock.clone()), wait, stop);
            made = Some(link);
            task
        });
        let link = made.expect("made where the task is");
        Beside { link, meter: Arc::new(meter), clock: clock.clone(), topic: mqtt.beside, unlucky: 0 }
    };
    let mut tasks = Tasks::default();
    let way = watch::channel(connect(&config, spread(SPREAD), &mut tasks)).0;
    let hands = Hands { in_force: in_force.clone(), ..shared.hands.clone() };
    let task = afar.into_task(way.subscribe(), shared.inbox.clone(), hands).expect("it is told from afar");
    tasks.spawn("remote".to_owned(), |stop| task.run(stop));
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => break,
            Some(request) = asked.recv() => request,
        };
        if let Request::Apply(config, done) = request {
            if !in_force.get().is_same(&config, "sink.cloud") {
                tasks.retire("link", Duration::from_secs(3)).await;
                way.send_replace(connect(&config, spread(SPREAD), &mut tasks));
            }
            in_force.set(config);
            done.send(()).ok();
        }
    }
    tasks.drain(Duration::from_secs(3)).await;
}

/// Hears what the fleet reports at one broker.
struct Operator {
    link: Link,
    heard: mpsc::Receiver<Heard>,
}

impl Operator {
    fn at(port: u16, folder: &Path, tasks: &mut Tasks, clock: &Clock) -> Self {
        let file = write_config(folder, 9_000 + usize::from(port % 1_000), port);
        let config = tidegate::config::load(&Layers { file, env: BTreeMap::new() }).expect("it is right");
        let (mqtt, health) = mqtt(&config);
        let (told, heard) = mpsc::channel(100_000);
        let listening = Listening { topics: vec!["farm/farm/+/config/reported".to_owned()], heard: told };
        let presence = presence(&format!("operator-{port}"), Some(listening), None);
        let mut made = None;
        tasks.spawn("operator".to_owned(), |stop| {
            let (link, task) = link::new(mqtt, presence, (health, clock.clone()), Duration::ZERO, stop);
            made = Some(link);
            task
        });
        Self { link: made.expect("made where the task is"), heard }
    }

    /// When each device said that this revision is applied; the moments of all that was said meanwhile.
    async fn wait_applied(&mut self, devices: usize, revision: &str) -> (BTreeMap<String, Instant>, Vec<Instant>) {
        let (mut applied, mut said) = (BTreeMap::new(), Vec::new());
        let until = Instant::now() + LIMIT;
        while applied.len() < devices {
            let heard = tokio::time::timeout_at(until, self.heard.recv()).await;
            let Ok(Some(heard)) = heard else {
                println!("only {} of {devices} devices applied {revision}", applied.len());
                std::process::exit(1);
            };
            let Heard::Message { topic, payload } = heard else { continue };
            let report: Value = serde_json::from_slice(&payload).unwrap_or_default();
            said.push(Instant::now());
            if report["revision"] == revision && report["status"] == "applied" {
                applied.insert(topic, Instant::now());
            }
        }
        (applied, said)
    }
}

/// Tells one after the other; when each was told.
async fn want(link: &Link, devices: usize, revision: &str, config: &Value) -> BTreeMap<String, Instant> {
    let document = json!({"revision": revision, "config": config}).to_string();
    let mut told = BTreeMap::new();
    for number in 0..devices {
        let device = format!("farm/farm/d{number:04}/config");
        let topic = format!("{device}/desired");
        told.insert(format!("{device}/reported"), Instant::now());
        let message = Message { topic, payload: document.clone().into(), is_retained: true, ..Message::default() };
        link.publish(&message).await.expect("the broker takes it");
    }
    told
}

/// The most in any tenth of a second, and how long it took from the first to the last.
fn crowd(mut moments: Vec<Instant>) -> (usize, Duration) {
    moments.sort();
    let (Some(first), Some(last)) = (moments.first().copied(), moments.last().copied()) else {
        return (0, Duration::ZERO);
    };
    let mut pieces: BTreeMap<u128, usize> = BTreeMap::new();
    for moment in moments {
        *pieces.entry((moment - first).as_millis() / PIECE_MS).or_default() += 1;
    }
    (pieces.values().copied().max().unwrap_or(0), last - first)
}

fn print_delays(what: &str, told: &BTreeMap<String, Instant>, applied: &BTreeMap<String, Instant>) {
    let mut delays: Vec<Duration> = applied.iter().map(|(device, at)| *at - told[device]).collect();
    delays.sort();
    let (median, last) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!("{what}: from publish to applied and reported, median {median:.2?}, longest {last:.2?}");
}

async fn wait_arrived(arrivals: &Arrivals, devices: usize) -> Vec<Instant> {
    let until = Instant::now() + LIMIT;
    loop {
        let held = arrivals.lock().expect("nobody panics with it").clone();
        if held.len() >= devices {
            return held;
        }
        assert!(Instant::now() < until, "only {} of {devices} came", held.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [devices, port, other, folder] = words.as_slice() else { panic!("fleet DEVICES PORT OTHER_PORT FOLDER") };
    let (devices, folder) = (devices.parse::<usize>().expect("a number"), PathBuf::from(folder));
    let (port, other) = (port.parse::<u16>().expect("a port"), other.parse::<u16>().expect("a port"));
    let clock = Clock::with_anchors_in(&folder);
    let journal = Arc::new(JournalHealth::default());
    let of_fleet = tidegate::config::load(&Layers { file: write_config(&folder, 9_999, port), env: BTreeMap::new() });
    let of_fleet = of_fleet.expect("it is right");
    let Opened { writer, inbox, reader, .. } =
        record::open(&of_fleet.journal, (0, None), &clock, &journal, Vec::new()).expect("a journal");
    std::thread::spawn(move || writer.run(&Beat::default(), None).expect("the journal is written"));
    let health =
        Arc::new(Health { instruments: Shown::default(), sinks: Shown::default(), journal, remote: Shown::default() });
    let hands = Hands {
        layers: Layers::default(),
        in_force: InForce::new(Arc::new(of_fleet)),
        health,
        reader,
        clock: clock.clone(),
        started_ms: 0,
        asks: Arc::default(),
        taps: tidegate::acquire::tap::Taps::default(),
        updates: None,
        rotator: None,
    };
    let arrivals: Arrivals = Arc::default();
    let shared = Arc::new(Shared { hands, inbox, arrivals: arrivals.clone() });
    let mut tasks = Tasks::new(Beats::default());
    let mut operator = Operator::at(port, &folder, &mut tasks, &clock);
    let mut elsewhere = Operator::at(other, &folder, &mut tasks, &clock);
    for number in 0..devices {
        let file = write_config(&folder, number, port);
        let shared = shared.clone();
        tasks.spawn(format!("device:{number}"), move |stop| device(shared, file, stop));
    }
    let (most, took) = crowd(wait_arrived(&arrivals, devices).await);
    println!("{devices} devices came within {took:.2?}, at most {most} in a tenth of a second");

    let (link, config) = (operator.link.clone(), json!({"journal": {"commit_interval": "300ms"}}));
    let (told, (applied, said)) =
        tokio::join!(want(&link, devices, "r1", &config), operator.wait_applied(devices, "r1"));
    print_delays("an interval", &told, &applied);
    let (most, _) = crowd(said);
    println!("an interval: at most {most} reports in a tenth of a second");

    arrivals.lock().expect("nobody panics with it").clear();
    // The other broker knows nothing of the first one's revision: the device brings its own.
    let config = json!({"sink": {"cloud": {"url": format!("mqtt://127.0.0.1:{other}")}}});
    let (told, (applied, said)) =
        tokio::join!(want(&link, devices, "r2", &config), elsewhere.wait_applied(devices, "r2"));
    print_delays("another broker", &told, &applied);
    let (most, took) = crowd(wait_arrived(&arrivals, devices).await);
    println!("another broker: {devices} came within {took:.2?}, at most {most} in a tenth of a second");
    let (most, _) = crowd(said);
    println!("another broker: at most {most} reports in a tenth of a second");
    std::process::exit(0);
}
