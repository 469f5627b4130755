//! `tidegate tail [--instrument I] [--since T] [-n N] [-f]`: readings and events, from the journal.
//!
//! Asks the running agent; where none runs, reads the journal itself. Lines for people, or with `--json` the JSON
//! objects that leave the device. `--since` takes RFC 3339 or how long ago: `10m`, `2h`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context;
use clap::Args as ClapArgs;
use http_body_util::BodyExt;
use model::Timestamp;
use serde_json::Value;

use super::{Exit, small_runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::tail::{Query, past};

/// What to show.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only this instrument's
    #[arg(long)]
    instrument: Option<String>,
    /// From this time on: RFC 3339, or how long ago (10m, 2h, 1d)
    #[arg(long, value_name = "T", value_parser = since)]
    since: Option<Timestamp>,
    /// The last N [default: 10]
    #[arg(short, value_name = "N")]
    n: Option<usize>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
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
    let query =
        Query { instrument: args.instrument.clone(), since: args.since, n: args.n, follow: args.follow, events: false };
    match small_runtime()?.block_on(from_agent(config, &query, is_json)) {
        Err(error) if is_not_running(&error) && !args.follow => from_journal(config, &query, is_json),
        ended => ended,
    }
}

fn is_not_running(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::NotReached { .. }))
}

async fn from_agent(config: &Config, query: &Query, is_json: bool) -> anyhow::Result<Exit> {
    // Instrument names and times hold nothing that a query string would have to escape but `:` and `+`.
    let mut path = format!("/v1/tail?follow={}", query.follow);
    if let Some(instrument) = &query.instrument {
        let instrument = model::InstrumentId::try_new(instrument).context("--instrument")?;
        write!(path, "&instrument={instrument}")?;
    }
    if let Some(since) = query.since {
        write!(path, "&since={since}")?;
    }
    if let Some(n) = query.n {
        write!(path, "&n={n}")?;
    }
    let mut body = client::get(&config.local.socket, &path).await?.into_body();
    let mut lines = Lines::new(is_json);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
            lines.take(&data)?;
        }
    }
    Ok(Exit::Fine)
}

fn from_journal(config: &Config, query: &Query, is_json: bool) -> anyhow::Result<Exit> {
    let path = &config.journal.path;
    let reader =
        journal::open_offline(path).with_context(|| format!("no agent runs, and its journal {}", path.display()))?;
    let (text, _) = past(&reader, query)?;
    Lines::new(is_json).take(&text)?;
    Ok(Exit::Fine)
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
            writeln!(out, "{}", for_people(&serde_json::from_slice(&line)?))?;
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
