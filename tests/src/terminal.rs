//! A terminal of a story's own: a program on a pseudo-terminal, and every byte that it sends there.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::patience::now;
use crate::process::leashed;

/// A program on a terminal.
#[derive(Debug)]
pub struct Terminal {
    ours: OwnedFd,
    child: Child,
}

impl Terminal {
    /// Starts it on a terminal of so many columns and lines.
    pub fn start(program: &Path, args: &[&str], (columns, lines): (u16, u16), env: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("make a pty");
        grantpt(&ours).expect("own the pty");
        unlockpt(&ours).expect("unlock the pty");
        let name = ptsname(&ours, Vec::new()).expect("a pty has a name");
        let theirs = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("open the pty");
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("a pty has a size");
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor can be cloned"));
        let mut command = leashed(program);
        command.args(args).env("TERM", "xterm").env_remove("NO_COLOR").envs(env.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setpriv is there");
        Self { ours, child }
    }

    /// Reads what it sends until that is as wanted, and gives back all that was read.
    #[track_caller]
    pub fn read_until(&mut self, limit: Duration, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let (deadline, mut bytes) = (now() + limit, Vec::new());
        while !wanted(&bytes) {
            assert!(now() < deadline, "not within {limit:?}: {:?}", String::from_utf8_lossy(&bytes));
            let a_moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let mut line = [PollFd::new(&self.ours, PollFlags::IN)];
            if poll(&mut line, Some(&a_moment)).expect("a pty can be waited for") == 0 {
                continue;
            }
            let mut piece = [0; 4096];
            match read(&self.ours, &mut piece) {
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(Errno::IO) => panic!("it has ended: {:?}", String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("read the pty: {error}"),
            }
        }
        bytes
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
