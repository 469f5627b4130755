//! `tidegate journal stat | export | verify | repair`: what is on disk.
//!
//! `stat` says what the folder holds. `export` writes readings and events as NDJSON, the objects that leave the device;
//! `--from` and `--to` take a position or a time. `verify` reads every block, checks every checksum and number, the
//! cursors and the sealed batches: exit 0 if all is in order, 1 if not, each finding on a line. These three ask the
//! running agent; where none runs, they read the folder themselves. What they find damaged they leave as it is.
//!
//! `repair` is for an agent that is stopped (69 while it runs): what reads goes into a fresh journal, with the cursors,
//! in place of the old one, which is kept whole as `<path>.damaged-<n>`. Remove that when nobody wants to look at it.
//! A running agent salvages by itself; `repair` is for a journal that it does not start on.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use http_body_util::BodyExt;
use journal::{JournalError, Reader, Settings, open_offline_with};
use model::{InstrumentId, SeqRange};
use serde_json::{Value, json};

use super::{Exit, screen, small_runtime, untrusted};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::client::{self, ClientError};
use crate::control::journal::{Export, Mark, Verify, stat};
use crate::run::probe;

/// What to do.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What the folder holds
    Stat,
    /// Readings and events as NDJSON
    Export(ExportArgs),
    /// Check every block, cursor and sealed batch
    Verify,
    /// Salvage into a fresh journal, the old one kept
    Repair,
    /// Look into a generation, for the agent
    #[command(hide = true)]
    Probe {
        /// DIR FIRST [OUT]
        args: Vec<OsString>,
    },
}

#[derive(Debug, ClapArgs)]
struct ExportArgs {
    /// From this position or time on
    #[arg(long, value_name = "SEQ|TIME", value_parser = mark)]
    from: Option<String>,
    /// Up to this position or time, not included
    #[arg(long, value_name = "SEQ|TIME", value_parser = mark)]
    to: Option<String>,
    /// Only this instrument's
    #[arg(long, value_parser = instrument)]
    instrument: Option<InstrumentId>,
}

fn mark(text: &str) -> Result<String, String> {
    let is_mark = Mark::parse(text).is_some();
    is_mark
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?} is neither a position (72001) nor RFC 3339 (2026-11-22T10:00:00Z)"))
}

fn instrument(text: &str) -> Result<InstrumentId, String> {
    InstrumentId::try_new(text).map_err(|error| error.to_string())
}

impl Args {
    /// Looks into a generation, if that is what is asked; needs no configuration.
    pub fn probe(&self) -> Option<anyhow::Result<Exit>> {
        let Command::Probe { args } = &self.command else { return None };
        Some(look(args))
    }
}

/// May crash: another process waits for that.
fn look(args: &[OsString]) -> anyhow::Result<Exit> {
    untrusted::bounds()?;
    journal::answer_probe(args, &mut std::io::stdout().lock())?;
    Ok(Exit::Fine)
}

pub fn main(args: &Args, config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Stat => ask(config, "/v1/journal/stat", &mut StatView { is_json, text: Vec::new() }),
        Command::Export(wanted) => {
            let ExportArgs { from, to, instrument } = wanted;
            let export = Export { from: from.clone(), to: to.clone(), instrument: instrument.clone() };
            ask(config, &path_of(&export)?, &mut ExportView { export })
        }
        Command::Verify => {
            ask(config, "/v1/journal/verify", &mut VerifyView { is_json, rest: Vec::new(), is_ok: false })
        }
        Command::Repair => repair(config, is_json),
        Command::Probe { args } => look(args),
    }
}

fn path_of(export: &Export) -> anyhow::Result<String> {
    let mut path = "/v1/journal/export?".to_owned();
    for (name, value) in [("from", &export.from), ("to", &export.to)] {
        if let Some(value) = value {
            write!(path, "{name}={}&", value.replace('+', "%2B"))?;
        }
    }
    if let Some(instrument) = &export.instrument {
        write!(path, "instrument={instrument}")?;
    }
    Ok(path)
}

/// A question that the agent answers, or the folder.
trait View {
    /// Takes a piece of the agent's answer.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()>;
    /// Answers from the folder, to itself.
    fn read(&mut self, reader: &Reader) -> anyhow::Result<()>;
    /// The end.
    fn end(&mut self) -> anyhow::Result<Exit> {
        Ok(Exit::Fine)
    }
    /// The folder's journal does not open.
    fn refuse(&mut self, error: JournalError) -> anyhow::Result<Exit> {
        Err(error.into())
    }
}

fn ask(config: &Config, path: &str, view: &mut impl View) -> anyhow::Result<Exit> {
    match small_runtime()?.block_on(from_agent(config, path, view)) {
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::NotReached { .. })) => {}
        Err(error) => return Err(error),
        Ok(()) => return view.end(),
    }
    match open_offline_with(&config.journal.path, Some(probe())) {
        Ok(reader) => view.read(&reader)?,
        Err(error) => return view.refuse(error),
    }
    view.end()
}

async fn from_agent(config: &Config, path: &str, view: &mut impl View) -> anyhow::Result<()> {
    let mut body = client::get(&config.local.socket, path).await?.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
            view.take(&data)?;
        }
    }
    Ok(())
}

struct ExportView {
    export: Export,
}

impl View for ExportView {
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    fn read(&mut self, reader: &Reader) -> anyhow::Result<()> {
        let mut range: SeqRange = self.export.range(reader)?;
        while !range.is_empty() {
            let (piece, rest) = self.export.piece(reader, range)?;
            self.take(&piece)?;
            range = rest;
        }
        Ok(())
    }
}

