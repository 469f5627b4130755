//! `[sink.*.tls]`: whom we trust, who we are, what we say in the handshake.

use std::path::PathBuf;

use super::device::DeviceConfig;
use super::section::{Misfit, Section};
use super::value::{file, text};

/// `[sink.*.tls]`
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// PEM file of the trusted roots; none: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and key.
    pub identity: Option<Identity>,
    /// Protocol offered in the handshake.
    pub alpn: Option<String>,
}

/// Our certificate, with those between it and the root behind it, and the key to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificates, ours first.
    pub cert: PathBuf,
    /// PEM file of the key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// A protocol's name has a length of one byte (RFC 7301, section 3.1).
const ALPN_BYTES_MAX: usize = 255;

/// Reads `[sink.*.tls]`.
pub(super) fn read(section: &Section<'_>, device: &DeviceConfig) -> TlsConfig {
    let files = read_files(section, device);
    let alpn = section.get("alpn", |node| {
        let name = text(node)?;
        match name.len() {
            1..=ALPN_BYTES_MAX => Ok(name),
            _ => Err(Misfit::new(format!("a protocol's name has 1 to {ALPN_BYTES_MAX} bytes"))),
        }
    });
    section.finish();
    TlsConfig { alpn, ..files }
}

/// Reads `ca`, `cert` and `key`, which also stand among other keys.
pub(super) fn read_files(section: &Section<'_>, device: &DeviceConfig) -> TlsConfig {
    let [ca, cert, key] = ["ca", "cert", "key"].map(|key| section.get(key, file(device)));
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (None, None) => None,
        _ => {
            section.refuse("", Misfit::new("`cert` and `key` go together"));
            None
        }
    };
    TlsConfig { ca, identity, alpn: None }
}
