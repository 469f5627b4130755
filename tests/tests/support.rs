//! A support bundle can be sent by mail: it has what somebody at home needs, and no secret, whoever wrote it where.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use e2e::agent::{self, Agent, exit};
use e2e::patience::wait_for;
use e2e::pki::{Authority, Leaf};
use e2e::places;
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

const PASSWORD: &str = "c0rrect \"horse\" battery";
const USERNAME: &str = "pond-otto";
const PROXY_PASSWORD: &str = "pr0xy/pass=word";
const PROXY_USERNAME: &str = "proxy-anna";
const KEY_ID: &str = "AKIAPONDPONDPOND0001";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SHARED_KEY: &str = "9vQ2je7MtGbClwBFTheSharedOne+Er0Jek";
const WEB_TOKEN: &str = "tok-55e1c0ffee55";
const FROM_ENV: &str = "hidden-farm-77";
const IN_URL: &str = "url-pass-31";
const IN_COMMENT: &str = "swordfish-12";

/// A folder with every kind of secret that a configuration has, and the configuration.
fn secretive(dir: &Path) -> (String, Vec<String>) {
    let authority = Authority::new(dir);
    let pair = authority.issue(&Leaf::client("gw-1"));
    for (name, text) in [
        ("password", format!("{PASSWORD}\n")),
        ("proxy-password", PROXY_PASSWORD.to_owned()),
        ("secret-key", SECRET_KEY.to_owned()),
        ("aws", format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SHARED_KEY}\n")),
        ("web-token", format!("{WEB_TOKEN}\n")),
    ] {
        fs::write(dir.join(name), text).expect("it is the story's own");
    }
    let at = |name: &str| dir.join(name).display().to_string();
    let closed = places::free_port();
    let config = agent::preamble(dir, "100ms")
        + &format!("# the broker's old password: {IN_COMMENT}\n")
        + &agent::mqtts_sink(
            "cloud",
            &format!("mqtts://127.0.0.1:{closed}"),
            &authority.certificate(),
            Some(&pair),
            &format!(
                "username = \"{USERNAME}\"\npassword_file = \"{}\"\nproxy = \"http://127.0.0.1:{closed}\"\n\
                 proxy_username = \"{PROXY_USERNAME}\"\nproxy_password_file = \"{}\"\nexpires = \"1h\"\n",
                at("password"),
                at("proxy-password")
            ),
        )
        .replace("topic = \"farm/{site}/", "topic = \"farm/{env:POND_FARM}/")
        + &agent::s3_sink_at("lake", &format!("http://127.0.0.1:{closed}"), "pond", "")
        + &format!(
            "[sink.lake.credentials]\ntype = \"static\"\naccess_key_id = \"{KEY_ID}\"\n\
             secret_access_key_file = \"{}\"\n\n",
            at("secret-key")
        )
        + &agent::s3_sink_at("other", &format!("http://127.0.0.1:{closed}"), "pond", "")
        + &format!("[sink.other.credentials]\ntype = \"file\"\npath = \"{}\"\n\n", at("aws"));
    let key = fs::read_to_string(&pair.key).expect("it is the story's own");
    let mut secrets: Vec<String> = key.lines().filter(|line| !line.starts_with("---")).map(str::to_owned).collect();
    assert!(!secrets.is_empty(), "{key}");
    secrets.extend(
        [PASSWORD, USERNAME, PROXY_PASSWORD, PROXY_USERNAME, KEY_ID, SECRET_KEY, SHARED_KEY, FROM_ENV]
            .map(str::to_owned),
    );
    (config, secrets)
}

