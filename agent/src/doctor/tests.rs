//! Faults of boards, disks and networks that only a fake `/sys` and `/proc` can have, each staged and found.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::rig::{Rig, one};
use super::{Agent, CHECKS, board, clock, configuration, disk, journal, network, people, port};
use crate::control::check::{Area, Verdict};

const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
const FAR: &str =
    "[sink.b]\ntype = \"mqtt\"\nurl = \"mqtt://broker.example:1883\"\nprofile = \"generic\"\ntopic = \"a/readings\"\n";

#[test]
fn a_raspberry_pi_tells_of_its_supply_now_and_since_the_boot() {
    let rig = Rig::new("");
    assert!(board::power(&rig.patient).is_empty(), "a board that says nothing is not judged");
    for (bits, supply, slowed) in [
        ("0", Verdict::Ok, Verdict::Ok),
        ("50005", Verdict::Fault, Verdict::Warning),
        ("0x50000", Verdict::Warning, Verdict::Warning),
        ("80008", Verdict::Ok, Verdict::Warning),
        ("40000", Verdict::Ok, Verdict::Warning),
    ] {
        rig.put(THROTTLED, &format!("{bits}\n"));
        assert_eq!(one(&board::power(&rig.patient), "power-supply").0, supply, "{bits}");
        assert_eq!(one(&board::power(&rig.patient), "throttled").0, slowed, "{bits}");
    }
}

