//! Why TLS failed, in words for the person who has to put it right: which side, what is wrong, what to do.
//!
//! A certificate that is refused is most often a clock that is wrong, an authority that is not the right one, or a
//! renewal that nobody made. Which of the two sides refuses is what a technician must know first.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};

use super::connect::Target;
use super::tls::Keys;
use super::validity::timestamp;
use crate::clock::Clock;
use crate::config::tls::TlsConfig;
use crate::telemetry::health::Validity;

/// No clock that is right says anything earlier: 2026-01-01, when this was written.
const CLOCK_MIN_MS: i64 = 1_767_225_600_000;

/// What the words are made from beside the error.
#[derive(Debug)]
pub struct Refusal {
    /// Who refuses or is refused: "the broker".
    who: &'static str,
    /// The key of the configuration that names it.
    key: &'static str,
    /// What its addresses begin with.
    scheme: &'static str,
    host: String,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    validity: Option<Validity>,
    alpn: Option<String>,
    clock: Clock,
}

impl Refusal {
    /// The words for connections to this far side with these keys.
    pub fn new(target: &Target, tls: &TlsConfig, keys: &Keys, clock: &Clock) -> Self {
        let tls = tls.clone();
        Self {
            who: target.who,
            key: target.key,
            scheme: target.scheme,
            host: target.host.clone(),
            ca: tls.ca,
            cert: tls.identity.map(|identity| identity.cert),
            validity: keys.validity,
            alpn: tls.alpn,
            clock: clock.clone(),
        }
    }

    /// Why a handshake failed.
    pub fn of_handshake(&self, error: &io::Error) -> String {
        if let Some(words) = self.of_alert(error) {
            return words;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                let hint = match &self.alpn {
                    Some(alpn) => format!("does this port speak TLS, and {alpn}?"),
                    None => "does this port speak TLS, or does it want an `alpn`?".to_owned(),
                };
                format!("the connection was closed in the TLS handshake without a word: {hint}")
            }
            _ => format!("the TLS handshake failed: {error}"),
        }
    }

    /// What TLS itself said, if it was TLS that failed.
    pub fn of_alert(&self, error: &io::Error) -> Option<String> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        let who = self.who;
        Some(match error {
            Error::InvalidCertificate(error) => self.theirs(error),
            Error::AlertReceived(alert) => self.ours(*alert),
            Error::InvalidMessage(_) => {
                format!("what answers does not speak TLS: is this {who}'s port for {}?", self.scheme)
            }
            Error::PeerIncompatible(why) => format!("{who}'s TLS and ours (1.2 and 1.3) do not fit: {why:?}"),
            error => format!("TLS failed: {error}"),
        })
    }

    /// We refuse their certificate.
    fn theirs(&self, error: &CertificateError) -> String {
        let now = self.clock.now();
        let (who, key, host, today) = (self.who, self.key, &self.host, now.day());
        match error {
            CertificateError::ExpiredContext { not_after, .. } => format!(
                "{who}'s certificate expired on {}: is this device's clock right (it says {today})? \
                 If so, {who} needs a new certificate",
                timestamp(*not_after).day()
            ),
            CertificateError::NotValidYetContext { not_before, .. } => {
                let begins = format!("{who}'s certificate is valid from {} on", timestamp(*not_before).day());
                if now.as_millis() < CLOCK_MIN_MS {
                    format!("{begins}, and this device's clock says {today}: the clock is wrong, set it")
                } else {
                    format!(
                        "{begins}: is this device's clock right (it says {today})? \
                         If so, {who} has a certificate for later"
                    )
                }
            }
            CertificateError::UnknownIssuer => {
                let known = match &self.ca {
                    Some(ca) => format!("in {}: is `ca` {who}'s authority?", ca.display()),
                    None => format!("among the system's: set `ca` to {who}'s authority"),
                };
                format!("{who}'s certificate is from an authority that is not {known}")
            }
            CertificateError::NotValidForNameContext { presented, expected } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
                let hint = match expected {
                    ServerName::IpAddress(_) => format!("write a name that it has into `{key}`"),
                    _ => format!("is `{key}` right?"),
                };
                format!("{who}'s certificate is for {names}, and not for {host}: {hint}")
            }
            CertificateError::NotValidForName => {
                format!("{who}'s certificate is not for {host}: is `{key}` right?")
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                format!(
                    "{who}'s certificate is not made for a server (extended key usage without serverAuth): \
                     {who} needs another"
                )
            }
            CertificateError::BadSignature => {
                format!(
                    "{who}'s certificate has a signature that does not fit: is `ca` an older authority of the same \
                     name?"
                )
            }
            error => format!("{who}'s certificate can not be used: {error}"),
        }
    }

    /// They refuse ours, or the way we talk.
    fn ours(&self, alert: AlertDescription) -> String {
        let (who, key, today) = (self.who, self.key, self.clock.now().day());
        let why = match (alert, self.validity) {
            (AlertDescription::CertificateExpired, Some(validity)) if validity.days_left(self.clock.now()) < 0 => {
                format!("it expired on {}, renew it", validity.not_after.day())
            }
            (AlertDescription::CertificateExpired, Some(validity)) => format!(
                "{who} takes it for expired, and it is valid until {}: is {who}'s clock right, and this \
                 device's (it says {today})?",
                validity.not_after.day()
            ),
            (AlertDescription::CertificateRevoked, _) => "it has been revoked, this device needs a new one".to_owned(),
            (AlertDescription::UnknownCA, _) => {
                format!(
                    "it is not from an authority that {who} trusts, or the certificate of one between the two is \
                     missing in the file"
                )
            }
            (AlertDescription::UnsupportedCertificate, _) => {
                "it is not made for a client (extended key usage without clientAuth), this device needs another"
                    .to_owned()
            }
            (AlertDescription::NoApplicationProtocol, _) => {
                let alpn = self.alpn.as_deref().unwrap_or_default();
                return format!("{who} does not speak {alpn} on this port: is `alpn` right?");
            }
            (AlertDescription::UnrecognisedName, _) => {
                return format!("{who} knows nothing of the name {}: is `{key}` right?", self.host);
            }
            (AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity, _) => {
                return format!("{who}'s TLS and ours (1.2 and 1.3) do not fit: {alert:?}");
            }
            (AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure, _) if self.cert.is_none() => {
                return format!("{who} wants a certificate from us: set `cert` and `key`");
            }
            // OpenSSL has no better word for a certificate that is not valid yet.
            (alert, Some(validity)) if is_of_certificate(alert) && validity.not_before > self.clock.now() => format!(
                "it is valid from {} on: is this device's clock right (it says {today}), and {who}'s?",
                validity.not_before.day()
            ),
            (alert, _) if is_of_certificate(alert) => format!("TLS alert {alert:?}"),
            (alert, _) => return format!("{who} broke TLS off: alert {alert:?}"),
        };
        let cert = self.cert.as_ref().map(|cert| format!(" ({})", cert.display())).unwrap_or_default();
        format!("{who} refused our certificate{cert}: {why}")
    }
}

fn is_of_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}

/// `DnsName("localhost")` without its wrapping.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').map_or(presented, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_certificate_are_shown_bare() {
        assert_eq!(bare("DnsName(\"localhost\")"), "localhost");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("localhost"), "localhost");
    }
}
