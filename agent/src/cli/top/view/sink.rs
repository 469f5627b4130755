//! One sink: how far it is, what went wrong last, how its link is secured and until when.

use super::super::model::Watched;
use super::super::place::Place;
use super::canvas::{Canvas, Tone, wrap};
use crate::cli::screen::{ago, seconds};
use crate::control::check::{Area, Verdict, of_status};
use crate::control::status::SinkStatus;

/// Draws between two lines.
pub fn draw(canvas: &mut Canvas, watched: &Watched, place: &Place, (top, bottom): (usize, usize)) -> usize {
    let sinks = &watched.status.sinks;
    let found = sinks.iter().find(|sink| Some(sink.id.as_str()) == place.sink.as_deref());
    let Some(sink) = found.or(sinks.first()) else {
        canvas.put((0, top), canvas.width(), "no sink is configured: readings stay in the journal", Tone::Dim);
        return 0;
    };
    let state = if sink.state == "ok" { Tone::Good } else { Tone::Bad };
    let kind = format!(" {}", sink.r#type);
    canvas.flow((0, top), &[(&sink.id, Tone::Bold), (" ", Tone::Plain), (&sink.state, state), (&kind, Tone::Plain)]);
    let mut lines: Vec<(String, Tone)> = Vec::new();
    let (indent, width) = (15, canvas.width());
    for (name, text, tone) in facts(sink, watched) {
        let wrapped = wrap(&text, width.saturating_sub(indent));
        let heads = std::iter::once(name).chain(std::iter::repeat(""));
        lines.extend(heads.zip(wrapped).map(|(head, line)| (format!("{head:<indent$}{line}"), tone)));
    }
    let over = (lines.len() + top + 1).saturating_sub(bottom);
    for ((line, tone), y) in lines.iter().skip(place.scroll.min(over)).zip(top + 1..bottom) {
        canvas.put((0, y), width, line, *tone);
    }
    over
}

fn facts(sink: &SinkStatus, watched: &Watched) -> Vec<(&'static str, String, Tone)> {
    let behind = format!("{} records, {}", sink.lag_readings, seconds(sink.lag_s));
    let rate = watched.rate(&sink.id).unwrap_or_else(|| "not known yet".to_owned());
    let mut facts = vec![
        ("delivered", format!("{} records since the start, {rate}", sink.delivered_total), Tone::Plain),
        ("behind", behind, Tone::Plain),
        ("last success", ago(sink.last_success_at, watched.now), Tone::Plain),
    ];
    if let Some(error) = &sink.last_error {
        let tone = if sink.state == "ok" { Tone::Dim } else { Tone::Bad };
        facts.push(("last error", error.clone(), tone));
    }
    if let Some(version) = &sink.protocol {
        facts.push(("protocol", format!("MQTT {version}"), Tone::Plain));
    }
    if let Some(tls) = &sink.tls {
        let version = tls.version.clone().unwrap_or_else(|| "no handshake yet".to_owned());
        let alpn = tls.alpn.as_ref().map(|alpn| format!(", {alpn}")).unwrap_or_default();
        let resumed = if tls.is_resumed { ", resumed" } else { "" };
        facts.push(("tls", format!("{version}{alpn}{resumed}"), Tone::Plain));
        let end = |days: Option<i64>| days.map(|days| format!("{days} days left"));
        facts.extend(end(tls.days_left).map(|text| ("certificate", format!("ours: {text}"), Tone::Plain)));
        facts.extend(end(tls.broker_days_left).map(|text| ("", format!("theirs: {text}"), Tone::Plain)));
    }
    if let Some(not_after) = sink.credentials.as_ref().and_then(|given| given.not_after) {
        facts.push(("credentials", format!("valid until {not_after}"), Tone::Plain));
    }
    if let Some(seen) = &sink.conditional_put {
        facts.push(("If-None-Match", format!("{seen} by the store"), Tone::Plain));
    }
    // What is wrong with it, and what to do about it.
    let is_its = |area: Area| matches!(area, Area::Broker | Area::Store);
    for check in of_status(&watched.status) {
        if is_its(check.area) && check.of.as_deref() == Some(sink.id.as_str()) && check.verdict != Verdict::Ok {
            facts.push((check.verdict.as_str(), check.seen, super::tone_of(check.verdict)));
            facts.extend(check.fix.map(|fix| ("", fix, Tone::Dim)));
        }
    }
    facts
}
