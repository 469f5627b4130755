//! A serial port that can be unplugged: a pseudo-terminal behind a symlink that keeps its name.
//!
//! The agent's configuration names the symlink, as it would name `/dev/serial/by-id/...`. Nobody here holds the
//! agent's side open: bytes sent while no agent listens are lost or stale, as on a real line, and an exclusive lock
//! ends with its holder.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{ffi, fs};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, InputModes, OptionalActions, tcgetattr, tcsetattr};

use crate::patience::{now, pause};
use crate::uart::Shape;

/// A port with an instrument on it.
#[derive(Debug)]
pub struct Port {
    link: PathBuf,
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    instrument: OwnedFd,
    device: PathBuf,
}

impl Port {
    /// A name for a port with nothing plugged in.
    pub fn unplugged(link: &Path) -> Self {
        Self { link: link.to_owned(), plugged: None }
    }

    /// A port with an instrument plugged in.
    pub fn plugged(link: &Path) -> Self {
        let mut port = Self::unplugged(link);
        port.plug();
        port
    }

    /// The path that goes into the configuration.
    pub fn path(&self) -> &Path {
        &self.link
    }

    /// The device behind it, while something is plugged in.
    pub fn device(&self) -> Option<&Path> {
        self.plugged.as_ref().map(|plugged| plugged.device.as_path())
    }

    /// What whoever has it open has set it to. The kernel gives a pseudo-terminal eight bits and no parity, whatever is asked
    /// for (`pty_set_termios`); what is left of a parity is that it is to be checked, and which. With one there are seven bits, but
    /// at speeds that only Modbus has.
    pub fn shape(&self) -> Option<Shape> {
        let set = tcgetattr(&self.plugged.as_ref()?.instrument).ok()?;
        let has_parity = set.input_modes.contains(InputModes::INPCK);
        let is_odd = has_parity.then(|| set.control_modes.contains(ControlModes::PARODD));
        let baud = set.output_speed();
        let data_bits = if has_parity && baud < 19_200 { 7 } else { 8 };
        Some(Shape { baud, data_bits, is_odd })
    }

    /// What came from the other side since the last look.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let count = self.plugged.as_ref().and_then(|plugged| read(&plugged.instrument, &mut bytes).ok());
        bytes.truncate(count.unwrap_or(0));
        bytes
    }

    /// Plugs the instrument in: a new device, under the same name.
    pub fn plug(&mut self) {
        self.unplug();
        let plugged = Plugged::new();
        std::os::unix::fs::symlink(&plugged.device, &self.link).expect("link a port in the story's folder");
        self.plugged = Some(plugged);
    }

    /// Pulls the plug: whoever has the port open sees a hangup, and the name is gone.
    pub fn unplug(&mut self) {
        if self.plugged.take().is_some() {
            fs::remove_file(&self.link).expect("the link was made by plug");
        }
    }

    /// Sends all of `bytes`, as fast as the reader takes them.
    ///
    /// # Panics
    /// When the reader takes nothing at all for `limit`.
    #[track_caller]
    pub fn send(&self, mut bytes: &[u8], limit: Duration) {
        let plugged = self.plugged.as_ref().expect("an instrument must be plugged in to speak");
        let mut deadline = now() + limit;
        while !bytes.is_empty() {
            let sent = plugged.offer(bytes);
            bytes = &bytes[sent..];
            if sent > 0 {
                deadline = now() + limit;
            } else {
                assert!(now() < deadline, "nobody read {} for {limit:?}", self.link.display());
                plugged.wait_for_room();
            }
        }
    }

    /// Sends all of `bytes` at a pace that the agent must keep up with, as [`Port::send`] does.
    #[track_caller]
    pub fn send_lines(&self, bytes: &[u8], lines_per_second: u32, limit: Duration) {
        let begin = now();
        for (sent, line) in (0_u32..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let due = Duration::from_secs(1) * sent / lines_per_second;
            pause(due.saturating_sub(begin.elapsed()));
            self.send(line, limit);
        }
    }

    /// Sends what the line takes at once, and says how much that was.
    pub fn offer(&self, bytes: &[u8]) -> usize {
        self.plugged.as_ref().map_or(0, |plugged| plugged.offer(bytes))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.unplug();
    }
}

impl Plugged {
    fn new() -> Self {
        let instrument = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("make a pty");
        grantpt(&instrument).expect("own the pty");
        unlockpt(&instrument).expect("unlock the pty");
        fcntl_setfl(&instrument, OFlags::NONBLOCK | OFlags::RDWR).expect("a pty can be non-blocking");
        let name = ptsname(&instrument, Vec::new()).expect("a pty has a name").into_bytes();
        let device = PathBuf::from(ffi::OsString::from_vec(name));

        // A line, not a terminal: no echo, no line editing. The settings stay with the device.
        let line = open(&device, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("open the pty");
        let mut settings = tcgetattr(&line).expect("a pty has settings");
        settings.make_raw();
        tcsetattr(&line, OptionalActions::Now, &settings).expect("a pty can be raw");
        Self { instrument, device }
    }

    fn offer(&self, bytes: &[u8]) -> usize {
        match write(&self.instrument, bytes) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(error) => panic!("write to {}: {error}", self.device.display()),
        }
    }

    fn wait_for_room(&self) {
        let a_moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let mut line = [PollFd::new(&self.instrument, PollFlags::OUT)];
        // Room or not, the caller looks again.
        poll(&mut line, Some(&a_moment)).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn reader(port: &Port) -> BufReader<fs::File> {
        BufReader::new(fs::File::open(port.path()).unwrap())
    }

    #[test]
    fn bytes_arrive_as_they_are_sent_also_those_a_terminal_would_eat() {
        let dir = tempfile::tempdir().unwrap();
        let port = Port::plugged(&dir.path().join("port"));
        let mut line = reader(&port);
        let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let sender = std::thread::spawn({
            let all = all.clone();
            move || {
                port.send(&all, LIMIT);
                port
            }
        });
        let mut received = vec![0; all.len()];
        line.read_exact(&mut received).unwrap();
        assert!(received == all, "the line changed what was sent");
        drop(sender.join().unwrap());
    }

    #[test]
    fn a_pulled_plug_ends_the_reader_and_a_new_one_keeps_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut port = Port::plugged(&dir.path().join("port"));
        let mut line = reader(&port);
        port.unplug();
        let mut text = String::new();
        // Linux says end of file or EIO, depending on who was first.
        assert!(matches!(line.read_line(&mut text), Ok(0) | Err(_)));
        assert!(fs::symlink_metadata(port.path()).is_err(), "the name outlived the plug");

        port.plug();
        let mut line = reader(&port);
        port.send(b"back again\n", LIMIT);
        line.read_line(&mut text).unwrap();
        assert_eq!(text, "back again\n");
    }

    #[test]
    fn a_line_that_nobody_reads_takes_only_so_much() {
        let dir = tempfile::tempdir().unwrap();
        let port = Port::plugged(&dir.path().join("port"));
        let chunk = [b'x'; 4096];
        // A pseudo-terminal holds some tens of KiB; a mebibyte is out of the question.
        let taken: usize = (0..256).map(|_| port.offer(&chunk)).sum();
        assert!(taken < 256 * chunk.len(), "the line took {taken} bytes with no reader");
    }
}
