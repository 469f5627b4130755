//! The picture: what is known and where somebody is, as cells. No clock, no terminal.
//!
//! Above all pages stands what leads the eye: whether the agent is reached, and what is wrong, worst first.

mod all;
mod canvas;
mod columns;
mod instrument;
mod pages;
mod sink;
#[cfg(test)]
mod tests;

use ratatui_core::buffer::Buffer;

pub use self::canvas::Look;
use self::canvas::{Canvas, Tone};
use super::model::Watched;
use super::place::{Page, Place};
use crate::cli::screen::{bytes, seconds};
use crate::control::check::{Check, Verdict, of_status};
use model::{Clock as Trust, Timestamp};

/// A screen that is lower has no room for what to do about the first thing that is wrong.
const ROOMY: usize = 22;

/// Draws it, and says how many lines can be passed over.
pub fn draw(watched: &Watched, place: &Place, look: Look, (width, height): (u16, u16)) -> (Buffer, usize) {
    let mut canvas = Canvas::new(width, height, look);
    let checks = wrong(watched);
    let top = header(&mut canvas, watched, place, &checks);
    let bottom = canvas.height().saturating_sub(1);
    let over = match place.page {
        Page::All => all::draw(&mut canvas, watched, place, (top, bottom)),
        Page::Instrument => instrument::draw(&mut canvas, watched, place, (top, bottom)),
        Page::Sink => sink::draw(&mut canvas, watched, place, (top, bottom)),
        Page::Checks => pages::checks(&mut canvas, watched, place, (top, bottom)),
        Page::Help => pages::help(&mut canvas, place, (top, bottom)),
    };
    if watched.away.is_some() {
        canvas.fade(top);
    }
    footer(&mut canvas, place, bottom);
    (canvas.into_buffer(), over)
}

/// What is not as it should be, the worst first, and of those that are as bad the cause before the effect.
fn wrong(watched: &Watched) -> Vec<Check> {
    let mut checks = of_status(&watched.status);
    checks.retain(|check| check.verdict != Verdict::Ok);
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    checks
}

fn tone_of(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Ok => Tone::Good,
        Verdict::Warning => Tone::Warning,
        Verdict::Fault => Tone::Bad,
    }
}

/// How long ago, in at most four columns: a column of them is read at a glance.
fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let seconds = now.as_millis().saturating_sub(time.as_millis()).max(0) / 1_000;
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=359_999 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", (seconds / 86_400).min(999)),
    }
}

fn header(canvas: &mut Canvas, watched: &Watched, place: &Place, checks: &[Check]) -> usize {
    let status = &watched.status;
    let width = canvas.width();
    let time = watched.taken.to_string().get(11..19).map(|time| format!("{time} UTC")).unwrap_or_default();
    let up = format!("up {}", seconds(status.uptime_s));
    let version = format!("tidegate {}", status.version);
    let who = format!("{} at {}", status.device, status.site);
    // The clock of the picture goes on while it lives; the rest goes first where there is no room.
    let right = [format!("{version}   {up}   {time}"), format!("{up}   {time}"), time];
    let fits = |text: &&String| who.chars().count() + 3 + text.len() <= width;
    canvas.put((0, 0), width, &who, Tone::Bold);
    if let Some(right) = right.iter().find(fits) {
        canvas.put((width - right.len(), 0), right.len(), right, Tone::Dim);
    }
    measures(canvas, watched);
    if let Some(why) = &watched.away {
        let so_long =
            seconds(u64::try_from((watched.now.as_millis() - watched.taken.as_millis()) / 1_000).unwrap_or(0));
        canvas.put((0, 2), width, &format!("not reached for {so_long:>5}: {why}"), Tone::Bad);
        canvas.put((0, 3), width, &format!("what follows is of {}; trying again", watched.taken), Tone::Dim);
        return 4;
    }
    if place.is_paused {
        canvas.put((0, 2), width, "paused: p goes on", Tone::Warning);
        return 3;
    }
    verdicts(canvas, checks)
}

