//! All instruments and sinks, a line each; where the screen is high enough, a line each quantity.

use model::Quality;

use super::super::model::{Watched, badness, foremost, is_up};
use super::super::place::{List, Place};
use super::super::spark::spark;
use super::age;
use super::canvas::{Canvas, Tone};
use super::columns::{fit, taken};
use crate::cli::screen::seconds;
use crate::control::status::{InstrumentStatus, SinkStatus, ValueStatus};

/// Cells of all trends together: what moves is sent again each second, and the line may be slow.
const TREND_CELLS_MAX: usize = 420;
/// One trend is no wider.
const TREND_WIDTH_MAX: usize = 60;
/// Sinks that have a line of their own also where instruments want the room.
const SINKS_SURE: usize = 4;
/// The column of a quantity's name.
const QUANTITY: usize = 2;
/// Columns of a number.
const VALUE_WIDTH: usize = 9;

/// Draws between two lines.
pub fn draw(canvas: &mut Canvas, watched: &Watched, place: &Place, (top, bottom): (usize, usize)) -> usize {
    let room = bottom.saturating_sub(top + 2);
    let quantities: usize = watched.status.instruments.iter().map(|instrument| instrument.values.len().max(1)).sum();
    let sinks = watched.status.sinks.len().min(SINKS_SURE.max(room.saturating_sub(quantities)));
    let room = room.saturating_sub(sinks);
    let selected = watched.instrument(place.instrument.as_deref()).map(|instrument| instrument.id.as_str());
    let mut rows = rows(watched, place, room);
    let mut widths = widths(canvas.width(), &rows, rows.len());
    if widths[QUANTITY] == 0 {
        // A value whose name has no room says nothing.
        rows = self::rows(watched, place, 0);
        widths = self::widths(canvas.width(), &rows, rows.len());
    }
    let at = rows.iter().position(|row| Some(row.instrument.id.as_str()) == selected).unwrap_or(0);
    let from = window(rows.len(), at, room);
    let until = (from + room).min(rows.len());
    let mut heading = format!("instruments {}", watched.status.instruments.len());
    if until - from < rows.len() {
        let shown = format!("{}-{until} of {}", from + 1, rows.len());
        let is_wide = widths[0] + widths[1] + 2 >= "instruments ".len() + shown.len();
        heading = if is_wide { format!("instruments {shown}") } else { shown };
    }
    // Where there is room, a line between the parts.
    let gap = usize::from(room >= rows.len() + 2);
    let top = top + gap;
    headings(canvas, top, &heading, &widths);
    let has_list = place.list == List::Instruments;
    for (row, y) in rows[from..until].iter().zip(top + 1..) {
        let is_selected = has_list && row.is_first && Some(row.instrument.id.as_str()) == selected;
        draw_row(canvas, watched, row, (y, is_selected), &widths);
    }
    draw_sinks(canvas, watched, place, (top + 1 + until - from + gap, bottom));
    0
}

/// The first line that is shown so that `at` is among them.
fn window(count: usize, at: usize, room: usize) -> usize {
    at.saturating_sub(room / 2).min(count.saturating_sub(room))
}

struct Row<'w> {
    instrument: &'w InstrumentStatus,
    value: Option<(&'w String, &'w ValueStatus)>,
    is_first: bool,
    /// Quantities that have no line.
    more: usize,
}

/// Each instrument has as many lines as there is room for, the same for all; where it has fewer than quantities, the worst of them
/// stand first.
fn rows<'w>(watched: &'w Watched, place: &Place, room: usize) -> Vec<Row<'w>> {
    let instruments = watched.instruments();
    let taken = |each: usize| instruments.iter().map(|one| one.values.len().clamp(1, each)).sum::<usize>();
    let most = instruments.iter().map(|one| one.values.len()).max().unwrap_or(1).max(1);
    let each = (1..=most).rev().find(|each| taken(*each) <= room).unwrap_or(1);
    let mut rows = Vec::new();
    for instrument in instruments {
        let mut values: Vec<_> = instrument.values.iter().collect();
        let more = values.len().saturating_sub(each);
        let chosen = place.chosen.get(&instrument.id).map(String::as_str);
        if more > 0
            && let Some((first, _)) = foremost(instrument, chosen)
        {
            values.sort_by_key(|(name, value)| (*name != first, std::cmp::Reverse(badness(value.quality))));
        }
        let shown = values.into_iter().take(each).map(Some).chain(instrument.values.is_empty().then_some(None));
        rows.extend(shown.enumerate().map(|(number, value)| {
            let is_last = number + 1 == each;
            Row { instrument, value, is_first: number == 0, more: if is_last { more } else { 0 } }
        }));
    }
    rows
}

