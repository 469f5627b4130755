//! What the agent costs, as the kernel counts it, and how it is printed. Asserts nothing.

use std::fs;
use std::io;
use std::process::Command;

use crate::agent::Agent;

/// What `/proc/<pid>/stat` counts in: `USER_HZ` is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A number, what it must not exceed (or, where `floor`, fall below), and how much of that it is.
pub fn print(name: &str, unit: &str, measured: f64, limit: f64, is_floor: bool) {
    let sign = if is_floor { ">" } else { "<" };
    println!("{name:<42} {measured:>9.1} {unit:<6} {sign} {limit:>9.1} {:>6.2}", measured / limit);
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "sizes and counts far below 2^52, printed with one decimal")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// Bytes as mebibytes.
pub fn mib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}

/// Every thread of the agent goes to core 0; those it makes later inherit that.
pub fn pin(agent: &Agent) -> io::Result<()> {
    let status = Command::new("taskset").args(["-a", "-p", "-c", "0", &agent.pid().to_string()]).output()?.status;
    if status.success() { Ok(()) } else { Err(io::Error::other("taskset could not pin the agent")) }
}

/// A line of `/proc/<pid>/status` that counts memory (proc(5)).
pub fn memory_mib(agent: &Agent, name: &str) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
    Ok(mib(kib << 10))
}

/// User and system time: fields 14 and 15, behind the name in parentheses (proc(5)).
pub fn cpu_seconds(agent: &Agent) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid()))?;
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(float(ticks) / TICKS_PER_SECOND)
}
