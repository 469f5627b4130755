//! Pictures of written-down facts, at the sizes of the screens that there are.

use std::collections::BTreeMap;

use model::Timestamp;
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::{Color, Modifier};
use serde_json::{Value, json};

use super::super::keys::Key;
use super::super::model::{Frame, Watched};
use super::super::place::{Page, Place};
use super::{Look, draw};

const COLOUR: Look = Look { is_coloured: true, is_utf8: true };
const PLAIN: Look = Look { is_coloured: false, is_utf8: false };

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T10:00:05Z").expect("a time")
}

fn instrument(id: &str, state: &str, values: &Value) -> Value {
    json!({"id": id, "bus": "rs485", "state": state, "last_reading_at": "2026-11-22T10:00:02Z", "readings_total": 4711,
        "frames_refused_total": 3, "frames_refused_per_min": 0, "last_refused_frame": null, "polls_failed_total": 0,
        "polls_skipped_total": 0, "readings_overrun_total": 0, "last_error": null, "values": values})
}

fn value(value: impl Into<Value>, unit: &str, quality: &str) -> Value {
    json!({"time": "2026-11-22T10:00:02Z", "value": value.into(), "unit": unit, "quality": quality})
}

fn sink(id: &str, state: &str) -> Value {
    json!({"id": id, "type": "mqtt", "state": state, "lag_readings": 120, "lag_s": 7300, "delivered_total": 9000,
        "quarantined_batches": 0, "last_success_at": "2026-11-22T09:00:00Z", "last_error": null, "protocol": "5"})
}

fn status(instruments: &[Value], sinks: &[Value]) -> Value {
    json!({"version": "0.1.0", "device": "pond-gw-1", "site": "lac-vert", "epoch": "e", "uptime_s": 7300,
        "config": {"revision": "r7", "hash": "h"}, "clock": {"state": "synced"},
        "journal": {"state": "ok", "error": null, "head": 9120, "tail": 0, "bytes": 268_435_456, "bytes_max": 2_147_483_648_u64,
            "at_risk_readings": 12, "dropped_total": 0},
        "instruments": instruments, "sinks": sinks})
}

fn watched(status: Value) -> Watched {
    Watched::new(serde_json::from_value(status).expect("a status"), now(), 1_000)
}

/// An optode, a weather station with a value that failed, and a sonde that is silent.
fn farm() -> Watched {
    let optode = json!({"oxygen": value(7.82, "mg/L", "pass"), "temperature": value(20.25, "Cel", "pass")});
    let weather = json!({"air_temperature": value(88.0, "Cel", "fail"), "wind": value(3.5, "m/s", "not-evaluated")});
    let mut sonde = instrument("sonde-3", "silent", &json!({"salinity": value(31.5, "[psu]", "suspect")}));
    sonde["last_error"] = "nothing came for 60 s\u{1b}[2J".into();
    watched(status(
        &[instrument("optode", "up", &optode), instrument("weather", "up", &weather), sonde],
        &[sink("cloud", "ok"), sink("lake", "retrying")],
    ))
}

/// The same, with what the journal has of before.
fn farm_with_past() -> Watched {
    let mut watched = farm();
    let series =
        [("optode", "oxygen", 7.4, 0.02), ("optode", "temperature", 20.1, 0.01), ("weather", "wind", 3.0, 0.4)];
    let row = |(instrument, quantity, from, step): (&str, &str, f64, f64), number: u32| {
        let at = now().plus_millis(i64::from(number) * 1_000 - 30_000).to_string();
        let value = ((from + step * f64::from(number * number % 23)) * 100.0).round() / 100.0;
        serde_json::from_value(json!({"time": at, "instrument": instrument, "quantity": quantity, "value": value}))
    };
    let rows = (0..24).flat_map(|number| series.map(|series| row(series, number).expect("a row")));
    watched.remember(rows.collect());
    watched
}

/// Twenty of them, in two instruments of which nothing is wrong.
fn many() -> Watched {
    let values = json!({"dissolved_oxygen": value(7.82, "mg/L", "pass"), "temperature": value(20.25, "Cel", "pass")});
    let all: Vec<Value> = (1..=20).map(|number| instrument(&format!("do-{number:02}"), "up", &values)).collect();
    watched(status(&all, &[sink("cloud", "ok")]))
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[Cell]| cells.iter().map(Cell::symbol).collect::<String>();
    buffer.content().chunks(width).map(|cells| line(cells).trim_end().to_owned()).collect()
}

fn picture(watched: &Watched, look: Look, size: (u16, u16)) -> Vec<String> {
    lines(&draw(watched, &Place::default(), look, size).0)
}

