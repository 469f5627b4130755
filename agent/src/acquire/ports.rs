//! The serial ports of this machine, as the kernel shows them: what they are called whoever comes first, what they are, and
//! who holds them. Nothing is opened: a port that is opened may reset the board behind it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::PortName;

/// Where the kernel and udev show what there is; other folders in tests.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/sys/class/tty`
    pub ports: PathBuf,
    /// `/dev`
    pub devices: PathBuf,
    /// `/proc`
    pub processes: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { ports: super::usb::PORTS.into(), devices: "/dev".into(), processes: "/proc".into() }
    }
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its device file.
    pub path: PathBuf,
    /// `usb:0403:6001:A10K`, for a configuration: the same adapter in any socket.
    pub usb: Option<String>,
    /// udev's names for it: the adapter (`by-id`), the socket (`by-path`).
    pub links: Vec<PathBuf>,
    /// What its adapter says that it is.
    pub product: Option<String>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// Programs that have it open, as far as this user may see.
    pub held_by: Vec<Holder>,
}

/// A program that has a port open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it is called.
    pub name: String,
}

impl Port {
    /// Whether a configuration means this one by that name.
    pub fn is(&self, name: &PortName) -> bool {
        match name {
            PortName::Path(path) => *path == self.path || fs::canonicalize(path).is_ok_and(|path| path == self.path),
            PortName::Usb(name) => self.usb.as_ref().is_some_and(|usb| {
                let wanted = name.to_string();
                *usb == wanted || (name.serial.is_none() && usb.starts_with(&format!("{wanted}:")))
            }),
        }
    }

    /// The name for a configuration that stays, whichever of `all` comes first: its adapter, or where another has the same
    /// numbers, or it has none, a link of udev's.
    pub fn lasting_name(&self, all: &[Port]) -> Option<String> {
        let is_alone = |usb: &&String| all.iter().filter(|other| other.usb.as_ref() == Some(*usb)).count() == 1;
        let link = || self.links.first().map(|link| link.display().to_string());
        self.usb.as_ref().filter(is_alone).cloned().or_else(link)
    }
}

/// All ports behind which there is hardware, by name.
pub fn list(places: &Places) -> io::Result<Vec<Port>> {
    let holders = holders(places);
    let links = links(places);
    let mut ports = Vec::new();
    for entry in fs::read_dir(&places.ports)? {
        let entry = entry?;
        let path = places.devices.join(entry.file_name());
        let Some(mut port) = describe(&entry.path(), path) else { continue };
        port.links = links.get(&port.path).cloned().unwrap_or_default();
        port.held_by = holders.get(&port.path).cloned().unwrap_or_default();
        ports.push(port);
    }
    ports.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(ports)
}

/// None for consoles, pseudo-terminals, and the sockets of a PC's chipset that nothing is soldered to.
fn describe(port: &Path, path: PathBuf) -> Option<Port> {
    let device = fs::canonicalize(port.join("device")).ok()?;
    // `type` of an 8250 that was not found: PORT_UNKNOWN (include/uapi/linux/serial_core.h).
    if read(&port.join("type")).as_deref() == Some("0") {
        return None;
    }
    let driver = fs::canonicalize(device.join("driver")).ok();
    let driver = driver.and_then(|driver| Some(driver.file_name()?.to_string_lossy().into_owned()));
    let adapter = device.ancestors().find(|folder| folder.join("idVendor").is_file());
    let of_adapter = |file: &str| adapter.and_then(|adapter| read(&adapter.join(file)));
    let usb = of_adapter("idVendor").zip(of_adapter("idProduct")).map(|(vendor, product)| {
        let serial = of_adapter("serial").map(|serial| format!(":{serial}")).unwrap_or_default();
        format!("usb:{vendor}:{product}{serial}")
    });
    let product = of_adapter("product").map(|product| match of_adapter("manufacturer") {
        Some(maker) if !product.contains(&maker) => format!("{maker} {product}"),
        _ => product,
    });
    Some(Port { path, usb, links: Vec::new(), product, driver, held_by: Vec::new() })
}

fn read(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The programs that have this device open, ourselves aside, as far as this user may see; also of one without hardware.
/// Who has the other side of a pseudo-terminal is the instrument.
pub fn held_by(places: &Places, path: &Path) -> Vec<Holder> {
    let Ok(path) = fs::canonicalize(path) else { return Vec::new() };
    let mut holders = holders(places);
    let instruments = holders.remove(&places.devices.join("ptmx")).unwrap_or_default();
    let instruments: Vec<Holder> =
        holders.remove(&places.devices.join("pts/ptmx")).unwrap_or_default().into_iter().chain(instruments).collect();
    let mut held = holders.remove(&path).unwrap_or_default();
    held.retain(|holder| holder.pid != std::process::id() && !instruments.contains(holder));
    held
}

/// What a configuration calls the port at `path`: the name that stays, where it has one.
pub fn stable_name(ports: &[Port], path: &Path) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let port = ports.iter().find(|port| port.path == real);
    port.and_then(|port| port.lasting_name(ports)).unwrap_or_else(|| path.display().to_string())
}

