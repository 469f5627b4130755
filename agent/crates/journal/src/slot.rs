//! What a reader holds on to: the journal that is open now, or what was last known of it while it is not.
//!
//! A disk can go away under a running agent. Then the writer takes the journal out of the slot, so that nobody keeps its
//! files open, and puts it back when the disk is there again. Readers never notice more than that a read has to wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Epoch;

use crate::error::JournalError;
use crate::reader::Stat;
use crate::shelf::Shelf;

/// Shared by all readers of one journal.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    shelf: Option<Arc<Shelf>>,
    /// As of when it was taken out.
    last: Option<(Epoch, Stat)>,
}

impl Slot {
    pub(crate) fn of(shelf: Arc<Shelf>) -> Self {
        Self(Mutex::new(Content { shelf: Some(shelf), last: None }))
    }

    /// The journal, if it is open.
    pub(crate) fn shelf(&self) -> Option<Arc<Shelf>> {
        self.content().shelf.clone()
    }

    /// The journal, to read from it.
    pub(crate) fn open(&self) -> Result<Arc<Shelf>, JournalError> {
        self.shelf().ok_or(JournalError::Unavailable)
    }

    pub(crate) fn last(&self) -> Option<(Epoch, Stat)> {
        self.content().last.clone()
    }

    pub(crate) fn take_out(&self, last: Option<(Epoch, Stat)>) {
        let mut content = self.content();
        content.shelf = None;
        content.last = last.or(content.last.take());
    }

    pub(crate) fn put_in(&self, open: Option<Arc<Shelf>>) {
        self.content().shelf = open;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
