//! TLS and what stands in the way to a broker: the right certificates connect, the wrong ones are told apart in words,
//! renewed ones are taken up without a loss.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item};
use e2e::faketime;
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::patience::wait_for;
use e2e::pki::{Authority, Form, Leaf, Pair, Use};
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::road::Stop;
use e2e::row;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use e2e::wire::Wire;
use serde_json::Value;

/// From a cause to what the agent must make of it; its longest wait before it tries again included.
const LIMIT: Duration = Duration::from_mins(2);

/// A sink to `localhost` at this port.
fn sink(name: &str, port: u16, ca: &Path, identity: Option<&Pair>, lines: &str) -> String {
    agent::mqtts_sink(name, &format!("mqtts://localhost:{port}"), ca, identity, lines)
}

fn last_error(status: &Value, id: &str) -> String {
    item(status, "sinks", id)["last_error"].as_str().unwrap_or_default().to_owned()
}

/// Waits until each of these sinks says words like these.
#[track_caller]
fn wait_for_words(agent: &Agent, expected: &[(&str, &[&str])]) -> Value {
    agent.wait_until("every sink to say what is wrong", LIMIT, |status| {
        expected.iter().all(|(id, words)| words.iter().all(|word| last_error(status, id).contains(word)))
    })
}

/// An authority, a broker that shows a good certificate of it, and a device with one.
struct Farm {
    dir: tempfile::TempDir,
    authority: Authority,
    broker: Mosquitto,
    device: Pair,
}

