//! What is on a port: which profile reads it, and on which line.
//!
//! Listening comes first. At each line setting what comes in is read by the daemon's own stations, one for every profile of
//! an instrument that talks; what became of their frames is weighed (`weigh`, `proof`). A profile is named where its frames
//! prove it, and nothing is named on lines that any table of numbers would give, on garbage, or on silence.
//! Only then, and only where it is wished, instruments that wait to be asked are asked (`ask`), with questions that
//! read and change nothing. Without that wish not one byte is written.
//!
//! A pseudo-terminal says the same at every speed, and some speeds are heard at others; so where a profile fits at a
//! setting that is not its own, its own is listened at before it is told.

mod ask;
mod line;
mod proof;
mod weigh;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use instruments::Mechanics;
use tokio::time::Instant;
use tokio_serial::SerialStream;

pub use line::LineSetting;
pub use weigh::{Evidence, Weigher};

use super::port;
use super::trial::read;
use crate::config::{BusConfig, ConfigError, InstrumentConfig, profile_names, trial_bus};

/// What is kept of a line at one setting, in bytes: minutes of a talkative instrument. What comes after it is not looked at.
const HEARD_BYTES_MAX: usize = 16 * 1024;

/// Bytes without a frame after which a profile is not tried any further at this setting.
const FRUITLESS_BYTES: usize = 8 * 1024;

/// Bytes that are no text and give no frame: it is another setting.
const GARBAGE_BYTES: usize = 2 * 1024;

/// From the first byte on it is listened for so long at least: another sentence may follow.
const LISTEN_MIN: Duration = Duration::from_millis(700);

/// How often it is looked whether it has fallen silent.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where something is known to talk, each setting is given so many times as long to hear it.
const PATIENCE: u32 = 3;

/// A profile that may be the instrument's.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub profile: String,
    /// It ships: its questions are known to be harmless.
    pub is_shipped: bool,
    /// A bus with this one instrument.
    pub bus: BusConfig,
}

impl Candidate {
    /// Its own line.
    pub fn line(&self) -> LineSetting {
        LineSetting::of(&self.bus)
    }

    /// Whether it says nothing by itself.
    pub fn is_asked(&self) -> bool {
        self.instrument().every.is_some()
    }

    fn instrument(&self) -> &InstrumentConfig {
        self.bus.instruments.first().expect("`candidates` leaves out profiles without an instrument")
    }
}

/// All profiles, shipped and in `folder`, for this port; and those of `folder` that can not be read.
pub fn candidates(port: &str, folder: &Path) -> (Vec<Candidate>, Vec<(String, ConfigError)>) {
    let (mut all, mut broken) = (Vec::new(), Vec::new());
    for profile in profile_names(folder) {
        // What can not be seen may be there: then it is not asked.
        let is_local = folder.join(format!("{profile}.toml")).try_exists().unwrap_or(true);
        let is_shipped = instruments::profiles::find(&profile).is_some() && !is_local;
        match trial_bus(&profile, port, folder) {
            Ok(bus) => all.push(Candidate { profile, is_shipped, bus }),
            Err(error) => broken.push((profile, error)),
        }
    }
    (all, broken)
}

/// A profile that fits.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Its name.
    pub profile: String,
    /// The line that it was heard on.
    pub line: LineSetting,
    /// That of the profile.
    pub own_line: LineSetting,
    /// What speaks for it.
    pub evidence: Evidence,
    /// The unit that answered, where it is not the profile's.
    pub unit: Option<u8>,
    /// The address that answered, where it is not the profile's.
    pub address: Option<char>,
}

impl Fit {
    /// Nothing speaks for the profile yet.
    fn none_yet(candidate: &Candidate, line: LineSetting) -> Self {
        Self {
            profile: candidate.profile.clone(),
            line,
            own_line: candidate.line(),
            evidence: Evidence::default(),
            unit: None,
            address: None,
        }
    }
}

