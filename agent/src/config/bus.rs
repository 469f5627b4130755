//! `[bus.*]`: serial lines, each with the instruments on it.

use std::path::PathBuf;

use model::BusId;

use super::instrument::InstrumentConfig;
use super::section::{Misfit, Section};
use super::value::{choice, integer, text};

/// `[bus.*]`
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Its name.
    pub id: BusId,
    /// The port's device file.
    pub port: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: StopBits,
    /// How the two ends hold each other up.
    pub flow: Flow,
    /// The instruments on it, in name order.
    pub instruments: Vec<InstrumentConfig>,
}

/// Bits a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataBits {
    /// 7
    Seven,
    /// 8
    Eight,
}

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// Stop bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBits {
    /// 1
    One,
    /// 2
    Two,
}

/// Flow control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// None.
    None,
    /// RTS/CTS.
    Hardware,
    /// XON/XOFF.
    Software,
}

const PARITY: &[(&str, Parity)] = &[("none", Parity::None), ("even", Parity::Even), ("odd", Parity::Odd)];
const FLOW: &[(&str, Flow)] = &[("none", Flow::None), ("hardware", Flow::Hardware), ("software", Flow::Software)];

/// The names of the buses that are configured, right or wrong: what an instrument may name.
pub(super) fn names(root: &Section<'_>) -> Vec<String> {
    root.named("bus").into_iter().map(|(name, _)| name).collect()
}

pub(super) fn read_all(root: &Section<'_>, instruments: &[InstrumentConfig]) -> Vec<BusConfig> {
    root.named("bus")
        .iter()
        .filter_map(|(name, section)| {
            let on_it = instruments.iter().filter(|instrument| instrument.bus.as_str() == name.as_str());
            read(name, section, on_it.cloned().collect())
        })
        .collect()
}

fn read(name: &str, section: &Section<'_>, instruments: Vec<InstrumentConfig>) -> Option<BusConfig> {
    let id = BusId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    let port = section.require("port", |node| {
        let port = text(node)?;
        if port.starts_with("usb:") {
            let misfit = Misfit::new("finding a port by its USB id is not there yet in this version");
            return Err(misfit.help("name it by path: /dev/serial/by-id/..."));
        }
        if port.is_empty() {
            return Err(Misfit::new("a port can not be empty"));
        }
        Ok(PathBuf::from(port))
    });
    let baud = section.get("baud", integer(50..=4_000_000)).unwrap_or(9600);
    let data_bits = match section.get("data_bits", integer::<u8>(7..=8)) {
        Some(7) => DataBits::Seven,
        _ => DataBits::Eight,
    };
    let stop_bits = match section.get("stop_bits", integer::<u8>(1..=2)) {
        Some(2) => StopBits::Two,
        _ => StopBits::One,
    };
    let parity = section.get("parity", choice(PARITY)).unwrap_or(Parity::None);
    let flow = section.get("flow", choice(FLOW)).unwrap_or(Flow::None);
    section.finish();
    Some(BusConfig { id: id?, port: port?, baud, data_bits, parity, stop_bits, flow, instruments })
}
