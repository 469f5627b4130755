//! What is wrong moves nothing, and whoever sent it is told where.

use std::process::Command;

use e2e::board::make_keys;
use serde_json::{Value, json};

use crate::pond::{LIMIT, Pond, delivered};

/// Name, what is sent, and what the report names.
fn documents() -> Vec<(&'static str, String, &'static str)> {
    let of = |name: &str, config: Value| json!({"revision": name, "config": config}).to_string();
    vec![
        ("", "no json at all {".to_owned(), "it is no JSON"),
        ("", "[1, 2]".to_owned(), "a JSON object is expected"),
        ("", json!({"config": {}}).to_string(), "each revision has a name"),
        ("r-none", json!({"revision": "r-none"}).to_string(), "config"),
        ("r-key", of("r-key", json!({"instrument": {"two": {"scael": 2}}})), "instrument.two.scael"),
        ("r-type", of("r-type", json!({"journal": {"commit_interval": 5}})), "journal.commit_interval"),
        ("r-half", of("r-half", json!({"instrument": {"new": {"bus": "one"}}})), "instrument.new"),
        ("r-allow", of("r-allow", json!({"sink": {"cloud": {"url": "mqtt://elsewhere:1883"}}})), "sink.cloud.url"),
        ("r-never", of("r-never", json!({"journal": {"path": "/tmp/x"}})), "journal.path"),
        ("r-self", of("r-self", json!({"remote": {"allow": ["device"]}})), "remote"),
        (
            "r-deep",
            of(
                "r-deep",
                serde_json::from_str(&format!("{}1{}", "{\"a\":".repeat(20), "}".repeat(20))).expect("nested"),
            ),
            "",
        ),
        ("r-else", json!({"revision": "r-else", "config": {}, "device": "gw-2"}).to_string(), "device"),
        ("r-more", json!({"revision": "r-more", "config": {}, "cmd": "rm -rf"}).to_string(), "cmd"),
    ]
}

#[test]
fn what_can_not_be_used_is_refused_whole_and_named() {
    let mut pond = Pond::new();
    let before = pond.in_force();
    for (revision, document, named) in documents() {
        pond.operator.publishes(&document);
        let report = pond.operator.wait_report(&format!("a refusal of {revision} that names {named}"), |report| {
            let is_named = report["errors"].to_string().contains(named);
            report["status"] == "rejected" && is_named && (report["revision"] == revision || revision == "r-deep")
        });
        assert_eq!(report["in_force"], Value::Null, "{report}");
    }
    assert_eq!(pond.in_force()["hash"], before["hash"]);
    let numbers = pond.numbers();
    Pond::assert_unbroken(&numbers["one"]);
    Pond::assert_unbroken(&numbers["two"]);
}

#[test]
fn no_file_no_credential_and_no_variable_is_named_from_afar_even_where_all_is_allowed() {
    let pond =
        Pond::with("allow = [\"instrument\", \"bus\", \"sink\", \"journal.commit_interval\", \"device.tags\"]", &[]);
    let before = pond.in_force();
    for (revision, config) in [
        ("f-tls", json!({"sink": {"cloud": {"url": "mqtts://127.0.0.1:1", "tls": {"ca": "/etc/passwd"}}}})),
        ("f-login", json!({"sink": {"cloud": {"username": "x", "password_file": "/etc/shadow"}}})),
        ("f-env", json!({"sink": {"cloud": {"topic": "farm/{env:HOME}/readings"}}})),
        ("f-secret", json!({"sink": {"cloud": {"topic": "farm/{credential:device.key}/readings"}}})),
        ("f-folder", json!({"sink": {"lake": {"path": "/etc"}}})),
        ("f-port", json!({"bus": {"one": {"port": "/etc/shadow"}}})),
        ("f-up", json!({"bus": {"one": {"port": "/dev/serial/../../etc/shadow"}}})),
        ("f-all", json!({"sink": null})),
    ] {
        pond.operator.wants(revision, &config);
        let outcome = pond.operator.wait_outcome(revision);
        assert_eq!(outcome["status"], "rejected", "{outcome}");
        assert!(!outcome["errors"].to_string().contains("root:"), "{outcome}");
    }
    assert_eq!(pond.in_force()["hash"], before["hash"]);
}

