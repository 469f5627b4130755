//! For people with an authority of their own: the request goes out by hand, and the certificate comes back so.

use std::path::{Path, PathBuf};

use super::files::{self, Places};
use super::key;
use super::sheet::{Purpose, Sheet, State};
use super::{KeyError, ProvisionError};

/// The request (PEM) for the key that waits for its certificate, made where there is none; and where that key is.
pub fn request(places: &Places, common_name: &str) -> Result<(String, PathBuf), ProvisionError> {
    let _lock = places.lock()?;
    places.settle()?;
    let (key, _) = places.new_key()?;
    Ok((key.request(common_name)?, places.key_new()))
}

/// Puts a certificate beside its key: that which waits for one, or that which is in use.
pub fn install(places: &Places, cert: &Path) -> Result<(), ProvisionError> {
    let _lock = places.lock()?;
    places.settle()?;
    let unread = |source| ProvisionError::File { doing: "read", path: cert.to_owned(), source };
    let pem = files::read(cert)?.ok_or_else(|| unread(std::io::ErrorKind::NotFound.into()))?;
    let pem = String::from_utf8(pem).unwrap_or_default();
    if !key::is_certificate(pem.as_bytes()) {
        return Err(KeyError::NoCertificate { path: cert.to_owned() }.into());
    }
    let mut keys = Vec::new();
    for path in [places.key_new(), places.key.clone()] {
        if let Some(bytes) = files::read(&path)? {
            keys.push((path, bytes));
        }
    }
    if !keys.iter().any(|(_, key)| key::is_pair(pem.as_bytes(), key)) {
        let key = keys.first().map_or_else(|| places.key_new(), |(path, _)| path.clone());
        return Err(KeyError::Pair { cert: cert.to_owned(), key }.into());
    }
    let mut sheet = Sheet::begun(Purpose::ByHand);
    places.put_cert(&pem)?;
    places.switch(&mut sheet)?;
    places.forget_old()?;
    sheet.state = State::Done;
    places.store(&sheet)
}
