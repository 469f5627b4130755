//! A day's manifest in the lake: lines join it, and none that is there is lost.
//!
//! Whoever has lines puts the whole day, on the condition that what lies there is what he has seen. If it is not, as
//! after a restart, or where the journal that the device had before wrote on the same day, or a stick was carried there,
//! he reads it and joins its lines to his. So the ordinary case costs one request, and reads nothing.

use lake::{Digest, Entry, Home, LakeError, ManifestDay, entries_of, merge};
use model::Day;

use super::shelf::{Expect, Found, Put, Shelf, ShelfError, Tag};

/// Media type of a manifest (RFC 8878 for the compression).
const KIND: &str = "application/zstd";
/// Largest manifest that is read: fifty thousand objects on one day.
pub const BYTES_MAX: u64 = 64 << 20;

/// What is known of a day's manifest in the lake.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Which bytes lie there; none as long as nothing is known to.
    tag: Option<Tag>,
    /// The lines in them that are not from who asks.
    others: Vec<Entry>,
}

/// A manifest that does not take lines.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The store did not do what it was asked.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Lines that can not be written.
    #[error("manifest line")]
    Line(#[from] LakeError),
}

impl Standing {
    /// Reads what lies there. One that can not be read is put aside, under its name with its digest, and counts as
    /// none: its objects are in the lake, and `lake rebuild` makes their lines again.
    pub async fn read(shelf: &Shelf, key: &str) -> Result<Self, ShelfError> {
        let (bytes, tag) = match shelf.get(key, BYTES_MAX).await? {
            Found::Nothing => return Ok(Self::default()),
            Found::Larger(size) => {
                return Err(ShelfError::Away(format!("{key}: {size} bytes are more than any manifest has")));
            }
            Found::Bytes(bytes, tag) => (bytes, tag),
        };
        let others = match entries_of(&bytes) {
            Ok(entries) => entries,
            Err(_) => {
                let aside = format!("{key}.damaged-{:.8}", Digest::of(&bytes).to_string());
                shelf.put_if(&aside, bytes, KIND, Expect::Nothing).await?;
                Vec::new()
            }
        };
        Ok(Self { tag: Some(tag), others })
    }

    /// Makes `ours` part of the day's manifest; how many of them were not in it.
    pub async fn join(&mut self, lake: &Shelf, home: &Home, day: Day, ours: &[Entry]) -> Result<usize, JoinError> {
        let key = home.manifest_key(day);
        loop {
            let merged = merge(&self.others, ours);
            let added = merged.len() - self.others.len();
            if added == 0 && self.tag.is_some() {
                return Ok(0);
            }
            let texts = merged.into_iter().map(|entry| entry.text).collect();
            let bytes = ManifestDay::from_texts(texts).to_bytes()?;
            let expect = self.tag.as_ref().map_or(Expect::Nothing, Expect::Tag);
            if let Put::Done(tag) = lake.put_if(&key, bytes.into(), KIND, expect).await? {
                self.tag = Some(tag);
                return Ok(added);
            }
            *self = Self::read(lake, &key).await?;
        }
    }
}
