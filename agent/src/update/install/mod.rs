//! The installer: a process of its own, with the right to replace the program, that believes nothing the agent says.
//!
//! `Switching` -> `Checking` -> `Ended`, or over `GoingBack`. Each is written down before it is begun, and each can be
//! begun again: whatever a power cut leaves is finished by the next start, with the copy of the installer that lies
//! beside what it has written. What is checked before is checked while nothing was touched.

mod command;
pub mod health;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::files;
use super::manifest::{Kind, Manifest, Signed};
use super::rollout::{Build, Ending, ROLLOUT_VERSION, Rollout, Settings, Step};
use super::staging::Staging;
use super::task::judge;
use crate::config::{Config, millis};

/// The program before; the way back.
const OLD: &str = "old";
/// The one that is to be installed.
const NEW: &str = "new";
/// The package that is to be installed, and the one that is.
const NEW_PACKAGE: &str = "new.deb";
const KEPT_PACKAGE: &str = "installed.deb";
/// What is in the package, to be tried.
const UNPACKED: &str = "unpacked";
/// What began this, to finish it.
const INSTALLER: &str = "installer";
/// What another program said.
const SAID: &str = "said";
const LOCK: &str = "lock";

/// Where packages have the program.
const PACKAGED_BINARY: &str = "/usr/bin/tidegate";

/// A program that takes longer to say its version hangs.
const TRIAL_LIMIT: Duration = Duration::from_secs(60);
/// Of starting the agent anew.
const RESTART_LIMIT: Duration = Duration::from_secs(120);
/// Of a package manager, on the slowest card.
const PACKAGE_LIMIT: Duration = Duration::from_secs(20 * 60);
/// The old one, when it is back, has so long to answer before it is said that it does not.
const OLD_ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// A look at an update's health that was broken off so often means that it ends the device, too.
const ATTEMPTS_MAX: u32 = 3;

/// An installer that can not go on. What it has begun is finished by the next one.
#[derive(Debug, thiserror::Error)]
#[error("can not {what} in {}", folder.display())]
pub struct InstallError {
    what: &'static str,
    folder: PathBuf,
    source: io::Error,
}

fn failed<'a>(what: &'static str, folder: &'a Path) -> impl FnOnce(io::Error) -> InstallError + 'a {
    move |source| InstallError { what, folder: folder.to_owned(), source }
}

/// Keeps other installers out while the file lives.
pub fn lock(folder: &Path) -> Result<File, InstallError> {
    let lock = || {
        fs::create_dir_all(folder)?;
        let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(file)
    };
    lock().map_err(failed("be the only installer", folder))
}

/// Finishes what another installer has begun, if there is anything.
pub async fn finish(folder: &Path) -> Result<Option<Rollout>, InstallError> {
    let rollout = Rollout::load(folder).map_err(failed("read how far the last update is", folder))?;
    match rollout {
        Some(rollout) if rollout.step != Step::Ended => {
            info!(step = ?rollout.step, version = rollout.to.version, "finishing an update");
            proceed(folder, rollout).await.map(Some)
        }
        _ => {
            tidy(folder);
            Ok(None)
        }
    }
}

/// Installs what is staged, if there is anything that was not tried before.
pub async fn install(config: &Config, file: &Path) -> Result<Option<Rollout>, InstallError> {
    let folder = config.update.rollback.as_path();
    let staging = Staging::at(&config.update.staging);
    let last = Rollout::load(folder).map_err(failed("read how the last update ended", folder))?;
    let signed = match staging.staged() {
        Some(signed) if last.as_ref().is_none_or(|last| last.digest != signed.digest()) => signed,
        _ => return Ok(None),
    };
    let mut rollout = Rollout {
        v: ROLLOUT_VERSION,
        digest: signed.digest(),
        kind: None,
        from: Build { version: env!("CARGO_PKG_VERSION").to_owned(), sha256: String::new() },
        to: Build::default(),
        step: Step::Switching,
        result: None,
        why: None,
        attempts: 0,
        package_kept: last.and_then(|last| last.package_kept),
        settings: settings_of(config, file),
        before: None,
    };
    match prepare(config, &staging, &signed, &mut rollout).await {
        Ok(true) => {}
        Ok(false) => rollout.end(Ending::Done, Some("it was installed already".to_owned())),
        Err(why) => rollout.end(Ending::Failed, Some(why)),
    }
    rollout.store(folder).map_err(failed("write down an update", folder))?;
    proceed(folder, rollout).await.map(Some)
}

