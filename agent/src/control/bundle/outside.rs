//! What other programs of the machine know: the log, the unit, the kernel's words on ports and cards. Each is asked with an
//! end in sight, and may be missing.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program answers within this, or not at all.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Of an answer so much is read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The kernel's messages that are about what we use, and of them so many.
const KERNEL_WORDS: [&str; 9] =
    ["tty", "usb", "mmc", "ext4", "f2fs", "voltage", "out of memory", "watchdog", "i/o error"];
const KERNEL_LINES_MAX: usize = 500;
/// What of the unit's state tells something.
const UNIT: &str = "LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,ActiveEnterTimestamp,\
                    WatchdogUSec,MemoryCurrent,MemoryHigh,MemoryMax,DropInPaths,FragmentPath";

/// Where it comes from, and what it says; or why there is nothing.
type Said = Result<(String, String), String>;

/// The last lines of the agent's log.
pub fn log(lines: u32) -> Said {
    let count = lines.to_string();
    let words = ["-u", "tidegate.service", "-n", &count, "--no-pager", "-o", "short-iso"];
    let (from, text) = ask("journalctl", &words)?;
    if text.lines().all(|line| line.starts_with("-- ")) {
        return Err(
            "journalctl has no lines of tidegate.service that may be read here (sudo, or the group systemd-journal)"
                .to_owned(),
        );
    }
    Ok((from, text))
}

/// How the unit is.
pub fn unit() -> Said {
    ask("systemctl", &["show", "tidegate.service", "--no-pager", "-p", UNIT])
}

/// What the kernel has said about ports, cards and power.
pub fn kernel() -> Said {
    let (from, text) = ask("dmesg", &[])?;
    let is_ours = |line: &&str| {
        let line = line.to_lowercase();
        KERNEL_WORDS.iter().any(|word| line.contains(word))
    };
    let lines: Vec<&str> = text.lines().filter(is_ours).collect();
    let last = &lines[lines.len().saturating_sub(KERNEL_LINES_MAX)..];
    Ok((format!("{from}, the last {KERNEL_LINES_MAX} lines about ports, cards and power"), last.join("\n") + "\n"))
}

fn ask(program: &str, words: &[&str]) -> Said {
    let failed = |error: std::io::Error| format!("{program} can not be run: {error}");
    let mut child = Command::new(program)
        .args(words)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let [out, errors] = [out.map(Reader::from), errors.map(Reader::from)].map(|pipe| pipe.map(Reader::read));
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if waited >= LIMIT {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Err(format!("{program} did not end within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
    };
    let text = |pipe: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = pipe.and_then(|pipe| pipe.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, errors) = (text(out), text(errors));
    if status.success() {
        return Ok((format!("`{program} {}`", words.join(" ")), out));
    }
    Err(format!("{program} failed ({status}): {}", errors.lines().next().unwrap_or_default()))
}

/// A pipe of a child's, read while it runs: one that nobody reads keeps it waiting.
struct Reader(Box<dyn std::io::Read + Send>);

impl<R: std::io::Read + Send + 'static> From<R> for Reader {
    fn from(pipe: R) -> Self {
        Self(Box::new(pipe))
    }
}

impl Reader {
    fn read(self) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read of a pipe that fails is what there is. Beyond the limit the pipe closes, and the child ends.
            self.0.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).ok();
            bytes
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_something_or_why_not() {
        assert_eq!(ask("sh", &["-c", "echo yes"]).map(|said| said.1), Ok("yes\n".to_owned()));
        let failed = ask("sh", &["-c", "echo no >&2; exit 3"]).expect_err("it failed");
        assert!(failed.contains("no") && failed.contains('3'), "{failed}");
        assert!(ask("/no/such/program", &[]).expect_err("it is not there").contains("can not be run"));
    }
}
