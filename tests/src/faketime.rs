//! A wall clock of one's own for an agent: libfaketime, which fakes what the C library says and leaves the monotonic
//! clock alone, as a board without a battery has them. The file that says the time is changed while it runs: a step.

use std::fs;
use std::path::Path;

use crate::agent::Agent;

/// The file below a story's folder that says what time it is.
const CLOCK: &str = "clock";

/// Where Debian's `libfaketime` keeps its library for this machine.
fn library() -> String {
    let folders = fs::read_dir("/usr/lib").expect("Debian has /usr/lib");
    let found = folders.filter_map(|entry| {
        let library = entry.ok()?.path().join("faketime/libfaketime.so.1");
        library.is_file().then(|| library.display().to_string())
    });
    found.last().expect("tests/run installs faketime")
}

/// What makes it so for a program with the clock in `dir`.
pub fn env(dir: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", library()),
        ("FAKETIME_TIMESTAMP_FILE", dir.join(CLOCK).display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ]
}

/// An agent in `dir` for which it is what was last `set` there.
pub fn launched(dir: &Path, config: &str) -> Agent {
    let env = env(dir);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Agent::launched_with(dir, config, &env)
}

/// Sets the clock of the agent in `dir`: `@1970-01-01 00:00:10` starts there, `+0` is the real time.
pub fn set(dir: &Path, time: &str) {
    fs::write(dir.join(CLOCK), format!("{time}\n")).expect("write into the story's folder");
}
