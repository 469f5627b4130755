//! A disk whose power can be cut: ext4, with its journal as a Pi has it, in a file behind a loop device. As root, in a
//! mount namespace of one's own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 192;

/// Detached and forgotten on drop.
#[derive(Debug)]
pub struct Disk {
    device: String,
    mount: PathBuf,
}

impl Disk {
    /// A fresh one below `dir`.
    pub fn attach(dir: &Path) -> io::Result<Self> {
        let (image, mount) = (dir.join("image"), dir.join("mount"));
        File::create(&image)?.set_len(MIB << 20)?;
        std::fs::create_dir_all(&mount)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let device = run(Command::new("losetup").args(["-f", "--show"]).arg(&image))?;
        let disk = Self { device: device.trim().to_owned(), mount };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// The power goes: every program on it gets errors from now on. Says when that began, by the wall clock.
    pub fn cut(&self) -> io::Result<u128> {
        let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/helpers/powercut.py");
        run(Command::new("python3").arg(helper).arg(&self.mount))?.trim().parse().map_err(io::Error::other)
    }

    /// The power is back: the file system replays its journal.
    pub fn revive(&self) -> io::Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        self.mount()
    }

    fn mount(&self) -> io::Result<()> {
        run(Command::new("mount").arg(&self.device).arg(&self.mount)).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for (program, what) in [("umount", self.mount.as_os_str()), ("losetup", self.device.as_ref())] {
            let detach = (program == "losetup").then_some("-d");
            if let Err(error) = run(Command::new(program).args(detach).arg(what)) {
                println!("{error}");
            }
        }
    }
}

fn run(command: &mut Command) -> io::Result<String> {
    // Some systems keep these programs out of a user's path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = command.env("PATH", path).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}
