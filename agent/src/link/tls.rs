//! The TLS side of a link: roots, our certificate and key, ALPN, from files that others renew.
//!
//! The files are read for every connection and looked at every ten seconds beside it. As long as their bytes stay the
//! same, so does the rustls configuration, and with it the session tickets that make the next handshake short. What
//! can not be used does not replace what can: the keyring keeps what it has, and says why. One provider for the whole
//! house: ring.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::connect::{Secured, Target};
use super::refusal::Refusal;
use super::validity;
use crate::clock::Clock;
use crate::config::tls::TlsConfig;
use crate::telemetry::health::{SinkHealth, TlsHealth, Validity};
use crate::telemetry::logs::chain;

/// How often the files are looked at. Ten seconds after a renewal the link has it; three small files in the page cache
/// cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Largest file: a system's whole bundle of roots has 230 KB.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// From so many days before its end on the log says that our certificate expires, once a day.
const WARN_DAYS: i64 = 30;
/// Bits of a mode that let everybody read, write or use a file.
const MODE_OTHERS: u32 = 0o007;

/// TLS that can not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that can not be read.
    #[error("can not read {what} from {path}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that holds something else.
    #[error("{path} is no file of {what}: {reason}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system has no trusted roots.
    #[error("the system has no trusted root certificates (Debian: ca-certificates); or set `ca`")]
    NoRoots,
    /// Two files that are not of a pair: often a renewal that is half done.
    #[error("the certificate {cert} and the key {key} do not belong together")]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Certificate and key that rustls does not take.
    #[error("certificate and key do not work")]
    Identity(#[source] rustls::Error),
    /// The provider lacks a protocol version.
    #[error("TLS can not be set up")]
    Provider(#[source] rustls::Error),
    /// Roots that make no verifier.
    #[error("the trusted roots do not work")]
    Roots(#[source] rustls::client::VerifierBuilderError),
}

/// What a connection uses.
#[derive(Debug, Clone)]
pub struct Keys {
    /// For the handshake, with the tickets of the handshakes before it.
    pub client: Arc<ClientConfig>,
    /// Judges brokers.
    pub verifier: Arc<WebPkiServerVerifier>,
    /// Of our certificate.
    pub validity: Option<Validity>,
}

/// The keys of a link, for all its connections.
#[derive(Debug)]
pub struct Keyring {
    tls: TlsConfig,
    clock: Clock,
    health: Arc<SinkHealth>,
    held: Option<Held>,
    /// Days that were left when the log last said so.
    days_said: Option<i64>,
}

#[derive(Debug)]
struct Held {
    keys: Keys,
    digest: [u8; 32],
    is_used: bool,
}

impl Keyring {
    /// A keyring that has not read anything yet.
    pub fn new(tls: TlsConfig, clock: Clock, health: Arc<SinkHealth>) -> Self {
        health.tls.set(Some(TlsHealth::default()));
        Self { tls, clock, health, held: None, days_said: None }
    }

    /// The keys for a connection: as the files are now, or the last that could be used.
    fn take(&mut self) -> Result<Keys, TlsError> {
        if let Err(error) = self.look()
            && self.held.is_none()
        {
            return Err(error);
        }
        let held = self.held.as_mut().expect("a look that succeeds holds what it found");
        held.is_used = true;
        Ok(held.keys.clone())
    }

    /// The same, with the words for what can go wrong with them there.
    pub fn secure(&mut self, target: &Target) -> Result<Secured, TlsError> {
        let keys = self.take()?;
        let refusal = Arc::new(Refusal::new(target, &self.tls, &keys, &self.clock));
        Ok(Secured { keys, refusal, health: self.health.clone() })
    }

    /// Whether there are keys that no connection has used yet.
    fn is_renewed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.is_used)
    }

    /// Waits until the files hold other keys than those in use, and such as can be used.
    pub async fn renewed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // What is wrong with them stands in the health, and is said in the log once.
            if self.look().is_ok() && self.is_renewed() {
                return;
            }
        }
    }

    /// Reads the files; makes new keys when their bytes are others.
    fn look(&mut self) -> Result<(), TlsError> {
        let looked = self.read();
        let problem = looked.as_ref().err().map(|error| chain(error));
        let shown = self.health.tls.lock().as_ref().and_then(|tls| tls.problem.clone());
        if problem != shown {
            match &problem {
                Some(reason) if self.held.is_some() => {
                    warn!(sink = %self.health.id, reason, "certificate and key can not be used, the old ones stay");
                }
                Some(_) => {}
                None => info!(sink = %self.health.id, "certificate and key can be used again"),
            }
        }
        let validity = self.held.as_ref().and_then(|held| held.keys.validity);
        self.health.set_tls(|tls| {
            tls.validity = validity;
            tls.problem = problem;
        });
        self.say_expiry(validity);
        looked
    }

    fn read(&mut self) -> Result<(), TlsError> {
        let files = Files::read(&self.tls)?;
        let digest = files.digest();
        if self.held.as_ref().is_some_and(|held| held.digest == digest) {
            return Ok(());
        }
        let keys = files.keys(&self.tls)?;
        if let Some(identity) = &self.tls.identity {
            warn_of_readers(&identity.key);
        }
        self.days_said = None;
        self.held = Some(Held { keys, digest, is_used: false });
        Ok(())
    }

    /// Says ahead of time that our certificate expires, and that it has: at first sight and then once a day.
    fn say_expiry(&mut self, validity: Option<Validity>) {
        let (Some(validity), Some(identity)) = (validity, &self.tls.identity) else { return };
        let (sink, cert) = (&self.health.id, identity.cert.display());
        let days_left = validity.days_left(self.clock.now());
        if days_left > WARN_DAYS || self.days_said == Some(days_left) {
            return;
        }
        self.days_said = Some(days_left);
        let (not_after, clock) = (validity.not_after.day(), self.clock.trust());
        if days_left < 0 {
            warn!(%sink, %cert, %not_after, ?clock, "our certificate has expired: renew it");
        } else {
            warn!(%sink, %cert, %not_after, days_left, ?clock, "our certificate expires soon: renew it");
        }
    }
}

