//! Faults of what lies beyond the device: the network, brokers, stores.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::agent;
use e2e::desk::{Desk, Fate};
use e2e::faketime;
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::moto::Moto;
use e2e::pki::{Authority, Leaf, Pair};
use e2e::road::Stop;
use e2e::seaweed::{KEY_ID, Seaweed};

use crate::look::{Seen, write};

/// A port that answers nobody: its queue of connections is full, and the kernel swallows who comes then.
pub struct Hole {
    /// Where it is.
    pub address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Hole {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut queue = Vec::new();
        while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(one);
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

/// Somebody who takes connections and says this, or nothing.
pub fn speaker(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            // Who has gone does not hear it.
            client.write_all(words).ok();
            held.push(client);
        }
    });
    port
}

#[test]
fn a_network_that_fails_is_told_by_where() {
    let dir = tempfile::tempdir().unwrap();
    let hole = Hole::new();
    let sinks = agent::mqtt_sink("name", "mqtt://no-such-host.invalid:1883")
        + &agent::mqtt_sink("refused", "mqtt://127.0.0.1:1")
        + &agent::mqtt_sink("hole", &format!("mqtt://{}", hole.address))
        + agent::mqtt_sink("proxied", "mqtt://broker.example:1883").trim_end()
        + "\nproxy = \"http://127.0.0.1:2\"\n\n";
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("network", dir.path(), &["network", "broker"]);
    seen.expect("network-name", "no-such-host.invalid:1883", "fault", &["can not be resolved", "getent hosts"]);
    seen.expect("network-connect", "127.0.0.1:1", "fault", &["refused", "nothing listens on port 1"]);
    seen.expect("network-connect", &hole.address.to_string(), "fault", &["timed out", "firewall"]);
    seen.expect("network-connect", "127.0.0.1:2", "fault", &["refused"]);
    for sink in ["name", "refused", "hole", "proxied"] {
        seen.expect("broker-reached", sink, "fault", &["not tried"]);
    }
}

#[test]
fn tls_that_fails_is_told_by_which_side_refuses_what() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let other = Authority::new(&dir.path().join("other"));
    let ca = authority.certificate();
    let device = authority.issue(&Leaf::client("device"));
    let shown = [
        authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::server("expired") }),
        authority.issue(&Leaf { from: "+2 days", until: "+30 days", ..Leaf::server("early") }),
        authority.issue(&Leaf { hosts: "DNS:broker.example", ..Leaf::server("name") }),
        other.issue(&Leaf::server("foreign")),
        authority.issue(&Leaf { until: "+5 days", ..Leaf::server("soon") }),
    ];
    let listeners: Vec<Secured> = shown.iter().map(|shows| Secured { ca: &ca, shows, crl: None }).collect();
    let broker = Mosquitto::secured(&dir.path().join("broker"), &listeners);
    let ours_expired = authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::client("ours-expired") });
    let ours_foreign = other.issue(&Leaf::client("ours-foreign"));
    let [expired, early, name, foreign, soon] = broker.secured_ports() else { panic!("five listeners") };
    let tls = |sink: &str, port: u16, identity: Option<&Pair>| {
        agent::mqtts_sink(sink, &format!("mqtts://localhost:{port}"), &ca, identity, "")
    };
    let sinks = tls("expired", *expired, Some(&device))
        + &tls("early", *early, Some(&device))
        + &tls("name", *name, Some(&device))
        + &tls("foreign", *foreign, Some(&device))
        + &tls("soon", *soon, Some(&device))
        + &tls("ours-expired", *soon, Some(&ours_expired))
        + &tls("ours-foreign", *soon, Some(&ours_foreign))
        + &tls("nobody", *soon, None)
        + &tls("plain", broker.port(), Some(&device));
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("TLS", dir.path(), &["broker"]);
    let clock = "timedatectl";
    for (sink, words) in [
        ("expired", &["the broker's certificate expired on 20", "is this device's clock right", clock][..]),
        ("early", &["the broker's certificate is valid from 20", "is this device's clock right", clock]),
        ("name", &["is for broker.example, and not for localhost", "`url`"]),
        ("foreign", &["from an authority that is not in", "ca"]),
        ("ours-expired", &["the broker refused our certificate", "it expired on 20"]),
        ("ours-foreign", &["the broker refused our certificate", "not from an authority that the broker trusts"]),
        ("nobody", &["wants a certificate from us", "set cert and key"]),
        ("plain", &["does this port speak TLS", "8883"]),
    ] {
        seen.expect("broker-tls", sink, "fault", words);
        assert!(seen.find("broker-login", sink).is_none(), "{sink}");
    }
    seen.expect("sink-certificate", "ours-expired", "fault", &["ours expired on 20"]);
    seen.expect("broker-certificate", "soon", "warning", &["4 days from now", "renewed there"]);
    seen.expect("broker-publish", "soon", "ok", &["farm/farm/gw-1/doctor", "come back"]);
}

