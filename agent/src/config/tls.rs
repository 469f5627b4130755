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
#[derive(Debug, Clone)]
pub struct Identity {
    /// PEM file of the certificates, ours first.
    pub cert: PathBuf,
    /// PEM file of the key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// IoT Core takes MQTT on the port of HTTPS only from those who offer this (AWS IoT Core Developer Guide, "Device
/// communication protocols").
const ALPN_IOT_CORE: &str = "x-amzn-mqtt-ca";
/// A protocol's name has a length of one byte (RFC 7301, section 3.1).
const ALPN_BYTES_MAX: usize = 255;

/// Reads `[sink.*.tls]`.
pub(super) fn read(section: &Section<'_>, device: &DeviceConfig) -> TlsConfig {
    let [ca, cert, key] = ["ca", "cert", "key"].map(|key| section.get(key, file(device)));
    let alpn = section.get("alpn", |node| {
        let name = text(node)?;
        match name.len() {
            1..=ALPN_BYTES_MAX => Ok(name),
            _ => Err(Misfit::new(format!("a protocol's name has 1 to {ALPN_BYTES_MAX} bytes"))),
        }
    });
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (None, None) => None,
        _ => {
            section.refuse("", Misfit::new("`cert` and `key` go together"));
            None
        }
    };
    section.finish();
    TlsConfig { ca, identity, alpn }
}

impl TlsConfig {
    /// The same for this broker: IoT Core on port 443 is offered its protocol also where none is configured.
    #[must_use]
    pub fn towards(mut self, host: &str, port: u16) -> Self {
        let is_iot_core = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
        if port == 443 && is_iot_core && self.identity.is_some() && self.alpn.is_none() {
            self.alpn = Some(ALPN_IOT_CORE.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> TlsConfig {
        let identity = Identity { cert: PathBuf::from("device.pem"), key: PathBuf::from("device.key") };
        TlsConfig { identity: Some(identity), ..TlsConfig::default() }
    }

    #[test]
    fn iot_core_is_offered_its_protocol_on_the_port_of_https_alone() {
        let endpoint = "abc-ats.iot.eu-west-1.amazonaws.com";
        assert_eq!(device().towards(endpoint, 443).alpn.as_deref(), Some("x-amzn-mqtt-ca"));
        assert_eq!(device().towards(endpoint, 8883).alpn, None);
        assert_eq!(device().towards("broker.example", 443).alpn, None);
        let own = TlsConfig { alpn: Some("mqtt".to_owned()), ..device() };
        assert_eq!(own.towards(endpoint, 443).alpn.as_deref(), Some("mqtt"));
    }
}
