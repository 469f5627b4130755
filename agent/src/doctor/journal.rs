//! The journal where no agent answers for it: whether it opens, and what it has set aside. Read as `tidegate journal stat`
//! reads it: a child of ours looks at each generation first.

use std::io;

use ::journal::{JournalError, open_offline_with};

use super::{Looked, Patient};
use crate::control::check::{Area, Check};

const AREA: Area = Area::Journal;

/// Whether it opens.
pub fn reads(patient: &Patient) -> Looked {
    const NAME: &str = "journal-reads";
    let is_there = patient.journal.join("epoch").try_exists().unwrap_or(false);
    if patient.agent.may_run() || !is_there {
        return Vec::new();
    }
    vec![match open_offline_with(&patient.journal, Some(patient.probe.clone())) {
        Ok(reader) => {
            let stat = reader.stat();
            let seen =
                format!("records {} to {}, {} MiB", stat.tail.0, stat.head.0.saturating_sub(1), stat.bytes >> 20);
            Check::ok(AREA, NAME, seen)
        }
        Err(error @ JournalError::Locked { .. }) => {
            let fix =
                "an agent with another configuration, or one that has lost its socket: systemctl restart tidegate";
            Check::warning(AREA, NAME, error.to_string(), fix)
        }
        Err(JournalError::Io { source, action, path }) if source.kind() == io::ErrorKind::PermissionDenied => {
            let seen = format!("can not {action} {}: {source}", path.display());
            Check::warning(AREA, NAME, seen, "sudo tidegate doctor journal")
        }
        Err(error) => {
            Check::fault(AREA, NAME, crate::telemetry::logs::chain(&error), "`tidegate journal verify`, then `repair`")
        }
    }]
}

/// Generations that were damaged.
pub fn quarantine(patient: &Patient) -> Looked {
    const NAME: &str = "journal-quarantine";
    let folder = patient.journal.join("quarantine");
    let count = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.count(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && patient.journal.is_dir() => 0,
        // Who may not look, or has nothing to look at.
        Err(_) => return Vec::new(),
    };
    vec![if count == 0 {
        Check::ok(AREA, NAME, "nothing of it was ever damaged")
    } else {
        let seen = format!("{count} damaged generations lie in {}; gaps say what was lost", folder.display());
        Check::warning(
            AREA,
            NAME,
            seen,
            "power and card are to blame as a rule; remove the folder when nobody wants to look",
        )
    }]
}
