//! `tidegate lake verify [LAKE] [--quick] [--key FILE]`: proves that a lake is whole for what is asked, or names what is wrong.
//!
//! Held against each other are the manifests of all days that had to be looked at (ranges join in each epoch, or a gap
//! says what was lost; the hash chain holds; no position is in two objects) and the objects that may hold what is asked
//! for: there, of that size, of that SHA-256, and with the rows, series, qualities and gaps that their lines say.
//! `--quick` asks for their sizes only. Gaps are told, not counted as faults: they are the record of a loss.
//!
//! With `--from` and `--to` the proof goes from one to the other: there must be a line on either side, or the start of
//! the chain. Without `--to` it ends at the last line: whoever takes away the newest lines of all, with their objects,
//! can not be found out by what is left. With `--key`, every line must be signed by the device. Lines that `rebuild` made
//! are counted. Exit 0: complete; 1: not.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{Catalogue, Finding, GapLine, Home, ManifestLine, VerifyingKey, verify_object};
use serde_json::{Value, json};

use super::place::Lake;
use super::{Asked, Misuse, Question, today};
use crate::cli::{Exit, screen};
use crate::sinks::lake::reading;
use crate::sinks::lake::shelf::ShelfError;

/// Objects that are read at once: a few megabytes each.
const OBJECTS_AT_ONCE: usize = 4;
/// Sizes that are asked for at once: no bytes to speak of.
const SIZES_AT_ONCE: usize = 16;

/// What to prove.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub(super) question: Question,
    /// Ask for the sizes of objects, read none
    #[arg(long)]
    quick: bool,
    /// The device's public key (PEM): every manifest line must be signed with it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Args {
    pub(super) fn depth(&self) -> Depth {
        if self.quick { Depth::Sizes } else { Depth::Contents }
    }

    pub(super) fn key(&self) -> anyhow::Result<Option<VerifyingKey>> {
        let Some(path) = &self.key else { return Ok(None) };
        let pem = std::fs::read(path).map_err(|error| ShelfError::disk(path, error))?;
        let key = VerifyingKey::from_pem(&pem).map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
        Ok(Some(key))
    }
}

/// How closely objects are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// They are there, with the right size.
    Sizes,
    /// Every byte and row.
    Contents,
}

pub async fn verify(asked: &Asked, depth: Depth, key: Option<&VerifyingKey>, is_json: bool) -> anyhow::Result<Exit> {
    let Asked { lake, home, query } = asked;
    let (catalogue, looked) = reading::catalogue(&lake.shelf, home, query, today()).await?;
    let mut report = Report { is_json, findings: 0, gaps: 0 };
    for finding in catalogue.prove(query, looked) {
        report.finding(&finding)?;
    }
    for finding in key.map(|key| catalogue.unsigned(key)).unwrap_or_default() {
        report.finding(&finding)?;
    }
    let rebuilt = catalogue.rebuilt().count();
    let selected = catalogue.select(query);
    for finding in doubled(lake, home, &catalogue, &selected).await? {
        report.finding(&finding)?;
    }
    let check_one = |entry: &'_ lake::Entry| {
        let line = entry.line.clone();
        async move { check(lake, home, &line, depth).await.map(|findings| (line, findings)) }
    };
    let at_once = if depth == Depth::Contents { OBJECTS_AT_ONCE } else { SIZES_AT_ONCE };
    let mut checked = stream::iter(selected.clone()).map(check_one).buffered(at_once);
    while let Some((line, findings)) = checked.try_next().await? {
        findings.iter().try_for_each(|finding| report.finding(finding))?;
        line.gaps.iter().try_for_each(|gap| report.gap(&line, gap))?;
    }
    let sum = |of: fn(&ManifestLine) -> u64| selected.iter().map(|entry| of(&entry.line)).sum::<u64>();
    let times = selected.iter().map(|entry| (entry.line.time_min, entry.line.time_max));
    let times = times.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    let epochs = selected.chunk_by(|one, other| one.line.epoch == other.line.epoch).map(|of_one| {
        let (first, next) = (of_one[0].line.first, of_one.iter().map(|entry| entry.line.next).max());
        json!({"epoch": of_one[0].line.epoch, "first": first, "next": next})
    });
    report.end(&json!({
        "ok": report.findings == 0,
        "objects": selected.len(),
        "rows": sum(|line| line.rows),
        "bytes": sum(|line| line.bytes),
        "time_min": times.map(|times| times.0),
        "time_max": times.map(|times| times.1),
        "epochs": epochs.collect::<Vec<_>>(),
        "gaps": report.gaps,
        "rebuilt": rebuilt,
        "findings": report.findings,
        "uploaded": {"from": looked.0.to_string(), "to": looked.1.to_string()},
        "requests": lake.shelf.requests(),
    }))
}

