//! Where a lake stands: a folder or a bucket, asked for objects by their keys. Only a person's
//! `import` and `rebuild` list.
//!
//! Several may write to one lake: the device itself, the journal that it had before, a person who carries a stick. So
//! nothing is ever put over bytes that the writer has not seen: a put says what it expects under its key.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::Timestamp;
use tokio::task::block_in_place;

use crate::sinks::DeliverError;
use crate::sinks::file::Folder;
use crate::sinks::lake::REQUEST_BYTES;
use crate::sinks::s3::Bucket;

/// Where a lake stands.
pub struct Shelf {
    place: Place,
    requests: AtomicU64,
    /// Of conditional puts: those of manifests, while a sink writes.
    bytes_put: AtomicU64,
}

enum Place {
    Folder(Folder),
    Bucket(Bucket),
}

/// What lies under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// These bytes, and what tells them from others.
    Bytes(Bytes, Tag),
    /// More than was asked for: so many bytes, which were not read.
    Larger(u64),
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Since when it has lain there.
    pub modified: Timestamp,
}

/// Tells the bytes under a key from any others there: a store's `ETag`, or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub String);

/// What has to lie under a key for a put to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Tag(&'a Tag),
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The bytes are there.
    Done(Tag),
    /// Something else lies there than was expected: nothing was put.
    Other,
}

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// It was not reached, or does not let us.
    #[error("{0}")]
    Away(String),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Disk(String, #[source] std::io::Error),
}

impl ShelfError {
    pub(crate) fn disk(path: &Path, error: std::io::Error) -> Self {
        Self::Disk(path.display().to_string(), error)
    }
}

impl Shelf {
    /// A lake in a folder. Nothing is reached yet.
    pub fn folder(root: PathBuf) -> Self {
        Self { place: Place::Folder(Folder::new(root)), requests: AtomicU64::new(0), bytes_put: AtomicU64::new(0) }
    }

    /// A lake in a bucket.
    pub fn bucket(bucket: Bucket) -> Self {
        Self { place: Place::Bucket(bucket), requests: AtomicU64::new(0), bytes_put: AtomicU64::new(0) }
    }

    /// How many objects may be on their way there at once: while one's reply comes back and the next is made ready, a third
    /// keeps the line busy. A folder has no line.
    pub fn window(&self) -> usize {
        match &self.place {
            Place::Folder(_) => 1,
            Place::Bucket(_) => 3,
        }
    }

    /// Makes ready for objects: a folder is made below one that is there, a bucket is somebody's decision.
    pub fn make(&self) -> Result<(), ShelfError> {
        match &self.place {
            Place::Folder(folder) => folder.make(),
            Place::Bucket(_) => Ok(()),
        }
    }

    /// What lies under a key, if it has at most so many bytes.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Found, ShelfError> {
        self.count();
        match &self.place {
            Place::Folder(folder) => folder.get(key, bytes_max),
            Place::Bucket(bucket) => bucket.get(key, bytes_max).await,
        }
    }

    /// The size of what lies under a key, without reading it.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ShelfError> {
        self.count();
        match &self.place {
            Place::Folder(folder) => folder.size(key),
            Place::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Everything whose key begins so, in the order of the keys. It ends with a folder's slash.
    pub async fn list(&self, beginning: &str) -> Result<Vec<Listed>, ShelfError> {
        match &self.place {
            Place::Folder(folder) => block_in_place(|| folder.list(beginning)),
            Place::Bucket(bucket) => bucket.list(beginning, || self.count()).await,
        }
    }

    /// Puts an object under a key where what was expected lies.
    pub async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        kind: &'static str,
        expect: Expect<'_>,
    ) -> Result<Put, ShelfError> {
        self.count();
        let cost = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_add(REQUEST_BYTES);
        self.bytes_put.fetch_add(cost, Ordering::Relaxed);
        match &self.place {
            Place::Folder(folder) => block_in_place(|| folder.put_if(key, &bytes, expect)),
            Place::Bucket(bucket) => bucket.put_if(key, bytes, kind, expect).await,
        }
    }

    /// Puts an object whose name says which bytes it has; `Ok` if it is there, now or already.
    pub async fn put_sealed(&self, key: &str, bytes: Bytes, kind: &'static str) -> Result<(), DeliverError> {
        self.count();
        match &self.place {
            Place::Folder(folder) => block_in_place(|| folder.put_sealed(key, &bytes)),
            Place::Bucket(bucket) => bucket.put_sealed(key, bytes, kind).await,
        }
    }

    /// How often the store was asked for something.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of conditional puts since this was last asked.
    pub fn take_bytes_put(&self) -> u64 {
        self.bytes_put.swap(0, Ordering::Relaxed)
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}
