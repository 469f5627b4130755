//! A trial as a person reads it: at most a hundred columns wide, a block a frame.
//!
//! ```text
//!  000165  frame, 27 bytes
//!          text    $SDDBT,7.7,f,2.3,M,1.3,F*05
//!          hex     24 53 44 44 42 54 2c 37 2e 37 2c 66 2c 32 2e 33 2c 4d 2c 31 2e 33 2c 46
//!                  2a 30 35
//!          check   passed: *05
//!          value   water_depth  2.3 m  pass  said "2.3"
//! ```

use std::fmt::Write as _;

use instruments::modbus::overheard;
use instruments::{Checked, End, Ignored, Mechanics, Note, Part, Said, SampleValue, Standing, Turn};
use model::{Quality, Value};

use crate::acquire::{Judged, Sight, Totals};
use crate::cli::screen::{Paint, paint};
use crate::config::{InstrumentConfig, QuantityConfig};

/// Columns of text beside the labels.
const WIDTH: usize = 82;

/// Bytes a line of hex.
const HEX_BYTES: usize = 24;

/// Lines of hex of what reads as text, and of what does not, where not everything is asked for.
const HEX_LINES: (usize, usize) = (2, 12);

/// Lines of text, where not everything is asked for.
const TEXT_LINES: usize = 8;

/// Modbus frames of others that are told of, in bytes that are skipped.
const OVERHEARD_MAX: usize = 4;

/// What is seen, in lines.
pub struct Lines<'a> {
    instrument: &'a InstrumentConfig,
    is_coloured: bool,
    is_whole: bool,
    text: String,
}

impl<'a> Lines<'a> {
    pub fn new(instrument: &'a InstrumentConfig, is_coloured: bool, is_whole: bool) -> Self {
        Self { instrument, is_coloured, is_whole, text: String::new() }
    }

    /// One thing seen, with an empty line behind it where it is a block.
    pub fn sight(mut self, sight: &Sight) -> String {
        match sight {
            Sight::Sent(bytes) => {
                self.head("  sent", &count(bytes.len(), "byte"), Paint::Bold);
                self.bytes(bytes);
            }
            Sight::Break => self.head(" break", "the line is held for a break", Paint::Bold),
            Sight::Skipped { from, bytes } => {
                let what = format!("skipped, {}: of no frame", count(bytes.len(), "byte"));
                self.head(&offset(*from), &what, Paint::Bad);
                self.bytes(bytes);
                self.overheard(*from, bytes);
            }
            Sight::Frame { from, note, values } => self.frame(*from, note, values),
            Sight::Derived(reading) => {
                let (name, value) = (&reading.series.quantity, shown(&reading.value, &reading.series.unit));
                self.label("derived", &format!("{name}  {value}  {}", reading.quality.as_str()), None);
            }
            Sight::Alarm(event) => {
                let facts: Vec<String> = event.facts.iter().map(|(key, fact)| format!("{key} {fact:?}")).collect();
                self.label(event.kind.as_str(), &facts.join(", "), Some(Paint::Bad));
            }
            Sight::Turn(turn) => {
                let (what, how) = match turn {
                    Turn::Answered => ("answered", Paint::Good),
                    Turn::Refused => ("the instrument can not or will not answer", Paint::Bad),
                    Turn::Silent => ("no answer to what was asked", Paint::Bad),
                };
                self.head("  done", what, how);
            }
            Sight::Unfinished { from, bytes } => {
                let of = match self.instrument.every {
                    Some(_) => "no answer to what was asked, or not all of one",
                    None => "of a frame that did not end",
                };
                let what = format!("left over, {}: {of}", count(bytes.len(), "byte"));
                self.head(&offset(*from), &what, Paint::Bad);
                self.bytes(bytes);
                self.overheard(*from, bytes);
            }
        }
        self.text.push('\n');
        self.text
    }

