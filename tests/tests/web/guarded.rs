//! Who is answered, and what is never told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use e2e::agent::{self, Agent, exit, item, stderr};
use e2e::places::free_port;
use e2e::pty::Port;
use e2e::web;

use crate::{BROWSER_LIMIT, LIMIT, PASSWORD, TOKEN, config, pictures, started, talking, texts};

#[test]
fn without_its_token_nothing_of_the_device_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let (agent, _talker, port) = started(dir.path(), &format!("web_token_file = \"{}\"", file.display()));
    for path in ["/v1/status", "/v1/page", "/v1/history", "/metrics", "/healthz", "/nothing"] {
        for lines in [
            &[][..],
            &["Authorization: Bearer correct-horse-battery-stapl"],
            &["Authorization: Basic eDp5"],
            &["Cookie: token=1"],
        ] {
            let answer = web::get(port, path, lines);
            assert_eq!(answer.status, 401, "{path} {lines:?}");
            assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")), "{answer:?}");
            assert!(!answer.body.contains("gw-1") && !answer.body.contains("counter"), "{answer:?}");
        }
        let answer = web::get(port, path, &[&format!("Authorization: Bearer {TOKEN}")]);
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}: {answer:?}");
    }
    let files: String = ["/", "/page.css", "/page.js"].iter().map(|path| web::get(port, path, &[]).body).collect();
    assert!(files.len() < 40_000 && !files.contains("gw-1"), "{}", files.len());

    let browser = web::browser(dir.path(), "login", port, &[TOKEN, pictures().join("login.png").to_str().unwrap()]);
    let said = web::seen(&browser, BROWSER_LIMIT).remove(0);
    assert_eq!(said["axe"], serde_json::json!([]));
    assert_eq!((said["focus"].as_str(), said["refused"].as_str()), (Some("token"), Some("That is not the token.")));
    assert_eq!(said["hash"], format!("http://127.0.0.1:{port}/"), "the token does not stay in the address");
    assert_eq!(said["stored"], serde_json::json!([0, ""]), "neither for longer than the tab, nor as a cookie");
    let requests = texts(&said["requests"]);
    assert!(requests.iter().all(|url| !url.contains(TOKEN)), "{requests:?}");
    assert!(!agent.log_tail().contains(TOKEN));
}

