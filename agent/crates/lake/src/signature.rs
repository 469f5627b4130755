//! Signed manifest lines: evidence that this device wrote them, for whoever has its public key.
//!
//! Ed25519 (RFC 8032) over the line's text as it stands, without its last field, `,"sig":"<128 hex digits>"`. So
//! nothing has to be written anew to be checked: cut the field out, and what is left is what was signed. The chain's
//! digest is of the whole line. Because a line names the object's SHA-256 and the line before it, one signature answers
//! for the object and for all that came before.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// What stands before the 32 bytes of a public key in its DER (RFC 8410, section 4).
const PUBLIC_KEY_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The device's private key.
pub struct SigningKey(Ed25519KeyPair);

/// Its public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

/// A file that holds no such key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or of something else.
    #[error("it is no PEM of {expected}: {reason}")]
    Pem {
        /// What it should be.
        expected: &'static str,
        /// Why not.
        reason: String,
    },
    /// A key of another kind.
    #[error("it is no Ed25519 key: make one with `openssl genpkey -algorithm ed25519`")]
    Kind,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.public())
    }
}

impl SigningKey {
    /// Reads a private key in PEM: PKCS#8, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let expected = "a private key (PKCS#8)";
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|error| KeyError::Pem { expected, reason: error.to_string() })?;
        // OpenSSL leaves the public half out of the file.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| KeyError::Kind)?;
        Ok(Self(pair))
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        let bytes = self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        VerifyingKey(bytes)
    }

    /// The signature of these bytes, as 128 hex digits.
    pub fn signature(&self, bytes: &[u8]) -> String {
        hex::encode(self.0.sign(bytes))
    }

    /// The line with its signature.
    pub fn sign(&self, line: &str) -> String {
        let signature = self.signature(line.as_bytes());
        let open = line.strip_suffix('}').unwrap_or(line);
        format!("{open},\"sig\":\"{signature}\"}}")
    }
}

impl VerifyingKey {
    /// Reads a public key in PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let expected = "a public key";
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|error| KeyError::Pem { expected, reason: error.to_string() })?;
        let bytes = der.strip_prefix(PUBLIC_KEY_HEAD).ok_or(KeyError::Kind)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Kind)
    }

    /// Whether the holder of the private half signed this message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    /// Whether the device signed this line; none if nobody did.
    pub fn has_signed(&self, line: &str) -> Option<bool> {
        let (open, rest) = line.rsplit_once(",\"sig\":\"")?;
        let signature = rest.strip_suffix("\"}").and_then(|digits| hex::decode(digits).ok());
        Some(signature.is_some_and(|signature| self.verifies(format!("{open}}}").as_bytes(), &signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1, in the files that OpenSSL 3 writes for it.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    const OF_NOTHING: &str = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

    #[test]
    fn the_signature_is_the_one_of_the_rfc() {
        let key = SigningKey::from_pem(PRIVATE.as_bytes()).expect("a key");
        assert_eq!(key.sign(""), format!(",\"sig\":\"{OF_NOTHING}\"}}"));
        assert_eq!(key.public(), VerifyingKey::from_pem(PUBLIC.as_bytes()).expect("its public half"));
    }

    #[test]
    fn a_line_is_signed_by_the_device_or_not_or_by_nobody() {
        let key = SigningKey::from_pem(PRIVATE.as_bytes()).expect("a key");
        let (signed, public) = (key.sign(r#"{"v":1,"rows":4}"#), key.public());
        assert!(signed.starts_with(r#"{"v":1,"rows":4,"sig":""#) && signed.ends_with("\"}"), "{signed}");
        assert_eq!(public.has_signed(&signed), Some(true));
        assert_eq!(public.has_signed(&signed.replace("\"rows\":4", "\"rows\":5")), Some(false));
        assert_eq!(public.has_signed(&signed.replace("\"}", "0\"}")), Some(false));
        assert_eq!(public.has_signed(r#"{"v":1}"#), None);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_with_the_way_to_one() {
        assert!(matches!(SigningKey::from_pem(b"rubbish"), Err(KeyError::Pem { .. })));
        assert!(matches!(SigningKey::from_pem(PUBLIC.as_bytes()), Err(KeyError::Pem { .. })));
        assert!(matches!(VerifyingKey::from_pem(PRIVATE.as_bytes()), Err(KeyError::Pem { .. })));
    }
}
