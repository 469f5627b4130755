//! Asking an instrument that waits to be asked. Every question here reads and changes nothing: the reads of Modbus
//! (functions 3 and 4), an Atlas circuit's `i`, SDI-12's `?!` and `aI!`, and the `steps` of shipped profiles, never their `init`. Profiles of the operator's own are not asked: what their steps do is not known.
//!
//! Text comes first: to a unit on a Modbus line it is noise, but requests of Modbus are half a line to who reads lines, and spoil
//! the next. An empty line before each question ends what another one left. SDI-12 comes last: some probes speak that and Modbus,
//! and change over when they hear the other.

use std::time::Duration;

use instruments::{Mechanics, Step, Turn};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_serial::SerialStream;

use super::line::{self, LineSetting};
use super::weigh::Weigher;
use super::{Candidate, Evidence, Findings, Fit, Progress, Wish, modbus};
use crate::acquire::port;
use crate::acquire::trial::read;
use crate::config::InstrumentConfig;

/// Units that are looked for, beside those of the profiles: as delivered most have the first.
const UNITS_MAX: u8 = 8;

/// A unit begins its answer within this time, or there is none.
const UNIT_LIMIT: Duration = Duration::from_millis(250);

/// A register that no unit is known to have: one that gives it has all, and where its registers are says nothing.
const NOWHERE: u16 = 0xF0F1;

/// An answer in text begins within this time.
const TEXT_LIMIT: Duration = Duration::from_millis(1_200);

/// What is said to an empty line begins within this time; mostly it is nothing.
const EMPTY_LIMIT: Duration = Duration::from_millis(300);

/// An answer is over when so much time passes without a byte.
const QUIET: Duration = Duration::from_millis(150);

/// An answer to a question of ours is no longer, in bytes.
const ANSWER_BYTES_MAX: usize = 1_024;

/// Instruments that answer within this time may be asked twice, in milliseconds.
const SOON_MS: u64 = 2_000;

/// A whole turn of a profile, however many questions it has.
const TURN_LIMIT: Duration = Duration::from_secs(20);

/// What an Atlas circuit calls itself in its answer to `i`, and its profiles: asked, and talking by itself.
const CIRCUITS: &[(&str, &str, &str)] = &[
    ("DO", "atlas-ezo-do-polled", "atlas-ezo-do"),
    ("D.O.", "atlas-ezo-do-polled", "atlas-ezo-do"),
    ("PH", "atlas-ezo-ph-polled", "atlas-ezo-ph"),
    ("EC", "atlas-ezo-ec-polled", "atlas-ezo-ec"),
    ("ORP", "atlas-ezo-orp-polled", "atlas-ezo-orp"),
    ("RTD", "atlas-ezo-rtd-polled", "atlas-ezo-rtd"),
    ("CO2", "atlas-ezo-co2-polled", "atlas-ezo-co2"),
];

/// What stands in a sensor's answer to `aI!` (maker, model), and its profile.
const SENSORS: &[(&str, &str, &str)] =
    &[("DECAGON", "CTD", "decagon-ctd10"), ("METER", "TER12", "meter-teros12"), ("YSI", "EXO", "ysi-exo-sdi12")];

/// Asks, kind by kind, until something is named.
pub async fn ask(
    port: &mut SerialStream,
    candidates: &[Candidate],
    wish: &Wish<'_>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let shipped: Vec<&Candidate> = candidates.iter().filter(|one| one.is_shipped && one.is_asked()).collect();
    let mut asker = Asker { port, wish };
    let mut fits = asker.texts(&shipped).await?;
    if fits.is_empty() {
        fits = asker.circuit(candidates, findings).await?;
    }
    if fits.is_empty() {
        fits = asker.units(&shipped, findings).await?;
    }
    if fits.is_empty() {
        fits = asker.sensors(&shipped, findings).await?;
    }
    let (mut named, mut possible): (Vec<Fit>, Vec<Fit>) = fits.into_iter().partition(|fit| fit.evidence.is_proof());
    named.sort_by_key(|fit| std::cmp::Reverse((fit.line == fit.own_line, fit.evidence.proof, fit.evidence.said.len())));
    let mut seen = Vec::new();
    for fits in [&mut named, &mut possible] {
        // A line without a speed answers at every one.
        fits.retain(|fit| {
            let is_new = !seen.contains(&(fit.profile.clone(), fit.unit));
            seen.push((fit.profile.clone(), fit.unit));
            is_new
        });
    }
    if !named.is_empty() {
        findings.possible.clear();
    }
    findings.named.append(&mut named);
    if findings.named.is_empty() {
        findings.possible.append(&mut possible);
    }
    Ok(())
}

