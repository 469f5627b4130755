//! Who runs the agent, and what he may do with a file: by its mode, as the kernel sees it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Patient, read};

/// Reading and writing, as a mode has them.
pub const READ: u32 = 0o4;
/// Both.
pub const READ_WRITE: u32 = 0o6;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// Who asks: the kernel is asked what he may do.
    Us,
    /// Who runs the agent: judged by the modes of files.
    Other {
        /// User.
        uid: u32,
        /// All groups.
        gids: Vec<u32>,
    },
}

impl Person {
    /// Who runs the agent, where it runs; else who asks.
    pub fn of(patient: &Patient) -> Self {
        let agent = patient.agent.pid().and_then(|pid| patient.read(&format!("/proc/{pid}/status")));
        agent.as_deref().and_then(of_process).unwrap_or(Self::Us)
    }

    /// Whether he may do that (`READ`, `READ_WRITE`) with a file.
    pub fn may(&self, wanted: u32, path: &Path, facts: &Metadata) -> bool {
        match self {
            Self::Us => {
                let mut how = Access::READ_OK;
                if wanted & 0o2 != 0 {
                    how |= Access::WRITE_OK;
                }
                access(path, how).is_ok()
            }
            Self::Other { uid: 0, .. } => true,
            Self::Other { uid, gids } => {
                let shift = match () {
                    () if facts.uid() == *uid => 6,
                    () if gids.contains(&facts.gid()) => 3,
                    () => 0,
                };
                (facts.mode() >> shift) & wanted == wanted
            }
        }
    }

    /// What he is called in a command line.
    pub fn name(&self, patient: &Patient) -> String {
        match self {
            Self::Us => "$USER".to_owned(),
            Self::Other { uid, .. } => name_of(&patient.at("/etc/passwd"), *uid),
        }
    }
}

/// `Uid`, `Gid` (the second of each is the effective one) and `Groups` of proc(5)'s `status`.
fn of_process(status: &str) -> Option<Person> {
    let numbers = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect()
    };
    let mut gids = numbers("Groups:")?;
    gids.extend(numbers("Gid:")?.get(1));
    Some(Person::Other { uid: *numbers("Uid:")?.get(1)?, gids })
}

/// What a group is called.
pub fn group_name(patient: &Patient, gid: u32) -> String {
    name_of(&patient.at("/etc/group"), gid)
}

/// passwd(5) and group(5): the name is the first, the number the third.
fn name_of(file: &Path, id: u32) -> String {
    let text = read(file).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_it_is_read_from_the_kernels_word() {
        let status = "Name:\ttidegate\nUid:\t0\t998\t998\t998\nGid:\t997\t997\t997\t997\nGroups:\t20 44 \n";
        assert_eq!(of_process(status), Some(Person::Other { uid: 998, gids: vec![20, 44, 997] }));
        assert_eq!(of_process("Name:\tx\n"), None);
    }
}
