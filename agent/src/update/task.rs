//! The agent's own part of an update: takes offers, fetches what was offered, and tells how the installer ended with it.

use std::sync::Arc;
use std::time::Duration;

use lake::VerifyingKey;
use model::{Event, EventKind, Record};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::download::{DownloadError, Downloads};
use super::files;
use super::manifest::{Ground, Manifest, Refused, Signed, target};
use super::report::{self, Report, Trouble};
use super::rollout::{Ending, Rollout, Step};
use super::staging::Staging;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::{Config, UpdateConfig};
use crate::record::Inbox;
use crate::telemetry::health::Shown;

/// How often what the installer has written is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two tries at a download.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30 * 60));
/// Largest file of a public key.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// The way to the agent's updates.
#[derive(Debug, Clone)]
pub struct Updates {
    config: Arc<Config>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    offered: Notify,
    /// What the download last ran into.
    trouble: Shown<Option<Trouble>>,
}

/// An offer that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The version that it brings.
    pub version: String,
    /// SHA-256 of manifest and signature.
    pub digest: String,
}

/// What fetches updates and tells how they ended.
pub struct UpdateTask {
    updates: Updates,
    clock: Clock,
    inbox: Inbox,
}

/// The way to updates, and the task that fetches them.
pub fn new(config: &Arc<Config>, clock: &Clock, inbox: Inbox) -> (Updates, UpdateTask) {
    let shared = Arc::new(Shared { offered: Notify::new(), trouble: Shown::new(None) });
    let updates = Updates { config: config.clone(), shared };
    let task = UpdateTask { updates: updates.clone(), clock: clock.clone(), inbox };
    (updates, task)
}

impl Updates {
    /// Offers an update: it is judged at once, and fetched and handed to the installer by and by. The same one again
    /// is taken again, and nothing happens twice.
    pub fn offer(&self, signed: &Signed) -> Result<Accepted, Refused> {
        let manifest = judge(&self.config, signed)?;
        let accepted = Accepted { version: manifest.version, digest: signed.digest() };
        if let Some(rollout) = self.rollout().filter(|rollout| rollout.digest == accepted.digest) {
            let why = rollout.why.unwrap_or_default();
            return match rollout.result {
                Some(Ending::Done) | None => Ok(accepted),
                Some(result) => Err(Refused::Tried { result: result.as_str(), why }),
            };
        }
        let staging = Staging::at(&self.config.update.staging);
        if let Some(refused) = staging.refused().filter(|refused| refused.of.digest() == accepted.digest) {
            return Err(Refused::Tried { result: Ending::Failed.as_str(), why: refused.why });
        }
        let is_known = |known: Option<Signed>| known.is_some_and(|known| known.digest() == accepted.digest);
        if !is_known(staging.offered()) && !is_known(staging.staged()) {
            staging.offer(signed).map_err(|error| Refused::Disk(error.to_string()))?;
            info!(version = accepted.version, "an update is offered");
            self.shared.offered.notify_one();
        }
        Ok(accepted)
    }

    /// Where the last update stands.
    pub fn report(&self) -> Report {
        report::read(&self.config.update, self.shared.trouble.get())
    }

    fn rollout(&self) -> Option<Rollout> {
        Rollout::load(&self.config.update.rollback).ok().flatten()
    }
}

/// The public key of whoever may update this device.
pub fn key_of(config: &UpdateConfig) -> Result<VerifyingKey, Refused> {
    let path = config.key.as_ref().ok_or(Refused::NoKey)?;
    let refuse = |reason: String| Refused::Key { path: path.display().to_string(), reason };
    let pem = files::read(path, KEY_BYTES_MAX).map_err(|error| refuse(error.to_string()))?;
    let pem = pem.ok_or_else(|| refuse("it is not there".to_owned()))?;
    VerifyingKey::from_pem(&pem).map_err(|error| refuse(error.to_string()))
}

/// Opens an offer, and says whether this device can take it.
pub fn judge(config: &Config, signed: &Signed) -> Result<Manifest, Refused> {
    let manifest = signed.open(&key_of(&config.update)?)?;
    let journal = journal::format_at(&config.journal.path).map_err(|error| Refused::Disk(error.to_string()))?;
    manifest.judge(Ground { version: env!("CARGO_PKG_VERSION"), target: &target(), journal })?;
    Ok(manifest)
}

