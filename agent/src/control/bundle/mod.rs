//! What somebody at home needs to help: one archive of what the device knows of itself, without its secrets.
//!
//! The same for a person on the spot (`tidegate support-bundle`) and for a command from afar; who asks brings what only he can
//! get at. Every part has its largest size, all have one together, and `manifest.json` says what is there, where it comes
//! from, what was cut and what was left out and why.

mod archive;
mod outside;

use std::path::Path;

use model::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::check;
use super::status::Status;
use super::tail::Query;
use crate::acquire::ports;
use crate::config::{Layers, Redactor, stage_of};

/// Largest part, and all of them together, before they are compressed.
const PART_BYTES_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 8 << 20;
/// Of a fact of the board so much goes into an answer.
const FACT_BYTES_MAX: usize = 2 << 10;
/// How far back events go, how many there are at most, and among how many records they are looked for.
const EVENTS_MS: i64 = 86_400_000;
const EVENTS_MAX: usize = 1_000;
const EVENTS_LOOK: u64 = 1_000_000;
/// How many lines of the log go with it unless somebody says otherwise.
pub const LOG_LINES: u32 = 1_000;

/// The question for the events that go with a bundle of that time.
pub fn events_until(at: Timestamp) -> Query {
    let since = Some(at.plus_millis(-EVENTS_MS));
    Query { since, n: Some(EVENTS_MAX), look: Some(EVENTS_LOOK), events: true, ..Query::default() }
}

/// Files that tell a board from another, and how it is. In `/proc/self` it is the agent that is meant.
const FACTS: [&str; 9] = [
    "/etc/os-release",
    "/proc/device-tree/model",
    "/proc/version",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/uptime",
    "/proc/self/status",
];

/// What the bundle is made from.
pub struct Asked<'a> {
    /// The layers of the configuration; with the agent's environment, where that could be had.
    pub layers: &'a Layers,
    /// The device's name, and its site's.
    pub device: (String, String),
    /// What is wrong with the configuration, where something is.
    pub problems: Option<String>,
    /// What the agent says of itself, or why it does not.
    pub status: Result<Value, String>,
    /// What the journal holds.
    pub journal: Result<Value, String>,
    /// The events of the last day, a line each.
    pub events: Result<Vec<u8>, String>,
    /// The agent's process.
    pub pid: Option<i32>,
    /// How many lines of the log.
    pub lines: u32,
    /// Now.
    pub at: Timestamp,
}

/// A file of the bundle.
struct Part {
    name: String,
    from: String,
    bytes: Vec<u8>,
    cut: Option<String>,
}

/// A bundle, without secrets.
pub struct Bundle {
    parts: Vec<Part>,
    left_out: Vec<Value>,
    head: Map<String, Value>,
    at: Timestamp,
    redactor: Redactor,
    room: usize,
}

/// Which end of a part goes when it is too large.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

impl Bundle {
    /// Looks at everything.
    pub fn of(asked: Asked<'_>) -> Self {
        let redactor = Redactor::of(asked.layers);
        let (device, site) = asked.device;
        let head = json!({
            "v": 1, "device": device, "site": site, "version": env!("CARGO_PKG_VERSION"), "at": asked.at,
            "architecture": std::env::consts::ARCH,
        });
        let Value::Object(head) = head else { unreachable!("it is written as an object") };
        let mut bundle =
            Self { parts: Vec::new(), left_out: Vec::new(), head, at: asked.at, redactor, room: BYTES_MAX };
        bundle.put_status(asked.status);
        match asked.journal {
            Ok(stat) => bundle.json("journal.json", "`tidegate journal stat`", stat),
            Err(why) => bundle.leave_out("journal.json", why),
        }
        bundle.put_configuration(asked.layers, asked.problems);
        match ports::list(&ports::Places::default()) {
            Ok(list) => bundle.json("ports.json", "`tidegate ports`", json!(list)),
            Err(error) => bundle.leave_out("ports.json", error.to_string()),
        }
        for fact in FACTS {
            let file = match asked.pid {
                Some(pid) => fact.replace("/self/", &format!("/{pid}/")),
                None => fact.to_owned(),
            };
            let name = format!("board/{}", fact.trim_start_matches('/').replace('/', "-"));
            match std::fs::read(Path::new(&file)) {
                Ok(bytes) => bundle.text(&name, &file, &String::from_utf8_lossy(&bytes), Keep::First),
                Err(error) => bundle.leave_out(&name, format!("{file}: {error}")),
            }
        }
        bundle.put_outside(asked.lines);
        match asked.events {
            Ok(lines) => bundle.put_events(&lines),
            Err(why) => bundle.leave_out("events.ndjson", why),
        }
        bundle
    }

    fn put_status(&mut self, status: Result<Value, String>) {
        match status {
            Ok(status) => {
                if let Ok(status) = serde_json::from_value::<Status>(status.clone()) {
                    self.json("checks.json", "judged from status.json", json!(check::of_status(&status)));
                }
                self.json("status.json", "`tidegate status`", status);
            }
            Err(why) => ["status.json", "checks.json"].into_iter().for_each(|name| self.leave_out(name, why.clone())),
        }
    }

