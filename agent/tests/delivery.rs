//! The delivery loop against far sides that refuse, vanish and come back. The journal is a real one; the far side is a
//! double, because a broker or a store that refuses on command is not to be had.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::Reader;
use model::{
    Clock as Trust, EventKind, Fact, InstrumentId, Numbered, Quality, QuantityId, Reading, Record, Seq, SeqRange,
    Series, SinkId, Stamp, Timestamp, Value,
};
use tidegate::clock::Clock;
use tidegate::config::JournalConfig;
use tidegate::record::{self, Inbox, Opened};
use tidegate::sinks::meter::{Allowance, Meter};
use tidegate::sinks::runner::replay::{self, Ask, Asks, Replay};
use tidegate::sinks::runner::{Runner, Surroundings};
use tidegate::sinks::{Batch, BatchLimits, DeliverError, Sink};
use tidegate::supervise::Tasks;
use tidegate::telemetry::beats::{Beat, Beats};
use tidegate::telemetry::health::{JournalHealth, SinkHealth, SinkState};
use tokio::sync::{Barrier, oneshot, watch};

/// What the double far side does with a batch.
type Verdict = fn(&Batch) -> Result<(), DeliverError>;

struct Double {
    verdict: Verdict,
    is_up: Arc<AtomicBool>,
    is_sealed: bool,
    /// Goes into the encoding: another agent version would encode otherwise.
    version: u8,
    seen: Arc<Mutex<Vec<Batch>>>,
    /// The batch that begins with 1 does not get through.
    is_first_held: Arc<AtomicBool>,
    settled: Arc<Mutex<Vec<Seq>>>,
    /// Attempts while it is away, and how often it was told to hurry.
    attempts: Arc<AtomicU64>,
    hurries: Arc<AtomicU64>,
    /// So many must have asked what it lacks before it says so to any.
    askers: Option<Arc<Barrier>>,
}

