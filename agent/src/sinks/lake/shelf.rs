//! Reading a lake: a folder or a bucket, asked for objects by their keys. Nothing here lists.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::sinks::file::Folder;
use crate::sinks::s3::Bucket;

/// Where a lake stands, for those who read it or carry one into it.
pub struct Shelf {
    store: Place,
    requests: AtomicU64,
}

/// The two kinds.
pub enum Place {
    /// A folder.
    Folder(Folder),
    /// A bucket.
    Bucket(Bucket),
}

/// What lies under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Bytes),
    /// More than was asked for: so many bytes, which were not read.
    Larger(u64),
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
    /// A shelf in this place. Nothing is reached yet.
    pub fn new(store: Place) -> Self {
        Self { store, requests: AtomicU64::new(0) }
    }

    /// Makes ready for objects: a folder is made below one that is there, a bucket is somebody's decision.
    pub fn make(&self) -> Result<(), ShelfError> {
        match &self.store {
            Place::Folder(folder) => folder.make(),
            Place::Bucket(_) => Ok(()),
        }
    }

    /// What lies under a key, if it has at most so many bytes.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Found, ShelfError> {
        self.count();
        match &self.store {
            Place::Folder(folder) => folder.get(key, bytes_max),
            Place::Bucket(bucket) => bucket.get(key, bytes_max).await,
        }
    }

    /// The size of what lies under a key, without reading it.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ShelfError> {
        self.count();
        match &self.store {
            Place::Folder(folder) => folder.size(key),
            Place::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Puts an object where there is none; false if there is one.
    pub async fn put_absent(&self, key: &str, bytes: Bytes, kind: &'static str) -> Result<bool, ShelfError> {
        self.count();
        match &self.store {
            Place::Folder(folder) => folder.put_absent(key, &bytes),
            Place::Bucket(bucket) => bucket.put_absent(key, bytes, kind).await,
        }
    }

    /// Puts an object, over one that may be there.
    pub async fn put(&self, key: &str, bytes: Bytes, kind: &'static str) -> Result<(), ShelfError> {
        self.count();
        match &self.store {
            Place::Folder(folder) => folder.put_over(key, &bytes),
            Place::Bucket(bucket) => bucket.put_over(key, bytes, kind).await,
        }
    }

    /// How often the store was asked for something.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}
