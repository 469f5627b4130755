//! A device that is updated: a program in its place, a service manager that starts it again and again, and an installer.
//!
//! The service manager is a loop in a shell, because the real one is not to be had in a story; `tests/device` has it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::agent::{self, START_LIMIT};
use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed};

/// Starts what lies in the program's place, for ever. Where a file `watchdog` says how many seconds, that long at most: as a
/// watchdog ends a program that hangs.
const MANAGER: &str = r#"cd "$1" || exit 1
while :; do
    set -- setpriv --pdeathsig KILL -- bin/tidegate --config tidegate.toml run
    if [ -e watchdog ]; then set -- timeout -s KILL "$(cat watchdog)" "$@"; fi
    "$@" & echo $! >pid.new; mv pid.new pid
    wait $!
    sleep 0.1
done
"#;

/// Ends what runs, in order where it can be had.
const RESTART: &str = r#"pid=$(cat "$1/pid") || exit 0
echo restart >>"$1/restarts"
kill -TERM "$pid" || exit 0
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$pid" 2>/dev/null || exit 0
    sleep 0.1
done
kill -KILL "$pid" || true
"#;

/// The device.
#[derive(Debug)]
pub struct Board {
    dir: PathBuf,
    manager: Option<Process>,
}

/// What ended an update.
#[derive(Debug)]
pub struct Installed {
    /// What the installer ended with; none where it was killed.
    pub code: Option<i32>,
    /// What it said.
    pub said: String,
}

impl Board {
    /// A device in `dir` whose configuration has these lines beside its own; nothing runs yet.
    pub fn made(dir: &Path, lines: &str, update_lines: &str) -> Self {
        let shown = dir.display();
        fs::create_dir_all(dir.join("bin")).expect("write into the story's folder");
        fs::copy(program(), dir.join("bin/tidegate")).expect("a program can be copied");
        for (name, text) in [("manager.sh", MANAGER), ("restart.sh", RESTART)] {
            fs::write(dir.join(name), text).expect("write into the story's folder");
        }
        let update = format!(
            "[update]\nkey = \"{shown}/public.pem\"\nstaging = \"{shown}/update\"\nrollback = \"{shown}/rollback\"\n\
             binary = \"{shown}/bin/tidegate\"\nrestart = [\"sh\", \"{shown}/restart.sh\", \"{shown}\"]\n{update_lines}\n\n"
        );
        let config = agent::preamble(dir, "100ms") + &update + lines;
        fs::write(dir.join("tidegate.toml"), config).expect("write into the story's folder");
        make_keys(dir, "private.pem", "public.pem");
        Self { dir: dir.to_owned(), manager: None }
    }

