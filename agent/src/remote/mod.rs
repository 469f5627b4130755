//! What is done from afar, and that it can not cut the device off: a revision of the configuration is checked as a whole,
//! put down, tried, and kept only when the broker was reached with it.
//!
//! ```text
//! desired -> read -> check -> stage.begin (durable) -> apply -> "pending" is acknowledged -> stage.confirm (durable) -> "applied"
//!              \       \                                  \--- not within confirm_within, or too many starts
//!               rejected, nothing moves                        stage.roll_back (durable) -> apply what was -> "rolled-back"
//! ```
//!
//! All that matters stands in the stage's file: killed at any arrow, the next start goes on from there. `topics` and
//! `shadow` put what is heard and said into a broker's own words and do no I/O.

mod desired;
mod report;
mod shadow;
mod topics;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::{Event, EventKind, Record, SinkId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::block_in_place;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::stage::{Fault, Outcome, Revision, STARTS_MAX, Stage, Status};
use crate::config::{Config, InForce, Layers, MqttProfile, RemoteConfig, SinkKind, load_staged, load_with, stage_of};
use crate::link::{Heard, Listening, Message};
use crate::record::Inbox;
use crate::sinks::mqtt::beside::{Beside, Turn};
use crate::telemetry::health::{Health, RemoteHealth};
use desired::Keys;
use report::Report;
use shadow::Shadow;
use topics::Topics;

/// Messages that wait to be dealt with.
const HEARD_MAX: usize = 16;

/// What the rest of the agent is asked to do.
#[derive(Debug)]
pub enum Request {
    /// Make this the configuration in force, and say so. Where everything has to be started anew nobody waits for it.
    Apply(Arc<Config>, oneshot::Sender<()>),
}

/// What comes from afar, before there is an agent to do it.
#[derive(Debug)]
pub struct Afar {
    layers: Layers,
    requests: mpsc::Sender<Request>,
    told: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
}

/// What a broker's message comes to.
#[derive(Debug, PartialEq)]
enum Said {
    /// This is the configuration that is wanted, as it was written.
    Desired(Vec<u8>),
    /// This has to be asked first.
    Ask(Message),
}

/// The words of a broker.
enum Dialect {
    Topics(Topics),
    Shadow(Shadow),
}

impl Dialect {
    fn of(config: &Config, remote: &RemoteConfig) -> Option<Self> {
        let sink = config.sinks.iter().find(|sink| sink.id == remote.via)?;
        let SinkKind::Mqtt(mqtt) = &sink.kind else { return None };
        Some(match mqtt.profile {
            MqttProfile::Generic => Self::Topics(Topics::below(&mqtt.beside)),
            MqttProfile::AwsIot => Self::Shadow(Shadow::of(config.device.id.as_str())),
        })
    }

    fn subscriptions(&self) -> Vec<String> {
        match self {
            Self::Topics(topics) => topics.subscriptions(),
            Self::Shadow(shadow) => shadow.subscriptions(),
        }
    }

    fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match self {
            Self::Topics(topics) => topics.hear(heard),
            Self::Shadow(shadow) => shadow.hear(heard),
        }
    }

    fn report(&mut self, report: &Report) -> Message {
        match self {
            Self::Topics(topics) => topics.report(report),
            Self::Shadow(shadow) => shadow.report(report),
        }
    }
}

/// The configuration to start with, and the count of starts with one that is not confirmed yet. Called once a process,
/// before anything acts on it: what makes the agent fail at once is left behind after a few starts.
pub fn begin(layers: &Layers) -> Result<Config, crate::config::ConfigError> {
    let journal = crate::config::journal_path(layers);
    let (mut stage, trouble) = stage_of(layers);
    if let Some(error) = trouble {
        error!(%error, "the revision from afar can not be read, what stands on the device is in force");
    }
    if let Some(trial) = &mut stage.trial {
        trial.starts += 1;
        let revision = trial.revision.revision.clone();
        if trial.starts > STARTS_MAX {
            warn!(revision, starts = STARTS_MAX, "the revision was never confirmed, back to the last one that was");
            stage.roll_back(&format!("the agent was started {STARTS_MAX} times with it and never confirmed it"));
        }
        if let Err(error) = stage.store(&journal) {
            warn!(%error, "starts can not be counted, the revision that is not confirmed is left out");
            stage.trial = None;
        }
    }
    load_staged(layers, &stage)
}

