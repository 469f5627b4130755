//! The disk below the journal: whether it can be written, how long that takes, how much is left of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfs, access, statvfs};

use super::people::{Person, READ_WRITE};
use super::{Looked, Patient, read};
use crate::control::check::{Area, Check};
use crate::control::status::Status;

const AREA: Area = Area::Disk;
/// Below this nothing works any more.
pub const FREE_BYTES_FAULT: u64 = 8 << 20;
/// Files that can still be made.
const INODES_MIN: u64 = 1_000;
/// What is written and synced, to see whether that works and how long it takes.
const TRIED_BYTES: usize = 1 << 20;
const TRIED_MS_MAX: u64 = 1_000;
/// Ends in `.tmp`, so that the journal clears it away should a power cut leave it there.
const TRIED: &str = "doctor.tmp";
/// A journal that has less room than this is not to make some for us: it would give up what it holds.
const ROOM_BYTES_MIN: u64 = 16 << 20;
/// File systems that forget, or that a power cut takes apart.
const NOT_DURABLE: [(&str, &str); 6] = [
    ("tmpfs", "memory: it is empty after a power cut"),
    ("ramfs", "memory: it is empty after a power cut"),
    ("overlay", "a layer over another: on many images memory, which is empty after a power cut"),
    ("vfat", "without a journal of its own: a power cut can take a whole folder"),
    ("exfat", "without a journal of its own: a power cut can take a whole folder"),
    ("msdos", "without a journal of its own: a power cut can take a whole folder"),
];

/// JEDEC eMMC 5.0, `DEVICE_LIFE_TIME_EST_TYP_A` and `_B`: 1 is up to 10 % of its life, 10 up to 100 %, 11 more than that.
const LIFE_WARNING: u64 = 9;
const LIFE_OVER: u64 = 11;

/// The folder itself.
pub fn folder(patient: &Patient) -> Looked {
    const NAME: &str = "disk-folder";
    let path = &patient.journal;
    let shown = path.display();
    let person = Person::of(patient);
    vec![match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = there(path);
            if patient.agent.may_run() {
                let fix = "was its disk pulled out? systemctl restart tidegate once it is back";
                Check::fault(AREA, NAME, format!("{shown} is not there, and an agent runs"), fix)
            } else if above.metadata().is_ok_and(|facts| person.may(READ_WRITE, &above, &facts)) {
                Check::ok(AREA, NAME, format!("{shown} is made at the first start"))
            } else {
                let fix = format!("sudo mkdir -p {shown} && sudo chown tidegate: {shown}");
                Check::fault(
                    AREA,
                    NAME,
                    format!("{shown} is not there and can not be made in {}", above.display()),
                    fix,
                )
            }
        }
        Err(error) => {
            // Who only looks on may not be let in; whether the agent is, it says itself.
            let fix = "sudo tidegate doctor disk";
            if patient.agent.may_run() {
                Check::warning(AREA, NAME, format!("{shown}: {error}"), fix)
            } else {
                Check::fault(AREA, NAME, format!("{shown}: {error}"), fix)
            }
        }
        Ok(facts) if !facts.is_dir() => {
            Check::fault(AREA, NAME, format!("{shown} is no folder"), "name another as [journal] path")
        }
        Ok(facts) if person != Person::Us && !person.may(READ_WRITE, path, &facts) => {
            let who = person.name(patient);
            let fix = format!("sudo chown -R {who}: {shown}");
            Check::fault(AREA, NAME, format!("{who} may not write to {shown} (mode {:o})", facts.mode() & 0o777), fix)
        }
        Ok(_) => Check::ok(AREA, NAME, format!("{shown} is there")),
    }]
}

/// The nearest folder above that is there.
pub fn there(path: &Path) -> PathBuf {
    let is_there = |folder: &&Path| folder.try_exists().unwrap_or(false);
    path.ancestors().find(is_there).unwrap_or_else(|| Path::new("/")).to_owned()
}

/// A mount, as proc(5) shows it in `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// `ext4`.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Nothing can be written.
    pub is_read_only: bool,
}

