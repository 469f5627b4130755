//! What is done next on a line: who has the bus, what is sent, how long is listened. Decides, and does no I/O.

use instruments::Step;

use super::schedule::{Ended, Pick, Schedule};
use super::station::Station;
use crate::config::BusConfig;
use crate::config::bus::{DataBits, Parity, StopBits};

/// A line on which somebody always talks is never quiet; a question goes out after this long all the same, in
/// milliseconds.
const QUIET_WAIT_MS_MAX: u64 = 500;

/// A serial line in time.
#[derive(Debug)]
pub struct Line {
    schedule: Schedule,
    /// Whose turn it is.
    turn: Option<usize>,
    unsent: Option<Unsent>,
    /// When the last byte was heard, or has left.
    last_byte_mono_ms: u64,
    settled_mono_ms: u64,
    quiet_ms: u64,
    baud: u64,
    bits_per_character: u64,
    settle_ms: u64,
}

#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    since_mono_ms: u64,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Listen up to this time; `None`: until something comes.
    Listen {
        /// Milliseconds since the boot.
        until_mono_ms: Option<u64>,
    },
    /// Write these bytes.
    Write(Vec<u8>),
    /// Make a break.
    Break,
    /// An instrument's turn is over.
    End {
        /// Which one's.
        station: usize,
        /// What came of it.
        turn: instruments::Turn,
        /// What that means.
        ended: Ended,
    },
}

impl Line {
    /// The line of a bus.
    pub fn new(config: &BusConfig) -> Self {
        let bits_per_character =
            1 + match config.data_bits {
                DataBits::Seven => 7,
                DataBits::Eight => 8,
            } + u64::from(config.parity != Parity::None)
                + match config.stop_bits {
                    StopBits::One => 1,
                    StopBits::Two => 2,
                };
        let baud = u64::from(config.baud);
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            schedule: Schedule::new(config.instruments.iter().map(|instrument| instrument.every)),
            turn: None,
            unsent: None,
            last_byte_mono_ms: 0,
            settled_mono_ms: 0,
            quiet_ms: silence_ms(baud, bits_per_character).max(millis(config.pause)),
            baud,
            bits_per_character,
            settle_ms: millis(config.settle),
        }
    }

    /// Whether nobody has the bus: between two turns the instruments on it may become others.
    pub fn is_free(&self) -> bool {
        self.turn.is_none() && self.unsent.is_none()
    }

    /// The instruments are others, each with the place that it had. Only where [`Line::is_free`].
    pub fn rearrange(&mut self, held: &[Option<usize>], config: &BusConfig, now_mono_ms: u64) {
        let every = config.instruments.iter().map(|instrument| instrument.every);
        self.schedule.rearrange(held, every, now_mono_ms);
    }

    /// The port was opened.
    pub fn open(&mut self, now_mono_ms: u64) {
        self.turn = None;
        self.unsent = None;
        self.last_byte_mono_ms = now_mono_ms;
        self.settled_mono_ms = now_mono_ms.saturating_add(self.settle_ms);
        self.schedule.open(self.settled_mono_ms);
    }

    /// The port was lost.
    pub fn lose(&mut self) {
        self.schedule.lose();
    }

    /// Something was heard.
    pub fn heard(&mut self, now_mono_ms: u64) {
        self.last_byte_mono_ms = self.last_byte_mono_ms.max(now_mono_ms);
    }

    /// So many bytes were handed to the port: the last of them leaves later.
    pub fn wrote(&mut self, bytes: usize, now_mono_ms: u64) {
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(self.bits_per_character);
        self.last_byte_mono_ms = now_mono_ms.saturating_add(bits.saturating_mul(1_000).div_ceil(self.baud));
    }

    /// What is next.
    pub fn next(&mut self, stations: &mut [Station], now_mono_ms: u64) -> Action {
        loop {
            let busy_until = self.settled_mono_ms.max(self.last_byte_mono_ms);
            if now_mono_ms < busy_until {
                return Action::Listen { until_mono_ms: Some(busy_until) };
            }
            if let Some(action) = self.send(now_mono_ms) {
                return action;
            }
            let index = match self.turn {
                Some(index) => index,
                None => match self.schedule.pick(now_mono_ms, |index| stations[index].wants_turn()) {
                    Pick::Begin(index) => {
                        stations[index].begin(now_mono_ms);
                        index
                    }
                    Pick::Resume(index) => {
                        self.schedule.resume(index);
                        index
                    }
                    Pick::Nothing { until_mono_ms } => return Action::Listen { until_mono_ms },
                },
            };
            self.turn = Some(index);
            match stations[index].next(now_mono_ms) {
                Step::Send(bytes) => self.unsent = Some(Unsent { bytes, since_mono_ms: now_mono_ms }),
                Step::Break => return Action::Break,
                Step::Wait { until_mono_ms } => return Action::Listen { until_mono_ms: Some(until_mono_ms) },
                Step::Pause { until_mono_ms } => {
                    self.turn = None;
                    self.schedule.pause(index, until_mono_ms);
                }
                // No protocol is idle within its turn; one that is has given it back.
                Step::Idle { .. } => return self.end(index, instruments::Turn::Answered, now_mono_ms),
                Step::Done(turn) => return self.end(index, turn, now_mono_ms),
            }
        }
    }

    fn end(&mut self, station: usize, turn: instruments::Turn, now_mono_ms: u64) -> Action {
        self.turn = None;
        Action::End { station, turn, ended: self.schedule.end(station, turn, now_mono_ms) }
    }

    /// What waits to be sent, once the line has been quiet for long enough.
    fn send(&mut self, now_mono_ms: u64) -> Option<Action> {
        let unsent = self.unsent.as_ref()?;
        let quiet_at = self.last_byte_mono_ms.saturating_add(self.quiet_ms);
        let patience_ends = unsent.since_mono_ms.saturating_add(self.quiet_ms.max(QUIET_WAIT_MS_MAX));
        let until_mono_ms = quiet_at.min(patience_ends);
        if now_mono_ms < until_mono_ms {
            return Some(Action::Listen { until_mono_ms: Some(until_mono_ms) });
        }
        self.unsent.take().map(|unsent| Action::Write(unsent.bytes))
    }
}

/// MODBUS over Serial Line V1.02 §2.5.1.1: "a silent interval of at least 3.5 character times", and "for baud rates
/// greater than 19200 Bps, fixed values for the 2 timers should be used: 1.750ms". The clock counts whole
/// milliseconds, so one more.
fn silence_ms(baud: u64, bits_per_character: u64) -> u64 {
    let half_characters = 7;
    let micros = if baud > 19_200 { 1_750 } else { half_characters * bits_per_character * 1_000_000 / (2 * baud) };
    micros.div_ceil(1_000) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_before_a_request_is_that_of_the_specification() {
        assert_eq!(silence_ms(1_200, 11), 34);
        assert_eq!(silence_ms(9_600, 10), 5);
        assert_eq!(silence_ms(19_200, 11), 4);
        assert_eq!(silence_ms(115_200, 10), 3);
    }
}