    fn frame(&mut self, from: usize, note: &Note, values: &[Judged]) {
        self.head(&offset(from), &format!("frame, {}", count(note.len, "byte")), Paint::Bold);
        self.bytes(&note.frame);
        match &note.checked {
            Checked::NoCheck => self.label("check", "none", Some(Paint::Dim)),
            Checked::Passed { checksum } if checksum.is_empty() => self.label("check", "passed", Some(Paint::Good)),
            Checked::Passed { checksum } => {
                let checksum = if is_text(&note.frame) { escape(checksum) } else { spaced(checksum) };
                self.label("check", &format!("passed: {checksum}"), Some(Paint::Good));
            }
            Checked::Failed => self.label("check", "failed", Some(Paint::Bad)),
            Checked::NotReached => {}
        }
        match &note.end {
            End::Taken { said, .. } => self.values(values, said),
            End::Ignored(why) => self.label("ignored", explain(*why), Some(Paint::Dim)),
            End::Refused(why) => self.label("refused", &format!("{why} ({})", why.word()), Some(Paint::Bad)),
        }
    }

    fn values(&mut self, values: &[Judged], said: &[Said]) {
        let quantities = &self.instrument.quantities;
        let rows: Vec<[String; 4]> =
            values.iter().map(|judged| row(judged, &quantities[judged.sample.field], said)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (name, value, quality) = (width(0), width(1), width(2));
        for (row, judged) in rows.iter().zip(values) {
            let [first, second, third, fourth] = row;
            let how = match judged.reading.as_ref().map(|reading| reading.quality) {
                Some(Quality::Pass) => Some(Paint::Good),
                Some(Quality::Fail | Quality::Suspect | Quality::Missing) => Some(Paint::Bad),
                Some(Quality::NotEvaluated) => None,
                None => Some(Paint::Dim),
            };
            let third = format!("{third:quality$}");
            let third = how.map_or_else(|| third.clone(), |how| paint(&third, how, self.is_coloured));
            let row = format!("{first:name$}  {second:>value$}  {third}  {fourth}");
            self.label("value", row.trim_end(), None);
        }
        if let Some(time) = values.iter().find_map(|judged| judged.sample.device_time) {
            self.label("clock", &format!("the instrument says {time}"), None);
        }
    }

    /// Modbus frames that are whole and are no answer: the commonest mistake is another unit.
    fn overheard(&mut self, from: usize, bytes: &[u8]) {
        if !matches!(self.instrument.protocol.mechanics, Mechanics::ModbusRtu(_)) {
            return;
        }
        let all = overheard(bytes);
        for one in all.iter().take(OVERHEARD_MAX) {
            self.label("holds", &format!("at {} {one}", offset(from + one.from)), None);
        }
        if all.len() > OVERHEARD_MAX {
            self.label(
                "",
                &format!("... and {}", count(all.len() - OVERHEARD_MAX, "more whole frame")),
                Some(Paint::Dim),
            );
        }
    }

    fn head(&mut self, margin: &str, what: &str, how: Paint) {
        let what = paint(what, how, self.is_coloured);
        writeln!(self.text, "{margin:>8}  {what}").expect("a String takes any text");
    }

    fn label(&mut self, label: &str, what: &str, how: Option<Paint>) {
        let what = how.map_or_else(|| what.to_owned(), |how| paint(what, how, self.is_coloured));
        writeln!(self.text, "          {label:<8}{what}").expect("a String takes any text");
    }

    /// Bytes as text where they read as such, and as hex.
    fn bytes(&mut self, bytes: &[u8]) {
        let is_text = is_text(bytes);
        if is_text {
            let shown: Vec<char> = escape(bytes).chars().collect();
            self.wrapped("text", shown.chunks(WIDTH).map(|line| line.iter().collect()).collect(), TEXT_LINES);
        }
        let lines = bytes.chunks(HEX_BYTES).map(spaced).collect();
        self.wrapped("hex", lines, if is_text { HEX_LINES.0 } else { HEX_LINES.1 });
    }

    fn wrapped(&mut self, label: &str, lines: Vec<String>, most: usize) {
        let (all, most) = (lines.len(), if self.is_whole { usize::MAX } else { most });
        for (number, line) in lines.into_iter().take(most).enumerate() {
            let label = if number == 0 { label } else { "" };
            self.label(label, &line, Some(Paint::Dim).filter(|_| label != "text"));
        }
        if all > most {
            self.label("", &format!("... and {} (-v shows them)", count(all - most, "more line")), Some(Paint::Dim));
        }
    }
}

/// What it all came to, in two lines.
pub fn totals(totals: &Totals, instrument: &InstrumentConfig) -> String {
    let Totals { bytes, frames, ignored, refused, samples, skipped } = *totals;
    let number = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut text = format!(
        "{}: {}, {}, {refused} refused, {ignored} ignored, {}, {} skipped\n",
        instrument.id,
        number(bytes, "byte"),
        number(frames, "frame"),
        number(samples, "value"),
        number(skipped, "byte"),
    );
    let hint = match (bytes, frames, samples) {
        (0, ..) => "nothing was heard",
        (_, 0, _) => match instrument.protocol.mechanics {
            Mechanics::ModbusRtu(_) => "nothing is an answer: do unit, function and registers fit?",
            Mechanics::Sdi12(_) => "nothing is an answer: do address and command fit?",
            Mechanics::Stream | Mechanics::Poll(_) => "nothing frames: is it the right line, and does `frame` fit it?",
        },
        (_, _, 0) => "frames, and not one value: each says why",
        _ => "",
    };
    if !hint.is_empty() {
        writeln!(text, "{hint}").expect("a String takes any text");
    }
    text
}

/// Name, value with unit, quality, and where they come from.
fn row(judged: &Judged, quantity: &QuantityConfig, said: &[Said]) -> [String; 4] {
    let Judged { sample, reading } = judged;
    let of = |part: Part| said.iter().find(|said| said.part == part).map(|said| said.text.as_str());
    let value = match reading.as_ref().map(|reading| &reading.value) {
        Some(value) => shown(value, &quantity.series.unit),
        None => match &sample.value {
            SampleValue::Number(number) => short(*number),
            SampleValue::Text(text) => format!("{text:?}"),
            SampleValue::Missing => "nothing".to_owned(),
        },
    };
    let quality = reading.as_ref().map_or("not reported", |reading| reading.quality.as_str());
    let mut from = match of(Part::Value(sample.field)) {
        Some(text) => format!("said {text:?}"),
        None => String::new(),
    };
    if let Some(status) = of(Part::Status(sample.field)) {
        let verdict = match (sample.standing, &sample.value) {
            (_, SampleValue::Missing) => "no value",
            (Standing::Good, _) => "good",
            (Standing::Suspect, _) => "suspect",
            (Standing::Bad, _) => "bad",
        };
        write!(from, ", status {status:?}: {verdict}").expect("a String takes any text");
    }
    if reading.is_none() {
        from.push_str(", not worth a reading");
    }
    [quantity.series.quantity.to_string(), value.trim_end().to_owned(), quality.to_owned(), from]
}

/// A value with its unit.
fn shown(value: &Value, unit: &str) -> String {
    match value {
        Value::Number(number) if unit == "1" => short(*number),
        Value::Number(number) => format!("{} {unit}", short(*number)),
        Value::Text(text) => format!("{text:?}"),
        Value::Missing => "nothing".to_owned(),
    }
}

/// Ten digits and no zeros behind: what a scale of 0.001 leaves wrong is not shown.
fn short(number: f64) -> String {
    let digits = format!("{number:.10}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if digits.is_empty() || digits == "-0" { "0".to_owned() } else { digits.to_owned() }
}

fn explain(why: Ignored) -> &'static str {
    match why {
        Ignored::Pattern => "a pattern of `ignore` matches it",
        Ignored::NothingWanted => "it speaks of none of the quantities",
        Ignored::Answer => "it answers the step, and is no data",
        Ignored::SetUp => "said while the instrument is set up: no measurement",
        Ignored::NotAsked => "nothing was asked",
        Ignored::Restart => "the instrument has restarted and will be set up",
        Ignored::Part => "the values follow",
        Ignored::Split => "so many registers at once are refused: it will be asked for fewer",
        Ignored::Late => "a late answer to a question that was given up",
        Ignored::NoAnswer => "no answer to what was asked: another address or another form",
    }
}

fn offset(from: usize) -> String {
    format!("{from:06}")
}

fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn escape(bytes: &[u8]) -> String {
    // Quotes are nothing that must be escaped here.
    bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Whether bytes read as text, a few broken ones aside.
fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes.iter().filter(|byte| !byte.is_ascii_graphic() && !byte.is_ascii_whitespace()).count();
    odd * 4 <= bytes.len()
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
