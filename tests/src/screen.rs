//! A terminal that a story looks at: tmux holds the screen, types the keys, and says what is shown.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::patience::wait_for;

/// Each has a server of its own.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A screen and the program on it.
#[derive(Debug)]
pub struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// Runs `command` (of a shell) on a screen of so many columns and lines. The screen goes when the command ends.
    #[track_caller]
    pub fn start(dir: &Path, (columns, lines): (u16, u16), command: &str) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let screen = Self { socket: dir.join(format!("tmux-{number}")) };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        // Without the user's own configuration, without a status line; Esc is passed on at once.
        let told = screen.tmux(&["new-session", "-d", "-x", &columns, "-y", &lines, command]);
        assert!(told.status.success(), "tmux: {}", String::from_utf8_lossy(&told.stderr));
        for option in [["status", "off"], ["escape-time", "0"]] {
            screen.tmux(&[&["set", "-g"], option.as_slice()].concat());
        }
        // The status line is gone: one line more.
        screen.resize((columns.parse().expect("digits"), lines.parse().expect("digits")));
        screen
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(args);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").output().expect("tests/run installs tmux")
    }

    /// The screen has another size.
    pub fn resize(&self, (columns, lines): (u16, u16)) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// Presses keys, by tmux's names for them.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// What is shown, a line each.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).lines().map(str::to_owned).collect()
    }

    /// What is shown, with the escapes that make it look so.
    pub fn escapes(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-e"]).stdout).into_owned()
    }

    /// The process on it.
    pub fn pid(&self) -> i32 {
        let told = self.tmux(&["display", "-p", "#{pane_pid}"]);
        String::from_utf8_lossy(&told.stdout).trim().parse().expect("a process id")
    }

    /// Waits until what is shown is as wanted, and gives it back.
    #[track_caller]
    pub fn wait(&self, what: &str, limit: Duration, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let shown = || self.lines().join("\n");
        wait_for(what, limit, shown, || Some(self.lines()).filter(|lines| wanted(lines)))
    }

    /// Waits until it shows these words.
    #[track_caller]
    pub fn wait_words(&self, words: &str, limit: Duration) -> Vec<String> {
        self.wait(words, limit, |lines| lines.iter().any(|line| line.contains(words)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the screen ---\n{}\n---", self.lines().join("\n"));
        }
        self.tmux(&["kill-server"]);
    }
}
