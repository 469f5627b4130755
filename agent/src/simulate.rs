//! A simulated instrument on a real pseudo-terminal: what the agent opens is a tty like any other.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use instruments::simulate::Simulation;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// How often a waiting simulator looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An instrument that talks until it is dropped.
pub struct Simulator {
    port: PathBuf,
    link: Option<PathBuf>,
    lines: Arc<AtomicU64>,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<File>>,
    /// Our side of the line, kept open when the talk has ended.
    quiet: Option<File>,
}

impl Simulator {
    /// Starts an instrument; `link` is a stable name for its port, replaced if it is there.
    pub fn start(simulation: Simulation, link: Option<&Path>) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let port = PathBuf::from(name.to_string_lossy().into_owned());
        // Held open, so that the line is there before and after anyone listens; raw, as a serial line is.
        let held = File::options().read(true).write(true).custom_flags(NOCTTY).open(&port)?;
        let mut attributes = tcgetattr(&held)?;
        attributes.make_raw();
        tcsetattr(&held, OptionalActions::Now, &attributes)?;
        // What nobody reads is lost, as on a wire: a full buffer must not hold the instrument up.
        rustix::io::ioctl_fionbio(&master, true)?;
        if let Some(link) = link {
            replace_link(&port, link)?;
        }
        let (lines, is_ending) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let talker = Talker {
            simulation,
            master: File::from(master),
            _held: held,
            lines: lines.clone(),
            is_ending: is_ending.clone(),
        };
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(move || talker.talk())?;
        Ok(Self { port, link: link.map(Path::to_path_buf), lines, is_ending, thread: Some(thread), quiet: None })
    }

    /// The port to open: the stable name where there is one.
    pub fn port(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.port)
    }

    /// Lines said so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Ends the talk; the port stays until the simulator is dropped.
    pub fn hush(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        match thread.join() {
            Ok(master) => self.quiet = Some(master),
            Err(_) => tracing::warn!(port = %self.port.display(), "the simulator did not end well"),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.hush();
        if let Some(link) = &self.link
            && let Err(error) = std::fs::remove_file(link)
        {
            tracing::debug!(link = %link.display(), %error, "link not removed");
        }
    }
}

/// `O_NOCTTY`: a simulated line is nobody's controlling terminal.
const NOCTTY: i32 = 0o400;

struct Talker {
    simulation: Simulation,
    master: File,
    _held: File,
    lines: Arc<AtomicU64>,
    is_ending: Arc<AtomicBool>,
}

impl Talker {
    fn talk(mut self) -> File {
        let every = Duration::from_millis(self.simulation.every_ms());
        let mut number = 0;
        while !self.is_ending.load(Ordering::Relaxed) {
            // A full buffer or a closed line: said to nobody.
            if self.master.write_all(&self.simulation.line(number)).is_ok() {
                self.lines.fetch_add(1, Ordering::Relaxed);
            }
            self.wait(every);
            number += 1;
        }
        self.master
    }

    fn wait(&self, every: Duration) {
        let mut left = every;
        while !left.is_zero() && !self.is_ending.load(Ordering::Relaxed) {
            let step = left.min(LOOK_EVERY);
            std::thread::sleep(step);
            left -= step;
        }
    }
}

fn replace_link(port: &Path, link: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(link) {
        Ok(held) if held.file_type().is_symlink() => std::fs::remove_file(link)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no link is there")),
        Err(_) => {}
    }
    std::os::unix::fs::symlink(port, link)
}
