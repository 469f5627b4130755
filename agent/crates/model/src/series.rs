//! What stays the same from reading to reading: instrument, quantity, unit and tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{InstrumentId, QuantityId};

/// Words of the operator's own, in name order: `pond = "4"`.
pub type Tags = BTreeMap<String, String>;

/// One quantity of one instrument under one configuration. Shared by all its readings (`Arc<Series>`), so that a
/// reading costs a reference count and not four strings; a change of unit or tags makes a new series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// Who measured it.
    pub instrument: InstrumentId,
    /// What was measured.
    pub quantity: QuantityId,
    /// UCUM code; empty for texts and pure counts.
    pub unit: String,
    /// Tags of the instrument when it was taken; the device's stand in the envelope.
    pub tags: Tags,
}
