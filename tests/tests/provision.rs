//! A device comes by a certificate of its own: by claim, from an authority of the operator's, and again before it ends.
//! Whatever it is cut off at, it goes on from there.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use e2e::agent::{self, Agent, exit, item, stderr, stdout};
use e2e::iot::Iot;
use e2e::mosquitto::{Mosquitto, Secured};
use e2e::operator::Operator;
use e2e::patience::wait_for;
use e2e::pki::{Authority, Leaf, Pair};
use e2e::places;
use e2e::process::{Process, leashed_under};
use e2e::pty::Port;
use e2e::row::Row;
use e2e::subscriber::Subscriber;
use e2e::talker::Talker;
use serde_json::{Value, json};

/// From a cause to what the agent must make of it; its longest wait before it tries again included.
const LIMIT: Duration = Duration::from_mins(2);

/// What the agent says when a renewal is done.
const REACHED: &str = "the broker was reached with the new certificate";

/// What devices are shipped with, what they get, and a broker that takes both.
struct Fleet {
    claims: Authority,
    devices: Authority,
    broker: Mosquitto,
    iot: Iot,
    dir: tempfile::TempDir,
}

/// One device's files.
struct Device {
    dir: PathBuf,
    place: Pair,
    claim: Pair,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the story");
        let [claims, devices] = ["claims", "devices"].map(|name| Authority::new(&dir.path().join(name)));
        let trusted = dir.path().join("trusted.pem");
        let both = [&claims, &devices].map(|authority| fs::read_to_string(authority.certificate()).expect("its own"));
        fs::write(&trusted, both.concat()).expect("write into the story's folder");
        let server = devices.issue(&Leaf::server("server"));
        let broker =
            Mosquitto::secured(&dir.path().join("broker"), &[Secured { ca: &trusted, shows: &server, crl: None }]);
        let mut iot = Iot::started(dir.path(), &broker, Some(&devices));
        iot.tell(&json!({
            "do": "template", "name": "farm", "thing": "{SerialNumber}", "configuration": {"prefix": "farm"}
        }));
        Self { claims, devices, broker, iot, dir }
    }

    /// A device with nothing but a claim.
    fn device(&self, name: &str) -> Device {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir).expect("a folder in the story's folder");
        let shipped = self.claims.issue(&Leaf::client(&format!("claim-{name}")));
        let claim = Pair { cert: dir.join("claim.pem"), key: dir.join("claim.key") };
        fs::copy(shipped.cert, &claim.cert).expect("copy");
        fs::copy(shipped.key, &claim.key).expect("copy");
        let device = Device { place: Pair { cert: dir.join("device.pem"), key: dir.join("device.key") }, dir, claim };
        device.configure(self, "template = \"farm\"\nparameters = { SerialNumber = \"{device}\" }\n");
        device
    }
}

impl Device {
    /// Its configuration, but for what it measures.
    fn configure(&self, fleet: &Fleet, lines: &str) -> String {
        let url = format!("mqtts://localhost:{}", fleet.broker.secured_ports()[0]);
        let mut text = agent::preamble(&self.dir, "200ms");
        text += &agent::mqtts_sink("cloud", &url, &fleet.devices.certificate(), Some(&self.place), "");
        let Pair { cert, key } = &self.claim;
        let claim = format!("claim_cert = \"{}\"\nclaim_key = \"{}\"\n", cert.display(), key.display());
        write!(text, "[provision]\n{}{lines}\n", if cert.is_file() { claim } else { String::new() })
            .expect("a string takes it");
        fs::write(self.config(), &text).expect("write into the story's folder");
        text
    }

    fn config(&self) -> PathBuf {
        self.dir.join("tidegate.toml")
    }

    fn provision(&self, args: &[&str]) -> Output {
        let config = self.config();
        agent::run(&[&["--config", config.to_str().expect("a path of our own"), "provision"], args].concat())
    }

    fn sheet(&self) -> Value {
        serde_json::from_str(&places::text(&self.dir.join("provision.json"))).unwrap_or_default()
    }