impl Mount {
    /// What a path lies on: of several at one place the last.
    pub fn of(patient: &Patient, path: &Path) -> Option<Self> {
        let path = fs::canonicalize(there(path)).ok()?;
        let text = patient.read("/proc/self/mountinfo")?;
        let mounts = text.lines().filter_map(Self::parse).filter(|mount| path.starts_with(&mount.at));
        mounts.max_by_key(|mount| mount.at.as_os_str().len())
    }

    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &str) -> Option<Self> {
        let (before, behind) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        let (at, options) = (before.next()?, before.next()?);
        let mut behind = behind.split(' ');
        let (kind, source) = (behind.next()?.to_owned(), behind.next()?.to_owned());
        let is_ro = |options: &str| options.split(',').any(|option| option == "ro");
        let is_read_only = is_ro(options) || behind.next().is_some_and(is_ro);
        // A blank in a name is `\040`.
        Some(Self { at: PathBuf::from(at.replace("\\040", " ")), kind, source, is_read_only })
    }
}

/// What the folder lies on.
pub fn mounted(patient: &Patient) -> Looked {
    let Some(mount) = Mount::of(patient, &patient.journal) else { return Vec::new() };
    let Mount { at, kind, source, is_read_only } = &mount;
    let at = at.display();
    let how = if *is_read_only {
        let fix =
            format!("sudo mount -o remount,rw {at}; had the kernel done it, `dmesg` says why: fsck, or a new card");
        Check::fault(AREA, "disk-mount", format!("{source} on {at} is read-only"), fix)
    } else {
        Check::ok(AREA, "disk-mount", format!("{source} on {at} can be written"))
    };
    let not_durable = NOT_DURABLE.iter().find(|(name, _)| name == kind);
    let what = match not_durable {
        Some((name, why)) => {
            let fix = "put [journal] path on ext4 or f2fs on the device's own flash";
            Check::warning(AREA, "disk-filesystem", format!("{at} is {name}: {why}"), fix)
        }
        None => Check::ok(AREA, "disk-filesystem", kind.clone()),
    };
    vec![how, what]
}

/// Bytes that somebody without root's rights can still write.
pub fn free_bytes(facts: &StatVfs) -> u64 {
    facts.f_bavail.saturating_mul(facts.f_frsize)
}

/// Whether all that the journal may become has a place.
pub fn space(patient: &Patient) -> Looked {
    let Ok(facts) = statvfs(there(&patient.journal)) else { return Vec::new() };
    let free = free_bytes(&facts);
    let max = patient.config.as_ref().map(|config| config.journal.max_bytes).ok();
    let used = patient.agent.status().map_or_else(|| bytes_below(&patient.journal), |status| status.journal.bytes);
    let growth = max.map_or(0, |max| max.saturating_sub(used));
    let seen = format!("{} MiB are free, the journal may grow by {} MiB", free >> 20, growth >> 20);
    let room = match free {
        ..FREE_BYTES_FAULT => Check::fault(AREA, "disk-space", seen, "make room: `sudo du -xh / | sort -h | tail`"),
        _ if free < growth => {
            let fix = format!("lower [journal] max_bytes to {} MiB, or make room", used.saturating_add(free / 2) >> 20);
            Check::warning(AREA, "disk-space", seen, fix)
        }
        _ => Check::ok(AREA, "disk-space", seen),
    };
    // Some file systems have no fixed number of them, and say zero.
    if facts.f_files == 0 {
        return vec![room];
    }
    let seen = format!("{} files can still be made", facts.f_favail);
    let fix = "somebody has made very many small files: `sudo du -x --inodes / | sort -n | tail`";
    let inodes = match facts.f_favail {
        0 => Check::fault(AREA, "disk-inodes", seen, fix),
        1..INODES_MIN => Check::warning(AREA, "disk-inodes", seen, fix),
        _ => Check::ok(AREA, "disk-inodes", seen),
    };
    vec![room, inodes]
}

/// What the files below a folder take; those that can not be seen take nothing.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => bytes_below(&entry.path()),
        Ok(facts) => facts.blocks() * 512,
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}

