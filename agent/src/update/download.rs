//! Fetching an update: from where the last try stopped, no faster and no more than it may, and held against its hash
//! before it gets a name that anybody looks for.
//!
//! What is here of it may be of another file under the same address, or torn by a power cut: then the hash says so,
//! and it is fetched once more from the start. What is wrong from the start on is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::SinkId;
use tokio::time::{Instant, sleep};

use super::files;
use super::manifest::Manifest;
use super::staging::Staging;
use crate::clock::Clock;
use crate::config::UpdateConfig;
use crate::config::proxy::ProxyConfig;
use crate::config::tls::TlsConfig;
use crate::link::fetch::{self, Coming, Keyring};
use crate::sinks::meter::{Allowance, Meter, Wait};
use crate::telemetry::health::SinkHealth;

/// What a person reads of the far side.
pub const WHO: (&str, &str) = ("the server of updates", "url");
/// A server may send us on so often.
const REDIRECTS_MAX: u32 = 4;
/// Left free on the disk: the journal lives there.
const FREE_BYTES_MIN: u64 = 16 << 20;

/// A download that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The far side or the line: later it may go on.
    #[error("{0}")]
    Line(String),
    /// The disk: later there may be room.
    #[error("it can not be kept: {0}")]
    Disk(#[from] io::Error),
    /// What comes is something else, also from the start on.
    #[error("what came is not what the manifest says: {0}")]
    Wrong(String),
}

/// What fetches updates.
pub struct Downloads {
    staging: Staging,
    folder: PathBuf,
    proxy: Option<ProxyConfig>,
    keyring: Keyring,
    meter: Meter,
    clock: Clock,
}

/// Whom servers of updates are held against. We show no key of ours: the manifest is signed, the file is named by its hash.
pub fn keyring(config: &UpdateConfig, clock: &Clock) -> Keyring {
    let health = Arc::new(SinkHealth::new(SinkId::try_new("update").expect("a valid name"), "https"));
    let tls = TlsConfig { ca: config.ca.clone(), identity: None, alpn: None };
    Keyring::new(tls, clock.clone(), health)
}

impl Downloads {
    /// Downloads as configured.
    pub fn new(config: &UpdateConfig, clock: &Clock) -> Self {
        let spending = config.spending;
        let allowance = Allowance {
            bytes_per_second: spending.max_rate,
            messages_per_second: None,
            bytes_per_month: spending.budget,
        };
        Self {
            staging: Staging::at(&config.staging),
            folder: config.staging.clone(),
            proxy: config.proxy.clone(),
            keyring: keyring(config, clock),
            meter: Meter::open(allowance, &config.staging, "update"),
            clock: clock.clone(),
        }
    }

    /// Fetches what lacks, and has it ready under its name.
    pub async fn fetch(&mut self, manifest: &Manifest) -> Result<(), DownloadError> {
        self.staging.keep_only(Some(manifest))?;
        if self.staging.has(manifest) {
            return Ok(());
        }
        let part = self.staging.part(manifest);
        let resumed = self.fetch_rest(manifest, &part).await?;
        match verify(&part, manifest).await? {
            Ok(()) => Ok(self.staging.complete(manifest)?),
            Err(words) => {
                files::remove(&part)?;
                if !resumed {
                    return Err(DownloadError::Wrong(words));
                }
                self.fetch_rest(manifest, &part).await?;
                match verify(&part, manifest).await? {
                    Ok(()) => Ok(self.staging.complete(manifest)?),
                    Err(words) => {
                        files::remove(&part)?;
                        Err(DownloadError::Wrong(words))
                    }
                }
            }
        }
    }

    /// Takes it from a file instead, a stick's say.
    pub fn take(&self, manifest: &Manifest, from: &Path) -> Result<(), DownloadError> {
        self.staging.keep_only(Some(manifest))?;
        let part = self.staging.part(manifest);
        files::put_program(&mut File::open(from)?, &part, &manifest.sha256)
            .map_err(|error| DownloadError::Wrong(format!("{}: {error}", from.display())))?;
        Ok(self.staging.complete(manifest)?)
    }

