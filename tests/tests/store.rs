//! What a store, the way to it and a kill at any step of an upload do: the lake holds every row once, and the catalogue is
//! whole.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use e2e::agent::{self, Agent, item};
use e2e::desk::{Asked, Desk, Fate};
use e2e::faketime;
use e2e::lake::Lake;
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::row;
use e2e::seaweed::{KEY_ID, Seaweed};
use e2e::talker::Talker;
use serde_json::Value;

/// From a cause to what the agent must make of it; its longest wait before it tries again included.
const LIMIT: Duration = Duration::from_mins(2);
const LINES_PER_SECOND: u32 = 50;
const ALWAYS: usize = usize::MAX;

fn said(number: u64) -> String {
    format!("n,{number}\r\n")
}

fn sink(status: &Value) -> &Value {
    item(status, "sinks", "lake")
}

fn delivered(status: &Value) -> u64 {
    sink(status)["delivered_total"].as_u64().unwrap_or_default()
}

fn words(status: &Value) -> &str {
    sink(status)["last_error"].as_str().unwrap_or_default()
}

/// A device that talks, and an agent whose store is behind a desk.
struct Pond<'a> {
    dir: tempfile::TempDir,
    store: &'a Seaweed,
    bucket: &'static str,
    desk: Desk,
    agent: Agent,
    talker: Talker,
}

impl<'a> Pond<'a> {
    fn new(store: &'a Seaweed, bucket: &'static str) -> Self {
        let desk = Desk::to(store.port());
        Self::with(store, bucket, desk, Agent::launched)
    }

    /// With rules that are there from the beginning, and an agent that is launched in its own way.
    fn with(
        store: &'a Seaweed,
        bucket: &'static str,
        desk: Desk,
        launch: impl FnOnce(&std::path::Path, &str) -> Agent,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = Port::plugged(&dir.path().join("port"));
        // A manifest with every object: what happens to one happens to the other.
        let config = agent::preamble(dir.path(), "200ms")
            + &agent::counter("counter", port.path())
            + &agent::s3_sink_at("lake", &desk.endpoint(), bucket, "manifest_every = \"0s\"")
            + &agent::s3_key("lake", store);
        let agent = launch(dir.path(), &config);
        let talker = Talker::start(port, LINES_PER_SECOND, said);
        Self { dir, store, bucket, desk, agent, talker }
    }

    /// How the line of a put begins, below readings or manifests.
    fn put(&self, tree: &str) -> String {
        format!("PUT /{}/{tree}/", self.bucket)
    }

    #[track_caller]
    fn wait_for_more(&self, what: &str) -> Value {
        let before = self.agent.status().map_or(0, |status| delivered(&status));
        self.agent.wait_until(what, LIMIT, |status| delivered(status) > before && sink(status)["state"] == "ok")
    }

    #[track_caller]
    fn wait_held(&self) -> String {
        let held = || self.desk.held().into_iter().next();
        wait_for("something to be held at the desk", LIMIT, || self.agent.log_tail(), held)
    }

    /// Everything that was durable is in the lake, once, and the catalogue is whole.
    #[track_caller]
    fn end(mut self) {
        self.desk.clear();
        drop(self.talker.stop());
        self.agent.wait_delivered(LIMIT);
        self.agent.terminate();
        let rows = Lake::Bucket(self.store, self.bucket).parquet_rows();
        row::assert_each_once(&rows);
        assert!(rows.iter().all(|row| row.event != "gap"), "nothing had to be dropped");
        let verified = self.agent.cli(&["--json", "lake", "verify", "lake", "--from", "1h"]);
        assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
        // What the journal has of it is what the lake has.
        let journal = self.agent.cli(&["journal", "export"]);
        let kept = agent::stdout(&journal).lines().count();
        assert!(rows.len() >= kept.saturating_sub(1), "{} of {kept} rows, the end's own event left out", rows.len());
        drop(self.dir);
    }
}