struct VerifyView {
    is_json: bool,
    rest: Vec<u8>,
    is_ok: bool,
}

impl View for VerifyView {
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let said: Value = serde_json::from_slice(&line)?;
            self.is_ok |= said["ok"] == true;
            if self.is_json {
                out.write_all(&line)?;
            } else if let (Some(place), Some(finding)) = (said["place"].as_str(), said["finding"].as_str()) {
                writeln!(out, "{place}: {finding}")?;
            } else {
                let word = if said["ok"] == true { "all in order" } else { "not in order" };
                writeln!(out, "{} generations, {} records: {word}", said["generations"], said["records"])?;
            }
        }
        Ok(out.flush()?)
    }

    fn read(&mut self, reader: &Reader) -> anyhow::Result<()> {
        let mut verify = Verify::of(reader);
        while let Some(piece) = verify.piece(reader)? {
            self.take(&piece)?;
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<Exit> {
        Ok(if self.is_ok { Exit::Fine } else { Exit::NotFine })
    }

    fn refuse(&mut self, error: JournalError) -> anyhow::Result<Exit> {
        let JournalError::Store { path, source } = error else { return Err(error.into()) };
        let place = path.display().to_string();
        self.take(format!("{}\n", json!({"place": place, "finding": source.to_string()})).as_bytes())?;
        self.take(format!("{}\n", json!({"ok": false, "generations": 0, "records": 0, "findings": 1})).as_bytes())?;
        Ok(Exit::NotFine)
    }
}

struct StatView {
    is_json: bool,
    text: Vec<u8>,
}

impl View for StatView {
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, reader: &Reader) -> anyhow::Result<()> {
        self.text = stat(reader)?.to_string().into_bytes();
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.is_json {
            out.write_all(&self.text)?;
            writeln!(out)?;
        } else {
            out.write_all(for_people(&serde_json::from_slice(&self.text)?)?.as_bytes())?;
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

fn for_people(stat: &Value) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let size = |value: &Value| screen::bytes(value.as_u64().unwrap_or_default());
    let list = |name: &str| stat[name].as_array().cloned().unwrap_or_default();
    writeln!(text, "epoch        {}", word(&stat["epoch"]))?;
    writeln!(text, "records      {}, {} to {}", stat["records"], stat["tail"], stat["head"])?;
    writeln!(text, "times        {} to {}", word(&stat["oldest"]), word(&stat["newest"]))?;
    writeln!(text, "on disk      {}, {} bytes a record", size(&stat["bytes"]), stat["bytes_per_record"])?;
    for generation in list("generations") {
        let (first, next) = (&generation["first"], &generation["next"]);
        writeln!(text, "generation   {first} to {next}, {}", size(&generation["bytes"]))?;
    }
    for hole in list("holes") {
        writeln!(text, "missing      {} to {}, told in a gap", hole["first"], hole["next"])?;
    }
    for gap in list("owed_gaps") {
        writeln!(text, "owed gap     {} records, {}", gap["count"], word(&gap["reason"]))?;
    }
    for cursor in list("cursors") {
        let (sink, state) = (word(&cursor["sink"]), word(&cursor["state"]));
        match cursor["low_water"].as_u64() {
            Some(low) => writeln!(text, "cursor       {sink}: all before {low} is delivered")?,
            None => writeln!(text, "cursor       {sink}: {state}")?,
        }
    }
    for sealed in list("sealed") {
        writeln!(
            text,
            "sealed       {}: {} batches, {}",
            word(&sealed["sink"]),
            sealed["batches"],
            size(&sealed["bytes"])
        )?;
    }
    let quarantined = stat["quarantined"]["generations"].as_array().map_or(0, Vec::len);
    writeln!(text, "quarantined  {quarantined} generations, {}", size(&stat["quarantined"]["bytes"]))?;
    Ok(text)
}

fn repair(config: &Config, is_json: bool) -> anyhow::Result<Exit> {
    let path = &config.journal.path;
    let settings = Settings { probe: Some(probe()), ..Settings::at(path) };
    let repaired = match journal::repair(&settings, Clock::of_this_boot().moment(), fastrand::u64(..)) {
        Err(error @ JournalError::Locked { .. }) => {
            eprintln!("tidegate: {error}");
            eprintln!("stop the agent first (systemctl stop tidegate)");
            return Ok(Exit::Unavailable);
        }
        repaired => repaired.with_context(|| format!("the journal {} was not repaired", path.display()))?,
    };
    let mut out = std::io::stdout().lock();
    let lost: u64 = repaired.gaps.iter().map(|gap| gap.count).sum();
    let range = |range: &SeqRange| json!({"first": range.first, "next": range.next});
    if is_json {
        let gaps: Vec<Value> = repaired
            .gaps
            .iter()
            .map(|gap| json!({"range": gap.range.as_ref().map(range), "count": gap.count, "reason": gap.reason.as_str()}))
            .collect();
        writeln!(out, "{}", json!({"saved": repaired.saved, "gaps": gaps, "kept": repaired.kept}))?;
    } else {
        writeln!(out, "{} records saved, {lost} are known to be lost", repaired.saved)?;
        for gap in &repaired.gaps {
            let place = gap.range.map_or_else(|| "somewhere".to_owned(), |range| range.to_string());
            let count =
                if gap.count == 0 { "how many is not known".to_owned() } else { format!("{} records", gap.count) };
            writeln!(out, "gap {place}: {count}, {}", gap.reason.as_str())?;
        }
        writeln!(out, "the old journal is kept as {}", repaired.kept.display())?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}