impl Afar {
    /// With the layers that a revision is laid over, and the way to ask for what it wants.
    pub fn new(layers: Layers, requests: mpsc::Sender<Request>) -> Self {
        let (told, heard) = mpsc::channel(HEARD_MAX);
        Self { layers, requests, told, heard }
    }

    /// What is to be listened to, and over which sink's link; nothing where nothing may be done from afar.
    pub fn listening(&self, config: &Config) -> Option<(SinkId, Listening)> {
        let remote = config.remote.as_ref().filter(|remote| remote.config || remote.commands)?;
        let topics = Dialect::of(config, remote)?.subscriptions();
        Some((remote.via.clone(), Listening { topics, heard: self.told.clone() }))
    }

    /// The task that does it; `way` leads to the broker.
    pub fn into_task(
        self,
        way: watch::Receiver<Beside>,
        in_force: InForce,
        (inbox, clock, health): (Inbox, Clock, Arc<Health>),
    ) -> Option<Task> {
        let config = in_force.get();
        let remote = config.remote.clone()?;
        let dialect = Dialect::of(&config, &remote)?;
        let keys = Keys { device: config.device.id.to_string(), key: remote.key.clone() };
        let (stage, _) = stage_of(&self.layers);
        let Self { layers, requests, told: _, heard } = self;
        let journal = config.journal.path.clone();
        let deadline = stage.trial.is_some().then(|| Instant::now() + remote.confirm_within);
        Some(Task {
            layers, requests, heard, way, in_force, inbox, clock, health, journal, remote, dialect, keys, stage,
            saying: None, asking: None, deadline,
        })
    }
}

type Saying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The task.
pub struct Task {
    layers: Layers,
    requests: mpsc::Sender<Request>,
    heard: mpsc::Receiver<Heard>,
    way: watch::Receiver<Beside>,
    in_force: InForce,
    inbox: Inbox,
    clock: Clock,
    health: Arc<Health>,
    journal: std::path::PathBuf,
    remote: RemoteConfig,
    dialect: Dialect,
    keys: Keys,
    stage: Stage,
    /// The report on its way; a newer one takes its place.
    saying: Option<Saying>,
    /// A question on its way.
    asking: Option<Saying>,
    /// When the revision that is being tried is rolled back.
    deadline: Option<Instant>,
}

enum Turned {
    Heard(Option<Heard>),
    Reported,
    Asked,
    Late,
}