struct Asker<'a> {
    port: &'a mut SerialStream,
    wish: &'a Wish<'a>,
}

impl Asker<'_> {
    /// Modbus: which units there are, and whose registers they have.
    async fn units(&mut self, shipped: &[&Candidate], findings: &mut Findings) -> anyhow::Result<Vec<Fit>> {
        let profiles: Vec<&&Candidate> = shipped.iter().filter(|one| modbus(one).is_some()).collect();
        let mut units: Vec<u8> = (1..=UNITS_MAX).collect();
        units.extend(profiles.iter().filter_map(|one| modbus(one)).map(|spec| spec.unit));
        units.sort_unstable();
        units.dedup();
        let mut fits = Vec::new();
        for setting in line::distinct(profiles.iter().map(|one| one.line())) {
            (self.wish.tell)(&Progress::Asking(setting, "units on a Modbus line"));
            port::retune(self.port, &setting.on(&profiles[0].bus))?;
            for unit in &units {
                let Some(_) = self.register(setting, *unit, 0).await? else { continue };
                findings.units.insert((*unit, setting.to_string()));
                let is_open = self.register(setting, *unit, NOWHERE).await? == Some(true);
                for candidate in &profiles {
                    fits.extend(self.unit(setting, *unit, is_open, candidate).await?);
                }
            }
        }
        Ok(fits)
    }

    /// Reads one register; `None`: nobody has this address. Else whether it has the register.
    async fn register(&mut self, setting: LineSetting, unit: u8, register: u16) -> anyhow::Result<Option<bool>> {
        let [high, low] = register.to_be_bytes();
        let mut question = vec![unit, 3, high, low, 0, 1];
        question.extend(crc(&question).to_le_bytes());
        let answer = self.exchange(setting, &question, UNIT_LIMIT).await?;
        // Turning a transceiver around leaves stray bytes before it.
        let frame =
            |at: usize, len: usize| answer.get(at..at + len).filter(|frame| crc(frame) == 0 && frame[0] == unit);
        let found = (0..answer.len()).find_map(|at| match (frame(at, 7), frame(at, 5)) {
            (Some(data), _) if data[1] == 3 && data[2] == 2 => Some(true),
            (_, Some(refusal)) if refusal[1] == 0x83 => Some(false),
            _ => None,
        });
        Ok(found)
    }

    async fn unit(
        &mut self,
        setting: LineSetting,
        unit: u8,
        is_open: bool,
        candidate: &Candidate,
    ) -> anyhow::Result<Option<Fit>> {
        let mut config = candidate.instrument().clone();
        let Mechanics::ModbusRtu(spec) = &mut config.protocol.mechanics else { return Ok(None) };
        let own = spec.unit;
        spec.unit = unit;
        spec.retries = 0;
        let fit = self.turn(setting, config, candidate, is_open).await?;
        Ok(fit.map(|fit| Fit { unit: (unit != own).then_some(unit), ..fit }))
    }

    /// The `steps` of profiles in text, each on its own line. Those of an Atlas circuit are alike: it is asked for its name.
    async fn texts(&mut self, shipped: &[&Candidate]) -> anyhow::Result<Vec<Fit>> {
        let mut fits = Vec::new();
        for candidate in shipped {
            let mut config = candidate.instrument().clone();
            let Mechanics::Poll(poll) = &mut config.protocol.mechanics else { continue };
            if CIRCUITS.iter().any(|(_, polled, _)| *polled == candidate.profile) {
                continue;
            }
            for step in &mut poll.steps {
                // Once more for one that slept; who takes long is not asked twice.
                step.retries = u32::from(step.timeout_ms <= SOON_MS).min(step.retries);
            }
            let setting = candidate.line();
            (self.wish.tell)(&Progress::Asking(setting, &candidate.profile));
            port::retune(self.port, &candidate.bus)?;
            self.exchange(setting, b"\r\n", EMPTY_LIMIT).await?;
            fits.extend(self.turn(setting, config, candidate, false).await?);
        }
        fits.retain(|fit| fit.evidence.is_proof());
        Ok(fits)
    }

    /// An Atlas circuit says what it is.
    async fn circuit(&mut self, candidates: &[Candidate], findings: &mut Findings) -> anyhow::Result<Vec<Fit>> {
        let of = |profile: &str| candidates.iter().find(|candidate| candidate.profile == profile);
        let Some(any) = of(CIRCUITS[0].1) else { return Ok(Vec::new()) };
        let setting = any.line();
        port::retune(self.port, &any.bus)?;
        (self.wish.tell)(&Progress::Asking(setting, "an Atlas circuit for its name"));
        // What is half typed to it by now spoils the first.
        for _ in 0..2 {
            let answer = self.exchange(setting, b"i\r", TEXT_LIMIT).await?;
            let Some(name) = circuit_name(&answer) else { continue };
            findings.identities.push(format!("an Atlas circuit: {name}"));
            let known = CIRCUITS.iter().find(|(called, ..)| called.eq_ignore_ascii_case(&name));
            let Some((_, polled, talks)) = known else { return Ok(Vec::new()) };
            let mut fits = Vec::new();
            // One that talks by itself is read as it is; the other profile makes it stop.
            let is_talking = findings.possible.iter().any(|fit| fit.profile == *talks);
            let order = if is_talking { [*talks, *polled] } else { [*polled, *talks] };
            for profile in order.iter().take(1 + usize::from(is_talking)) {
                let Some(candidate) = of(profile) else { continue };
                let heard = findings.possible.iter().find(|heard| heard.profile == *profile);
                let said = heard.map(|heard| heard.evidence.said.clone()).unwrap_or_default();
                let mut evidence = Evidence { said, ..by_its_word(&answer) };
                evidence.proof += u32::from(*profile == order[0]);
                let fit = Fit { evidence, ..Fit::none_yet(candidate, setting) };
                fits.push(fit);
            }
            return Ok(fits);
        }
        Ok(Vec::new())
    }

    /// SDI-12, through a bridge: who is there, and what it is.
    async fn sensors(&mut self, shipped: &[&Candidate], findings: &mut Findings) -> anyhow::Result<Vec<Fit>> {
        let profiles: Vec<&&Candidate> = shipped.iter().filter(|one| is_sdi12(one)).collect();
        for setting in line::distinct(profiles.iter().map(|one| one.line())) {
            port::retune(self.port, &setting.on(&profiles[0].bus))?;
            (self.wish.tell)(&Progress::Asking(setting, "an SDI-12 sensor for its name"));
            self.exchange(setting, b"\r\n", EMPTY_LIMIT).await?;
            let answer = self.exchange(setting, b"?!", TEXT_LIMIT).await?;
            let Some(address) = address(&answer) else { continue };
            let answer = self.exchange(setting, format!("{address}I!").as_bytes(), TEXT_LIMIT).await?;
            let Some(identity) = identity(&answer, address) else { continue };
            findings.identities.push(format!("an SDI-12 sensor at address {address}: {identity}"));
            let is_it = |(maker, model, _): &&(&str, &str, &str)| identity.contains(maker) && identity.contains(model);
            let Some((_, _, profile)) = SENSORS.iter().find(is_it) else { return Ok(Vec::new()) };
            let Some(candidate) = profiles.iter().find(|one| one.profile == *profile) else { return Ok(Vec::new()) };
            let Mechanics::Sdi12(spec) = &candidate.instrument().protocol.mechanics else { return Ok(Vec::new()) };
            let evidence = by_its_word(&answer);
            let fit = Fit { evidence, ..Fit::none_yet(candidate, setting) };
            return Ok(vec![Fit { address: (address != spec.address).then_some(address), ..fit }]);
        }
        Ok(Vec::new())
    }

    /// One turn of the profile, as the daemon would take it. None where it was not answered, or with a refusal.
    async fn turn(
        &mut self,
        setting: LineSetting,
        config: InstrumentConfig,
        candidate: &Candidate,
        is_open: bool,
    ) -> anyhow::Result<Option<Fit>> {
        let mut weigher = Weigher::try_new(config)?;
        weigher.asks(is_open);
        let began = Instant::now();
        let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut buffer = [0; 1024];
        weigher.station.begin(now_ms());
        let turn = loop {
            if began.elapsed() > TURN_LIMIT {
                break Turn::Silent;
            }
            let now = now_ms();
            match weigher.station.next(now) {
                Step::Send(bytes) => {
                    self.say(setting, &bytes).await?;
                }
                Step::Break => port::make_break(self.port).await?,
                Step::Pause { until_mono_ms } | Step::Wait { until_mono_ms } => {
                    let wait = Duration::from_millis(until_mono_ms.saturating_sub(now).max(1));
                    let count = read(self.port, &mut buffer, wait.min(TURN_LIMIT)).await?;
                    weigher.hear(&buffer[..count], now_ms());
                }
                Step::Idle { .. } => break Turn::Answered,
                Step::Done(turn) => break turn,
            }
        };
        let evidence = weigher.evidence().clone();
        let is_answered = turn == Turn::Answered && evidence.good > 0 && evidence.doubtful == 0;
        Ok(is_answered.then(|| Fit { evidence, ..Fit::none_yet(candidate, setting) }))
    }

    /// Says it once the line is quiet, and waits until it is out.
    async fn say(&mut self, setting: LineSetting, bytes: &[u8]) -> anyhow::Result<()> {
        let mut buffer = [0; 1024];
        // What came up to now is no answer to this.
        read(self.port, &mut buffer, Duration::from_millis(setting.wire_ms(4))).await?;
        self.port.write_all(bytes).await?;
        tokio::time::sleep(Duration::from_millis(setting.wire_ms(bytes.len()))).await;
        Ok(())
    }

    /// A question, and what comes within `limit` and up to a silence.
    async fn exchange(&mut self, setting: LineSetting, question: &[u8], limit: Duration) -> anyhow::Result<Vec<u8>> {
        self.say(setting, question).await?;
        let (mut answer, mut buffer, began) = (Vec::new(), [0; 256], Instant::now());
        while answer.len() < ANSWER_BYTES_MAX {
            let left = limit.saturating_sub(began.elapsed());
            let wait = if answer.is_empty() { left } else { QUIET.min(left) };
            match read(self.port, &mut buffer, wait).await? {
                0 => break,
                count => answer.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(answer)
    }
}

/// What an instrument says that it is, proves it.
fn by_its_word(answer: &[u8]) -> Evidence {
    Evidence { good: 1, is_answer: true, proof: super::proof::CHECKED, frame: answer.to_vec(), ..Evidence::default() }
}

fn is_sdi12(candidate: &Candidate) -> bool {
    matches!(candidate.instrument().protocol.mechanics, Mechanics::Sdi12(_))
}

/// `?I,DO,2.17`: `DO`. Older circuits say `?i,D.O.,1.98`.
fn circuit_name(answer: &[u8]) -> Option<String> {
    let lines = answer.split(|byte| *byte == b'\r');
    let mut names = lines.filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        let rest = line.strip_prefix("?I,").or_else(|| line.strip_prefix("?i,"))?;
        let name = rest.split(',').next()?;
        let is_name = (1..=8).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        is_name.then(|| name.to_owned())
    });
    names.next()
}

