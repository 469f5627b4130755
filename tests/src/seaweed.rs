//! A real object store: `SeaweedFS` on ports of its own, shared by the stories that run at the same time.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::patience::wait_for;
use crate::places::{self, GRPC_OFFSET, free_port};
use crate::process::{Process, leashed};

/// Fresh it is up in 2.4 s, restarted in up to 5 s; a machine that builds beside it takes longer.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Who the agent is to the store.
pub const KEY_ID: &str = "testagentkey00000001";
/// Its secret: worth nothing anywhere else.
pub const SECRET: &str = "agentSecretKeyagentSecretKeyagentSecret0";
/// The role that a device assumes.
pub const ROLE: &str = "arn:aws:iam::role/Device";
/// The store has no regions and takes any.
pub const REGION: &str = "eu-west-1";

/// An object store.
#[derive(Debug)]
pub struct Seaweed {
    dir: PathBuf,
    ports: Ports,
    process: Option<Process>,
    /// Present where the store owns its folder.
    owned: Option<TempDir>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    s3: u16,
    master: u16,
    filer: u16,
    volume: u16,
    admin: u16,
}

impl Seaweed {
    /// The store of all stories that run now: started by the first who asks, gone with the last who holds it. Each
    /// story has a bucket of its own.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Seaweed>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(store) = shared.upgrade() {
            return store;
        }
        let dir = tempfile::tempdir().expect("make a folder");
        let mut store = Self::stopped(dir.path());
        store.owned = Some(dir);
        store.start();
        let store = Arc::new(store);
        *shared = Arc::downgrade(&store);
        store
    }

    /// A store that keeps its files in the folder `dir`. It does not run yet.
    pub fn stopped(dir: &Path) -> Self {
        let ports =
            Ports { s3: free_port(), master: free_port(), filer: free_port(), volume: free_port(), admin: free_port() };
        fs::create_dir_all(dir.join("data")).expect("make the store's folder");
        write_identities(dir, KEY_ID);
        fs::write(dir.join("secret"), SECRET).expect("write the agent's secret");
        Self { dir: dir.to_owned(), ports, process: None, owned: None }
    }

    /// The same with a role that may be assumed by whoever has the agent's key, and may do in `bucket` what a device needs:
    /// write below its own prefixes and read there. `secret` signs what is given out: with another one after a restart,
    /// nothing of that is worth anything any more.
    pub fn with_role(dir: &Path, bucket: &str, secret: &str) -> Self {
        let store = Self::stopped(dir);
        store.sign_with(bucket, secret);
        store
    }

    /// Writes down the role, for the next start.
    pub fn sign_with(&self, bucket: &str, secret: &str) {
        assert!(secret.len().is_multiple_of(4), "it passes for base64");
        let own =
            ["readings", "manifests"].map(|tree| format!("arn:aws:s3:::{bucket}/{tree}/v1/site=farm/device=gw-1/*"));
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": own },
        ]});
        let trust = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": ["sts:AssumeRole"] },
        ]});
        let roles = json!({
            "sts": { "tokenDuration": "15m", "maxSessionLength": "12h", "issuer": "seaweedfs-sts", "signingKey": secret },
            "policy": { "defaultEffect": "Deny", "storeType": "memory" },
            "roleStore": { "storeType": "memory" },
            "providers": [],
            "policies": [{ "name": "device", "document": policy }],
            "roles": [{ "roleName": "Device", "roleArn": ROLE, "trustPolicy": trust, "attachedPolicies": ["device"] }],
        });
        fs::write(self.dir.join("iam.json"), roles.to_string()).expect("write the store's roles");
    }

    /// Changes who the agent is to the store, for the next start: another key id, and the agent's is nobody's.
    pub fn know_only(&self, key_id: &str) {
        write_identities(&self.dir, key_id);
    }

    /// Starts it, on the same port as ever.
    pub fn start(&mut self) {
        let Ports { s3, master, filer, volume, admin } = self.ports;
        let mut command = leashed(&places::venv("weed"));
        command
            .args(["-logtostderr", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            // By default it reports to its vendor, and serves pages and protocols that no story asks for.
            .args(["-master.telemetry=false", "-admin.ui=false", "-webdav=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"])
            .arg(format!("-dir={}", self.dir.join("data").display()))
            .arg(format!("-s3.config={}", self.dir.join("s3.json").display()))
            .args([format!("-s3.port={s3}"), format!("-master.port={master}"), format!("-filer.port={filer}")])
            .args([format!("-volume.port={volume}"), format!("-admin.port={admin}")])
            .current_dir(&self.dir);
        if self.dir.join("iam.json").is_file() {
            command.arg(format!("-s3.iam.config={}", self.dir.join("iam.json").display()));
        }
        let process = self.process.insert(Process::start("seaweedfs", command, &self.dir.join("log")));
        wait_for(
            "SeaweedFS to serve S3",
            START_LIMIT,
            || process.log_tail(),
            || {
                process.ended().is_none().then_some(())?;
                answers(s3).then_some(())
            },
        );
    }

    /// Kills it. What it has acknowledged it has again when it is started again.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// For the agent's `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.s3)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.ports.s3
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.s3)
    }

    /// For the agent's `secret_access_key_file`.
    pub fn secret_file(&self) -> PathBuf {
        self.dir.join("secret")
    }

    /// For the Python helpers.
    pub fn as_json(&self) -> Value {
        let endpoint = format!("127.0.0.1:{}", self.ports.s3);
        json!({ "endpoint": endpoint, "key_id": KEY_ID, "secret": SECRET, "region": REGION })
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, bucket: &str) {
        self.boto(&["make-bucket", bucket]);
    }

    /// Puts an object unless its key is taken; gives back the HTTP status.
    pub fn put_if_absent(&self, bucket: &str, key: &str, body: &str) -> String {
        self.boto(&["put-if-absent", bucket, key, body])
    }

    /// Changes the bytes of an object behind everybody's back.
    pub fn alter(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.dir.join("altered");
        let name = file.to_str().expect("a path of ours");
        self.boto(&["get", bucket, key, name]);
        let mut bytes = fs::read(&file).expect("boto3 wrote it");
        change(&mut bytes);
        fs::write(&file, bytes).expect("write into the store's folder");
        self.boto(&["put", bucket, key, name]);
    }

    /// Removes an object.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.boto(&["delete", bucket, key]);
    }

    /// The keys of a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.boto(&["keys", bucket]).lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn boto(&self, args: &[&str]) -> String {
        boto(&self.as_json(), args)
    }
}

