//! The board: memory, load, power, heat. A supply that is too weak is behind half of all that looks like a bad card.

use super::{Looked, Patient, read};
use crate::control::check::{Area, Check};

const AREA: Area = Area::Board;

/// Less than this and the kernel is about to end somebody.
const MEMORY_KIB_FAULT: u64 = 16 << 10;
/// Less than this is worth a look: the agent takes 10 to 30 MiB.
const MEMORY_KIB_WARNING: u64 = 48 << 10;
/// Processes that wanted to run, for each processor, over a quarter of an hour.
const LOAD_MAX: f64 = 2.0;
/// A Raspberry Pi slows down from 80 degrees on, and others soon after.
const MILLIDEGREES_WARNING: i64 = 80_000;
const MILLIDEGREES_FAULT: i64 = 95_000;

/// The Raspberry Pi's firmware: bits of what is now, and sixteen further up of what was since the boot.
const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
const UNDER_VOLTAGE: u64 = 1;
/// Frequency capped, throttled, soft limit of temperature.
const SLOWED: u64 = 0b1110;
const SINCE_BOOT: u32 = 16;
const SUPPLY: &str = "a supply of 5.1 V and 3 A, a short thick cable, and nothing hungry on the USB ports";

/// Memory that can still be had.
pub fn memory(patient: &Patient) -> Looked {
    const NAME: &str = "memory";
    let text = patient.read("/proc/meminfo").unwrap_or_default();
    let kib = |key: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
    };
    let (Some(free), Some(all)) = (kib("MemAvailable:"), kib("MemTotal:")) else { return Vec::new() };
    let seen = format!("{} of {} MiB are to be had", free >> 10, all >> 10);
    let fix = "`ps aux --sort -rss | head` shows who has it";
    vec![match free {
        ..MEMORY_KIB_FAULT => Check::fault(AREA, NAME, seen, fix),
        MEMORY_KIB_FAULT..MEMORY_KIB_WARNING => Check::warning(AREA, NAME, seen, fix),
        _ => Check::ok(AREA, NAME, seen),
    }]
}

/// How much wants to run.
pub fn load(patient: &Patient) -> Looked {
    const NAME: &str = "load";
    let text = patient.read("/proc/loadavg").unwrap_or_default();
    let Some(load) = text.split_whitespace().nth(2).and_then(|load| load.parse::<f64>().ok()) else {
        return Vec::new();
    };
    let text = patient.read("/proc/stat").unwrap_or_default();
    let is_processor =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let processors = u32::try_from(text.lines().filter(is_processor).count().max(1)).unwrap_or(1);
    let seen = format!("{load} over a quarter of an hour, {processors} processors");
    vec![if load > LOAD_MAX * f64::from(processors) {
        Check::warning(AREA, NAME, seen, "`top` shows who takes it; a bad disk shows here, too")
    } else {
        Check::ok(AREA, NAME, seen)
    }]
}

/// Power, where the board can say something of it, and what came of too little of it.
pub fn power(patient: &Patient) -> Looked {
    let mut checks = Vec::new();
    if let Some(bits) = patient.read(THROTTLED).as_deref().and_then(bits) {
        checks.push(supply(bits & UNDER_VOLTAGE != 0, bits & UNDER_VOLTAGE << SINCE_BOOT != 0, &format!("{bits:#x}")));
        let fix = "a supply that holds, and air: `vcgencmd get_throttled` has all of it";
        let seen = |what: &str| format!("{what} ({bits:#x})");
        checks.push(if bits & SLOWED != 0 {
            Check::warning(AREA, "throttled", seen("the processor is slowed down now"), fix)
        } else if bits & SLOWED << SINCE_BOOT != 0 {
            Check::warning(AREA, "throttled", seen("the processor was slowed down since the boot"), fix)
        } else {
            Check::ok(AREA, "throttled", seen("never since the boot"))
        });
    }
    // The kernel's raspberrypi-hwmon, and other boards' monitors: 1 while the voltage is below what the board needs.
    for monitor in entries(patient, "/sys/class/hwmon") {
        if let Some(alarm) = read(&monitor.join("in0_lcrit_alarm"))
            && checks.iter().all(|check: &Check| check.check != "power-supply")
        {
            let name = read(&monitor.join("name")).unwrap_or_default();
            checks.push(supply(alarm == "1", false, &name));
        }
    }
    checks
}

fn supply(is_low: bool, was_low: bool, said: &str) -> Check {
    const NAME: &str = "power-supply";
    if is_low {
        Check::fault(AREA, NAME, format!("under-voltage now ({said}): cards are damaged by it"), SUPPLY)
    } else if was_low {
        Check::warning(AREA, NAME, format!("under-voltage since the boot ({said})"), SUPPLY)
    } else {
        Check::ok(AREA, NAME, format!("holds ({said})"))
    }
}

/// Hexadecimal, with `0x` or without.
fn bits(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// The hottest of what the kernel measures.
pub fn temperature(patient: &Patient) -> Looked {
    const NAME: &str = "temperature";
    let zones = entries(patient, "/sys/class/thermal");
    let degrees = |zone: &std::path::PathBuf| read(&zone.join("temp"))?.parse::<i64>().ok();
    let Some((zone, hottest)) = zones.iter().filter_map(|zone| Some((zone, degrees(zone)?))).max_by_key(|(_, t)| *t)
    else {
        return Vec::new();
    };
    let kind = read(&zone.join("type")).unwrap_or_default();
    let seen = format!("{}.{} degrees ({kind})", hottest / 1_000, (hottest % 1_000).abs() / 100);
    let fix = "shade, air, a heat sink: it slows down, and the flash ages faster";
    vec![match hottest {
        MILLIDEGREES_FAULT.. => Check::fault(AREA, NAME, seen, fix),
        MILLIDEGREES_WARNING.. => Check::warning(AREA, NAME, seen, fix),
        _ => Check::ok(AREA, NAME, seen),
    }]
}

/// What reboots a board whose kernel hangs, where it has one.
pub fn watchdog(patient: &Patient) -> Looked {
    const NAME: &str = "hardware-watchdog";
    let Some(dog) = entries(patient, "/sys/class/watchdog").into_iter().next() else { return Vec::new() };
    let identity = read(&dog.join("identity")).unwrap_or_default();
    vec![match read(&dog.join("state")).as_deref() {
        Some("inactive") => Check::warning(
            AREA,
            NAME,
            format!("{identity} is there and nobody feeds it"),
            "RuntimeWatchdogSec=15s in /etc/systemd/system.conf.d/watchdog.conf: a board that hangs is rebooted",
        ),
        _ => Check::ok(AREA, NAME, format!("{identity} is in use")),
    }]
}

/// What is in a folder of the kernel's, in order.
fn entries(patient: &Patient, folder: &str) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(patient.at(folder)) else { return Vec::new() };
    let mut entries: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries
}