#[test]
fn a_voltage_monitor_is_heard_where_the_firmware_says_nothing() {
    let rig = Rig::new("");
    rig.put("/sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
    rig.put("/sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    rig.put("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    let (verdict, seen) = one(&board::power(&rig.patient), "power-supply");
    assert_eq!(verdict, Verdict::Fault);
    assert!(seen.contains("rpi_volt"), "{seen}");
    rig.put("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
    assert_eq!(one(&board::power(&rig.patient), "power-supply").0, Verdict::Ok);
}

#[test]
fn heat_memory_load_and_a_watchdog_that_nobody_feeds() {
    let rig = Rig::new("");
    rig.put("/sys/class/thermal/thermal_zone0/temp", "41000\n");
    rig.put("/sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
    for (temp, verdict) in [("51234", Verdict::Ok), ("84500", Verdict::Warning), ("99000", Verdict::Fault)] {
        rig.put("/sys/class/thermal/thermal_zone1/temp", temp);
        let (found, seen) = one(&board::temperature(&rig.patient), "temperature");
        assert_eq!(found, verdict, "{seen}");
        assert!(seen.contains("cpu-thermal"), "the hottest counts: {seen}");
    }
    for (kib, verdict) in [(300_000, Verdict::Ok), (40_000, Verdict::Warning), (9_000, Verdict::Fault)] {
        rig.put("/proc/meminfo", &format!("MemTotal: 500000 kB\nMemFree: 1 kB\nMemAvailable: {kib} kB\n"));
        assert_eq!(one(&board::memory(&rig.patient), "memory").0, verdict, "{kib}");
    }
    rig.put("/proc/stat", "cpu  1\ncpu0 1\ncpu1 1\nintr 1\n");
    for (load, verdict) in [("9.9 9.9 1.20 1/2 3", Verdict::Ok), ("0 0 4.20 1/2 3", Verdict::Warning)] {
        rig.put("/proc/loadavg", load);
        assert_eq!(one(&board::load(&rig.patient), "load").0, verdict, "{load}");
    }
    rig.put("/sys/class/watchdog/watchdog0/identity", "Broadcom BCM2835 Watchdog timer\n");
    for (state, verdict) in [("active", Verdict::Ok), ("inactive", Verdict::Warning)] {
        rig.put("/sys/class/watchdog/watchdog0/state", state);
        assert_eq!(one(&board::watchdog(&rig.patient), "hardware-watchdog").0, verdict);
    }
}

#[test]
fn a_chip_tells_how_much_of_its_life_is_spent() {
    let rig = Rig::new("");
    rig.put("/sys/block/sda/size", "1\n");
    assert!(disk::wear(&rig.patient).is_empty());
    for (life, reserve, verdict, words) in [
        ("0x01 0x02", "0x01", Verdict::Ok, "10 to 20 %"),
        ("0x01 0x09", "0x01", Verdict::Warning, "80 to 90 %"),
        ("0x01 0x02", "0x02", Verdict::Warning, "spare blocks 2"),
        ("0x0b 0x01", "0x01", Verdict::Fault, "more than all"),
        ("0x00 0x00", "0x03", Verdict::Fault, "spare blocks 3"),
    ] {
        rig.put("/sys/block/mmcblk0/device/life_time", life);
        rig.put("/sys/block/mmcblk0/device/pre_eol_info", reserve);
        let (found, seen) = one(&disk::wear(&rig.patient), "disk-wear");
        assert_eq!(found, verdict, "{life} {reserve}");
        assert!(seen.contains(words), "{seen}");
    }
}

#[test]
fn a_journal_on_a_file_system_that_forgets_or_is_read_only() {
    let rig = Rig::new("");
    let at = rig.path().display().to_string();
    let mount = |kind: &str, options: &str| {
        let text = format!("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / {at} rw - {kind} /dev/x {options}\n");
        rig.put("/proc/self/mountinfo", &text);
        let checks = disk::mounted(&rig.patient);
        (one(&checks, "disk-mount").0, one(&checks, "disk-filesystem").0)
    };
    assert_eq!(mount("ext4", "rw"), (Verdict::Ok, Verdict::Ok));
    assert_eq!(mount("ext4", "ro,errors=remount-ro"), (Verdict::Fault, Verdict::Ok));
    for kind in ["tmpfs", "overlay", "vfat", "exfat"] {
        assert_eq!(mount(kind, "rw"), (Verdict::Ok, Verdict::Warning), "{kind}");
    }
}

#[test]
fn a_board_without_a_keeper_of_time_and_with_an_empty_battery() {
    let rig = Rig::new("");
    rig.put("/proc/17/comm", "bash\n");
    assert_eq!(one(&clock::here(&rig.patient), "clock-service").0, Verdict::Warning);
    rig.put("/proc/18/comm", "chronyd\n");
    let (verdict, seen) = one(&clock::here(&rig.patient), "clock-service");
    assert_eq!((verdict, seen.as_str()), (Verdict::Ok, "chronyd runs"));
    assert_eq!(one(&clock::here(&rig.patient), "clock-battery").0, Verdict::Ok, "none is no fault");
    rig.put("/sys/class/rtc/rtc0/name", "rtc-ds1307\n");
    for (date, verdict) in [("2000-01-01", Verdict::Warning), ("2026-11-23", Verdict::Ok)] {
        rig.put("/sys/class/rtc/rtc0/date", date);
        assert_eq!(one(&clock::here(&rig.patient), "clock-battery").0, verdict, "{date}");
    }
}

#[test]
fn interfaces_routes_and_resolvers_that_are_not_there() {
    let rig = Rig::new(FAR);
    rig.put("/sys/class/net/lo/operstate", "unknown\n");
    rig.put("/sys/class/net/eth0/operstate", "down\n");
    let header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
    rig.put("/proc/net/route", &format!("{header}eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"));
    let reject = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n";
    rig.put("/proc/net/ipv6_route", reject);
    rig.put("/etc/resolv.conf", "# nothing\n");
    let here = || network::here(&rig.patient);
    assert_eq!(one(&here(), "network-interface").0, Verdict::Fault);
    assert_eq!(one(&here(), "network-route").0, Verdict::Warning);
    assert_eq!(one(&here(), "network-resolver").0, Verdict::Fault);
    rig.put("/sys/class/net/wwan0/operstate", "unknown\n");
    rig.put("/proc/net/ipv6_route", &reject.replace("00200200 lo", "00450003 wwan0"));
    rig.put("/etc/resolv.conf", "nameserver 10.0.0.1\n");
    assert_eq!(one(&here(), "network-interface"), (Verdict::Ok, "wwan0 up".to_owned()));
    assert_eq!(one(&here(), "network-route").0, Verdict::Ok);
    assert_eq!(one(&here(), "network-resolver"), (Verdict::Ok, "10.0.0.1".to_owned()));
    rig.put("/proc/net/route", &format!("{header}eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"));
    assert_eq!(one(&here(), "network-route"), (Verdict::Ok, "by eth0".to_owned()));
    assert!(network::here(&Rig::new("").patient).is_empty(), "who sends nowhere needs no network");
}

#[test]
fn a_key_that_everybody_reads_and_a_file_that_is_not_there() {
    let rig = Rig::new(&format!("{FAR}username = \"me\"\npassword_file = \"{{dir}}/secret\"\n"));
    assert_eq!(one(&configuration::files(&rig.patient), "config-files").0, Verdict::Fault);
    let secret = rig.path().join("secret");
    fs::write(&secret, "sesame\n").expect("a file");
    for (mode, verdict) in [(0o644, Verdict::Warning), (0o640, Verdict::Ok)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("ours");
        let checks = configuration::files(&rig.patient);
        assert_eq!(one(&checks, "config-secrets").0, verdict);
        assert!(!format!("{checks:?}").contains("sesame"));
    }
}

#[test]
fn who_runs_the_agent_is_asked_for_and_not_who_looks() {
    let mut rig = Rig::new(&format!("{FAR}username = \"me\"\npassword_file = \"{{dir}}/secret\"\n"));
    let secret = rig.path().join("secret");
    fs::write(&secret, "sesame\n").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("ours");
    let status = serde_json::json!({
        "version": "0.0.1", "device": "d", "site": "s", "epoch": "e", "uptime_s": 1, "config": {"revision": null, "hash": "h"},
        "clock": {"state": "synced"}, "instruments": [], "sinks": [],
        "journal": {"state": "ok", "error": null, "head": 2, "tail": 1, "bytes": 0, "bytes_max": 1, "at_risk_readings": 0, "dropped_total": 0},
    });
    rig.patient.agent = Agent::Answers(serde_json::from_value(status).expect("a status"), Some(4711));
    rig.put(
        "/proc/4711/status",
        "Uid:\t64998\t64998\t64998\t64998\nGid:\t64998\t64998\t64998\t64998\nGroups:\t64998\n",
    );
    rig.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntidegate:x:64998:64998::/:/bin/false\n");
    let (verdict, seen) = one(&configuration::files(&rig.patient), "config-files");
    assert_eq!(verdict, Verdict::Fault, "{seen}");
    assert!(seen.contains("can not be read by tidegate (mode 600)"), "{seen}");
    assert_eq!(one(&disk::folder(&rig.patient), "disk-folder").0, Verdict::Fault, "nor may it write there");
    assert_ne!(people::Person::of(&rig.patient), people::Person::Us);
    let version = super::program::agent(&rig.patient);
    assert_eq!(one(&version, "agent-version").0, Verdict::Warning, "an upgrade that was not started");
}

#[test]
fn a_console_on_the_port_a_holder_and_what_is_there_instead() {
    let rig = Rig::new("[bus.pond]\nport = \"/dev/null\"\n\n[bus.gone]\nport = \"{dir}/ttyUSB7\"\n");
    for (file, text) in [("sys/board/uart/dev", ""), ("root/sys/class/tty/ttyAMA0/type", "32\n")] {
        fs::create_dir_all(rig.path().join(file).parent().expect("a folder")).expect("a folder");
        fs::write(rig.path().join(file), text).expect("a file");
    }
    symlink(rig.path().join("sys/board/uart"), rig.path().join("root/sys/class/tty/ttyAMA0/device")).expect("a link");
    rig.put("/proc/consoles", "tty0 -WU (EC p ) 4:1\nnull -W- (EC p a) 204:64\n");
    rig.put("/proc/99/comm", "agetty\n");
    let of = |bus: &str, name: &str| {
        let checks: Vec<_> =
            port::ports(&rig.patient).into_iter().filter(|check| check.of.as_deref() == Some(bus)).collect();
        one(&checks, name)
    };
    assert_eq!(of("pond", "port-console").0, Verdict::Fault);
    let (verdict, seen) = of("gone", "port-there");
    assert_eq!(verdict, Verdict::Fault);
    assert!(seen.contains("here are ") && seen.contains("ttyAMA0"), "{seen}");
}

#[test]
fn a_quarantine_is_told_and_an_empty_folder_is_not_opened() {
    let rig = Rig::new("");
    assert!(journal::reads(&rig.patient).is_empty(), "nothing was written yet");
    assert_eq!(one(&journal::quarantine(&rig.patient), "journal-quarantine").0, Verdict::Ok);
    fs::create_dir_all(rig.patient.journal.join("quarantine/g1")).expect("a folder");
    assert_eq!(one(&journal::quarantine(&rig.patient), "journal-quarantine").0, Verdict::Warning);
}

/// A file that never answers, as a disk that hangs does.
#[test]
fn a_look_that_hangs_is_a_fault_and_the_rest_goes_on() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let rig = Rig::new("");
    let pipe = rig.patient.at("/proc/meminfo");
    fs::create_dir_all(pipe.parent().expect("a folder")).expect("a folder");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let (folder, patient) = rig.apart();
    let patient = std::sync::Arc::new(patient);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limit = std::time::Duration::from_millis(50);
    let looked = runtime.block_on(super::bounded(&patient, limit, Area::Board, "memory", board::memory));
    let (verdict, seen) = one(&looked, "memory");
    assert_eq!(verdict, Verdict::Fault);
    assert!(seen.contains("no answer within"), "{seen}");
    runtime.shutdown_background();
    // Who waits for it there is let go.
    fs::write(&pipe, "").expect("somebody reads");
    drop(folder);
}

/// Every name that stands in the code is in the list, and the other way round; what is made of it at run time is held
/// against the list where it is said.
#[test]
fn the_list_of_checks_is_that_of_the_code() {
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(src.join("doctor")).expect("our own sources").map(|entry| entry.expect("readable").path());
    let is_code = |path: &std::path::PathBuf| !["tests.rs", "rig.rs"].iter().any(|name| path.ends_with(name));
    let mut code = fs::read_to_string(src.join("control/check.rs")).expect("a source");
    for file in files.filter(is_code) {
        let text = fs::read_to_string(&file).expect("a source");
        // The list itself is no use of a name.
        code += text.split("pub const CHECKS").next().expect("a beginning");
        code += text.split("const LOOKS").nth(1).unwrap_or_default().split("];").nth(1).unwrap_or_default();
    }
    let names = || CHECKS.iter().flat_map(|(_, names)| names.iter());
    for name in names() {
        assert!(code.contains(&format!("\"{name}\"")), "{name} is listed, and nothing is called so");
    }
    assert!(names().collect::<std::collections::BTreeSet<_>>().len() >= 25);
}