/// What boto3 says when it does this at a store.
#[track_caller]
pub(crate) fn boto(store: &Value, args: &[&str]) -> String {
    let mut python = places::python("helpers/store.py");
    let Output { status, stdout, stderr } = python.arg(store.to_string()).args(args).output().expect("start python");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "boto3 could not {args:?}: {stderr}");
    String::from_utf8_lossy(&stdout).trim_end().to_owned()
}

fn write_identities(dir: &Path, key_id: &str) {
    let identities = json!({ "identities": [{
        "name": "agent",
        "credentials": [{ "accessKey": key_id, "secretKey": SECRET }],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }]});
    fs::write(dir.join("s3.json"), identities.to_string()).expect("write the store's identities");
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.stop();
        let Ports { s3, master, filer, volume, admin } = self.ports;
        for port in [s3, master, filer, volume, admin] {
            remove_sockets(port);
            remove_sockets(port + GRPC_OFFSET);
        }
    }
}

/// It leaves a socket a port behind, in `/tmp` whatever `TMPDIR` says.
fn remove_sockets(port: u16) {
    let ending = format!("-{port}.sock");
    for entry in fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("seaweedfs-") && name.ends_with(&ending) {
            // Tidiness only: what can not be removed harms nobody.
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Whether the S3 side says 200 to a question about its health.
fn answers(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.split(' ').nth(1) == Some("200")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::Lake;

    #[test]
    fn a_key_is_written_once_and_duckdb_reads_it_over_s3() {
        let store = Seaweed::shared();
        store.make_bucket("self-test");
        let key = "readings/v1/site=a/device=b/dt=2026-11-22/7f3k-000000000001-000000000002.ndjson";
        let body = r#"{"seq":1,"value":0.1}"#;
        assert_eq!(store.put_if_absent("self-test", key, body), "200");
        assert_eq!(store.put_if_absent("self-test", key, "{}"), "412");
        assert_eq!(store.keys("self-test"), [key]);

        let rows = Lake::Bucket(&store, "self-test").query("SELECT seq, value FROM 's3://self-test/**/*.ndjson'");
        assert_eq!(rows, [json!({ "seq": 1, "value": 0.1 })]);
    }

    #[test]
    fn a_killed_store_comes_back_with_what_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Seaweed::stopped(dir.path());
        store.start();
        store.make_bucket("kept");
        assert_eq!(store.put_if_absent("kept", "a", "1"), "200");
        store.stop();
        store.start();
        assert_eq!(store.put_if_absent("kept", "a", "2"), "412");
    }
}
