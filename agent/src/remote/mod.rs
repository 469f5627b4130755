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
mod executions;
mod orders;
mod report;
mod shadow;
mod topics;

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
use tracing::{debug, error, info, warn};

use crate::backoff::spread;
use crate::config::stage::{Fault, Outcome, Revision, STARTS_MAX, Stage, Status};
use crate::config::{Config, Layers, MqttProfile, RemoteConfig, SinkKind, load_staged, load_with, stage_of};
use crate::link::{Heard, Listening, Message};
use crate::record::Inbox;
use crate::sinks::mqtt::beside::{Beside, Turn};
use crate::telemetry::health::RemoteHealth;
use crate::telemetry::logs;
use commands::Done;
pub use commands::Hands;
use desired::Keys;
use executions::Executions;
use orders::{Answer, Ledger, Order, Reply};
use report::Report;
use shadow::Shadow;
use topics::Topics;

/// Messages that wait to be dealt with.
const HEARD_MAX: usize = 16;
/// Messages that wait to be sent.
const OUTBOX_MAX: usize = 64;
/// Over so long the answers of a fleet spread that is told at once; a good link has the answer within a second.
const ANSWER_SPREAD: Duration = Duration::from_millis(400);
/// Orders that are carried out at once.
const DOING_MAX: usize = 8;

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

/// What a broker's message comes to.
#[derive(Debug, PartialEq)]
enum Said {
    /// This is the configuration that is wanted, as it was written.
    Desired(Vec<u8>),
    /// This has to be asked first.
    Ask(Message),
    /// This is to be done.
    Order(Result<Order, orders::Unread>),
}

/// The words of a broker.
enum Dialect {
    Topics(Topics),
    AwsIot(Box<Shadow>, Executions),
}

impl Dialect {
    fn of(config: &Config, remote: &RemoteConfig) -> Option<Self> {
        let sink = config.sinks.iter().find(|sink| sink.id == remote.via)?;
        let SinkKind::Mqtt(mqtt) = &sink.kind else { return None };
        Some(match mqtt.profile {
            MqttProfile::Generic => Self::Topics(Topics::below(&mqtt.beside)),
            MqttProfile::AwsIot => {
                let thing = config.device.id.as_str();
                Self::AwsIot(Box::new(Shadow::of(thing)), Executions::of(thing))
            }
        })
    }

    fn subscriptions(&self, remote: &RemoteConfig) -> Vec<String> {
        match self {
            Self::Topics(topics) => topics.subscriptions(remote),
            Self::AwsIot(shadow, executions) => {
                let shadow = remote.config.then(|| shadow.subscriptions());
                let executions = remote.commands.then(|| executions.subscriptions());
                shadow.into_iter().chain(executions).flatten().collect()
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match self {
            Self::Topics(topics) => topics.hear(heard),
            Self::AwsIot(shadow, executions) => {
                let mut said = executions.hear(&heard);
                said.extend(shadow.hear(heard));
                said
            }
        }
    }

    fn report(&mut self, report: &Report) -> Message {
        match self {
            Self::Topics(topics) => topics.report(report),
            Self::AwsIot(shadow, _) => shadow.report(report),
        }
    }

    /// When something has to be asked again.
    fn due(&self) -> Option<Instant> {
        match self {
            Self::Topics(_) => None,
            Self::AwsIot(shadow, _) => shadow.due(),
        }
    }

    fn wake(&mut self) -> Vec<Said> {
        match self {
            Self::Topics(_) => Vec::new(),
            Self::AwsIot(shadow, _) => shadow.wake(),
        }
    }

    fn answer(&self, id: &str, reply: Reply, answer: &Answer) -> Message {
        match self {
            Self::Topics(topics) => topics.answer(id, answer),
            Self::AwsIot(_, executions) => executions.answer(id, reply, answer),
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
            then: None,
            loud_until: None,
            deadline,
        })
    }
}

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
                Said::Desired(document) if self.remote.config => self.desired(&document).await?,
                Said::Order(order) if self.remote.commands => self.order(order),
                Said::Desired(_) | Said::Order(_) => {}
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

    /// What was to wait until all had been said is done now.
    async fn sent(&mut self) {
        if self.outbox.is_empty()
            && let Some(request) = self.then.take()
            && self.requests.send(request).await.is_err()
        {
            debug!("the agent ends already");
        }
    }

