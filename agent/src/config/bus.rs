//! `[bus.*]`: serial lines, each with the instruments on it.

use std::time::Duration;

use model::BusId;

use super::instrument::InstrumentConfig;
use super::port::{self, PortName};
use super::section::{Misfit, Section};
use super::value::{choice, duration, integer};

/// `[bus.*]`
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Its name.
    pub id: BusId,
    /// What its port is named by.
    pub port: PortName,
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
    /// What becomes of the DTR line when the port is opened.
    pub dtr: Dtr,
    /// How long nothing is said after the port was opened: a board that resets is booting.
    pub settle: Duration,
    /// How long the line is silent before each thing said; never less than 3.5 characters.
    pub pause: Duration,
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

/// What becomes of the DTR line when the port is opened. The kernel raises it before anyone is asked; what is left to
/// us is to lower it again, and never to let it fall when the port is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtr {
    /// As the kernel leaves it: raised.
    Untouched,
    /// Raised.
    On,
    /// Lowered.
    Off,
}

const DTR: &[(&str, Dtr)] = &[("on", Dtr::On), ("off", Dtr::Off)];

/// A board that boots for longer says so itself.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// A pause longer than this is a period.
const PAUSE_MAX: Duration = Duration::from_secs(10);

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
    let port = section.require("port", port::read);
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
    let dtr = section.get("dtr", choice(DTR)).unwrap_or(Dtr::Untouched);
    let settle = section.get("settle", duration(Duration::ZERO..=SETTLE_MAX)).unwrap_or_default();
    let pause = section.get("pause", duration(Duration::ZERO..=PAUSE_MAX)).unwrap_or_default();
    section.finish();
    let (id, port) = (id?, port?);
    Some(BusConfig { id, port, baud, data_bits, parity, stop_bits, flow, dtr, settle, pause, instruments })
}
