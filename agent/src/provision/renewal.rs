//! Another certificate before the one in use ends, or when somebody asks for it, over the device's own link.
//!
//! The old pair is kept until the link has connected with the new one; where it does not, the old one comes back. What
//! fails is tried again a day later: until the end there are as many days as `renew_before` says.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use model::{Event, EventKind, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::claim::finish;
use super::course::{Course, Step, off};
use super::files::Places;
use super::sheet::{Purpose, Sheet, State};
use super::{AskError, ProvisionError};
use crate::clock::Clock;
use crate::config::{Config, ProvisionConfig};
use crate::link::{Connections, Link};
use crate::record::Inbox;
use crate::sinks::mqtt::beside::Beside;
use crate::telemetry::health::{Health, Validity};
use crate::telemetry::logs::chain;

/// How often it is looked whether the end is near.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// The same while nobody knows the certificate yet: the link reads it when it connects.
const LOOK_FIRST: Duration = Duration::from_secs(1);
/// Between two attempts: a day, give or take a quarter, so that a fleet that was made in one hour spreads out.
const AGAIN: std::ops::RangeInclusive<u64> = 18 * 3_600..=30 * 3_600;
/// How long an answer is waited for, the link's own troubles included.
const PATIENCE: Duration = Duration::from_secs(300);
/// A connection that holds for so long was taken.
const HOLD: Duration = Duration::from_secs(5);
/// A certificate that was made for a shorter time than `renew_before` is not renewed again and again.
const LIFE_SHARE_DIVISOR: i64 = 2;
/// Questions that wait.
const ASKED_MAX: usize = 1;

/// What is asked of the task, and how it went.
type Answer = oneshot::Sender<Result<String, String>>;

/// The way to ask for another certificate now.
#[derive(Debug, Clone)]
pub struct Rotator(mpsc::Sender<Answer>);

impl Rotator {
    /// Has the certificate exchanged; its name at the far side, or why not, in words.
    pub async fn rotate(&self) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| "the agent ends".to_owned();
        self.0.try_send(answer).map_err(|_| "a renewal is under way".to_owned())?;
        answered.await.map_err(gone)?
    }
}

/// The task.
pub struct Renewals {
    section: ProvisionConfig,
    template: String,
    device: String,
    places: Places,
    way: watch::Receiver<Beside>,
    health: Arc<Health>,
    inbox: Inbox,
    clock: Clock,
    asked: mpsc::Receiver<Answer>,
}

impl Renewals {
    /// Where the configuration has a template; `way` leads over the link of its sink.
    pub fn new(
        config: &Config,
        way: watch::Receiver<Beside>,
        (inbox, clock, health): (Inbox, Clock, Arc<Health>),
    ) -> Option<(Self, Rotator)> {
        let section = config.provision.clone()?;
        let template = section.template.clone()?;
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        let (device, places) = (config.device.id.to_string(), Places::of(&section));
        Some((Self { section, template, device, places, way, health, inbox, clock, asked }, Rotator(ask)))
    }

