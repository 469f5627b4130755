//! A credentials provider as AWS IoT Core has one: a certificate is shown, and keys of the store are given for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::patience::wait_for;
use crate::pki::{Authority, Leaf, Pair};
use crate::places::{self, free_port};
use crate::process::{Process, leashed};
use crate::seaweed::{ROLE, Seaweed};

const START_LIMIT: Duration = Duration::from_secs(30);
/// The role alias that it knows.
pub const ALIAS: &str = "farm-uploads";

/// The provider, its authority, and a device that it knows.
#[derive(Debug)]
pub struct Provider {
    dir: PathBuf,
    config: Value,
    port: u16,
    process: Option<Process>,
    ca: PathBuf,
    /// The certificate of the thing `gw-1`.
    pub device: Pair,
}

impl Provider {
    /// A provider for the store's role, with its files in `dir`; what it gives lasts for `life`.
    pub fn started(dir: &Path, store: &Seaweed, life: Duration) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let authority = Authority::new(&dir.join("ca"));
        let server = authority.issue(&Leaf::server("provider"));
        let device = authority.issue(&Leaf::client("gw-1"));
        let (port, ca) = (free_port(), authority.certificate());
        let config = json!({
            "port": port, "cert": server.cert, "key": server.key, "ca": ca, "store": store.as_json(),
            "role": ROLE, "alias": ALIAS, "mood": dir.join("mood"),
        });
        let mut provider = Self { dir: dir.to_owned(), config, port, process: None, ca, device };
        provider.give_for(life);
        provider.start();
        provider
    }

    /// Starts it, on the same port as ever.
    pub fn start(&mut self) {
        let before = self.log("listening");
        let mut command = leashed(&places::venv("python"));
        command.arg(places::tests().join("helpers/provider.py")).arg(self.config.to_string());
        let process = Process::start("provider", command, &self.dir.join("log"));
        let dir = &self.dir;
        wait_for(
            "the provider to listen",
            START_LIMIT,
            || process.log_tail(),
            || (count(dir, "listening") > before).then_some(()),
        );
        self.process = Some(process);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// From now on what it gives lasts for `life`.
    pub fn give_for(&self, life: Duration) {
        self.set_mood(&json!({ "life_s": life.as_secs() }));
    }

    /// From now on it refuses everybody.
    pub fn deny(&self) {
        self.set_mood(&json!({ "denied": true }));
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often it gave credentials.
    pub fn given(&self) -> usize {
        self.log("given ")
    }

    /// How often it refused.
    pub fn denied(&self) -> usize {
        self.log("denied ")
    }

    /// `[sink.NAME.credentials]` for the thing `gw-1`, and the role alias as given.
    pub fn credentials(&self, name: &str, alias: &str) -> String {
        let (ca, Pair { cert, key }) = (self.ca.display(), &self.device);
        format!(
            "[sink.{name}.credentials]\ntype = \"iot\"\nendpoint = \"localhost:{}\"\nrole_alias = \"{alias}\"\n\
             ca = \"{ca}\"\ncert = \"{}\"\nkey = \"{}\"\n\n",
            self.port,
            cert.display(),
            key.display()
        )
    }

    fn set_mood(&self, mood: &Value) {
        let fresh = self.dir.join("mood.new");
        fs::write(&fresh, mood.to_string()).expect("write into the story's folder");
        fs::rename(&fresh, self.dir.join("mood")).expect("within the story's folder");
    }

    fn log(&self, word: &str) -> usize {
        count(&self.dir, word)
    }
}

fn count(dir: &Path, word: &str) -> usize {
    places::text(&dir.join("log")).lines().filter(|line| line.starts_with(word)).count()
}
