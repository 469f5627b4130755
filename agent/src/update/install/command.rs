//! Running other programs: a list of words, never a shell's line, with an end in sight.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of what it says so much is kept.
const WORDS_BYTES_MAX: usize = 400;

/// Runs a program to its end. Words, where that is not a good one.
pub async fn run<W: AsRef<OsStr>>(
    program: &OsStr,
    words: &[W],
    said: &Path,
    limit: Duration,
) -> Result<String, String> {
    let name = program.to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name} can not be run: {error}");
    // Into a file and not into a pipe: what a daemon started by it inherits must not keep us waiting.
    let out = std::fs::File::create(said).map_err(failed)?;
    let errors = out.try_clone().map_err(failed)?;
    let mut child = Command::new(program)
        .args(words)
        // For package managers: there is nobody who could answer.
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .spawn()
        .map_err(failed)?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if begun.elapsed() >= limit {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Err(format!("{name} did not end within {} s", limit.as_secs()));
        }
        sleep(LOOK_EVERY).await;
    };
    let words = last_words(said);
    if status.success() { Ok(words) } else { Err(format!("{name} failed ({status}): {words}")) }
}

fn last_words(said: &Path) -> String {
    let bytes = std::fs::read(said).unwrap_or_default();
    let last = &bytes[bytes.len().saturating_sub(WORDS_BYTES_MAX)..];
    let text = String::from_utf8_lossy(last);
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_ends_well_or_badly_or_not_in_time() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let said = dir.path().join("said");
        let shell = |line: &'static str, limit| {
            let said = said.clone();
            async move { run(OsStr::new("sh"), &["-c", line], &said, Duration::from_millis(limit)).await }
        };
        assert_eq!(shell("echo yes", 60_000).await, Ok("yes".to_owned()));
        let failed = shell("echo no >&2; exit 3", 60_000).await.expect_err("it failed");
        assert!(failed.contains("no") && failed.contains('3'), "{failed}");
        assert!(shell("sleep 60", 100).await.expect_err("too long").contains("did not end"));
        let absent = run(OsStr::new("/no/such/program"), &["x"], &said, Duration::from_secs(1)).await;
        assert!(absent.expect_err("it is not there").contains("can not be run"));
    }
}
