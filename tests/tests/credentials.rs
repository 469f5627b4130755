//! Credentials that are given for a while, for a certificate: nothing that lasts is on the device, and neither their end, nor
//! a provider that is away or says no, nor a store that has forgotten them costs a reading.

use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::lake::Lake;
use e2e::provider::{ALIAS, Provider};
use e2e::pty::Port;
use e2e::road::Stop;
use e2e::row;
use e2e::seaweed::{SECRET, Seaweed};
use e2e::talker::Talker;
use serde_json::Value;

/// From a cause to what the agent must make of it; its longest wait before it tries again included.
const LIMIT: Duration = Duration::from_mins(2);
const HOUR: Duration = Duration::from_secs(3600);
const LINES_PER_SECOND: u32 = 50;
/// What the store signs its credentials with.
const SIGNING: &str = "dGVzdC1zaWduaW5nLWtleS0zMi1jaGFyYWN0ZXJzLWxvbmc=";
const OTHER: &str = "b3RoZXItc2lnbmluZy1rZXktMzItY2hhcmFjdGVycy1sb25nIQ==";

fn sink(status: &Value) -> &Value {
    item(status, "sinks", "lake")
}

fn delivered(status: &Value) -> u64 {
    sink(status)["delivered_total"].as_u64().unwrap_or_default()
}

/// A store with a role, a provider that gives its credentials, a device that talks, and an agent with a certificate.
struct Farm {
    dir: tempfile::TempDir,
    store: Seaweed,
    provider: Provider,
    agent: Agent,
    talker: Talker,
}

impl Farm {
    fn new(life: Duration, is_denied: bool) -> Self {
        Self::with(life, is_denied, |_, _| String::new())
    }

    /// With more lines for the sink, which may know the folder and the provider's port.
    fn with(life: Duration, is_denied: bool, lines: impl FnOnce(&Path, u16) -> String) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut store = Seaweed::with_role(&dir.path().join("store"), "pond", SIGNING);
        store.start();
        store.make_bucket("pond");
        let provider = Provider::started(&dir.path().join("provider"), &store, life);
        if is_denied {
            provider.deny();
        }
        let lines = format!("manifest_every = \"2s\"\n{}", lines(dir.path(), provider.port()));
        let port = Port::plugged(&dir.path().join("port"));
        let config = agent::preamble(dir.path(), "200ms")
            + &agent::counter("counter", port.path())
            + &agent::s3_sink_at("lake", &store.endpoint(), "pond", &lines)
            + &provider.credentials("lake", ALIAS);
        assert!(!config.contains(SECRET) && !config.contains("secret"), "nothing that lasts: {config}");
        let agent = Agent::started(dir.path(), &config);
        agent.wait_open(&port, "counter");
        let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
        Self { dir, store, provider, agent, talker }
    }

    /// Everything that was said is in the lake, once.
    fn end(mut self) {
        drop(self.talker.stop());
        self.agent.wait_delivered(LIMIT);
        self.agent.terminate();
        let rows = Lake::Bucket(&self.store, "pond").parquet_rows();
        row::assert_each_once(&rows);
        // The device may not look further than its own lake, so somebody else does.
        let lake = agent::s3_sink("lake", &self.store, "pond");
        let config = agent::preamble(self.dir.path(), "200ms") + &lake;
        std::fs::write(self.agent.config(), config).expect("write into the story's folder");
        let verified = self.agent.cli(&["lake", "verify", "lake", "--from", "1h"]);
        assert_eq!(verified.status.code(), Some(0), "{}{}", agent::stdout(&verified), agent::stderr(&verified));
    }
}

#[test]
fn uploads_need_no_key_that_lasts_and_go_on_past_the_end_of_each_that_is_given() {
    let farm = Farm::new(Duration::from_secs(10), false);
    let status = farm
        .agent
        .wait_until("three sets of credentials", LIMIT, |status| farm.provider.given() >= 3 && delivered(status) > 500);
    let lake = sink(&status);
    assert_eq!((&lake["state"], &lake["quarantined_batches"]), (&"ok".into(), &0.into()), "{status:#}");
    assert!(lake["credentials"]["not_after"].is_string() && lake["credentials"]["problem"].is_null(), "{status:#}");
    assert_eq!((&lake["tls"]["days_left"], &lake["conditional_put"]), (&364.into(), &"honoured".into()), "{status:#}");
    let screen = agent::stdout(&farm.agent.cli(&["status"]));
    assert!(screen.contains("credentials are valid until 20"), "{screen}");
    assert!(screen.contains("the credentials provider's certificate is valid until 20"), "{screen}");
    assert_eq!(farm.provider.denied(), 0);
    farm.end();
}

