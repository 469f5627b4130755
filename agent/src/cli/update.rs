//! `tidegate update`: what a person, a build or the service manager does about updates of the agent.
//!
//! `status` says where the last one stands. `fetch` takes a signed manifest, from a file or an address, and fetches what it
//! names, as the agent would; `--file` has that on a stick. `install` is the installer: the service manager starts it, as
//! root, when something was fetched, and at boot to finish what a power cut broke off. `sign` makes a manifest, where
//! releases are built; `verify` holds one, and a file, against a key.
//!
//! Exit 0: fine, or nothing to do; 1: the update failed, was refused or taken back; 69: the server was not reached; 74: the disk.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use lake::{SigningKey, VerifyingKey};

use super::{Exit, screen, small_runtime};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::update::ROLLBACK_DEFAULT;
use crate::config::{Config, Layers};
use crate::link::fetch::{Keyring, open, place_of};
use crate::telemetry::logs;
use crate::update::download::{DownloadError, Downloads, WHO, keyring};
use crate::update::manifest::{DOCUMENT_BYTES_MAX, Kind, Manifest, Signed, target};
use crate::update::report::{self, Report};
use crate::update::rollout::{Ending, Rollout};
use crate::update::staging::Staging;
use crate::update::{files, install, task};

/// A person waits: after so many tries in a row that brought nothing it is given up.
const TRIES_MAX: u32 = 4;

/// What to do.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Where the last update stands
    Status,
    /// Fetch what a signed manifest names, for the installer
    Fetch {
        /// The signed manifest: a file, or its address
        manifest: String,
        /// What it names is this file
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Install what was fetched, watch it, and take it back if it is not well (as root)
    Install,
    /// Make a signed manifest of a program or a package
    Sign(Sign),
    /// Hold a signed manifest, and a file, against a key
    Verify {
        /// The signed manifest
        manifest: PathBuf,
        /// What it names
        file: Option<PathBuf>,
        /// The public key (PEM); left out: the one in [update]
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
struct Sign {
    /// The private key: Ed25519, PEM (openssl genpkey -algorithm ed25519)
    #[arg(long)]
    key: PathBuf,
    /// Where devices will find the file
    #[arg(long)]
    url: String,
    /// Its version; left out: this program's
    #[arg(long)]
    version: Option<String>,
    /// What it runs on; left out: what this program runs on
    #[arg(long)]
    target: Option<String>,
    /// What it is; left out: what its name says
    #[arg(long)]
    kind: Option<KindWord>,
    /// Formats of the journal that it reads; left out: this program's
    #[arg(long, value_delimiter = ',')]
    reads: Vec<u32>,
    /// The format of the journal that it writes; left out: this program's
    #[arg(long)]
    writes: Option<u32>,
    /// It may be older than what runs
    #[arg(long)]
    downgrade: bool,
    /// The program or package
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindWord {
    Binary,
    Deb,
}

pub fn main(args: &Args, file: &Path, is_json: bool, verbosity: u8) -> anyhow::Result<Exit> {
    let config = || super::load(file);
    match &args.command {
        Command::Status => status(&report::read(&config()?.update, None), is_json),
        Command::Fetch { manifest, file } => {
            logs::start(verbosity);
            let config = config()?;
            if let Some(words) = Staging::at(&config.update.staging).stranger() {
                eprintln!("tidegate: {words}");
                return Ok(Exit::Usage);
            }
            let fetched = small_runtime()?.block_on(fetch(&config, manifest, file.as_deref()));
            match fetched {
                Err(error) if matches!(error.downcast_ref(), Some(DownloadError::Line(_))) => {
                    eprintln!("tidegate: {error:#}");
                    Ok(Exit::Unavailable)
                }
                Err(error) if !matches!(error.downcast_ref(), Some(DownloadError::Disk(_))) => {
                    eprintln!("tidegate: {error:#}");
                    Ok(Exit::NotFine)
                }
                fetched => fetched,
            }
        }
        Command::Install => {
            logs::start(verbosity);
            small_runtime()?.block_on(run_installer(file))
        }
        Command::Sign(sign) => sign_file(sign),
        Command::Verify { manifest, file, key } => {
            let key = match key {
                Some(key) => VerifyingKey::from_pem(&fs::read(key)?)?,
                None => task::key_of(&config()?.update)?,
            };
            verify(&key, manifest, file.as_deref())
        }
    }
}

fn status(report: &Report, is_json: bool) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    if is_json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        let version = report.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let from = report.from.as_ref().map(|from| format!(" (before: {from})")).unwrap_or_default();
        writeln!(out, "update {}{version}{from}", report.state)?;
        if let (Some(bytes), Some(of)) = (report.bytes, report.of) {
            writeln!(out, "       {} of {}", screen::bytes(bytes), screen::bytes(of))?;
        }
        if let Some(why) = &report.why {
            writeln!(out, "       {}", screen::harmless(why))?;
        }
    }
    let is_bad = [Ending::Failed, Ending::RolledBack].iter().any(|ending| report.state == ending.as_str());
    Ok(if is_bad { Exit::NotFine } else { Exit::Fine })
}

async fn fetch(config: &Config, place: &str, file: Option<&Path>) -> anyhow::Result<Exit> {
    let clock = Clock::of_this_boot();
    let document = if place.contains("://") {
        document_at(config, place, &clock).await?
    } else {
        let bytes = files::read(Path::new(place), DOCUMENT_BYTES_MAX)?;
        bytes.ok_or_else(|| anyhow::anyhow!("{place} is not there"))?
    };
    let signed = Signed::parse(&document)?;
    let manifest = task::judge(config, &signed)?;
    let staging = Staging::at(&config.update.staging);
    let _lock = staging.lock()?;
    let mut downloads = Downloads::new(&config.update, &clock);
    match file {
        Some(file) => downloads.take(&manifest, file)?,
        None => fetch_patiently(&mut downloads, &staging, &manifest).await?,
    }
    staging.stage(&signed)?;
    staging.withdraw()?;
    println!("tidegate {} waits for the installer: systemctl start tidegate-update", manifest.version);
    Ok(Exit::Fine)
}

async fn fetch_patiently(downloads: &mut Downloads, staging: &Staging, manifest: &Manifest) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        let before = staging.bytes_of(manifest);
        let error = match downloads.fetch(manifest).await {
            Err(DownloadError::Line(words)) => words,
            fetched => return Ok(fetched?),
        };
        let bytes = staging.bytes_of(manifest);
        if bytes > before {
            backoff.reset();
        } else if backoff.tries() >= TRIES_MAX {
            return Err(DownloadError::Line(error).into());
        }
        eprintln!("{} of {}: {error}", screen::bytes(bytes), screen::bytes(manifest.size));
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// A manifest from a server.
async fn document_at(config: &Config, url: &str, clock: &Clock) -> Result<Vec<u8>, DownloadError> {
    let mut keyring: Keyring = keyring(&config.update, clock);
    let coming = open(&mut keyring, url, config.update.proxy.as_ref(), WHO, 0).await;
    let mut coming = coming.map_err(DownloadError::Line)?;
    if coming.status != 200 {
        return Err(DownloadError::Line(format!("{url}: {} answers {}", WHO.0, coming.status)));
    }
    let mut document = Vec::new();
    while let Some(bytes) = coming.next().await.map_err(DownloadError::Line)? {
        document.extend_from_slice(&bytes);
        if document.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(DownloadError::Wrong(format!("a manifest has at most {DOCUMENT_BYTES_MAX} bytes")));
        }
    }
    Ok(document)
}

