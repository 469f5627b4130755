//! `tidegate lake import FROM TO`: carries a folder, such as a USB stick, into a bucket or another folder.
//!
//! Every device on it, or the one of `--site` and `--device`. Objects are held against their manifest lines and put
//! where there are none: the same again changes nothing. Then the lines join the manifests that are there. An object
//! that `TO` has with other bytes under the same name is named and left alone, and so is one whose positions `TO` has
//! in other objects already, as where the device has a link and a stick: its rows would be there twice. A line whose
//! object is not on this stick comes along (`verify` then names it until another stick brings it); an object that has
//! no line yet, because the stick was pulled out before the manifest was written again, comes along too: its line is on
//! the next stick.
//!
//! The objects of a day are all there before its manifest is, so an import can be stopped and begun again anywhere.
//! Exit 0: all of it is there; 1: something is named that is not.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args as ClapArgs;
use lake::{Catalogue, Digest, Entry, Finding, Home, ManifestLine, ObjectKey, Query, open_object};
use model::{Clock, Day, Epoch, SeqRange, Timestamp};
use serde_json::json;

use super::listing::{self, Part};
use super::place::{self, Lake};
use super::{Device, Store, today};
use crate::cli::{Exit, screen};
use crate::config::Config;
use crate::sinks::lake::manifest::{self, Standing};
use crate::sinks::lake::reading;
use crate::sinks::lake::shelf::{Expect, Found, Put, ShelfError};

/// From where to where.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The folder
    from: PathBuf,
    #[arg(help = "A sink's name, a folder or s3://bucket/prefix/")]
    to: String,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    store: Store,
}

pub async fn import(args: &Args, config: Option<&Config>, is_json: bool) -> anyhow::Result<Exit> {
    let to = place::find(Some(&args.to), args.store.endpoint.as_deref(), config)?;
    let from = place::folder(args.from.clone(), lake::Prefix::default());
    if !args.from.is_dir() {
        return Err(ShelfError::Away(format!("{} is no folder", args.from.display())).into());
    }
    let parts = listing::parts(&from, args.device.site.as_ref(), args.device.device.as_ref()).await?;
    to.shelf.make()?;
    let mut report = Report { is_json, ..Report::default() };
    for part in parts {
        carry(&part, &from, &to, &mut report).await?;
    }
    report.end()
}

/// Carries what one device has.
async fn carry(part: &Part, from: &Lake, to: &Lake, report: &mut Report) -> anyhow::Result<()> {
    let there_home = Home { prefix: to.prefix.clone(), ..part.home.clone() };
    let mut here = Catalogue::default();
    reading::add_days(&from.shelf, &part.home, &part.days, &mut here).await?;
    here.findings.iter().try_for_each(|finding| report.finding(finding))?;
    let there = what_is_there(part, &here, to, &there_home).await?;
    if !there.findings.is_empty() {
        // Its lines would be lost: it is written whole.
        return there.findings.iter().try_for_each(|finding| report.finding(finding));
    }
    let mut carrier = Carrier { from, to, home: &part.home, there_home, held: Held::of(&there), report };
    let mut with_line = BTreeSet::new();
    for day in &part.days {
        let mut accepted = Vec::new();
        for entry in here.day(*day) {
            with_line.insert(entry.line.key.clone());
            if carrier.object(&entry.line).await? {
                accepted.push(entry.clone());
            }
        }
        carrier.manifest(*day, &accepted).await?;
    }
    for (key, _) in &part.objects {
        if !with_line.contains(&key.to_string()) {
            carrier.without_line(key).await?;
        }
    }
    Ok(())
}

/// The lines that are there of the days that matter: where the stick's rows might be already, and its days of upload.
async fn what_is_there(part: &Part, here: &Catalogue, to: &Lake, home: &Home) -> Result<Catalogue, ShelfError> {
    let trusted = here.entries().filter(|entry| !entry.line.clock.contains_key(&Clock::Untrusted));
    let oldest = trusted.map(|entry| entry.line.time_min).min();
    let of_objects =
        part.objects.iter().map(|(key, _)| key.day.start()).filter(|day| *day > Timestamp::from_millis(0)).min();
    let from = oldest.into_iter().chain(of_objects).chain(part.days.iter().map(|day| day.start())).min();
    let (mut there, (first, last)) =
        reading::catalogue(&to.shelf, home, &Query { from, ..Query::default() }, today()).await?;
    let outside: Vec<Day> = part.days.iter().copied().filter(|day| *day < first || *day > last).collect();
    reading::add_days(&to.shelf, home, &outside, &mut there).await?;
    Ok(there)
}

/// What the objects at the destination answer for.
#[derive(Default)]
struct Held {
    by_key: HashMap<String, ManifestLine>,
    ranges: HashMap<Epoch, Vec<(SeqRange, String)>>,
}

impl Held {
    fn of(there: &Catalogue) -> Self {
        let mut held = Self::default();
        for Entry { line, .. } in there.entries() {
            held.by_key.insert(line.key.clone(), line.clone());
            held.ranges.entry(line.epoch.clone()).or_default().push((line.range(), line.key.clone()));
        }
        held
    }

    /// Another object that answers for some of these positions.
    fn other(&self, key: &str, epoch: &Epoch, range: SeqRange) -> Option<Finding> {
        let mut others = self.ranges.get(epoch).into_iter().flatten().filter(|(_, with)| with != key);
        let (other, with) = others.find(|(other, _)| !other.intersection(&range).is_empty())?;
        Some(Finding::Overlap { key: key.to_owned(), with: with.clone(), range: other.intersection(&range) })
    }
}

