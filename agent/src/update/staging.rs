//! The folder where the agent puts what it has fetched: `offer.json`, what it is to fetch; `<sha256>.part`, what it has of it;
//! `<sha256>`, all of it; `staged.json`, the offer once all of it is there, by which the installer is woken; `refused.json`,
//! what was given up; `told`, the ending that was told last.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::files;
use super::manifest::{DOCUMENT_BYTES_MAX, Manifest, Signed};
use super::report::Trouble;

/// What it is to fetch.
const OFFER: &str = "offer.json";
/// What is there.
const STAGED: &str = "staged.json";
/// What was given up, with the reason.
const REFUSED: &str = "refused.json";
const REFUSED_BYTES_MAX: u64 = 64 << 10;
/// The ending that was told last.
const TOLD: &str = "told";
const TOLD_BYTES_MAX: u64 = 1 << 10;
const LOCK: &str = "lock";

/// The folder.
#[derive(Debug, Clone)]
pub struct Staging(PathBuf);

impl Staging {
    /// The staging folder at this place.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Makes the folder, if it is not there, and keeps others out of it while the file lives.
    pub fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.0)?;
        let file = File::options().create(true).truncate(false).write(true).open(self.0.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(io::Error::other("another process fetches an update")),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes down what is to be fetched. What was staged is no more.
    pub fn offer(&self, signed: &Signed) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        for old in [STAGED, REFUSED] {
            files::remove(&self.0.join(old))?;
        }
        files::replace(&self.0.join(OFFER), signed.document().as_bytes())
    }

    /// What is to be fetched.
    pub fn offered(&self) -> Option<Signed> {
        self.document(OFFER)
    }

    /// Forgets the offer.
    pub fn withdraw(&self) -> io::Result<()> {
        files::remove(&self.0.join(OFFER))
    }

    /// What waits for the installer.
    pub fn staged(&self) -> Option<Signed> {
        self.document(STAGED)
    }

    fn document(&self, name: &str) -> Option<Signed> {
        let file = files::open_beneath(&self.0, name).ok()?;
        Signed::parse(&files::read_bounded(file, DOCUMENT_BYTES_MAX).ok()?).ok()
    }

    /// What there is of an update that is not whole yet.
    pub fn part(&self, manifest: &Manifest) -> PathBuf {
        self.0.join(format!("{}.part", manifest.sha256))
    }

    /// Opens an update, whoever has written it.
    pub fn open(&self, manifest: &Manifest) -> io::Result<File> {
        files::open_beneath(&self.0, &manifest.sha256)
    }

    /// Bytes that are there of it.
    pub fn bytes_of(&self, manifest: &Manifest) -> u64 {
        let length = |path: PathBuf| fs::metadata(path).map(|metadata| metadata.len());
        length(self.0.join(&manifest.sha256)).or_else(|_| length(self.part(manifest))).unwrap_or(0)
    }

    /// Whether all of it is there: by its name alone, which it got when it was found right.
    pub fn has(&self, manifest: &Manifest) -> bool {
        self.0.join(&manifest.sha256).is_file()
    }

    /// The part was found to be the whole.
    pub fn complete(&self, manifest: &Manifest) -> io::Result<()> {
        let part = self.part(manifest);
        File::open(&part)?.sync_all()?;
        files::rename(&part, &self.0.join(&manifest.sha256))
    }

    /// Lets the installer have it.
    pub fn stage(&self, signed: &Signed) -> io::Result<()> {
        files::remove(&self.0.join(REFUSED))?;
        files::replace(&self.0.join(STAGED), signed.document().as_bytes())
    }

    /// Removes what belongs to another update.
    pub fn keep_only(&self, manifest: Option<&Manifest>) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let digits = name.strip_suffix(".part").unwrap_or(&name);
            let is_update = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_update && manifest.is_none_or(|manifest| digits != manifest.sha256) {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Why this process should not write here: root in a folder where another may plant a link would write anywhere.
    pub fn stranger(&self) -> Option<String> {
        let owner = |path: &Path| path.metadata().map(|metadata| metadata.uid()).ok();
        let owners = [Some(self.0.as_path()), self.0.parent()].into_iter().flatten().filter_map(owner);
        let is_others = rustix::process::geteuid().is_root() && owners.into_iter().any(|uid| uid != 0);
        is_others
            .then(|| format!("{} is the agent's: runuser -u tidegate -- tidegate update fetch ...", self.0.display()))
    }

    /// Notes that what was offered is given up, and why.
    pub fn refuse(&self, refused: &Trouble) -> io::Result<()> {
        let text = serde_json::to_vec(refused).map_err(io::Error::other)?;
        files::replace(&self.0.join(REFUSED), &text)?;
        self.withdraw()
    }

    /// What was given up last.
    pub fn refused(&self) -> Option<Trouble> {
        let file = files::open_beneath(&self.0, REFUSED).ok()?;
        serde_json::from_slice(&files::read_bounded(file, REFUSED_BYTES_MAX).ok()?).ok()
    }

    /// The ending that was told last.
    pub fn told(&self) -> String {
        let bytes = files::read(&self.0.join(TOLD), TOLD_BYTES_MAX).ok().flatten().unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// Notes that an ending was told.
    pub fn tell(&self, ending: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        files::replace(&self.0.join(TOLD), format!("{ending}\n").as_bytes())
    }
}
