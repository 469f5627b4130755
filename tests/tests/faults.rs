//! What fails around the agent: ports, brokers, stores and the instruments' own words. It goes on, says so, and loses
//! nothing that reached it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::lake::Lake;
use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::row::{self, Row};
use e2e::seaweed::Seaweed;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use rustix::process::Signal;
use serde_json::Value;

/// From a cause to what the agent must make of it; its longest wait before it tries again included.
const LIMIT: Duration = Duration::from_mins(2);

fn said(number: u64) -> String {
    format!("n,{number}\r\n")
}

fn state(status: &Value, list: &str, id: &str) -> String {
    item(status, list, id)["state"].as_str().unwrap_or_default().to_owned()
}

fn readings(status: &Value, instrument: &str) -> u64 {
    item(status, "instruments", instrument)["readings_total"].as_u64().unwrap_or_default()
}

/// The numbers that an instrument said and a sink has, in the order of the journal.
fn numbers(rows: &[Row], instrument: &str) -> Vec<f64> {
    let own = rows.iter().filter(|row| row.instrument == instrument && row.is_reading());
    own.filter_map(|row| row.value).collect()
}

fn events(rows: &[Row], instrument: &str) -> Vec<String> {
    let own = rows.iter().filter(|row| row.instrument == instrument && !row.is_reading());
    own.map(|row| row.event.clone()).collect()
}

#[test]
fn a_pulled_plug_is_told_and_disturbs_no_other_instrument() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let [pulled, steady] = ["pulled", "steady"].map(|name| Port::plugged(&dir.path().join(name)));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("pulled", pulled.path())
        + &agent::counter("steady", steady.path())
        + &agent::file_sink("usb", &lake, "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&pulled, "pulled");
    agent.wait_open(&steady, "steady");
    let pulled = Talker::start(pulled, 100, said);
    let steady = Talker::start(steady, 100, said);
    agent.wait_until("readings of both", LIMIT, |status| {
        readings(status, "pulled") > 0 && readings(status, "steady") > 0
    });

    let mut pulled = pulled.stop();
    pulled.unplug();
    let status =
        agent.wait_until("the plug to be missed", LIMIT, |status| state(status, "instruments", "pulled") == "down");
    assert!(item(&status, "instruments", "pulled")["last_error"].is_string(), "nobody says why: {status:#}");
    let output = agent.cli(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "an instrument is down and status says all is fine");
    let before = readings(&status, "steady");
    agent.wait_until("the other to go on", LIMIT, |status| readings(status, "steady") > before + 100);

    pulled.plug();
    agent.wait_open(&pulled, "pulled");
    let before = readings(&agent.status().unwrap(), "pulled");
    let pulled = Talker::start(pulled, 100, said);
    agent.wait_until("readings of the new plug", LIMIT, |status| readings(status, "pulled") > before);

    let (said, steady) = (steady.count(), steady);
    agent.wait_until("all of the steady one", LIMIT, |status| readings(status, "steady") >= said);
    drop((pulled.stop(), steady.stop()));
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let rows = row::distinct(Lake::Folder(&lake).ndjson_rows());
    let numbers = numbers(&rows, "steady");
    let unbroken = numbers.windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < f64::EPSILON);
    assert!(numbers.first() == Some(&1.0) && unbroken, "the steady instrument was disturbed: {numbers:?}");
    let events = events(&rows, "pulled");
    assert_eq!(events[..2], ["instrument-down", "instrument-up"], "{events:?}");
}

