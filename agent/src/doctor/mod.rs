//! What a technician looks at beside a device that does not deliver, in the order of cause and effect, one thing a check.
//!
//! A look is a function from a [`Patient`] to checks; what it reads of the machine lies below the patient's `root`, so that
//! every fault of a board can be made in a folder. What the agent says of itself is judged in `control/check.rs` and stands
//! among the rest. A running agent is not disturbed: what it holds is not opened, and nobody connects under its name.
//!
//! Everything has a limit: a look at the machine, a name, a connection, a store. One that hangs is a fault by itself.

mod board;
mod broker;
mod clock;
mod configuration;
mod disk;
mod journal;
mod network;
mod people;
mod port;
mod program;
mod store;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::journal::Probe;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt as _, Limited};

use crate::clock::Clock;
use crate::config::Config;
use crate::control::check::{Area, Check, of_status};
use crate::control::client::{self, ClientError};
use crate::control::status::Status;

/// Every check there is, by its area. `docs/OPERATIONS.md` says what each means; a test holds the two together.
pub const CHECKS: &[(Area, &[&str])] = &[
    (
        Area::Program,
        &["program-file", "agent-answers", "agent-version", "unit-active", "unit-enabled", "unit-restarts"],
    ),
    (Area::Configuration, &["config-loads", "config-files", "config-secrets", "config-revision"]),
    (Area::Board, &["memory", "load", "power-supply", "throttled", "temperature", "hardware-watchdog"]),
    (Area::Port, &["ports-here", "port-there", "port-name", "port-rights", "port-console", "port-free", "port-opens"]),
    (Area::Instrument, &["instrument-heard", "line-heard"]),
    (Area::Clock, &["clock-plausible", "clock-trust", "clock-service", "clock-battery", "clock-skew"]),
    (
        Area::Disk,
        &["disk-folder", "disk-mount", "disk-filesystem", "disk-space", "disk-inodes", "disk-write", "disk-wear"],
    ),
    (Area::Journal, &["journal-written", "journal-losses", "journal-room", "journal-reads", "journal-quarantine"]),
    (Area::Network, &["network-interface", "network-route", "network-resolver", "network-name", "network-connect"]),
    (
        Area::Broker,
        &[
            "broker-files",
            "broker-reached",
            "broker-tls",
            "broker-certificate",
            "broker-login",
            "broker-publish",
            "sink-certificate",
            "sink-delivers",
            "sink-quarantine",
        ],
    ),
    (
        Area::Store,
        &[
            "store-folder",
            "store-mount",
            "store-space",
            "store-credentials",
            "store-reached",
            "store-put",
            "store-conditional",
            "store-read",
            "sink-certificate",
            "sink-credentials",
            "sink-delivers",
            "sink-quarantine",
        ],
    ),
];

/// A look at the machine that takes longer hangs: a disk or a network file system that does not answer.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// One step over the network: a name, a connection, a handshake.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// The agent answers on a thread of its own; one that does not is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Largest status: a thousand instruments.
const STATUS_BYTES_MAX: usize = 8 << 20;
/// Largest file of the kernel's that is read.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A configuration that does not load: its first problem.
#[derive(Debug, Clone)]
pub struct Misconfigured {
    /// What is wrong, with file and line.
    pub seen: String,
    /// How many problems there are.
    pub problems: usize,
    /// This user may not read it.
    pub is_barred: bool,
}

/// The agent, as far as it can be asked.
#[derive(Debug)]
pub enum Agent {
    /// It answers; which process, by the kernel's word.
    Answers(Box<Status>, Option<i32>),
    /// The socket is there, and this user may not use it.
    Barred,
    /// The socket is there, and nobody listens.
    Stale,
    /// There is no socket.
    Absent,
    /// It answers, and not as it should.
    Odd(String),
}

impl Agent {
    /// What it says of itself.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Agent::Answers(status, _) => Some(status),
            _ => None,
        }
    }

    /// Whether it may be running: what it holds is left alone.
    pub fn may_run(&self) -> bool {
        !matches!(self, Agent::Stale | Agent::Absent)
    }

    fn pid(&self) -> Option<i32> {
        match self {
            Agent::Answers(_, pid) => *pid,
            _ => None,
        }
    }
}

