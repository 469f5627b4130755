//! A line that loses packets, as the air does: two network namespaces and `helpers/air.py` between them, which needs root.
//!
//! What [`crate::wire`] can not do: TCP hides what is lost from both of its ends, and takes its time over it.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed, leashed_under};

/// Python and `ip` are up in half a second.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What a bulk of a minute of the line may take where TCP makes little of it.
const BULK_LIMIT: Duration = Duration::from_mins(10);

/// What the line does to packets, each way.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    /// One way.
    pub delay: Duration,
    /// Kilobits a second.
    pub kbit: u32,
    /// The part of all packets that is lost.
    pub loss: f64,
    /// How TCP decides on its pace at both ends.
    pub congestion: &'static str,
    /// Where chance begins.
    pub seed: u64,
}

/// A line, and the two ends of it.
#[derive(Debug)]
pub struct Air {
    process: Process,
    near: String,
    far: String,
}

impl Air {
    /// A line, unless this machine can not have one: then why.
    pub fn new(climate: Climate, log: &Path) -> Result<Self, String> {
        let Climate { delay, kbit, loss, congestion, seed } = climate;
        let python = places::python("helpers/air.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(delay.as_millis().to_string()).arg(loss.to_string());
        command.args([&kbit.to_string(), &seed.to_string(), congestion]);
        let process = Process::start("air", command, log);
        let ends = wait_for(
            "the line",
            START_LIMIT,
            || process.log_tail(),
            || {
                let ended = process.ended().map(|_| Err(process.log().trim().to_owned()));
                ended.or_else(|| Some(Ok(serde_json::from_str::<Value>(process.log().lines().next()?).ok()?)))
            },
        )?;
        let space = |end: &str| ends[end].as_str().expect("it names both").to_owned();
        Ok(Self { near: space("near"), far: space("far"), process })
    }

    /// What runs a program on the device's end.
    pub fn near(&self) -> Vec<String> {
        entering(&self.near)
    }

    /// What runs a program on the broker's end.
    pub fn far(&self) -> Vec<String> {
        entering(&self.far)
    }

    /// The broker's end as the device's sees it.
    pub fn far_address(&self) -> &'static str {
        "10.77.0.1"
    }

    /// Loses every packet from here on, or none more than it has to.
    pub fn turn(&self, is_alive: bool) {
        let (signal, word) = if is_alive { (Signal::USR2, "alive") } else { (Signal::USR1, "dead") };
        let count = || self.process.log().lines().filter(|line| *line == word).count();
        let before = count();
        self.process.signal(signal);
        wait_for("the line to turn", START_LIMIT, || self.process.log_tail(), || (count() > before).then_some(()));
    }

    /// How many seconds plain TCP takes to carry so many bytes from the device's end to the broker's.
    pub fn bulk(&self, bytes: u64, dir: &Path) -> f64 {
        let python = places::python("helpers/bulk.py");
        let bulk = |under: &[String], words: &[&str], log: &str| {
            let mut command = leashed_under(under, Path::new(python.get_program()));
            command.args(python.get_args()).args(words);
            Process::start("bulk", command, &dir.join(log))
        };
        let port = places::free_port();
        let receiver = bulk(&self.far(), &["receive", &port.to_string()], "receiver.log");
        wait_for("the receiver", START_LIMIT, || receiver.log_tail(), || receiver.listens(port).then_some(()));
        let words = ["send", self.far_address(), &port.to_string(), &bytes.to_string()];
        let sender = bulk(&self.near(), &words, "sender.log");
        assert!(sender.wait(BULK_LIMIT).is_some_and(|status| status.success()), "{}", sender.log_tail());
        let said: Value = serde_json::from_str(sender.log().trim()).expect("it says how long it took");
        said["seconds"].as_f64().expect("a number")
    }
}

fn entering(space: &str) -> Vec<String> {
    ["nsenter", &format!("--net={space}"), "--"].map(str::to_owned).to_vec()
}
