//! A cursor on disk: two slots, `<path>/cursors/<sink>.0` and `.1`, written in turn.
//!
//! A write goes to the older slot and is synced, so a cut in the middle of it costs at most that step: the newer slot
//! still stands, and the sink delivers a batch twice. Never does a cursor move further than the far side confirmed.
//! Before both slots are there a write makes a new file and renames it: half of a first cursor would be no cursor.

use std::path::{Path, PathBuf};

use model::{Seq, SinkId};

use crate::codec::mirror;
use crate::cursor::Cursor;
use crate::disk;
use crate::error::JournalError;
use crate::inventory::{self, CursorStat};
use crate::sheet::{self, Magic};

pub(crate) const MAGIC: Magic = *b"TGCU";

/// The two slots of one sink.
#[derive(Debug)]
pub struct CursorFile {
    slots: [PathBuf; 2],
    /// Counter of the newest slot; the next write goes to the slot of the next counter's parity.
    counter: u64,
    /// Whether both slots are there, durably.
    is_created: bool,
}

/// What stood on disk for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// A cursor.
    Cursor(Cursor),
    /// Nothing: a new sink.
    New,
    /// Slots, but none that reads: start from the tail and say so. That costs duplicates, and loses nothing.
    Damaged,
}

/// Behind the last position that any cursor of the journal at `path` has confirmed or named: it was given out, whatever
/// the generations still know of it.
pub(crate) fn high_water(path: &Path) -> Result<Seq, JournalError> {
    let mut high = Seq::FIRST;
    for slot in disk::entries(&path.join("cursors"))? {
        let Some(bytes) = disk::read(&slot)? else { continue };
        let read = sheet::open(MAGIC, &bytes).and_then(|(_, body)| mirror::get_cursor(body));
        high = read.map_or(high, |cursor| high.max(cursor.high_water()));
    }
    Ok(high)
}

/// What stands on disk for `sink`; changes nothing.
pub(crate) fn look(path: &Path, sink: &SinkId) -> Result<CursorStat, JournalError> {
    let mut newest: Option<(u64, Cursor)> = None;
    let (mut found, mut damaged_slots) = (0, 0);
    for slot in [0, 1] {
        let Some(bytes) = disk::read(&path.join("cursors").join(format!("{sink}.{slot}")))? else { continue };
        found += 1;
        match inventory::cursor_of(&bytes, MAGIC) {
            Some((counter, cursor)) if newest.as_ref().is_none_or(|(known, _)| counter > *known) => {
                newest = Some((counter, cursor));
            }
            Some(_) => {}
            None => damaged_slots += 1,
        }
    }
    let loaded = match newest {
        Some((_, cursor)) => Loaded::Cursor(cursor),
        None if found > 0 => Loaded::Damaged,
        None => Loaded::New,
    };
    Ok(CursorStat { sink: sink.clone(), loaded, damaged_slots })
}

impl CursorFile {
    /// Opens the slots of `sink` below the journal at `path`, and loads the newest that reads.
    pub fn load(path: &Path, sink: &SinkId) -> Result<(Self, Loaded), JournalError> {
        let dir = path.join("cursors");
        disk::create_dir(&dir)?;
        let slots = [0, 1].map(|slot| dir.join(format!("{sink}.{slot}")));
        let mut loaded = Loaded::New;
        let mut counter = 0;
        let mut found = 0;
        for slot in &slots {
            let Some(bytes) = disk::read(slot)? else { continue };
            found += 1;
            let read = sheet::open(MAGIC, &bytes);
            match read.and_then(|(at, body)| Ok((at, mirror::get_cursor(body)?))) {
                Ok((at, cursor)) if at >= counter => {
                    counter = at;
                    loaded = Loaded::Cursor(cursor);
                }
                Err(_) if loaded == Loaded::New => loaded = Loaded::Damaged,
                Ok(_) | Err(_) => {}
            }
        }
        // A kill may have left names that no sync has reached yet.
        if found > 0 {
            disk::sync_dir(&dir)?;
        }
        Ok((Self { slots, counter, is_created: found == 2 }, loaded))
    }

    /// Makes `cursor` durable.
    pub fn store(&mut self, cursor: &Cursor) -> Result<(), JournalError> {
        let mut body = Vec::new();
        mirror::put_cursor(&mut body, cursor);
        let counter = self.counter + 1;
        let slot = &self.slots[usize::from(counter % 2 == 1)];
        let bytes = sheet::frame(MAGIC, counter, &body);
        if self.is_created {
            disk::write(slot, &bytes)?;
        } else {
            disk::replace(slot, &bytes)?;
            self.is_created = self.counter > 0;
        }
        self.counter = counter;
        Ok(())
    }
}
