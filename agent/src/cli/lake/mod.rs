//! `tidegate lake ls | get | verify | import | rebuild`: a lake, asked from anywhere, without listing it.
//!
//! `LAKE` is the name of a sink, a folder, or `s3://bucket/prefix/`; left out, it is the only s3 or file sink of the
//! configuration. A bucket that a sink of the configuration writes to is reached as that sink does; any other with
//! the usual environment variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
//! `AWS_ENDPOINT_URL`) or the `[default]` of `~/.aws/credentials`. `--endpoint` names another store than AWS. The
//! device is the configured one, or `--site` and `--device`.
//!
//! What is read are the day manifests, whose keys are known (`lake::walk` says which days, and how far back), and then
//! the objects that are needed. The grants are `s3:GetObject`, and `s3:ListBucket` only because a store tells nobody
//! else that a key is not there.
//!
//! Exit codes: 0 fine, 1 something is missing or damaged, 64 usage, 69 the store is not reached, 74 a file can not be
//! read or written, 78 configuration.

mod get;
mod import;
mod listing;
mod ls;
mod place;
mod rebuild;
mod verify;

use std::path::Path;

use clap::{Args as ClapArgs, Subcommand};
use lake::{Home, Query};
use model::{Day, DeviceId, InstrumentId, Quality, QuantityId, SiteId, Timestamp};

use super::{Exit, load, tail};
use crate::clock::Clock;
use crate::config::Config;
use place::Lake;

/// What to do.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The objects that hold what is asked for, from the manifests alone
    Ls(Question),
    /// Rows as NDJSON, in the order of the journal; each object's digest is checked first
    Get(Question),
    /// Prove that nothing is missing, altered or moved
    Verify(verify::Args),
    /// Carry a folder (a USB stick) into a bucket or another folder; again changes nothing
    Import(import::Args),
    /// Make the catalogue again from the objects
    Rebuild(rebuild::Args),
    /// What `rebuild` has a process of its own do
    #[command(hide = true)]
    Line(rebuild::LineArgs),
}

/// What is asked of which lake.
#[derive(Debug, ClapArgs)]
struct Question {
    #[arg(help = "A sink's name, a folder or s3://bucket/prefix/ [default: the only s3 or file sink]")]
    lake: Option<String>,
    /// From this time on: RFC 3339, a day (2026-11-22), or how long ago (10m, 2h, 1d)
    #[arg(long, value_name = "T", value_parser = time)]
    from: Option<Timestamp>,
    /// Up to this time, not included
    #[arg(long, value_name = "T", value_parser = time)]
    to: Option<Timestamp>,
    /// Only readings of this instrument (may be given again, as the next two)
    #[arg(long, value_name = "I", value_parser = |text: &str| InstrumentId::try_new(text))]
    instrument: Vec<InstrumentId>,
    /// Only readings of this quantity
    #[arg(long, value_name = "Q", value_parser = |text: &str| QuantityId::try_new(text))]
    quantity: Vec<QuantityId>,
    /// Only readings of this quality: pass, not-evaluated, suspect, fail, missing
    #[arg(long, value_parser = quality)]
    quality: Vec<Quality>,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    store: Store,
}

/// Whose part of a lake.
#[derive(Debug, ClapArgs)]
struct Device {
    /// The device's site [default: the configured one]
    #[arg(long, value_parser = |text: &str| SiteId::try_new(text))]
    site: Option<SiteId>,
    /// The device [default: the configured one]
    #[arg(long, value_parser = |text: &str| DeviceId::try_new(text))]
    device: Option<DeviceId>,
}

/// How to reach a bucket.
#[derive(Debug, ClapArgs)]
struct Store {
    /// Another store than AWS: http://host:port
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

/// A command line that can not be meant so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

pub fn main(args: &Args, file: &Path, is_json: bool) -> anyhow::Result<Exit> {
    match asked(args, file, is_json) {
        Err(error) if error.is::<Misuse>() => {
            eprintln!("tidegate: {error}");
            Ok(Exit::Usage)
        }
        ended => ended,
    }
}

fn asked(args: &Args, file: &Path, is_json: bool) -> anyhow::Result<Exit> {
    let is_absent = matches!(file.try_exists(), Ok(false));
    let is_needed = match &args.command {
        Command::Ls(question) | Command::Get(question) => question.needs_config(),
        Command::Verify(args) => args.question.needs_config(),
        Command::Rebuild(args) => args.lake.is_none(),
        Command::Import(_) | Command::Line(_) => false,
    };
    let config = if is_absent && !is_needed { None } else { Some(load(file)?) };
    let config = config.as_deref();
    // Folders are read where they are asked for: that must not hold up the timers of a connection.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match &args.command {
        Command::Ls(question) => runtime.block_on(ls::ls(&question.meant(config)?, is_json)),
        Command::Get(question) => runtime.block_on(get::get(&question.meant(config)?)),
        Command::Verify(args) => {
            let asked = args.question.meant(config)?;
            let key = args.key()?;
            runtime.block_on(verify::verify(&asked, args.depth(), key.as_ref(), is_json))
        }
        Command::Line(args) => rebuild::tell(args),
        Command::Rebuild(args) => runtime.block_on(rebuild::rebuild(args, config, is_json)),
        Command::Import(args) => runtime.block_on(import::import(args, config, is_json)),
    }
}

/// A question with everything it needs.
struct Asked {
    lake: Lake,
    home: Home,
    query: Query,
}

impl Question {
    fn needs_config(&self) -> bool {
        self.lake.is_none()
    }

    fn meant(&self, config: Option<&Config>) -> Result<Asked, Misuse> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(Misuse("--from is not before --to".to_owned()));
        }
        let lake = place::find(self.lake.as_deref(), self.store.endpoint.as_deref(), config)?;
        let home = self.device.home(&lake, config)?;
        let query = Query {
            from: self.from,
            to: self.to,
            instruments: self.instrument.clone(),
            quantities: self.quantity.clone(),
            qualities: self.quality.clone(),
        };
        Ok(Asked { lake, home, query })
    }
}

impl Device {
    fn home(&self, lake: &Lake, config: Option<&Config>) -> Result<Home, Misuse> {
        let site = self.site.clone().or_else(|| config.map(|config| config.device.site.clone()));
        let device = self.device.clone().or_else(|| config.map(|config| config.device.id.clone()));
        let (site, device) = site
            .zip(device)
            .ok_or_else(|| Misuse("whose part of the lake? --site and --device, or a configuration".to_owned()))?;
        Ok(Home { prefix: lake.prefix.clone(), site, device })
    }
}

/// The day on which what is uploaded now is found.
fn today() -> Day {
    Clock::of_this_boot().now().day()
}

/// A time as people say it: RFC 3339, a day, or how long ago.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    match Timestamp::parse(&format!("{text}T00:00:00Z")) {
        Some(day) => Ok(day),
        None => tail::since(text),
    }
}

fn quality(text: &str) -> Result<Quality, String> {
    let found = Quality::ALL.into_iter().find(|quality| quality.as_str() == text);
    found.ok_or_else(|| {
        let words = Quality::ALL.map(Quality::as_str).join(", ");
        format!("{text:?} is none of {words}")
    })
}
