//! `tidegate replay SINK --from T [--to T]`: has the running agent send again what the journal still holds.
//!
//! `T` is a position (72001), RFC 3339, a day, or how long ago (10m, 2h, 1d). What every sink has stays in the journal for
//! `journal.keep_delivered`. A broker gets all of it again, with the same `epoch` and `seq`, by which a consumer tells
//! repeats. A lake gets what it lacks: positions that no manifest names, and objects that are not there any more.
//!
//! Exit 0: it is on its way, or nothing is lacking; 1: the journal does not go back so far; 69: the agent does not answer,
//! or the sink can not say what it lacks.

use std::io::Write as _;
use std::sync::Arc;

use clap::Args as ClapArgs;
use http_body_util::BodyExt;
use model::Seq;

use super::{Exit, lake, small_runtime};
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::journal::Mark;
use crate::control::replay::Replayed;

/// What to send again.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The sink
    sink: String,
    /// From this position or time on
    #[arg(long, value_name = "T", value_parser = mark)]
    from: String,
    /// Up to this position or time, not included
    #[arg(long, value_name = "T", value_parser = mark)]
    to: Option<String>,
}

fn mark(text: &str) -> Result<String, String> {
    match Mark::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => lake::time(text).map(|time| time.to_string()),
    }
}

pub fn main(args: &Args, config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    let to = args.to.as_ref().map(|to| format!("&to={to}")).unwrap_or_default();
    let sink = model::SinkId::try_new(&args.sink)?;
    let path = format!("/v1/replay?sink={sink}&from={}{to}", args.from);
    let body = small_runtime()?.block_on(async {
        let response = client::post(&config.local.socket, &path).await?;
        Ok::<_, ClientError>(response.into_body().collect().await?.to_bytes())
    })?;
    let replayed: Replayed = serde_json::from_slice(&body)?;
    let mut out = std::io::stdout().lock();
    if is_json {
        out.write_all(&body)?;
        writeln!(out)?;
    } else {
        let Replayed { sink, range, again, positions, .. } = &replayed;
        writeln!(out, "{positions} of the positions {range} go to {sink} again")?;
        again.iter().try_for_each(|range| writeln!(out, "  {range}"))?;
    }
    let is_whole = match Mark::parse(&args.from) {
        Some(Mark::Seq(seq)) => seq >= replayed.tail,
        _ => replayed.range.first > replayed.tail,
    };
    let is_whole = is_whole || replayed.tail == Seq::FIRST;
    if !is_whole {
        eprintln!(
            "tidegate: the journal begins with position {}: what came before is not here any more",
            replayed.tail
        );
    }
    Ok(if is_whole { Exit::Fine } else { Exit::NotFine })
}
