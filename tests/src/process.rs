//! A process that a story owns: started, watched, signalled, and gone when the story is.
//!
//! `setpriv --pdeathsig` (util-linux) makes the kernel kill it when the thread that started it ends, and that thread
//! waits for it: so it dies with the test even when the test is killed with -9, and waiting for its end needs no
//! polling.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::places;

/// How much of a log a failure shows.
const LOG_TAIL_LINES: usize = 60;
const LOG_LINE_CHARS: usize = 300;

/// How long the kernel may take over a SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A command whose process dies with the thread that starts it.
pub fn leashed(program: &Path) -> Command {
    leashed_under(&[], program)
}

/// The same, run by another program: its words in `under`.
pub fn leashed_under(under: &[String], program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(under).arg(program);
    command
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    exit: Mutex<Exit>,
    log: PathBuf,
}

#[derive(Debug)]
struct Exit {
    told: Receiver<ExitStatus>,
    known: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, which should come from [`leashed`]; what it writes goes to the end of `log`.
    pub fn start(name: &str, command: Command, log: &Path) -> Self {
        Self::spawn(name, command, Stdio::null(), log).0
    }

    /// The same with one that is told what to do on its stdin.
    pub fn start_told(name: &str, command: Command, log: &Path) -> (Self, ChildStdin) {
        let (process, stdin) = Self::spawn(name, command, Stdio::piped(), log);
        (process, stdin.expect("it was piped"))
    }

    fn spawn(name: &str, mut command: Command, stdin: Stdio, log: &Path) -> (Self, Option<ChildStdin>) {
        let out = File::options().create(true).append(true).open(log).expect("open a log in the story's folder");
        let err = out.try_clone().expect("a file can be cloned");
        command.stdin(stdin).stdout(out).stderr(err);

        let (tell_start, start) = sync_channel(1);
        let (tell_exit, told) = sync_channel(1);
        let started = name.to_owned();
        thread::spawn(move || {
            let mut child = command.spawn().unwrap_or_else(|error| panic!("start {started}: {error}"));
            // Whoever asked may be gone already: then nobody wants to know.
            tell_start.send((child.id(), child.stdin.take())).ok();
            if let Ok(status) = child.wait() {
                tell_exit.send(status).ok();
            }
        });
        let (pid, stdin) = start.recv().unwrap_or_else(|_| panic!("{name} did not start: see above"));
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id is a positive number");
        let exit = Mutex::new(Exit { told, known: None });
        (Self { name: name.to_owned(), pid, exit, log: log.to_owned() }, stdin)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let mut exit = self.exit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        exit.known = exit.known.or_else(|| exit.told.recv_timeout(limit).ok());
        exit.known
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.ended().is_none() {
            // It may end between the two lines: then there is nobody to tell.
            kill_process(self.pid, signal).ok();
        }
    }

    /// Whether somebody listens on this TCP port where the process lives, in a network namespace or out of it.
    pub fn listens(&self, port: u16) -> bool {
        // proc(5): local address and state are the second and the fourth column, in hexadecimal; 0A is LISTEN.
        let sockets = places::text(Path::new(&format!("/proc/{}/net/tcp", self.pid())));
        sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|columns| {
            columns.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
                && columns.get(3) == Some(&"0A")
        })
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        assert!(self.wait(KILL_LIMIT).is_some(), "{} survived SIGKILL for {KILL_LIMIT:?}", self.name);
    }

    /// SIGTERM, and how it ended.
    #[track_caller]
    pub fn terminate(&self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let Some(status) = self.wait(limit) else {
            panic!("{} did not end within {limit:?} of SIGTERM\n{}", self.name, self.log_tail())
        };
        status
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        places::text(&self.log)
    }

    /// The last lines that it wrote, under a headline.
    pub fn log_tail(&self) -> String {
        tail(&self.name, &self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.wait(KILL_LIMIT);
    }
}

/// The last lines of a log, under a headline; long ones are cut.
pub fn tail(name: &str, log: &Path) -> String {
    let log = places::text(log);
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
    let cut: Vec<String> = last.iter().map(|line| line.chars().take(LOG_LINE_CHARS).collect()).collect();
    format!("--- {name} wrote last ---\n{}\n---", cut.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_logged_signalled_and_gone_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = leashed(Path::new("sh"));
        command.args(["-c", "echo started; exec sleep 1000"]);
        let process = Process::start("sleeper", command, &dir.path().join("log"));
        let pid = process.pid();
        crate::patience::wait_for("the first line", KILL_LIMIT, String::new, || {
            process.log().contains("started").then_some(())
        });
        assert!(process.ended().is_none());
        assert!(!process.terminate(KILL_LIMIT).success());

        let mut command = leashed(Path::new("sleep"));
        command.arg("1000");
        let dropped = Process::start("sleeper", command, &dir.path().join("log"));
        let dropped_pid = dropped.pid();
        drop(dropped);
        for gone in [pid, dropped_pid] {
            assert!(!Path::new(&format!("/proc/{gone}")).try_exists().unwrap());
        }
    }
}