impl Row<'_> {
    fn quantity(&self) -> String {
        let name = self.value.map(|(name, _)| name.clone()).unwrap_or_default();
        if self.more == 0 { name } else { format!("{name} +{}", self.more) }
    }
}

/// State, name, quantity, value, unit, quality, age, trend.
fn widths(width: usize, rows: &[Row<'_>], count: usize) -> Vec<usize> {
    let longest = |text: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let name = longest(&|row| row.instrument.id.len()).clamp(8, 32);
    let quantity = longest(&|row| row.quantity().len()).max(8);
    let unit = longest(&|row| row.value.map_or(0, |(_, value)| value.unit.chars().count())).clamp(4, 12);
    let quality = longest(&|row| row.value.map_or(0, |(_, value)| value.quality.as_str().len())).max(7);
    let trend = TREND_WIDTH_MAX.min(TREND_CELLS_MAX / count.max(1)).max(8);
    let wanted = [7, name, quantity, VALUE_WIDTH, unit, quality, 4, trend];
    let steps = [
        (7, 12),
        (2, 16),
        (7, 10),
        (5, 1),
        (7, 8),
        (2, 12),
        (7, 0),
        (2, 0),
        (1, 14),
        (4, 5),
        (1, 10),
        (4, 0),
        (5, 0),
        (1, 8),
        (6, 0),
    ];
    let room = width.saturating_sub(1);
    let mut widths = fit(&wanted, &steps, room);
    // What is left over belongs to the trend.
    if widths[7] > 0 {
        widths[7] = (widths[7] + room.saturating_sub(taken(&widths))).min(trend);
    }
    widths
}

fn headings(canvas: &mut Canvas, y: usize, heading: &str, widths: &[usize]) {
    let titles = ["", "", "quantity", "value", "unit", if widths[5] > 1 { "quality" } else { "q" }, "age", "trend"];
    let mut x = 1;
    let mut end = 0;
    for ((number, title), width) in titles.iter().enumerate().zip(widths) {
        if *width == 0 {
            continue;
        }
        match number {
            0 => end = canvas.put((0, y), widths[0] + widths[1] + 2, heading, Tone::Bold),
            _ if x <= end => {}
            3 | 6 => canvas.put_right((x, y), *width, title, Tone::Dim),
            _ => _ = canvas.put((x, y), *width, title, Tone::Dim),
        }
        x += width + 1;
    }
}

pub(super) fn tone_of(quality: Quality) -> Tone {
    match quality {
        Quality::Pass | Quality::NotEvaluated => Tone::Plain,
        Quality::Suspect => Tone::Warning,
        Quality::Fail | Quality::Missing => Tone::Bad,
    }
}

/// The letter of a quality, where there is no room for the word: what is well has none.
fn letter(quality: Quality) -> &'static str {
    match quality {
        Quality::Pass => "",
        Quality::NotEvaluated => "n",
        Quality::Suspect => "S",
        Quality::Fail => "F",
        Quality::Missing => "M",
    }
}