    /// It has a pair, nothing is left over, and the claim has served.
    #[track_caller]
    fn assert_provisioned(&self, what: &str) {
        let names: Vec<String> = fs::read_dir(&self.dir)
            .expect("its folder")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("device.") || name.contains("claim."))
            .collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(sorted, ["device.key", "device.pem"], "{what}");
        assert_eq!(self.sheet()["state"], "done", "{what}");
        let [of_cert, of_key] = [
            openssl(&["x509", "-noout", "-pubkey", "-in", text(&self.place.cert)]),
            openssl(&["pkey", "-pubout", "-in", text(&self.place.key)]),
        ];
        assert_eq!(of_cert, of_key, "{what}");
        let mode = fs::metadata(&self.place.key).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{what}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of our own")
}

#[track_caller]
fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().expect("tests/run installs openssl");
    assert!(output.status.success(), "openssl {args:?}: {}", stderr(&output));
    stdout(&output)
}

#[track_caller]
fn assert_fine(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
    serde_json::from_str(&stdout(output)).unwrap_or_default()
}

#[test]
fn a_device_with_nothing_but_a_claim_gets_a_certificate_and_its_key_never_leaves_it() {
    let fleet = Fleet::new();
    let asked = Subscriber::start(&fleet.broker, "$aws/#", &fleet.dir.path().join("asked"));
    let heard = Subscriber::start(&fleet.broker, "#", &fleet.dir.path().join("heard"));
    let device = fleet.device("a");
    let said = assert_fine(&device.provision(&["--json"]));
    assert_eq!((&said["state"], &said["thing"]), (&json!("done"), &json!("gw-1")), "{said}");
    assert_eq!(said["configuration"], json!({"prefix": "farm"}));
    assert!(said["not_after"].is_string(), "{said}");
    device.assert_provisioned("by claim");
    assert_eq!(device.sheet()["registered"]["configuration"], json!({"prefix": "farm"}));
    assert!(device.sheet()["issued"]["token"].is_null());
    let log = places::text(&fleet.dir.path().join("broker/log"));
    assert!(log.contains(" as claim-gw-1 ") && log.contains(" as gw-1 "), "{log}");

    // Once more: there is nothing to do, and nobody is asked.
    let again = device.provision(&[]);
    assert_fine(&again);
    assert!(stdout(&again).contains("has a certificate already"), "{}", stdout(&again));
    assert_eq!(fleet.iot.count(&json!({ "event": "certificate" })), 1);

    // It is good for what it is for.
    let port = Port::plugged(&device.dir.join("port"));
    let config = device.configure(&fleet, "") + &agent::counter("counter", port.path());
    let mut agent = Agent::started(&device.dir, &config);
    agent.wait_open(&port, "counter");
    port.send(b"n,1\r\nn,2\r\nn,3\r\n", LIMIT);
    wait_for(
        "three readings",
        LIMIT,
        || agent.log_tail(),
        || (heard.rows().iter().filter(|row| row.is_reading()).count() >= 3).then_some(()),
    );
    agent.terminate();

    let key = fs::read_to_string(&device.place.key).expect("it is there");
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(!secret.is_empty());
    assert!(asked.messages().iter().any(|message| message.payload["certificateSigningRequest"].is_string()));
    for file in ["asked", "heard"] {
        let all = places::text(&fleet.dir.path().join(file));
        assert!(!all.contains("PRIVATE KEY"), "{all}");
        assert!(!secret.iter().any(|line| all.contains(line)), "{all}");
    }
}

#[test]
fn in_mqtt_3_1_1_it_is_the_same() {
    let fleet = Fleet::new();
    let device = fleet.device("a");
    let config = places::text(&device.config()).replace("type = \"mqtt\"", "type = \"mqtt\"\nversion = \"3.1.1\"");
    fs::write(device.config(), config).expect("write into the story's folder");
    assert_fine(&device.provision(&["--json"]));
    device.assert_provisioned("in MQTT 3.1.1");
    let log = places::text(&fleet.dir.path().join("broker/log"));
    assert!(log.contains(" as claim-gw-1 (p2") && log.contains(" as gw-1 (p2"), "{log}");
}

