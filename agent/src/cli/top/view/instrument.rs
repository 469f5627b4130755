//! One instrument: its quantities with larger trends, what went wrong last, and the bytes of its line.

use super::super::model::{FRAME_BYTES_MAX, Frame, Watched, is_up};
use super::super::place::Place;
use super::super::spark::{span, spark};
use super::age;
use super::canvas::{Canvas, Tone, wrap};
use crate::cli::screen::hex_and_text;
use crate::control::status::{InstrumentStatus, ValueStatus};

/// Lines that the bytes have for sure.
const FRAMES_SURE: usize = 4;
/// A trend is no higher.
const TREND_ROWS_MAX: usize = 4;
/// Lines of the last error.
const ERROR_LINES_MAX: usize = 2;
/// Cells of all trends together: what moves is sent again each second.
const TREND_CELLS_MAX: usize = 480;

/// Draws between two lines.
pub fn draw(canvas: &mut Canvas, watched: &Watched, place: &Place, (top, bottom): (usize, usize)) -> usize {
    let Some(instrument) = watched.instrument(place.instrument.as_deref()) else {
        canvas.put((0, top), canvas.width(), "no instrument is configured", Tone::Dim);
        return 0;
    };
    let top = facts(canvas, watched, instrument, top);
    let room = bottom.saturating_sub(top);
    let count = instrument.values.len();
    let each = (room.saturating_sub(FRAMES_SURE + 1) / count.max(1)).clamp(1, TREND_ROWS_MAX + 1);
    let shown = count.min(room.saturating_sub(if room > 8 { FRAMES_SURE + 1 } else { 0 }) / each).max(1);
    let over = count.saturating_sub(shown);
    let mut y = top;
    for (quantity, value) in instrument.values.iter().skip(place.scroll.min(over)).take(shown) {
        draw_quantity(canvas, watched, instrument, (quantity, value), (y, each - 1));
        // A text has no trend.
        y += if watched.history(&instrument.id, quantity).is_drawn() { each } else { 1 };
    }
    if over > 0 {
        let from = place.scroll.min(over);
        let title = format!("quantities {}-{} of {count}: j k", from + 1, from + shown);
        canvas.put_right((0, top), canvas.width(), &title, Tone::Dim);
    }
    draw_frames(canvas, watched, instrument, (y, bottom));
    over
}

/// What is known of it as a whole.
fn facts(canvas: &mut Canvas, watched: &Watched, instrument: &InstrumentStatus, mut y: usize) -> usize {
    let width = canvas.width();
    let state = if is_up(instrument) { Tone::Good } else { Tone::Bad };
    let on = format!(" on {}, last reading {} ago", instrument.bus, age(instrument.last_reading_at, watched.now));
    let name = instrument.id.as_str();
    canvas.flow((0, y), &[(name, Tone::Bold), (" ", Tone::Plain), (&instrument.state, state), (&on, Tone::Plain)]);
    y += 1;
    let counts = [
        ("readings", instrument.readings_total),
        ("frames refused", instrument.frames_refused_total),
        ("a minute", instrument.frames_refused_per_min),
        ("polls failed", instrument.polls_failed_total),
        ("skipped", instrument.polls_skipped_total),
        ("overrun", instrument.readings_overrun_total),
    ];
    let mut x = 0;
    for (number, (word, count)) in counts.into_iter().enumerate() {
        let count = count.to_string();
        if number > 1 && count == "0" {
            continue;
        }
        if x + count.len() + 1 + word.len() > width {
            (x, y) = (0, y + 1);
        }
        let tone = if number > 0 && count != "0" { Tone::Warning } else { Tone::Plain };
        x = canvas.flow((x, y), &[(&count, tone), (" ", Tone::Plain), (word, Tone::Dim)]) + 3;
    }
    y += 1;
    let error = instrument.last_error.as_ref().map(|error| format!("last error: {error}"));
    let frame = instrument.last_refused_frame.as_ref().map(|hex| format!("last frame refused: {hex}"));
    for text in [error, frame, watched.note.clone()].into_iter().flatten() {
        for line in wrap(&text, width).into_iter().take(ERROR_LINES_MAX) {
            canvas.put((0, y), width, &line, if is_up(instrument) { Tone::Dim } else { Tone::Plain });
            y += 1;
        }
    }
    y
}

