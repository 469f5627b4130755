//! Serial ports: whether they are there, under a name that stays, and whether the agent may and can open them.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::people::{Person, READ_WRITE, group_name};
use super::{Looked, Patient, Waiting};
use crate::acquire::overhear::overhear;
use crate::acquire::ports::{self, Holder, Places, Port};
use crate::acquire::try_open;
use crate::config::{BusConfig, PortName};
use crate::control::check::{Area, Check};

const AREA: Area = Area::Port;
const AREA_OF_LINES: Area = Area::Instrument;
/// Of what is heard so much is shown.
const SHOWN_BYTES: usize = 32;
/// Names that the kernel gives in the order in which adapters are found.
const PASSING: [&str; 2] = ["/dev/ttyUSB", "/dev/ttyACM"];
/// Ports that are named where the one that is wanted is not there.
const NAMED_MAX: usize = 4;

/// The ports of the configuration; without one, what there is.
pub fn ports(patient: &Patient) -> Looked {
    let places =
        Places { ports: patient.at("/sys/class/tty"), devices: patient.at("/dev"), processes: patient.at("/proc") };
    // A machine without serial ports need not have the folder.
    let here = ports::list(&places).unwrap_or_default();
    match &patient.config {
        Ok(config) => config.buses.iter().flat_map(|bus| of_bus(patient, &places, &here, bus)).collect(),
        Err(_) => vec![Check::ok(AREA, "ports-here", names(&here))],
    }
}

fn names(here: &[Port]) -> String {
    if here.is_empty() {
        return "no serial port is here".to_owned();
    }
    let name = |port: &Port| port.lasting_name(here).unwrap_or_else(|| port.path.display().to_string());
    let shown: Vec<String> = here.iter().take(NAMED_MAX).map(name).collect();
    let more = here.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("here are {}{more}", shown.join(", "))
}

fn of_bus(patient: &Patient, places: &Places, here: &[Port], bus: &BusConfig) -> Looked {
    let listed = here.iter().find(|port| port.is(&bus.port));
    let (path, facts) = match device(bus, listed) {
        Ok(found) => found,
        Err(why) => {
            let fix = match here {
                [] => "plug the adapter in; `dmesg | tail` shows whether the kernel sees it".to_owned(),
                _ => format!("plug it in, or set bus.{}.port to one that is there: `tidegate ports`", bus.id),
            };
            let seen = format!("{} {why}; {}", bus.port, names(here));
            let checks = [Check::fault(AREA, "port-there", seen, fix), lasting(bus, here, listed)];
            return checks.into_iter().map(|check| check.of(bus.id.as_str())).collect();
        }
    };
    let shown = if Path::new(&bus.port.to_string()) == path {
        path.display().to_string()
    } else {
        format!("{} is {}", bus.port, path.display())
    };
    let mut checks = vec![Check::ok(AREA, "port-there", shown)];
    checks.push(lasting(bus, here, listed));
    let is_allowed = rights(patient, &path, &facts);
    let holders = ports::held_by(places, &path);
    let ours = patient.agent.pid().and_then(|pid| u32::try_from(pid).ok());
    let is_ours = |holder: &Holder| Some(holder.pid) == ours;
    let others: Vec<&Holder> =
        holders.iter().filter(|holder| !is_ours(holder) && holder.pid != std::process::id()).collect();
    let is_held = holders.iter().any(is_ours);
    // What the agent has open it may open.
    let is_refused = is_allowed.is_err() && !is_held;
    checks.push(if is_held { Check::ok(AREA, "port-rights", "the agent has it open") } else { either(is_allowed) });
    checks.extend(console(patient, &path));
    checks.push(free(&path, &others, is_held));
    if others.is_empty() && !is_refused && !patient.agent.may_run() {
        checks.push(opens(bus, &path));
    }
    checks.into_iter().map(|check| check.of(bus.id.as_str())).collect()
}

fn either(judged: Result<Check, Check>) -> Check {
    judged.unwrap_or_else(|check| check)
}

/// The device file behind a name.
fn device(bus: &BusConfig, listed: Option<&Port>) -> Result<(PathBuf, Metadata), String> {
    let path = match (&bus.port, listed) {
        (PortName::Path(path), _) => path.clone(),
        (PortName::Usb(_), Some(port)) => port.path.clone(),
        (PortName::Usb(_), None) => return Err("is not plugged in".to_owned()),
    };
    let facts = std::fs::metadata(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => error.to_string(),
    })?;
    if !facts.file_type().is_char_device() {
        return Err("is no serial port".to_owned());
    }
    Ok((std::fs::canonicalize(&path).unwrap_or(path), facts))
}

/// Whether the name is the same after the next start.
fn lasting(bus: &BusConfig, here: &[Port], listed: Option<&Port>) -> Check {
    const NAME: &str = "port-name";
    let PortName::Path(path) = &bus.port else {
        return Check::ok(AREA, NAME, "the adapter is meant, in whichever socket");
    };
    let text = path.to_string_lossy();
    if !PASSING.iter().any(|passing| text.starts_with(passing)) {
        return Check::ok(AREA, NAME, format!("{text} stays"));
    }
    let better = listed.and_then(|port| port.lasting_name(here));
    let better = better.unwrap_or_else(|| "a name of `ls -l /dev/serial/by-id /dev/serial/by-path`".to_owned());
    let seen = format!("{text} is whichever adapter came first: another after the next start");
    Check::warning(AREA, NAME, seen, format!("set bus.{}.port to {better}", bus.id))
}