    fn put_configuration(&mut self, layers: &Layers, problems: Option<String>) {
        let shown = json!(self.redactor.shown(layers));
        self.json("config/in-force.json", "`tidegate config show --origin`", shown);
        if let Some(problems) = problems {
            self.text("config/problems.txt", "`tidegate check`, as whoever asks", &problems, Keep::First);
        }
        for (file, text) in self.redactor.files(layers) {
            let below = layers.file.parent().and_then(|folder| file.strip_prefix(folder).ok());
            let below = below.or_else(|| file.file_name().map(Path::new)).unwrap_or(Path::new("configuration"));
            let name = format!("config/{}", below.display());
            match text {
                Ok(text) => self.text(&name, &file.display().to_string(), &text, Keep::First),
                Err(error) => self.leave_out(&name, format!("{}: {error}", file.display())),
            }
        }
        let (stage, trouble) = stage_of(layers);
        match trouble {
            Some(error) => self.leave_out("revisions.json", error.to_string()),
            None => self.json(
                "revisions.json",
                "what came from afar",
                json!({"confirmed": stage.confirmed, "trial": stage.trial, "last": stage.last}),
            ),
        }
    }

    /// A secret that is not known here could stand in the log.
    fn put_outside(&mut self, lines: u32) {
        let unknown: Vec<&str> = self.redactor.unknown().collect();
        if unknown.is_empty() {
            self.said("log.txt", outside::log(lines), Keep::Last);
        } else {
            let why = format!("it could hold what is not known here ({}): ask as root, with sudo", unknown.join(", "));
            self.leave_out("log.txt", why);
        }
        self.said("unit.txt", outside::unit(), Keep::First);
        self.said("kernel.txt", outside::kernel(), Keep::Last);
    }

    fn said(&mut self, name: &str, said: Result<(String, String), String>, keep: Keep) {
        match said {
            Ok((from, text)) => self.text(name, &from, &text, keep),
            Err(why) => self.leave_out(name, why),
        }
    }

    fn put_events(&mut self, lines: &[u8]) {
        let mut text = String::new();
        for line in String::from_utf8_lossy(lines).lines() {
            let Ok(mut event) = serde_json::from_str::<Value>(line) else { continue };
            self.redactor.json(&mut event);
            text += &event.to_string();
            text.push('\n');
        }
        self.put("events.ndjson", "the journal, of the last day", text.into_bytes(), Keep::Last);
    }

    fn json(&mut self, name: &str, from: &str, mut document: Value) {
        self.redactor.json(&mut document);
        self.put(name, from, format!("{document:#}\n").into_bytes(), Keep::First);
    }

    fn text(&mut self, name: &str, from: &str, text: &str, keep: Keep) {
        let text = self.redactor.text(text);
        self.put(name, from, text.into_bytes(), keep);
    }

    fn leave_out(&mut self, name: &str, why: impl Into<String>) {
        let why = self.redactor.text(&why.into());
        self.left_out.push(json!({"name": name, "why": why}));
    }

    fn put(&mut self, name: &str, from: &str, mut bytes: Vec<u8>, keep: Keep) {
        let most = PART_BYTES_MAX.min(self.room);
        if most == 0 {
            return self.leave_out(name, format!("all parts together have {BYTES_MAX} bytes already"));
        }
        let before = bytes.len();
        let mut cut = None;
        if before > most {
            let surplus = before - most;
            if keep == Keep::First {
                bytes.truncate(most);
            } else {
                bytes.drain(..surplus);
            }
            let end = if keep == Keep::First { "beginning" } else { "end" };
            cut = Some(format!("the {end} of {before} bytes, a part has {PART_BYTES_MAX} at most"));
        }
        self.room -= bytes.len();
        self.parts.push(Part { name: name.to_owned(), from: from.to_owned(), bytes, cut });
    }

    /// What is in it, where from, and what is not and why.
    pub fn manifest(&self) -> Value {
        let files: Vec<Value> = self
            .parts
            .iter()
            .map(|part| {
                json!({"name": part.name, "bytes": part.bytes.len(), "sha256": hex::encode(Sha256::digest(&part.bytes)),
                    "from": part.from, "cut": part.cut})
            })
            .collect();
        let unknown: Vec<&str> = self.redactor.unknown().collect();
        let mut manifest = self.head.clone();
        manifest.insert("files".to_owned(), files.into());
        manifest.insert("left_out".to_owned(), self.left_out.clone().into());
        manifest.insert("secrets".to_owned(), json!({"taken_out": self.redactor.known(), "not_known_here": unknown}));
        Value::Object(manifest)
    }

    /// `tidegate-support-<device>-<time>`
    pub fn name(&self) -> String {
        let time = self.at.to_string().replace(['-', ':'], "");
        let time = time.split('.').next().unwrap_or_default().trim_end_matches('Z');
        format!("tidegate-support-{}-{time}Z", self.head["device"].as_str().unwrap_or_default())
    }

    /// The archive, `.tar.zst`: a folder with the bundle's name.
    pub fn archive(&self) -> std::io::Result<Vec<u8>> {
        let (name, manifest) = (self.name(), format!("{:#}\n", self.manifest()));
        let mut files = vec![("manifest.json", manifest.as_bytes())];
        files.extend(self.parts.iter().map(|part| (part.name.as_str(), part.bytes.as_slice())));
        let tar = archive::tar(&name, &files, u64::try_from(self.at.as_millis() / 1_000).unwrap_or_default());
        zstd::bulk::compress(&tar, 3)
    }

    /// The small parts as one document, for an answer: what is JSON under its name, the board's facts below `board`.
    pub fn document(&self) -> Value {
        let mut document = Map::from_iter([("manifest".to_owned(), self.manifest())]);
        let mut board = Map::new();
        for part in &self.parts {
            if let Some(fact) = part.name.strip_prefix("board/") {
                let begin = &part.bytes[..part.bytes.len().min(FACT_BYTES_MAX)];
                board.insert(fact.to_owned(), String::from_utf8_lossy(begin).into());
            } else if let Some(name) = part.name.strip_suffix(".json")
                && let Ok(value) = serde_json::from_slice(&part.bytes)
            {
                document.insert(name.to_owned(), value);
            }
        }
        document.insert("board".to_owned(), board.into());
        Value::Object(document)
    }
}
