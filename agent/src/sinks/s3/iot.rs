//! Credentials from the AWS IoT credentials provider: the device shows its certificate, and is given keys that last for an
//! hour ("Authorizing direct calls to AWS services using AWS IoT Core credential provider", AWS IoT Core developer guide).
//! Nothing that lasts longer than that is needed for uploads.
//!
//! They are asked for when an upload needs them: before the first, and when 80 % of their life have passed. The ones before
//! are used until they expire, whatever the provider says meanwhile. What is not allowed (403) is a matter of policies that
//! a person must change, so it is asked for rarely.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::Credentials as AwsCredentials;
use model::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::credentials::IotCredentials;
use crate::config::proxy::ProxyConfig;
use crate::link::fetch::{self, Answer, Keyring, Target};
use crate::telemetry::health::{CredentialsHealth, SinkHealth};

/// Of their life so much has passed when fresh ones are asked for: 80 %, give or take 5, so that a thousand devices that
/// were switched on together do not all ask in the same second for ever.
const REFRESH_AT_PERCENT: std::ops::RangeInclusive<u64> = 75..=85;
/// First and longest wait before asking again a provider that is not reached.
const AWAY_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same for one that refuses us.
const DENIED_WAITS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(30 * 60));
/// A store that does not know keys so young is not helped by others.
const DOUBT_AFTER_MS: u64 = 10_000;
/// Of a refusal's words so many are shown.
const WORDS_CHARS_MAX: usize = 200;

/// The provider, and what it gave last.
pub struct Provider {
    config: IotCredentials,
    target: Arc<Target>,
    path: String,
    clock: Clock,
    health: Arc<SinkHealth>,
    is_doubted: AtomicBool,
    /// Held while the provider is asked: whoever else needs credentials waits for the same answer.
    state: Mutex<State>,
}

struct State {
    keyring: Keyring,
    held: Option<Held>,
    away: Backoff,
    denied: Backoff,
    /// Not asked before, by the boot's clock.
    ask_at_ms: u64,
    problem: Option<String>,
}

/// A set of credentials; times by the boot's clock, which nobody sets.
struct Held {
    credentials: AwsCredentials,
    taken_ms: u64,
    refresh_ms: u64,
    expires_ms: u64,
}

/// Why there are no fresh credentials.
#[derive(Debug)]
enum Trouble {
    /// The provider does not let us.
    Denied(String),
    /// Anything else.
    Away(String),
}