#[test]
fn a_kill_at_each_step_of_an_upload_leaves_every_row_once_and_the_catalogue_whole() {
    let store = Seaweed::shared();
    store.make_bucket("steps");
    let mut pond = Pond::new(&store, "steps");
    pond.agent.wait_ready();
    // The object is sealed and has not gone; it is there and not confirmed; the same with its line.
    for (tree, fate) in [
        ("readings", Fate::HoldRequest),
        ("readings", Fate::HoldReply),
        ("manifests", Fate::HoldRequest),
        ("manifests", Fate::HoldReply),
    ] {
        for _ in 0..2 {
            pond.desk.rule(&pond.put(tree), fate.clone(), 1);
            pond.wait_held();
            pond.agent.kill();
            pond.desk.clear();
            pond.agent.start();
            pond.agent.wait_ready();
            pond.wait_for_more("an object after the kill");
        }
    }
    pond.end();
}

#[test]
fn a_kill_at_any_sync_of_the_disk_leaves_every_row_once_and_the_catalogue_whole() {
    let store = Seaweed::shared();
    store.make_bucket("syncs");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::s3_sink_at("lake", &store.endpoint(), "syncs", "manifest_every = \"0s\"")
        + &agent::s3_key("lake", &store);
    let talker = Talker::start(port, LINES_PER_SECOND, said);
    let mut agent = Agent::launched(dir.path(), &config);
    agent.wait_until("the first object", LIMIT, |status| delivered(status) > 0);
    agent.kill();
    let mut kills = 0;
    // A sealed batch is a file with its folder, a cursor another, a line of the ledger one more: some ten syncs an object, each
    // on whichever thread does the work. Every thread's n-th is the last.
    for nth in 2..=16 {
        let inject = format!("inject=fsync,rename,renameat,renameat2:signal=KILL:when={nth}");
        let fault =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,rename,renameat,renameat2", "-e", &inject];
        agent = Agent::launched_under(dir.path(), &config, &fault);
        let ended = wait_for("the kill", LIMIT, || agent.log_tail(), || agent.ended());
        kills += u64::from(ended.signal() == Some(9) || ended.code() == Some(128 + 9));
    }
    assert_eq!(kills, 15, "each was a kill");
    agent = Agent::started(dir.path(), &config);
    agent.wait_until("objects after the last kill", LIMIT, |status| delivered(status) > 0);
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    let rows = Lake::Bucket(&store, "syncs").parquet_rows();
    row::assert_each_once(&rows);
    let boots = rows.iter().filter(|row| row.event == "boot").count();
    assert!(boots >= 2, "{boots} starts were told");
    let verified = agent.cli(&["lake", "verify", "lake", "--from", "1h"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
}

#[test]
fn lost_replies_conflicts_and_a_store_that_is_busy_cost_nothing_but_time() {
    let store = Seaweed::shared();
    store.make_bucket("busy");
    let pond = Pond::new(&store, "busy");
    pond.agent.wait_ready();
    pond.wait_for_more("the first object");
    for tree in ["readings", "manifests"] {
        pond.desk.rule(&pond.put(tree), Fate::LoseReply, 2);
        pond.wait_for_more("an object whose reply was lost");
        pond.desk.rule(&pond.put(tree), Fate::HangUp, 2);
        pond.wait_for_more("an object behind a connection that broke");
        pond.desk.rule(&pond.put(tree), Fate::Answer(409, "ConditionalRequestConflict"), 2);
        pond.wait_for_more("an object after a conflict");
    }
    pond.desk.rule("PUT ", Fate::Answer(503, "SlowDown"), 5);
    pond.agent.wait_until("the store to be said busy", LIMIT, |status| {
        sink(status)["state"] == "retrying" && words(status).contains("SlowDown")
    });
    let status = pond.wait_for_more("an object after the storm");
    assert_eq!(sink(&status)["quarantined_batches"], 0, "{status:#}");
    assert_eq!(sink(&status)["conditional_put"], "honoured", "{status:#}");
    let asked = pond.desk.asked();
    assert!(asked.iter().any(|asked| asked.line.starts_with("HEAD ")), "412 was held against what is there");
    pond.end();
}

#[test]
fn a_bucket_that_is_not_there_and_a_key_that_is_revoked_are_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Seaweed::stopped(dir.path());
    store.start();
    let own = tempfile::tempdir().unwrap();
    let port = Port::plugged(&own.path().join("port"));
    let config = agent::preamble(own.path(), "200ms")
        + &agent::counter("counter", port.path())
        + &agent::s3_sink("lake", &store, "later");
    let mut agent = Agent::started(own.path(), &config);
    let talker = Talker::start(port, LINES_PER_SECOND, said);
    agent.wait_until("the bucket to be missed", LIMIT, |status| {
        sink(status)["state"] == "retrying" && words(status).contains("NoSuchBucket")
    });
    store.make_bucket("later");
    agent.wait_until("an object", LIMIT, |status| delivered(status) > 0);

    store.stop();
    agent.wait_until("the store to be missed", LIMIT, |status| sink(status)["state"] == "retrying");
    store.know_only("somebodyelseskey0001");
    store.start();
    let status =
        agent.wait_until("the key to be refused", LIMIT, |status| words(status).contains("InvalidAccessKeyId"));
    assert_eq!((&sink(&status)["state"], &sink(&status)["quarantined_batches"]), (&"retrying".into(), &0.into()));
    store.stop();
    store.know_only(KEY_ID);
    store.start();
    let before = delivered(&agent.status().unwrap());
    agent.wait_until("objects again", LIMIT, |status| delivered(status) > before && sink(status)["state"] == "ok");
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    row::assert_each_once(&Lake::Bucket(&store, "later").parquet_rows());
    let verified = agent.cli(&["lake", "verify", "lake", "--from", "1h"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
}

#[test]
fn another_object_under_our_key_is_left_alone_and_ours_set_aside_with_words() {
    let store = Seaweed::shared();
    store.make_bucket("taken");
    let desk = Desk::to(store.port());
    desk.rule("PUT /taken/readings/", Fate::HoldRequest, 1);
    let pond = Pond::with(&store, "taken", desk, Agent::started);
    let line = pond.wait_held();
    let key = line.split(['/', '?']).skip(2).take_while(|part| !part.starts_with("x-id")).collect::<Vec<_>>().join("/");
    let key = key.replace("%3D", "=");
    assert_eq!(store.put_if_absent("taken", &key, "not ours"), "200", "{key}");
    pond.desk.clear();
    let status =
        pond.agent.wait_until("the object to be set aside", LIMIT, |status| sink(status)["quarantined_batches"] == 1);
    let log = pond.agent.log_tail();
    assert!(log.contains("another object of 8 bytes lies under s3://taken/readings/v1/"), "{log}");
    assert!(store.keys("taken").contains(&key), "{status:#}");
    let before = delivered(&status);
    pond.agent.wait_until("what stands behind it to go on", LIMIT, |status| delivered(status) > before);
    let (mut agent, talker) = (pond.agent, pond.talker);
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    agent.terminate();
    store.delete("taken", &key);
    let rows = Lake::Bucket(&store, "taken").parquet_rows();
    assert_eq!(rows.iter().filter(|row| row.event == "gap").count(), 1, "the loss is named");
}

#[test]
fn a_store_that_does_not_take_the_condition_is_written_to_without() {
    let store = Seaweed::shared();
    store.make_bucket("plain");
    let desk = Desk::to(store.port());
    desk.rule_with("PUT ", "if-none-match", Fate::Answer(501, "NotImplemented"), ALWAYS);
    desk.rule_with("PUT ", "if-match", Fate::Answer(501, "NotImplemented"), ALWAYS);
    let pond = Pond::with(&store, "plain", desk, Agent::started);
    pond.wait_for_more("the first object");
    let status = pond.wait_for_more("another");
    assert_eq!(sink(&status)["conditional_put"], "refused", "{status:#}");
    assert!(agent::stdout(&pond.agent.cli(&["status"])).contains("does not take If-None-Match"));
    let refused = pond.desk.asked().iter().filter(|asked| asked.status == 501).count();
    assert_eq!(refused, 1, "it is not asked again");
    // A put that comes again overwrites itself.
    pond.desk.rule(&pond.put("readings"), Fate::LoseReply, 2);
    pond.wait_for_more("an object whose reply was lost");
    let (mut agent, talker) = (pond.agent, pond.talker);
    drop(talker.stop());
    agent.wait_delivered(LIMIT);
    // As after a power cut: the day's manifest is there, and the agent does not know it.
    agent.kill();
    agent.start();
    agent.wait_until("an object of the new start", LIMIT, |status| delivered(status) > 0);
    agent.wait_delivered(LIMIT);
    agent.terminate();
    row::assert_each_once(&Lake::Bucket(&store, "plain").parquet_rows());
    let verified = agent.cli(&["lake", "verify", "lake", "--from", "1h"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
}

#[test]
fn a_checksum_is_a_header_made_beforehand_and_never_a_trailer() {
    let store = Seaweed::shared();
    store.make_bucket("sums");
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::to(store.port());
    let settings = ["auto", "crc64nvme", "crc32", "sha256", "md5", "none"];
    let sinks = settings.map(|setting| {
        let lines = format!("prefix = \"{setting}/\"\nchecksum = \"{setting}\"\nmanifest_every = \"0s\"");
        let name = format!("to-{setting}");
        agent::s3_sink_at(&name, &desk.endpoint(), "sums", &lines) + &agent::s3_key(&name, &store)
    });
    let mut agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &sinks.concat()));
    agent.wait_until("every sink to have delivered", LIMIT, |status| {
        let done = |setting| item(status, "sinks", &format!("to-{setting}"))["delivered_total"].as_u64() > Some(0);
        settings.iter().all(done)
    });
    agent.terminate();
    let asked = desk.asked();
    for setting in settings {
        let begin = format!("PUT /sums/{setting}/");
        let puts: Vec<&Asked> = asked.iter().filter(|asked| asked.line.starts_with(&begin)).collect();
        assert!(puts.len() >= 2, "an object and a manifest: {puts:?}");
        for put in puts {
            assert!(matches!(put.status, 200 | 412), "{put:?}");
            let sums: Vec<&str> = put
                .headers
                .keys()
                .filter(|name| name.starts_with("x-amz-checksum-") || *name == "content-md5")
                .map(String::as_str)
                .collect();
            let expected: &[&str] = match setting {
                // A store of somebody's own: what all of them know.
                "auto" | "md5" => &["content-md5"],
                "crc64nvme" => &["x-amz-checksum-crc64nvme"],
                "crc32" => &["x-amz-checksum-crc32"],
                "sha256" => &["x-amz-checksum-sha256"],
                _ => &[],
            };
            assert_eq!(sums, expected, "{setting}: {put:?}");
            for never in ["x-amz-trailer", "x-amz-decoded-content-length", "transfer-encoding"] {
                assert!(!put.headers.contains_key(never), "{setting}: {put:?}");
            }
            assert!(!put.headers.get("content-encoding").is_some_and(|it| it.contains("aws-chunked")), "{put:?}");
            assert_eq!(put.headers["content-length"], put.body_bytes.to_string(), "{put:?}");
            assert_eq!(put.headers["x-amz-content-sha256"].len(), 64, "the body is signed: {put:?}");
        }
    }
}

#[test]
fn a_clock_that_is_wrong_by_hours_signs_with_the_stores_time() {
    let store = Seaweed::shared();
    for (bucket, wrong) in [("early", "-7h"), ("late", "+26h")] {
        store.make_bucket(bucket);
        let launch = |dir: &std::path::Path, config: &str| {
            faketime::set(dir, wrong);
            faketime::launched(dir, config)
        };
        let pond = Pond::with(&store, bucket, Desk::to(store.port()), launch);
        pond.agent.wait_ready();
        pond.wait_for_more("an object");
        pond.wait_for_more("another");
        let asked = pond.desk.asked();
        let refused = asked.iter().filter(|asked| asked.status == 403).count();
        println!("{wrong}: {refused} of {} requests refused", asked.len());
        assert!((1..=2).contains(&refused), "it learns from the first answer: {asked:#?}");
        let Pond { mut agent, talker, .. } = pond;
        drop(talker.stop());
        agent.wait_delivered(LIMIT);
        agent.terminate();
        row::assert_each_once(&Lake::Bucket(&store, bucket).parquet_rows());
    }
}