/// A `journalctl` for a machine without systemd: it prints a log into which every secret was planted.
fn planted(dir: &Path, secrets: &[String]) -> PathBuf {
    let said = |secret: &String| format!("2026-11-23T10:00:01 gw-1 tidegate[1]: DEBUG said {secret} and {secret:?}\n");
    let key = secrets.iter().take_while(|secret| secret.len() >= 40).cloned().collect::<Vec<_>>().join("\n");
    let log = [
        "2026-11-23T10:00:00 gw-1 tidegate[1]: INFO delivering again sink=cloud\n".to_owned(),
        secrets.iter().map(said).collect::<Vec<_>>().concat(),
        format!("proxy http://me:{IN_URL}@10.0.0.1:3128/ refused, token={WEB_TOKEN}, goodbye\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
    ]
    .concat();
    let bin = dir.join("bin");
    fs::create_dir(&bin).expect("it is the story's own");
    fs::write(dir.join("planted.log"), log).expect("it is the story's own");
    let script = format!("#!/bin/sh\necho \"$@\" >{0}/asked\ncat {0}/planted.log\n", dir.display());
    fs::write(bin.join("journalctl"), script).expect("it is the story's own");
    fs::set_permissions(bin.join("journalctl"), fs::Permissions::from_mode(0o755)).expect("it is the story's own");
    bin
}

fn asked(dir: &Path, bin: &Path, args: &[&str]) -> Output {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("it is the story's own"));
    let mut command = Command::new(places::tidegate());
    command.arg("--config").arg(dir.join("tidegate.toml")).args(args).env("PATH", path).current_dir(dir);
    command.stdin(Stdio::null()).output().expect("it is the story's own")
}

/// What the archive holds, unpacked by GNU tar; nothing in it may be one of these.
#[track_caller]
fn unpacked(archive: &Path, to: &Path, secrets: &[String]) -> PathBuf {
    let bytes = Command::new("zstd").arg("-dcq").arg(archive).output().expect("it is the story's own").stdout;
    assert!(!bytes.is_empty());
    let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    for secret in secrets {
        let escaped = secret.escape_debug().to_string();
        assert!(!holds(secret) && !holds(&escaped), "{secret} is in {}", archive.display());
    }
    // The search finds what is there.
    assert!(holds("manifest.json"));
    fs::create_dir(to).expect("it is the story's own");
    let tar = Command::new("tar")
        .arg("--zstd")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(to)
        .output()
        .expect("it is the story's own");
    assert!(tar.status.success(), "{}", agent::stderr(&tar));
    let mut entries = fs::read_dir(to).expect("it is the story's own");
    let folder = entries.next().expect("a folder").expect("it is the story's own").path();
    assert!(entries.next().is_none(), "one folder and nothing beside it");
    folder
}

/// What the agent's journal has of events: no command without that variable can ask for it.
fn events(socket: &Path) -> String {
    let Ok(mut stream) = UnixStream::connect(socket) else { return String::new() };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /v1/tail?events=true HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    if asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() { answer } else { String::new() }
}