async fn run_installer(file: &Path) -> anyhow::Result<Exit> {
    // With nothing from afar: what the agent keeps of that lies where the agent writes, and this is root.
    let config = crate::config::load_local(&Layers::of_process(file));
    let folder = config.as_ref().map_or(Path::new(ROLLBACK_DEFAULT), |config| &config.update.rollback);
    let _lock = install::lock(folder)?;
    // A configuration that went bad is no reason to leave a device with half an update.
    let mut ended = install::finish(folder).await?;
    let config = config?;
    loop {
        let mut exit = Exit::Fine;
        if let Some(rollout) = &ended {
            exit = say(rollout);
            if rollout.result == Some(Ending::Done) && install::has_another(&config, rollout) {
                // What is installed now takes the next one: this one may know less.
                let mut next = std::process::Command::new(&config.update.binary);
                return Err(next.arg("--config").arg(file).args(["update", "install"]).exec().into());
            }
        }
        match install::install(&config, file).await? {
            Some(rollout) => ended = Some(rollout),
            None => return Ok(exit),
        }
    }
}

fn say(rollout: &Rollout) -> Exit {
    let why = rollout.why.as_deref().unwrap_or_default();
    let Rollout { from, to, .. } = rollout;
    match rollout.result {
        Some(Ending::Done) => {
            eprintln!("tidegate {} is installed, {} was before: {why}", to.version, from.version);
            Exit::Fine
        }
        Some(Ending::RolledBack) => {
            eprintln!("tidegate {} was taken back, {} is there again: {why}", to.version, from.version);
            Exit::NotFine
        }
        Some(Ending::Failed) | None => {
            eprintln!("tidegate {} was not installed: {why}", to.version);
            Exit::NotFine
        }
    }
}

fn sign_file(sign: &Sign) -> anyhow::Result<Exit> {
    let key = SigningKey::from_pem(&fs::read(&sign.key)?)?;
    place_of(&sign.url, WHO.0, WHO.1).map_err(anyhow::Error::msg)?;
    let is_package = sign.file.extension().is_some_and(|extension| extension == "deb");
    let kind = match sign.kind {
        Some(KindWord::Deb) => Kind::Deb,
        None if is_package => Kind::Deb,
        Some(KindWord::Binary) | None => Kind::Binary,
    };
    let of = (files::digest(&sign.file)?, fs::metadata(&sign.file)?.len());
    let version = sign.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let target = sign.target.clone().unwrap_or_else(target);
    let mut manifest = Manifest::new(version, target, kind, sign.url.clone(), of);
    manifest.downgrade = sign.downgrade;
    if !sign.reads.is_empty() {
        manifest.journal.reads.clone_from(&sign.reads);
    }
    manifest.journal.writes = sign.writes.unwrap_or(manifest.journal.writes);
    let signed = Signed::by(&key, &manifest);
    // What devices would refuse is not signed.
    signed.open(&key.public())?;
    println!("{}", signed.document());
    Ok(Exit::Fine)
}

fn verify(key: &VerifyingKey, document: &Path, file: Option<&Path>) -> anyhow::Result<Exit> {
    let signed = Signed::parse(&fs::read(document)?);
    let manifest = match signed.and_then(|signed| signed.open(key)) {
        Ok(manifest) => manifest,
        Err(error) => {
            eprintln!("tidegate: {error}");
            return Ok(Exit::NotFine);
        }
    };
    println!("{}", serde_json::to_string(&manifest)?);
    let Some(file) = file else { return Ok(Exit::Fine) };
    let found = files::digest(file)?;
    if found == manifest.sha256 {
        return Ok(Exit::Fine);
    }
    eprintln!("tidegate: {} has the SHA-256 {found}, the manifest says {}", file.display(), manifest.sha256);
    Ok(Exit::NotFine)
}
