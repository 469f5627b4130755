//! Opening a serial port as configured.

use std::io;

use tokio_serial::{SerialPortBuilderExt, SerialStream};

use crate::config::BusConfig;
use crate::config::bus::{DataBits, Flow, Parity, StopBits};

/// Opens the bus's port, for us alone.
pub fn open(bus: &BusConfig) -> io::Result<SerialStream> {
    let path = bus.port.to_str().ok_or_else(|| io::Error::other("the port's path is not UTF-8"))?;
    let builder = tokio_serial::new(path, bus.baud)
        .data_bits(match bus.data_bits {
            DataBits::Seven => tokio_serial::DataBits::Seven,
            DataBits::Eight => tokio_serial::DataBits::Eight,
        })
        .parity(match bus.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(match bus.stop_bits {
            StopBits::One => tokio_serial::StopBits::One,
            StopBits::Two => tokio_serial::StopBits::Two,
        })
        .flow_control(match bus.flow {
            Flow::None => tokio_serial::FlowControl::None,
            Flow::Hardware => tokio_serial::FlowControl::Hardware,
            Flow::Software => tokio_serial::FlowControl::Software,
        });
    builder.open_native_async().map_err(io::Error::from)
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