fn rights(patient: &Patient, path: &Path, facts: &Metadata) -> Result<Check, Check> {
    const NAME: &str = "port-rights";
    let person = Person::of(patient);
    let (group, mode) = (group_name(patient, facts.gid()), facts.mode() & 0o777);
    if person.may(READ_WRITE, path, facts) {
        return Ok(Check::ok(AREA, NAME, format!("group {group}, mode {mode:o}")));
    }
    let who = person.name(patient);
    let seen = format!("{who} may not open {} (group {group}, mode {mode:o})", path.display());
    let fix = if mode & 0o060 == 0o060 {
        format!("sudo usermod -aG {group} {who}, then log in again, and systemctl restart tidegate")
    } else {
        format!("a udev rule that gives it to a group: SUBSYSTEM==\"tty\", GROUP=\"{group}\", MODE=\"0660\"")
    };
    Err(Check::fault(AREA, NAME, seen, fix))
}

/// Whether the kernel writes its messages there.
fn console(patient: &Patient, path: &Path) -> Option<Check> {
    const NAME: &str = "port-console";
    let name = path.file_name()?.to_string_lossy().into_owned();
    let consoles = patient.read("/proc/consoles").unwrap_or_default();
    // proc(5): a console a line, its name first.
    if consoles.lines().any(|line| line.split_whitespace().next() == Some(&name)) {
        let seen = format!("the kernel writes its messages to {name}");
        let fix =
            format!("take console={name} (or serial0) out of cmdline.txt or the boot loader, and start the board anew");
        return Some(Check::fault(AREA, NAME, seen, fix));
    }
    Some(Check::ok(AREA, NAME, "no console of the kernel's"))
}

fn free(path: &Path, others: &[&Holder], is_held: bool) -> Check {
    const NAME: &str = "port-free";
    let Some(first) = others.first() else {
        let seen = if is_held { "the agent alone has it open" } else { "nobody has it open, as far as this user sees" };
        return Check::ok(AREA, NAME, seen);
    };
    let port = path.file_name().unwrap_or_default().to_string_lossy();
    let list: Vec<String> = others.iter().map(|holder| format!("{} ({})", holder.name, holder.pid)).collect();
    let fix = match first.name.as_str() {
        // The kernel keeps 15 characters of a name.
        name if name.starts_with("ModemManager") => "sudo systemctl disable --now ModemManager".to_owned(),
        name if name.starts_with("brltty") => "sudo apt remove brltty".to_owned(),
        "agetty" | "getty" | "login" => format!("sudo systemctl disable --now serial-getty@{port}"),
        "tidegate" => "two agents: stop one of them".to_owned(),
        name => format!("end {name}: kill {}", first.pid),
    };
    Check::fault(AREA, NAME, format!("open in {}", list.join(", ")), fix)
}

/// What comes over the lines by itself, all side by side. Nothing is written to them.
pub fn listen(patient: &Patient) -> Vec<Waiting<'_>> {
    let (Some(limit), Ok(config)) = (patient.listen, &patient.config) else { return Vec::new() };
    if patient.agent.may_run() {
        return Vec::new();
    }
    let mut lines: Vec<Waiting<'_>> = Vec::new();
    for bus in &config.buses {
        lines.push(Box::pin(async move { vec![heard(bus, limit).await.of(bus.id.as_str())] }));
    }
    lines
}

async fn heard(bus: &BusConfig, limit: Duration) -> Check {
    const NAME: &str = "line-heard";
    let (mut count, mut first) = (0_usize, Vec::new());
    let listened = overhear(bus, limit, |bytes| {
        count += bytes.len();
        first.extend_from_slice(&bytes[..bytes.len().min(SHOWN_BYTES - first.len().min(SHOWN_BYTES))]);
        Ok(())
    });
    let listened = listened.await;
    let seconds = limit.as_secs();
    match listened {
        Err(error) => {
            Check::fault(AREA_OF_LINES, NAME, format!("{}: {error}", bus.port), "`tidegate doctor port` says more")
        }
        Ok(()) if count == 0 => Check::warning(
            AREA_OF_LINES,
            NAME,
            format!("nothing in {seconds} s at {} baud", bus.baud),
            "power, cable, A and B exchanged? One that is asked says nothing by itself: `tidegate probe NAME`",
        ),
        Ok(()) => {
            let seen = format!("{count} bytes in {seconds} s: {}", first.escape_ascii());
            Check::ok(AREA_OF_LINES, NAME, seen)
        }
    }
}

fn opens(bus: &BusConfig, path: &Path) -> Check {
    const NAME: &str = "port-opens";
    match try_open(bus) {
        Ok(()) => Check::ok(AREA, NAME, format!("{} baud", bus.baud)),
        Err(error) => {
            let fix = match error.kind() {
                io::ErrorKind::ResourceBusy => "another program has it for itself: sudo tidegate doctor port names it",
                _ => "pull the adapter out and plug it in again; `dmesg | tail`",
            };
            Check::fault(AREA, NAME, format!("{}: {error}", path.display()), fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_port_is_named_with_what_ends_him() {
        let fix = |name: &str| {
            let holder = Holder { pid: 7, name: name.to_owned() };
            let check = free(Path::new("/dev/ttyAMA0"), &[&holder], false);
            (check.seen, check.fix.unwrap_or_default())
        };
        assert_eq!(fix("agetty").1, "sudo systemctl disable --now serial-getty@ttyAMA0");
        assert_eq!(fix("ModemManager").1, "sudo systemctl disable --now ModemManager");
        assert_eq!(fix("minicom"), ("open in minicom (7)".to_owned(), "end minicom: kill 7".to_owned()));
    }
}
