//! The files of a pair: where they stand, how they are written so that a power cut leaves the old or the new ones, and
//! how one pair takes the other's place.
//!
//! `<key>.new` and `<cert>.new` are whole before `switching` is put down, and `<key>.old` and `<cert>.old` hold what they
//! replace. Two renames can not be one; so whoever finds `switching` does what is left of it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::key::{self, DeviceKey};
use super::sheet::{Sheet, State};
use super::{KeyError, ProvisionError};
use crate::config::ProvisionConfig;
use crate::lasting::{self, beside, folder_of};

/// A chain of certificates has some kilobytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Nobody else reads a key.
const MODE_SECRET: u32 = 0o600;
/// A certificate is shown to everybody who is spoken to.
const MODE_PUBLIC: u32 = 0o644;

/// Where everything stands.
#[derive(Debug, Clone)]
pub struct Places {
    /// The certificate in use.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// How far it has come.
    sheet: PathBuf,
    dir: PathBuf,
}

/// Held by who is at it; given back with the file.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not read")] File);

impl Places {
    /// Those of a configuration.
    pub fn of(config: &ProvisionConfig) -> Self {
        let (cert, key) = (config.identity.cert.clone(), config.identity.key.clone());
        Self { cert, key, sheet: config.dir.join("provision.json"), dir: config.dir.clone() }
    }

    /// Nobody else is at it as long as this is held.
    pub fn lock(&self) -> Result<Lock, ProvisionError> {
        let dir = File::open(&self.dir).map_err(failed("open", &self.dir))?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(dir)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ProvisionError::Busy),
            Err(error) => Err(failed("lock", &self.dir)(error.into())),
        }
    }

    /// How far it has come. A sheet that can not be read is none: at worst a certificate is asked for once more.
    pub fn sheet(&self) -> Result<Sheet, ProvisionError> {
        let bytes = read(&self.sheet)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Puts down how far it has come.
    pub fn store(&self, sheet: &Sheet) -> Result<(), ProvisionError> {
        let mut text = serde_json::to_string_pretty(sheet).unwrap_or_default();
        text.push('\n');
        write(&self.sheet, text.as_bytes(), MODE_SECRET)
    }

    /// The key that a certificate is asked for, made where there is none yet; whether it was made now.
    pub fn new_key(&self) -> Result<(DeviceKey, bool), ProvisionError> {
        let path = self.key_new();
        if let Some(bytes) = read(&path)? {
            return Ok((DeviceKey::from_pem(&bytes, &path)?, false));
        }
        let (key, pem) = DeviceKey::make()?;
        write(&path, pem.as_bytes(), MODE_SECRET)?;
        Ok((key, true))
    }

    /// The key that waits for its certificate.
    pub fn key_new(&self) -> PathBuf {
        beside(&self.key, ".new")
    }

    /// Puts a certificate down beside the one in use.
    pub fn put_cert(&self, pem: &str) -> Result<(), ProvisionError> {
        write(&beside(&self.cert, ".new"), pem.as_bytes(), MODE_PUBLIC)
    }

    /// Whether certificate and key in use are there and belong together.
    pub fn has_pair(&self) -> Result<bool, ProvisionError> {
        let (Some(cert), Some(key)) = (read(&self.cert)?, read(&self.key)?) else { return Ok(false) };
        Ok(key::is_pair(&cert, &key))
    }

    /// Puts what waits in the place of what is in use, and keeps that. `sheet` is `switched` then.
    pub fn switch(&self, sheet: &mut Sheet) -> Result<(), ProvisionError> {
        for (path, mode) in [(&self.cert, MODE_PUBLIC), (&self.key, MODE_SECRET)] {
            if let Some(bytes) = read(path)? {
                write(&beside(path, ".old"), &bytes, mode)?;
            }
        }
        sheet.state = State::Switching;
        self.store(sheet)?;
        self.rename_new()?;
        sheet.state = State::Switched;
        self.store(sheet)
    }

    /// Puts what was in use before back in its place.
    pub fn roll_back(&self, sheet: &mut Sheet) -> Result<(), ProvisionError> {
        sheet.state = State::RollingBack;
        self.store(sheet)?;
        for path in [&self.key, &self.cert] {
            rename(&beside(path, ".old"), path)?;
        }
        sheet.state = State::Done;
        sheet.issued = None;
        self.store(sheet)
    }

    /// Does what is left of a switch that was cut off; how far it has come then.
    pub fn settle(&self) -> Result<Sheet, ProvisionError> {
        let mut sheet = self.sheet()?;
        match sheet.state {
            State::Switching => {
                self.rename_new()?;
                sheet.state = State::Switched;
                self.store(&sheet)?;
            }
            State::RollingBack => self.roll_back(&mut sheet)?,
            State::Requesting | State::Issued | State::Registered | State::Switched | State::Done => {}
        }
        Ok(sheet)
    }

    /// Removes what was in use before.
    pub fn forget_old(&self) -> Result<(), ProvisionError> {
        [&self.key, &self.cert].into_iter().try_for_each(|path| remove(&beside(path, ".old")))
    }

    /// The key only where it is this certificate's: it may have gone before, and another may have been made since.
    fn rename_new(&self) -> Result<(), ProvisionError> {
        let (cert_new, key_new) = (beside(&self.cert, ".new"), self.key_new());
        let Some(cert) = read(&cert_new)? else { return Ok(()) };
        if read(&key_new)?.is_some_and(|key| key::is_pair(&cert, &key)) {
            rename(&key_new, &self.key)?;
        }
        let is_pair = read(&self.key)?.is_some_and(|key| key::is_pair(&cert, &key));
        if !is_pair {
            return Err(KeyError::Pair { cert: cert_new, key: self.key.clone() }.into());
        }
        rename(&cert_new, &self.cert)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProvisionError {
    let path = path.to_owned();
    move |source| ProvisionError::File { doing, path, source }
}

/// What a file holds, if it is there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, ProvisionError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(Some(bytes))
}

/// Writes a file so that it is there whole or not at all.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ProvisionError> {
    let part = beside(path, ".part");
    lasting::write(&part, bytes, mode).map_err(failed("write", path))?;
    rename(&part, path)
}

/// What is not there any more has been renamed before.
fn rename(from: &Path, to: &Path) -> Result<(), ProvisionError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(failed("write", to))?,
    }
    sync(to)
}

/// Removes a file for good, if it is there.
pub fn remove(path: &Path) -> Result<(), ProvisionError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(failed("remove", path))?,
    }
    sync(path)
}

fn sync(path: &Path) -> Result<(), ProvisionError> {
    lasting::sync_folder_of(path).map_err(failed("sync", folder_of(path)))
}