/// What was found on the port.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Profiles that what was heard proves, the best first.
    pub named: Vec<Fit>,
    /// Profiles that would read it, as they would read much else.
    pub possible: Vec<Fit>,
    /// Lines of text that are no profile's: where, and the last of them.
    pub text: Option<(LineSetting, Vec<u8>)>,
    /// Units that answer questions of Modbus, and where.
    pub units: BTreeSet<(u8, String)>,
    /// What sensors said that they are.
    pub identities: Vec<String>,
    /// Bytes that came in, at all settings.
    pub bytes: u64,
    /// Settings that were listened at.
    pub settings: usize,
}

/// What is being done, for somebody who waits.
#[derive(Debug)]
pub enum Progress<'a> {
    /// It is listened at this setting.
    Listening(LineSetting),
    /// So much came in there.
    Heard(LineSetting, usize),
    /// This is asked, on this line.
    Asking(LineSetting, &'a str),
}

/// How it is looked for.
pub struct Wish<'a> {
    /// How long it is listened at each setting.
    pub patience: Duration,
    /// Whether anything may be written.
    pub may_ask: bool,
    /// Told what is being done.
    pub tell: &'a dyn Fn(&Progress<'_>),
}

/// Looks for what is on the port. What was found so far stands in `findings` at any time.
pub async fn detect(candidates: &[Candidate], wish: &Wish<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let Some(any) = candidates.first() else { anyhow::bail!("there is no profile") };
    let settings = line::to_hear(candidates);
    let mut port = port::open(&settings[0].on(&any.bus))?;
    listen(&mut port, candidates, &settings, wish, findings).await?;
    if wish.may_ask && findings.named.is_empty() {
        ask::ask(&mut port, candidates, wish, findings).await?;
    }
    Ok(())
}

/// What came in at one setting.
struct Heard {
    bytes: Vec<u8>,
    fits: Vec<(usize, Evidence)>,
}

async fn listen(
    port: &mut SerialStream,
    candidates: &[Candidate],
    settings: &[LineSetting],
    wish: &Wish<'_>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let talkers: Vec<usize> = (0..candidates.len()).filter(|index| !candidates[*index].is_asked()).collect();
    for setting in settings {
        (wish.tell)(&Progress::Listening(*setting));
        let patience = wish.patience * if findings.bytes > 0 { PATIENCE } else { 1 };
        let heard = hear(port, candidates, &talkers, *setting, patience).await?;
        (wish.tell)(&Progress::Heard(*setting, heard.bytes.len()));
        findings.settings += 1;
        findings.bytes += u64::try_from(heard.bytes.len()).unwrap_or(u64::MAX);
        let (named, possible): (Vec<_>, Vec<_>) = heard.fits.into_iter().partition(|(_, fit)| fit.is_proof());
        let possible = if named.is_empty() { possible } else { Vec::new() };
        if let Some(line) = last_line(&heard.bytes) {
            findings.text = Some((*setting, line));
        }
        let fits = if named.is_empty() { &possible } else { &named };
        let mut settled = settle(port, candidates, fits, *setting, wish).await?;
        settled.sort_by_key(|fit| std::cmp::Reverse(fit.evidence.weight()));
        if named.is_empty() {
            findings.possible.append(&mut settled);
        } else {
            findings.named.append(&mut settled);
        }
        // Text is not heard at a wrong setting.
        if !fits.is_empty() || findings.text.is_some() {
            break;
        }
    }
    Ok(())
}