/// Objects that were sent again in other pieces, and are there after all: their rows are there twice.
async fn doubled(
    lake: &Lake,
    home: &Home,
    catalogue: &Catalogue,
    current: &[&lake::Entry],
) -> Result<Vec<Finding>, ShelfError> {
    let mut findings = Vec::new();
    for entry in catalogue.superseded() {
        let (key, range) = (entry.line.key.clone(), entry.line.range());
        let is_replaced = current.iter().any(|other| other.line.key == key);
        let place = home.place_of(&entry.line).filter(|_| !is_replaced);
        let Some(place) = place else { continue };
        if lake.shelf.size(&place).await?.is_some() {
            let is_with = |other: &&&lake::Entry| {
                other.line.epoch == entry.line.epoch && !other.line.range().intersection(&range).is_empty()
            };
            let with = current.iter().find(is_with).map(|other| other.line.key.clone()).unwrap_or_default();
            findings.push(Finding::Overlap { key, with, range });
        }
    }
    Ok(findings)
}

async fn check(lake: &Lake, home: &Home, line: &ManifestLine, depth: Depth) -> Result<Vec<Finding>, ShelfError> {
    if depth == Depth::Contents {
        let bytes = reading::object(&lake.shelf, home, line).await?.map_err(|finding| vec![finding]);
        return Ok(bytes.and_then(|bytes| verify_object(line, &bytes)).err().unwrap_or_default());
    }
    let key = line.key.clone();
    let Some(place) = home.place_of(line) else { return Ok(vec![Finding::Key { key }]) };
    Ok(match lake.shelf.size(&place).await? {
        None => vec![Finding::ObjectMissing { key }],
        Some(found) if found != line.bytes => vec![Finding::Size { key, expected: line.bytes, found }],
        Some(_) => Vec::new(),
    })
}

struct Report {
    is_json: bool,
    findings: u64,
    gaps: u64,
}

impl Report {
    fn finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        self.findings += 1;
        screen::finding(finding, self.is_json)
    }

    fn gap(&mut self, line: &ManifestLine, gap: &GapLine) -> anyhow::Result<()> {
        self.gaps += 1;
        if self.is_json {
            return say(&json!({"gap": gap, "epoch": line.epoch, "key": line.key}).to_string());
        }
        let lost = gap.lost_first.zip(gap.lost_next).map(|(first, next)| format!(", positions {first} to {next}"));
        let times = gap.lost_from.zip(gap.lost_to).map(|(from, to)| format!(", {from} to {to}"));
        let count = if gap.count == 0 { "some".to_owned() } else { gap.count.to_string() };
        let (lost, times) = (lost.unwrap_or_default(), times.unwrap_or_default());
        let reason = screen::harmless(&gap.reason);
        say(&format!("gap at {}: {count} records lost, {reason}{lost}{times}", gap.seq))
    }

    fn end(&self, sum: &Value) -> anyhow::Result<Exit> {
        if self.is_json {
            say(&sum.to_string())?;
        } else {
            let word = if self.findings == 0 { "complete" } else { "not complete" };
            let text = |name: &str| sum[name].as_str().unwrap_or("never").to_owned();
            let bytes = screen::bytes(sum["bytes"].as_u64().unwrap_or_default());
            say(&format!(
                "{word}: {} objects, {} rows, {bytes}, {} to {}; {} gaps, {} findings",
                sum["objects"],
                sum["rows"],
                text("time_min"),
                text("time_max"),
                self.gaps,
                self.findings
            ))?;
            if sum["rebuilt"] != 0 {
                let lines = &sum["rebuilt"];
                say(&format!(
                    "{lines} manifest lines were made again from their objects: the hash chain ends at each"
                ))?;
            }
        }
        Ok(if self.findings == 0 { Exit::Fine } else { Exit::NotFine })
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