#[test]
fn nothing_is_there_at_the_start_and_all_of_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let mut broker = Mosquitto::started(&dir.path().join("broker"));
    let mut store = Seaweed::stopped(&dir.path().join("store"));
    // Both are made ready, then taken away: the subscriber's session and the bucket wait for the agent's first word.
    let subscriber = Subscriber::start(&broker, "farm/#", &dir.path().join("heard"));
    store.start();
    store.make_bucket("late");
    store.stop();
    broker.stop();
    let present = Port::plugged(&dir.path().join("present"));
    let mut absent = Port::unplugged(&dir.path().join("absent"));

    let sinks = [
        agent::mqtt_sink("cloud", &broker.url()),
        agent::s3_sink("store", &store, "late"),
        agent::file_sink("usb", &lake, "ndjson"),
    ];
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("present", present.path())
        + &agent::counter("absent", absent.path())
        + &sinks.concat();
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&present, "present");
    present.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);

    // The sinks are independent: the folder has what the others wait for.
    agent.wait_until("the folder to have all, and the others to say that they do not", LIMIT, |status| {
        let has_all = item(status, "sinks", "usb")["lag_readings"] == 0 && readings(status, "present") == 3;
        let missed = ["cloud", "store"].iter().all(|sink| {
            let sink = item(status, "sinks", sink);
            sink["lag_readings"].as_u64() > Some(0) && sink["last_error"].is_string()
        });
        has_all && missed && state(status, "instruments", "absent") == "down"
    });

    absent.plug();
    agent.wait_open(&absent, "absent");
    absent.send(b"n,10\r\nn,20\r\n", LIMIT);
    agent.wait_until("the late instrument's readings", LIMIT, |status| readings(status, "absent") == 2);
    broker.start();
    store.start();
    agent.wait_delivered(LIMIT);
    let heard = wait_for(
        "the subscriber to have all",
        LIMIT,
        || agent.log_tail(),
        || Some(subscriber.rows()).filter(|rows| rows.iter().filter(|row| row.is_reading()).count() >= 5),
    );
    agent.terminate();

    let stored = Lake::Bucket(&store, "late").parquet_rows();
    let filed = Lake::Folder(&lake).ndjson_rows();
    for rows in [&heard, &stored, &filed] {
        row::assert_each_once(rows);
        assert_eq!(numbers(&row::distinct(rows.clone()), "present"), [1.0, 2.0, 3.0]);
        assert_eq!(numbers(&row::distinct(rows.clone()), "absent"), [10.0, 20.0]);
    }
}

/// How a bad line is told from a good one must not depend on luck: every line here has one thing wrong with it.
const REFUSED: &[&[u8]] = &[
    b"20.5,NaN,ok",
    b"20.5,inf,ok",
    b"20.5,1e999,ok",
    b"20.5,0x32,ok",
    b"20.5,,ok",
    b"20.5,50",
    b"20.5,50,ok,more",
    b"twenty,50,ok",
    b"\x00\xff\xfe\x80\x1b[31m\x07",
    b"1015.15  90.807  21.753",
];

/// What a wrong baud rate looks like, over and over.
const NOISE_LINES: u64 = 500;

#[test]
fn bad_input_is_counted_and_shown_and_never_a_reading() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms") + &probe(&port) + &agent::file_sink("usb", &lake, "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "probe");

    let mut wire = b"\r\n20.5,50,ok\r\n-9999,51,ok\r\nNaN,52,ok\r\n".to_vec();
    for line in REFUSED {
        wire.extend([line, &b"\r\n"[..]].concat());
    }
    wire.extend([&[b'7'; 10_000][..], b"\r\n"].concat());
    for _ in 0..NOISE_LINES {
        wire.extend(b"\xf3\x93\xb9\x9f noise\r\n");
    }
    wire.extend(b"21.5,53,ok\r\n");
    port.send(&wire, LIMIT);
    let refused = u64::try_from(REFUSED.len()).unwrap() + 1 + NOISE_LINES;
    let status = agent.wait_until("the last line", LIMIT, |status| {
        let probe = item(status, "instruments", "probe");
        readings(status, "probe") >= 8 && probe["frames_refused_total"].as_u64() >= Some(refused)
    });
    assert_eq!(item(&status, "instruments", "probe")["frames_refused_total"], refused);
    assert_eq!(readings(&status, "probe"), 8);
    agent.wait_delivered(LIMIT);
    agent.terminate();

    let rows = row::distinct(Lake::Folder(&lake).ndjson_rows());
    let series = row::series(&rows);
    let of = |quantity: &str| series[&("probe".to_owned(), quantity.to_owned())].clone();
    assert_eq!(of("water_temperature"), [Some(20.5), None, None, Some(21.5)]);
    assert_eq!(of("humidity"), [50.0, 51.0, 52.0, 53.0].map(Some));
    let nothing: BTreeSet<&str> =
        rows.iter().filter(|row| row.is_reading() && row.value.is_none()).map(|row| row.quality.as_str()).collect();
    assert_eq!(nothing, BTreeSet::from(["missing"]), "no value, and a quality that says otherwise");

    let rejected = events(&rows, "probe").iter().filter(|event| *event == "frame-rejected").count();
    assert!((1..=10).contains(&rejected), "{rejected} events for {refused} refused frames");
}

