//! The instrument's own clock, as text: kept beside ours, and believed where it is near enough to it.
//!
//! `%Y %y %m %d %j %b %H %M %S %s`, `%.f` (a point and decimals, or nothing) and `%%`; all else stands for itself. A
//! time that does not read is no reason to lose a measurement: the sample then has none.

use std::time::Duration;

use model::{Clock, Stamp, Timestamp};

use crate::field::parse_number;
use crate::limits::TIME_FIELDS_MAX;
use crate::spec::{Fault, Place, SpecError};

/// The instrument's clock (`time = { field, format, tz, max_skew }`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSpec {
    /// Where it stands; several fields have a word of the format each.
    pub fields: Vec<String>,
    /// How it is written.
    pub format: String,
    /// Minutes that it is ahead of UTC.
    pub ahead_min: i32,
    /// A reading has the instrument's time where ours is synchronised and the two differ by no more than this. `None`:
    /// it always has ours.
    pub max_skew: Option<Duration>,
}

/// A part of the format: what one field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockPart {
    items: Vec<Item>,
    ahead_min: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Literal(u8),
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Fraction,
    Epoch,
}

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

const DAY_MS: f64 = 86_400_000.0;

impl TimeSpec {
    /// One part a field.
    pub(crate) fn parts(&self) -> Result<Vec<ClockPart>, SpecError> {
        let count = self.fields.len();
        if !(1..=TIME_FIELDS_MAX).contains(&count) {
            let fault = Fault::OutOfRange { min: 1, max: TIME_FIELDS_MAX, found: count };
            return Err(Place::Key("time.field").fault(fault));
        }
        let words: Vec<&str> = if count == 1 { vec![&self.format] } else { self.format.split(' ').collect() };
        let fault = || Place::Key("time.format").fault(Fault::NotATime(self.format.clone()));
        if words.len() != count {
            return Err(fault());
        }
        let mut parts: Vec<ClockPart> =
            words.iter().map(|word| ClockPart::parse(word)).collect::<Option<_>>().ok_or_else(fault)?;
        if let Some(first) = parts.first_mut() {
            first.ahead_min = self.ahead_min;
        }
        Ok(parts)
    }

    /// The time of a reading, by both clocks.
    pub(crate) fn choose(&self, host: Stamp, device: Timestamp) -> Stamp {
        let skew_ms = host.time.as_millis().abs_diff(device.as_millis());
        let is_near = self.max_skew.is_some_and(|max| u128::from(skew_ms) <= max.as_millis());
        if is_near && host.clock == Clock::Synced { Stamp { time: device, ..host } } else { host }
    }
}

impl ClockPart {
    fn parse(format: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut bytes = format.bytes();
        while let Some(byte) = bytes.next() {
            items.push(if byte == b'%' { Item::parse(&mut bytes)? } else { Item::Literal(byte) });
        }
        let says = |item: &Item| !matches!(item, Item::Literal(_));
        items.iter().any(says).then_some(Self { items, ahead_min: 0 })
    }

    /// Milliseconds since 1970 of a date, or into the day of a time, or both together.
    pub fn read(&self, text: &[u8]) -> Option<f64> {
        let mut rest = text;
        let (mut year, mut month, mut day, mut of_year) = (None, None, None, None);
        let mut ms = -f64::from(self.ahead_min) * 60_000.0;
        for item in &self.items {
            match item {
                Item::Literal(byte) => {
                    rest = rest.strip_prefix(&[*byte])?;
                }
                Item::Year => year = Some(take(&mut rest, 4, 0..=9999)?),
                Item::YearOfCentury => {
                    year = Some(take(&mut rest, 2, 0..=99).map(|of| of + if of < 69 { 2000 } else { 1900 })?);
                }
                Item::Month => month = Some(take(&mut rest, 2, 1..=12)?),
                Item::MonthName => month = Some(take_month(&mut rest)?),
                Item::Day => day = Some(take(&mut rest, 2, 1..=31)?),
                Item::DayOfYear => of_year = Some(take(&mut rest, 3, 1..=366)?),
                Item::Hour => ms += f64::from(take(&mut rest, 2, 0..=23)?) * 3_600_000.0,
                Item::Minute => ms += f64::from(take(&mut rest, 2, 0..=59)?) * 60_000.0,
                Item::Second => ms += f64::from(take(&mut rest, 2, 0..=60)?) * 1_000.0,
                Item::Fraction => ms += take_fraction(&mut rest)?,
                Item::Epoch => ms += take_epoch(&mut rest)?,
            }
        }
        let days = match (year, month, day, of_year) {
            (Some(year), Some(month), Some(day), None) => days_from_civil(year, month, day),
            (Some(year), None, None, Some(of_year)) => days_from_civil(year, 1, 1) + of_year - 1,
            (None, None, None, None) => 0,
            _ => return None,
        };
        rest.is_empty().then_some(f64::from(days) * DAY_MS + ms)
    }
}