impl Task {
    /// Listens until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        self.tell();
        // The last word may not have reached the broker before the end of the last run.
        self.say();
        loop {
            let turned = tokio::select! {
                () = stop.cancelled() => return,
                heard = self.heard.recv() => Turned::Heard(heard),
                () = finished(&mut self.saying) => Turned::Reported,
                () = finished(&mut self.asking) => Turned::Asked,
                () = tokio::time::sleep_until(self.deadline.unwrap_or_else(Instant::now)), if self.deadline.is_some() => Turned::Late,
            };
            match turned {
                Turned::Heard(Some(heard)) => self.hear(heard).await,
                // The links are gone, and the agent with them.
                Turned::Heard(None) => return stop.cancelled().await,
                Turned::Reported => self.reported(),
                Turned::Asked => {}
                Turned::Late => self.roll_back().await,
            }
        }
    }

    async fn hear(&mut self, heard: Heard) {
        for said in self.dialect.hear(heard) {
            match said {
                Said::Ask(message) => self.asking = Some(Box::pin(send(self.way.clone(), message))),
                Said::Desired(document) if self.remote.config => self.desired(&document).await,
                Said::Desired(_) => {}
            }
        }
    }

    /// A configuration is wanted.
    async fn desired(&mut self, document: &[u8]) {
        let revision = match desired::read(document, &self.keys) {
            Ok(revision) => revision,
            Err(unread) => return self.reject(&unread.revision, unread.faults),
        };
        if self.stage.current() == Some(&revision) {
            return;
        }
        if let Some(used) = self.stage.used_for(&revision.revision) {
            let is_last = self.stage.last.as_ref().is_some_and(|last| last.revision == revision.revision);
            // The broker has kept what was rolled back: it is not tried again under the same name.
            if is_last && used == revision.sha256() {
                return;
            }
            let message = "this name was used before: give each revision a name of its own".to_owned();
            return self.reject(&revision, vec![Fault { path: "revision".to_owned(), message }]);
        }
        if let Some(message) = self.stage.confirmed.as_ref().and_then(|held| desired::is_older(&revision, held)) {
            return self.reject(&revision, vec![Fault { path: "at".to_owned(), message }]);
        }
        match load_with(&self.layers, &revision) {
            Ok(config) => self.try_out(revision, config).await,
            Err(error) => self.reject(&revision, error.faults),
        }
    }

    async fn try_out(&mut self, revision: Revision, config: Config) {
        info!(revision = revision.revision, author = revision.author, "a revision of the configuration came, trying it");
        let before = self.stage.clone();
        self.stage.begin(revision.clone());
        if let Err(error) = self.store() {
            self.stage = before;
            let message = format!("it can not be kept on this device: {error}");
            return self.reject(&revision, vec![Fault { path: String::new(), message }]);
        }
        self.apply(config).await;
        self.deadline = Some(Instant::now() + self.remote.confirm_within);
        self.tell();
        self.say();
    }

    /// The report has been acknowledged: with it the broker was reached.
    fn reported(&mut self) {
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
        info!(revision = self.stage.current().map(|current| current.revision.as_str()), "the broker was reached, the revision is confirmed");
        self.tell();
        self.say();
    }

    async fn roll_back(&mut self) {
        self.deadline = None;
        let within = self.remote.confirm_within.as_secs();
        self.stage.roll_back(&format!("the broker was not reached within {within} s"));
        // What can not be put down is tried again at the next start, which counts.
        if let Err(error) = self.store() {
            error!(%error, "the way back can not be put down");
        }
        match load_staged(&self.layers, &self.stage) {
            Ok(config) => self.apply(config).await,
            Err(error) => error!(%error, "what was in force can not be used any more, the revision stays until the next start"),
        }
        self.tell();
        self.say();
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

    async fn apply(&mut self, config: Config) {
        let (done, applied) = oneshot::channel();
        if self.requests.send(Request::Apply(Arc::new(config), done)).await.is_err() || applied.await.is_err() {
            // The agent is started anew with it; that start goes on from what is put down.
            std::future::pending::<()>().await;
        }
    }

    fn store(&self) -> std::io::Result<()> {
        block_in_place(|| self.stage.store(&self.journal))
    }

    /// Puts what became of the last revision into the journal, the log and `status`, once.
    fn tell(&mut self) {
        let Some(last) = &mut self.stage.last else { return };
        let words: Vec<String> = last.errors.iter().map(Fault::words).collect();
        let shown = RemoteHealth { revision: last.revision.clone(), status: last.status.as_str().to_owned(), errors: words.clone() };
        self.health.remote.set(Some(shown));
        let kind = match last.status {
            Status::Pending => return,
            Status::Applied => EventKind::ConfigApplied,
            Status::Rejected => EventKind::ConfigRejected,
            Status::RolledBack => EventKind::ConfigRolledBack,
        };
        if std::mem::replace(&mut last.is_told, true) {
            return;
        }
        let event = Event::new(self.clock.stamp(), kind).with("revision", last.revision.as_str());
        let event = if words.is_empty() { event } else { event.with("errors", words.join("; ")) };
        if last.status != Status::Applied {
            warn!(revision = last.revision, errors = words.join("; "), "revision {}", last.status.as_str());
        }
        let event = match self.stage.confirmed.as_ref().and_then(|revision| revision.author.as_deref()) {
            Some(author) if last.status == Status::Applied => event.with("author", author),
            _ => event,
        };
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the event of the revision");
        }
        if let Err(error) = self.store() {
            warn!(%error, "what became of the revision can not be put down");
        }
    }

    /// Puts the report on its way, however long that takes.
    fn say(&mut self) {
        let Some(last) = &self.stage.last else { return };
        let config = self.in_force.get();
        let report = Report {
            outcome: last,
            in_force: self.stage.current(),
            config_hash: &config.hash,
            at: self.clock.now(),
        };
        let message = self.dialect.report(&report);
        self.saying = Some(Box::pin(send(self.way.clone(), message)));
    }
}

/// Waits for what is on its way, and takes it out.
async fn finished(what: &mut Option<Saying>) {
    match what {
        Some(saying) => saying.await,
        None => std::future::pending().await,
    }
    *what = None;
}

/// Sends over the link that there is, until the broker has answered: a link that is exchanged meanwhile is no end.
async fn send(mut way: watch::Receiver<Beside>, message: Message) {
    loop {
        let mut beside = way.borrow_and_update().clone();
        tokio::select! {
            is_taken = beside.send(&message, Turn::Ahead) => {
                if !is_taken {
                    warn!(topic = message.topic, "the broker does not let this device say that");
                }
                return;
            }
            changed = way.changed() => if changed.is_err() {
                tokio::time::sleep(Duration::MAX).await;
            }
        }
    }
}
