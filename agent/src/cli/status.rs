//! `tidegate status`: one screen of health of the running agent.
//!
//! Exit 0 when all is well, 1 when something is not, 69 when the agent does not answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use http_body_util::BodyExt;
use model::Timestamp;

use super::screen::{self, Paint, ago, bytes, paint, seconds};
use super::{Exit, small_runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::status::{
    CERTIFICATE_DAYS_MIN, ConfigStatus, CredentialsStatus, InstrumentStatus, SinkStatus, Status, TlsStatus,
};

pub fn main(config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    let body = small_runtime()?.block_on(async {
        let response = client::get(&config.local.socket, "/v1/status").await?;
        Ok::<_, ClientError>(response.into_body().collect().await?.to_bytes())
    })?;
    let status: Status = serde_json::from_slice(&body)?;
    let mut out = std::io::stdout().lock();
    if is_json {
        out.write_all(&body)?;
        writeln!(out)?;
    } else {
        let is_coloured = screen::is_coloured(&std::io::stdout());
        write!(out, "{}", render(&status, is_coloured))?;
    }
    out.flush()?;
    Ok(if status.is_well() { Exit::Fine } else { Exit::NotFine })
}

/// The screen.
pub fn render(status: &Status, is_coloured: bool) -> String {
    let mut text = String::new();
    let journal = &status.journal;
    let heading = |title: &str| paint(title, Paint::Bold, is_coloured);
    let lines = [
        format!(
            "{} {} at {}, tidegate {}, up {}",
            heading("device"),
            status.device,
            status.site,
            status.version,
            seconds(status.uptime_s)
        ),
        format!("clock  {}", status.clock.state.as_str()),
        format!(
            "journal {} of {}, records {} to {}, {} at risk if power went now",
            bytes(journal.bytes),
            bytes(journal.bytes_max),
            journal.tail,
            journal.head.saturating_sub(1),
            journal.at_risk_readings,
        ),
    ];
    for line in lines {
        writeln!(text, "{line}").expect("a String takes any text");
    }
    write_config(&mut text, &status.config, is_coloured);
    if let Some(error) = &journal.error {
        let degraded = format!("{}: readings are kept in memory, {error}", journal.state);
        writeln!(text, "        {}", paint(&degraded, Paint::Bad, is_coloured)).expect("a String takes any text");
    }
    if journal.dropped_total > 0 {
        let dropped = format!("{} records lost or thinned since the start, gaps say which", journal.dropped_total);
        writeln!(text, "        {}", paint(&dropped, Paint::Bad, is_coloured)).expect("a String takes any text");
    }
    write!(text, "\n{}\n", heading("instruments")).expect("a String takes any text");
    for instrument in &status.instruments {
        write_instrument(&mut text, instrument, is_coloured);
    }
    write!(text, "\n{}\n", heading("sinks")).expect("a String takes any text");
    for sink in &status.sinks {
        write_sink(&mut text, sink, is_coloured);
    }
    text
}

/// Which revision came from afar, and what became of the last one where it is not the one in force. Nothing, where nothing
/// ever came.
fn write_config(text: &mut String, config: &ConfigStatus, is_coloured: bool) {
    if let Some(revision) = &config.revision {
        let by = config.author.as_ref().map(|author| format!(" by {author}")).unwrap_or_default();
        let at = config.at.as_ref().map(|at| format!(" of {at}")).unwrap_or_default();
        writeln!(text, "config revision {revision}{by}{at}").expect("a String takes any text");
    }
    if let Some(last) = config.last.as_ref().filter(|last| last.status != "applied") {
        let mut words = format!("revision {} is {}", last.revision, last.status);
        if !last.errors.is_empty() {
            words = format!("{words}: {}", last.errors.join("; "));
        }
        let paints = if last.status == "pending" { Paint::Dim } else { Paint::Bad };
        writeln!(text, "        {}", paint(&words, paints, is_coloured)).expect("a String takes any text");
    }
}

fn state(word: &str, is_good: bool, is_coloured: bool) -> String {
    paint(&format!("{word:<8}"), if is_good { Paint::Good } else { Paint::Bad }, is_coloured)
}

fn write_instrument(text: &mut String, instrument: &InstrumentStatus, is_coloured: bool) {
    let now = Clock::of_this_boot().now();
    let InstrumentStatus { id, bus, readings_total, frames_refused_total, .. } = instrument;
    let is_up = instrument.state == "up";
    let mut line = format!(
        "  {} {id} on {bus}: {readings_total} readings, {frames_refused_total} frames refused, last {}",
        state(&instrument.state, is_up, is_coloured),
        ago(instrument.last_reading_at, now),
    );
    if instrument.state == "garbled" {
        let garbled = "\n           bytes come and none of them decodes: a wrong profile, or a wrong baud rate?";
        let rate = format!("\n           {} frames refused in the last minute", instrument.frames_refused_per_min);
        let last = instrument.last_refused_frame.as_ref().map(|hex| format!(", the last: {hex}"));
        line.extend([garbled, &rate, &last.unwrap_or_default()]);
    }
    if let Some(error) = &instrument.last_error {
        write!(line, "\n           {}", paint(error, Paint::Dim, is_coloured)).expect("a String takes any text");
    }
    for (quantity, value) in &instrument.values {
        let shown = value.value.as_str().map_or_else(|| value.value.to_string(), str::to_owned);
        let measure = [shown, value.unit.clone()].join(" ");
        write!(line, "\n           {quantity:<24} {} ({})", measure.trim_end(), value.quality.as_str())
            .expect("a String takes any text");
    }
    writeln!(text, "{line}").expect("a String takes any text");
}

/// A sink in a few lines.
pub(super) fn write_sink(text: &mut String, sink: &SinkStatus, is_coloured: bool) {
    let is_ok = sink.state == "ok";
    let now = Clock::of_this_boot().now();
    let mut line = format!(
        "  {} {} ({}{}): {} delivered, {} behind",
        state(&sink.state, is_ok, is_coloured),
        sink.id,
        sink.r#type,
        sink.protocol.as_ref().map_or_else(String::new, |version| format!(" {version}")),
        sink.delivered_total,
        sink.lag_readings,
    );
    if sink.lag_readings > 0 {
        write!(line, " ({})", seconds(sink.lag_s)).expect("a String takes any text");
    }
    write!(line, ", last success {}", ago(sink.last_success_at, now)).expect("a String takes any text");
    if sink.quarantined_batches > 0 {
        let aside = format!(", {} batches set aside", sink.quarantined_batches);
        line.push_str(&paint(&aside, Paint::Bad, is_coloured));
    }
    if sink.state == "holding" {
        line.push_str("\n           waits for the clock to be set ([clock] hold_untrusted)");
    }
    if let (false, Some(error)) = (is_ok, &sink.last_error) {
        write!(line, "\n           {}", paint(error, Paint::Dim, is_coloured)).expect("a String takes any text");
    }
    if let Some(tls) = &sink.tls {
        let whose = if sink.credentials.is_some() { "the credentials provider's" } else { "the broker's" };
        write_tls(&mut line, tls, whose, is_coloured);
    }
    if let Some(given) = &sink.credentials {
        write_credentials(&mut line, given, is_coloured);
    }
    if let Some(words) = sink.conditional_put.as_deref().and_then(conditional) {
        write!(line, "\n           {}", paint(words, Paint::Dim, is_coloured)).expect("a String takes any text");
    }
    writeln!(text, "{line}").expect("a String takes any text");
}

fn write_credentials(line: &mut String, given: &CredentialsStatus, is_coloured: bool) {
    if let Some(not_after) = given.not_after {
        let words = format!("credentials are valid until {not_after}");
        write!(line, "\n           {}", paint(&words, Paint::Dim, is_coloured)).expect("a String takes any text");
    }
    if let Some(problem) = &given.problem {
        let words = format!("no fresh credentials: {problem}");
        write!(line, "\n           {}", paint(&words, Paint::Bad, is_coloured)).expect("a String takes any text");
    }
}

/// Words for a store that does not keep what is there from being overwritten; such a lake is whole all the same.
fn conditional(seen: &str) -> Option<&'static str> {
    match seen {
        "ignored" => Some("the store takes no notice of If-None-Match: what comes again overwrites itself"),
        "refused" => Some("the store does not take If-None-Match, it is left out"),
        _ => None,
    }
}