/// What `/dev/serial/by-id` and `by-path` lead to.
fn links(places: &Places) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut links: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for folder in ["by-id", "by-path"] {
        let Ok(entries) = fs::read_dir(places.devices.join("serial").join(folder)) else { continue };
        let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        for name in names {
            if let Ok(port) = fs::canonicalize(&name) {
                links.entry(port).or_default().push(name);
            }
        }
    }
    links
}

/// Who has which file below `/dev` open. Of other people's processes only root sees it.
fn holders(places: &Places) -> BTreeMap<PathBuf, Vec<Holder>> {
    let mut holders: BTreeMap<PathBuf, Vec<Holder>> = BTreeMap::new();
    let Ok(processes) = fs::read_dir(&places.processes) else { return holders };
    for process in processes.filter_map(Result::ok) {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()) {
            if !file.starts_with(&places.devices) {
                continue;
            }
            let name = read(&process.path().join("comm")).unwrap_or_default();
            let of_port = holders.entry(file).or_default();
            if of_port.iter().all(|holder| holder.pid != pid) {
                of_port.push(Holder { pid, name });
            }
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// An adapter that somebody holds, a port of the board's, a socket without a chip, and a console.
    fn machine() -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for (file, text) in [
            ("sys/usb/idVendor", "0403\n"),
            ("sys/usb/idProduct", "6001\n"),
            ("sys/usb/serial", "A10K\n"),
            ("sys/usb/manufacturer", "FTDI\n"),
            ("sys/usb/product", "FT232R USB UART\n"),
            ("sys/usb/if/ttyUSB0/dev", ""),
            ("sys/board/uart/dev", ""),
            ("sys/drivers/ftdi_sio/bind", ""),
            ("class/ttyAMA0/type", "32\n"),
            ("class/ttyS3/type", "0\n"),
            ("class/tty0/active", ""),
            ("class/ttyUSB0/dev", ""),
            ("dev/ttyUSB0", ""),
            ("proc/4711/comm", "minicom\n"),
            ("proc/self/comm", "x\n"),
        ] {
            write(&at(file), text);
        }
        fs::create_dir_all(at("proc/4711/fd")).unwrap();
        fs::create_dir_all(at("dev/serial/by-id")).unwrap();
        symlink(at("sys/usb/if/ttyUSB0"), at("class/ttyUSB0/device")).unwrap();
        symlink(at("sys/drivers/ftdi_sio"), at("sys/usb/if/ttyUSB0/driver")).unwrap();
        symlink(at("sys/board/uart"), at("class/ttyAMA0/device")).unwrap();
        symlink(at("sys/board/uart"), at("class/ttyS3/device")).unwrap();
        symlink(at("dev/ttyUSB0"), at("dev/serial/by-id/usb-FTDI-A10K")).unwrap();
        symlink(at("dev/ttyUSB0"), at("proc/4711/fd/3")).unwrap();
        let places = Places { ports: at("class"), devices: at("dev"), processes: at("proc") };
        (root, places)
    }

    #[test]
    fn ports_are_told_by_what_they_are_and_who_holds_them() {
        let (root, places) = machine();
        let ports = list(&places).unwrap();
        let names: Vec<_> = ports.iter().map(|port| port.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["ttyAMA0", "ttyUSB0"], "no console, and no socket without a chip");
        let adapter = &ports[1];
        assert_eq!(adapter.usb.as_deref(), Some("usb:0403:6001:A10K"));
        assert_eq!(adapter.product.as_deref(), Some("FTDI FT232R USB UART"));
        assert_eq!(adapter.driver.as_deref(), Some("ftdi_sio"));
        assert_eq!(adapter.links, [root.path().join("dev/serial/by-id/usb-FTDI-A10K")]);
        assert_eq!(adapter.held_by, [Holder { pid: 4711, name: "minicom".to_owned() }]);
        assert_eq!((&ports[0].usb, &ports[0].held_by), (&None, &Vec::new()));

        let port = root.path().join("dev/ttyUSB0");
        assert_eq!(held_by(&places, &port), adapter.held_by);
        assert_eq!(stable_name(&ports, &port), "usb:0403:6001:A10K");
        let twins: Vec<Port> = [&ports[..], std::slice::from_ref(adapter)].concat();
        let link = root.path().join("dev/serial/by-id/usb-FTDI-A10K").display().to_string();
        assert_eq!(stable_name(&twins, &port), link, "two have the same numbers");
        // A simulator that has both sides of its line is no rival.
        symlink(root.path().join("dev/ptmx"), root.path().join("proc/4711/fd/4")).unwrap();
        assert_eq!(held_by(&places, &port), []);
    }
}