/// Whether something else was staged meanwhile.
pub fn has_another(config: &Config, ended: &Rollout) -> bool {
    Staging::at(&config.update.staging).staged().is_some_and(|staged| staged.digest() != ended.digest)
}

fn settings_of(config: &Config, file: &Path) -> Settings {
    let update = &config.update;
    Settings {
        binary: update.binary.clone(),
        config: file.to_owned(),
        socket: config.local.socket.clone(),
        restart: update.restart.clone(),
        package: update.package.clone(),
        health_within_ms: millis(update.health_within),
        healthy_for_ms: millis(update.healthy_for),
    }
}

/// Everything that can be found out while nothing is touched. Says whether there is anything to install.
async fn prepare(config: &Config, staging: &Staging, signed: &Signed, rollout: &mut Rollout) -> Result<bool, String> {
    let folder = config.update.rollback.as_path();
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let manifest = judge(config, signed).map_err(|error| error.to_string())?;
    rollout.to.version.clone_from(&manifest.version);
    rollout.kind = Some(manifest.kind);
    let settings = rollout.settings.clone();
    // A program elsewhere is whoever's who has put it there: so is what replaces it.
    if settings.binary == Path::new(PACKAGED_BINARY) {
        belongs_to(manifest.kind, is_packaged(folder).await)?;
    }
    rollout.from.sha256 = files::digest(&settings.binary).map_err(told("the installed program can not be read"))?;
    let new = take(staging, &manifest, folder).map_err(told("what was fetched can not be used"))?;
    let program = match manifest.kind {
        Kind::Binary => new,
        Kind::Deb => unpack(folder, &new, &settings).await?,
    };
    rollout.to.sha256 = files::digest(&program).map_err(told("the new program can not be read"))?;
    // A package has more in it than the program.
    if manifest.kind == Kind::Binary && rollout.to.sha256 == rollout.from.sha256 {
        return Ok(false);
    }
    try_out(folder, &program, &settings).await?;
    keep(folder, rollout).map_err(told("the program that runs can not be kept"))?;
    rollout.before = health::picture(&settings).await;
    Ok(true)
}

/// What a package manager has put there is its to replace, and what it has not is not.
fn belongs_to(kind: Kind, is_packaged: bool) -> Result<(), String> {
    match (kind, is_packaged) {
        (Kind::Binary, true) => Err("the Debian package is installed here: offer the package instead".to_owned()),
        (Kind::Deb, false) => Err("it is a Debian package, and here none is installed: offer the program".to_owned()),
        (Kind::Binary, false) | (Kind::Deb, true) => Ok(()),
    }
}

/// Whether dpkg has our package installed; a removed one that has left its configuration is not.
async fn is_packaged(folder: &Path) -> bool {
    let words = ["--show", "--showformat=${db:Status-Status}", "tidegate"];
    let state = command::run(OsStr::new("dpkg-query"), &words, &folder.join(SAID), TRIAL_LIMIT).await;
    // Half installed is what a power cut leaves.
    state.is_ok_and(|state| !matches!(state.as_str(), "not-installed" | "config-files"))
}

/// Copies what was fetched to where the agent can not reach it, and holds it against its hash on the way.
fn take(staging: &Staging, manifest: &Manifest, folder: &Path) -> io::Result<PathBuf> {
    let mut file = staging.open(manifest)?;
    let found = file.metadata()?.len();
    if found != manifest.size {
        return Err(io::Error::other(format!("it has {found} bytes, not {}", manifest.size)));
    }
    let new = folder.join(match manifest.kind {
        Kind::Binary => NEW,
        Kind::Deb => NEW_PACKAGE,
    });
    files::put_program(&mut file, &new, &manifest.sha256)?;
    Ok(new)
}

