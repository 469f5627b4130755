//! Another object store, by other people: moto's, in Python. It keeps objects in memory, honours conditions and verifies no
//! signature, so that a desk may take headers out of a request on the way.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::patience::wait_for;
use crate::places::{self, free_port};
use crate::process::{Process, leashed};
use crate::seaweed::{KEY_ID, SECRET, boto};

/// It imports half of Python first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An object store.
#[derive(Debug)]
pub struct Moto {
    port: u16,
    _process: Process,
}

impl Moto {
    /// A store that is forgotten when it ends, with an empty bucket; its log lies in `dir`.
    pub fn started(dir: &Path, bucket: &str) -> Self {
        let port = free_port();
        let mut command = leashed(&places::venv("python"));
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start("moto", command, &dir.join("moto.log"));
        let answers = || TcpStream::connect(("127.0.0.1", port)).ok();
        wait_for("moto to listen", START_LIMIT, || process.log_tail(), answers);
        let moto = Self { port, _process: process };
        boto(&moto.as_json(), &["make-bucket", bucket]);
        moto
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Removes an object.
    pub fn delete(&self, bucket: &str, key: &str) {
        boto(&self.as_json(), &["delete", bucket, key]);
    }

    /// The keys of a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        boto(&self.as_json(), &["keys", bucket]).lines().map(str::to_owned).collect()
    }

    fn as_json(&self) -> Value {
        json!({ "endpoint": format!("127.0.0.1:{}", self.port), "key_id": KEY_ID, "secret": SECRET, "region": "us-east-1" })
    }
}