impl Farm {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new(&dir.path().join("ca"));
        let server = authority.issue(&Leaf::server("server"));
        let device = authority.issue(&Leaf::client("device"));
        let listener = Secured { ca: &authority.certificate(), shows: &server, crl: None };
        let broker = Mosquitto::secured(&dir.path().join("broker"), &[listener]);
        Self { dir, authority, broker, device }
    }

    fn port(&self) -> u16 {
        self.broker.secured_ports()[0]
    }

    fn preamble(&self) -> String {
        agent::preamble(self.dir.path(), "200ms")
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[test]
fn mutual_tls_takes_keys_of_every_form_from_files_and_credentials() {
    let farm = Farm::new();
    let subscriber = Subscriber::start(&farm.broker, "farm/#", &farm.path().join("heard"));
    let ca = farm.authority.certificate();
    let sec1 = farm.authority.issue(&Leaf { form: Form::Sec1, ..Leaf::client("sec1") });
    let pkcs1 = farm.authority.issue(&Leaf { form: Form::Pkcs1, ..Leaf::client("pkcs1") });
    for (pair, begin) in [(&farm.device, "PRIVATE KEY"), (&sec1, "EC PRIVATE KEY"), (&pkcs1, "RSA PRIVATE KEY")] {
        assert!(fs::read_to_string(&pair.key).unwrap().starts_with(&format!("-----BEGIN {begin}-----")));
    }
    // As the service manager hands it over.
    let handed = Pair { cert: pkcs1.cert.clone(), key: "{credential:pkcs1.key}".into() };
    let config = farm.preamble()
        + &sink("pkcs8", farm.port(), &ca, Some(&farm.device), "")
        + &sink("sec1", farm.port(), &ca, Some(&sec1), "version = \"3.1.1\"")
        + &sink("pkcs1", farm.port(), &ca, Some(&handed), "");
    let folder = farm.path().join("ca").display().to_string();
    let mut agent = Agent::launched_with(farm.path(), &config, &[("CREDENTIALS_DIRECTORY", &folder)]);
    agent.wait_ready();
    agent.wait_delivered(LIMIT);
    let status = agent.wait_until("three connections", LIMIT, |status| {
        ["pkcs8", "sec1", "pkcs1"].iter().all(|id| item(status, "sinks", id)["delivered_total"].as_u64() > Some(0))
    });
    assert_eq!(item(&status, "sinks", "pkcs8")["protocol"], "5", "{status:#}");
    assert_eq!(item(&status, "sinks", "sec1")["protocol"], "3.1.1", "{status:#}");
    let tls = &item(&status, "sinks", "pkcs8")["tls"];
    assert_eq!((&tls["days_left"], &tls["version"]), (&364.into(), &"TLSv1_3".into()), "{tls:#}");
    assert_eq!(tls["broker_days_left"], 364, "{tls:#}");
    let screen = agent::stdout(&agent.cli(&["status"]));
    assert!(screen.contains("our certificate is valid until 20"), "{screen}");
    assert_eq!(agent.cli(&["status"]).status.code(), Some(0), "{screen}");
    assert!(subscriber.messages().iter().any(|message| message.topic == "farm/farm/gw-1/status"));
    agent.terminate();
}

#[test]
fn a_broker_that_refuses_our_certificate_is_quoted_with_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let other = Authority::new(&dir.path().join("other"));
    let server = authority.issue(&Leaf::server("server"));
    let expired = authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::client("expired") });
    let early = authority.issue(&Leaf { from: "+2 days", until: "+30 days", ..Leaf::client("early") });
    let revoked = authority.issue(&Leaf::client("revoked"));
    let purpose = authority.issue(&Leaf { purpose: Use::Server, ..Leaf::client("purpose") });
    let foreign = other.issue(&Leaf::client("foreign"));
    let crl = authority.revoke(&revoked);
    let ca = authority.certificate();
    let listener = Secured { ca: &ca, shows: &server, crl: Some(&crl) };
    let broker = Mosquitto::secured(&dir.path().join("broker"), &[listener]);
    let port = broker.secured_ports()[0];

    let sinks = [
        ("expired", Some(&expired)),
        ("early", Some(&early)),
        ("revoked", Some(&revoked)),
        ("purpose", Some(&purpose)),
        ("foreign", Some(&foreign)),
        ("nobody", None),
    ];
    let sinks: String = sinks.iter().map(|(name, pair)| sink(name, port, &ca, *pair, "")).collect();
    let mut agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &sinks));
    let refused = "the broker refused our certificate (";
    let status = wait_for_words(
        &agent,
        &[
            ("expired", &[refused, "expired.pem): it expired on 20", "renew it"]),
            ("early", &[refused, "early.pem): it is valid from 20", "is this device's clock right"]),
            ("revoked", &[refused, "revoked.pem): it has been revoked"]),
            ("purpose", &[refused, "purpose.pem): it is not made for a client"]),
            ("foreign", &[refused, "foreign.pem): it is not from an authority that the broker trusts"]),
            ("nobody", &["the broker wants a certificate from us: set `cert` and `key`"]),
        ],
    );
    assert_eq!(item(&status, "sinks", "expired")["tls"]["days_left"], -3, "{status:#}");
    let output = agent.cli(&["status"]);
    let screen = agent::stdout(&output);
    assert!(
        screen.contains("our certificate expired on 20") && screen.contains("our certificate is valid from 20"),
        "{screen}"
    );
    assert_eq!(output.status.code(), Some(exit::NOT_FINE));
    // TLS 1.3 tells a client of its certificate after the handshake, on a connection that is closed at once. The log has
    // the first attempt of each: none of them may have missed what was said.
    let log = agent.log_tail();
    assert!(log.contains("our certificate has expired: renew it"), "{log}");
    let quoted = log.lines().filter(|line| line.contains("reason=the broker refused our certificate")).count();
    assert_eq!(quoted, 5, "{log}");
    agent.terminate();
}

