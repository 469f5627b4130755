//! The lake as a sink: sealed objects with names of their own, and a manifest that lists them. The same tree on S3
//! and in a folder; only the store behind it differs.
//!
//! An object is put once under a name made from its range; "it is there already" is a yes, because the name and the
//! bytes were sealed before the first attempt. The manifest line is written down here, durably, before the runner
//! confirms, so that a crash in between adds no line twice and forgets none.

pub mod announce;
mod ledger;
pub mod manifest;
pub mod reading;
pub mod shelf;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{About, Format, Home, ManifestLine, Origin, Query, SigningKey};
use model::{Day, Epoch, Numbered, RangeSet, SeqRange, Tags, Timestamp};
use tokio::task::block_in_place;

use super::{Batch, BatchLimits, DeliverError, Sink};
use crate::clock::Clock;
use crate::config::{Config, InForce, LakeConfig, SinkConfig};
use announce::News;
use ledger::Ledger;
use manifest::Standing;
use shelf::{Shelf, ShelfError};

/// Records held in memory for one object: about 6 MiB. An object is never larger, whatever `max_readings` says.
pub const OBJECT_RECORDS_MAX: usize = 50_000;

/// What a put costs beside the object: its headers, of which the signature and a session's token are the most.
pub const REQUEST_BYTES: u64 = 1 << 10;

/// Objects whose size is asked for at once.
const LOOKS_AT_ONCE: usize = 8;

/// A lake in a store.
pub struct LakeSink {
    shelf: Shelf,
    format: Format,
    origin: Origin,
    home: Home,
    tags: Tags,
    in_force: InForce,
    limits: BatchLimits,
    manifest_every: Duration,
    clock: Clock,
    ledger: Arc<Mutex<Ledger>>,
    /// Who announces its lines.
    news: Option<Arc<News>>,
    /// What is known of the manifests there of the days that are written.
    standings: tokio::sync::Mutex<BTreeMap<Day, Standing>>,
    /// When the manifest is due next, by the boot's clock.
    manifest_due_ms: Mutex<u64>,
}

/// Where a lake's readings come from.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The journal's epoch.
    pub epoch: &'a Epoch,
    /// The clocks.
    pub clock: &'a Clock,
    /// The configuration: the device, the journal's folder with the ledger in it, and the revision that a manifest line names.
    pub in_force: &'a InForce,
}

impl LakeSink {
    /// A lake sink whose ledger stands in the journal's folder.
    pub fn open(
        shelf: Shelf,
        sink: &SinkConfig,
        config: &LakeConfig,
        place: Place<'_>,
        news: Option<Arc<News>>,
    ) -> std::io::Result<Self> {
        let Place { epoch, clock, in_force } = place;
        let config_in_force = in_force.get();
        let Config { device, journal, .. } = &*config_in_force;
        let origin = Origin {
            prefix: config.prefix.clone(),
            site: device.site.clone(),
            device: device.id.clone(),
            epoch: epoch.clone(),
        };
        let home = Home { prefix: origin.prefix.clone(), site: origin.site.clone(), device: origin.device.clone() };
        let limits = BatchLimits {
            age_max: sink.batch.max_age,
            records_max: sink.batch.max_readings.min(OBJECT_RECORDS_MAX),
            bytes_max: usize::try_from(sink.batch.max_bytes).unwrap_or(usize::MAX),
            window: shelf.window(),
        };
        let key = device.signing_key.as_deref().map(signing_key).transpose()?;
        let mut ledger = Ledger::open(&journal.path.join("manifests").join(sink.id.as_str()), epoch, key)?;
        if news.is_some() {
            ledger.announce()?;
        }
        let lake = Self {
            shelf,
            format: config.format,
            origin,
            home,
            tags: device.tags.clone(),
            in_force: in_force.clone(),
            limits,
            manifest_every: config.manifest_every,
            clock: clock.clone(),
            ledger: Arc::new(Mutex::new(ledger)),
            news,
            standings: tokio::sync::Mutex::default(),
            manifest_due_ms: Mutex::new(0),
        };
        lake.tell();
        Ok(lake)
    }