struct Carrier<'a> {
    from: &'a Lake,
    to: &'a Lake,
    home: &'a Home,
    there_home: Home,
    held: Held,
    report: &'a mut Report,
}

impl Carrier<'_> {
    /// Carries the object of a line; whether the line may follow.
    async fn object(&mut self, line: &ManifestLine) -> anyhow::Result<bool> {
        let Some(place) = self.there_home.place_of(line) else {
            self.report.finding(&Finding::Key { key: line.key.clone() })?;
            return Ok(false);
        };
        let refused = match self.held.by_key.get(&line.key) {
            Some(there) if there.sha256 != line.sha256 => Some(taken(&line.key, line.sha256, there.sha256)),
            Some(_) => None,
            None => self.held.other(&line.key, &line.epoch, line.range()),
        };
        if let Some(finding) = refused {
            self.report.finding(&finding)?;
            return Ok(false);
        }
        if self.held.by_key.contains_key(&line.key) && self.to.shelf.size(&place).await? == Some(line.bytes) {
            self.report.present += 1;
            return Ok(true);
        }
        let bytes = reading::object(&self.from.shelf, self.home, line).await?;
        match bytes.and_then(|bytes| open_object(line, &bytes).map(|_| bytes)) {
            Ok(bytes) => self.put(&line.key, &place, bytes, line.format.content_type()).await,
            // Another stick may have brought it.
            Err(_) if self.is_there(&place, line).await? => {
                self.report.present += 1;
                Ok(true)
            }
            Err(finding) => {
                self.report.finding(&finding)?;
                Ok(true)
            }
        }
    }

    /// Carries an object that no line on the stick names.
    async fn without_line(&mut self, key: &ObjectKey) -> anyhow::Result<()> {
        let name = key.to_string();
        let there = self.held.by_key.get(&name);
        if there.is_none()
            && let Some(finding) = self.held.other(&name, &key.origin.epoch, key.range)
        {
            return self.report.finding(&finding);
        }
        let Found::Bytes(bytes, _) = self.from.shelf.get(&name, manifest::BYTES_MAX).await? else {
            return self.report.finding(&Finding::ObjectMissing { key: name });
        };
        match there {
            Some(line) => {
                if let Err(finding) = open_object(line, &bytes) {
                    return self.report.finding(&finding);
                }
            }
            None => self.report.without_line += 1,
        }
        let mut place = key.clone();
        place.origin.prefix = self.there_home.prefix.clone();
        self.put(&name, &place.to_string(), bytes, key.format.content_type()).await.map(|_| ())
    }

    async fn put(&mut self, key: &str, place: &str, bytes: Bytes, kind: &'static str) -> anyhow::Result<bool> {
        let (size, digest) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), Digest::of(&bytes));
        if let Put::Done(_) = self.to.shelf.put_if(place, bytes, kind, Expect::Nothing).await? {
            self.report.copied += 1;
            return Ok(true);
        }
        let found = match self.to.shelf.get(place, size).await? {
            Found::Bytes(found, _) => Digest::of(&found),
            Found::Nothing | Found::Larger(_) => Digest::NONE,
        };
        if found == digest {
            self.report.present += 1;
            return Ok(true);
        }
        self.report.finding(&taken(key, digest, found))?;
        Ok(false)
    }

    async fn is_there(&self, place: &str, line: &ManifestLine) -> Result<bool, ShelfError> {
        let found = self.to.shelf.get(place, line.bytes).await?;
        Ok(matches!(found, Found::Bytes(bytes, _) if Digest::of(&bytes) == line.sha256))
    }

    /// The lines of a day join those that are there.
    async fn manifest(&mut self, day: Day, accepted: &[Entry]) -> anyhow::Result<()> {
        if !accepted.is_empty() {
            let mut standing = Standing::read(&self.to.shelf, &self.there_home.manifest_key(day)).await?;
            self.report.lines += standing.join(&self.to.shelf, &self.there_home, day, accepted).await?;
        }
        Ok(())
    }
}

fn taken(key: &str, expected: Digest, found: Digest) -> Finding {
    Finding::Taken { key: key.to_owned(), expected, found }
}

#[derive(Default)]
struct Report {
    is_json: bool,
    copied: usize,
    present: usize,
    without_line: usize,
    lines: usize,
    findings: usize,
}

impl Report {
    fn finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        self.findings += 1;
        screen::finding(finding, self.is_json)
    }

    fn end(&self) -> anyhow::Result<Exit> {
        let Self { is_json, copied, present, without_line, lines, findings } = self;
        let mut out = std::io::stdout().lock();
        if *is_json {
            let sum = json!({"ok": *findings == 0, "copied": copied, "present": present, "without_line": without_line,
                "lines": lines, "findings": findings});
            writeln!(out, "{sum}")?;
        } else {
            writeln!(
                out,
                "{copied} objects carried, {present} were there, {lines} manifest lines added, {findings} findings"
            )?;
            if *without_line > 0 {
                writeln!(
                    out,
                    "{without_line} objects have no manifest line yet: it comes with the device's next stick"
                )?;
            }
        }
        Ok(if *findings == 0 { Exit::Fine } else { Exit::NotFine })
    }
}
