//! The program, the agent that runs of it, and the unit that keeps it running.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use super::people::group_name;
use super::{Agent, Looked, Patient};
use crate::control::check::{Area, Check};

const AREA: Area = Area::Program;
const UNIT: &str = "tidegate.service";
/// What systemd is asked for.
const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState";

/// This program.
pub fn file(_: &Patient) -> Looked {
    let program = std::env::current_exe().map_or_else(|error| error.to_string(), |path| path.display().to_string());
    vec![Check::ok(AREA, "program-file", format!("tidegate {}, {program}", env!("CARGO_PKG_VERSION")))]
}

/// The one that runs.
pub fn agent(patient: &Patient) -> Looked {
    const NAME: &str = "agent-answers";
    let socket = patient.socket.display();
    match &patient.agent {
        Agent::Answers(status, pid) => {
            let pid = pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
            let seen = format!("{} on {socket}, up {} s{pid}", status.device, status.uptime_s);
            vec![Check::ok(AREA, NAME, seen), version(patient, &status.version)]
        }
        Agent::Barred => {
            let group = patient.socket.metadata().map(|facts| group_name(patient, facts.gid()));
            let group = group.unwrap_or_else(|_| "tidegate".to_owned());
            let fix = format!("sudo usermod -aG {group} $USER, and log in again; or ask as root");
            vec![Check::fault(AREA, NAME, format!("{socket}: this user may not ask it"), fix)]
        }
        Agent::Stale => {
            let seen = format!("{socket} is there and nobody listens: a kill has left it behind");
            vec![Check::fault(AREA, NAME, seen, "start it: systemctl restart tidegate (or: tidegate run)")]
        }
        Agent::Absent => {
            let seen = format!("no agent runs: there is no {socket}");
            vec![Check::fault(AREA, NAME, seen, "start it: systemctl start tidegate (or: tidegate run)")]
        }
        Agent::Odd(words) => {
            let seen = format!("{socket}: {words}");
            vec![Check::fault(AREA, NAME, seen, "is it the same version? systemctl restart tidegate")]
        }
    }
}

/// An upgrade that nobody has started, or a file that is gone under the process.
fn version(patient: &Patient, running: &str) -> Check {
    const NAME: &str = "agent-version";
    let ours = env!("CARGO_PKG_VERSION");
    let program = patient.agent.pid().and_then(|pid| std::fs::read_link(patient.at(&format!("/proc/{pid}/exe"))).ok());
    // proc(5): what a program's link says once its file was replaced.
    let is_replaced = program.is_some_and(|program| program.to_string_lossy().ends_with(" (deleted)"));
    if running == ours && !is_replaced {
        return Check::ok(AREA, NAME, format!("{running} runs, and is what is installed"));
    }
    let seen = format!("{running} runs, and its file was replaced (this is {ours})");
    Check::warning(AREA, NAME, seen, "systemctl restart tidegate")
}

/// What the service manager says of the unit, where there is one.
pub fn unit(patient: &Patient) -> Looked {
    // sd_booted(3).
    if !patient.at("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let asked = Command::new("systemctl")
        .args(["show", UNIT, "--no-pager", "--property", PROPERTIES])
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(answer) if answer.status.success() => {
            of_unit(&String::from_utf8_lossy(&answer.stdout), patient.agent.status().is_some())
        }
        Ok(answer) => {
            let words = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
            vec![Check::warning(AREA, "unit-active", format!("systemctl: {words}"), "`systemctl status tidegate`")]
        }
        Err(error) => {
            vec![Check::warning(AREA, "unit-active", format!("systemctl: {error}"), "`systemctl status tidegate`")]
        }
    }
}

fn of_unit(answer: &str, is_running: bool) -> Looked {
    let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
    if value("LoadState") != "loaded" {
        let seen = format!("systemd knows no {UNIT}");
        let check = if is_running {
            Check::ok(AREA, "unit-active", format!("{seen}; somebody else runs it"))
        } else {
            Check::warning(AREA, "unit-active", seen, "install the package: nothing starts it after a power cut")
        };
        return vec![check];
    }
    let (active, sub, result) = (value("ActiveState"), value("SubState"), value("Result"));
    let seen = format!("{active} ({sub}), last result {result}");
    let is_active = match active {
        "active" => Check::ok(AREA, "unit-active", seen),
        _ => {
            Check::fault(AREA, "unit-active", seen, "systemctl start tidegate; `journalctl -u tidegate -n 50` says why")
        }
    };
    let seen = format!("unit file {}", value("UnitFileState"));
    let is_enabled = match value("UnitFileState") {
        "enabled" | "static" | "linked" => Check::ok(AREA, "unit-enabled", seen),
        _ => Check::warning(AREA, "unit-enabled", seen, "systemctl enable tidegate: it does not start after a boot"),
    };
    let restarts: u64 = value("NRestarts").parse().unwrap_or(0);
    let restarts = match (restarts, result) {
        (0, _) => Check::ok(AREA, "unit-restarts", "none since it was started"),
        (count, "watchdog") => Check::warning(
            AREA,
            "unit-restarts",
            format!("{count}, the last because a task hung (watchdog)"),
            "`journalctl -u tidegate` names the task; a disk that takes minutes?",
        ),
        (count, result) => Check::warning(
            AREA,
            "unit-restarts",
            format!("{count} since it was started, last result {result}"),
            "`journalctl -u tidegate -n 200` has what it ended with",
        ),
    };
    vec![is_active, is_enabled, restarts]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::check::Verdict;

    #[test]
    fn a_unit_is_judged_by_what_systemd_says_of_it() {
        let verdicts = |text: &str| -> Vec<(String, Verdict)> {
            of_unit(text, false).into_iter().map(|check| (check.check, check.verdict)).collect()
        };
        let answer = |active: &str, result: &str, restarts: u32, file: &str| {
            format!(
                "LoadState=loaded\nActiveState={active}\nSubState=x\nResult={result}\nNRestarts={restarts}\nUnitFileState={file}\n"
            )
        };
        let of = |name: &str, verdict| (name.to_owned(), verdict);
        let well = verdicts(&answer("active", "success", 0, "enabled"));
        assert!(well.iter().all(|(_, verdict)| *verdict == Verdict::Ok), "{well:?}");
        let failed = verdicts(&answer("failed", "exit-code", 0, "enabled"));
        assert_eq!(failed[0], of("unit-active", Verdict::Fault));
        let hung = of_unit(&answer("active", "watchdog", 3, "disabled"), true);
        assert_eq!((hung[1].verdict, hung[2].verdict), (Verdict::Warning, Verdict::Warning));
        assert!(hung[2].seen.contains("watchdog"), "{hung:?}");
        assert_eq!(verdicts("LoadState=not-found\n"), [of("unit-active", Verdict::Warning)]);
    }
}
