//! Whether an agent is well after an update: it answers, its journal moves, and what was reached before is reached again.
//!
//! What an agent says about itself is believed in one thing less: who it is. The kernel names the process that answers, and
//! the file that it runs is held against the one that was installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::control::client;
use crate::update::files;
use crate::update::rollout::Settings;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An agent that takes longer to answer does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// One that has never answered for so long will not: each minute of it is a minute without readings.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// An agent that was started anew so often by itself is not well.
const STARTS_MAX: usize = 3;
/// Largest status: a thousand instruments fit.
const STATUS_BYTES_MAX: usize = 16 << 20;

/// An agent's status, as far as it matters here. Another release may say more, and what it does not say is not asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Picture {
    /// The journal's epoch.
    pub epoch: String,
    /// The journal.
    pub journal: JournalPicture,
    /// Its instruments.
    pub instruments: Vec<Part>,
    /// Its sinks.
    pub sinks: Vec<Part>,
}

/// The journal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalPicture {
    /// `ok`, or not.
    pub state: String,
    /// The first position that is not durable yet.
    pub head: u64,
}

/// An instrument or a sink.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// Its name.
    pub id: String,
    /// How it is.
    pub state: String,
    /// What a broker was reached with.
    pub protocol: Option<String>,
}

/// An agent that has answered.
struct Seen {
    pid: i32,
    /// Whether it runs the file that is installed.
    is_installed: bool,
    picture: Picture,
}

/// How the agent is now, whoever it is; none if it does not answer.
pub async fn picture(settings: &Settings) -> Option<Picture> {
    look(settings).await.map(|seen| seen.picture)
}

/// Whether what answers runs the file that is installed.
pub async fn is_installed_one_up(settings: &Settings) -> bool {
    look(settings).await.is_some_and(|seen| seen.is_installed)
}

async fn look(settings: &Settings) -> Option<Seen> {
    let asked = async {
        let (response, who) = client::get_and_who(&settings.socket, "/v1/status").await.ok()?;
        let body = Limited::new(response.into_body(), STATUS_BYTES_MAX).collect().await.ok()?.to_bytes();
        Some((serde_json::from_slice(&body).ok()?, who?))
    };
    let (picture, pid) = timeout(ANSWER_TIMEOUT, asked).await.ok()??;
    let is_installed = runs(pid, &settings.binary).unwrap_or(false);
    Some(Seen { pid, is_installed, picture })
}

/// The kernel's name for what a process runs leads to that file, also when another one has its place by now.
fn runs(pid: i32, binary: &Path) -> std::io::Result<bool> {
    Ok(files::is_same(&fs::metadata(format!("/proc/{pid}/exe"))?, &fs::metadata(binary)?))
}

