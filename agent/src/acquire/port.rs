//! Opening a serial port as configured.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt, SerialStream};

use super::usb;
use crate::config::bus::{DataBits, Dtr, Flow, Parity, StopBits};
use crate::config::{BusConfig, PortName};

/// SDI-12 v1.4 §4.2.1: "a break is a continuous spacing on the data line for at least 12 milliseconds", and then
/// marking "for at least 8.33 milliseconds". A timer may be a millisecond early.
const BREAK: Duration = Duration::from_millis(14);
const MARK: Duration = Duration::from_millis(10);

/// Opens the bus's port, for us alone.
pub fn open(bus: &BusConfig) -> io::Result<SerialStream> {
    let path = match &bus.port {
        PortName::Path(path) => path.clone(),
        PortName::Usb(name) => usb::find(name, Path::new(usb::PORTS))?,
    };
    // Held until the port is open: only the first to open a port has the kernel raise its lines.
    let _held = keep_lines_raised(&path)?;
    let path = path.to_str().ok_or_else(|| io::Error::other("the port's path is not UTF-8"))?;
    let (data_bits, parity, stop_bits) = line(bus);
    let builder =
        tokio_serial::new(path, bus.baud).data_bits(data_bits).parity(parity).stop_bits(stop_bits).flow_control(
            match bus.flow {
                Flow::None => tokio_serial::FlowControl::None,
                Flow::Hardware => tokio_serial::FlowControl::Hardware,
                Flow::Software => tokio_serial::FlowControl::Software,
            },
        );
    let builder = match bus.dtr {
        Dtr::Untouched => builder,
        Dtr::On => builder.dtr_on_open(true),
        Dtr::Off => builder.dtr_on_open(false),
    };
    builder.open_native_async().map_err(io::Error::from)
}

/// Opens the bus's port, and closes it again. Within a runtime.
pub fn try_open(bus: &BusConfig) -> io::Result<()> {
    open(bus).map(drop)
}

/// Gives an open port the line of another bus, and forgets what came in before. The port stays open: a board that resets
/// when it is opened does so once.
pub fn retune(port: &mut SerialStream, bus: &BusConfig) -> io::Result<()> {
    let (data_bits, parity, stop_bits) = line(bus);
    port.set_baud_rate(bus.baud)?;
    port.set_data_bits(data_bits)?;
    port.set_parity(parity)?;
    port.set_stop_bits(stop_bits)?;
    Ok(port.clear(ClearBuffer::Input)?)
}

fn line(bus: &BusConfig) -> (tokio_serial::DataBits, tokio_serial::Parity, tokio_serial::StopBits) {
    let data_bits = match bus.data_bits {
        DataBits::Seven => tokio_serial::DataBits::Seven,
        DataBits::Eight => tokio_serial::DataBits::Eight,
    };
    let parity = match bus.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = match bus.stop_bits {
        StopBits::One => tokio_serial::StopBits::One,
        StopBits::Two => tokio_serial::StopBits::Two,
    };
    (data_bits, parity, stop_bits)
}

/// Takes `HUPCL` from the port: DTR does not fall when it is closed, so that a board which resets by it does so once,
/// when it is plugged in, and not each time that the agent starts.
fn keep_lines_raised(path: &PathBuf) -> io::Result<File> {
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
    let port = File::options().read(true).write(true).custom_flags(flags).open(path)?;
    let mut settings = tcgetattr(&port)?;
    settings.control_modes.remove(ControlModes::HUPCL);
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    Ok(port)
}

/// Makes a break, and the marking after it.
pub async fn make_break(port: &SerialStream) -> io::Result<()> {
    port.set_break()?;
    tokio::time::sleep(BREAK).await;
    port.clear_break()?;
    tokio::time::sleep(MARK).await;
    Ok(())
}

/// What a person can do about a port that does not open.
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "is the cable plugged in?",
        io::ErrorKind::PermissionDenied => "may this user open it? (group dialout)",
        io::ErrorKind::ResourceBusy => "another program has it",
        _ => "",
    }
}