/// Unpacks a package beside itself; gives the program in it.
async fn unpack(folder: &Path, package: &Path, settings: &Settings) -> Result<PathBuf, String> {
    let unpacked = folder.join(UNPACKED);
    remove_folder(&unpacked).map_err(|error| error.to_string())?;
    let words = [OsStr::new("-x"), package.as_os_str(), unpacked.as_os_str()];
    command::run(OsStr::new("dpkg-deb"), &words, &folder.join(SAID), TRIAL_LIMIT).await?;
    // Where it is installed to may be a tree of its own.
    let name = settings.binary.file_name().unwrap_or(OsStr::new("tidegate"));
    let program = unpacked.join("usr/bin").join(name);
    if program.is_file() { Ok(program) } else { Err("the package has no usr/bin/tidegate".to_owned()) }
}

/// A program that does not even start here, or does not take the configuration, need not be installed to know it.
async fn try_out(folder: &Path, program: &Path, settings: &Settings) -> Result<(), String> {
    let run = |words: Vec<&OsStr>| {
        let words: Vec<_> = words.into_iter().map(OsStr::to_owned).collect();
        async move { command::run(program.as_os_str(), &words, &folder.join(SAID), TRIAL_LIMIT).await }
    };
    let version = run(vec![OsStr::new("--version")]).await?;
    if !version.starts_with("tidegate ") {
        return Err(format!("it is no tidegate: asked for its version, it says \"{version}\""));
    }
    let config = [OsStr::new("--config"), settings.config.as_os_str(), OsStr::new("check")];
    run(config.to_vec()).await.map_err(|words| format!("it does not take the configuration: {words}"))?;
    Ok(())
}

/// Keeps the way back, and who can go it.
fn keep(folder: &Path, rollout: &Rollout) -> io::Result<()> {
    let (old, installer) = (folder.join(OLD), folder.join(INSTALLER));
    files::put_program(&mut File::open(&rollout.settings.binary)?, &old, &rollout.from.sha256)?;
    let this = Path::new("/proc/self/exe");
    let digest = files::digest(this)?;
    if digest != rollout.from.sha256 {
        return files::put_program(&mut File::open(this)?, &installer, &digest);
    }
    files::remove(&installer)?;
    fs::hard_link(&old, &installer)?;
    files::sync_folder_of(&installer)
}

impl Rollout {
    fn end(&mut self, result: Ending, why: Option<String>) {
        self.step = Step::Ended;
        self.result = Some(result);
        self.why = why;
    }

    fn go_back(&mut self, why: String) {
        warn!(version = self.to.version, why, "the update is taken back");
        self.step = Step::GoingBack;
        self.why = Some(why);
    }
}

/// Does what is left, step by step.
async fn proceed(folder: &Path, mut rollout: Rollout) -> Result<Rollout, InstallError> {
    loop {
        match rollout.step {
            Step::Switching => match switch(folder, &rollout).await {
                Ok(()) => rollout.step = Step::Checking,
                Err(why) => rollout.go_back(format!("it could not be installed: {why}")),
            },
            Step::Checking if rollout.attempts >= ATTEMPTS_MAX => {
                let why =
                    format!("the look at its health was broken off {ATTEMPTS_MAX} times: does it end the device?");
                rollout.go_back(why);
            }
            Step::Checking => {
                rollout.attempts += 1;
                rollout.store(folder).map_err(failed("write down an update", folder))?;
                match check(folder, &rollout).await {
                    Ok(()) => {
                        keep_package(folder, &mut rollout).map_err(failed("keep the package", folder))?;
                        rollout.end(Ending::Done, None);
                    }
                    Err(why) => rollout.go_back(why),
                }
            }
            Step::GoingBack => {
                let answers = go_back(folder, &rollout).await.map_err(failed("put the old program back", folder))?;
                let why = rollout.why.take().unwrap_or_default();
                let why = if answers { why } else { format!("{why}; and the old one does not answer either") };
                rollout.end(Ending::RolledBack, Some(why));
            }
            Step::Ended => {
                tidy(folder);
                return Ok(rollout);
            }
        }
        rollout.store(folder).map_err(failed("write down an update", folder))?;
    }
}

