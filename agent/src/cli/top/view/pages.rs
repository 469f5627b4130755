//! Pages of text: what was looked at, worst first, and the keys.

use super::super::model::Watched;
use super::super::place::Place;
use super::canvas::{Canvas, Tone, wrap};
use super::tone_of;
use crate::control::check::of_status;

/// A line, and where its first words end.
type Line = (String, usize, Tone);

/// What was looked at.
pub fn checks(canvas: &mut Canvas, watched: &Watched, place: &Place, between: (usize, usize)) -> usize {
    const INDENT: usize = 9;
    let width = canvas.width().saturating_sub(INDENT);
    let mut checks = of_status(&watched.status);
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    let mut lines: Vec<Line> = Vec::new();
    for check in checks {
        let whose = check.of.as_deref().unwrap_or(check.area.as_str());
        let seen = wrap(&format!("{whose}: {}", check.seen), width);
        let heads = std::iter::once(check.verdict.as_str()).chain(std::iter::repeat(""));
        let tone = tone_of(check.verdict);
        lines.extend(heads.zip(seen).map(|(head, line)| (format!("{head:<INDENT$}{line}"), head.len(), tone)));
        let fix = check.fix.map(|fix| wrap(&fix, width)).unwrap_or_default();
        lines.extend(fix.into_iter().map(|line| (format!("{:<INDENT$}{line}", ""), usize::MAX, Tone::Dim)));
    }
    write(canvas, &lines, place, between)
}

/// The keys.
pub fn help(canvas: &mut Canvas, place: &Place, between: (usize, usize)) -> usize {
    const INDENT: usize = 10;
    let keys = [
        ("up down", "select, or pass over lines (also j k, PgUp PgDn, g G)"),
        ("left right", "which quantity of an instrument is shown; on its page, the next instrument (also h l)"),
        ("Enter", "all of an instrument, with the bytes of its line as they go; all of a sink"),
        ("Tab", "between instruments and sinks"),
        ("c", "what was looked at, and what to do about it"),
        ("p", "the picture stands still"),
        ("q Esc", "back, and from the first page out"),
        ("Ctrl-C", "out; Ctrl-Z to the background; Ctrl-L draws all anew"),
        ("", ""),
        (
            "trend",
            "values while this was watched, and before that from the journal; from the least to the most of them",
        ),
        ("q", "quality: S suspect, F fail, M missing, n not evaluated; nothing: pass"),
        ("lost now", "readings that are not on disk yet"),
    ];
    let mut lines: Vec<Line> = Vec::new();
    for (key, does) in keys {
        let wrapped = wrap(does, canvas.width().saturating_sub(INDENT + 1));
        let heads = std::iter::once(key).chain(std::iter::repeat(""));
        lines
            .extend(heads.zip(wrapped).map(|(head, line)| (format!("{head:<INDENT$} {line}"), head.len(), Tone::Bold)));
    }
    write(canvas, &lines, place, between)
}

fn write(canvas: &mut Canvas, lines: &[Line], place: &Place, (top, bottom): (usize, usize)) -> usize {
    let width = canvas.width();
    let over = lines.len().saturating_sub(bottom.saturating_sub(top));
    for ((line, head, tone), y) in lines.iter().skip(place.scroll.min(over)).zip(top..bottom) {
        let (first, rest): (String, String) = (line.chars().take(*head).collect(), line.chars().skip(*head).collect());
        let x = canvas.put((0, y), width, &first, *tone);
        canvas.put((x, y), width, &rest, Tone::Plain);
    }
    over
}