/// `strace` ends it at the first, second... sync, rename and removal, until it gets through.
#[test]
fn killed_at_any_step_the_next_run_ends_well() {
    let mut fleet = Fleet::new();
    let mut kills = 0;
    for call in ["fsync", "rename", "unlink"] {
        for when in 1..100 {
            let device = fleet.device(&format!("{call}-{when}"));
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={when}"));
            let under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(str::to_owned);
            let mut command = leashed_under(&under, &places::tidegate());
            command.arg("--config").arg(device.config()).args(["provision", "--wait", "60"]);
            let process = Process::start("provision", command, &device.dir.join("first.log"));
            let ended = process.wait(LIMIT).unwrap_or_else(|| panic!("{call} {when}\n{}", process.log_tail()));
            if ended.success() {
                println!("{call}: {} kills", when - 1);
                break;
            }
            kills += 1;
            let before = device.sheet()["state"].as_str().unwrap_or("none").to_owned();
            let output = device.provision(&["--json"]);
            assert_fine(&output);
            println!("{call} {when}: killed with the sheet at {before}, and it went on");
            device.assert_provisioned(&format!("{call} {when}"));
        }
    }
    assert!(kills > 20, "{kills} kills");
    fleet.iot.tell(&json!({ "do": "show", "what": "things" }));
}

/// Killed while the far side has not answered, or has and nobody heard it.
#[test]
fn killed_while_it_waits_for_an_answer_the_next_run_ends_well() {
    let mut fleet = Fleet::new();
    for (number, operation) in ["create-from-csr", "register"].into_iter().enumerate() {
        for fault in ["drop_next", "lose_next"] {
            let device = fleet.device(&format!("{fault}-{number}"));
            fleet.iot.tell(&json!({ "do": "fault", "op": operation, fault: 1 }));
            let mut command = leashed_under(&[], &places::tidegate());
            command.arg("--config").arg(device.config()).arg("provision");
            let process = Process::start("provision", command, &device.dir.join("first.log"));
            let event = if fault == "drop_next" { "dropped" } else { "lost" };
            fleet.iot.event(&json!({ "event": event, "op": operation }), LIMIT);
            process.kill();
            assert!(device.claim.cert.is_file(), "{operation} {fault}");
            assert_fine(&device.provision(&["--json"]));
            device.assert_provisioned(&format!("{operation} {fault}"));
        }
    }
}

#[test]
fn a_token_that_is_refused_is_asked_for_anew_and_one_that_always_is_is_told() {
    let mut fleet = Fleet::new();
    let device = fleet.device("once");
    let used = ["register", "InvalidCertificateOwnershipToken", "Certificate ownership token is used."];
    fleet.iot.tell(&json!({ "do": "fault", "reject_next": used }));
    let output = device.provision(&[]);
    assert_fine(&output);
    assert!(stderr(&output).contains("the token is no good any more"), "{}", stderr(&output));
    device.assert_provisioned("another token");
    assert_eq!(fleet.iot.count(&json!({ "event": "certificate" })), 2);

    let device = fleet.device("always");
    fleet.iot.tell(&json!({ "do": "fault", "expire_token": true }));
    let output = device.provision(&["--json"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}", stderr(&output));
    let said: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(said["rejected"]["errorCode"], "InvalidCertificateOwnershipToken", "{said}");
    assert!(device.claim.key.is_file() && !device.place.cert.is_file());
    fleet.iot.tell(&json!({ "do": "fault", "expire_token": false }));
    assert_fine(&device.provision(&[]));
    device.assert_provisioned("when tokens are good again");
}

#[test]
fn what_the_far_side_says_no_to_is_told_in_its_words_and_what_passes_is_waited_for() {
    let mut fleet = Fleet::new();
    let device = fleet.device("a");
    let refused = |device: &Device, words: &[&str]| {
        let output = device.provision(&[]);
        assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}{}", stdout(&output), stderr(&output));
        let said = stderr(&output);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(device.claim.key.is_file() && !device.place.cert.is_file());
    };
    let hook = ["register", "AccessDenied", "the hook does not know this serial number"];
    fleet.iot.tell(&json!({ "do": "fault", "reject_next": hook }));
    refused(
        &device,
        &[
            "403 AccessDenied: the hook does not know this serial number",
            "does the template's hook let this device in?",
        ],
    );
    device.configure(&fleet, "template = \"pond\"\n");
    refused(&device, &["404 ResourceNotFound: no template pond", "is `template` its right name"]);
    device.configure(&fleet, "template = \"farm\"\nparameters = { Number = \"{device}\" }\n");
    refused(&device, &["400 InvalidParameters: Missing required parameters: SerialNumber", "do `parameters` have all"]);

    device.configure(&fleet, "template = \"farm\"\nparameters = { SerialNumber = \"{device}\" }\nkeep_claim = true\n");
    fleet.iot.tell(&json!({ "do": "fault", "reject_next": ["register", 429, "Rate exceeded"] }));
    fleet.iot.tell(&json!({ "do": "fault", "reject_next": ["register", 500, "Internal failure"] }));
    let issued = fleet.iot.count(&json!({ "event": "certificate" }));
    assert_fine(&device.provision(&[]));
    assert!(device.claim.cert.is_file() && device.claim.key.is_file(), "`keep_claim`");
    assert_eq!(fleet.iot.count(&json!({ "event": "certificate" })), issued, "the one that there was is used");
}