impl Sink for Double {
    fn limits(&self) -> BatchLimits {
        BatchLimits { age_max: Duration::from_millis(1), records_max: 10, bytes_max: 1 << 20, window: 2 }
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn cut(&self, records: &[Numbered]) -> usize {
        records.len()
    }

    fn encode(&self, range: SeqRange, records: &[Numbered]) -> Result<Batch, DeliverError> {
        let mut bytes = vec![self.version];
        bytes.extend(records.iter().flat_map(|numbered| numbered.seq.0.to_be_bytes()));
        Ok(Batch { range, key: format!("k{}", range.first), bytes: bytes.into(), note: Vec::new().into() })
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), DeliverError> {
        let is_held = batch.range.first == Seq(1) && self.is_first_held.load(Ordering::Relaxed);
        if is_held || !self.is_up.load(Ordering::Relaxed) {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            return Err(DeliverError::retry("the far side is away"));
        }
        (self.verdict)(batch)?;
        self.seen.lock().expect("no panics here").push(batch.clone());
        Ok(())
    }

    fn hurry(&self) {
        self.hurries.fetch_add(1, Ordering::Relaxed);
    }

    fn settle(&self, batch: &Batch) -> std::io::Result<()> {
        self.settled.lock().expect("no panics here").push(batch.range.first);
        Ok(())
    }

    async fn lacks(&self, range: SeqRange, _since: Timestamp) -> Result<Vec<SeqRange>, DeliverError> {
        if let Some(askers) = &self.askers {
            askers.wait().await;
        }
        Ok(vec![range])
    }

    async fn tend(&self, _is_end: bool) -> Result<(), DeliverError> {
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a Verdict")]
fn accept(_: &Batch) -> Result<(), DeliverError> {
    Ok(())
}

fn double(verdict: Verdict) -> Double {
    Double {
        verdict,
        is_up: Arc::new(true.into()),
        is_sealed: false,
        version: 1,
        seen: Arc::default(),
        is_first_held: Arc::default(),
        settled: Arc::default(),
        attempts: Arc::default(),
        hurries: Arc::default(),
        askers: None,
    }
}

/// A journal with its writer, and what runners need of it.
struct House {
    folder: tempfile::TempDir,
    clock: Clock,
    reader: Reader,
    head: watch::Receiver<Seq>,
    inbox: Inbox,
    tasks: Tasks,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::of_this_boot();
        let path = folder.path().to_path_buf();
        let config = JournalConfig { path, commit_interval: Duration::from_millis(50), ..JournalConfig::default() };
        let health = Arc::new(JournalHealth::default());
        // A sink that has confirmed nothing keeps retention away.
        let idle = Arc::new(SinkHealth::new(SinkId::try_new("idle").expect("a name"), "double"));
        let Opened { writer, inbox, reader, head, .. } =
            record::open(&config, (0, None), &clock, &health, vec![idle]).expect("an empty folder");
        std::thread::spawn(move || writer.run(&Beat::default(), None).expect("the temporary disk is fine"));
        Self { folder, clock, reader, head, inbox, tasks: Tasks::new(Beats::default()) }
    }

    async fn take(&self, count: u64) {
        let stamp = Stamp { clock: Trust::Synced, ..self.clock.stamp() };
        let series = Arc::new(Series {
            instrument: InstrumentId::try_new("i").expect("a name"),
            quantity: QuantityId::try_new("q").expect("a name"),
            unit: String::new(),
            tags: model::Tags::new(),
        });
        let reading = |_| {
            let series = series.clone();
            Record::Reading(Reading { stamp, series, value: Value::Number(1.0), quality: Quality::NotEvaluated })
        };
        assert!(self.inbox.offer((0..count).map(reading).collect()).is_ok(), "room for a few");
        self.inbox.flush().await;
    }

    fn start(&mut self, name: &str, sink: Double) -> Arc<SinkHealth> {
        self.start_and_ask(name, sink).0
    }

    /// The same, with the way to ask it for a replay.
    fn start_and_ask(&mut self, name: &str, sink: Double) -> (Arc<SinkHealth>, Asks) {
        let id = SinkId::try_new(name).expect("a name");
        let health = Arc::new(SinkHealth::new(id.clone(), "double"));
        let with = Surroundings {
            id,
            folder: self.folder.path().to_path_buf(),
            reader: self.reader.clone(),
            head: self.head.clone(),
            inbox: self.inbox.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
            hold_untrusted: Duration::ZERO,
            bytes: JournalConfig::default().sink_bytes(1),
            meter: Arc::new(Meter::open(Allowance::default(), self.folder.path(), name)),
            flushes_at_end: true,
        };
        let runner = Runner::open(sink, with).expect("a runner");
        let (way, replays) = replay::channel();
        self.tasks.spawn(name.to_owned(), |stop| runner.run(replays, stop));
        (health, way)
    }

    fn records(&self) -> Vec<Numbered> {
        self.reader.read(SeqRange::new(Seq::FIRST, self.reader.head()), 1_000).expect("readable").records
    }
}

/// Waits for a state, at most ten seconds.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

fn delivered(seen: &Mutex<Vec<Batch>>) -> u64 {
    seen.lock().expect("no panics here").iter().map(|batch| batch.range.len()).sum()
}

fn is_file_below(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_refused_for_good_is_set_aside_with_a_gap_and_what_stands_behind_it_goes_on() {
    let mut house = House::new();
    house.take(30).await;
    let sink = double(|batch| match batch.range.first {
        Seq(11) => Err(DeliverError::reject("poison")),
        _ => Ok(()),
    });
    let seen = sink.seen.clone();
    let health = house.start("cloud", sink);
    until("the refused batch to be set aside", || health.quarantined_batches.load(Ordering::Relaxed) == 1).await;
    until("the gap to be delivered like a reading", || delivered(&seen) == 21).await;

    let gap = house.records().into_iter().find_map(|numbered| match numbered.record {
        Record::Event(event) if event.kind == EventKind::Gap => Some(event),
        _ => None,
    });
    let facts = gap.expect("a gap event").facts;
    assert_eq!(facts["reason"], Fact::from("quarantine"));
    assert_eq!((&facts["lost_first"], &facts["lost_next"]), (&Fact::Integer(11), &Fact::Integer(21)));
    assert_eq!(facts["sink"], Fact::from("cloud"));
    assert!(is_file_below(&house.folder.path().join("quarantined/sealed/cloud")), "its bytes are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_batch_goes_out_after_a_crash_with_the_same_bytes_under_the_same_key() {
    let mut house = House::new();
    house.take(10).await;
    let away = Double { is_sealed: true, is_up: Arc::new(false.into()), ..double(accept) };
    let health = house.start("lake", away);
    until("a first attempt", || health.state.get() == SinkState::Retrying).await;
    // The crash: the task is cut off where it stands, nothing is told.
    drop(std::mem::take(&mut house.tasks));

    // The next version encodes otherwise, and more has come in meanwhile.
    house.take(5).await;
    let next = Double { is_sealed: true, version: 2, ..double(accept) };
    let seen = next.seen.clone();
    house.start("lake", next);
    until("everything to arrive", || delivered(&seen) == 15).await;
    until("nothing to be kept of what arrived", || !is_file_below(&house.folder.path().join("sealed/lake"))).await;
    let seen = seen.lock().expect("no panics here");
    assert_eq!((seen[0].key.as_str(), seen[0].range), ("k1", SeqRange::new(Seq(1), Seq(11))));
    assert_eq!(seen[0].bytes[0], 1, "sealed by the version that named it");
    assert_eq!(seen[1].bytes[0], 2, "what was not named is encoded now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_batches_that_arrive_out_of_order_are_settled_and_confirmed_in_the_order_of_the_journal() {
    let mut house = House::new();
    house.take(40).await;
    let sink = Double { is_sealed: true, is_first_held: Arc::new(true.into()), ..double(accept) };
    let (seen, settled, is_held) = (sink.seen.clone(), sink.settled.clone(), sink.is_first_held.clone());
    let health = house.start("lake", sink);
    until("the second to arrive", || delivered(&seen) == 10).await;
    until("a second attempt at the first", || health.state.get() == SinkState::Retrying).await;
    assert!(settled.lock().expect("no panics here").is_empty(), "it waits for the first");
    assert_eq!(
        (health.confirmed.load(Ordering::Relaxed), delivered(&seen)),
        (0, 10),
        "and holds its place in the window"
    );
    is_held.store(false, Ordering::Relaxed);
    until("everything to arrive", || health.confirmed.load(Ordering::Relaxed) == 40).await;
    assert_eq!(*settled.lock().expect("no panics here"), [1, 11, 21, 31].map(Seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_batch_that_the_disk_lost_is_cut_and_encoded_again() {
    let mut house = House::new();
    house.take(10).await;
    let away = Double { is_sealed: true, is_up: Arc::new(false.into()), ..double(accept) };
    let health = house.start("lake", away);
    until("a first attempt", || health.state.get() == SinkState::Retrying).await;
    drop(std::mem::take(&mut house.tasks));
    std::fs::remove_dir_all(house.folder.path().join("sealed/lake")).expect("a folder of sealed batches");

    let next = Double { is_sealed: true, ..double(accept) };
    let seen = next.seen.clone();
    house.start("lake", next);
    until("everything to arrive", || delivered(&seen) == 10).await;
    assert_eq!(seen.lock().expect("no panics here")[0].key, "k1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_down_holds_up_none_of_the_others_and_catches_up() {
    let mut house = House::new();
    let down = Double { is_up: Arc::new(false.into()), ..double(accept) };
    let (is_up, down_seen) = (down.is_up.clone(), down.seen.clone());
    let up = double(accept);
    let up_seen = up.seen.clone();
    let down_health = house.start("down", down);
    house.start("up", up);
    house.take(25).await;
    until("the sink that is up to have all", || delivered(&up_seen) == 25).await;
    until("the other to say so", || down_health.state.get() == SinkState::Retrying).await;
    assert_eq!(delivered(&down_seen), 0);
    is_up.store(true, Ordering::Relaxed);
    until("the other to catch up", || delivered(&down_seen) == 25).await;
    assert_eq!(down_health.state.get(), SinkState::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_sends_what_is_not_due_yet_and_the_next_start_sends_nothing_twice() {
    let mut house = House::new();
    let sink = double(accept);
    let seen = sink.seen.clone();
    house.start("cloud", sink);
    house.take(3).await;
    std::mem::take(&mut house.tasks).drain(Duration::from_secs(10)).await;
    assert_eq!(delivered(&seen), 3);

    let again = double(accept);
    let seen_again = again.seen.clone();
    house.start("cloud", again);
    house.take(1).await;
    until("the new one", || delivered(&seen_again) == 1).await;
    assert_eq!(seen_again.lock().expect("no panics here")[0].range, SeqRange::new(Seq(4), Seq(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_two_ask_for_at_once_goes_again_once() {
    let mut house = House::new();
    house.take(10).await;
    let sink = Double { is_sealed: true, askers: Some(Arc::new(Barrier::new(2))), ..double(accept) };
    let (seen, is_up) = (sink.seen.clone(), sink.is_up.clone());
    let (health, way) = house.start_and_ask("lake", sink);
    until("everything to arrive", || delivered(&seen) == 10 && health.confirmed.load(Ordering::Relaxed) == 10).await;
    is_up.store(false, Ordering::Relaxed);
    let range = SeqRange::new(Seq(1), Seq(11));
    let (one, other) = (oneshot::channel(), oneshot::channel());
    for reply in [one.0, other.0] {
        assert!(way.send(Ask::Replay(Replay { range, reply })).await.is_ok(), "it takes both");
    }
    let (one, other) = (one.1.await.expect("an answer"), other.1.await.expect("an answer"));
    assert_eq!([one.expect("it knows"), other.expect("it knows")].concat(), [range]);
    is_up.store(true, Ordering::Relaxed);
    until("it to arrive again", || delivered(&seen) == 20 && health.confirmed.load(Ordering::Relaxed) == 10).await;
    house.take(1).await;
    until("what comes next", || delivered(&seen) == 21).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_told_to_hurry_does_not_wait_for_its_next_attempt() {
    let mut house = House::new();
    house.take(10).await;
    let sink = Double { is_up: Arc::new(false.into()), ..double(accept) };
    let (attempts, hurries) = (sink.attempts.clone(), sink.hurries.clone());
    let (_, way) = house.start_and_ask("cloud", sink);
    // By itself it would wait for a minute between two of the last ones.
    for attempt in 1..=20 {
        let begun = attempts.load(Ordering::Relaxed);
        // One that is told in the middle of an attempt has nothing to hurry with.
        for _ in 0..1_000 {
            if attempts.load(Ordering::Relaxed) > begun {
                break;
            }
            let (reply, answer) = oneshot::channel();
            assert!(way.send(Ask::Hurry(reply)).await.is_ok(), "it listens");
            answer.await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(attempts.load(Ordering::Relaxed) > begun, "attempt {attempt}");
    }
    assert!(hurries.load(Ordering::Relaxed) > 0, "the way there is told, too");
}
