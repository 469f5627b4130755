//! `tidegate ports`: the serial ports of this machine, what to call them in a configuration, and who holds them.
//!
//! A port each, with its device file, `usb:VENDOR:PRODUCT:SERIAL` (the same adapter in any socket), what its adapter says
//! that it is, the bus of the configuration that uses it, and the programs that have it open (root sees all of them). Nothing
//! is opened. Exit 0, also where there is none.

use std::io::Write;
use std::sync::Arc;

use serde_json::json;

use super::Exit;
use super::screen::{self, Paint, paint};
use crate::acquire::ports::{Places, Port, list};
use crate::config::Config;

pub fn main(config: Option<&Arc<Config>>, is_json: bool) -> anyhow::Result<Exit> {
    let ports = list(&Places::default())?;
    let bus_of = |port: &Port| config.and_then(|config| bus_of(config, port));
    let mut out = std::io::stdout().lock();
    if is_json {
        let ports: Vec<_> = ports
            .iter()
            .map(|port| {
                let mut object = json!(port);
                object["bus"] = json!(bus_of(port));
                object
            })
            .collect();
        writeln!(out, "{}", json!(ports))?;
        return Ok(Exit::Fine);
    }
    if ports.is_empty() {
        eprintln!("no serial port is here: is the adapter plugged in? (dmesg | tail)");
    }
    let is_coloured = screen::is_coloured(&std::io::stdout());
    for port in &ports {
        write!(out, "{}", text(port, bus_of(port).as_deref(), is_coloured))?;
    }
    Ok(Exit::Fine)
}

/// The bus of the configuration that a port is for.
fn bus_of(config: &Config, port: &Port) -> Option<String> {
    config.buses.iter().find(|bus| port.is(&bus.port)).map(|bus| bus.id.to_string())
}

fn text(port: &Port, bus: Option<&str>, is_coloured: bool) -> String {
    let driver = port.driver.as_ref().map(|driver| format!("driver {driver}"));
    let facts: Vec<String> = port.product.iter().chain(&driver).map(|fact| format!("  {fact}")).collect();
    let mut lines = vec![paint(&port.path.display().to_string(), Paint::Bold, is_coloured) + &facts.concat()];
    lines.extend(port.usb.as_ref().map(|usb| format!("  port = \"{usb}\"")));
    lines.extend(port.links.iter().map(|link| format!("  {}", link.display())));
    lines.push(match bus {
        Some(bus) => format!("  bus {bus} of the configuration"),
        None => "  no bus of the configuration".to_owned(),
    });
    lines.extend(port.held_by.iter().map(|holder| format!("  open in {} ({})", holder.name, holder.pid)));
    lines.join("\n") + "\n"
}
