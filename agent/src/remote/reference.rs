//! A document that stands on a server, because it fits into no message: `{"revision", "sha256", "url"}`. What vouches for it is
//! its digest, which came over the link; where the device has a key, the document itself is signed all the same.

use std::sync::Arc;
use std::time::Duration;

use model::SinkId;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::tls::TlsConfig;
use crate::config::{Config, RemoteConfig, SinkKind};
use crate::link::fetch::{self, Keyring};
use crate::telemetry::health::SinkHealth;

/// Largest document: as large as a configuration file may be.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// How often it is asked for, and how long is waited in between: a server that is away for a moment is no reason to refuse.
const TRIES: u32 = 4;
const TRY_WAITS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name that whoever sent it looks for.
    pub revision: String,
    /// Of its bytes, in hex digits.
    pub sha256: String,
    /// Where.
    pub url: String,
}

impl Reference {
    /// The reference that a message is, if it is one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let object: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let (sha256, url) = (text("sha256")?, text("url")?);
        Some(Self { revision: text("revision").unwrap_or_default(), sha256, url })
    }

    /// Gets the document. Words, where that can not be done.
    pub async fn fetch(&self, mut keyring: Keyring) -> Result<Vec<u8>, String> {
        let mut backoff = Backoff::new(TRY_WAITS.0, TRY_WAITS.1);
        let mut tries = 1;
        loop {
            match self.try_once(&mut keyring).await {
                Ok(document) => return Ok(document),
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn try_once(&self, keyring: &mut Keyring) -> Result<Vec<u8>, String> {
        let mut coming = fetch::open(keyring, &self.url, None, ("the server of the document", "url"), 0).await?;
        if coming.status != 200 {
            return Err(format!("{} answers {}", self.url, coming.status));
        }
        let mut document = Vec::new();
        while let Some(bytes) = coming.next().await? {
            if document.len() + bytes.len() > DOCUMENT_BYTES_MAX {
                return Err(format!("it has more than {DOCUMENT_BYTES_MAX} bytes"));
            }
            document.extend_from_slice(&bytes);
        }
        let found = hex::encode(Sha256::digest(&document));
        if found.eq_ignore_ascii_case(&self.sha256) {
            return Ok(document);
        }
        Err(format!("its SHA-256 is {found}"))
    }
}

/// Whom its server is held against: the roots that the broker is, without our key.
pub fn keyring(config: &Config, remote: &RemoteConfig, clock: &Clock) -> Keyring {
    let sink = config.sinks.iter().find(|sink| sink.id == remote.via);
    let ca = sink.and_then(|sink| match &sink.kind {
        SinkKind::Mqtt(mqtt) => mqtt.tls.as_ref()?.ca.clone(),
        SinkKind::S3(_) | SinkKind::File(_) => None,
    });
    let id = SinkId::try_new("document").expect("a valid name");
    let health = Arc::new(SinkHealth::new(id, "https"));
    Keyring::new(TlsConfig { ca, identity: None, alpn: None }, clock.clone(), health)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_an_address_and_a_digest_is_a_reference() {
        let read = |text: &str| Reference::read(text.as_bytes()).map(|reference| reference.revision);
        assert_eq!(read(r#"{"revision":"r9","sha256":"00","url":"https://h/x"}"#), Some("r9".to_owned()));
        assert_eq!(read(r#"{"revision":"r9","config":{}}"#), None);
        assert_eq!(read("no"), None);
    }
}