impl UpdateTask {
    /// Fetches and tells until it is told to end.
    pub async fn run(self, stop: CancellationToken) {
        let Self { updates, clock, inbox } = self;
        let look = tell_endings(&updates, &clock, &inbox);
        let fetch = fetch_offers(&updates, &clock, &inbox);
        tokio::select! {
            () = look => {}
            () = fetch => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Fetches what is offered, for ever. An offer outlives a restart: it lies in the staging folder.
async fn fetch_offers(updates: &Updates, clock: &Clock, inbox: &Inbox) {
    let staging = Staging::at(&updates.config.update.staging);
    let mut backoff = Backoff::new(TRY_AGAIN.0, TRY_AGAIN.1);
    loop {
        let Some(signed) = staging.offered() else {
            updates.shared.offered.notified().await;
            continue;
        };
        let bytes = || serde_json::from_str(&signed.manifest).map_or(0, |manifest| staging.bytes_of(&manifest));
        let before = bytes();
        let fetched = tokio::select! {
            fetched = fetch(updates, &staging, &signed, clock) => fetched,
            // What is here of this one stays until the other is fetched.
            () = superseded(updates, &staging, &signed) => continue,
        };
        let trouble = fetched.as_ref().err().map(|error| Trouble { of: signed.clone(), why: error.to_string() });
        updates.shared.trouble.set(trouble.clone());
        let (Err(error), Some(trouble)) = (fetched, trouble) else {
            backoff.reset();
            continue;
        };
        if let DownloadError::Wrong(_) = error {
            warn!(%error, "the update is refused");
            tell_refused(&trouble, clock, inbox);
            if let Err(error) = staging.refuse(&trouble) {
                warn!(%error, "the offer could not be removed");
            }
        } else if bytes() > before {
            // It goes on, on a line that is often cut.
            backoff.reset();
        } else if backoff.tries() == 0 {
            warn!(%error, "the update does not come, will try again");
        }
        // Another offer need not wait.
        let wait = backoff.next_wait();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = updates.shared.offered.notified() => backoff.reset(),
        }
    }
}

/// Waits until something else is offered.
async fn superseded(updates: &Updates, staging: &Staging, signed: &Signed) {
    loop {
        updates.shared.offered.notified().await;
        if staging.offered().as_ref() != Some(signed) {
            return;
        }
    }
}

/// What does not even come to the installer ends here.
fn tell_refused(refused: &Trouble, clock: &Clock, inbox: &Inbox) {
    let manifest: Option<Manifest> = serde_json::from_str(&refused.of.manifest).ok();
    let version = manifest.map(|manifest| manifest.version).unwrap_or_default();
    let event = ending(clock, (&version, env!("CARGO_PKG_VERSION")), Ending::Failed, &refused.why);
    if inbox.offer(vec![event]).is_err() {
        warn!("no room for the event that an update was refused");
    }
}

fn ending(clock: &Clock, (version, from): (&str, &str), result: Ending, why: &str) -> Record {
    let event = Event::new(clock.stamp(), EventKind::Update)
        .with("version", version)
        .with("from", from)
        .with("result", result.as_str())
        .with("why", why);
    Record::Event(Box::new(event))
}

/// Fetches one and hands it over.
async fn fetch(updates: &Updates, staging: &Staging, signed: &Signed, clock: &Clock) -> Result<(), DownloadError> {
    // What was right when it was offered may have been replaced since.
    let manifest = judge(&updates.config, signed).map_err(|refused| match refused {
        // A key that is being changed, a disk that is away: that passes.
        Refused::NoKey | Refused::Key { .. } | Refused::Disk(_) => DownloadError::Line(refused.to_string()),
        refused => DownloadError::Wrong(refused.to_string()),
    })?;
    let _lock = staging.lock()?;
    // New ones each time: what the configuration names is read anew, and an idle agent holds nothing of it.
    Downloads::new(&updates.config.update, clock).fetch(&manifest).await?;
    info!(version = manifest.version, "the update is here and waits for the installer");
    staging.stage(signed)?;
    Ok(staging.withdraw()?)
}

/// Tells each ending once, as an event.
async fn tell_endings(updates: &Updates, clock: &Clock, inbox: &Inbox) {
    let staging = Staging::at(&updates.config.update.staging);
    let mut told = staging.told();
    loop {
        if let Some(rollout) = updates.rollout().filter(|rollout| rollout.step == Step::Ended)
            && let Some(result) = rollout.result
        {
            let mark = format!("{} {}", rollout.digest, result.as_str());
            let why = rollout.why.as_deref().unwrap_or_default();
            let event = || ending(clock, (&rollout.to.version, &rollout.from.version), result, why);
            if mark != told && inbox.offer(vec![event()]).is_ok() {
                info!(
                    version = rollout.to.version,
                    from = rollout.from.version,
                    result = result.as_str(),
                    why,
                    "an update has ended"
                );
                // Told before it is noted: a crash in between tells it twice, never not at all.
                inbox.flush().await;
                if let Err(error) = staging.tell(&mark) {
                    warn!(%error, "that the update's end was told could not be noted");
                }
                let is_over = staging.offered().is_none()
                    && staging.staged().is_none_or(|staged| staged.digest() == rollout.digest);
                if let (true, Err(error)) = (is_over, staging.keep_only(None)) {
                    warn!(%error, "what was fetched could not be removed");
                }
                told = mark;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use lake::SigningKey;

    use super::*;
    use crate::config::{Layers, load};
    use crate::update::manifest::Kind;
    use crate::update::rollout::{Build, ROLLOUT_VERSION, Settings};

    /// RFC 8032, section 7.1, test 1.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn updates(dir: &Path) -> Updates {
        let file = dir.join("tidegate.toml");
        let shown = dir.display();
        let text = format!(
            "[journal]\npath = \"{shown}/journal\"\n[update]\nkey = \"{shown}/key\"\nrollback = \"{shown}/rollback\"\n"
        );
        fs::write(&file, text).expect("a file");
        fs::write(dir.join("key"), PUBLIC).expect("a file");
        fs::create_dir(dir.join("rollback")).expect("a folder");
        let config = load(&Layers { file, env: BTreeMap::new() }).expect("a configuration");
        let shared = Arc::new(Shared { offered: Notify::new(), trouble: Shown::new(None) });
        Updates { config: Arc::new(config), shared }
    }

    fn signed(version: &str) -> Signed {
        let of = ("ab".repeat(32), 700);
        let url = "https://updates.example/".to_owned();
        let manifest = Manifest::new(version.to_owned(), target(), Kind::Binary, url, of);
        Signed::by(&SigningKey::from_pem(PRIVATE.as_bytes()).expect("a key"), &manifest)
    }

    #[test]
    fn an_offer_is_taken_once_and_another_one_takes_its_place() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let updates = updates(dir.path());
        let staging = Staging::at(&updates.config.update.staging);
        assert_eq!(updates.report().state, "none");
        let one = signed("7.0.0");
        let accepted = updates.offer(&one).expect("it is signed");
        assert_eq!((accepted.version.as_str(), staging.offered()), ("7.0.0", Some(one.clone())));
        let report = updates.report();
        assert_eq!((report.state.as_str(), report.bytes, report.of), ("downloading", Some(0), Some(700)));
        staging.stage(&one).expect("a file");
        staging.withdraw().expect("it goes");
        assert_eq!(updates.report().state, "staged");
        assert_eq!(updates.offer(&one), Ok(accepted), "it is known");
        assert_eq!(staging.offered(), None, "and not fetched again");
        let two = signed("7.0.1");
        updates.offer(&two).expect("it is signed");
        assert_eq!((staging.offered(), staging.staged()), (Some(two), None));
        let changed = Signed { manifest: one.manifest.replace("7.0.0", "7.0.2"), ..one };
        assert_eq!(updates.offer(&changed), Err(Refused::Signature));
        fs::remove_file(dir.path().join("key")).expect("a key");
        assert!(matches!(updates.offer(&signed("7.0.3")), Err(Refused::Key { .. })));
    }

    #[test]
    fn what_was_tried_in_vain_is_not_taken_again() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let updates = updates(dir.path());
        let staging = Staging::at(&updates.config.update.staging);
        let wrong = signed("7.0.0");
        updates.offer(&wrong).expect("it is signed");
        staging.refuse(&Trouble { of: wrong.clone(), why: "other bytes".to_owned() }).expect("a file");
        let report = updates.report();
        assert_eq!((report.state.as_str(), report.why.as_deref()), ("failed", Some("other bytes")));
        assert!(matches!(updates.offer(&wrong), Err(Refused::Tried { result: "failed", .. })));

        let bad = signed("7.0.1");
        let build = |version: &str| Build { version: version.to_owned(), sha256: String::new() };
        let mut rollout = Rollout {
            v: ROLLOUT_VERSION,
            digest: bad.digest(),
            kind: Some(Kind::Binary),
            from: build("6.9.9"),
            to: build("7.0.1"),
            step: Step::Checking,
            result: None,
            why: None,
            attempts: 1,
            package_kept: None,
            settings: Settings::default(),
            before: None,
        };
        rollout.store(&updates.config.update.rollback).expect("a file");
        assert!(updates.offer(&bad).is_ok(), "it is being tried");
        (rollout.step, rollout.result) = (Step::Ended, Some(Ending::RolledBack));
        rollout.store(&updates.config.update.rollback).expect("a file");
        assert!(matches!(updates.offer(&bad), Err(Refused::Tried { result: "rolled-back", .. })));
        updates.offer(&signed("7.0.2")).expect("another one");
        assert_eq!(updates.report().state, "downloading");
        staging.withdraw().expect("it goes");
        assert_eq!(updates.report().state, "rolled-back");
    }
}
