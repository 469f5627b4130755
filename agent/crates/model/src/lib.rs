//! The nouns of tidegate: what a reading is, and how it is named, timed and numbered.
//!
//! Everything that moves through the house is made of these types. They hold no behaviour beyond their own
//! invariants: no I/O, no tokio, no clock. The words are those of `ARCHITECTURE.md`, one word a thing.

pub mod event;
pub mod name;
pub mod record;
pub mod row;
pub mod seq;
pub mod series;
pub mod time;
pub mod value;

pub use event::{Event, EventKind, Fact, Gap, GapReason};
pub use name::{BusId, DeviceId, InstrumentId, NameError, QuantityId, SinkId, SiteId};
pub use record::{Numbered, Reading, Record};
pub use row::{EventRow, Row};
pub use seq::{Epoch, RangeSet, Seq, SeqRange};
pub use series::{Series, Tags};
pub use time::{BootId, Clock, Day, Stamp, Timestamp};
pub use value::{Quality, Value};