fn draw_row(canvas: &mut Canvas, watched: &Watched, row: &Row<'_>, (y, is_selected): (usize, bool), widths: &[usize]) {
    let instrument = row.instrument;
    if is_selected {
        canvas.put((0, y), 1, canvas.look.either("▸", ">"), Tone::Bold);
    }
    let is_up = is_up(instrument);
    let mut x = 1;
    for (number, &width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
        let at = (x, y);
        match (number, row.value) {
            (0 | 1, _) if !row.is_first => {}
            (0, _) => _ = canvas.put(at, width, &instrument.state, if is_up { Tone::Good } else { Tone::Bad }),
            (1, _) => _ = canvas.put(at, width, &instrument.id, if is_selected { Tone::Bold } else { Tone::Plain }),
            (2, _) => _ = canvas.put(at, width, &row.quantity(), Tone::Dim),
            (3, None) => canvas.put_right(at, width, "-", Tone::Dim),
            (6, None) => canvas.put_right(at, width, &age(instrument.last_reading_at, watched.now), Tone::Dim),
            (_, None) => {}
            (3, Some((quantity, value))) => {
                let shown = watched.history(&instrument.id, quantity).shown(&value.value, width);
                canvas.put_right(at, width, &shown, if is_up { tone_of(value.quality) } else { Tone::Dim });
            }
            (4, Some((_, value))) => _ = canvas.put(at, width, &value.unit, Tone::Plain),
            (5, Some((_, value))) => {
                let word = if width > 1 { value.quality.as_str() } else { letter(value.quality) };
                let tone = tone_of(value.quality);
                canvas.put(at, width, word, if tone == Tone::Plain { Tone::Dim } else { tone });
            }
            (6, Some((_, value))) => {
                let tone = if is_up { Tone::Plain } else { Tone::Bad };
                canvas.put_right(at, width, &age(Some(value.time), watched.now), tone);
            }
            (_, Some((quantity, _))) => {
                let history = watched.history(&instrument.id, quantity);
                if history.is_drawn() {
                    let cells = spark(&history.values(), width, 1, canvas.look.is_utf8);
                    canvas.put(at, width, &cells.concat(), if is_up { Tone::Plain } else { Tone::Dim });
                }
            }
        }
        x += width + 1;
    }
}

fn draw_sinks(canvas: &mut Canvas, watched: &Watched, place: &Place, (top, bottom): (usize, usize)) {
    let sinks = &watched.status.sinks;
    let room = bottom.saturating_sub(top + 1);
    let selected = place.sink.as_deref().or(sinks.first().map(|sink| sink.id.as_str()));
    let at = sinks.iter().position(|sink| Some(sink.id.as_str()) == selected).unwrap_or(0);
    let from = window(sinks.len(), at, room);
    let until = (from + room).min(sinks.len());
    let heading = if until - from < sinks.len() {
        format!("sinks {}-{until} of {}", from + 1, sinks.len())
    } else {
        format!("sinks {}", sinks.len())
    };
    // State, name, kind, records behind, time behind, rate, age of the last yes.
    let name = sinks.iter().map(|sink| sink.id.len()).max().unwrap_or(0).clamp(8, 32);
    let steps = [(6, 0), (1, 16), (2, 4), (2, 0), (1, 10), (5, 0), (4, 0), (1, 8), (3, 6)];
    let widths = fit(&[8, name, 10, 9, 7, 8, 8], &steps, canvas.width().saturating_sub(1));
    let titles = ["", "", "link", "behind", "by", "rate", "success"];
    let mut x = 1;
    for (number, &width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
        match number {
            0 => _ = canvas.put((0, top), width + widths[1] + 2, &heading, Tone::Bold),
            1 => {}
            2 => _ = canvas.put((x, top), width, titles[number], Tone::Dim),
            _ => canvas.put_right((x, top), width, titles[number], Tone::Dim),
        }
        for (sink, y) in sinks[from..until].iter().zip(top + 1..) {
            let is_selected = place.list == List::Sinks && Some(sink.id.as_str()) == selected;
            let tone = |number: usize| match number {
                0 if sink.state == "ok" => Tone::Good,
                0 if sink.state == "holding" || sink.state == "spent" => Tone::Warning,
                0 => Tone::Bad,
                1 if is_selected => Tone::Bold,
                2 | 6 => Tone::Dim,
                _ => Tone::Plain,
            };
            let text = sink_cell(sink, watched, number);
            match number {
                0..=2 => _ = canvas.put((x, y), width, &text, tone(number)),
                _ => canvas.put_right((x, y), width, &text, tone(number)),
            }
            if is_selected && number == 0 {
                canvas.put((0, y), 1, canvas.look.either("▸", ">"), Tone::Bold);
            }
        }
        x += width + 1;
    }
}

fn sink_cell(sink: &SinkStatus, watched: &Watched, number: usize) -> String {
    match number {
        0 => sink.state.clone(),
        1 => sink.id.clone(),
        2 => {
            let secured = sink.tls.as_ref().map_or("", |_| " tls");
            let version = sink.protocol.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            format!("{}{version}{secured}", sink.r#type)
        }
        3 => sink.lag_readings.to_string(),
        4 if sink.lag_readings == 0 => "-".to_owned(),
        4 => seconds(sink.lag_s),
        5 => watched.rate(&sink.id).unwrap_or_else(|| "-".to_owned()),
        _ => age(sink.last_success_at, watched.now),
    }
}
