//! A look that a story takes, and what it expects to be found.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::agent;
use e2e::patience::now;
use e2e::places;
use serde_json::Value;

pub const LIMIT: Duration = Duration::from_mins(2);
/// Everything that waits has a limit: the slowest story has black holes in it.
pub const WHOLE_LIMIT: Duration = Duration::from_secs(45);
/// Somebody who may nothing.
pub const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// What a look found.
pub struct Seen {
    story: &'static str,
    /// As `--json` has them.
    pub checks: Vec<Value>,
    /// The exit code.
    pub code: Option<i32>,
    took: Duration,
    staged: usize,
}

impl Seen {
    /// A look with the configuration in `dir`, by a program (`setpriv ...`) and with variables.
    #[track_caller]
    pub fn with(story: &'static str, dir: &Path, args: &[&str], under: &[&str], env: &[(&str, String)]) -> Self {
        let program = places::tidegate();
        let mut words: Vec<&str> = under.to_vec();
        words.push(program.to_str().expect("a path of ours"));
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "100"]).args(words).arg("--config").arg(dir.join("tidegate.toml"));
        command.args(["--json", "doctor"]).args(args).env("NO_COLOR", "1").stdin(Stdio::null());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let began = now();
        let output = command.output().expect("coreutils has timeout");
        let took = began.elapsed();
        assert!(took < WHOLE_LIMIT, "{story}: {took:?}");
        let text = agent::stdout(&output);
        let found: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", agent::stderr(&output)));
        assert_eq!(found["v"], 1);
        let checks = found["checks"].as_array().expect("checks").clone();
        let seen = Self { story, checks, code: output.status.code(), took, staged: 0 };
        let worst = match &seen {
            seen if seen.of("fault").next().is_some() => "fault",
            seen if seen.of("warning").next().is_some() => "warning",
            _ => "ok",
        };
        assert_eq!(found["verdict"], worst, "{text}");
        for check in seen.of("fault").chain(seen.of("warning")) {
            assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no fix: {check:#}");
        }
        seen
    }

    #[track_caller]
    pub fn at(story: &'static str, dir: &Path, args: &[&str]) -> Self {
        Self::with(story, dir, args, &[], &[])
    }

    pub fn of(&self, verdict: &str) -> impl Iterator<Item = &Value> {
        self.checks.iter().filter(move |check| check["verdict"] == verdict)
    }

    pub fn find(&self, check: &str, of: &str) -> Option<&Value> {
        self.checks.iter().find(|it| it["check"] == check && it["of"].as_str().unwrap_or_default() == of)
    }

    /// That a fault that was staged is recognised: by name, of whom, how bad, in words.
    #[track_caller]
    pub fn expect(&mut self, check: &str, of: &str, verdict: &str, words: &[&str]) {
        let all = format!("{}: {:#}", self.story, Value::from(self.checks.clone()));
        let found = self.find(check, of).unwrap_or_else(|| panic!("no {check} of {of:?} in {all}"));
        assert_eq!(found["verdict"], verdict, "{found:#}");
        let text =
            format!("{} {}", found["seen"].as_str().unwrap_or_default(), found["fix"].as_str().unwrap_or_default());
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {found:#}");
        }
        self.staged += usize::from(verdict != "ok");
    }
}

/// How many were staged is said, not only that the story went well.
impl Drop for Seen {
    fn drop(&mut self) {
        let Self { story, staged, took, .. } = self;
        let line = format!("doctor: {staged} staged and recognised in {} ms: {story}\n", took.as_millis());
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
}

/// Whether a look may be taken by somebody else than us: that needs root, and a program that he can reach.
pub fn may_be_nobody(story: &str) -> bool {
    let probe = Command::new(NOBODY[0]).args(&NOBODY[1..]).arg(places::tidegate()).arg("--version").output();
    let may = probe.is_ok_and(|probe| probe.status.success());
    if !may {
        let line = format!("SKIPPED {story}: another user's part needs root, and a program that others may run\n");
        std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    }
    may
}

pub fn write(dir: &Path, config: &str) {
    fs::write(dir.join("tidegate.toml"), config).expect("write into the story's folder");
}

pub fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}