#[test]
fn a_provider_that_is_away_costs_nothing_while_what_it_gave_lasts_and_then_a_wait() {
    let mut farm = Farm::new(Duration::from_secs(20), false);
    farm.agent.wait_until("the first object", LIMIT, |status| delivered(status) > 0);
    farm.provider.stop();
    let status = farm.agent.wait_until("fresh credentials to be missed", LIMIT, |status| {
        sink(status)["credentials"]["problem"].is_string() && sink(status)["credentials"]["not_after"].is_string()
    });
    let output = farm.agent.cli(&["status"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}", agent::stdout(&output));
    let before = delivered(&status);
    let status = farm.agent.wait_until("uploads with the old ones", LIMIT, |status| delivered(status) > before);
    assert_eq!(sink(&status)["state"], "ok", "{status:#}");
    farm.agent.wait_until("the old ones to expire", LIMIT, |status| {
        let words = sink(status)["last_error"].as_str().unwrap_or_default();
        sink(status)["state"] == "retrying" && words.contains("no credentials") && words.contains("refused")
    });
    farm.provider.give_for(HOUR);
    farm.provider.start();
    farm.agent.wait_until("uploads with fresh ones", LIMIT, |status| {
        sink(status)["state"] == "ok" && sink(status)["credentials"]["problem"].is_null()
    });
    farm.end();
}

#[test]
fn a_refusal_of_the_provider_is_said_as_what_it_is_and_is_not_repeated_at_once() {
    let farm = Farm::new(HOUR, true);
    let status = farm.agent.wait_until("the refusal", LIMIT, |status| sink(status)["state"] == "retrying");
    let words = sink(&status)["last_error"].as_str().unwrap_or_default();
    for part in ["no credentials", "403 Access Denied", "\"gw-1\"", ALIAS, "iot:AssumeRoleWithCertificate"] {
        assert!(words.contains(part), "{words}");
    }
    let screen = agent::stdout(&farm.agent.cli(&["status"]));
    assert!(
        screen.contains("no fresh credentials: the credentials provider refuses us (403 Access Denied)"),
        "{screen}"
    );
    farm.provider.give_for(HOUR);
    farm.agent.wait_until("an upload", LIMIT, |status| delivered(status) > 0);
    // The batch was tried every few seconds meanwhile.
    assert_eq!((farm.provider.denied(), farm.provider.given()), (1, 1));
    farm.end();
}

#[test]
fn credentials_that_the_store_does_not_know_any_more_are_replaced() {
    let mut farm = Farm::new(HOUR, false);
    farm.agent.wait_until("the first object", LIMIT, |status| delivered(status) > 0);
    farm.store.stop();
    farm.store.sign_with("pond", OTHER);
    farm.store.start();
    let before = delivered(&farm.agent.status().expect("it answers"));
    farm.agent.wait_until("an upload with others", LIMIT, |status| delivered(status) > before);
    assert!(farm.provider.given() >= 2, "the old ones still worked");
    farm.end();
}

#[test]
fn a_proxy_is_the_way_to_the_provider_and_to_the_store() {
    let mut stop = None;
    let farm = Farm::with(HOUR, false, |dir, provider| {
        let proxy = stop.insert(Stop::tinyproxy(&dir.join("proxy"), provider, Some(("pond", "sesame"))));
        let password = dir.join("proxy.password");
        std::fs::write(&password, "sesame\n").expect("write into the story's folder");
        format!(
            "proxy = \"http://127.0.0.1:{}\"\nproxy_username = \"pond\"\nproxy_password_file = \"{}\"",
            proxy.port(),
            password.display()
        )
    });
    farm.agent.wait_until("objects", LIMIT, |status| delivered(status) > 100);
    let log = stop.as_ref().expect("started above").log();
    let tunnel = format!("CONNECT localhost:{} ", farm.provider.port());
    assert!(log.contains(&tunnel) && log.contains("PUT http://127.0.0.1:"), "{log}");
    farm.end();
}