    /// Something is to be done, once.
    fn order(&mut self, order: Result<Order, orders::Unread>) {
        let order = match order {
            Ok(order) => order,
            Err(unread) => {
                warn!(id = unread.id, error = unread.error, "an order can not be read");
                let answer = Answer::Failed { error: unread.error };
                return self.post(self.dialect.answer(&unread.id, unread.reply, &answer));
            }
        };
        if let Some(answer) = self.ledger.answer(&order.id, order.reply).cloned() {
            // It came twice: what is said of it is said again.
            return self.post(self.dialect.answer(&order.id, order.reply, &answer));
        }
        if let Some(error) = self.refusal(&order) {
            return self.conclude(&order, &Answer::Failed { error });
        }
        info!(id = order.id, command = order.command, "told from afar");
        if let Err(error) = block_in_place(|| self.ledger.put_down(&order, &Answer::Running)) {
            // Not known to be done, it would be done again.
            let error = format!("it can not be put down on this device: {error}");
            return self.post(self.dialect.answer(&order.id, order.reply, &Answer::Failed { error }));
        }
        self.post(self.dialect.answer(&order.id, order.reply, &Answer::Accepted));
        if order.reply == Reply::Topic {
            self.post(self.dialect.answer(&order.id, order.reply, &Answer::Running));
        }
        let hands = self.hands.clone();
        self.doing.push(Box::pin(async move {
            let work = commands::obey(hands, order.command.clone(), order.args.clone());
            let done = match tokio::time::timeout(commands::TIMEOUT, work).await {
                Ok(done) => done,
                Err(_) => Err(format!("it took longer than {} s", commands::TIMEOUT.as_secs())),
            };
            (order, done)
        }));
    }

    /// Words, where an order is not begun at all.
    fn refusal(&self, order: &Order) -> Option<String> {
        if self.doing.len() >= DOING_MAX {
            return Some(format!("{DOING_MAX} orders are being carried out already"));
        }
        let expires = order.expires?;
        let now = self.hands.clock.stamp();
        if now.clock == model::Clock::Untrusted {
            return Some("the clock is not set yet: whether it has expired can not be told".to_owned());
        }
        (expires <= now.time).then(|| format!("it has expired at {expires}"))
    }

    fn done(&mut self, order: &Order, done: Result<Done, String>) {
        let answer = match done {
            Ok(Done { result, then, loud_until }) => {
                self.then = then.or(self.then.take());
                self.loud_until = loud_until.or(self.loud_until);
                Answer::Succeeded { result }
            }
            Err(error) => Answer::Failed { error },
        };
        self.conclude(order, &answer);
    }

    /// The last word about an order: in the ledger, in the journal, and to who gave it.
    fn conclude(&mut self, order: &Order, answer: &Answer) {
        if let Err(error) = block_in_place(|| self.ledger.put_down(order, answer)) {
            warn!(%error, "what became of an order can not be put down");
        }
        let event = Event::new(self.hands.clock.stamp(), EventKind::Command)
            .with("id", order.id.as_str())
            .with("command", order.command.as_str())
            .with("status", answer.as_str());
        let event = match answer {
            Answer::Failed { error } => {
                warn!(id = order.id, command = order.command, error, "an order failed");
                event.with("error", error.as_str())
            }
            _ => event,
        };
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the event of an order");
        }
        self.post(self.dialect.answer(&order.id, order.reply, answer));
    }

    /// What an agent that is no more had begun: it was told to end, or it ended by itself.
    fn conclude_unfinished(&mut self) {
        for order in self.ledger.unfinished() {
            let error = "the agent ended before it was done".to_owned();
            self.conclude(&order, &Answer::Failed { error });
        }
    }

    /// A configuration is wanted.
    async fn desired(&mut self, document: &[u8]) -> Result<(), Ended> {
        let revision = match desired::read(document, &self.keys) {
            Ok(revision) => revision,
            Err(unread) => {
                let desired::Unread { revision, faults } = *unread;
                self.reject(&revision, faults);
                return Ok(());
            }
        };
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
        info!(
            revision = self.stage.current().map(|current| current.revision.as_str()),
            "the broker was reached, the revision is confirmed"
        );
        self.tell();
        self.say();
    }

    async fn roll_back(&mut self) -> Result<(), Ended> {
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