    /// Renews until told to stop. An end at any line is as good as a kill there: all is on disk.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.watch() => match never {}
        }
    }

    async fn watch(&mut self) -> Infallible {
        if let Err(error) = self.conclude().await {
            warn!(error = chain(&error), "what became of the new certificate can not be put down");
        }
        let mut rest = Duration::ZERO;
        loop {
            let answer = self.due(rest).await;
            let renewed = self.renew().await;
            rest = match &renewed {
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    let rest = Duration::from_secs(fastrand::u64(AGAIN));
                    let again_h = rest.as_secs() / 3_600;
                    warn!(error = chain(error), again_h, "no new certificate, the one in use stays");
                    rest
                }
            };
            if let Some(answer) = answer
                && answer.send(renewed.map_err(|error| chain(&error))).is_err()
            {
                warn!("nobody waits for the new certificate any more");
            }
        }
    }

    /// Waits until the end is near, and at least for `rest`, or until somebody asks; who that is.
    async fn due(&mut self, rest: Duration) -> Option<Answer> {
        let Self { section, health, clock, asked, .. } = self;
        let near = async {
            tokio::time::sleep(rest).await;
            loop {
                let validity = validity(health, section);
                let before = section.renew_before;
                if validity.zip(before).is_some_and(|(held, before)| is_near(held, before, clock)) {
                    return;
                }
                tokio::time::sleep(if validity.is_none() { LOOK_FIRST } else { LOOK_EVERY }).await;
            }
        };
        tokio::select! {
            () = near => None,
            Some(answer) = asked.recv() => Some(answer),
        }
    }

    /// One attempt: the new certificate's name at the far side.
    async fn renew(&mut self) -> Result<String, ProvisionError> {
        let _lock = self.places.lock()?;
        let link = self.link();
        link.up().await;
        let say = |step: &Step<'_>| info!(?step, "another certificate");
        let course = Course {
            places: &self.places,
            template: (&self.template, serde_json::json!(self.section.parameters)),
            common_name: &self.device,
            clock: &self.clock,
            patience: PATIENCE,
            say: &say,
        };
        let mut sheet = course.obtain(&link, Purpose::Renewal).await?;
        let before = link.connections().seen();
        sheet = off(&self.places, move |places| places.switch(&mut sheet).map(|()| sheet)).await?;
        self.confirm(sheet, Some(before)).await
    }

    /// What an earlier run was cut off at: it stands in its place, and has not been used.
    async fn conclude(&mut self) -> Result<(), ProvisionError> {
        let sheet = off(&self.places, Places::sheet).await?;
        if sheet.state == State::Switched {
            let _lock = self.places.lock()?;
            // Every connection of this run is one with the new pair.
            self.confirm(sheet, None).await?;
        }
        Ok(())
    }

    /// Waits for a connection since `before`, and keeps the new pair, or puts the old one back.
    async fn confirm(&mut self, mut sheet: Sheet, before: Option<Connections>) -> Result<String, ProvisionError> {
        let limit = async {
            tokio::time::sleep(self.section.confirm_within).await;
            // A claim has nothing to go back to.
            if sheet.purpose == Purpose::Claim {
                std::future::pending::<()>().await;
            }
        };
        let is_good = tokio::select! {
            () = self.connected(before) => true,
            () = limit => false,
        };
        if !is_good {
            let trouble = self.link().trouble();
            off(&self.places, move |places| places.roll_back(&mut sheet)).await?;
            let reason = trouble.map_or_else(|| "it was not used".to_owned(), |trouble| trouble.to_string());
            warn!(reason, "the broker was not reached with the new certificate, the old one is back");
            return Err(AskError::Unreached { patience_s: self.section.confirm_within.as_secs(), reason }.into());
        }
        let id = sheet.issued.as_ref().map(|issued| issued.certificate_id.clone()).unwrap_or_default();
        let until = validity(&self.health, &self.section).map(|validity| validity.not_after.to_string());
        let until = until.unwrap_or_default();
        self.record(&id, &until);
        // Durable before it is put down that there is nothing left to tell.
        self.inbox.flush().await;
        finish(&self.section, sheet).await?;
        info!(sink = %self.section.sink, certificate = id, until, "the broker was reached with the new certificate");
        Ok(id)
    }

    /// Waits for a connection that there was not before, and that holds.
    async fn connected(&self, before: Option<Connections>) {
        loop {
            let is_new = before.as_ref().is_none_or(Connections::has_new) || self.way.has_changed().unwrap_or(true);
            let link = self.link();
            if is_new && link.is_up() {
                let held = link.connections().seen();
                tokio::time::sleep(HOLD).await;
                if link.is_up() && !held.has_new() {
                    return;
                }
            }
            tokio::time::sleep(LOOK_FIRST).await;
        }
    }

    /// The link as it is now.
    fn link(&self) -> Link {
        self.way.borrow().link.clone()
    }

    /// Puts it into the journal.
    fn record(&self, id: &str, until: &str) {
        let event = Event::new(self.clock.stamp(), EventKind::CertificateRenewed)
            .with("sink", self.section.sink.as_str())
            .with("certificate", id)
            .with("not_after", until);
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the event of the new certificate");
        }
    }
}

/// Of the certificate that the sink's link has read.
fn validity(health: &Health, section: &ProvisionConfig) -> Option<Validity> {
    let sinks = health.sinks.get();
    let sink = sinks.iter().find(|sink| sink.id == section.sink)?;
    sink.tls.lock().as_ref()?.validity
}

fn is_near(validity: Validity, before: Duration, clock: &Clock) -> bool {
    let life_ms = validity.not_after.as_millis() - validity.not_before.as_millis();
    let before_ms = i64::try_from(before.as_millis()).unwrap_or(i64::MAX).min(life_ms / LIFE_SHARE_DIVISOR);
    validity.not_after.as_millis() - clock.now().as_millis() < before_ms
}