    /// Fetches behind what is there. Says whether something was.
    async fn fetch_rest(&mut self, manifest: &Manifest, part: &Path) -> Result<bool, DownloadError> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
        let mut have = file.metadata()?.len();
        if have > manifest.size {
            file.set_len(0)?;
            have = 0;
        }
        let resumed = have > 0;
        if have == manifest.size {
            return Ok(resumed);
        }
        self.make_sure_of_room(manifest.size - have)?;
        self.wait_allowed().await?;
        let mut coming = self.open(&manifest.url, have).await?;
        let begin = match (coming.status, coming.begin) {
            (206, Some(begin)) if begin <= have => begin,
            (200, _) => 0,
            (206, begin) => {
                return Err(DownloadError::Line(format!("asked for what is behind {have}, it sent {begin:?}")));
            }
            (416, _) => {
                // What is here stays: fetched anew it would end there again, and cost as much again.
                return Err(DownloadError::Line("the server has less of it than there is here".to_owned()));
            }
            (status, _) => return Err(DownloadError::Line(format!("{} answers {status}", WHO.0))),
        };
        file.set_len(begin)?;
        file.seek(SeekFrom::Start(begin))?;
        let mut at = begin;
        while at < manifest.size {
            self.wait_allowed().await?;
            let Some(bytes) = coming.next().await.map_err(DownloadError::Line)? else { break };
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.meter.spend(count, Instant::now(), self.clock.now());
            at = at.saturating_add(count);
            if at > manifest.size {
                // Not written: what is longer than it says would fill the disk.
                return Err(DownloadError::Wrong(format!("it is longer than {} bytes", manifest.size)));
            }
            file.write_all(&bytes)?;
        }
        if at < manifest.size {
            return Err(DownloadError::Line(format!("it ended after {at} of {} bytes", manifest.size)));
        }
        Ok(begin > 0)
    }

    /// Asks, there and where it is sent on to.
    async fn open(&mut self, url: &str, from: u64) -> Result<Coming, DownloadError> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let coming = fetch::open(&mut self.keyring, &url, self.proxy.as_ref(), WHO, from).await;
            let coming = coming.map_err(DownloadError::Line)?;
            match (coming.status, &coming.location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    url = next_of(&url, location).map_err(DownloadError::Line)?;
                }
                _ => return Ok(coming),
            }
        }
        Err(DownloadError::Line(format!("{} has sent us on {REDIRECTS_MAX} times", WHO.0)))
    }

    /// Waits for what the rate owes. A budget is not waited for with a connection in the hand.
    async fn wait_allowed(&self) -> Result<(), DownloadError> {
        loop {
            match self.meter.may_send(Instant::now(), self.clock.now()) {
                Ok(()) => return Ok(()),
                Err(Wait::For(wait)) => sleep(wait).await,
                Err(Wait::Month(_)) => {
                    let words = "the month's budget for updates is spent, the rest comes when it is over";
                    return Err(DownloadError::Line(words.to_owned()));
                }
            }
        }
    }

    fn make_sure_of_room(&self, bytes: u64) -> io::Result<()> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free >= bytes.saturating_add(FREE_BYTES_MIN) {
            return Ok(());
        }
        let (free, needed) = (free >> 20, (bytes + FREE_BYTES_MIN) >> 20);
        Err(io::Error::other(format!("{free} MiB are free on the disk, and {needed} MiB are needed")))
    }
}

/// Where a server sends us: somewhere else, or elsewhere on it. Never from HTTPS to HTTP, where others can listen.
fn next_of(url: &str, location: &str) -> Result<String, String> {
    if location.starts_with("https://") || (location.starts_with("http://") && url.starts_with("http://")) {
        return Ok(location.to_owned());
    }
    let authority_end = url.find("://").map(|at| at + 3).and_then(|at| Some(at + url[at..].find(['/', '?'])?));
    match authority_end.or(Some(url.len())).and_then(|end| url.get(..end)) {
        Some(server) if location.starts_with('/') && !location.starts_with("//") => Ok(format!("{server}{location}")),
        _ => Err(format!("{} sends us on to \"{location}\", where we do not go", WHO.0)),
    }
}

/// Holds a file against its manifest, off the runtime.
async fn verify(part: &Path, manifest: &Manifest) -> io::Result<Result<(), String>> {
    let (part, sha256) = (part.to_owned(), manifest.sha256.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let found = files::digest(&part)?;
        Ok(if found == sha256 { Ok(()) } else { Err(format!("its SHA-256 is {found}, not {sha256}")) })
    });
    looked.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sends_us_on_within_what_is_secure() {
        let next = |url, location| next_of(url, location).ok();
        assert_eq!(next("https://a.example/b?c", "https://d.example/").as_deref(), Some("https://d.example/"));
        assert_eq!(next("https://a.example/b?c", "/d").as_deref(), Some("https://a.example/d"));
        assert_eq!(next("http://a.example", "/d").as_deref(), Some("http://a.example/d"));
        assert_eq!(next("http://a.example/", "https://d/").as_deref(), Some("https://d/"));
        for location in ["http://d.example/", "//d.example/", "d", ""] {
            assert_eq!(next("https://a.example/", location), None, "{location}");
        }
    }
}
