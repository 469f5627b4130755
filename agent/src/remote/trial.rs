//! A revision's way from being wanted to being confirmed, or back.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::desired;
use super::reference::{self, Reference};
use super::{Ended, Request, Task};
use crate::backoff::spread;
use crate::config::stage::{Fault, Outcome, Revision, Status};
use crate::config::{Config, load_staged, load_with};

/// Over so long the answers of a fleet spread that is told at once; a good link has the answer within a second.
const ANSWER_SPREAD: std::time::Duration = std::time::Duration::from_millis(400);

impl Task {
    /// A configuration is wanted.
    pub(super) async fn desired(&mut self, document: &[u8], by: Option<&Reference>) -> Result<(), Ended> {
        let revision = match desired::read(document, &self.keys) {
            Ok(revision) => revision,
            Err(unread) => {
                let desired::Unread { revision, faults } = *unread;
                self.reject(&revision, faults);
                return Ok(());
            }
        };
        if let Some(by) = by.filter(|by| !by.revision.is_empty() && by.revision != revision.revision) {
            let message = format!("the document there is {}", revision.revision);
            self.reject_unread(&by.revision, "revision", message);
            return Ok(());
        }
        if self.stage.current() == Some(&revision) {
            return Ok(());
        }
        if let Some(used) = self.stage.used_for(&revision.revision) {
            let is_last = self.stage.last.as_ref().is_some_and(|last| last.revision == revision.revision);
            // The broker has kept what was rolled back: it is not tried again under the same name.
            if is_last && used == revision.sha256() {
                return Ok(());
            }
            let message = "this name was used before: give each revision a name of its own".to_owned();
            self.reject(&revision, vec![Fault { path: "revision".to_owned(), message }]);
            return Ok(());
        }
        if let Some(message) = self.stage.confirmed.as_ref().and_then(|held| desired::is_older(&revision, held)) {
            self.reject(&revision, vec![Fault { path: "at".to_owned(), message }]);
            return Ok(());
        }
        match load_with(&self.layers, &revision) {
            Ok(config) => {
                // A fleet that is told at once does not answer at once.
                tokio::time::sleep(spread(ANSWER_SPREAD)).await;
                self.try_out(revision, config).await
            }
            Err(error) => {
                self.reject(&revision, error.faults);
                Ok(())
            }
        }
    }

    /// Gets a document that stands elsewhere, unless it is known what became of it.
    pub(super) fn fetch(&mut self, reference: Reference) {
        if self.stage.current().is_some_and(|current| current.revision == reference.revision) {
            return;
        }
        let keyring = reference::keyring(&self.hands.in_force.get(), &self.remote, &self.hands.clock);
        self.fetching = Some(Box::pin(async move {
            let fetched = reference.fetch(keyring).await;
            (reference, fetched)
        }));
    }

    /// A revision of which there is no more than its name.
    pub(super) fn reject_unread(&mut self, name: &str, path: &str, message: String) {
        let revision = Revision { revision: name.to_owned(), config: serde_json::Value::Null, author: None, at: None };
        self.reject(&revision, vec![Fault { path: path.to_owned(), message }]);
    }

    async fn try_out(&mut self, revision: Revision, config: Config) -> Result<(), Ended> {
        info!(
            revision = revision.revision,
            author = revision.author,
            "a revision of the configuration came, trying it"
        );
        let before = self.stage.clone();
        self.stage.begin(revision.clone());
        if let Err(error) = self.store() {
            self.stage = before;
            let message = format!("it can not be kept on this device: {error}");
            self.reject(&revision, vec![Fault { path: String::new(), message }]);
            return Ok(());
        }
        self.apply(config).await?;
        self.deadline = Some(Instant::now() + self.remote.confirm_within);
        self.tell();
        self.say();
        Ok(())
    }

    /// The report has been acknowledged: with it the broker was reached.
    pub(super) fn reported(&mut self) {
        if self.stage.trial.is_none() {
            return;
        }
        let before = self.stage.clone();
        self.stage.confirm();
        if let Err(error) = self.store() {
            // Not durable, not confirmed: it is tried again, until there is no time left.
            warn!(%error, "the revision can not be confirmed on this disk, will try again");
            self.stage = before;
            return self.say();
        }
        self.deadline = None;
        info!(
            revision = self.stage.current().map(|current| current.revision.as_str()),
            "the broker was reached, the revision is confirmed"
        );
        self.tell();
        self.say();
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Ended> {
        self.deadline = None;
        let within = self.remote.confirm_within.as_secs();
        self.stage.roll_back(&format!("the broker was not reached within {within} s"));
        // What can not be put down is tried again at the next start, which counts.
        if let Err(error) = self.store() {
            error!(%error, "the way back can not be put down");
        }
        match load_staged(&self.layers, &self.stage) {
            Ok(config) => self.apply(config).await?,
            Err(error) => {
                error!(%error, "what was in force can not be used any more, the revision stays until the next start");
            }
        }
        self.tell();
        self.say();
        Ok(())
    }

    fn reject(&mut self, revision: &Revision, errors: Vec<Fault>) {
        let words = |last: &Outcome| (last.revision.clone(), last.status, last.errors.clone());
        let before = self.stage.last.as_ref().map(words);
        // While one is tried its outcome is what counts.
        let held = self.stage.last.clone().filter(|_| self.stage.trial.is_some());
        self.stage.conclude(revision, Status::Rejected, errors);
        let is_news = self.stage.last.as_ref().map(words) != before;
        if is_news {
            self.tell();
            self.say();
        }
        if let Some(held) = held {
            self.stage.last = Some(held);
        } else if is_news && let Err(error) = self.store() {
            warn!(%error, "what became of the revision can not be put down");
        }
    }

    /// Asks for this configuration, and waits until it is in force.
    async fn apply(&mut self, config: Config) -> Result<(), Ended> {
        let (done, applied) = oneshot::channel();
        self.requests.send(Request::Apply(Arc::new(config), done)).await.map_err(|_| Ended)?;
        applied.await.map_err(|_| Ended)
    }
}