/// Asks the agent on this socket.
pub async fn ask(socket: &Path) -> Agent {
    let asked = async {
        let (response, pid) = client::get_and_who(socket, "/v1/status").await?;
        let body = Limited::new(response.into_body(), STATUS_BYTES_MAX).collect().await;
        Ok::<_, ClientError>((body.map(http_body_util::Collected::to_bytes), pid))
    };
    match tokio::time::timeout(ANSWER_LIMIT, asked).await {
        Err(_) => Agent::Odd(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
        Ok(Err(ClientError::NotReached { source, .. })) => match source.kind() {
            io::ErrorKind::PermissionDenied => Agent::Barred,
            io::ErrorKind::ConnectionRefused => Agent::Stale,
            io::ErrorKind::NotFound => Agent::Absent,
            _ => Agent::Odd(source.to_string()),
        },
        Ok(Err(error)) => Agent::Odd(error.to_string()),
        Ok(Ok((Err(error), _))) => Agent::Odd(error.to_string()),
        Ok(Ok((Ok(body), pid))) => match serde_json::from_slice(&body) {
            Ok(status) => Agent::Answers(Box::new(status), pid),
            Err(error) => Agent::Odd(format!("its status is none of this version's: {error}")),
        },
    }
}

/// What is looked at.
#[derive(Debug)]
pub struct Patient {
    /// Where `/proc`, `/sys`, `/dev`, `/etc` and `/run` lie: `/`, or a test's folder.
    pub root: PathBuf,
    /// The configuration, or what is wrong with it.
    pub config: Result<Arc<Config>, Misconfigured>,
    /// The journal's folder, as far as the configuration says where it is.
    pub journal: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// The agent.
    pub agent: Agent,
    /// The clocks.
    pub clock: Clock,
    /// How a journal is opened that somebody may have damaged.
    pub probe: Probe,
    /// Nothing is sent to anybody.
    pub is_offline: bool,
    /// For so long lines are listened to that no agent has.
    pub listen: Option<Duration>,
    /// Hosts and ports that were tried and not reached: what lies behind them is not tried again.
    pub unreached: Mutex<BTreeSet<(String, u16)>>,
}

impl Patient {
    /// Where a file of the machine's lies.
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file of the kernel's, without the ends of its lines; nothing where it is not there or can not be read.
    fn read(&self, path: &str) -> Option<String> {
        read(&self.at(path))
    }

    fn unreached(&self) -> MutexGuard<'_, BTreeSet<(String, u16)>> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_not_reached(&self, host: &str, port: u16) -> bool {
        self.unreached().contains(&(host.to_owned(), port))
    }
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// What a look gives.
type Looked = Vec<Check>;
/// A look at the machine.
type Look = fn(&Patient) -> Looked;
/// A look that waits for somebody else.
type Waiting<'a> = Pin<Box<dyn Future<Output = Looked> + 'a>>;

/// The looks at the machine, with the check that a look which hangs is a fault of.
const LOOKS: &[(Area, &str, Look)] = &[
    (Area::Program, "program-file", program::file),
    (Area::Program, "agent-answers", program::agent),
    (Area::Program, "unit-active", program::unit),
    (Area::Configuration, "config-loads", configuration::loads),
    (Area::Configuration, "config-files", configuration::files),
    (Area::Board, "memory", board::memory),
    (Area::Board, "load", board::load),
    (Area::Board, "power-supply", board::power),
    (Area::Board, "temperature", board::temperature),
    (Area::Board, "hardware-watchdog", board::watchdog),
    (Area::Port, "port-there", port::ports),
    (Area::Clock, "clock-trust", clock::here),
    (Area::Disk, "disk-folder", disk::folder),
    (Area::Disk, "disk-mount", disk::mounted),
    (Area::Disk, "disk-space", disk::space),
    (Area::Disk, "disk-write", disk::write),
    (Area::Disk, "disk-wear", disk::wear),
    (Area::Journal, "journal-reads", journal::reads),
    (Area::Journal, "journal-quarantine", journal::quarantine),
    (Area::Network, "network-route", network::here),
    (Area::Store, "store-folder", store::folders),
];

/// What waits for somebody else, all of an area side by side.
fn waiting(area: Area, patient: &Patient) -> Vec<Waiting<'_>> {
    match area {
        Area::Instrument => port::listen(patient),
        _ if patient.is_offline => Vec::new(),
        Area::Clock => clock::skews(patient),
        Area::Network => network::afar(patient),
        Area::Broker => broker::visits(patient),
        Area::Store => store::buckets(patient),
        _ => Vec::new(),
    }
}

/// Looks at everything of these areas, in their order; each check is said as soon as it is known.
pub async fn examine<E>(
    patient: &Arc<Patient>,
    areas: &[Area],
    mut say: impl FnMut(Check) -> Result<(), E>,
) -> Result<(), E> {
    let mut say = |check: Check| {
        debug_assert!(is_known(&check), "{} is not among CHECKS", check.check);
        say(check)
    };
    let of_agent: Vec<Check> = patient.agent.status().map(of_status).unwrap_or_default();
    for area in Area::ALL.into_iter().filter(|area| areas.contains(area)) {
        for (_, name, look) in LOOKS.iter().filter(|(of, ..)| *of == area) {
            for check in bounded(patient, LOOK_LIMIT, area, name, *look).await {
                say(check)?;
            }
        }
        for check in of_agent.iter().filter(|check| check.area == area) {
            say(check.clone())?;
        }
        let mut waiting: FuturesUnordered<Waiting<'_>> = waiting(area, patient).into_iter().collect();
        while let Some(checks) = waiting.next().await {
            for check in checks {
                say(check)?;
            }
        }
    }
    Ok(())
}

fn is_known(check: &Check) -> bool {
    CHECKS.iter().any(|(area, names)| *area == check.area && names.contains(&check.check.as_str()))
}

/// A look in a thread of its own, which is left behind if it does not come back.
async fn bounded(patient: &Arc<Patient>, limit: Duration, area: Area, name: &str, look: Look) -> Looked {
    let of_look = patient.clone();
    let looking = tokio::task::spawn_blocking(move || look(&of_look));
    match tokio::time::timeout(limit, looking).await {
        Ok(Ok(checks)) => checks,
        // A look does not panic; were it to, that is no verdict on the machine.
        Ok(Err(error)) => vec![Check::fault(area, name, format!("the look broke off: {error}"), "tell its makers")],
        Err(_) => {
            let seen = format!("no answer within {} s: a disk or a device that hangs?", limit.as_secs());
            vec![Check::fault(area, name, seen, "`dmesg | tail` has the kernel's words; a power cycle may be due")]
        }
    }
}

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
