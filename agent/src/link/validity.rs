//! From when until when a certificate is valid.
//!
//! Nothing here parses X.509. The verifier that judges brokers is asked at the beginning and at the end of time: the
//! validity is the first thing that it looks at (before issuer, purpose and name), and what it says against both is
//! the two dates. A parser of its own would be one more thing that reads what others send, and could disagree.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use crate::telemetry::health::Validity;

/// The validity of a certificate; `None` where it is not one.
pub fn of(certificate: &CertificateDer<'_>, verifier: &Arc<WebPkiServerVerifier>) -> Option<Validity> {
    let at = |seconds| {
        let name = ServerName::try_from("any.invalid").expect("a host name");
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_server_cert(certificate, &[], &name, &[], at)
    };
    let Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) = at(0) else {
        return None;
    };
    let Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) = at(u64::MAX) else {
        return None;
    };
    Some(Validity { not_before: timestamp(not_before), not_after: timestamp(not_after) })
}

/// The validity of a chain: what ends first ends it.
pub fn of_chain(chain: &[CertificateDer<'_>], verifier: &Arc<WebPkiServerVerifier>) -> Option<Validity> {
    chain
        .iter()
        .filter_map(|certificate| of(certificate, verifier))
        .reduce(|a, b| Validity { not_before: a.not_before.max(b.not_before), not_after: a.not_after.min(b.not_after) })
}

/// A certificate's time as one of ours.
pub fn timestamp(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}