/// Puts the new program in its place.
async fn switch(folder: &Path, rollout: &Rollout) -> Result<(), String> {
    let settings = &rollout.settings;
    match rollout.kind {
        Some(Kind::Deb) => {
            install_package(folder, settings, &folder.join(NEW_PACKAGE)).await?;
            let found = files::digest(&settings.binary).map_err(|error| error.to_string())?;
            if found == rollout.to.sha256 {
                Ok(())
            } else {
                Err("the package manager put another program there".into())
            }
        }
        Some(Kind::Binary) | None => {
            let put = || files::put_program(&mut File::open(folder.join(NEW))?, &settings.binary, &rollout.to.sha256);
            put().map_err(|error| error.to_string())
        }
    }
}

async fn install_package(folder: &Path, settings: &Settings, package: &Path) -> Result<(), String> {
    let Some((program, words)) = settings.package.split_first() else {
        return Err("no command installs packages".to_owned());
    };
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([package.as_os_str()]).collect();
    command::run(OsStr::new(program), &words, &folder.join(SAID), PACKAGE_LIMIT).await.map(drop)
}

/// Starts the new one, unless a package manager or a boot has done so, and watches it.
async fn check(folder: &Path, rollout: &Rollout) -> Result<(), String> {
    let settings = &rollout.settings;
    if !health::is_installed_one_up(settings).await {
        restart(folder, settings).await;
    }
    health::wait_well(settings, rollout.before.as_ref()).await
}

/// What comes of it is seen by who answers, not by what the command says.
async fn restart(folder: &Path, settings: &Settings) {
    let Some((program, words)) = settings.restart.split_first() else { return };
    if let Err(words) = command::run(OsStr::new(program), words, &folder.join(SAID), RESTART_LIMIT).await {
        warn!(words, "the command that starts the agent anew did not end well");
    }
}

/// Puts the old program back and starts it, where it is not there and running. Says whether it answers.
async fn go_back(folder: &Path, rollout: &Rollout) -> io::Result<bool> {
    let settings = &rollout.settings;
    let is_back = || files::digest(&settings.binary).is_ok_and(|found| found == rollout.from.sha256);
    let package = folder.join(KEPT_PACKAGE);
    let has_package = rollout.package_kept.as_ref().is_some_and(|kept| *kept == rollout.from.sha256);
    let is_elsewhere = !is_back() || rollout.to.sha256 == rollout.from.sha256;
    let goes_back = rollout.kind == Some(Kind::Deb) && is_elsewhere && has_package && package.is_file();
    if goes_back && let Err(words) = install_package(folder, settings, &package).await {
        warn!(words, "the package before could not be installed, its program is put back alone");
    }
    if !is_back() {
        files::put_program(&mut File::open(folder.join(OLD))?, &settings.binary, &rollout.from.sha256)?;
    }
    if !health::is_installed_one_up(settings).await {
        restart(folder, settings).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < OLD_ANSWERS_WITHIN {
        if health::is_installed_one_up(settings).await {
            return Ok(true);
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(false)
}

/// The package that is installed now is the way back from the next one.
fn keep_package(folder: &Path, rollout: &mut Rollout) -> io::Result<()> {
    let package = folder.join(NEW_PACKAGE);
    if rollout.kind == Some(Kind::Deb) && package.is_file() {
        files::rename(&package, &folder.join(KEPT_PACKAGE))?;
    }
    rollout.package_kept = (rollout.kind == Some(Kind::Deb)).then(|| rollout.to.sha256.clone());
    Ok(())
}

/// Removes what nobody needs any more: all but the way back by hand. What stays is in nobody's way.
fn tidy(folder: &Path) {
    let cleared =
        [NEW, NEW_PACKAGE, SAID, INSTALLER].into_iter().try_for_each(|name| files::remove(&folder.join(name)));
    if let Err(error) = cleared.and_then(|()| remove_folder(&folder.join(UNPACKED))) {
        warn!(%error, "what the update has left could not be removed");
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_replaced_by_a_package_and_a_program_by_a_program() {
        assert!(belongs_to(Kind::Deb, true).is_ok());
        assert!(belongs_to(Kind::Binary, false).is_ok());
        assert!(belongs_to(Kind::Binary, true).is_err());
        assert!(belongs_to(Kind::Deb, false).is_err());
    }
}
