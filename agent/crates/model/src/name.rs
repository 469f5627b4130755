//! Names as people write them in the configuration: `[A-Za-z0-9_-]{1,64}`, one type a kind of thing.
//!
//! Names end up in MQTT topics, object keys and file names, so what could climb out of a folder or match a
//! wildcard is refused here, once. Cloning is a reference count: a name stands in every reading.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name: fits every topic, key and file name budget downstream (IoT Core topics are 256 bytes).
pub const NAME_BYTES_MAX: usize = 64;

/// A text that is no name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was written.
    #[error("a name can not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside `[A-Za-z0-9_-]`.
    #[error("a name has letters, digits, '_' and '-' only, not {0:?}")]
    Character(char),
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-')) {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name.
            pub fn try_new(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// The device this agent runs on: IoT thing name, MQTT client id, `device=` in object keys.
    DeviceId
);
name!(
    /// The place the device stands at: `site=` in object keys.
    SiteId
);
name!(
    /// One serial line.
    BusId
);
name!(
    /// One instrument on a bus.
    InstrumentId
);
name!(
    /// One thing that an instrument measures, in the vocabulary of `docs/INSTRUMENTS.md`.
    QuantityId
);
name!(
    /// One destination.
    SinkId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_folder_or_match_a_wildcard() {
        for bad in ["", "a/b", "..", "a+b", "#", "tank 4", "tümpel", &"x".repeat(65)] {
            assert!(InstrumentId::try_new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(InstrumentId::try_new("do-4_B").is_ok());
        assert!(InstrumentId::try_new(&"x".repeat(64)).is_ok());
    }
}