#[test]
fn only_who_asks_for_this_device_is_answered_and_nothing_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, _talker, port) = started(dir.path(), "web_hosts = [\"pond.local\"]");
    let asked =
        |host: &str| web::ask(port, &format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    for host in ["127.0.0.1", &format!("127.0.0.1:{port}"), "localhost:9999", "pond.local", "[::1]:1"] {
        assert_eq!(asked(host).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "pond.local.evil.example", "10.0.0.1", "x@127.0.0.1", ""] {
        let answer = asked(host);
        assert_eq!(answer.status, 421, "{host}: {answer:?}");
        assert!(!answer.body.contains("gw-1"), "{answer:?}");
    }
    let bare = web::ask(port, "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(bare.status, 421, "{bare:?}");
    // curl, as an attacker's browser would: the name resolves to this device.
    let evil = format!("http://evil.example:{port}/v1/status");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"]);
    let output = curl.arg("--resolve").arg(format!("evil.example:{port}:127.0.0.1")).arg(&evil).output().expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "421");

    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "WHATEVER"] {
        for path in ["/", "/v1/status", "/v1/replay?sink=lake", "/metrics"] {
            let answer = web::ask(
                port,
                &format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                ),
            );
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    for path in ["/v1/replay?sink=lake&from=1", "/v1/sniff?bus=counter", "/v1/journal/export", "/../etc/passwd", "//"] {
        assert_eq!(web::get(port, path, &[]).status, 404, "{path}");
    }
    let head = web::ask(port, "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""), "{head:?}");
    for hours in ["0", "25", "x", "-1", "99999999999999999999"] {
        assert_eq!(web::get(port, &format!("/v1/history?hours={hours}"), &[]).status, 400, "{hours}");
    }
    for path in ["/", "/page.js", "/v1/status", "/nothing", "/metrics"] {
        let answer = web::get(port, path, &["Origin: http://evil.example"]);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for words in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(words), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(!answer.head.iter().any(|line| line.starts_with("access-control-")), "{answer:?}");
    }
}

#[test]
fn no_secret_of_the_configuration_is_in_any_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
    let kept = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (token, password, secret) =
        (kept("token", TOKEN), kept("password", PASSWORD), kept("secret", "a-secret-of-the-store"));
    let login = format!("username = \"agent\"\npassword_file = \"{password}\"\n");
    let config = config(dir.path(), &port, web, &format!("web_token_file = \"{token}\""))
        + &agent::mqtt_sink("cloud", &format!("mqtt://127.0.0.1:{}", free_port()))
            .replace("profile =", &format!("{login}profile ="))
        + &agent::s3_sink_at("store", &format!("http://127.0.0.1:{}", free_port()), "b", "")
        + &format!(
            "[sink.store.credentials]\ntype = \"static\"\naccess_key_id = \"KEYKEYKEY\"\nsecret_access_key_file = \"{secret}\"\n"
        );
    let agent = Agent::started(dir.path(), &config);
    web::wait_listening(web, LIMIT, || agent.log_tail());
    let _talker = talking(port);
    agent.wait_until("both far sides to fail", LIMIT, |status| {
        ["cloud", "store"].iter().all(|sink| item(status, "sinks", sink)["last_error"].is_string())
    });
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for path in
        ["/", "/page.css", "/page.js", "/v1/status", "/v1/page", "/v1/history", "/metrics", "/healthz", "/nothing"]
    {
        for lines in [&[bearer.as_str()][..], &[]] {
            let answer = web::get(web, path, lines);
            let all = format!("{answer:?}");
            for word in [TOKEN, PASSWORD, "a-secret-of-the-store", "KEYKEYKEY", &password, &token, &secret] {
                assert!(!all.contains(word), "{word} is in {path}: {all}");
            }
        }
    }
}

#[test]
fn what_would_open_too_much_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    let checked = |local: &str| {
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, format!("[local]\n{local}\n")).unwrap();
        let output = agent::run(&["check", file.to_str().unwrap()]);
        (output.status.code(), stderr(&output))
    };
    for (local, token, says) in [
        ("web = \"0.0.0.0:8480\"", None, "local.web_token_file"),
        ("web = \"[::]:8480\"", None, "beyond loopback"),
        ("web = \"192.0.2.1:8480\"", None, "beyond loopback"),
        ("web = \"8480\"", None, "no address with a port"),
        ("web = \"127.0.0.1:0\"", None, "no address with a port"),
        ("web = \"on\"", None, "127.0.0.1:8480"),
        ("web = \"127.0.0.1:8480\"\nweb_hosts = [\"pond.local:80\"]", None, "without a port"),
        ("web = \"127.0.0.1:8480\"\nweb_hosts = [\"*\"]", None, "no host's name"),
        ("web = \"0.0.0.0:8480\"\nweb_token_file = \"{short}\"", Some(""), "at least 16"),
        ("web = \"0.0.0.0:8480\"\nweb_token_file = \"{short}\"", Some("fifteen-letters"), "at least 16"),
        ("web = \"127.0.0.1:8480\"\nweb_token_file = \"{short}\"", Some("with a space in between"), "without spaces"),
    ] {
        if let Some(token) = token {
            fs::write(&short, token).unwrap();
        }
        let (code, said) = checked(&local.replace("{short}", short.to_str().unwrap()));
        assert_eq!(code, Some(exit::CONFIG), "{local}: {said}");
        assert!(said.contains(says), "{local}: {said}");
        assert!(token.is_none_or(|token| token.is_empty() || !said.contains(token)), "{said}");
    }
    fs::write(&short, "sixteen-letters!").unwrap();
    let file = format!("web_token_file = \"{}\"", short.display());
    for local in [
        "web = \"off\"",
        "web = \"127.0.0.1:8480\"",
        "web = \"[::1]:8480\"",
        &format!("web = \"0.0.0.0:8480\"\n{file}"),
    ] {
        assert_eq!(checked(local).0, Some(0), "{local}");
    }
}

/// Asked with curl, by addresses that are this machine's.
#[test]
fn it_listens_where_it_is_told_in_both_families() {
    for (listen, asked) in
        [("0.0.0.0", &["127.0.0.1", "127.0.0.2"][..]), ("[::1]", &["[::1]"]), ("[::]", &["[::1]", "127.0.0.3"])]
    {
        let dir = tempfile::tempdir().unwrap();
        let (port, web) = (Port::plugged(&dir.path().join("port")), free_port());
        let file = dir.path().join("token");
        fs::write(&file, TOKEN).unwrap();
        let more = format!("web_token_file = \"{}\"", file.display());
        let config =
            config(dir.path(), &port, web, &more).replace(&format!("127.0.0.1:{web}"), &format!("{listen}:{web}"));
        let agent = Agent::started(dir.path(), &config);
        agent.wait_log("web page address", LIMIT);
        for address in asked {
            let answered = |bearer: &str, host: &str| {
                let mut curl = Command::new("curl");
                curl.args(["-gs", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-H", bearer, "-H", host]);
                let output = curl.arg(format!("http://{address}:{web}/v1/status")).output().expect("curl");
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            let own = format!("Host: {address}:{web}");
            let bearer = format!("Authorization: Bearer {TOKEN}");
            let said = [answered(&bearer, &own), answered("X: y", &own), answered(&bearer, "Host: 192.0.2.99")];
            assert_eq!(said, ["200", "401", "421"], "{listen} asked at {address}: {}", agent.log_tail());
        }
    }
}
