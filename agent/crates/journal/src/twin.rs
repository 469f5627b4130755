//! The series of a generation once more, beside the store: `<generation>/series`.
//!
//! A series stands in one page of the store, and every reading of the generation needs it: without a twin one page that
//! the disk spoils costs all of them. It is written when a series is new, before the commit that needs it, and only read
//! by a salvage.

use std::path::Path;
use std::sync::Arc;

use model::Series;

use crate::codec::mirror;
use crate::disk;
use crate::error::JournalError;
use crate::sheet::{self, Magic};

const MAGIC: Magic = *b"TGSR";
const NAME: &str = "series";

/// Writes the series of the generation at `dir`, in the order of their numbers, durably.
pub(crate) fn write(dir: &Path, known: &[Arc<Series>]) -> Result<(), JournalError> {
    let mut body = Vec::new();
    mirror::put_all_series(&mut body, known);
    disk::replace(&dir.join(NAME), &sheet::frame(MAGIC, 0, &body))
}

/// Reads them; none where there is no twin, or none that reads: then the store is all there is to go by.
pub(crate) fn read(dir: &Path) -> Vec<Arc<Series>> {
    let Ok(Some(bytes)) = disk::read(&dir.join(NAME)) else { return Vec::new() };
    let known = sheet::open(MAGIC, &bytes).and_then(|(_, body)| mirror::get_all_series(body));
    known.unwrap_or_default().into_iter().map(Arc::new).collect()
}