    fn tell(&self) {
        if let Some(news) = &self.news {
            news.send_replace(Some(self.ledger.clone()));
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_manifest_due(&self) -> bool {
        let mut due_ms = self.manifest_due_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.mono_ms();
        if now_ms < *due_ms {
            return false;
        }
        *due_ms = now_ms.saturating_add(u64::try_from(self.manifest_every.as_millis()).unwrap_or(u64::MAX));
        true
    }

    /// Puts the new lines of every day that has some. One day that can not be written holds up no other.
    async fn put_manifests(&self) -> Result<(), DeliverError> {
        let mut standings = self.standings.lock().await;
        let mut ended = Ok(());
        let unsent = self.ledger().unsent();
        for day in unsent {
            let lines = block_in_place(|| self.ledger().lines(day)).map_err(|error| local(&error))?;
            match standings.entry(day).or_default().join(&self.shelf, &self.home, day, &lines).await {
                Ok(_) => {
                    let is_over = block_in_place(|| self.ledger().note_sent(day, lines.len()));
                    if is_over.map_err(|error| local(&error))? {
                        standings.remove(&day);
                    }
                }
                Err(error) => ended = Err(DeliverError::retry(format!("manifest of {day}: {error}"))),
            }
        }
        ended
    }
}

fn line_of(batch: &Batch) -> std::io::Result<ManifestLine> {
    let text = std::str::from_utf8(&batch.note).map_err(std::io::Error::other)?;
    ManifestLine::parse(text).map_err(std::io::Error::other)
}

fn signing_key(path: &Path) -> std::io::Result<SigningKey> {
    let of_file = |error: String| std::io::Error::other(format!("the signing key {}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| of_file(error.to_string()))?;
    SigningKey::from_pem(&pem).map_err(|error| of_file(error.to_string()))
}

fn local(error: &std::io::Error) -> DeliverError {
    DeliverError::retry(format!("manifest on the local disk: {error}"))
}

impl Sink for LakeSink {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    fn is_sealed(&self) -> bool {
        true
    }

    fn cut(&self, records: &[Numbered]) -> usize {
        lake::leading_day(records)
    }

    fn encode(&self, range: SeqRange, records: &[Numbered]) -> Result<Batch, DeliverError> {
        let refuse = |error: lake::LakeError| DeliverError::reject(format!("can not be encoded: {error}"));
        let batch = lake::Batch { range, records };
        let about = About {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            config_revision: self.in_force.get().revision().map(str::to_owned),
            tags: self.tags.clone(),
        };
        let object = lake::encode(self.format, &self.origin, batch, &about).map_err(refuse)?;
        let note = object.line.to_text().map_err(refuse)?;
        Ok(Batch { range, key: object.key, bytes: object.bytes.into(), note: note.into() })
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), DeliverError> {
        line_of(batch).map_err(|error| DeliverError::reject(error.to_string()))?;
        self.shelf.put_sealed(&batch.key, batch.bytes.clone(), self.format.content_type()).await
    }

    fn settle(&self, batch: &Batch) -> std::io::Result<()> {
        self.ledger().append(line_of(batch)?, self.clock.now())?;
        self.tell();
        Ok(())
    }

    fn cost(&self, batch: &Batch) -> u64 {
        u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX).saturating_add(REQUEST_BYTES)
    }

    fn spent_beside(&self) -> u64 {
        self.shelf.take_bytes_put()
    }

    /// A lake has each row once: what its manifests name, and what is there, is not sent again.
    async fn lacks(&self, range: SeqRange, since: Timestamp) -> Result<Vec<SeqRange>, DeliverError> {
        let query = Query { from: Some(since), ..Query::default() };
        let today = self.clock.now().day();
        let away = |error: ShelfError| DeliverError::retry(error.to_string());
        let (catalogue, _) = reading::catalogue(&self.shelf, &self.home, &query, today).await.map_err(away)?;
        if let Some(finding) = catalogue.findings.first() {
            return Err(DeliverError::retry(format!("{finding}: see `tidegate lake rebuild`")));
        }
        let ours = catalogue.select(&Query::default()).into_iter().map(|entry| &entry.line);
        let ours = ours.filter(|line| line.epoch == self.origin.epoch && !line.range().intersection(&range).is_empty());
        let is_there = |line: ManifestLine| async move {
            let place = self.home.place_of(&line);
            let size = match &place {
                Some(place) => self.shelf.size(place).await?,
                None => None,
            };
            Ok::<_, ShelfError>((line.range(), size == Some(line.bytes)))
        };
        let lines: Vec<ManifestLine> = ours.cloned().collect();
        let looks: Vec<_> =
            stream::iter(lines).map(is_there).buffered(LOOKS_AT_ONCE).try_collect().await.map_err(away)?;
        let mut held = RangeSet::new();
        looks.into_iter().filter(|(_, is_there)| *is_there).for_each(|(range, _)| held.insert(range));
        // What the ledger has and has not written to a manifest yet is in the lake, too.
        let unsent = self.ledger().unsent();
        for day in unsent {
            let lines = block_in_place(|| self.ledger().lines(day)).map_err(|error| local(&error))?;
            let ours = lines.iter().filter(|entry| entry.line.epoch == self.origin.epoch);
            ours.for_each(|entry| held.insert(entry.line.range()));
        }
        Ok(held.missing(range))
    }

    async fn tend(&self, is_end: bool) -> Result<(), DeliverError> {
        if !is_end && self.ledger().unsent().is_empty() {
            return Ok(());
        }
        if is_end || self.is_manifest_due() { self.put_manifests().await } else { Ok(()) }
    }
}