#[test]
fn a_configuration_that_lacks_something_and_a_broker_that_is_away_are_told() {
    let mut fleet = Fleet::new();
    let device = fleet.device("a");
    for (lines, words) in [
        ("", "`template` is missing in [provision]"),
        ("template = \"a/b\"\n", "a template's name has 1 to 36 letters"),
        ("template = \"farm\"\nsink = \"clod\"\n", "did you mean \"cloud\"?"),
        ("template = \"farm\"\nrenew_before = \"1h\"\n", "renew_before"),
    ] {
        device.configure(&fleet, lines);
        let output = device.provision(&[]);
        assert_eq!(output.status.code(), Some(exit::CONFIG), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
    device.configure(&fleet, "template = \"farm\"\nparameters = { SerialNumber = \"{device}\" }\n");
    fleet.broker.stop();
    let output = device.provision(&["--wait", "3"]);
    assert_eq!(output.status.code(), Some(exit::UNAVAILABLE), "{}", stderr(&output));
    assert!(stderr(&output).contains("no answer from the broker within 3 s"), "{}", stderr(&output));
    fs::remove_file(&device.claim.key).expect("it is there");
    let output = device.provision(&[]);
    assert_eq!(output.status.code(), Some(exit::DISK), "{}", stderr(&output));
    assert!(stderr(&output).contains("can not read the claim's"), "{}", stderr(&output));
}

#[test]
fn an_authority_of_ones_own_signs_the_request_and_only_what_fits_the_key_is_installed() {
    let fleet = Fleet::new();
    let device = fleet.device("a");
    fs::remove_file(&device.claim.cert).expect("it is there");
    device.configure(&fleet, "");
    let request = fleet.dir.path().join("devices/request.csr");
    let output = device.provision(&["--csr-only"]);
    assert_fine(&output);
    fs::write(&request, &output.stdout).expect("write");
    let shown = openssl(&["req", "-verify", "-noout", "-subject", "-text", "-in", text(&request)]);
    assert!(shown.contains("prime256v1") && shown.contains("ecdsa-with-SHA256"), "{shown}");
    assert!(shown.replace(' ', "").contains("CN=gw-1"), "{shown}");
    // The same key the second time.
    let copy = device.dir.join("copy.csr");
    assert_fine(&device.provision(&["--csr-only", "--output", text(&copy)]));
    let of = |file: &Path| openssl(&["req", "-noout", "-pubkey", "-in", text(file)]);
    assert_eq!(of(&request), of(&copy));

    let other = fleet.devices.issue(&Leaf::client("other"));
    let output = device.provision(&["--install", text(&other.cert)]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE));
    assert!(stderr(&output).contains("was it signed from another request?"), "{}", stderr(&output));
    let output = device.provision(&["--install", text(&request)]);
    assert!(stderr(&output).contains("there is no BEGIN CERTIFICATE"), "{}", stderr(&output));
    assert!(!device.place.cert.is_file() && !device.place.key.is_file());

    let signed = fleet.devices.sign(&Leaf::client("mine"), "request.csr");
    // The agent is there already and waits for it.
    let mut agent = Agent::started(&device.dir, &fs::read_to_string(device.config()).expect("it is there"));
    assert_fine(&device.provision(&["--install", text(&signed)]));
    agent.wait_until("the broker to be reached", LIMIT, |status| item(status, "sinks", "cloud")["protocol"] == "5");
    agent.wait_delivered(LIMIT);
    // The next one, for the same key.
    let next = fleet.devices.sign(&Leaf { until: "+200 days +1 hour", ..Leaf::client("next") }, "request.csr");
    assert_fine(&device.provision(&["--install", text(&next)]));
    agent.wait_until("the next one", LIMIT, |status| item(status, "sinks", "cloud")["tls"]["days_left"] == 200);
    agent.terminate();
}

#[test]
fn a_device_that_runs_takes_up_what_it_is_provisioned_with() {
    let fleet = Fleet::new();
    let device = fleet.device("a");
    let config = fs::read_to_string(device.config()).expect("it is there");
    let mut agent = Agent::started(&device.dir, &config);
    agent.wait_until("it to say what it lacks", LIMIT, |status| {
        item(status, "sinks", "cloud")["last_error"].as_str().is_some_and(|error| error.contains("device.pem"))
    });
    let said = assert_fine(&device.provision(&["--json"]));
    assert!(said["not_after"].is_string(), "{said}");
    device.assert_provisioned("beside an agent");
    agent.wait_delivered(LIMIT);
    agent.terminate();
}

/// A device with a certificate that ends in two days, an instrument that talks, and more lines for `[provision]`.
struct Running {
    agent: Agent,
    talker: Talker,
    heard: Subscriber,
    device: Device,
    fleet: Fleet,
}

impl Running {
    fn new(lines: &str, prepare: impl FnOnce(&mut Fleet)) -> Self {
        Self::under(&[], lines, prepare)
    }

    /// The same with an agent that is run by another program, and may be gone already.
    fn under(under: &[&str], lines: &str, prepare: impl FnOnce(&mut Fleet)) -> Self {
        let mut fleet = Fleet::new();
        prepare(&mut fleet);
        let device = fleet.device("a");
        for file in [&device.claim.cert, &device.claim.key] {
            fs::remove_file(file).expect("it is there");
        }
        let leaf = Leaf { from: "-20 days", until: "+2 days +1 hour", ..Leaf::client("old") };
        let old = fleet.devices.issue(&leaf);
        fs::copy(&old.cert, &device.place.cert).expect("copy");
        fs::copy(&old.key, &device.place.key).expect("copy");
        let heard = Subscriber::start(&fleet.broker, "farm/#", &fleet.dir.path().join("heard"));
        let port = Port::plugged(&device.dir.join("port"));
        let lines = format!("template = \"farm\"\nparameters = {{ SerialNumber = \"{{device}}\" }}\n{lines}");
        let config = device.configure(&fleet, &lines) + &agent::counter("busy", port.path());
        let under: Vec<String> = under.iter().map(|word| word.replace("DIR", text(&device.dir))).collect();
        let under: Vec<&str> = under.iter().map(String::as_str).collect();
        let agent = Agent::launched_under(&device.dir, &config, &under);
        if under.is_empty() {
            agent.wait_ready();
            agent.wait_open(&port, "busy");
        }
        let talker = Talker::start(port, 100, |number| format!("n,{number}\r\n"));
        Self { agent, talker, heard, device, fleet }
    }

    fn days_left(&self) -> Option<i64> {
        item(&self.agent.status()?, "sinks", "cloud")["tls"]["days_left"].as_i64()
    }

    /// Ends, and nothing that was said is missing; the events of the journal.
    fn end(mut self) -> Vec<Row> {
        let said = f64::from(u32::try_from(self.talker.count()).expect("few"));
        let port = self.talker.stop();
        self.agent.wait_until("the last of the readings", LIMIT, |status| {
            item(status, "instruments", "busy")["values"]["number"]["value"].as_f64() == Some(said)
        });
        self.agent.wait_delivered(LIMIT);
        let events = self.agent.tail(100_000).into_iter().filter(|row| !row.is_reading()).collect();
        self.agent.terminate();
        drop(port);
        let rows = wait_for("the subscriber to have all", LIMIT, String::new, || {
            let rows = self.heard.rows();
            rows.iter().filter_map(|row| row.value).any(|number| number >= said).then_some(rows)
        });
        e2e::row::assert_each_once(&rows);
        let numbers: Vec<f64> = rows.iter().filter_map(|row| row.value).collect();
        let is_unbroken = numbers.windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < f64::EPSILON);
        assert!(numbers.first() == Some(&1.0) && is_unbroken, "{numbers:?}");
        events
    }
}

