//! The agent: the real binary with a configuration in a story's folder, started, asked, signalled and killed.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::patience::wait_for;
use crate::pki::Pair;
use crate::places;
use crate::process::{self, Process, leashed_under};
use crate::pty::Port;
use crate::row::Row;
use crate::seaweed::{KEY_ID, REGION, Seaweed};

/// The agent is up in a blink; a machine that builds beside it takes longer.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// What the agent promises: an orderly end within ten seconds.
pub const END_LIMIT: Duration = Duration::from_secs(10);

/// Exit codes that the stories name.
pub mod exit {
    /// The thing asked about is not fine.
    pub const NOT_FINE: i32 = 1;
    /// The command line is wrong.
    pub const USAGE: i32 = 64;
    /// The daemon does not answer.
    pub const UNAVAILABLE: i32 = 69;
    /// The disk failed.
    pub const DISK: i32 = 74;
    /// The configuration is wrong.
    pub const CONFIG: i32 = 78;
}

/// An agent and its folder.
#[derive(Debug)]
pub struct Agent {
    dir: PathBuf,
    env: Vec<(String, String)>,
    /// A program and its arguments that runs the daemon; empty: it runs by itself.
    under: Vec<String>,
    process: Option<Process>,
}

/// The part of a configuration that every story has: who the device is, and that all its files lie below `dir`.
pub fn preamble(dir: &Path, commit_interval: &str) -> String {
    let dir = dir.display();
    format!(
        "[device]\nid = \"gw-1\"\nsite = \"farm\"\ntags = {{ house = \"test\" }}\n\n\
         [journal]\npath = \"{dir}/journal\"\ncommit_interval = \"{commit_interval}\"\n\n\
         [clock]\nhold_untrusted = \"0s\"\n\n\
         [local]\nsocket = \"{dir}/agent.sock\"\n\n"
    )
}

/// An instrument that says `n,<number>` as one quantity `number`, on a bus of the same name. Its start marker unmasks
/// a line that was cut when the port was opened.
pub fn counter(name: &str, port: &Path) -> String {
    let port = port.display();
    format!(
        "[bus.{name}]\nport = \"{port}\"\nbaud = 115200\n\n[instrument.{name}]\nbus = \"{name}\"\n\n\
         [instrument.{name}.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"n,\", end = \"\\r\\n\", max = 64 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = 2 }}\n\n\
         [instrument.{name}.quantity.number]\nfield = 2\nunit = \"1\"\n\n"
    )
}

/// A sink into the folder `path`, in batches of a second.
pub fn file_sink(name: &str, path: &Path, format: &str) -> String {
    format!(
        "[sink.{name}]\ntype = \"file\"\npath = \"{}\"\nformat = \"{format}\"\nbatch = {{ max_age = \"1s\" }}\n\n",
        path.display()
    )
}

/// A sink to a broker, in batches of half a second.
pub fn mqtt_sink(name: &str, url: &str) -> String {
    format!(
        "[sink.{name}]\ntype = \"mqtt\"\nurl = \"{url}\"\nprofile = \"generic\"\n\
         topic = \"farm/{{site}}/{{device}}/readings\"\nbatch = {{ max_age = \"500ms\", max_readings = 500 }}\n\n"
    )
}

