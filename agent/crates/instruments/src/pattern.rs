//! Patterns on bytes, bounded in memory.
//!
//! Unicode classes are off: an instrument's digit is `0` to `9`, and a pattern must match frames that are not UTF-8.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::limits::{IGNORE_MAX, PATTERN_BYTES_MAX};
use crate::spec::{Fault, Place, SpecError};

pub(crate) fn compile(pattern: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| Fault::Pattern(error.to_string()))
}

pub(crate) fn compile_ignore(patterns: &[String]) -> Result<RegexSet, SpecError> {
    compile_set(patterns, "ignore", Place::Ignore)
}

/// All patterns of one key as one set; `place` says where each stands.
pub(crate) fn compile_set(
    patterns: &[String],
    key: &'static str,
    place: impl Fn(usize) -> Place,
) -> Result<RegexSet, SpecError> {
    if patterns.len() > IGNORE_MAX {
        let fault = Fault::OutOfRange { min: 0, max: IGNORE_MAX, found: patterns.len() };
        return Err(Place::Key(key).fault(fault));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        compile(pattern).map_err(|fault| place(index).fault(fault))?;
    }
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| Place::Key(key).fault(Fault::Pattern(error.to_string())))
}