#[test]
fn a_certificate_that_ends_soon_is_exchanged_and_no_reading_is_lost() {
    let running = Running::new("renew_before = \"30d\"\n", |_| {});
    let renewed = wait_for(
        "the new certificate",
        LIMIT,
        || running.agent.log_tail(),
        || running.days_left().filter(|days| *days > 1_000),
    );
    println!("{renewed} days left");
    running.agent.wait_log(REACHED, LIMIT);
    running.device.assert_provisioned("renewed");
    assert_eq!(running.fleet.iot.count(&json!({ "event": "certificate" })), 1);
    // It was asked for with what the device had: nobody else connected.
    let log = places::text(&running.fleet.dir.path().join("broker/log"));
    assert!(!log.contains(" as claim-"), "{log}");
    let events = running.end();
    let renewals: Vec<&Row> = events.iter().filter(|row| row.event == "certificate-renewed").collect();
    assert_eq!(renewals.len(), 1, "{renewals:?}");
}

#[test]
fn a_certificate_is_exchanged_on_command_and_no_reading_is_lost() {
    let mut running = Running::new("\n[remote]\ncommands = true\n", |_| {});
    let operator = Operator::at(&running.fleet.broker, running.fleet.dir.path());
    running
        .agent
        .wait_until("the link", LIMIT, |status| item(status, "sinks", "cloud")["delivered_total"].as_u64() > Some(0));
    let answer = operator.wait_done("1", &json!({ "command": "rotate-certificate" }));
    assert_eq!(answer["status"], "succeeded", "{answer}");
    let issued = running.fleet.iot.event(&json!({ "event": "certificate" }), LIMIT);
    assert_eq!(answer["result"]["certificate"], issued["id"], "{answer}");
    running.device.assert_provisioned("on command");
    assert!(running.days_left() > Some(1_000));
    let events = running.end();
    assert!(events.iter().any(|row| row.event == "certificate-renewed"), "{events:?}");
}

