//! How much a frame proves: how much of what stands in it is prescribed by the profile that reads it.
//!
//! That a profile reads a line says little: any line of one number is read by six of them. So a frame that was read is
//! changed, one character at a time, into others of its kind (a digit into digits, a letter into letters, a sign into
//! signs), and read again. Where the profile still reads as many values, the character proved nothing; where it
//! refuses nearly all of them, the character is part of what makes this instrument's lines its own. Labels, fixed
//! words, dates and prescribed digits add up; digits of a number are worth nothing; a sign that comes again and again (a
//! separator, a decimal point) is worth less each time, since many instruments print tables.
//!
//! A checksum stands for all that, and counts more than any delimiter.

use instruments::{Check, Format, FrameSpec, LineEnd, ModbusSpec, Output, Protocol, Sample, SampleValue};
use model::{Clock, Stamp, Timestamp};

use crate::config::InstrumentConfig;

/// Proof of a frame whose checksum fits, in bits.
pub const CHECKED: u32 = 32;

/// Characters of a frame that are tried, from its beginning.
const CHARACTERS_MAX: usize = 160;

const SIGNS: &[u8] = b" ,;:.-+/#*%=_";
const DIGITS: &[u8] = b"0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Bits that this frame, which the instrument's decoder took, proves. 0: it can not be weighed.
pub fn of(config: &InstrumentConfig, frame: &[u8]) -> u32 {
    if config.protocol.check != Check::None {
        return CHECKED;
    }
    let FrameSpec::Line(line) = &config.protocol.frame else { return 0 };
    let end: &[u8] = match &line.end {
        LineEnd::Newline => b"\r\n",
        LineEnd::Bytes(end) => end,
    };
    let mut spec = config.protocol.clone();
    // Each line by itself: what an instrument would be told meanwhile is nobody's business here.
    spec.mechanics = instruments::Mechanics::Stream;
    let Ok(protocol) = instruments::bind(&spec, &config.fields()) else { return 0 };
    let mut reader = Reader { protocol, end, out: Output::default() };
    let whole = reader.read(frame);
    if whole.values == 0 {
        return 0;
    }
    let mut bits = 0.0;
    let mut seen = [0_u32; 256];
    let mut changed = frame.to_vec();
    for place in 0..frame.len().min(CHARACTERS_MAX) {
        let was = frame[place];
        // Padding is no word, and a run of one sign is one.
        let before = place.checked_sub(1).map_or(b' ', |before| frame[before]);
        let is_run =
            !was.is_ascii_alphanumeric() && (before == was || (was == b' ' && !before.is_ascii_alphanumeric()));
        let others = others(was);
        if others.is_empty() || is_run {
            continue;
        }
        let (mut tried, mut taken) = (1_u32, 1_u32);
        for other in others.iter().copied().filter(|other| !other.eq_ignore_ascii_case(&was)) {
            changed[place] = if was.is_ascii_lowercase() { other.to_ascii_lowercase() } else { other };
            tried += 1;
            taken += u32::from(reader.read(&changed) == whole);
        }
        changed[place] = was;
        let proves = (f64::from(tried) / f64::from(taken)).log2();
        if was.is_ascii_alphanumeric() {
            bits += proves;
        } else if proves > 0.0 {
            seen[usize::from(was)] += 1;
            bits += proves / f64::from(seen[usize::from(was)]);
        }
    }
    // A hundred and sixty characters of less than five bits at most.
    (0..800).take_while(|whole| f64::from(*whole) < bits).count().try_into().unwrap_or(0)
}

/// Bits that one answer of a Modbus unit proves. That it has a checksum proves a Modbus unit, and nothing of what its
/// registers mean: what proves is a status that says what the profile wants, floating point numbers that are some, and
/// registers far from the beginning, where a unit of another kind has none; `is_open`: this one has registers everywhere.
pub fn of_registers(spec: &ModbusSpec, samples: &[Sample], is_open: bool) -> u32 {
    let mut bits = 0;
    let mut first = u16::MAX;
    for sample in samples {
        let Some(register) = spec.registers.get(sample.field) else { continue };
        first = first.min(register.address);
        let SampleValue::Number(number) = sample.value else { continue };
        bits += match register.format {
            Format::F32 | Format::F64 => 5 * u32::from(number != 0.0),
            Format::I32 | Format::U32 | Format::I64 | Format::U64 => 6 * u32::from(number != 0.0),
            Format::I16 | Format::U16 | Format::Bit(_) | Format::Text(_) => 1,
        };
        bits += 10 * u32::from(register.good.is_some());
    }
    bits + if first >= FAR && first != u16::MAX && !is_open { 6 } else { 0 }
}

/// Most units have their first values below this register.
const FAR: u16 = 0x80;

/// What a character is changed into.
fn others(byte: u8) -> &'static [u8] {
    match byte {
        b'0'..=b'9' => DIGITS,
        b'a'..=b'z' | b'A'..=b'Z' => LETTERS,
        b'\t' | b' '..=b'~' => SIGNS,
        _ => &[],
    }
}

/// What was read of a line.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    values: usize,
    has_time: bool,
}

struct Reader<'a> {
    protocol: Box<dyn Protocol>,
    end: &'a [u8],
    out: Output,
}

impl Reader<'_> {
    fn read(&mut self, frame: &[u8]) -> Read {
        let at = Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Untrusted };
        self.out.clear();
        self.protocol.receive(frame, at, &mut self.out);
        self.protocol.receive(self.end, at, &mut self.out);
        let samples = &self.out.samples;
        Read { values: samples.len(), has_time: samples.iter().any(|sample| sample.device_time.is_some()) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::trial_bus;

    fn proof(profile: &str, frame: &str) -> u32 {
        let bus = trial_bus(profile, "/dev/null", Path::new("/nonexistent")).unwrap();
        of(&bus.instruments[0], frame.as_bytes())
    }

    #[test]
    fn a_line_proves_what_is_prescribed_in_it() {
        // Numbers prove nothing; a table of them hardly more.
        assert!(proof("atlas-ezo-ph", "7.612") < 6);
        assert!(proof("arduino-csv", "21.50,65.2") < 12);
        // Words, a serial prefix, a date.
        assert!(proof("mt-sics", "S S      0.500 kg") >= 18);
        assert!(proof("kern-ew", "+0026.90 G S") >= 18);
        assert!(proof("seabird-16plus", "# 13.7971,  4.01241,    6.536, 23 Nov 2013 00:00:21") >= 24);
        assert_eq!(proof("nmea-sounder", "$SDDBT,7.7,f,2.3,M,1.3,F*05"), CHECKED);
        // One that is not read can not be weighed.
        assert_eq!(proof("mt-sics", "S S      0.500 lb"), 0);
    }
}
