//! The device's own key: ECDSA on P-256, made here.

use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::request;

/// RFC 5280, appendix A.1: `ub-common-name`.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// A key that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It can not be made, or can not sign.
    #[error("no key can be made: the system has no randomness")]
    Random,
    /// A file that holds something else.
    #[error("{path} is no P-256 key in PKCS#8: remove it, and another is made")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate for another key.
    #[error("the certificate {cert} is not for the key {key}: was it signed from another request?")]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// No certificate at all.
    #[error("there is no BEGIN CERTIFICATE in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

/// A key.
pub struct DeviceKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl DeviceKey {
    /// A new one, and how it is written down (PKCS#8 in PEM).
    pub fn make() -> Result<(Self, String), KeyError> {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let der = der.map_err(|_| KeyError::Random)?;
        let pem = request::pem("PRIVATE KEY", der.as_ref());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref(), &random);
        Ok((Self { pair: pair.map_err(|_| KeyError::Random)?, random }, pem))
    }

    /// One that was written down.
    pub fn from_pem(pem: &[u8], path: &Path) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let refuse = || KeyError::NoKey { path: path.to_owned() };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| refuse())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der(), &random);
        Ok(Self { pair: pair.map_err(|_| refuse())?, random })
    }

    /// A request for a certificate, in PEM. The name is for people: a template names the thing, an authority what it likes.
    pub fn request(&self, common_name: &str) -> Result<String, KeyError> {
        let name: String = common_name.chars().take(COMMON_NAME_CHARS_MAX).collect();
        let info = request::info(&name, self.pair.public_key().as_ref());
        let signature = self.pair.sign(&self.random, &info).map_err(|_| KeyError::Random)?;
        Ok(request::pem("CERTIFICATE REQUEST", &request::signed(&info, signature.as_ref())))
    }
}

/// Whether a certificate, the first in this PEM, is for this key.
pub fn is_pair(cert: &[u8], key: &[u8]) -> bool {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else { return false };
    !chain.is_empty() && CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).is_ok()
}

/// Whether there is a certificate in this PEM.
pub fn is_certificate(pem: &[u8]) -> bool {
    CertificateDer::from_pem_slice(pem).is_ok()
}
