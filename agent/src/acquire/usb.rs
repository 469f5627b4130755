//! Finding the port of a USB adapter by its numbers, each time that it is opened: `/dev/ttyUSB0` is whoever came first.
//!
//! The kernel's own view (`/sys/class/tty`) says which port belongs to which device; no library is asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::UsbName;

/// Where the kernel shows its ports.
pub const PORTS: &str = "/sys/class/tty";

/// The device file of the adapter.
pub fn find(name: &UsbName, ports: &Path) -> io::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(ports)? {
        let port = entry?;
        if belongs_to(name, &port.path()) {
            found.push(port.file_name());
        }
    }
    found.sort();
    match &found[..] {
        [] => Err(io::Error::new(io::ErrorKind::NotFound, "no such USB adapter is plugged in")),
        [port] => Ok(Path::new("/dev").join(port)),
        several => {
            let several: Vec<_> = several.iter().map(|port| port.to_string_lossy()).collect();
            let text = format!("{} are all {name}: add the serial number, or name one by its path", several.join(", "));
            Err(io::Error::other(text))
        }
    }
}

fn belongs_to(name: &UsbName, port: &Path) -> bool {
    // A port without a device is a virtual console.
    let Ok(device) = fs::canonicalize(port.join("device")) else { return false };
    // The device is an interface of the adapter, or a port of that: the numbers stand one or two folders up.
    let Some(adapter) = device.ancestors().find(|folder| folder.join("idVendor").is_file()) else { return false };
    let read = |file: &str| fs::read_to_string(adapter.join(file)).ok().map(|text| text.trim().to_owned());
    let number = |file: &str| u16::from_str_radix(&read(file)?, 16).ok();
    number("idVendor") == Some(name.vendor)
        && number("idProduct") == Some(name.product)
        && (name.serial.is_none() || read("serial") == name.serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two adapters of one kind and a port that is none, as the kernel shows them.
    fn kernel() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let class = root.path().join("class");
        for (port, adapter, serial) in [("ttyUSB0", "1-1", "A10K"), ("ttyUSB1", "1-2", "A10L")] {
            let usb = root.path().join("devices").join(adapter);
            let device = usb.join("interface").join(port);
            fs::create_dir_all(&device).expect("a folder");
            for (file, text) in [("idVendor", "0403\n"), ("idProduct", "6001\n"), ("serial", serial)] {
                fs::write(usb.join(file), text).expect("a file");
            }
            fs::create_dir_all(class.join(port)).expect("a folder");
            std::os::unix::fs::symlink(device, class.join(port).join("device")).expect("a link");
        }
        fs::create_dir_all(class.join("tty0")).expect("a folder");
        root
    }

    #[test]
    fn an_adapter_is_found_by_its_numbers_and_told_from_its_twin() {
        let kernel = kernel();
        let find = |product, serial: Option<&str>| {
            let name = UsbName { vendor: 0x0403, product, serial: serial.map(str::to_owned) };
            find(&name, &kernel.path().join("class")).map_err(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(find(0x6001, Some("A10L")), Ok(PathBuf::from("/dev/ttyUSB1")));
        assert_eq!(find(0x6015, None).unwrap_err().0, io::ErrorKind::NotFound);
        assert!(find(0x6001, None).unwrap_err().1.starts_with("ttyUSB0, ttyUSB1 are all usb:0403:6001"));
    }
}