/// The line that begins so, behind the pointer.
fn line<'l>(lines: &'l [String], word: &str) -> &'l str {
    lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {lines:#?}"))
}

#[test]
fn a_screen_of_80_by_24_shows_names_values_states_and_trends() {
    let lines = picture(&farm(), COLOUR, (80, 24));
    assert!(lines[0].starts_with("pond-gw-1 at lac-vert") && lines[0].ends_with("10:00:05 UTC"), "{}", lines[0]);
    assert!(lines[1].contains("clock synced") && lines[1].contains("12 %"), "{}", lines[1]);
    assert!(lines[1].contains("would be lost now  12"), "{}", lines[1]);
    let words = |word: &str| line(&lines, word).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("optode")[..7], ["up", "optode", "oxygen", "7.82", "mg/L", "pass", "3s"]);
    assert_eq!(words("air_temp")[2..6], ["air_temperature", "88", "Cel", "fail"]);
    assert_eq!(words("▸silent")[..2], ["▸silent", "sonde-3"], "what is wrong stands first");
    assert_eq!(words("cloud"), ["ok", "cloud", "mqtt", "5", "120", "2", "h", "-", "60m"]);
    assert!(lines[22].is_empty() || !lines[22].contains("quit"), "{lines:#?}");
    assert!(lines[23].starts_with("q quit"), "{lines:#?}");
}

#[test]
fn the_manual_shows_what_is_drawn() {
    let manual = include_str!("../../../../../docs/OPERATIONS.md");
    for size in [(80, 17), (45, 14)] {
        let shown = picture(&farm_with_past(), COLOUR, size);
        assert!(manual.contains(&shown.join("\n")), "docs/OPERATIONS.md does not show\n{}", shown.join("\n"));
    }
}

#[test]
fn what_is_wrong_leads_worst_first_with_what_to_do() {
    let lines = picture(&farm(), COLOUR, (80, 24));
    assert!(lines[2].starts_with("fault   sonde-3: the port of rs485 is open and nothing comes"), "{}", lines[2]);
    assert!(lines[3].trim().starts_with("power, cable"), "{}", lines[3]);
    assert!(lines[4].starts_with("fault   lake: retrying"), "{}", lines[4]);
    assert!(lines[5].contains("and 1 more: c"), "{}", lines[5]);
    assert_eq!(picture(&many(), COLOUR, (80, 24))[2], "warning cloud: 9000 delivered, 120 behind (2 h)");
    let well = watched(status(&[], &[]));
    assert_eq!(picture(&well, COLOUR, (80, 24))[2], "all is well");
}

#[test]
fn a_phone_of_45_by_20_has_the_same_facts_in_fewer_columns() {
    let lines = picture(&farm(), COLOUR, (45, 20));
    let words = |word: &str| line(&lines, word).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("up      optode"), ["up", "optode", "7.82", "mg/L", "3s"], "nothing stands for: it passed");
    assert_eq!(words("weather"), ["up", "weather", "88", "Cel", "F", "3s"]);
    assert_eq!(words("▸silent"), ["▸silent", "sonde-3", "31.5", "[psu]", "S", "3s"]);
    assert_eq!(words("ok       cloud")[..2], ["ok", "cloud"]);
    assert!(lines[2].ends_with("+2 c"), "{}", lines[2]);
    assert!(lines[1].contains("lost now  12"), "{}", lines[1]);
}

#[test]
fn a_column_that_a_screen_has_a_wider_one_has_too() {
    let titles = ["quantity", "value", "unit", "quality", "age", "trend"];
    let mut before: Vec<&str> = titles.to_vec();
    for width in (20..=160).rev() {
        let lines = picture(&farm(), COLOUR, (width, 24));
        let heading = line(&lines, "instruments");
        let shown: Vec<&str> = titles.into_iter().filter(|title| heading.contains(title)).collect();
        assert!(shown.iter().all(|title| before.contains(title)), "{width}: {shown:?} after {before:?}");
        before = shown;
    }
}

#[test]
fn a_higher_screen_has_a_line_each_quantity_and_a_low_one_the_worst_of_each() {
    let low = picture(&farm(), COLOUR, (80, 11));
    assert!(line(&low, "weather").contains("air_temperature +1"), "{low:#?}");
    let narrow = picture(&farm(), COLOUR, (45, 40));
    assert!(!narrow.iter().any(|line| line.contains("20.25")), "a value without a name says nothing: {narrow:#?}");
    let high = picture(&farm(), COLOUR, (120, 40));
    for quantity in ["oxygen", "temperature", "air_temperature", "wind", "salinity"] {
        assert!(high.iter().any(|line| line.contains(quantity)), "{quantity}: {high:#?}");
    }
    let many = picture(&many(), COLOUR, (80, 24));
    assert!(line(&many, " of 20").starts_with("1-16 of 20"), "{many:#?}");
    assert!(many.iter().any(|line| line.contains("cloud")), "sinks keep their lines: {many:#?}");
}