/// Clock, journal, what a power cut would cost, revision: as many as there is room for.
fn measures(canvas: &mut Canvas, watched: &Watched) {
    let status = &watched.status;
    let journal = &status.journal;
    let percent = journal.bytes.saturating_mul(100) / journal.bytes_max.max(1);
    let full = usize::try_from(percent / 10).unwrap_or(10).min(10);
    let bar = canvas.look.either("█", "#").repeat(full) + &canvas.look.either("░", ".").repeat(10 - full);
    let is_set = status.clock.state != Trust::Untrusted;
    let of = format!("{} of {}", bytes(journal.bytes), bytes(journal.bytes_max));
    let revision = status.config.revision.as_ref().map(|revision| format!("revision {revision}"));
    let is_kept = journal.state == "ok";
    // A narrow screen has no room for names that go without saying.
    let is_narrow = canvas.width() < 60;
    let (clock, lost) = if is_narrow { ("", "lost now ") } else { ("clock ", "would be lost now ") };
    let (set, kept) = (if is_set { Tone::Good } else { Tone::Warning }, if is_kept { Tone::Plain } else { Tone::Bad });
    // In the order in which they stand; the number says which goes first, the highest.
    let all = [
        (1, clock, status.clock.state.as_str().to_owned(), set),
        (0, "journal ", format!("{percent:>2} %"), kept),
        (3, "", bar, Tone::Dim),
        (5, "", of, Tone::Dim),
        (2, lost, format!("{:>3}", journal.at_risk_readings), Tone::Plain),
        (4, "", revision.unwrap_or_default(), Tone::Dim),
    ];
    let length = |(_, name, text, _): &(usize, &str, String, Tone)| name.chars().count() + text.chars().count();
    let room = canvas.width();
    let mut shown: Vec<_> = all.iter().filter(|part| length(part) > 0).collect();
    while shown.len() > 1 && shown.iter().map(|part| length(part) + 3).sum::<usize>() > room + 3 {
        let least = shown.iter().enumerate().max_by_key(|(_, part)| part.0).map_or(0, |(at, _)| at);
        shown.remove(least);
    }
    let mut x = 0;
    for (_, name, text, tone) in shown {
        x = canvas.flow((x, 1), &[(name, Tone::Dim), (text, *tone)]) + 3;
    }
}

/// The first things that are wrong, and what to do about the very first.
fn verdicts(canvas: &mut Canvas, checks: &[Check]) -> usize {
    let width = canvas.width();
    let Some(first) = checks.first() else {
        canvas.put((0, 2), width, "all is well", Tone::Good);
        return 3;
    };
    let is_roomy = canvas.height() >= ROOMY;
    let rest = checks.len() - 1;
    let more = if rest == 0 { String::new() } else { format!("+{rest} c") };
    let mut y = 2;
    said(canvas, y, first, width.saturating_sub(if is_roomy || more.is_empty() { 0 } else { more.len() + 1 }));
    if !is_roomy {
        canvas.put_right((0, y), width, &more, Tone::Dim);
        return y + 1;
    }
    y += 1;
    if let Some(fix) = &first.fix {
        canvas.put((0, y), width, &format!("        {fix}"), Tone::Dim);
        y += 1;
    }
    let shown = if canvas.height() > 34 { 4 } else { 2 };
    for check in checks.iter().take(shown).skip(1) {
        said(canvas, y, check, width);
        y += 1;
    }
    if checks.len() > shown {
        canvas.put((0, y), width, &format!("        and {} more: c", checks.len() - shown), Tone::Dim);
        y += 1;
    }
    y
}

/// `fault   optode: the port of rs485 is open and nothing comes`
fn said(canvas: &mut Canvas, y: usize, check: &Check, width: usize) {
    let x = canvas.put((0, y), width, check.verdict.as_str(), tone_of(check.verdict)).max(7) + 1;
    let whose = check.of.as_deref().unwrap_or(check.area.as_str());
    let x = canvas.put((x, y), width.saturating_sub(x), whose, Tone::Bold);
    canvas.put((x, y), width.saturating_sub(x), &format!(": {}", check.seen), Tone::Plain);
}

/// The keys that mean something here, as many as there is room for.
fn footer(canvas: &mut Canvas, place: &Place, y: usize) {
    let keys: &[(&str, &str)] = match place.page {
        Page::All => &[
            ("q", "quit"),
            ("?", "keys"),
            ("Enter", "more"),
            ("Tab", "sinks"),
            ("c", "checks"),
            ("p", "pause"),
            ("<>", "quantity"),
        ],
        Page::Instrument => &[("q", "back"), ("<>", "next"), ("Tab", "sink"), ("c", "checks"), ("p", "pause")],
        Page::Sink => &[("q", "back"), ("<>", "next"), ("Tab", "instrument"), ("c", "checks"), ("p", "pause")],
        Page::Checks | Page::Help => &[("q", "back"), ("jk", "further")],
    };
    let mut x = 0;
    for (key, does) in keys {
        if x + key.len() + 1 + does.len() > canvas.width() {
            break;
        }
        x = canvas.flow((x, y), &[(key, Tone::Bold), (" ", Tone::Plain), (does, Tone::Dim)]) + 2;
    }
}
