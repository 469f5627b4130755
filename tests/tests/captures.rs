//! Real instruments' bytes go in through ports, and what comes out of every sink is what others find in them.
//!
//! One agent listens to all captures at once, as a farm gateway does. What to expect is computed by pynmea2, by plain
//! Python, or was written down by the authors of a driver; what came is read by paho and `DuckDB`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use std::{fs, thread};

use e2e::agent::{self, Agent, item};
use e2e::captures::{ALL, Capture};
use e2e::lake::Lake;
use e2e::mosquitto::Mosquitto;
use e2e::oracle::Expected;
use e2e::patience::wait_for;
use e2e::places;
use e2e::pty::Port;
use e2e::row::{self, Row, Series};
use e2e::seaweed::Seaweed;
use e2e::subscriber::Subscriber;

/// Faster than any of these instruments ever spoke; all of them together are 40,000 readings in eight seconds.
const LINES_PER_SECOND: u32 = 1_000;

/// A port must be read at all times.
const PORT_LIMIT: Duration = Duration::from_secs(20);

/// From the last byte to the last sink.
const DELIVERY_LIMIT: Duration = Duration::from_mins(2);

/// A capture on its port.
struct Feed {
    capture: &'static Capture,
    port: Port,
    wire: Vec<u8>,
    expected: Expected,
}

impl Feed {
    fn new(capture: &'static Capture, dir: &std::path::Path) -> Self {
        let wire = capture.wire(dir);
        let port = Port::plugged(&dir.join(format!("port-{}", capture.name)));
        let expected = capture.expected(&wire);
        Self { capture, port, wire: fs::read(wire).expect("just written"), expected }
    }

    /// An empty line first: whatever the agent may distrust because it came upon it half way ends there.
    fn speak(&self) {
        self.port.send(b"\r\n", PORT_LIMIT);
        self.port.send_lines(&self.wire, LINES_PER_SECOND, PORT_LIMIT);
    }
}

fn feed_all(feeds: &[Feed], agent: &Agent) {
    for feed in feeds {
        agent.wait_open(&feed.port, feed.capture.name);
    }
    thread::scope(|scope| {
        for feed in feeds {
            scope.spawn(|| feed.speak());
        }
    });
    agent.wait_until("all that was said to be counted", DELIVERY_LIMIT, |status| {
        feeds.iter().all(|feed| {
            let [readings, refused] = counts(status, feed.capture.name);
            readings >= feed.expected.readings && refused >= feed.expected.refused
        })
    });
    agent.wait_delivered(DELIVERY_LIMIT);
}

fn counts(status: &serde_json::Value, instrument: &str) -> [u64; 2] {
    let instrument = item(status, "instruments", instrument);
    ["readings_total", "frames_refused_total"].map(|count| instrument[count].as_u64().unwrap_or_default())
}

fn places_of(rows: &[Row]) -> BTreeSet<(String, u64)> {
    rows.iter().filter(|row| row.is_reading()).map(|row| (row.epoch.clone(), row.seq)).collect()
}

#[test]
fn every_capture_arrives_in_every_sink_as_the_oracles_say_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("captures");
    let broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    let feeds: Vec<Feed> = ALL.iter().map(|capture| Feed::new(capture, dir.path())).collect();
    let folder = dir.path().join("lake");

    let instruments: String = feeds.iter().map(|feed| feed.capture.stanza(feed.port.path())).collect();
    let sinks = [
        agent::mqtt_sink("cloud", &broker.url()),
        agent::s3_sink("store", &store, "captures"),
        agent::file_sink("usb", &folder, "ndjson"),
    ];
    let config = agent::preamble(dir.path(), "1s") + &instruments + &sinks.concat();
    let mut agent = Agent::started(dir.path(), &config);
    feed_all(&feeds, &agent);

    let status = agent.status().unwrap();
    for feed in &feeds {
        let expected = [feed.expected.readings, feed.expected.refused];
        assert_eq!(counts(&status, feed.capture.name), expected, "readings and refused frames: {}", feed.capture.name);
    }
    let expected: Series = feeds.iter().flat_map(|feed| feed.expected.series.clone()).collect();
    let total: usize = expected.values().map(Vec::len).sum();
    // The broker's yes comes before the subscriber's copy.
    let heard = wait_for(
        "the subscriber to have all",
        DELIVERY_LIMIT,
        || agent.log_tail(),
        || Some(subscriber.rows()).filter(|rows| rows.iter().filter(|row| row.is_reading()).count() >= total),
    );
    agent.terminate();

    let stored = Lake::Bucket(&store, "captures").parquet_rows();
    let filed = Lake::Folder(&folder).ndjson_rows();
    for (sink, rows) in [("the broker", &heard), ("the object store", &stored), ("the folder", &filed)] {
        row::assert_each_once(rows);
        row::assert_same(sink, &row::series(rows), &expected);
        assert_eq!(places_of(rows), places_of(&heard), "{sink} holds other places of the journal");
    }
    assert!(heard.iter().all(|row| row.event != "gap"), "something was lost: {heard:#?}");

    let keys: BTreeSet<String> =
        store.keys("captures").into_iter().filter(|key| key.starts_with("readings/")).collect();
    let lines = Lake::Bucket(&store, "captures").manifest_lines();
    let listed: BTreeSet<String> = lines.iter().filter_map(|line| line["key"].as_str().map(str::to_owned)).collect();
    assert_eq!(listed, keys, "the manifest names other objects than there are");
    assert_eq!(lines.len(), keys.len(), "the manifest names an object twice");
}

/// The column encodings are chosen, not left to a library: what pyarrow makes of the same rows is the yardstick.
#[test]
fn the_lake_is_no_larger_than_another_writer_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let capture = ALL.iter().find(|capture| capture.name == "weather").unwrap();
    let feeds = [Feed::new(capture, dir.path())];
    let folder = dir.path().join("lake");
    let config = agent::preamble(dir.path(), "1s")
        + &capture.stanza(feeds[0].port.path())
        + &agent::file_sink("usb", &folder, "parquet").replace("max_age = \"1s\"", "max_age = \"5s\"");
    let mut agent = Agent::started(dir.path(), &config);
    feed_all(&feeds, &agent);
    agent.terminate();

    let [ours, theirs] = parquet_sizes(&folder.join("readings"));
    assert!(ours <= theirs, "{ours} bytes, where pyarrow makes {theirs}");
}

fn parquet_sizes(folder: &PathBuf) -> [u64; 2] {
    let Output { status, stdout, stderr } =
        places::python("helpers/parquet.py").arg(folder).output().expect("start python");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let sizes: Vec<u64> = serde_json::from_slice(&stdout).expect("parquet.py prints a list");
    sizes.try_into().expect("parquet.py prints two sizes")
}
