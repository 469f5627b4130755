//! Line settings: how they are written, and in which order they are tried.

use std::fmt;

use super::Candidate;
use crate::config::BusConfig;
use crate::config::bus::{DataBits, Parity, StopBits};

/// Speed and shape of the characters of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSetting {
    /// Bits per second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: StopBits,
}

/// `9600 8N1`
impl fmt::Display for LineSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data_bits = if self.data_bits == DataBits::Seven { 7 } else { 8 };
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        let stop_bits = if self.stop_bits == StopBits::Two { 2 } else { 1 };
        write!(f, "{} {data_bits}{parity}{stop_bits}", self.baud)
    }
}

impl LineSetting {
    const fn new(baud: u32, data_bits: DataBits, parity: Parity) -> Self {
        Self { baud, data_bits, parity, stop_bits: StopBits::One }
    }

    /// That of a bus.
    pub fn of(bus: &BusConfig) -> Self {
        Self { baud: bus.baud, data_bits: bus.data_bits, parity: bus.parity, stop_bits: bus.stop_bits }
    }

    /// The bus with this line.
    pub fn on(self, bus: &BusConfig) -> BusConfig {
        let Self { baud, data_bits, parity, stop_bits } = self;
        BusConfig { baud, data_bits, parity, stop_bits, ..bus.clone() }
    }

    /// Whether what is sent with one is heard with the other: who listens looks at the first stop bit only.
    pub fn is_heard_as(self, other: Self) -> bool {
        (self.baud, self.data_bits, self.parity) == (other.baud, other.data_bits, other.parity)
    }

    /// How long so many characters take, in milliseconds, rounded up.
    pub fn wire_ms(self, characters: usize) -> u64 {
        // Start, eight or seven and a parity, and at most two stop bits.
        let bits = u64::try_from(characters).unwrap_or(u64::MAX).saturating_mul(12);
        bits.saturating_mul(1_000).div_ceil(self.baud.into())
    }
}

/// What instruments without a profile are found at, most usual first.
const USUAL: &[LineSetting] = &[
    LineSetting::new(9_600, DataBits::Eight, Parity::None),
    LineSetting::new(19_200, DataBits::Eight, Parity::None),
    LineSetting::new(4_800, DataBits::Eight, Parity::None),
    LineSetting::new(38_400, DataBits::Eight, Parity::None),
    LineSetting::new(57_600, DataBits::Eight, Parity::None),
    LineSetting::new(115_200, DataBits::Eight, Parity::None),
    LineSetting::new(1_200, DataBits::Eight, Parity::None),
    LineSetting::new(2_400, DataBits::Eight, Parity::None),
    LineSetting::new(9_600, DataBits::Seven, Parity::Even),
    LineSetting::new(2_400, DataBits::Seven, Parity::Even),
    LineSetting::new(4_800, DataBits::Seven, Parity::Even),
    LineSetting::new(1_200, DataBits::Seven, Parity::Even),
    LineSetting::new(9_600, DataBits::Eight, Parity::Even),
    LineSetting::new(19_200, DataBits::Eight, Parity::Even),
    LineSetting::new(9_600, DataBits::Eight, Parity::Odd),
    LineSetting::new(300, DataBits::Eight, Parity::None),
];

/// All settings worth listening at: the usual ones, and behind them what else a profile has.
pub(super) fn to_hear(candidates: &[Candidate]) -> Vec<LineSetting> {
    let own = candidates.iter().filter(|candidate| !candidate.is_asked()).map(Candidate::line);
    distinct(USUAL.iter().copied().chain(own))
}

/// The settings of these, each once.
pub(super) fn distinct(settings: impl Iterator<Item = LineSetting>) -> Vec<LineSetting> {
    let mut all: Vec<LineSetting> = Vec::new();
    for setting in settings {
        if !all.iter().any(|known| known.is_heard_as(setting)) {
            all.push(setting);
        }
    }
    all
}
