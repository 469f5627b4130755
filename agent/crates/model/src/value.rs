//! What was measured, and how good it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// The value of a reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// An id or a status: never parsed, leading zeros count.
    Text(Arc<str>),
    /// The instrument said that it has nothing; always with [`Quality::Missing`].
    Missing,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Missing => serializer.serialize_none(),
        }
    }
}

/// QARTOD's primary flags (Manual for the Use of Real-Time Oceanographic Data Quality Control Flags, 2020, §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// 1: passed every test that was made.
    Pass,
    /// 2: no test was made.
    NotEvaluated,
    /// 3: questionable.
    Suspect,
    /// 4: failed.
    Fail,
    /// 9: no value.
    Missing,
}

impl Quality {
    /// All of them, best first.
    pub const ALL: [Quality; 5] =
        [Quality::Pass, Quality::NotEvaluated, Quality::Suspect, Quality::Fail, Quality::Missing];

    /// QARTOD's number for it.
    pub fn flag(self) -> u8 {
        match self {
            Quality::Pass => 1,
            Quality::NotEvaluated => 2,
            Quality::Suspect => 3,
            Quality::Fail => 4,
            Quality::Missing => 9,
        }
    }

    /// The quality with this QARTOD number.
    pub fn from_flag(flag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|quality| quality.flag() == flag)
    }

    /// The word used in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Pass => "pass",
            Quality::NotEvaluated => "not-evaluated",
            Quality::Suspect => "suspect",
            Quality::Fail => "fail",
            Quality::Missing => "missing",
        }
    }
}
