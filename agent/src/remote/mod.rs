//! What is done from afar, and that it can not cut the device off: a revision of the configuration is checked as a whole,
//! put down, tried, and kept only when the broker was reached with it.
//!
//! ```text
//! desired -> read -> check -> stage.begin (durable) -> apply -> "pending" is acknowledged -> stage.confirm (durable) -> "applied"
//!              \       \                                  \--- not within confirm_within, or too many starts
//!               rejected, nothing moves                        stage.roll_back (durable) -> apply what was -> "rolled-back"
//! ```
//!
//! Orders (`commands`) are done once each: what became of one is put down before it is begun.
//!
//! All that matters stands in the stage's file: killed at any arrow, the next start goes on from there. `topics` and
//! `shadow` put what is heard and said into a broker's own words and do no I/O.

mod bundle;
mod commands;
mod desired;
mod dialect;
mod executions;
mod orders;
mod reference;
mod report;
mod shadow;
mod topics;
mod trial;
mod work;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::{Event, EventKind, Record, SinkId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::block_in_place;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config::stage::{Fault, STARTS_MAX, Stage, Status};
use crate::config::{Config, Layers, RemoteConfig, load_staged, stage_of};
use crate::link::{Heard, Listening, Message};
use crate::record::Inbox;
use crate::sinks::mqtt::beside::{Beside, Turn};
use crate::telemetry::health::RemoteHealth;
use crate::telemetry::logs;
use commands::Done;
pub use commands::Hands;
use desired::Keys;
use dialect::{Dialect, Said};
use orders::{Ledger, Order};
use reference::Reference;
use report::Report;

/// Messages that wait to be dealt with.
const HEARD_MAX: usize = 16;
/// Messages that wait to be sent.
const OUTBOX_MAX: usize = 64;

/// What the rest of the agent is asked to do.
#[derive(Debug)]
pub enum Request {
    /// Make this the configuration in force, and say so. Where everything has to be started anew nobody waits for it.
    Apply(Arc<Config>, oneshot::Sender<()>),
    /// End in order and start anew, as another process.
    Restart,
    /// Start the board anew.
    Reboot,
}

/// What comes from afar, before there is an agent to do it.
#[derive(Debug)]
pub struct Afar {
    layers: Layers,
    requests: mpsc::Sender<Request>,
    told: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
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

    /// What the configuration is made from.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// What is to be listened to, and over which sink's link; nothing where nothing may be done from afar.
    pub fn listening(&self, config: &Config) -> Option<(SinkId, Listening)> {
        let remote = config.remote.as_ref().filter(|remote| remote.config || remote.commands)?;
        let topics = Dialect::of(config, remote)?.subscriptions(remote);
        Some((remote.via.clone(), Listening { topics, heard: self.told.clone() }))
    }

    /// The task that does it; `way` leads to the broker.
    pub fn into_task(self, way: watch::Receiver<Beside>, inbox: Inbox, hands: Hands) -> Option<Task> {
        let config = hands.in_force.get();
        let remote = config.remote.clone()?;
        let dialect = Dialect::of(&config, &remote)?;
        let keys = Keys { device: config.device.id.to_string(), key: remote.key.clone() };
        let (stage, _) = stage_of(&self.layers);
        let Self { layers, requests, told: _, heard } = self;
        let journal = config.journal.path.clone();
        let deadline = stage.trial.is_some().then(|| Instant::now() + remote.confirm_within);
        let ledger = Ledger::open(&journal);
        Some(Task {
            layers,
            requests,
            heard,
            way,
            inbox,
            hands,
            journal,
            remote,
            dialect,
            keys,
            stage,
            ledger,
            saying: None,
            outbox: VecDeque::new(),
            sending: None,
            doing: FuturesUnordered::new(),
            fetching: None,
            then: None,
            loud_until: None,
            deadline,
        })
    }
}

type Fetching = Pin<Box<dyn Future<Output = (Reference, Result<Vec<u8>, String>)> + Send>>;
type Saying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The agent is started anew: nothing is said any more over what there was, least of all that a revision is confirmed. The
/// next start goes on from what is put down.
struct Ended;

/// The task.
pub struct Task {
    layers: Layers,
    requests: mpsc::Sender<Request>,
    heard: mpsc::Receiver<Heard>,
    way: watch::Receiver<Beside>,
    inbox: Inbox,
    hands: Hands,
    journal: std::path::PathBuf,
    remote: RemoteConfig,
    dialect: Dialect,
    keys: Keys,
    stage: Stage,
    ledger: Ledger,
    /// The report on its way; a newer one takes its place.
    saying: Option<Saying>,
    /// Questions and answers, which go in their order; one of them is on its way.
    outbox: VecDeque<Message>,
    sending: Option<Saying>,
    /// Orders that are being carried out.
    doing: FuturesUnordered<Doing>,
    /// A document that is being fetched; a newer one takes its place.
    fetching: Option<Fetching>,
    /// What is to be done when all has been said.
    then: Option<Request>,
    /// When the log goes back to its usual level.
    loud_until: Option<Instant>,
    /// When the revision that is being tried is rolled back.
    deadline: Option<Instant>,
}

enum Turned {
    Heard(Option<Heard>),
    Reported,
    Sent,
    Done(Order, Result<Done, String>),
    Fetched(Reference, Result<Vec<u8>, String>),
    Quiet,
    Unanswered,
    Late,
}

type Doing = Pin<Box<dyn Future<Output = (Order, Result<Done, String>)> + Send>>;

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Task {
    /// Listens until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        self.tell();
        // The last word may not have reached the broker before the end of the last run.
        self.say();
        self.conclude_unfinished();
        loop {
            self.send_next();
            let turned = tokio::select! {
                () = stop.cancelled() => return,
                heard = self.heard.recv() => Turned::Heard(heard),
                () = finished(&mut self.saying) => Turned::Reported,
                () = finished(&mut self.sending) => Turned::Sent,
                Some((order, done)) = self.doing.next() => Turned::Done(order, done),
                (reference, fetched) = fetched(&mut self.fetching) => Turned::Fetched(reference, fetched),
                () = at(self.loud_until) => Turned::Quiet,
                () = at(self.dialect.due()) => Turned::Unanswered,
                () = at(self.deadline) => Turned::Late,
            };
            let went_on = match turned {
                Turned::Heard(Some(heard)) => {
                    let said = self.dialect.hear(heard);
                    self.heed(said).await
                }
                Turned::Heard(None) => Err(Ended),
                Turned::Unanswered => {
                    let said = self.dialect.wake();
                    self.heed(said).await
                }
                Turned::Fetched(reference, Ok(document)) => self.desired(&document, Some(&reference)).await,
                Turned::Fetched(reference, Err(error)) => {
                    self.reject_unread(&reference.revision, "url", error);
                    Ok(())
                }
                Turned::Late => self.roll_back().await,
                Turned::Reported => {
                    self.reported();
                    Ok(())
                }
                Turned::Sent => {
                    self.sent().await;
                    Ok(())
                }
                Turned::Done(order, done) => {
                    self.done(&order, done);
                    Ok(())
                }
                Turned::Quiet => {
                    self.loud_until = None;
                    logs::set_level(None);
                    Ok(())
                }
            };
            if went_on.is_err() {
                return stop.cancelled().await;
            }
        }
    }