#[test]
fn a_broker_whose_certificate_we_refuse_is_named_with_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    let other = Authority::new(&dir.path().join("other"));
    let device = authority.issue(&Leaf::client("device"));
    let (ca, foreign_ca) = (authority.certificate(), other.certificate());
    let shown = [
        authority.issue(&Leaf { from: "-30 days", until: "-2 days", ..Leaf::server("expired") }),
        authority.issue(&Leaf { from: "+2 days", until: "+30 days", ..Leaf::server("early") }),
        authority.issue(&Leaf { purpose: Use::Client, ..Leaf::server("purpose") }),
        authority.issue(&Leaf { hosts: "DNS:broker.example,DNS:mqtt.example", ..Leaf::server("name") }),
        other.issue(&Leaf::server("foreign")),
    ];
    let listeners: Vec<Secured> = shown.iter().map(|shows| Secured { ca: &ca, shows, crl: None }).collect();
    let broker = Mosquitto::secured(&dir.path().join("broker"), &listeners);
    let names = ["expired", "early", "purpose", "name", "foreign", "plain"];
    let ports = broker.secured_ports().iter().copied().chain([broker.port()]);
    let sinks: String = names.iter().zip(ports).map(|(name, port)| sink(name, port, &ca, Some(&device), "")).collect();
    let mut agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &sinks));
    wait_for_words(
        &agent,
        &[
            ("expired", &["the broker's certificate expired on 20", "is this device's clock right (it says 20"]),
            ("early", &["the broker's certificate is valid from 20", "is this device's clock right"]),
            ("purpose", &["the broker's certificate is not made for a server"]),
            (
                "name",
                &[
                    "the broker's certificate is for broker.example, mqtt.example, and not for localhost: is `url` right?",
                ],
            ),
            (
                "foreign",
                &[
                    "the broker's certificate is from an authority that is not in",
                    "ca.pem: is `ca` the broker's authority?",
                ],
            ),
            ("plain", &["without a word: does this port speak TLS"]),
        ],
    );
    assert!(foreign_ca.is_file());
    agent.terminate();
}

#[test]
fn files_that_can_not_be_used_are_named_with_what_they_lack() {
    let farm = Farm::new();
    let (ca, Pair { cert, key }) = (farm.authority.certificate(), farm.device.clone());
    let other = farm.authority.issue(&Leaf::client("other"));
    let encrypted = farm.authority.encrypted(&farm.device);
    let pair = |cert: &Path, key: &Path| Some(Pair { cert: cert.to_owned(), key: key.to_owned() });
    let sinks = [
        ("absent", &ca, pair(&farm.path().join("nowhere.pem"), &key)),
        ("swapped", &ca, pair(&key, &cert)),
        ("encrypted", &ca, pair(&cert, &encrypted)),
        ("unpaired", &ca, pair(&cert, &other.key)),
        ("rootless", &key, None),
    ];
    let sinks: String = sinks.iter().map(|(name, ca, pair)| sink(name, farm.port(), ca, pair.as_ref(), "")).collect();
    let mut agent = Agent::started(farm.path(), &(farm.preamble() + &sinks));
    let status = wait_for_words(
        &agent,
        &[
            ("absent", &["can not read certificates from", "nowhere.pem", "No such file"]),
            ("swapped", &["device.key is no file of certificates: there is no BEGIN CERTIFICATE in it"]),
            ("encrypted", &["it is encrypted, and a device has nobody to type the password"]),
            ("unpaired", &["the certificate", "and the key", "do not belong together"]),
            ("rootless", &["is no file of trusted roots"]),
        ],
    );
    assert!(item(&status, "sinks", "unpaired")["tls"]["problem"].is_string(), "{status:#}");
    agent.terminate();
}

#[test]
fn a_broker_that_never_answers_is_told_by_what_was_waited_for() {
    let farm = Farm::new();
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let config = farm.preamble()
        + &agent::mqtt_sink("plain", &format!("mqtt://127.0.0.1:{port}"))
        + &sink("secured", port, &farm.authority.certificate(), None, "");
    let mut agent = Agent::started(farm.path(), &config);
    wait_for_words(
        &agent,
        &[
            ("plain", &["no answer within", "waited for the broker to take the connection"]),
            ("secured", &["no answer within", "waited for the TLS handshake"]),
        ],
    );
    agent.terminate();
}

#[test]
fn a_clock_of_1970_is_named_as_what_is_wrong() {
    let farm = Farm::new();
    let config = farm.preamble() + &sink("cloud", farm.port(), &farm.authority.certificate(), Some(&farm.device), "");
    faketime::set(farm.path(), "@1970-01-02 12:00:00");
    let agent = faketime::launched(farm.path(), &config);
    agent.wait_ready();
    let words = [
        "the broker's certificate is valid from 20",
        "this device's clock says 1970-01-02: the clock is wrong, set it",
    ];
    wait_for_words(&agent, &[("cloud", &words)]);
}