#[test]
fn a_broker_is_told_by_the_step_that_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let guarded = Mosquitto::guarded(&dir.path().join("guarded"), "allow_anonymous false\n");
    let acl = dir.path().join("acl");
    fs::write(&acl, "topic readwrite elsewhere/#\n").unwrap();
    let rules = format!("allow_anonymous true\nacl_file {}\n", acl.display());
    let strict = Mosquitto::guarded(&dir.path().join("strict"), &rules);
    let web = speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let mute = speaker(b"");
    let proxy = Stop::tinyproxy(&dir.path().join("proxy"), 1, None);
    let sinks = agent::mqtt_sink("login", &guarded.url())
        + &agent::mqtt_sink("acl", &strict.url())
        + agent::mqtt_sink("acl-old", &strict.url()).trim_end()
        + "\nversion = \"3.1.1\"\n\n"
        + &agent::mqtt_sink("web", &format!("mqtt://127.0.0.1:{web}"))
        + &agent::mqtt_sink("mute", &format!("mqtt://127.0.0.1:{mute}"))
        + agent::mqtt_sink("proxy", &guarded.url()).trim_end()
        + &format!("\nproxy = \"http://127.0.0.1:{}\"\n\n", proxy.port())
        + agent::mqtt_sink("password", &guarded.url()).trim_end()
        + &format!("\nusername = \"me\"\npassword_file = \"{}/no-password\"\n\n", dir.path().display());
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("brokers", dir.path(), &["broker"]);
    seen.expect("broker-login", "login", "fault", &["otAuthorized", "username"]);
    seen.expect("broker-login", "acl", "ok", &["gw-1"]);
    seen.expect(
        "broker-publish",
        "acl",
        "fault",
        &["farm/farm/gw-1/doctor: the broker refused it: NotAuthorized", "ACL"],
    );
    seen.expect("broker-publish", "acl-old", "warning", &["not come back"]);
    seen.expect("broker-login", "web", "fault", &["an MQTT broker"]);
    seen.expect("broker-login", "mute", "fault", &["no answer within"]);
    seen.expect("broker-reached", "proxy", "fault", &["the proxy http://127.0.0.1", "let 127.0.0.1"]);
    seen.expect("broker-files", "password", "fault", &["no-password"]);
}

/// A sink to a store behind a desk, with the agent's key.
fn lake(name: &str, endpoint: &str, bucket: &str, secret: &Path) -> String {
    agent::s3_sink_at(name, endpoint, bucket, "") + &key(name, KEY_ID, secret)
}

fn key(name: &str, id: &str, secret: &Path) -> String {
    format!(
        "[sink.{name}.credentials]\ntype = \"static\"\naccess_key_id = \"{id}\"\nsecret_access_key_file = \"{}\"\n\n",
        secret.display()
    )
}

#[test]
fn a_store_is_told_by_what_it_refuses() {
    const BUCKET: &str = "doctor";
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("doctor-refused");
    let moto = Moto::started(dir.path(), BUCKET);
    let secret = store.secret_file();
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "wrongwrongwrongwrongwrongwrongwrongwrong").unwrap();
    let gone: PathBuf = dir.path().join("no-secret");
    let desk = || Desk::to(moto.port());
    let [ignores, refuses, denies, bars, skews] = [desk(), desk(), desk(), desk(), desk()];
    ignores.rule_with("PUT ", "if-none-match", Fate::Without("if-none-match"), usize::MAX);
    refuses.rule_with("PUT ", "if-none-match", Fate::Answer(501, "NotImplemented"), usize::MAX);
    denies.rule("PUT ", Fate::Answer(403, "AccessDenied"), usize::MAX);
    bars.rule("", Fate::Answer(403, "AccessDenied"), usize::MAX);
    skews.rule("PUT ", Fate::Answer(403, "RequestTimeTooSkewed"), usize::MAX);
    let endpoint = store.endpoint();
    let sinks = agent::s3_sink_at("secret", &endpoint, "doctor-refused", "")
        + &key("secret", KEY_ID, &wrong)
        + &agent::s3_sink_at("stranger", &endpoint, "doctor-refused", "")
        + &key("stranger", "nobodyknowsthiskey01", &secret)
        + &lake("bucket", &endpoint, "no-such-bucket", &secret)
        + &lake("empty", &endpoint, "doctor-refused", &gone)
        + &lake("ignores", &ignores.endpoint(), BUCKET, &secret)
        + &lake("refuses", &refuses.endpoint(), BUCKET, &secret)
        + &lake("denies", &denies.endpoint(), BUCKET, &secret)
        + &lake("bars", &bars.endpoint(), BUCKET, &secret)
        + &lake("skews", &skews.endpoint(), BUCKET, &secret)
        + &lake("web", &format!("http://127.0.0.1:{}", speaker(b"220 smtp\r\n")), BUCKET, &secret)
        + &agent::file_sink("stick", &dir.path().join("no/such/stick"), "ndjson")
        + &agent::file_sink("unmounted", Path::new("/mnt/tidegate-lake"), "ndjson");
    write(dir.path(), &(agent::preamble(dir.path(), "1s") + &sinks));
    let mut seen = Seen::at("stores", dir.path(), &["store"]);
    seen.expect("store-credentials", "secret", "fault", &["SignatureDoesNotMatch", "secret"]);
    seen.expect("store-credentials", "stranger", "fault", &["InvalidAccessKeyId"]);
    seen.expect("store-put", "bucket", "fault", &["NoSuchBucket", "no-such-bucket"]);
    seen.expect("store-credentials", "empty", "fault", &["no credentials", "no-secret"]);
    seen.expect("store-conditional", "ignores", "warning", &["takes no notice", "whole"]);
    seen.expect("store-conditional", "refuses", "warning", &["does not take", "whole"]);
    seen.expect("store-put", "denies", "warning", &["AccessDenied", "s3:PutObject", "can be read"]);
    seen.expect("store-put", "bars", "fault", &["AccessDenied", "s3:PutObject"]);
    seen.expect("store-credentials", "skews", "fault", &["RequestTimeTooSkewed", "clock"]);
    seen.expect("store-reached", "web", "fault", &["endpoint"]);
    seen.expect("store-folder", "stick", "fault", &["is not there", "plug the stick in"]);
    seen.expect("store-mount", "unmounted", "warning", &["nothing is mounted"]);

    faketime::set(dir.path(), "-3d");
    let mut early = Seen::with("a clock three days behind", dir.path(), &["clock"], &[], &faketime::env(dir.path()));
    early.expect("clock-skew", "", "fault", &["s behind", "signatures"]);
}
