//! A wall clock that stands still until a story sets it on: what an agent takes under it has the times that the story
//! says, to the millisecond. The monotonic clock goes on. For clocks that run wrong there is [`crate::faketime`].

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::Agent;
use crate::places;

/// The first of November 2026, in seconds since 1970.
const NOVEMBER: i64 = 1_793_491_200;

/// A moment of November 2026 in UTC: day, hour, minute.
pub type Moment = (i64, i64, i64);

/// The clock of an agent.
#[derive(Debug)]
pub struct StandingClock {
    library: PathBuf,
    file: PathBuf,
}

impl StandingClock {
    /// A clock that keeps its files in the folder `dir`.
    pub fn made(dir: &Path, moment: Moment) -> Self {
        let clock = Self { library: dir.join("standing.so"), file: dir.join("clock") };
        let source = places::tests().join("helpers/standing.c");
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&clock.library).arg(source).output();
        let compiled = compiled.expect("a C compiler is installed");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        fs::write(&clock.file, []).expect("write into the story's folder");
        clock.set(moment);
        clock
    }

    /// It is this now.
    pub fn set(&self, (day, hour, minute): Moment) {
        let seconds = NOVEMBER + (((day - 1) * 24 + hour) * 60 + minute) * 60;
        let said = (seconds * 1_000_000_000).to_ne_bytes();
        let file = File::options().write(true).open(&self.file).expect("made above");
        // Twice: who sees two different ones looks again.
        file.write_all_at(&[said, said].concat(), 0).expect("write into the story's folder");
    }

    /// An agent in `dir` whose wall clock this is.
    pub fn launched(&self, dir: &Path, config: &str) -> Agent {
        let (library, file) = (self.library.display().to_string(), self.file.display().to_string());
        Agent::launched_with(dir, config, &[("LD_PRELOAD", &library), ("STANDING_CLOCK", &file)])
    }
}