/// The files' bytes.
struct Files {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

const ROOTS: &str = "trusted roots";
const CERTIFICATES: &str = "certificates";
const KEY: &str = "a private key";

impl Files {
    fn read(tls: &TlsConfig) -> Result<Self, TlsError> {
        let ca = tls.ca.as_deref().map(|path| bytes(path, ROOTS)).transpose()?;
        let identity = match &tls.identity {
            Some(identity) => Some((bytes(&identity.cert, CERTIFICATES)?, bytes(&identity.key, KEY)?)),
            None => None,
        };
        Ok(Self { ca, identity })
    }

    /// The system's own roots are left out: they change with an upgrade, and are read again with the next start.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let (cert, key) =
            self.identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice())).unwrap_or_default();
        for bytes in [self.ca.as_deref().unwrap_or_default(), cert, key] {
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }

    fn keys(&self, tls: &TlsConfig) -> Result<Keys, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(self.roots(tls)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let verifier = verifier.map_err(TlsError::Roots)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Provider)?
            .with_webpki_verifier(verifier.clone());
        let (mut client, validity) = match (&tls.identity, &self.identity) {
            (Some(at), Some((cert, key))) => {
                let certificates = certificates(cert, &at.cert, CERTIFICATES)?;
                let validity = validity::of_chain(&certificates, &verifier);
                let client = builder.with_client_auth_cert(certificates, private_key(key, &at.key)?);
                let client = client.map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => TlsError::Pair { cert: at.cert.clone(), key: at.key.clone() },
                    error => TlsError::Identity(error),
                })?;
                (client, validity)
            }
            _ => (builder.with_no_client_auth(), None),
        };
        client.alpn_protocols = tls.alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        Ok(Keys { client: Arc::new(client), verifier, validity })
    }

    fn roots(&self, tls: &TlsConfig) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        let (found, path) = match (&self.ca, &tls.ca) {
            (Some(bytes), Some(path)) => (certificates(bytes, path, ROOTS)?, Some(path)),
            _ => (rustls_native_certs::load_native_certs().certs, None),
        };
        let (added, _) = store.add_parsable_certificates(found);
        match path {
            _ if added > 0 => Ok(store),
            Some(path) => {
                let reason = "no certificate in it makes a root".to_owned();
                Err(TlsError::Pem { what: ROOTS, path: path.clone(), reason })
            }
            None => Err(TlsError::NoRoots),
        }
    }
}

fn bytes(path: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| TlsError::File { what, path: path.to_path_buf(), source })
}

fn certificates(bytes: &[u8], path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |reason: String| TlsError::Pem { what, path: path.to_path_buf(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(refuse("there is no BEGIN CERTIFICATE in it".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// PKCS#8, SEC1 or PKCS#1, whichever the file holds.
fn private_key(bytes: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        let reason = match error {
            pem::Error::NoItemsFound if bytes.windows(9).any(|word| word == b"ENCRYPTED") => {
                "it is encrypted, and a device has nobody to type the password (openssl pkey -in .. -out ..)".to_owned()
            }
            pem::Error::NoItemsFound => "there is no BEGIN PRIVATE KEY in it".to_owned(),
            error => error.to_string(),
        };
        TlsError::Pem { what: KEY, path: path.to_path_buf(), reason }
    })
}

/// A key that everybody can read is no secret: said, not refused, for the readings matter more.
fn warn_of_readers(key: &Path) {
    let Ok(metadata) = key.metadata() else { return };
    let mode = metadata.permissions().mode();
    if mode & MODE_OTHERS != 0 {
        let mode = format!("{:o}", mode & 0o777);
        warn!(key = %key.display(), mode, "everybody on this device can read our private key: chmod 640 or less");
    }
}