/// SDI-12 v1.4 §4.4.5: an address alone. A bridge may echo the question.
fn address(answer: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(answer).ok()?.trim();
    let text = text.strip_prefix("?!").unwrap_or(text).trim();
    let mut letters = text.chars();
    letters.next().filter(|letter| letter.is_ascii_alphanumeric() && letters.next().is_none())
}

/// SDI-12 v1.4 §4.4.3: address, `14` (the version), eight letters of the maker, six of the model, and more.
fn identity(answer: &[u8], address: char) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?.trim();
    let text = text.strip_prefix(&format!("{address}I!")).unwrap_or(text).trim();
    let rest = text.strip_prefix(address)?;
    let is_identity = rest.len() >= 16 && rest.bytes().take(2).all(|digit| digit.is_ascii_digit());
    is_identity.then(|| rest.get(2..)).flatten().map(|rest| rest.trim().to_owned())
}

/// MODBUS over Serial Line V1.02 §6.2.2; over a whole frame it is 0.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_their_standards_have_them() {
        assert_eq!(circuit_name(b"8.21\r?I,pH,1.1\r*OK\r").as_deref(), Some("pH"));
        assert_eq!(circuit_name(b"?i,D.O.,1.98\r").as_deref(), Some("D.O."));
        assert_eq!(circuit_name(b"*ER\r"), None);
        assert_eq!((address(b"0\r\n"), address(b"?!3\r\n"), address(b"00013\r\n")), (Some('0'), Some('3'), None));
        let said = identity(b"013DECAGON CTD-103991059303507\r\n", '0');
        assert_eq!(said.as_deref(), Some("DECAGON CTD-103991059303507"));
        assert_eq!(identity(b"0\r\n", '0'), None);
        // A request on a real wire.
        assert_eq!(crc(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x02]).to_le_bytes(), [0xC4, 0x0B]);
    }
}