/// Puts a pair in another's place, as a renewal does: the key first, both whole.
fn put(pair: &Pair, place: &Pair) {
    for (from, to) in [(&pair.key, &place.key), (&pair.cert, &place.cert)] {
        let next = to.with_extension("next");
        fs::copy(from, &next).expect("copy in the story's folder");
        fs::rename(&next, to).expect("rename in the story's folder");
    }
}

fn days_left(status: &Value, id: &str) -> Option<i64> {
    item(status, "sinks", id)["tls"]["days_left"].as_i64()
}

#[test]
fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not_and_no_reading_is_lost() {
    let farm = Farm::new();
    let subscriber = Subscriber::start(&farm.broker, "farm/#", &farm.path().join("heard"));
    let soon = farm.authority.issue(&Leaf { until: "+20 days +1 hour", ..Leaf::client("soon") });
    let late = farm.authority.issue(&Leaf { until: "+5 days +1 hour", ..Leaf::client("late") });
    let place = Pair { cert: farm.path().join("device.pem"), key: farm.path().join("device.key") };
    put(&soon, &place);
    fs::set_permissions(&place.key, fs::Permissions::from_mode(0o644)).unwrap();
    let port = Port::plugged(&farm.path().join("port"));
    let config = farm.preamble()
        + &agent::counter("busy", port.path())
        + &sink("cloud", farm.port(), &farm.authority.certificate(), Some(&place), "");
    let mut agent = Agent::started(farm.path(), &config);
    agent.wait_open(&port, "busy");
    let talker = Talker::start(port, 200, |number| format!("n,{number}\r\n"));
    let delivered = |status: &Value| item(status, "sinks", "cloud")["delivered_total"].as_u64().unwrap_or_default();

    // Twenty days: said in the log and on the screen, and still fine.
    agent.wait_until("the first readings", LIMIT, |status| {
        days_left(status, "cloud") == Some(20) && delivered(status) > 200
    });
    assert_eq!(agent.cli(&["status"]).status.code(), Some(0), "{}", agent::stdout(&agent.cli(&["status"])));
    let log = agent.log_tail();
    assert!(log.contains("our certificate expires soon: renew it"), "{log}");
    assert!(log.contains("everybody on this device can read our private key"), "{log}");

    // Five days: not fine.
    put(&late, &place);
    agent.wait_until("the other certificate", LIMIT, |status| days_left(status, "cloud") == Some(5));
    let output = agent.cli(&["status"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE));
    assert!(agent::stdout(&output).contains("in 5 days: renew it"), "{}", agent::stdout(&output));

    // A key that is not this certificate's: the connection there is goes on, and status says what is wrong.
    fs::copy(&farm.device.key, &place.key).unwrap();
    let status = agent.wait_until("the wrong key to be noticed", LIMIT, |status| {
        let problem = item(status, "sinks", "cloud")["tls"]["problem"].as_str().unwrap_or_default().to_owned();
        problem.contains("do not belong together")
    });
    let before = delivered(&status);
    agent.wait_until("readings to go on", LIMIT, |status| delivered(status) > before + 400);
    assert!(agent.log_tail().contains("the old ones stay"), "{}", agent.log_tail());

    // The renewal is finished.
    put(&farm.device, &place);
    agent.wait_until("the renewed certificate", LIMIT, |status| {
        let tls = &item(status, "sinks", "cloud")["tls"];
        days_left(status, "cloud") == Some(364) && tls["problem"].is_null()
    });
    let before = delivered(&agent.status().unwrap());
    agent.wait_until("readings over the new connection", LIMIT, |status| delivered(status) > before + 400);
    let said = talker.count();
    let port = talker.stop();
    agent.wait_until("all of the readings", LIMIT, |status| {
        item(status, "instruments", "busy")["readings_total"].as_u64() >= Some(said)
    });
    agent.wait_delivered(LIMIT);
    agent.terminate();
    drop(port);

    let rows = e2e::patience::wait_for("the subscriber to have all", LIMIT, String::new, || {
        let rows = subscriber.rows();
        (rows.iter().filter(|row| row.is_reading()).count() >= usize::try_from(said).unwrap()).then_some(rows)
    });
    row::assert_each_once(&rows);
    let numbers: Vec<f64> = rows.iter().filter_map(|row| row.value).collect();
    let is_unbroken = numbers.windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < f64::EPSILON);
    assert!(numbers.first() == Some(&1.0) && is_unbroken, "{numbers:?}");
    // Nobody saw the device go: it left in good order each time.
    let gone = subscriber.messages().iter().filter(|message| message.payload["state"] == "offline").count();
    assert_eq!(gone, 1, "once, at the end");
}