/// Listens at one setting until something is proved, it is another setting's, or it was long enough.
async fn hear(
    port: &mut SerialStream,
    candidates: &[Candidate],
    which: &[usize],
    setting: LineSetting,
    patience: Duration,
) -> anyhow::Result<Heard> {
    port::retune(port, &setting.on(&candidates[which[0]].bus))?;
    let mut scales = Vec::new();
    for index in which {
        scales.push((*index, Weigher::try_new(candidates[*index].instrument().clone())?));
    }
    let (mut bytes, mut buffer, mut first) = (Vec::new(), vec![0; 4096], None);
    let began = Instant::now();
    while began.elapsed() < patience && bytes.len() < HEARD_BYTES_MAX {
        let wait = LOOK_EVERY.min(patience.saturating_sub(began.elapsed()));
        let count = read(port, &mut buffer, wait).await?;
        let count = count.min(HEARD_BYTES_MAX - bytes.len());
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&buffer[..count]);
        for (_, weigher) in &mut scales {
            weigher.hear(&buffer[..count], now);
        }
        if bytes.len() > FRUITLESS_BYTES {
            scales.retain(|(_, weigher)| weigher.evidence().good > 0);
        }
        if bytes.is_empty() {
            continue;
        }
        let first = *first.get_or_insert_with(Instant::now);
        let is_proved = scales.iter().any(|(_, weigher)| weigher.evidence().is_conclusive());
        let is_barren = scales.iter().all(|(_, weigher)| weigher.evidence().good == 0);
        let is_garbage = is_barren && bytes.len() >= GARBAGE_BYTES && last_line(&bytes).is_none();
        if (is_proved && first.elapsed() >= LISTEN_MIN) || is_garbage {
            break;
        }
    }
    let fits = scales.into_iter().map(|(index, weigher)| (index, weigher.evidence().clone()));
    let fits = fits.filter(|(_, fit)| fit.is_proof() || fit.is_possible()).collect();
    Ok(Heard { bytes, fits })
}

/// The line of each profile that fits: its own, where it is heard there too.
async fn settle(
    port: &mut SerialStream,
    candidates: &[Candidate],
    fits: &[(usize, Evidence)],
    heard_at: LineSetting,
    wish: &Wish<'_>,
) -> anyhow::Result<Vec<Fit>> {
    let others = fits.iter().map(|(index, _)| candidates[*index].line()).filter(|own| !own.is_heard_as(heard_at));
    let mut confirmed: Vec<(LineSetting, Vec<usize>)> = Vec::new();
    for own in line::distinct(others) {
        (wish.tell)(&Progress::Listening(own));
        let of_line = |(index, _): &&(usize, Evidence)| candidates[*index].line().is_heard_as(own);
        let which: Vec<usize> = fits.iter().filter(of_line).map(|(index, _)| *index).collect();
        let heard = hear(port, candidates, &which, own, wish.patience).await?;
        confirmed.push((own, heard.fits.into_iter().map(|(index, _)| index).collect()));
    }
    let fit = |(index, evidence): &(usize, Evidence)| {
        let own_line = candidates[*index].line();
        let is_own = own_line.is_heard_as(heard_at) || confirmed.iter().any(|(_, which)| which.contains(index));
        let line = if is_own { own_line } else { heard_at };
        Fit { evidence: evidence.clone(), ..Fit::none_yet(&candidates[*index], line) }
    };
    Ok(fits.iter().map(fit).collect())
}

/// Lines of text that were heard, of how many at least.
const TEXT_LINES_MIN: usize = 3;

/// The last whole line, where all of it is lines of text. A wrong setting gives none.
fn last_line(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_text = |byte: &&u8| matches!(**byte, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    let texts = bytes.iter().filter(is_text).count();
    if bytes.is_empty() || texts * 50 < bytes.len() * 49 {
        return None;
    }
    let end = bytes.iter().rposition(|byte| matches!(byte, b'\r' | b'\n'))?;
    // The first may be the end of one.
    let lines =
        bytes[..end].split(|byte| matches!(byte, b'\r' | b'\n')).skip(1).filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<&[u8]> = lines.collect();
    (lines.len() >= TEXT_LINES_MIN).then(|| lines[lines.len() - 1].to_vec())
}

/// Whether the profile is a unit on a Modbus line.
fn modbus(candidate: &Candidate) -> Option<&instruments::ModbusSpec> {
    match &candidate.instrument().protocol.mechanics {
        Mechanics::ModbusRtu(spec) => Some(spec),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