#[test]
fn a_name_is_used_once_and_an_older_revision_is_not_played_back() {
    let pond = Pond::new();
    let of = |name: &str, at: &str, interval: &str| {
        json!({"revision": name, "at": at, "config": {"journal": {"commit_interval": interval}}}).to_string()
    };
    pond.operator.publishes(&of("r1", "2026-11-01T00:00:00Z", "300ms"));
    assert_eq!(pond.operator.wait_outcome("r1")["status"], "applied");
    pond.operator.publishes(&of("r2", "2026-11-02T00:00:00Z", "400ms"));
    assert_eq!(pond.operator.wait_outcome("r2")["status"], "applied");
    let held = pond.in_force();
    for (name, at, named) in [
        ("r1", "2026-11-01T00:00:00Z", "used before"),
        ("r2", "2026-11-03T00:00:00Z", "used before"),
        ("r3", "2026-10-30T00:00:00Z", "older than r2"),
    ] {
        pond.operator.publishes(&of(name, at, "500ms"));
        let report = pond.operator.wait_report(&format!("{name} to be refused"), |report| {
            report["revision"] == name && report["status"] == "rejected" && report["errors"].to_string().contains(named)
        });
        assert_eq!(report["in_force"], "r2", "{report}");
    }
    assert_eq!(pond.in_force()["hash"], held["hash"]);
}

/// Signed by OpenSSL, as an operator would.
#[test]
fn where_the_device_has_a_key_only_what_its_holder_signed_is_taken() {
    let keys = tempfile::tempdir().expect("a folder");
    make_keys(keys.path(), "ours.pem", "ours.pub");
    make_keys(keys.path(), "theirs.pem", "theirs.pub");
    let [ours, theirs, public] = ["ours.pem", "theirs.pem", "ours.pub"].map(|name| keys.path().join(name));
    let signed = |key: &std::path::Path, head: &str, document: &str| {
        let (text, signature) = (keys.path().join("text"), keys.path().join("signature"));
        std::fs::write(&text, format!("{head}{document}")).expect("write");
        let mut command = Command::new("openssl");
        command
            .args(["pkeyutl", "-sign", "-rawin", "-inkey"])
            .arg(key)
            .arg("-in")
            .arg(&text)
            .arg("-out")
            .arg(&signature);
        assert!(command.status().expect("openssl").success());
        let signature = std::fs::read(&signature).expect("signed");
        let hex = signature.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        json!({"document": document, "signature": hex}).to_string()
    };
    let of = |name: &str| {
        json!({"revision": name, "at": "2026-11-20T00:00:00Z", "config": {"journal": {"commit_interval": "300ms"}}})
            .to_string()
    };
    let head = "tidegate config\n";
    let pond = Pond::with(&format!("key = \"{}\"", public.display()), &[]);
    pond.operator.publishes(&of("s1"));
    assert_eq!(pond.operator.wait_outcome("s1")["status"], "rejected");
    for (name, document, path) in [
        ("anothers", signed(&theirs, head, &of("anothers")), "signature"),
        ("else", signed(&ours, "tidegate update\n", &of("else")), "signature"),
        ("altered", signed(&ours, head, &of("altered")).replace("300ms", "900ms"), "signature"),
        ("timeless", signed(&ours, head, &json!({"revision": "timeless", "config": {}}).to_string()), "at"),
    ] {
        pond.operator.publishes(&document);
        let outcome = pond.operator.wait_outcome(name);
        assert_eq!(
            (&outcome["status"], &outcome["errors"][0]["path"]),
            (&json!("rejected"), &json!(path)),
            "{outcome}"
        );
    }
    assert_eq!(pond.in_force()["revision"], Value::Null);
    pond.operator.publishes(&signed(&ours, head, &of("s3")));
    assert_eq!(pond.operator.wait_outcome("s3")["status"], "applied");
}

/// More than a message may have: the broker keeps it, and gives it again to each connection that takes it.
#[test]
fn a_document_that_is_larger_than_any_message_cuts_nobody_off() {
    for version in ["5", "3.1.1"] {
        let pond = Pond::with_sink(&format!("version = \"{version}\""));
        let tags: serde_json::Map<String, Value> =
            (0..9_000).map(|number| (format!("tag-{number:05}"), json!("a lake that is far away"))).collect();
        pond.operator.wants("huge", &json!({"instrument": {"two": {"tags": tags}}}));
        // In 5 the broker knows how much the device takes, and keeps it to itself.
        if version == "3.1.1" {
            pond.operator.wait_report("the way to send it", |report| {
                report["status"] == "rejected" && report["errors"].to_string().contains("put it on a server")
            });
        }
        pond.wire.cut();
        let before = pond.delivered();
        pond.agent.wait_until("readings to go on", LIMIT, |status| delivered(status) > before + 20);
        // Somebody puts it right.
        pond.operator.wants("small", &json!({"journal": {"commit_interval": "300ms"}}));
        pond.wire.cut();
        assert_eq!(pond.operator.wait_outcome("small")["status"], "applied", "{version}");
    }
}