    /// The folder of this device.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the service manager, and returns once the agent answers.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = leashed(Path::new("sh"));
        command.arg(self.dir.join("manager.sh")).arg(&self.dir).env("NO_COLOR", "1");
        self.manager = Some(Process::start("manager", command, &self.dir.join("agent.log")));
        self.wait_status("the agent to answer", |_| true);
    }

    /// Pulls the plug: of the service manager, and of all that it runs.
    pub fn stop(&mut self) {
        if let Some(manager) = self.manager.take() {
            manager.kill();
        }
    }

    /// Waits until the agent's status is as wanted.
    #[track_caller]
    pub fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, START_LIMIT * 2, || self.log_tail(), || self.status().filter(&wanted))
    }

    /// What the agent says.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.cli(&["status", "--json"]).stdout).ok()
    }

    /// Where the last update stands.
    pub fn update(&self) -> Value {
        let output = self.cli(&["update", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", agent::stderr(&output)))
    }

    /// A command with this device's configuration, by the program that the stories test.
    pub fn cli(&self, args: &[&str]) -> Output {
        let config = self.dir.join("tidegate.toml");
        agent::run(&[&["--config", config.to_str().expect("a path of our own")], args].concat())
    }

    /// A signed manifest of a file, with more words for `sign`.
    #[track_caller]
    pub fn signed(&self, file: &Path, url: &str, words: &[&str]) -> PathBuf {
        let key = self.dir.join("private.pem");
        let named = [file, &key].map(|path| path.to_str().expect("a path of our own"));
        let output = self.cli(&[&["update", "sign", "--key", named[1], "--url", url], words, &[named[0]]].concat());
        assert!(output.status.success(), "{}", agent::stderr(&output));
        let document = self.dir.join("manifest.json");
        fs::write(&document, output.stdout).expect("write into the story's folder");
        document
    }

    /// Signs a file and has it ready for the installer, without a server.
    #[track_caller]
    pub fn stage(&self, file: &Path, words: &[&str]) {
        // Every manifest is another one: what was tried is not tried again.
        let number = self.dir.join("number");
        let count = places::text(&number).len();
        fs::write(&number, "x".repeat(count + 1)).expect("write into the story's folder");
        let document = self.signed(file, &format!("http://127.0.0.1:9/{count}"), words);
        let [document, file] = [&document, file].map(|path| path.to_str().expect("a path of our own"));
        let output = self.cli(&["update", "fetch", document, "--file", file]);
        assert!(output.status.success(), "{}", agent::stderr(&output));
    }

    /// Runs the installer to its end, by another program where there are words for one: the copy that began, where it lies
    /// there, as the unit does.
    pub fn install(&self, under: &[&str]) -> Installed {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "timeout", "-s", "KILL", "300"]).args(under).arg(self.installer());
        command.arg("--config").arg(self.dir.join("tidegate.toml")).args(["update", "install"]);
        let output = command.env("NO_COLOR", "1").output().expect("util-linux has setpriv");
        Installed { code: output.status.code(), said: agent::stderr(&output) }
    }

    /// Starts the installer, and does not wait for it.
    pub fn installing(&self) -> Process {
        let mut command = leashed(&self.installer());
        command.arg("--config").arg(self.dir.join("tidegate.toml")).args(["update", "install"]).env("NO_COLOR", "1");
        Process::start("installer", command, &self.dir.join("installer.log"))
    }

    fn installer(&self) -> PathBuf {
        let copy = self.dir.join("rollback/installer");
        if copy.is_file() { copy } else { self.dir.join("bin/tidegate") }
    }

    /// Bytes of the program that is in its place.
    pub fn installed(&self) -> Vec<u8> {
        fs::read(self.dir.join("bin/tidegate")).expect("a program is there at any time")
    }

    /// How often the agent was started anew by an installer.
    pub fn restarts(&self) -> usize {
        places::text(&self.dir.join("restarts")).lines().count()
    }

    /// What the agent has said last.
    pub fn log_tail(&self) -> String {
        crate::process::tail("the agent", &self.dir.join("agent.log"))
    }

    /// Another build of the same program: it does what the other does, and has other bytes.
    pub fn rebuilt(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        let mut bytes = fs::read(program()).expect("the program under test");
        // Behind the sections of an ELF file anything may stand.
        bytes.extend_from_slice(name.as_bytes());
        write(&path, &bytes)
    }

    /// A program that says that it is a tidegate and takes any configuration, and runs like this.
    pub fn broken(&self, name: &str, run: &str) -> PathBuf {
        let text = format!("#!/bin/sh\ncase \"$*\" in --version) echo tidegate 9.9.9 ;; *check) ;; *) {run} ;; esac\n");
        write(&self.dir.join(name), text.as_bytes())
    }
}

/// Long enough for an agent to come up on a machine that builds beside it.
pub const WELL_WITHIN: &str = "health_within = \"90s\"\nhealthy_for = \"1s\"";
/// For those that will not come up at all.
pub const NOT_WELL_WITHIN: Duration = Duration::from_secs(3);

/// The program under test without what debuggers read: it is copied a lot.
fn program() -> PathBuf {
    let whole = places::tidegate();
    let bare = whole.with_file_name("tidegate-bare");
    let is_newer = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    if is_newer(&bare) < is_newer(&whole) {
        // Several stories may do so at once.
        let fresh = whole.with_file_name(format!("tidegate-bare.{:?}", std::thread::current().id()));
        let status = Command::new("strip").arg("-o").arg(&fresh).arg(&whole).status().expect("binutils has strip");
        assert!(status.success(), "strip failed");
        fs::rename(&fresh, &bare).expect("a folder of our own");
    }
    bare
}

fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::write(path, bytes).expect("write into the story's folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
    path.to_owned()
}

/// A pair of Ed25519 keys, made by OpenSSL.
#[track_caller]
pub fn make_keys(dir: &Path, private: &str, public: &str) {
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).current_dir(dir).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", agent::stderr(&output));
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
}
