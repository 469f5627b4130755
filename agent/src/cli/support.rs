//! `tidegate support-bundle [--output FILE] [--lines N]`: one archive of what the device knows of itself, to send to whoever
//! helps. Works with the agent running or not, and with a configuration that is wrong.
//!
//! In it are the agent's status and the verdicts on it, the configuration in force and its files, revisions from afar, the
//! events of the last day, the log, the unit, ports, the kernel's words on ports and cards, and facts of the board;
//! `manifest.json` says what else there would have been and why it is not there. What is secret is taken out: passwords,
//! keys, tokens, logins, and what came from the environment. Look into it before you send it: `tar --zstd -xf FILE`.
//!
//! Run it as root (sudo): log, kernel and the agent's environment are not for everybody. The file is for its owner alone,
//! and never takes another's place. Exit 0 when it is written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use http_body_util::BodyExt as _;
use journal::Reader;
use serde_json::Value;

use super::{Exit, screen, small_runtime};
use crate::clock::Clock;
use crate::config::{Layers, journal_path, load, who_and_where};
use crate::control::bundle::{Asked, Bundle, LOG_LINES, events_until};
use crate::control::client::{self, ClientError};
use crate::control::journal::stat;
use crate::control::tail::{Query, past};
use crate::run::probe;

/// What to make.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The archive [default: tidegate-support-<device>-<time>.tar.zst, here]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many lines of the log go with it
    #[arg(long, value_name = "N", default_value_t = LOG_LINES, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    lines: u32,
}

/// What the journal says, by whoever can read it.
struct Told {
    status: Result<Value, String>,
    journal: Result<Value, String>,
    events: Result<Vec<u8>, String>,
    pid: Option<i32>,
}

pub fn main(args: &Args, layers: &Layers, is_json: bool) -> anyhow::Result<Exit> {
    let mut layers = layers.clone();
    let at = Clock::of_this_boot().now();
    let query = events_until(at);
    let (device, local) = who_and_where(&layers);
    let device = (device.id.to_string(), device.site.to_string());
    let problems = load(&layers).err().map(|error| error.render(false));
    let told = match small_runtime()?.block_on(ask(&local.socket, &query)) {
        Ok(told) => told,
        Err(error) => read(&layers, &query, &error),
    };
    if let Some(pid) = told.pid {
        learn_environment(pid, &mut layers);
    }
    let Told { status, journal, events, pid } = told;
    let lines = args.lines;
    let bundle = Bundle::of(Asked { layers: &layers, device, problems, status, journal, events, pid, lines, at });
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.tar.zst", bundle.name())));
    write(&file, &bundle.archive()?)?;
    show(&file, &bundle.manifest(), is_json)
}

/// What the agent says of itself and of its journal.
async fn ask(socket: &Path, query: &Query) -> Result<Told, ClientError> {
    let body = |response: hyper::Response<hyper::body::Incoming>| async {
        Ok::<_, ClientError>(response.into_body().collect().await?.to_bytes())
    };
    let no_json = |error: serde_json::Error| error.to_string();
    let (status, pid) = client::get_and_who(socket, "/v1/status").await?;
    let status = serde_json::from_slice(&body(status).await?).map_err(no_json);
    let events = body(client::get(socket, &query.path()).await?).await.map(|bytes| bytes.to_vec());
    let journal = serde_json::from_slice(&body(client::get(socket, "/v1/journal/stat").await?).await?);
    Ok(Told { status, journal: journal.map_err(no_json), events: events.map_err(|error| error.to_string()), pid })
}

/// The same from a journal at rest.
fn read(layers: &Layers, query: &Query, error: &ClientError) -> Told {
    let why = match error {
        ClientError::NotReached { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    };
    let words = |error: journal::JournalError| error.to_string();
    let reader: Result<Reader, String> = journal::open_offline_with(journal_path(layers), Some(probe())).map_err(words);
    let (journal, events) = match &reader {
        Ok(reader) => (stat(reader).map_err(words), past(reader, query.clone()).map_err(words)),
        Err(error) => (Err(error.clone()), Err(error.clone())),
    };
    Told { status: Err(why), journal, events, pid: None }
}

/// The agent's own environment counts, not that of whoever asks; it is for root and for the agent's user to read.
fn learn_environment(pid: i32, layers: &mut Layers) {
    let Ok(bytes) = std::fs::read(format!("/proc/{pid}/environ")) else { return };
    for variable in bytes.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok()) {
        if let Some((name, value)) = variable.split_once('=') {
            layers.env.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut out = opened.with_context(|| format!("{} is not written, name another with --output", file.display()))?;
    let written = out.write_all(bytes).and_then(|()| out.sync_all());
    written.with_context(|| format!("{} is not whole", file.display()))
}

fn show(file: &Path, manifest: &Value, is_json: bool) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    if is_json {
        let mut manifest = manifest.clone();
        manifest["output"] = file.display().to_string().into();
        writeln!(out, "{manifest}")?;
        return Ok(Exit::Fine);
    }
    let list = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| screen::harmless(value.as_str().unwrap_or_default());
    for part in list("files") {
        let size = screen::bytes(part["bytes"].as_u64().unwrap_or_default());
        writeln!(out, "  {:<28} {size:>10}  {}", word(&part["name"]), word(&part["from"]))?;
    }
    for part in list("left_out") {
        writeln!(out, "  {:<28} {:>10}  {}", word(&part["name"]), "left out", word(&part["why"]))?;
    }
    writeln!(out, "{} is written; look into it before you send it: tar --zstd -xf", file.display())?;
    out.flush()?;
    Ok(Exit::Fine)
}
