//! `tidegate sinks`: each sink of the running agent: before which position all is confirmed, how far behind it is, what went
//! wrong last, how many batches are set aside. Exit 0 when all deliver and nothing is set aside, 1 when not.
//!
//! `sinks retry SINK`: it tries now and does not wait for its next attempt. `sinks quarantine ls [SINK]`: the batches that a far
//! side refused for good, with its reason; each is called by its first position. `show SINK N`: one of them with its records.
//! `retry SINK N|all`: they go again, from the journal, as long as that holds them; what is refused again is set aside again.
//! `drop SINK N|all --yes`: nobody wants them any more; their gap stays in the journal.
//!
//! The agent must run (69). 69 too where it says no: there is no such sink, no such batch, or the journal has it no more.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use clap::{Args as ClapArgs, Subcommand};
use http_body_util::BodyExt as _;
use model::SinkId;
use serde_json::Value;

use super::screen::{self, harmless};
use super::{Exit, small_runtime, status};
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::status::SinkStatus;

/// What to do.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try now, whatever it waits for
    Retry {
        /// The sink
        #[arg(value_parser = sink)]
        sink: SinkId,
    },
    /// Batches that a far side refused for good: ls, show, retry, drop
    Quarantine {
        #[command(subcommand)]
        what: Quarantine,
    },
}

#[derive(Debug, Subcommand)]
enum Quarantine {
    /// All of them, with the far side's reason
    Ls {
        /// Only this sink's
        #[arg(value_parser = sink)]
        sink: Option<SinkId>,
    },
    /// One of them with its records
    Show {
        /// The sink
        #[arg(value_parser = sink)]
        sink: SinkId,
        /// Its first position, as `ls` lists it
        n: u64,
    },
    /// Send them again
    Retry {
        /// The sink
        #[arg(value_parser = sink)]
        sink: SinkId,
        /// A first position, as `ls` lists it, or all
        #[arg(value_name = "N|all", value_parser = which)]
        n: String,
    },
    /// Forget them
    Drop {
        /// The sink
        #[arg(value_parser = sink)]
        sink: SinkId,
        /// A first position, as `ls` lists it, or all
        #[arg(value_name = "N|all", value_parser = which)]
        n: String,
        /// Yes, nobody wants them any more
        #[arg(long)]
        yes: bool,
    },
}

fn sink(text: &str) -> Result<SinkId, String> {
    SinkId::try_new(text).map_err(|error| error.to_string())
}

fn which(text: &str) -> Result<String, String> {
    let is_one = text == "all" || text.parse::<u64>().is_ok();
    if is_one { Ok(text.to_owned()) } else { Err("a batch is called by its first position, or all".to_owned()) }
}

pub fn main(args: &Args, config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    let ask = |is_order: bool, path: &str| -> anyhow::Result<Value> {
        let body = small_runtime()?.block_on(async {
            let socket = &config.local.socket;
            let response = if is_order { client::post(socket, path).await } else { client::get(socket, path).await }?;
            Ok::<_, ClientError>(response.into_body().collect().await?.to_bytes())
        })?;
        Ok(serde_json::from_slice(&body)?)
    };
    let (said, text) = match &args.what {
        None => {
            let sinks = ask(false, "/v1/sinks")?;
            let (text, is_well) = show_sinks(&sinks)?;
            print(&sinks, &text, is_json)?;
            return Ok(if is_well { Exit::Fine } else { Exit::NotFine });
        }
        Some(What::Retry { sink }) => {
            (ask(true, &format!("/v1/sinks/retry?sink={sink}"))?, format!("{sink} tries now: `tidegate sinks`\n"))
        }
        Some(What::Quarantine { what }) => match what {
            Quarantine::Ls { sink } => {
                let of = sink.as_ref().map(|sink| format!("?sink={sink}")).unwrap_or_default();
                let list = ask(false, &format!("/v1/sinks/aside{of}"))?;
                let text: Vec<String> = list.as_array().into_iter().flatten().map(line).collect();
                let text = if text.is_empty() { "nothing is set aside\n".to_owned() } else { text.concat() };
                (list, text)
            }
            Quarantine::Show { sink, n } => {
                let batch = ask(false, &format!("/v1/sinks/aside?sink={sink}&n={n}"))?;
                let rows = batch["rows"].as_array().into_iter().flatten().map(|row| format!("  {row}\n"));
                let text = line(&batch) + &rows.collect::<Vec<_>>().concat();
                (batch, text)
            }
            Quarantine::Retry { sink, n } => {
                let done = ask(true, &format!("/v1/sinks/aside/retry?sink={sink}&n={n}"))?;
                let words = if done["positions"] == 0 { ": the far side lacks nothing of them" } else { "" };
                let text =
                    format!("{} batches, {} positions go to {sink} again{words}\n", done["batches"], done["positions"]);
                (done, text)
            }
            Quarantine::Drop { yes: false, .. } => {
                eprintln!("tidegate: what is dropped can not be sent again: say --yes");
                return Ok(Exit::Usage);
            }
            Quarantine::Drop { sink, n, yes: true } => {
                let done = ask(true, &format!("/v1/sinks/aside/drop?sink={sink}&n={n}"))?;
                let text = format!("{} batches, {} positions dropped\n", done["batches"], done["positions"]);
                (done, text)
            }
        },
    };
    print(&said, &text, is_json)?;
    Ok(Exit::Fine)
}

fn print(said: &Value, text: &str, is_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if is_json {
        writeln!(out, "{said}")?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(out.flush()?)
}

fn show_sinks(sinks: &Value) -> anyhow::Result<(String, bool)> {
    let is_coloured = screen::is_coloured(&std::io::stdout());
    let (mut text, mut is_well) = (String::new(), true);
    for entry in sinks.as_array().into_iter().flatten() {
        let sink: SinkStatus = serde_json::from_value(entry.clone())?;
        status::write_sink(&mut text, &sink, is_coloured);
        let low = entry["low_water"].as_u64().map(|low| format!("all before {low} is confirmed"));
        let error = sink.last_error.as_ref().filter(|_| sink.state == "ok");
        let error = error.map(|error| format!("the last error: {}", harmless(error)));
        let aside = (sink.quarantined_batches > 0)
            .then(|| format!("`tidegate sinks quarantine ls {}`: what is set aside, and why", sink.id));
        for words in low.iter().chain(&error).chain(&aside) {
            writeln!(text, "           {words}")?;
        }
        is_well &= sink.state == "ok" && sink.quarantined_batches == 0;
    }
    Ok((text, is_well))
}

fn line(batch: &Value) -> String {
    let word = |name: &str| batch[name].as_str().map_or_else(|| "not known".to_owned(), harmless);
    let gone = if batch["in_journal"] == true { "" } else { ", not in the journal any more" };
    let size = screen::bytes(batch["bytes"].as_u64().unwrap_or_default());
    format!(
        "{} {}: {} positions, {size}{gone}, set aside {}: {}\n",
        word("sink"),
        batch["n"],
        batch["positions"],
        word("at"),
        word("reason")
    )
}
