//! What a serial port is named by: a path, or the USB device it belongs to.

use std::fmt;
use std::path::PathBuf;

use super::node::Node;
use super::section::{Fit, Misfit};
use super::value::text;

/// The name of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortName {
    /// A device file, or a link to one.
    Path(PathBuf),
    /// Whichever device file the adapter has when the port is opened: `usb:0403:6001` or `usb:0403:6001:SERIAL`.
    Usb(UsbName),
}

/// A USB adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbName {
    /// Who made it.
    pub vendor: u16,
    /// What it is.
    pub product: u16,
    /// Which one it is, where there are several.
    pub serial: Option<String>,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortName::Path(path) => path.display().fmt(f),
            PortName::Usb(usb) => usb.fmt(f),
        }
    }
}

impl fmt::Display for UsbName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "usb:{:04x}:{:04x}", self.vendor, self.product)?;
        self.serial.as_ref().map_or(Ok(()), |serial| write!(f, ":{serial}"))
    }
}

pub(super) fn read(node: &Node) -> Fit<PortName> {
    let port = text(node)?;
    match port.strip_prefix("usb:") {
        Some(name) => usb(name).map(PortName::Usb),
        None if port.is_empty() => Err(Misfit::new("a port can not be empty")),
        None if node.at.is_afar() && !is_serial(&port) => {
            let misfit = Misfit::new("from afar a port is named below /dev/tty or /dev/serial/, or as usb:");
            Err(misfit.help("/dev/ttyUSB0, /dev/serial/by-id/..., usb:0403:6001"))
        }
        None => Ok(PortName::Path(PathBuf::from(port))),
    }
}

/// A port as somebody calls it. Words, where nothing can be called so.
pub fn port_name(text: &str) -> Result<PortName, String> {
    match text.strip_prefix("usb:") {
        Some(name) => usb(name).map(PortName::Usb).map_err(Misfit::words),
        None => Ok(PortName::Path(PathBuf::from(text))),
    }
}

/// Whether nothing but a serial port can have this path.
fn is_serial(path: &str) -> bool {
    let is_below = path.starts_with("/dev/tty") || path.starts_with("/dev/serial/");
    is_below && !path.split('/').any(|part| part == "..")
}

fn usb(name: &str) -> Fit<UsbName> {
    let mut parts = name.splitn(3, ':');
    let mut id = || {
        let digits =
            parts.next().filter(|digits| digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (Some(vendor), Some(product)) = (id(), id()) else {
        let misfit = Misfit::new(format!("\"usb:{name}\" names no USB device"));
        return Err(misfit.help("port = \"usb:0403:6001\" or \"usb:0403:6001:SERIAL\": the numbers that lsusb shows"));
    };
    let serial = parts.next().map(str::to_owned);
    if serial.as_deref() == Some("") {
        return Err(Misfit::new("the serial number is empty").help("take the last colon out"));
    }
    Ok(UsbName { vendor, product, serial })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_named_by_its_numbers() {
        let named = |name| usb(name).ok().map(|usb| usb.to_string());
        assert_eq!(named("0403:6001"), Some("usb:0403:6001".to_owned()));
        assert_eq!(named("1A86:7523:A:1"), Some("usb:1a86:7523:A:1".to_owned()));
        for bad in ["", "0403", "0403:", "0403:6001:", "403:6001", "04g3:6001", "0403:60011", "+403:6001"] {
            assert_eq!(named(bad), None, "{bad}");
        }
    }
}