#[test]
fn the_selection_is_always_on_the_screen() {
    let (watched, mut place) = (many(), Place::default());
    for step in 0..25 {
        let shown = lines(&draw(&watched, &place, COLOUR, (45, 12)).0);
        let selected = format!("do-{:02}", (step + 1).min(20));
        assert!(shown.iter().any(|line| line.starts_with('▸') && line.contains(&selected)), "{selected}: {shown:#?}");
        place.press(Key::Down, &watched);
    }
    place.press(Key::Tab, &watched);
    let shown = lines(&draw(&watched, &place, COLOUR, (45, 12)).0);
    assert!(line(&shown, "ok       cloud").starts_with('▸'), "{shown:#?}");
}

#[test]
fn without_colour_there_is_none_and_without_utf8_there_is_ascii() {
    for page in [Page::All, Page::Instrument, Page::Sink, Page::Checks, Page::Help] {
        let place = Place::at(page);
        let (buffer, _) = draw(&farm(), &place, PLAIN, (80, 24));
        assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(lines(&buffer).concat().is_ascii(), "{:#?}", lines(&buffer));
        assert!(!lines(&buffer).concat().contains('\u{1b}'), "an instrument's words are obeyed");
    }
    let (buffer, _) = draw(&farm(), &Place::default(), COLOUR, (80, 24));
    assert!(buffer.content().iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn an_agent_that_is_away_leaves_its_last_picture_without_colour_and_says_how_old_it_is() {
    let mut watched = farm();
    watched.lose("no agent answers on /run/x".to_owned(), now().plus_millis(90_000));
    let (buffer, _) = draw(&watched, &Place::default(), COLOUR, (80, 24));
    let shown = lines(&buffer);
    assert_eq!(shown[2], "not reached for  90 s: no agent answers on /run/x");
    assert!(shown[3].contains("2026-11-22T10:00:05"), "{}", shown[3]);
    assert!(line(&shown, "optode").contains("7.82"), "the last picture stays: {shown:#?}");
    let below = &buffer.content()[4 * 80..23 * 80];
    assert!(below.iter().all(|cell| cell.fg == Color::Reset && cell.modifier.contains(Modifier::DIM)));
}

#[test]
fn an_instrument_is_shown_with_all_its_quantities_and_the_bytes_of_its_line() {
    let mut watched = farm();
    let bytes = b"n,12\r\n".to_vec();
    watched.hear(Frame { time: now(), is_in: true, bytes });
    let mut place = Place::at(Page::Instrument);
    place.instrument = Some("weather".to_owned());
    for (size, frame) in [((80, 24), "05.000 in  6e 2c 31 32 0d 0a "), ((45, 20), "05.000 in  6e 2c 31 32 0d 0a ")] {
        let shown = lines(&draw(&watched, &place, COLOUR, size).0);
        assert!(line(&shown, "weather up on rs485").contains("last reading 3s ago"), "{shown:#?}");
        assert!(line(&shown, "air_temperature").contains("88") && line(&shown, "wind").contains("3.5"), "{shown:#?}");
        let bytes = line(&shown, frame);
        assert!(bytes.contains("|n,12..|"), "{bytes}");
    }
}

#[test]
fn no_size_is_too_small_to_be_drawn() {
    let quantities: BTreeMap<String, Value> =
        (0..40).map(|number| (format!("quantity_{number}"), value(number, "1", "pass"))).collect();
    let full = watched(status(&[instrument("sonde", "up", &json!(quantities))], &[]));
    let (farm, many) = (farm(), many());
    for page in [Page::All, Page::Instrument, Page::Sink, Page::Checks, Page::Help] {
        for (width, height) in [(1, 1), (1, 50), (200, 1), (7, 3), (20, 5), (33, 9), (300, 100)] {
            let mut place = Place::at(page);
            place.scroll = 99;
            draw(&farm, &place, COLOUR, (width, height));
            draw(&many, &place, PLAIN, (width, height));
            draw(&full, &place, COLOUR, (width, height));
            draw(&watched(status(&[], &[])), &place, PLAIN, (width, height));
        }
    }
}