#[test]
fn the_device_sdk_of_aws_hears_what_the_agent_says_within_the_limits_of_iot_core() {
    let farm = Farm::new();
    let cloud = farm.authority.issue(&Leaf::client("cloud"));
    let python = places::python("helpers/subscribe_aws.py");
    let mut command = leashed(Path::new(python.get_program()));
    command.args(python.get_args()).arg(farm.port().to_string()).arg(farm.authority.certificate());
    command.args([&cloud.cert, &cloud.key]).arg("farm/#");
    let sdk = Process::start("aws-sdk", command, &farm.path().join("sdk.log"));
    let said = |word: &str| sdk.log().contains(word).then_some(());
    wait_for("the subscription", LIMIT, || sdk.log_tail(), || said("subscribed"));

    let port = Port::plugged(&farm.path().join("port"));
    let ca = farm.authority.certificate();
    let sink = sink("cloud", farm.port(), &ca, Some(&farm.device), "").replace("\"generic\"", "\"aws-iot\"");
    let config = farm.preamble() + &agent::counter("counter", port.path()) + &sink;
    let mut agent = Agent::started(farm.path(), &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
    let numbers = || -> Vec<f64> {
        let log = sdk.log();
        let messages = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let readings = messages.filter(|message| message["type"] == "application/json");
        let readings =
            readings.flat_map(|message| message["payload"]["readings"].as_array().cloned().unwrap_or_default());
        readings.filter_map(|reading| reading["value"].as_f64()).collect()
    };
    wait_for("three readings", LIMIT, || sdk.log_tail(), || (numbers() == [1.0, 2.0, 3.0]).then_some(()));
    agent.terminate();
    wait_for("the goodbye", LIMIT, || sdk.log_tail(), || said("offline"));
}

#[test]
fn port_443_is_reached_by_the_protocol_that_is_offered() {
    let farm = Farm::new();
    let front = Stop::nginx(&farm.path().join("front"), "x-amzn-mqtt-ca", farm.port());
    let ca = farm.authority.certificate();
    let offering = sink("offering", front.port(), &ca, Some(&farm.device), "").trim_end().to_owned()
        + "\nalpn = \"x-amzn-mqtt-ca\"\n\n";
    let silent = sink("silent", front.port(), &ca, Some(&farm.device), "");
    let mut agent = Agent::started(farm.path(), &(farm.preamble() + &offering + &silent));
    agent.wait_until("the one to get through", LIMIT, |status| {
        item(status, "sinks", "offering")["delivered_total"].as_u64() > Some(0)
    });
    wait_for_words(&agent, &[("silent", &["closed in the TLS handshake without a word", "does it want an `alpn`?"])]);
    agent.terminate();
    let seen = fs::read_to_string(farm.path().join("front/seen")).unwrap();
    assert!(seen.contains("alpn=[x-amzn-mqtt-ca] sni=[localhost]"), "{seen}");
    assert!(seen.contains("alpn=[] sni=[localhost]"), "{seen}");
}

#[test]
fn a_proxy_lets_us_through_or_is_quoted() {
    let farm = Farm::new();
    let secret = farm.path().join("secret");
    fs::write(&secret, "sesame\n").unwrap();
    let wrong = farm.path().join("wrong");
    fs::write(&wrong, "thyme\n").unwrap();
    let login = Some(("pond", "sesame"));
    let open_http = Stop::tinyproxy(&farm.path().join("open-http"), farm.port(), None);
    let http = Stop::tinyproxy(&farm.path().join("http"), farm.port(), login);
    let closed = Stop::tinyproxy(&farm.path().join("closed"), 1, None);
    let open_socks = Stop::microsocks(&farm.path().join("open-socks"), None);
    let socks = Stop::microsocks(&farm.path().join("socks"), login);
    let ca = farm.authority.certificate();
    let nobody = e2e::places::free_port();

    let through = |name: &str, url: &str, proxy: &Stop, file: Option<&Path>| {
        let mut lines = format!("proxy = \"{url}://127.0.0.1:{}\"\n", proxy.port());
        if let Some(file) = file {
            lines.extend(["proxy_username = \"pond\"\nproxy_password_file = \"", &file.display().to_string(), "\"\n"]);
        }
        sink(name, farm.port(), &ca, Some(&farm.device), &lines)
    };
    let sinks = [
        through("open-http", "http", &open_http, None),
        through("http", "http", &http, Some(&secret)),
        through("http-stranger", "http", &http, None),
        through("http-wrong", "http", &http, Some(&wrong)),
        through("closed", "http", &closed, None),
        through("open-socks", "socks5", &open_socks, None),
        through("socks", "socks5", &socks, Some(&secret)),
        through("socks-stranger", "socks5", &socks, None),
        through("socks-wrong", "socks5", &socks, Some(&wrong)),
        through("mistaken", "http", &open_socks, None),
        sink("nobody", farm.port(), &ca, None, &format!("proxy = \"http://127.0.0.1:{nobody}\"\n")),
        sink("nowhere", nobody, &ca, None, &format!("proxy = \"socks5://127.0.0.1:{}\"\n", open_socks.port())),
    ];
    let mut agent = Agent::started(farm.path(), &(farm.preamble() + &sinks.concat()));
    agent.wait_until("four ways through", LIMIT, |status| {
        let is_through = |id: &str| item(status, "sinks", id)["delivered_total"].as_u64() > Some(0);
        ["open-http", "http", "open-socks", "socks"].into_iter().all(is_through)
    });
    wait_for_words(
        &agent,
        &[
            ("http-stranger", &["the proxy http://127.0.0.1:", "it wants a login: set `proxy_username`"]),
            ("http-wrong", &["it refuses our login"]),
            ("closed", &["it does not let us through to localhost:", "403"]),
            ("socks-stranger", &["the proxy socks5://127.0.0.1:", "it wants a login"]),
            ("socks-wrong", &["it refuses our login"]),
            ("mistaken", &["the proxy http://127.0.0.1:"]),
            ("nobody", &["the proxy http://127.0.0.1:", "no connection to 127.0.0.1:", "refused"]),
            ("nowhere", &["it can not reach localhost:", "the connection is refused"]),
        ],
    );
    agent.terminate();
    assert!(http.log().contains("CONNECT localhost:"), "{}", http.log());
}

/// What a reconnect may cost, both ways: TLS with our certificate and the broker's, the login, the birth.
const RECONNECT_BYTES_MAX: u64 = 6 << 10;

#[test]
fn a_line_that_was_cut_is_taken_up_again_with_a_short_handshake() {
    let farm = Farm::new();
    let line = Wire::to(farm.port(), None);
    let config = farm.preamble() + &sink("cloud", line.port(), &farm.authority.certificate(), Some(&farm.device), "");
    let mut agent = Agent::started(farm.path(), &config);
    agent.wait_delivered(LIMIT);
    let tls = |status: &Value| item(status, "sinks", "cloud")["tls"].clone();
    agent.wait_until("a first handshake", LIMIT, |status| tls(status)["is_resumed"] == false);
    let (up, down) = line.bytes();
    line.cut();
    agent.wait_until("a second handshake", LIMIT, |status| tls(status)["is_resumed"] == true);
    agent.wait_until("the sink to be well", LIMIT, |status| item(status, "sinks", "cloud")["state"] == "ok");
    let (up, down) = (line.bytes().0 - up, line.bytes().1 - down);
    assert_eq!(line.connections(), 2);
    assert!(up + down < RECONNECT_BYTES_MAX, "{up} bytes up, {down} down");
    agent.terminate();
}
