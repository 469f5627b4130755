//! The TLS side of a connection: roots, our certificate and key, ALPN. One provider for the whole house: ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::sink::TlsConfig;

/// TLS that can not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file that is not there or holds something else.
    #[error("can not read {what} from {path}: {reason}")]
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
    /// Certificate and key that rustls does not take.
    #[error("certificate and key do not work: {0}")]
    Identity(#[source] rustls::Error),
    /// The provider lacks a protocol version.
    #[error("TLS can not be set up: {0}")]
    Provider(#[source] rustls::Error),
}

/// A client configuration as configured.
pub fn client_config(tls: &TlsConfig) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| pem_error("a private key", key, &error))?;
            builder.with_client_auth_cert(certificates(cert)?, key).map_err(TlsError::Identity)?
        }
    };
    if let Some(alpn) = &tls.alpn {
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    }
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let certificates = match ca {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 { Err(TlsError::NoRoots) } else { Ok(store) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error("certificates", path, &error))?;
    if certificates.is_empty() {
        let reason = "there is none in it".to_owned();
        return Err(TlsError::Pem { what: "certificates", path: path.to_path_buf(), reason });
    }
    Ok(certificates)
}

fn pem_error(what: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Pem { what, path: path.to_path_buf(), reason: error.to_string() }
}