#[test]
fn a_new_certificate_that_the_broker_does_not_take_goes_and_the_old_one_comes_back() {
    // The far side issues what this broker does not trust.
    let running = Running::new("renew_before = \"30d\"\nconfirm_within = \"20s\"\n", |fleet| {
        let strangers = Authority::new(&fleet.dir.path().join("strangers"));
        let dir = fleet.dir.path().join("stranger");
        fs::create_dir_all(&dir).expect("a folder in the story's folder");
        // The one before ends when it is dropped, and a service has one name.
        fleet.iot = Iot::started(&dir, &fleet.broker, Some(&strangers));
        fleet.iot.tell(&json!({ "do": "template", "name": "farm", "thing": "{SerialNumber}" }));
    });
    running.agent.wait_log("the old one is back", LIMIT);
    let agent = &running.agent;
    agent.wait_until("the link to be well with the old one", LIMIT, |status| {
        let sink = item(status, "sinks", "cloud");
        sink["state"] == "ok" && sink["tls"]["days_left"] == 2
    });
    let events = running.end();
    assert!(!events.iter().any(|row| row.event == "certificate-renewed"), "{events:?}");
}

/// `strace` ends the agent where it puts down how far it is, and where it exchanges key and certificate.
#[test]
fn killed_in_a_renewal_the_agent_starts_with_a_pair_and_ends_with_the_new_one() {
    // Issued, registered, switching; the key alone is in its place, and both are; then the old ones go.
    let sheet = (1..=3).map(|when| ("provision.json.part", "rename", when));
    let pair = [("device.key.new", "rename", 1), ("device.pem.new", "rename", 1), ("device.key.old", "unlink", 1)];
    let mut kills = 0;
    for (file, call, when) in sheet.chain(pair) {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={when}"));
        let path = format!("DIR/{file}");
        let under = ["strace", "-f", "-q", "-o", "/dev/null", "-P", &path, "-e", &trace, "-e", &inject];
        // Else the agent would outlive strace.
        let under = [&under[..], &["setpriv", "--pdeathsig", "KILL", "--"]].concat();
        let mut running = Running::under(&under, "renew_before = \"30d\"\n", |_| {});
        // Each thread counts by itself: where another one did the work, that call is not made so often.
        let is_killed = wait_for(
            "the end, or the new certificate",
            LIMIT,
            || running.agent.log_tail(),
            || {
                let is_done = running.agent.log_tail().contains(REACHED);
                (is_done || running.agent.ended().is_some()).then(|| running.agent.ended().is_some())
            },
        );
        let state = running.device.sheet()["state"].as_str().unwrap_or("none").to_owned();
        if is_killed {
            kills += 1;
            running.agent.wait_ended(LIMIT);
            running.agent.start();
            running.agent.wait_ready();
            running.agent.wait_log(REACHED, LIMIT);
        }
        println!("{file} {when}: killed {is_killed}, the sheet at {state}");
        running.device.assert_provisioned(&format!("{file} {when}"));
        running.agent.kill();
    }
    assert!(kills >= 4, "{kills} kills");
}