/// `temperature   7.82 Cel   pass   1s   7.71 .. 7.92`, and its trend below.
fn draw_quantity(
    canvas: &mut Canvas,
    watched: &Watched,
    instrument: &InstrumentStatus,
    (quantity, value): (&String, &ValueStatus),
    (y, rows): (usize, usize),
) {
    let width = canvas.width();
    let history = watched.history(&instrument.id, quantity);
    let cells = TREND_CELLS_MAX / (instrument.values.len() * rows).max(1);
    let columns = (width.saturating_sub(2)).min(cells.max(16));
    let longest = instrument.values.keys().map(String::len).max().unwrap_or(0);
    let name = longest.clamp(10, width.saturating_sub(28).clamp(10, 32));
    canvas.put((0, y), name, quantity, Tone::Bold);
    let tone = super::all::tone_of(value.quality);
    canvas.put_right((name + 1, y), 9, &history.shown(&value.value, 9), tone);
    let x = canvas.put((name + 11, y), 8, &value.unit, Tone::Plain).max(name + 15) + 1;
    let x = canvas.put((x, y), 13, value.quality.as_str(), if tone == Tone::Plain { Tone::Dim } else { tone }) + 1;
    let values = history.values();
    let shown = &values[values.len().saturating_sub(columns)..];
    if let Some((least, most)) = span(shown) {
        let text = |number: f64| history.shown(&serde_json::Value::from(number), 9);
        let range = format!("{} .. {}", text(least), text(most));
        if x + 2 + range.len() <= width {
            canvas.put((x + 2, y), range.len(), &range, Tone::Dim);
        }
    }
    if history.is_drawn() {
        for (cells, y) in spark(&values, columns, rows, canvas.look.is_utf8).iter().zip(y + 1..) {
            canvas.put((2, y), columns, cells, if is_up(instrument) { Tone::Good } else { Tone::Dim });
        }
    }
}

fn draw_frames(canvas: &mut Canvas, watched: &Watched, instrument: &InstrumentStatus, (top, bottom): (usize, usize)) {
    let width = canvas.width();
    if top >= bottom {
        return;
    }
    canvas.put((0, top), width, &format!("bytes of {}, as they go", instrument.bus), Tone::Bold);
    let room = bottom.saturating_sub(top + 1);
    let mut lines: Vec<(String, Tone)> = Vec::new();
    for frame in watched.frames() {
        let tone = if frame.is_in { Tone::Plain } else { Tone::Dim };
        lines.extend(shown(frame, width).into_iter().map(|line| (line, tone)));
    }
    if lines.is_empty() {
        canvas.put((0, top + 1), width, "nothing came while this was looked at", Tone::Dim);
    }
    let newest = lines.len().saturating_sub(room);
    for ((line, tone), y) in lines[newest..].iter().zip(top + 1..bottom) {
        canvas.put((0, y), width, line, *tone);
    }
}

/// `31.250 in  6e 2c 31 32 0d 0a   |n,12..|`: the seconds of the minute, so that a line that has been shown stays as it is.
fn shown(frame: &Frame, width: usize) -> Vec<String> {
    const HEAD: usize = 11;
    let each = (width.saturating_sub(HEAD + 3) / 4).clamp(4, 16);
    let millis = frame.time.as_millis().rem_euclid(60_000);
    let way = if frame.is_in { "in" } else { "out" };
    let head = format!("{:02}.{:03} {way:<3} ", millis / 1_000, millis % 1_000);
    let heads = std::iter::once(head).chain(std::iter::repeat(" ".repeat(HEAD)));
    let bytes = &frame.bytes[..frame.bytes.len().min(FRAME_BYTES_MAX)];
    heads.zip(hex_and_text(bytes, each)).map(|(head, line)| head + &line).collect()
}
