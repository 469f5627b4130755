//! The durable log: everything an instrument says is appended once, every sink reads with its own cursor.
//!
//! # Constraints
//!
//! | what | is |
//! |---|---|
//! | writers | 1 a journal, held by `flock` on `<path>/lock`; readers on any thread, none of which it waits for |
//! | a record exists | when [`Journal::commit`] returns: sled flush, then our own `fdatasync`; never before |
//! | a number | is given out once an epoch, from 1; after a crash, a full drain, the loss of a generation |
//! | a value | has at most 7 KiB and 4096 records, so that none lands in sled's unsynced blob files |
//! | a record | has at most 4 KiB of text; a gap stands in place of a larger one |
//! | a generation | is sealed at 8 MiB, 1 h or 2^24 records; 1 active and at most 2 sealed ones are open |
//! | sled's cache | 4 MiB a generation; sled's types do not cross this crate's edge |
//! | the budget | `max_bytes` of blocks on disk for all below `<path>`, at any instant: room is made before a step of a commit |
//! | a loss | is noted on disk before the records go, and owed until its event is durable |
//! | thinning | costs detail before it costs days: `thin.rs` says what stands for what |
//!
//! # Layout
//!
//! ```text
//! <path>/lock                        held while the journal is open
//! <path>/epoch                       "tidegate-journal 1 <epoch>"
//! <path>/g00000000000000000001/      one sled database a generation, named by its first number
//! <path>/g00000000000000072001/        tree `records`: first number -> value    tree `series`: id -> series
//!   series                             the series once more, should their page be spoilt
//! <path>/cursors/<sink>.0, .1        two slots, written in turn
//! <path>/sealed/<sink>/<first>-<next>    bytes of batches that were named
//! <path>/gaps                        losses that no durable event tells yet
//! <path>/holes                       positions that are missing and were told
//! <path>/newest                      the first number of the newest generation
//! <path>/quarantine/                 at most 4 damaged generations, as evidence
//! ```
//!
//! The bytes are drawn in `docs/FORMAT.md`.
//!
//! # Recovery
//!
//! There is no clean shutdown: a kill, a panic and a power cut leave the same, and [`Journal::open`] is all there is.
//!
//! 1. Whatever ends in `.tmp` was never finished, or was to go, and goes; `.old` goes if what was to replace it is there, and is put
//!    back if not.
//! 2. The last generation is opened, and no other: a start costs the same after a month offline. sled drops a torn
//!    tail. What a kill left in the page cache alone is synced before anyone sees it.
//! 3. Before that, and before a sealed one is first read, another process looks at it (`Settings::probe`), because sled
//!    can panic or hang on damaged files, and overwrites what it gives up. It searches the raw bytes for our values
//!    first (`carve.rs`, by our own checksums) and lets sled near them only where sled would read them all. Otherwise,
//!    and where sled does not open or read it all, what was found is written into a fresh generation by that other
//!    process. The original goes to quarantine, unless nothing is missing: then a torn write had left it in disorder.
//!    Nothing reads: the whole range is lost by name.
//! 4. The head is behind the last record that sled gives or that was found, acknowledged or not, and never below what a
//!    cursor, an owed gap or the note of the newest generation knows. It is never taken from a clock. So no number has
//!    two contents, and what was found may be believed (`carve.rs` argues it). If the last generation has a hole, is
//!    gone or ends below that, it is sealed as it is, numbering goes on in a new one 2^24 further, and a gap is owed for
//!    all between.
//! 5. What is missing and was told stands on the note `holes`, so that it is told once. Gaps still on the note `gaps` are
//!    given out again by [`Journal::owed_gaps`].
//!
//! What is deliberately absent: a retry of a failed flush (the kernel reports a lost page once), deletion of keys (a
//! directory goes as a whole, and its space with it), a background thread of ours. Sealing, with its repack, happens
//! inside the commit that finds it due. Not done: a second copy of the series of a generation, without which its
//! blocks of readings do not decode.

mod audit;
mod budget;
mod carve;
mod chunk;
mod codec;
mod cursor;
mod cursor_file;
mod disk;
mod error;
#[doc(hidden)]
pub mod files;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod holes;
mod inventory;
mod journal;
mod newest;
mod open;
mod owed;
mod packed;
mod probe;
mod quarantine;
mod reader;
mod repair;
mod retain;
mod salvage;
mod seal;
mod sealed;
mod series;
mod settings;
mod sheet;
mod shelf;
mod slot;
mod space;
mod thin;
mod twin;
mod vet;

pub use audit::{Audit, Finding};
pub use chunk::{Chunk, Lost};
pub use cursor::{Cursor, NamedBatch};
pub use cursor_file::{CursorFile, Loaded};
pub use error::JournalError;
pub use inventory::{CursorStat, Inventory, SealedStat};
pub use journal::{Journal, RECORD_BYTES_MAX};
pub use open::{FORMAT, FORMATS_READ, epoch_at, format_at, open_offline, open_offline_with};
pub use packed::{Packed, pack};
pub use probe::{PROBE_LIMIT_DEFAULT, Probe, answer_probe};
pub use reader::{GenerationStat, Reader, Stat};
pub use repair::{Repaired, repair};
pub use sealed::SealedStore;
pub use settings::{GENERATION_AGE_MS_DEFAULT, GENERATION_BYTES_DEFAULT, Moment, Settings, WhenFull};
