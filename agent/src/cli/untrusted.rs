//! Bytes that may be damaged, read by a process of our own that may crash over them.

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

/// Damaged lengths may ask for any amount.
const MEMORY_MAX: u64 = 512 << 20;
/// Who waits for it ends it by the clock; this is for one that has outlived him.
const CPU_SECONDS_MAX: u64 = 60;

/// Puts bounds on this process: no core files, no more memory and time than an honest file needs, and no life beyond
/// its parent's.
pub fn bounds() -> anyhow::Result<()> {
    let limits = [(Resource::Core, 0), (Resource::Data, MEMORY_MAX), (Resource::Cpu, CPU_SECONDS_MAX)];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