/// Writes and syncs a little, beside the journal.
pub fn write(patient: &Patient) -> Looked {
    const NAME: &str = "disk-write";
    if !patient.journal.is_dir() {
        return Vec::new();
    }
    let Some(path) = beside(patient) else {
        return vec![Check::ok(AREA, NAME, "not tried: the journal needs all the room that it has")];
    };
    let began = patient.clock.mono_ms();
    let tried = write_and_sync(&path);
    let took = patient.clock.mono_ms().saturating_sub(began);
    let removed = fs::remove_file(&path);
    let failed = tried.and(removed);
    vec![match failed {
        Ok(()) if took > TRIED_MS_MAX => {
            let seen = format!("1 MiB written and synced in {took} ms");
            Check::warning(
                AREA,
                NAME,
                seen,
                "a card of class A1 or better, or an SSD; an old card slows down before it dies",
            )
        }
        Ok(()) => Check::ok(AREA, NAME, format!("1 MiB written and synced in {took} ms")),
        // Who only looks on need not be able to write there.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && patient.agent.may_run() => {
            Check::ok(AREA, NAME, "not tried: this user may not write there")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_anothers(&patient.journal) => {
            Check::warning(AREA, NAME, "not tried: it is another user's folder", "sudo tidegate doctor disk")
        }
        Err(error) => {
            let fix = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room: `sudo du -xh / | sort -h | tail`"
                }
                io::ErrorKind::PermissionDenied => "sudo chown -R tidegate: the journal's folder",
                io::ErrorKind::ReadOnlyFilesystem => "mount it for writing; had the kernel done it, `dmesg` says why",
                _ => "`dmesg | tail`: a card that fails? Put in another",
            };
            Check::fault(AREA, NAME, format!("{}: {error}", path.display()), fix)
        }
    }]
}

/// A file on the journal's disk, if there may be one: in the folder above, where what lies there is not the journal's to count,
/// or else in the journal's own.
fn beside(patient: &Patient) -> Option<PathBuf> {
    let device = |folder: &Path| folder.metadata().map(|facts| facts.dev()).ok();
    let (journal, above) = (&patient.journal, patient.journal.parent()?);
    if device(above) == device(journal) && access(above, Access::WRITE_OK).is_ok() {
        return Some(above.join(TRIED));
    }
    let has_room = |status: &Status| status.journal.bytes_max.saturating_sub(status.journal.bytes) >= ROOM_BYTES_MIN;
    let is_free = match patient.agent.status() {
        Some(status) => has_room(status),
        None => !patient.agent.may_run(),
    };
    is_free.then(|| journal.join(TRIED))
}

fn is_anothers(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|facts| facts.uid() != rustix::process::geteuid().as_raw())
}

fn write_and_sync(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    // No zeros: some controllers do not write those at all.
    let bytes: Vec<u8> = (0..TRIED_BYTES).map(|at| u8::try_from(at * 31 % 251).unwrap_or(0)).collect();
    file.write_all(&bytes)?;
    file.sync_data()
}

/// How much of their life the board's eMMCs have behind them.
pub fn wear(patient: &Patient) -> Looked {
    let Ok(blocks) = fs::read_dir(patient.at("/sys/block")) else { return Vec::new() };
    let mut chips: Vec<PathBuf> = blocks.filter_map(|block| Some(block.ok()?.path())).collect();
    chips.sort();
    chips.iter().filter_map(|chip| of_chip(chip)).collect()
}

fn of_chip(chip: &Path) -> Option<Check> {
    const NAME: &str = "disk-wear";
    let life = read(&chip.join("device/life_time"))?;
    let estimates =
        life.split_whitespace().filter_map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let worst = estimates.max()?;
    let reserve = read(&chip.join("device/pre_eol_info"));
    let reserve = reserve.and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()).unwrap_or(0);
    let spent = match worst {
        0 => "says nothing of its life".to_owned(),
        1..LIFE_OVER => format!("{} to {} % of its life are spent", (worst - 1) * 10, worst * 10),
        _ => "more than all of its life is spent".to_owned(),
    };
    let name = chip.file_name()?.to_string_lossy().into_owned();
    let fix = "have another board or chip ready, and what is delivered delivered";
    // JEDEC, `PRE_EOL_INFO`: 2 warns (80 % of the spare blocks are used), 3 is urgent.
    Some(if worst >= LIFE_OVER || reserve >= 3 {
        Check::fault(AREA, NAME, format!("{spent}, spare blocks {reserve}"), fix).of(name)
    } else if worst >= LIFE_WARNING || reserve == 2 {
        Check::warning(AREA, NAME, format!("{spent}, spare blocks {reserve}"), fix).of(name)
    } else {
        Check::ok(AREA, NAME, spent).of(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_what_makes_it_read_only() {
        let mount = |line: &str| Mount::parse(line).expect("a mount");
        let card = mount("36 35 179:2 / /data\\040a rw,noatime shared:1 - ext4 /dev/mmcblk0p2 ro,errors=remount-ro");
        assert_eq!((card.at, card.kind, card.is_read_only), ("/data a".into(), "ext4".to_owned(), true));
        assert!(!mount("1 2 0:1 / / rw - tmpfs tmpfs rw").is_read_only);
        assert!(mount("1 2 0:1 / / ro,nosuid - ext4 /dev/sda rw").is_read_only, "a bind mount");
    }
}