/// The same over TLS with these files, and more lines for the sink itself.
pub fn mqtts_sink(name: &str, url: &str, ca: &Path, identity: Option<&Pair>, lines: &str) -> String {
    let mut text = mqtt_sink(name, url).trim_end().to_owned();
    write!(text, "\n{lines}\n[sink.{name}.tls]\nca = \"{}\"\n", ca.display()).expect("a string takes it");
    if let Some(Pair { cert, key }) = identity {
        write!(text, "cert = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display()).expect("a string takes it");
    }
    text + "\n"
}

/// A sink into a bucket, in batches of a second.
pub fn s3_sink(name: &str, store: &Seaweed, bucket: &str) -> String {
    s3_sink_at(name, &store.endpoint(), bucket, "") + &s3_key(name, store)
}

/// The same at an endpoint of the story's, with more lines, and without credentials.
pub fn s3_sink_at(name: &str, endpoint: &str, bucket: &str, lines: &str) -> String {
    format!(
        "[sink.{name}]\ntype = \"s3\"\nbucket = \"{bucket}\"\nformat = \"parquet\"\n\
         endpoint = \"{endpoint}\"\nregion = \"{REGION}\"\npath_style = true\n\
         batch = {{ max_age = \"1s\" }}\n{lines}\n\n"
    )
}

/// The agent's own key to the store.
pub fn s3_key(name: &str, store: &Seaweed) -> String {
    format!(
        "[sink.{name}.credentials]\ntype = \"static\"\naccess_key_id = \"{KEY_ID}\"\n\
         secret_access_key_file = \"{}\"\n\n",
        store.secret_file().display()
    )
}

/// The longest that a command of the agent's may take, in seconds: the demo is asked for five.
const COMMAND_SECONDS_MAX: &str = "60";

/// Runs a command of the agent's to its end; one that takes too long ends with coreutils' 124.
pub fn run(args: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", COMMAND_SECONDS_MAX]).arg(places::tidegate());
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("coreutils has timeout")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Agent {
    /// Writes the configuration, starts the daemon, and returns once it answers.
    #[track_caller]
    pub fn started(dir: &Path, config: &str) -> Self {
        let agent = Self::launched(dir, config);
        agent.wait_ready();
        agent
    }

    /// Writes the configuration and starts the daemon.
    pub fn launched(dir: &Path, config: &str) -> Self {
        Self::launched_with(dir, config, &[])
    }

    /// The same with variables in its environment.
    pub fn launched_with(dir: &Path, config: &str, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut agent = Self { dir: dir.to_owned(), env, under: Vec::new(), process: None };
        fs::write(agent.config(), config).expect("write into the story's folder");
        agent.start();
        agent
    }

    /// The same, run by another program (`strace` with a fault to inject), until [`Agent::start`] is called again.
    pub fn launched_under(dir: &Path, config: &str, under: &[&str]) -> Self {
        let under = under.iter().map(|&word| word.to_owned()).collect();
        let mut agent = Self { dir: dir.to_owned(), env: Vec::new(), under, process: None };
        fs::write(agent.config(), config).expect("write into the story's folder");
        agent.start();
        agent.under.clear();
        agent
    }

    /// The same, and returns once it answers.
    #[track_caller]
    pub fn started_under(dir: &Path, config: &str, under: &[String]) -> Self {
        let under: Vec<&str> = under.iter().map(String::as_str).collect();
        let agent = Self::launched_under(dir, config, &under);
        agent.wait_ready();
        agent
    }

    /// Waits until the daemon ends by itself; gives its exit code.
    #[track_caller]
    pub fn wait_ended(&mut self, limit: Duration) -> Option<i32> {
        let process = self.process.take().expect("an agent is started before its end is awaited");
        match process.wait(limit) {
            Some(status) => status.code(),
            None => panic!("the agent did not end within {limit:?}\n{}", process.log_tail()),
        }
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("tidegate.toml")
    }

    /// Starts the daemon, as a service manager would: again and again, with the same configuration and folder.
    pub fn start(&mut self) {
        let mut command = leashed_under(&self.under, &places::tidegate());
        command.arg("--config").arg(self.config()).arg("run").env("NO_COLOR", "1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("tidegate", command, &self.log()));
    }

    /// Waits until the daemon answers.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.wait_until("the agent to answer", START_LIMIT, |_| true);
    }

    /// Waits until the daemon answers and its status is as wanted.
    #[track_caller]
    pub fn wait_until(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let process = self.process.as_ref().expect("an agent is started before it is awaited");
        let last = RefCell::new(None);
        let context = || format!("{}\nits last status: {:#}", process.log_tail(), last.take().unwrap_or(Value::Null));
        wait_for(what, limit, context, || {
            if let Some(status) = process.ended() {
                panic!("the agent ended ({status}) while a story waited for {what}\n{}", process.log_tail());
            }
            let status = self.status()?;
            last.replace(Some(status.clone()));
            wanted(&status).then_some(status)
        })
    }

    /// What the daemon says about itself, if it answers.
    pub fn status(&self) -> Option<Value> {
        status_of(&self.config())
    }

    /// Runs a command with this agent's configuration.
    pub fn cli(&self, args: &[&str]) -> Output {
        let config = self.config();
        run(&[&["--config", config.to_str().expect("a path of our own")], args].concat())
    }

    /// What `tail` shows of the journal: readings and events, the latest `count`.
    #[track_caller]
    pub fn tail(&self, count: usize) -> Vec<Row> {
        let output = self.cli(&["tail", "--json", "-n", &count.to_string()]);
        assert!(output.status.success(), "tail: {}", stderr(&output));
        let rows = stdout(&output);
        rows.lines().map(|line| row(line).unwrap_or_else(|| panic!("tail wrote {line}"))).collect()
    }

    /// Waits until the daemon listens to this port.
    #[track_caller]
    pub fn wait_open(&self, port: &Port, instrument: &str) {
        self.wait_device(port.device().expect("an instrument is plugged in"), instrument);
    }

    /// Waits until the daemon listens to this device: the kernel says that it has it open, and it says that the
    /// instrument is not down.
    #[track_caller]
    pub fn wait_device(&self, device: &Path, instrument: &str) {
        let descriptors = format!("/proc/{}/fd", self.pid());
        let what = format!("the agent to open {}", device.display());
        wait_for(
            &what,
            START_LIMIT,
            || self.log_tail(),
            || {
                let mut links =
                    fs::read_dir(&descriptors).ok()?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
                links.any(|link| link == device).then_some(())
            },
        );
        self.wait_until(&format!("{instrument} not to be down"), START_LIMIT, |status| {
            let state = item(status, "instruments", instrument)["state"].as_str();
            state.is_some_and(|state| state != "down")
        });
    }

    /// The daemon's process id.
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("an agent has a process once started").pid()
    }

    /// Waits until all that was read is durable, and every sink has delivered it.
    #[track_caller]
    pub fn wait_delivered(&self, limit: Duration) {
        self.wait_until("every sink to have all", limit, |status| {
            let sum = |list: &str, count: &str| -> Option<u64> {
                status[list].as_array()?.iter().map(|item| item[count].as_u64()).sum()
            };
            let journal = &status["journal"];
            let is_durable = journal["at_risk_readings"] == 0
                && journal["head"]
                    .as_u64()
                    .zip(sum("instruments", "readings_total"))
                    .is_some_and(|(head, read)| head > read);
            is_durable && sum("sinks", "lag_readings") == Some(0)
        });
    }

    /// SIGHUP: the configuration is read again.
    pub fn hang_up(&self) {
        self.process.as_ref().expect("an agent is started before it is told").signal(Signal::HUP);
    }

    /// Waits until its log has these words.
    #[track_caller]
    pub fn wait_log(&self, words: &str, limit: Duration) {
        let log = || fs::read_to_string(self.log()).unwrap_or_default();
        wait_for(words, limit, || self.log_tail(), || log().contains(words).then_some(()));
    }

    /// SIGTERM; the end must be orderly.
    pub fn terminate(&mut self) {
        self.end_with(Signal::TERM);
    }

    /// Asks the daemon to end; the end must be orderly, and in time.
    #[track_caller]
    pub fn end_with(&mut self, signal: Signal) {
        let process = self.process.take().expect("an agent is started before it is ended");
        process.signal(signal);
        let Some(status) = process.wait(END_LIMIT) else {
            panic!("the agent did not end within {END_LIMIT:?} of {signal:?}\n{}", process.log_tail())
        };
        assert_eq!(status.code(), Some(0), "the end was not orderly\n{}", process.log_tail());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("an agent is started before it is killed");
        process.kill();
        let status = process.ended().expect("killed");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it had ended by itself\n{}", process.log_tail());
    }

    /// How the daemon ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.as_ref().and_then(Process::ended)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        process::tail("tidegate", &self.log())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("agent.log")
    }
}

/// A story that fails shows what its agent said, also when the agent has ended.
impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// The entry of a list in a status that has this id; null where there is none.
pub fn item<'a>(status: &'a Value, list: &str, id: &str) -> &'a Value {
    let items = status[list].as_array();
    items.and_then(|items| items.iter().find(|item| item["id"] == id)).unwrap_or(&Value::Null)
}

fn status_of(config: &Path) -> Option<Value> {
    let output = run(&["--config", config.to_str()?, "status", "--json"]);
    serde_json::from_slice(&output.stdout).ok()
}

fn row(line: &str) -> Option<Row> {
    Row::of_object(&serde_json::from_str(line).ok()?, "")
}
