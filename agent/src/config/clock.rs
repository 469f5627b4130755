//! `[clock]`: what to do with readings while nobody vouches for the time.

use std::time::Duration;

use super::section::Section;
use super::value::duration;

/// `[clock]`
#[derive(Debug, Clone, Copy)]
pub struct ClockConfig {
    /// How long a sink waits for the clock to be set before it sends readings that say `untrusted`.
    pub hold_untrusted: Duration,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { hold_untrusted: Duration::from_secs(600) }
    }
}

pub(super) fn read(root: &Section<'_>) -> ClockConfig {
    let mut config = ClockConfig::default();
    let Some(section) = root.section("clock") else { return config };
    let range = Duration::ZERO..=Duration::from_secs(7 * 86_400);
    config.hold_untrusted = section.get("hold_untrusted", duration(range)).unwrap_or(config.hold_untrusted);
    section.finish();
    config
}