/// Nothing of what is held is a matter for anybody's log.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Provider {
    /// A provider that has not been asked yet.
    pub fn new(config: IotCredentials, proxy: Option<ProxyConfig>, clock: &Clock, health: &Arc<SinkHealth>) -> Self {
        let target = Arc::new(Target {
            who: "the credentials provider",
            key: "endpoint",
            scheme: "https://",
            host: config.host.clone(),
            port: config.port,
            proxy,
            login: None,
        });
        health.credentials.set(Some(CredentialsHealth::default()));
        let state = State {
            keyring: Keyring::new(config.tls.clone(), clock.clone(), health.clone()),
            held: None,
            away: Backoff::new(AWAY_WAITS.0, AWAY_WAITS.1),
            denied: Backoff::new(DENIED_WAITS.0, DENIED_WAITS.1),
            ask_at_ms: 0,
            problem: None,
        };
        let path = format!("/role-aliases/{}/credentials", config.role_alias);
        let (clock, health) = (clock.clone(), health.clone());
        Self { config, target, path, clock, health, is_doubted: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// The store does not know what was given last.
    pub fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    /// Credentials that are valid now.
    pub async fn provide(&self) -> Result<AwsCredentials, CredentialsError> {
        let mut state = self.state.lock().await;
        let now_ms = self.clock.mono_ms();
        if self.is_doubted.swap(false, Ordering::Relaxed) {
            state.held.take_if(|held| now_ms.saturating_sub(held.taken_ms) >= DOUBT_AFTER_MS);
        }
        let is_fresh = state.held.as_ref().is_some_and(|held| now_ms < held.refresh_ms);
        if !is_fresh && now_ms >= state.ask_at_ms {
            self.refresh(&mut state).await;
        }
        let now_ms = self.clock.mono_ms();
        match &state.held {
            Some(held) if now_ms < held.expires_ms => Ok(held.credentials.clone()),
            _ => Err(CredentialsError::provider_error(
                state.problem.clone().unwrap_or_else(|| "not asked yet".to_owned()),
            )),
        }
    }

    async fn refresh(&self, state: &mut State) {
        let thing = ("x-amzn-iot-thingname", self.config.thing.as_str());
        let answer = fetch::get(&mut state.keyring, &self.target, &self.path, thing).await;
        let given = match answer {
            Ok(answer) => self.judge(&answer),
            Err(words) => Err(Trouble::Away(words)),
        };
        let now_ms = self.clock.mono_ms();
        match given {
            Ok((credentials, not_after, life)) => {
                let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
                let refresh_ms = now_ms + life_ms / 100 * fastrand::u64(REFRESH_AT_PERCENT);
                state.held = Some(Held { credentials, taken_ms: now_ms, refresh_ms, expires_ms: now_ms + life_ms });
                (state.ask_at_ms, state.problem) = (0, None);
                state.away.reset();
                state.denied.reset();
                info!(sink = %self.health.id, %not_after, "credentials taken");
                self.health.credentials.set(Some(CredentialsHealth { not_after: Some(not_after), problem: None }));
            }
            Err(trouble) => {
                let (words, wait) = match trouble {
                    Trouble::Denied(words) => (words, state.denied.next_wait()),
                    Trouble::Away(words) => (words, state.away.next_wait()),
                };
                state.ask_at_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                if state.problem.as_ref() != Some(&words) {
                    warn!(sink = %self.health.id, reason = words, "no fresh credentials, will ask again");
                }
                let not_after = self.health.credentials.get().and_then(|shown| shown.not_after);
                let not_after = not_after.filter(|_| state.held.is_some());
                let problem = Some(words.clone());
                self.health.credentials.set(Some(CredentialsHealth { not_after, problem }));
                state.problem = Some(words);
            }
        }
    }

    /// What the provider's answer means: credentials, the end of their life, and how long that is from now.
    fn judge(&self, answer: &Answer) -> Result<(AwsCredentials, Timestamp, Duration), Trouble> {
        let who = self.target.who;
        match answer.status {
            200 => {}
            400..=499 if answer.status != 429 => return Err(Trouble::Denied(self.denied(answer))),
            status => return Err(Trouble::Away(format!("{who} answers {status}: {}", said(&answer.body)))),
        }
        let given = serde_json::from_slice::<Given>(&answer.body).ok().map(|given| given.credentials);
        let parsed = given.and_then(|given| Some((Timestamp::parse(&given.expiration)?, given)));
        // The words must not hold the answer: what could not be read may still be a secret.
        let Some((not_after, given)) = parsed else {
            return Err(Trouble::Away(format!(
                "{who} gives an answer that holds no credentials: is `endpoint` right?"
            )));
        };
        // By its own clock, where it says what that is: ours may be wrong.
        let now = answer.date.as_deref().and_then(http_date).unwrap_or_else(|| self.clock.now());
        let life_ms = u64::try_from(not_after.as_millis().saturating_sub(now.as_millis())).unwrap_or(0);
        if life_ms == 0 {
            return Err(Trouble::Away(format!("{who} gives credentials that have expired already ({not_after})")));
        }
        // They are dropped here when it is time; the SDK is not to look at a clock that may be wrong.
        let credentials =
            AwsCredentials::new(given.access_key_id, given.secret_access_key, Some(given.session_token), None, "iot");
        Ok((credentials, not_after, Duration::from_millis(life_ms)))
    }

    fn denied(&self, answer: &Answer) -> String {
        let (who, IotCredentials { role_alias, thing, .. }) = (self.target.who, &self.config);
        format!(
            "{who} refuses us ({} {}): is the thing \"{thing}\" and is it attached to this certificate, does a policy of \
             the certificate allow iot:AssumeRoleWithCertificate on the role alias \"{role_alias}\", and is there one?",
            answer.status,
            said(&answer.body),
        )
    }
}

#[derive(Deserialize)]
struct Given {
    credentials: GivenCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// A refusal's `message`, or the beginning of whatever it is.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let text = serde_json::from_slice::<Refusal>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |refusal| refusal.message);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect();
    if shown.is_empty() { "without a word".to_owned() } else { shown }
}

/// RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_date_is_read() {
        let at = http_date("Mon, 23 Nov 2026 07:24:24 GMT").map(|at| at.to_string());
        assert_eq!(at.as_deref(), Some("2026-11-23T07:24:24.000Z"));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn a_refusals_words_are_shown_short_and_clean() {
        assert_eq!(said(br#"{"message":"Access Denied"}"#), "Access Denied");
        assert_eq!(said(b"<html>\r\nno"), "<html>no");
        assert_eq!(said(b""), "without a word");
        assert_eq!(said(&[b'a'; 1000]).len(), WORDS_CHARS_MAX);
    }
}