/// Waits until the installed agent is as well as the one before it was; or until it is known that it is not, and why.
pub async fn wait_well(settings: &Settings, before: Option<&Picture>) -> Result<(), String> {
    let (within, lasting) =
        (Duration::from_millis(settings.health_within_ms), Duration::from_millis(settings.healthy_for_ms));
    let begun = Instant::now();
    let mut pids = BTreeSet::new();
    let mut trial: Option<Trial> = None;
    let mut trouble = "nobody answers".to_owned();
    loop {
        match look(settings).await {
            Some(seen) if seen.is_installed => {
                pids.insert(seen.pid);
                let same = trial.take().filter(|trial| trial.pid == seen.pid);
                let mut now = same.unwrap_or_else(|| Trial::new(seen.pid, before));
                now.note(&seen.picture);
                match now.lacks(&seen.picture) {
                    Some(lack) => trouble = lack,
                    None if now.since.elapsed() >= lasting => return Ok(()),
                    None => trouble = format!("it has not run for {} s at a stretch", lasting.as_secs()),
                }
                trial = Some(now);
            }
            Some(_) => "another program than the installed one answers".clone_into(&mut trouble),
            None => "it does not answer".clone_into(&mut trouble),
        }
        if pids.len() > STARTS_MAX {
            return Err(format!("it ended and was started anew {STARTS_MAX} times"));
        }
        if pids.is_empty() && begun.elapsed() >= SILENCE_MAX.min(within) {
            return Err(format!("it has not answered within {} s", begun.elapsed().as_secs()));
        }
        if begun.elapsed() >= within {
            return Err(format!("it was not well within {} s: {trouble}", within.as_secs()));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One process of the new agent. Each thing has to be seen once: a line that comes and goes is no fault of the agent's.
struct Trial<'a> {
    pid: i32,
    since: Instant,
    epoch: Option<&'a str>,
    head_before: u64,
    /// Instruments whose port was open, and those that spoke.
    open: BTreeSet<&'a str>,
    up: BTreeSet<&'a str>,
    /// Sinks that were well, and brokers that were reached.
    sinks: BTreeSet<&'a str>,
    brokers: BTreeSet<&'a str>,
}

const UP: &str = "up";
const DOWN: &str = "down";
const OK: &str = "ok";

impl<'a> Trial<'a> {
    fn new(pid: i32, before: Option<&'a Picture>) -> Self {
        fn ids(parts: &[Part], of: impl Fn(&Part) -> bool) -> BTreeSet<&str> {
            parts.iter().filter(|part| of(part)).map(|part| part.id.as_str()).collect()
        }
        let (instruments, sinks) =
            before.map_or((&[][..], &[][..]), |before| (&before.instruments[..], &before.sinks[..]));
        Self {
            pid,
            since: Instant::now(),
            epoch: before.map(|before| before.epoch.as_str()).filter(|epoch| !epoch.is_empty()),
            head_before: before.map_or(0, |before| before.journal.head),
            open: ids(instruments, |part| part.state != DOWN),
            up: ids(instruments, |part| part.state == UP),
            sinks: ids(sinks, |part| part.state == OK),
            brokers: ids(sinks, |part| part.state == OK && part.protocol.is_some()),
        }
    }

    /// What was seen once need not be seen again.
    fn note(&mut self, now: &Picture) {
        for part in &now.instruments {
            if part.state != DOWN {
                self.open.remove(part.id.as_str());
            }
            if part.state == UP {
                self.up.remove(part.id.as_str());
            }
        }
        for part in now.sinks.iter().filter(|part| part.state == OK) {
            if part.protocol.is_some() {
                self.brokers.remove(part.id.as_str());
            }
            self.sinks.remove(part.id.as_str());
        }
    }

    /// The first thing that is missing.
    fn lacks(&self, now: &Picture) -> Option<String> {
        let list = |ids: &BTreeSet<&str>| ids.iter().copied().collect::<Vec<_>>().join(", ");
        if now.journal.state != OK {
            return Some("it can not write its journal".to_owned());
        }
        if self.epoch.is_some_and(|epoch| epoch != now.epoch) {
            return Some("it has begun another journal".to_owned());
        }
        // Its first event stands behind all that was there.
        if now.journal.head <= self.head_before {
            return Some("its journal does not move".to_owned());
        }
        [
            (&self.open, "ports that were open are not"),
            (&self.up, "instruments that were up are not"),
            (&self.brokers, "brokers that were reached are not"),
            (&self.sinks, "sinks that were ok are not"),
        ]
        .into_iter()
        .find(|(ids, _)| !ids.is_empty())
        .map(|(ids, words)| format!("{words}: {}", list(ids)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: &str, state: &str, protocol: Option<&str>) -> Part {
        Part { id: id.to_owned(), state: state.to_owned(), protocol: protocol.map(str::to_owned) }
    }

    fn picture(head: u64, instrument: &str, sink: &str, protocol: Option<&str>) -> Picture {
        Picture {
            epoch: "e".to_owned(),
            journal: JournalPicture { state: OK.to_owned(), head },
            instruments: vec![part("optode", instrument, None)],
            sinks: vec![part("cloud", sink, protocol)],
        }
    }

    #[tokio::test]
    async fn what_was_well_before_has_to_be_seen_well_once() {
        let before = picture(10, UP, OK, Some("5"));
        let mut trial = Trial::new(1, Some(&before));
        let mut lacks = |now: &Picture| {
            trial.note(now);
            trial.lacks(now).unwrap_or_default()
        };
        assert!(lacks(&picture(10, DOWN, OK, None)).contains("does not move"));
        assert!(lacks(&picture(11, DOWN, OK, None)).contains("ports"));
        assert!(lacks(&picture(11, "silent", OK, None)).contains("instruments that were up"));
        assert!(lacks(&picture(12, UP, OK, None)).contains("brokers"), "a sink is ok before it has tried");
        assert_eq!(lacks(&picture(13, UP, OK, Some("5"))), "");
        assert_eq!(lacks(&picture(13, "silent", "retrying", None)), "", "it was seen");
        assert!(lacks(&Picture { epoch: "f".to_owned(), ..picture(14, UP, OK, None) }).contains("another journal"));
        let journal = JournalPicture { state: "degraded".to_owned(), head: 20 };
        assert!(lacks(&Picture { journal, ..picture(14, UP, OK, None) }).contains("can not write"));
    }

    #[tokio::test]
    async fn what_was_not_well_before_need_not_be() {
        let before = picture(10, DOWN, "retrying", None);
        let trial = Trial::new(1, Some(&before));
        assert_eq!(trial.lacks(&picture(11, DOWN, "retrying", None)), None);
        assert_eq!(Trial::new(1, None).lacks(&picture(1, DOWN, "retrying", None)), None);
        assert!(Trial::new(1, None).lacks(&picture(0, UP, OK, None)).is_some(), "not even its first event");
    }
}
