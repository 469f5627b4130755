//! `tidegate tail [--instrument I] [--quantity Q] [--quality Q,Q] [--events] [--event KIND] [--since T] [--until T] [-n N] [-f]`:
//! readings and events, from the journal.
//!
//! Asks the running agent; where none runs, reads the journal itself. Lines for people, or with `--json` the JSON
//! objects that leave the device. `--since` and `--until` take RFC 3339 or how long ago: `10m`, `2h`. What is given several times,
//! or with commas, is any of them; a quality is a reading's, a quantity also an alarm's. A name that neither journal nor
//! configuration has is a usage error: exit 64.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context;
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use http_body_util::BodyExt;
use hyper::StatusCode;
use model::{EventKind, Quality, Timestamp};
use serde_json::Value;

use super::screen::harmless;
use super::{Exit, small_runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::tail::{Query, SHOWN_MAX, Tail};

/// What to show.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only what is of this instrument; several times: of any of them
    #[arg(long, value_name = "I", value_delimiter = ',')]
    instrument: Vec<String>,
    /// Only what is of this quantity
    #[arg(long, value_name = "Q", value_delimiter = ',')]
    quantity: Vec<String>,
    /// Only readings of this quality
    #[arg(long, value_name = "Q", value_delimiter = ',', value_parser = quality(), conflicts_with_all = ["events", "event"])]
    quality: Vec<Quality>,
    /// Only events
    #[arg(long)]
    events: bool,
    /// Only events of this kind
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind())]
    event: Vec<EventKind>,
    /// From this time on: RFC 3339, or how long ago (10m, 2h, 1d)
    #[arg(long, value_name = "T", value_parser = since)]
    since: Option<Timestamp>,
    /// Up to this time, not included
    #[arg(long, value_name = "T", value_parser = since, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// The last N [default: 10]
    #[arg(short, value_name = "N", value_parser = shown)]
    n: Option<usize>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
}

fn quality() -> impl TypedValueParser<Value = Quality> {
    PossibleValuesParser::new(Quality::ALL.map(Quality::as_str)).map(|word| {
        let is_it = |quality: &Quality| quality.as_str() == word;
        Quality::ALL.into_iter().find(is_it).expect("one of those that are possible")
    })
}

fn kind() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str))
        .map(|word| EventKind::from_word(&word).expect("one of those that are possible"))
}

fn shown(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| *n <= SHOWN_MAX);
    n.ok_or_else(|| format!("a count up to {SHOWN_MAX}; for more, `--since` or `tidegate journal export`"))
}

/// A time as people say it: RFC 3339, or how long ago.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let seconds = text
        .char_indices()
        .last()
        .and_then(|(at, unit)| {
            let count: i64 = text[..at].parse().ok()?;
            let unit = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            count.checked_mul(unit)?.checked_mul(1_000)
        })
        .filter(|millis| *millis >= 0)
        .ok_or_else(|| format!("{text:?} is neither RFC 3339 (2026-11-22T10:00:00Z) nor a time ago (10m, 2h, 1d)"))?;
    Ok(Clock::of_this_boot().now().plus_millis(-seconds))
}

pub fn main(args: &Args, config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    if let Some((since, until)) = args.since.zip(args.until).filter(|(since, until)| since >= until) {
        eprintln!("tidegate: --until {until} is not after --since {since}");
        return Ok(Exit::Usage);
    }
    let query = Query {
        instrument: args.instrument.clone(),
        quantity: args.quantity.clone(),
        quality: args.quality.clone(),
        events: args.events,
        event: args.event.clone(),
        since: args.since,
        until: args.until,
        n: args.n,
        look: None,
        follow: args.follow,
    };
    match small_runtime()?.block_on(from_agent(config, &query, is_json)) {
        Err(error) => match error.downcast_ref() {
            Some(ClientError::NotReached { .. }) if !args.follow => from_journal(config, query, is_json),
            Some(ClientError::Refused { status: StatusCode::NOT_FOUND, text }) => Ok(refused(text)),
            _ => Err(error),
        },
        ended => ended,
    }
}

/// A name that there is not.
fn refused(words: &str) -> Exit {
    eprintln!("tidegate: {}", harmless(words));
    Exit::Usage
}

async fn from_agent(config: &Config, query: &Query, is_json: bool) -> anyhow::Result<Exit> {
    let mut body = client::get(&config.local.socket, &query.path()).await?.into_body();
    let mut lines = Lines::new(is_json);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
            lines.take(&data)?;
        }
    }
    Ok(Exit::Fine)
}

fn from_journal(config: &Config, query: Query, is_json: bool) -> anyhow::Result<Exit> {
    let path = &config.journal.path;
    let reader =
        journal::open_offline(path).with_context(|| format!("no agent runs, and its journal {}", path.display()))?;
    let (mut tail, mut lines, mut has_found) = (Tail::begin(&reader, query)?, Lines::new(is_json), false);
    while let Some(piece) = tail.piece(&reader)? {
        has_found |= !piece.is_empty();
        lines.take(&piece)?;
    }
    Ok(match tail.query().unknown(config).filter(|_| !has_found) {
        Some(wrong) => refused(&wrong),
        None => Exit::Fine,
    })
}

/// NDJSON as it comes, in whatever pieces, printed line by line.
struct Lines {
    is_json: bool,
    rest: Vec<u8>,
}

impl Lines {
    fn new(is_json: bool) -> Self {
        Self { is_json, rest: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.is_json {
            out.write_all(bytes)?;
            return Ok(out.flush()?);
        }
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            writeln!(out, "{}", harmless(&for_people(&serde_json::from_slice(&line)?)))?;
        }
        Ok(out.flush()?)
    }
}

/// `10:00:00.123  do-4  dissolved_oxygen  7.82 mg/L  pass`
fn for_people(row: &Value) -> String {
    let field = |name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let clock = if row["clock"] == "synced" { "" } else { "?" };
    let time = format!("{}{clock}", field("time"));
    let instrument = field("instrument");
    if row["event"].is_string() {
        let own = ["seq", "epoch", "time", "clock", "event", "instrument", "quantity"];
        let facts: Vec<String> = row
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={}", value.as_str().map_or(value.to_string(), str::to_owned)))
            .collect();
        return format!("{time:<25} {instrument:<16} [{}] {}", field("event"), facts.join(" "));
    }
    let value = if row["value"].is_null() { "-".to_owned() } else { field("value") };
    let measure = [value, field("unit")].join(" ");
    format!("{time:<25} {instrument:<16} {:<24} {:<16} {}", field("quantity"), measure.trim_end(), field("quality"))
}