fn write_tls(line: &mut String, tls: &TlsStatus, whose: &str, is_coloured: bool) {
    let ours = certificate("our", "renew it", tls.not_after, tls.days_left);
    let theirs = certificate(whose, "it must be renewed there", tls.broker_not_after, tls.broker_days_left);
    for (words, paint_as) in ours.into_iter().chain(theirs) {
        write!(line, "\n           {}", paint(&words, paint_as, is_coloured)).expect("a String takes any text");
    }
    if let Some(begins) = tls.not_before.filter(|begins| *begins > Clock::of_this_boot().now()) {
        let words = format!("our certificate is valid from {} on: is this device's clock right?", begins.day());
        write!(line, "\n           {}", paint(&words, Paint::Bad, is_coloured)).expect("a String takes any text");
    }
    if let Some(problem) = &tls.problem {
        let words = format!("certificate or key can not be used: {problem}");
        write!(line, "\n           {}", paint(&words, Paint::Bad, is_coloured)).expect("a String takes any text");
    }
}

fn certificate(whose: &str, remedy: &str, end: Option<Timestamp>, days_left: Option<i64>) -> Option<(String, Paint)> {
    let (day, days_left) = (end?.day(), days_left?);
    Some(match days_left {
        ..0 => (format!("{whose} certificate expired on {day}: {remedy}"), Paint::Bad),
        0..CERTIFICATE_DAYS_MIN => {
            (format!("{whose} certificate expires on {day}, in {days_left} days: {remedy}"), Paint::Bad)
        }
        _ => (format!("{whose} certificate is valid until {day}, {days_left} days from now"), Paint::Dim),
    })
}