fn probe(port: &Port) -> String {
    format!(
        "[bus.line]\nport = \"{}\"\nbaud = 9600\n\n\
         [instrument.probe]\nbus = \"line\"\n\n\
         [instrument.probe.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", end = \"\\r\\n\", max = 64 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 3 }}\n\n\
         [instrument.probe.quantity.water_temperature]\nfield = 1\nunit = \"Cel\"\nmissing = [\"-9999\", \"NaN\"]\n\n\
         [instrument.probe.quantity.humidity]\nfield = 2\nunit = \"%\"\n\n",
        port.path().display()
    )
}

#[test]
fn an_orderly_end_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    // A broker that takes the connection and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", mute.local_addr().unwrap());
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("busy", port.path())
        + &agent::mqtt_sink("cloud", &url)
        + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "busy");
    let talker = Talker::start(port, 1_000, said);
    agent.wait_until("a thousand readings", LIMIT, |status| readings(status, "busy") > 1_000);
    agent.terminate();

    // And the same for a person at the keyboard.
    agent.start();
    agent.wait_ready();
    agent.end_with(Signal::INT);
    drop(talker.stop());
}

#[test]
fn a_wrong_profile_is_said_in_those_words_with_the_rate_and_the_last_frame() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &format!("[bus.line]\nport = \"{}\"\nbaud = 9600\n\n", port.path().display())
        + "[instrument.optode]\nbus = \"line\"\nprofile = \"aanderaa-optode-4831\"\n";
    let agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "optode");
    port.send(b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n$SDDBT,7.9,f,2.4,M,1.3,F*0C\r\n", LIMIT);
    let status = agent.wait_until("both to be refused", LIMIT, |status| {
        item(status, "instruments", "optode")["frames_refused_total"] == 2
    });
    let optode = item(&status, "instruments", "optode");
    assert_eq!((&optode["state"], &optode["frames_refused_per_min"]), (&"garbled".into(), &2.into()));
    let expected = "2453444442542c372e392c662c322e342c4d2c312e332c462a3043"; // $SDDBT,7.9,f,2.4,M,1.3,F*0C
    assert_eq!(optode["last_refused_frame"], expected);
    let screen = agent::stdout(&agent.cli(&["status"]));
    assert!(screen.contains("none of them decodes: a wrong profile"), "{screen}");
    assert!(screen.contains("2 frames refused in the last minute, the last: 24534444"), "{screen}");
}

#[test]
fn the_agent_says_how_it_is_as_readings_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let config = agent::preamble(dir.path(), "200ms").replace("[device]", "[device]\nhealth_every = \"1s\"")
        + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let agent = Agent::started(dir.path(), &config);
    let own = || -> Vec<Row> { agent.tail(1_000).into_iter().filter(|row| row.instrument == "tidegate").collect() };
    agent.wait_until("its own readings", LIMIT, |_| own().iter().any(|row| row.quantity == "lag"));
    let value = |quantity: &str| own().iter().find(|row| row.quantity == quantity).and_then(|row| row.value);
    assert!(
        value("memory").is_some_and(|bytes| bytes > 1e6) && value("journal_bytes").is_some_and(|bytes| bytes > 1e3)
    );
    let lag = own().into_iter().find(|row| row.quantity == "lag").expect("looked at");
    assert_eq!(lag.whole["tags"]["of"], "usb", "{}", lag.whole);
}
