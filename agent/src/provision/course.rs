//! From a key to a registered certificate, over a link that may ask for one: that of a claim, or the device's own.

use std::time::Duration;

use serde_json::{Value, json};

use super::ProvisionError;
use super::ask::{AskError, ask};
use super::files::Places;
use super::key;
use super::sheet::{Issued, Purpose, Registered, Sheet, State};
use crate::clock::Clock;
use crate::link::Link;

/// Where a certificate is asked for.
const CREATE_FROM_CSR: &str = "$aws/certificates/create-from-csr/json";
/// A token lives for an hour ("certificateOwnershipToken", AWS IoT Core developer guide); one that is about to end is not
/// worth the question.
const TOKEN_MS_MAX: i64 = 55 * 60_000;
/// Tokens that are asked for in one course: one that is always refused has another cause.
const TOKENS_MAX: u32 = 3;

/// How far it has come, for who looks on.
#[derive(Debug)]
pub enum Step<'a> {
    /// There is a key.
    Key {
        /// Whether it was made now.
        is_new: bool,
    },
    /// There is a certificate for it.
    Issued {
        /// Its name at the far side.
        certificate_id: &'a str,
    },
    /// The token was refused, or is too old.
    TokenLost,
    /// It is registered.
    Registered {
        /// As this.
        thing: &'a str,
    },
    /// It stands in its place.
    Switched,
    /// It was used.
    Connected,
    /// The claim is not there any more.
    ClaimRemoved,
}

/// A course: what it needs on its way.
#[derive(Clone)]
pub struct Course<'a> {
    /// The files.
    pub places: &'a Places,
    /// The template, and what it wants to know.
    pub template: (&'a str, Value),
    /// The name in the request.
    pub common_name: &'a str,
    /// The clocks.
    pub clock: &'a Clock,
    /// How long each answer is waited for.
    pub patience: Duration,
    /// Is told how it goes.
    pub say: &'a (dyn Fn(&Step<'_>) + Sync),
}

/// Work on files, off the runtime.
pub async fn off<T: Send + 'static>(
    places: &Places,
    work: impl FnOnce(&Places) -> Result<T, ProvisionError> + Send + 'static,
) -> Result<T, ProvisionError> {
    let places = places.clone();
    match tokio::task::spawn_blocking(move || work(&places)).await {
        Ok(worked) => worked,
        // The runtime ends, and with it who waits here.
        Err(_) => std::future::pending().await,
    }
}

impl Course<'_> {
    /// Goes on from where it stands on disk until the certificate is registered and lies beside the one in use.
    pub async fn obtain(&self, link: &Link, purpose: Purpose) -> Result<Sheet, ProvisionError> {
        let name = self.common_name.to_owned();
        let (mut sheet, request, is_new) = off(self.places, move |places| {
            let (key, is_new) = places.new_key()?;
            let held = places.sheet()?;
            let key_pem = super::files::read(&places.key_new())?.unwrap_or_default();
            let is_under_way = matches!(held.state, State::Requesting | State::Issued | State::Registered);
            let is_its = held.issued.as_ref().is_none_or(|issued| key::is_pair(issued.pem.as_bytes(), &key_pem));
            let sheet = if is_under_way && is_its { Sheet { purpose, ..held } } else { held.begun_again(purpose) };
            Ok((sheet, key.request(&name)?, is_new))
        })
        .await?;
        (self.say)(&Step::Key { is_new });
        let mut tokens = 0;
        while sheet.state != State::Registered {
            if let Some(token) = self.token(&sheet) {
                match self.register(link, token).await {
                    Ok(registered) => {
                        (self.say)(&Step::Registered { thing: &registered.thing });
                        sheet.registered = Some(registered);
                        sheet.state = State::Registered;
                    }
                    Err(AskError::Rejected { rejection, .. }) if rejection.is_of_token() && tokens < TOKENS_MAX => {
                        (self.say)(&Step::TokenLost);
                        sheet = sheet.begun_again(purpose);
                    }
                    Err(error) => return Err(error.into()),
                }
            } else {
                tokens += 1;
                let issued = self.issue(link, &request).await?;
                (self.say)(&Step::Issued { certificate_id: &issued.certificate_id });
                sheet = Sheet { state: State::Issued, issued: Some(issued), ..sheet.begun_again(purpose) };
            }
            let stored = sheet.clone();
            off(self.places, move |places| places.store(&stored)).await?;
        }
        let pem = sheet.issued.as_ref().map(|issued| issued.pem.clone()).unwrap_or_default();
        off(self.places, move |places| places.put_cert(&pem)).await?;
        Ok(sheet)
    }

    /// The token, while it is worth a question. A clock that was set back makes it no younger.
    fn token<'s>(&self, sheet: &'s Sheet) -> Option<&'s str> {
        let issued = sheet.issued.as_ref()?;
        let age_ms = self.clock.now().as_millis() - issued.at.as_millis();
        issued.token.as_deref().filter(|_| (0..TOKEN_MS_MAX).contains(&age_ms))
    }

    async fn issue(&self, link: &Link, request: &str) -> Result<Issued, AskError> {
        let body = json!({ "certificateSigningRequest": request });
        let answer = ask(link, CREATE_FROM_CSR, &body, self.patience).await?;
        let word = |lacks: &'static str| text(&answer, CREATE_FROM_CSR, lacks);
        Ok(Issued {
            certificate_id: word("certificateId")?,
            pem: word("certificatePem")?,
            token: Some(word("certificateOwnershipToken")?),
            at: self.clock.now(),
        })
    }

    async fn register(&self, link: &Link, token: &str) -> Result<Registered, AskError> {
        let (template, parameters) = &self.template;
        let topic = format!("$aws/provisioning-templates/{template}/provision/json");
        let body = json!({ "certificateOwnershipToken": token, "parameters": parameters });
        let answer = ask(link, &topic, &body, self.patience).await?;
        let configuration = answer.get("deviceConfiguration").cloned().unwrap_or_else(|| json!({}));
        Ok(Registered { thing: text(&answer, &topic, "thingName")?, configuration })
    }
}

fn text(answer: &Value, topic: &str, lacks: &'static str) -> Result<String, AskError> {
    let text = answer.get(lacks).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| AskError::Nonsense { topic: topic.to_owned(), lacks })
}
