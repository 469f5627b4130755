//! By claim: a device that has nothing but what it was shipped with gets a certificate of its own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use model::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ask::AskError;
use super::course::{Course, Step, off};
use super::files::{self, Places};
use super::key;
use super::sheet::{Purpose, Sheet, State};
use super::{KeyError, ProvisionError};
use crate::clock::Clock;
use crate::config::tls::Identity;
use crate::config::{Config, MqttConfig, ProvisionConfig};
use crate::control::client;
use crate::control::status::{SinkStatus, Status};
use crate::link::{self, Link, Presence};
use crate::sinks::mqtt::presence;
use crate::telemetry::health::SinkHealth;

/// How often a running agent is asked whether it has reached its broker.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What became of it.
#[derive(Debug)]
pub struct Provisioned {
    /// There was a certificate before.
    pub is_old: bool,
    /// Who the device is.
    pub sheet: Sheet,
    /// When the certificate ends, where a connection told.
    pub not_after: Option<Timestamp>,
}

/// Provisions the device, or goes on with it. `patience` is how long the broker is waited for at each step.
pub async fn provision(
    config: &Config,
    patience: Duration,
    say: &(dyn Fn(&Step<'_>) + Sync),
) -> Result<Provisioned, ProvisionError> {
    let section = config.provision.as_ref().ok_or(ProvisionError::NotConfigured("there is no [provision]"))?;
    let (places, clock) = (Places::of(section), Clock::of_this_boot());
    let _lock = places.lock()?;
    let (mut sheet, has_pair) = off(&places, |places| Ok((places.settle()?, places.has_pair()?))).await?;
    if has_pair && sheet.state != State::Switched {
        return Ok(Provisioned { is_old: true, sheet, not_after: None });
    }
    if sheet.state != State::Switched {
        let template = section.template.as_deref();
        let template = template.ok_or(ProvisionError::NotConfigured("`template` is missing in [provision]"))?;
        let claimed = claimed(section).await?;
        let course = Course {
            places: &places,
            template: (template, serde_json::json!(section.parameters)),
            common_name: config.device.id.as_str(),
            clock: &clock,
            patience,
            say,
        };
        let who = format!("claim-{}", config.device.id);
        let asked = Linked { mqtt: claimed, who, section, clock: &clock };
        sheet = asked.with(async |link: &Link, _: &SinkHealth| course.obtain(link, Purpose::Claim).await).await?;
        sheet = off(&places, move |places| places.switch(&mut sheet).map(|()| sheet)).await?;
    }
    say(&Step::Switched);
    let not_after = verify(config, section, &clock, patience).await?;
    say(&Step::Connected);
    sheet = finish(section, sheet).await?;
    if section.claim.is_some() && !section.keep_claim {
        say(&Step::ClaimRemoved);
    }
    Ok(Provisioned { is_old: false, sheet, not_after })
}

/// There was a good connection: what served until then goes, and then that is put down.
pub async fn finish(section: &ProvisionConfig, mut sheet: Sheet) -> Result<Sheet, ProvisionError> {
    let claim = section.claim.clone().filter(|_| !section.keep_claim && sheet.purpose == Purpose::Claim);
    off(&Places::of(section), move |places| {
        if let Some(Identity { cert, key }) = claim {
            [key, cert].iter().try_for_each(|path| files::remove(path))?;
        }
        places.forget_old()?;
        sheet.state = State::Done;
        if let Some(issued) = &mut sheet.issued {
            issued.token = None;
        }
        places.store(&sheet)?;
        Ok(sheet)
    })
    .await
}

/// The sink's broker, with the claim.
async fn claimed(section: &ProvisionConfig) -> Result<MqttConfig, ProvisionError> {
    let lacks = "`claim_cert` and `claim_key` are missing in [provision]";
    let claim = section.claim.clone().ok_or(ProvisionError::NotConfigured(lacks))?;
    let Identity { cert, key } = claim.clone();
    off(&Places::of(section), move |_| {
        let there = |path: &std::path::Path| {
            let lacking = |source| ProvisionError::File { doing: "read the claim's", path: path.to_owned(), source };
            files::read(path)?.ok_or_else(|| lacking(std::io::ErrorKind::NotFound.into()))
        };
        let (cert_pem, key_pem) = (there(&cert)?, there(&key)?);
        if key::is_pair(&cert_pem, &key_pem) { Ok(()) } else { Err(KeyError::Pair { cert, key }.into()) }
    })
    .await?;
    let mut mqtt = section.mqtt.clone();
    if let Some(tls) = &mut mqtt.tls {
        tls.identity = Some(claim);
    }
    Ok(mqtt)
}

/// A link for a while.
struct Linked<'a> {
    mqtt: MqttConfig,
    who: String,
    section: &'a ProvisionConfig,
    clock: &'a Clock,
}

impl Linked<'_> {
    async fn with<T>(
        self,
        work: impl AsyncFnOnce(&Link, &SinkHealth) -> Result<T, ProvisionError>,
    ) -> Result<T, ProvisionError> {
        let (stop, health) = (CancellationToken::new(), Arc::new(SinkHealth::new(self.section.sink.clone(), "mqtt")));
        let presence = Presence::unsaid(self.who);
        let (link, task) =
            link::new(self.mqtt, presence, (health.clone(), self.clock.clone()), Duration::ZERO, stop.clone());
        let mut task = pin!(task);
        let kept = async {
            task.as_mut().await;
            // It ends when it is told to.
            std::future::pending().await
        };
        let worked = tokio::select! {
            worked = work(&link, &health) => worked,
            never = kept => never,
        };
        stop.cancel();
        task.await;
        worked
    }
}

/// Waits for a good connection with the new pair: of the agent's, where it runs (two with one id would throw each other
/// out), else of ours.
async fn verify(
    config: &Config,
    section: &ProvisionConfig,
    clock: &Clock,
    patience: Duration,
) -> Result<Option<Timestamp>, ProvisionError> {
    let deadline = Instant::now() + patience;
    let mut reason = "it was not reached yet".to_owned();
    while let Some(sink) = asked(config, section).await {
        if sink.state == "ok" && sink.protocol.is_some() {
            return Ok(sink.tls.and_then(|tls| tls.not_after));
        }
        reason = sink.last_error.unwrap_or(reason);
        if Instant::now() >= deadline {
            return Err(AskError::Unreached { patience_s: patience.as_secs(), reason }.into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let who = presence::client_id(config, &section.sink);
    let own = Linked { mqtt: section.mqtt.clone(), who, section, clock };
    own.with(async |link: &Link, health: &SinkHealth| {
        if tokio::time::timeout_at(deadline, link.up()).await.is_err() {
            let reason = link.trouble().map_or(reason, |trouble| trouble.to_string());
            return Err(AskError::Unreached { patience_s: patience.as_secs(), reason }.into());
        }
        let validity = health.tls.lock().as_ref().and_then(|tls| tls.validity);
        Ok(validity.map(|validity| validity.not_after))
    })
    .await
}

/// What a running agent says of the sink; nothing where none answers.
async fn asked(config: &Config, section: &ProvisionConfig) -> Option<SinkStatus> {
    let response = client::get(&config.local.socket, "/v1/status").await.ok()?;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    let status: Status = serde_json::from_slice(&body).ok()?;
    status.sinks.into_iter().find(|sink| sink.id == section.sink.as_str())
}