    async fn heed(&mut self, said: Vec<Said>) -> Result<(), Ended> {
        for said in said {
            match said {
                Said::Ask(message) => self.post(message),
                Said::Desired(document) if self.remote.config => match Reference::read(&document) {
                    Some(reference) => self.fetch(reference),
                    None => self.desired(&document, None).await?,
                },
                Said::Order(order) if self.remote.commands => self.order(order),
                Said::TooLarge { bytes } if self.remote.config => {
                    let words = "put it on a server, and send {\"revision\", \"sha256\", \"url\"}";
                    self.reject_unread("", "", format!("it has {bytes} bytes and a message 131072: {words}"));
                }
                Said::Desired(_) | Said::TooLarge { .. } | Said::Order(_) => {}
            }
        }
        Ok(())
    }

    /// Puts a message behind those that wait.
    fn post(&mut self, message: Message) {
        if self.outbox.len() >= OUTBOX_MAX {
            warn!(topic = message.topic, "too much to say to the broker, this is left out");
            return;
        }
        self.outbox.push_back(message);
    }

    fn send_next(&mut self) {
        if self.sending.is_none()
            && let Some(message) = self.outbox.pop_front()
        {
            self.sending = Some(Box::pin(send(self.way.clone(), message)));
        }
    }

    fn store(&self) -> std::io::Result<()> {
        block_in_place(|| self.stage.store(&self.journal))
    }

    /// Puts what became of the last revision into the journal, the log and `status`, once.
    fn tell(&mut self) {
        let Some(last) = &mut self.stage.last else { return };
        let words: Vec<String> = last.errors.iter().map(Fault::words).collect();
        let shown = RemoteHealth {
            revision: last.revision.clone(),
            status: last.status.as_str().to_owned(),
            errors: words.clone(),
        };
        self.hands.health.remote.set(Some(shown));
        let kind = match last.status {
            Status::Pending => return,
            Status::Applied => EventKind::ConfigApplied,
            Status::Rejected => EventKind::ConfigRejected,
            Status::RolledBack => EventKind::ConfigRolledBack,
        };
        if std::mem::replace(&mut last.is_told, true) {
            return;
        }
        let event = Event::new(self.hands.clock.stamp(), kind).with("revision", last.revision.as_str());
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
        let config = self.hands.in_force.get();
        let report = Report {
            outcome: last,
            in_force: self.stage.current(),
            config_hash: &config.hash,
            at: self.hands.clock.now(),
        };
        let message = self.dialect.report(&report);
        self.saying = Some(Box::pin(send(self.way.clone(), message)));
    }
}

/// Waits for a document, and takes it out.
async fn fetched(what: &mut Option<Fetching>) -> (Reference, Result<Vec<u8>, String>) {
    let fetched = match what {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    };
    *what = None;
    fetched
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