impl Item {
    fn parse(bytes: &mut std::str::Bytes<'_>) -> Option<Self> {
        Some(match bytes.next()? {
            b'%' => Item::Literal(b'%'),
            b'Y' => Item::Year,
            b'y' => Item::YearOfCentury,
            b'm' => Item::Month,
            b'b' => Item::MonthName,
            b'd' => Item::Day,
            b'j' => Item::DayOfYear,
            b'H' => Item::Hour,
            b'M' => Item::Minute,
            b'S' => Item::Second,
            b's' => Item::Epoch,
            b'.' if bytes.next()? == b'f' => Item::Fraction,
            _ => return None,
        })
    }
}

fn take(rest: &mut &[u8], digits: usize, range: std::ops::RangeInclusive<i32>) -> Option<i32> {
    let count = rest.iter().take(digits).take_while(|byte| byte.is_ascii_digit()).count();
    let (text, after) = rest.split_at(count);
    *rest = after;
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    range.contains(&number).then_some(number)
}

fn take_month(rest: &mut &[u8]) -> Option<i32> {
    let name = rest.get(..3)?.to_ascii_lowercase();
    *rest = &rest[3..];
    let index = MONTHS.iter().position(|month| **month == *name)?;
    i32::try_from(index + 1).ok()
}

fn take_fraction(rest: &mut &[u8]) -> Option<f64> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some(0.0) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, after) = rest.split_at(count + 1);
    *rest = after;
    parse_number(text).map(|seconds| (seconds * 1000.0).floor())
}

fn take_epoch(rest: &mut &[u8]) -> Option<f64> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, after) = rest.split_at(count);
    *rest = after;
    parse_number(text).map(|seconds| seconds * 1000.0)
}

/// Days since 1970-01-01 (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, `days_from_civil`).
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(fields: usize, format: &str) -> TimeSpec {
        TimeSpec { fields: vec!["t".to_owned(); fields], format: format.to_owned(), ahead_min: 0, max_skew: None }
    }

    fn read(format: &str, text: &str) -> Option<String> {
        let ms = spec(1, format).parts().unwrap()[0].read(text.as_bytes())?;
        Some(format!("{ms}"))
    }

    #[test]
    fn instruments_write_times_in_many_ways() {
        // Reckoned with `date -u -d ... +%s`.
        for (format, text, ms) in [
            ("%d %b %Y %H:%M:%S", "23 Nov 2013 00:00:21", "1385164821000"),
            ("%Y/%m/%d %H:%M:%S", "2014/02/17 01:00:12", "1392598812000"),
            ("%m/%d/%y", "12/31/13", "1388448000000"),
            ("%H:%M:%S%.f", "23:59:45.25", "86385250"),
            ("%H:%M:%S%.f", "23:59:45", "86385000"),
            ("%Y%j", "2016306", "1477958400000"),
            ("%s", "1385164821", "1385164821000"),
        ] {
            assert_eq!(read(format, text), Some(ms.to_owned()), "{text}");
        }
        for (format, text) in [("%m/%d/%y", "13/31/13"), ("%H:%M", "12"), ("%Y", "2013"), ("%H", "12x"), ("%b", "x")] {
            assert_eq!(read(format, text), None, "{text}");
        }
    }

    #[test]
    fn two_fields_have_a_word_each() {
        let parts = TimeSpec { ahead_min: 120, ..spec(2, "%m/%d/%y %H:%M:%S") }.parts().unwrap();
        assert_eq!(parts[0].read(b"12/31/13"), Some(1_388_448_000_000.0 - 7_200_000.0));
        assert_eq!(parts[1].read(b"23:59:45"), Some(86_385_000.0));
        for wrong in [spec(1, "%Q"), spec(1, "now"), spec(2, "%s"), spec(1, "%"), spec(0, "%s"), spec(9, "%s")] {
            assert!(wrong.parts().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_instruments_clock_is_believed_when_it_is_near_ours() {
        let host = Stamp { time: Timestamp::from_millis(100_000), mono_ms: 7, clock: Clock::Synced };
        let near = TimeSpec { max_skew: Some(Duration::from_secs(5)), ..spec(1, "%s") };
        let chosen = |spec: &TimeSpec, host, ms| spec.choose(host, Timestamp::from_millis(ms)).time.as_millis();
        assert_eq!(chosen(&near, host, 95_000), 95_000);
        assert_eq!(chosen(&near, host, 94_999), 100_000);
        assert_eq!(chosen(&spec(1, "%s"), host, 99_999), 100_000);
        assert_eq!(chosen(&near, Stamp { clock: Clock::Untrusted, ..host }, 99_999), 100_000);
    }
}