fn json(file: &Path) -> Value {
    serde_json::from_str(&places::text(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A name of the manifest's list.
fn named<'a>(manifest: &'a Value, list: &str, name: &str) -> &'a Value {
    manifest[list]
        .as_array()
        .expect("it is the story's own")
        .iter()
        .find(|part| part["name"] == name)
        .unwrap_or(&Value::Null)
}

#[test]
fn a_bundle_of_a_running_agent_has_all_that_helps_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (config, mut secrets) = secretive(dir);
    let bin = planted(dir, &secrets);
    secrets.extend([IN_URL, WEB_TOKEN, IN_COMMENT].map(str::to_owned));
    // Only the agent knows what {env:} stands for.
    let agent = Agent::launched_with(dir, &config, &[("POND_FARM", FROM_ENV)]);
    let socket = dir.join("agent.sock");
    wait_for("its first event", LIMIT, || agent.log_tail(), || events(&socket).contains("\"boot\"").then_some(()));
    let output = asked(dir, &bin, &["support-bundle", "--json", "--lines", "321"]);
    assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let archive = dir.join(printed["output"].as_str().unwrap());
    assert!(archive.to_string_lossy().contains("/tidegate-support-gw-1-20"), "{}", archive.display());
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = unpacked(&archive, &dir.join("unpacked"), &secrets);

    let manifest = json(&folder.join("manifest.json"));
    assert_eq!(manifest["files"], printed["files"]);
    for part in manifest["files"].as_array().unwrap() {
        let file = folder.join(part["name"].as_str().unwrap());
        let summed = Command::new("sha256sum").arg(&file).output().unwrap();
        assert!(agent::stdout(&summed).starts_with(part["sha256"].as_str().unwrap()), "{part}");
    }
    assert_eq!(json(&folder.join("status.json"))["device"], "gw-1");
    assert!(json(&folder.join("checks.json")).as_array().unwrap().iter().any(|check| check["of"] == "cloud"));
    assert!(json(&folder.join("journal.json"))["epoch"].is_string());
    let events = places::text(&folder.join("events.ndjson"));
    assert!(events.contains("\"boot\"") && events.lines().all(|line| line.contains("\"event\"")), "{events}");
    let log = places::text(&folder.join("log.txt"));
    assert!(log.contains("delivering again sink=cloud") && log.contains("goodbye"), "{log}");
    assert!(places::text(&dir.join("asked")).contains("-n 321"));
    let written = places::text(&folder.join("config/tidegate.toml"));
    assert!(written.contains("commit_interval = \"100ms\"") && written.contains("{env:POND_FARM}"), "{written}");
    assert!(written.contains(&format!("password_file = \"{}/password\"", dir.display())), "{written}");
    let in_force = json(&folder.join("config/in-force.json"));
    let username = in_force.as_array().unwrap().iter().find(|key| key["key"] == "sink.cloud.username").unwrap();
    assert_eq!(username["value"], "\"[redacted]\"");
    assert!(username["line"].is_u64());
    assert!(places::text(&folder.join("board/proc-meminfo")).contains("MemTotal"));
    assert!(json(&folder.join("ports.json")).is_array());

    let again = asked(dir, &bin, &["support-bundle", "--output", archive.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(exit::DISK), "what is there stays: {}", agent::stdout(&again));
}

#[test]
fn a_bundle_is_made_without_an_agent_and_of_a_configuration_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (config, mut secrets) = secretive(dir);
    secrets.extend([IN_URL, WEB_TOKEN, IN_COMMENT].map(str::to_owned));
    let bin = planted(dir, &secrets);
    let wrong = config.replace("expires = \"1h\"", &format!("password = \"{IN_URL} and more\"\nexpires = \"ten\""))
        + &format!("[local.web]\nweb_token_file = \"{}/web-token\"\nurl = \"http://x:{IN_URL}@y/\"\n", dir.display());
    fs::write(dir.join("tidegate.toml"), wrong).unwrap();
    fs::create_dir(dir.join("conf.d")).unwrap();
    fs::write(dir.join("conf.d/10-more.toml"), format!("[sink.cloud\nusername = \"{WEB_TOKEN}\n")).unwrap();
    secrets.push("and more".to_owned());
    let archive = dir.join("out.tar.zst");
    let output = asked(dir, &bin, &["support-bundle", "--output", archive.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    let folder = unpacked(&archive, &dir.join("unpacked"), &secrets);
    let manifest = json(&folder.join("manifest.json"));
    let why = named(&manifest, "left_out", "status.json")["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("no agent answers"), "{manifest:#}");
    let why = named(&manifest, "left_out", "log.txt")["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("{env:POND_FARM}"), "what can not be taken out is not sent: {manifest:#}");
    assert!(named(&manifest, "left_out", "journal.json")["why"].is_string(), "{manifest:#}");
    let problems = places::text(&folder.join("config/problems.txt"));
    assert!(problems.contains("expires") && problems.contains("password"), "{problems}");
    assert!(folder.join("config/conf.d/10-more.toml").is_file());
    let screen = agent::stdout(&output);
    assert!(screen.contains("left out") && screen.contains("config/tidegate.toml"), "{screen}");
}
