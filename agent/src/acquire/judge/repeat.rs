//! A text said again: a tag reader names the tag in front of it many times a second, and that is one reading.
//!
//! The window counts from when a text was last **seen**, not from when it was last reported: a fish that rests at the
//! antenna for an hour is one reading, and the next is when it comes back after it had been away for the window. What
//! is dropped here was not wanted, and is no loss; where every detection counts, `dedupe` is left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Most texts remembered at once: a shoal at an antenna. When one more comes, the one not seen for longest is forgotten,
/// and is told again should it come back: rather twice than never.
const TEXTS_MAX: usize = 1024;

/// The texts seen lately of one quantity.
#[derive(Debug)]
pub struct Repeat {
    window_ms: u64,
    /// When each was last seen, by the boot's clock.
    seen_ms: HashMap<Arc<str>, u64>,
}

impl Repeat {
    /// Nothing was seen yet.
    pub fn new(window: Duration) -> Self {
        Self { window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX), seen_ms: HashMap::new() }
    }

    /// Whether this text was seen within the window; takes it as seen.
    pub fn is_repeat(&mut self, text: &Arc<str>, mono_ms: u64) -> bool {
        let window_ms = self.window_ms;
        if let Some(seen_ms) = self.seen_ms.get_mut(text) {
            return mono_ms.saturating_sub(std::mem::replace(seen_ms, mono_ms)) < window_ms;
        }
        if self.seen_ms.len() >= TEXTS_MAX {
            self.make_room(mono_ms);
        }
        self.seen_ms.insert(text.clone(), mono_ms);
        false
    }

    /// Forgets what the window has passed by, and where that is nothing, the text not seen for longest.
    fn make_room(&mut self, mono_ms: u64) {
        let window_ms = self.window_ms;
        self.seen_ms.retain(|_, seen_ms| mono_ms.saturating_sub(*seen_ms) < window_ms);
        if self.seen_ms.len() < TEXTS_MAX {
            return;
        }
        let oldest = self.seen_ms.iter().min_by_key(|(_, seen_ms)| **seen_ms).map(|(text, _)| text.clone());
        if let Some(oldest) = oldest {
            self.seen_ms.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(repeat: &mut Repeat, text: &str, mono_ms: u64) -> bool {
        repeat.is_repeat(&Arc::from(text), mono_ms)
    }

    #[test]
    fn a_tag_that_stays_is_told_once_and_again_when_it_comes_back() {
        let mut repeat = Repeat::new(Duration::from_secs(5));
        assert!(!take(&mut repeat, "5972", 0));
        assert!(take(&mut repeat, "5972", 4_999));
        assert!(take(&mut repeat, "5972", 9_998), "counted from the last sight, not from the reading");
        assert!(!take(&mut repeat, "5972", 14_998), "away for five seconds");
    }

    #[test]
    fn tags_side_by_side_do_not_hide_each_other() {
        let mut repeat = Repeat::new(Duration::from_secs(5));
        let told: Vec<bool> = (0..6).map(|turn| !take(&mut repeat, ["5972", "5189"][turn % 2], 0)).collect();
        assert_eq!(told, [true, true, false, false, false, false]);
    }

    #[test]
    fn a_shoal_takes_no_more_memory_than_it_may() {
        let mut repeat = Repeat::new(Duration::from_secs(5));
        for tag in 0..u64::try_from(TEXTS_MAX).unwrap() {
            assert!(!take(&mut repeat, &tag.to_string(), tag));
        }
        assert!(!take(&mut repeat, "one more", 2_000));
        assert_eq!(repeat.seen_ms.len(), TEXTS_MAX);
        assert!(take(&mut repeat, "1", 2_000), "the others are remembered");
        assert!(!take(&mut repeat, "0", 2_000), "the one not seen for longest is told again");
        assert!(!take(&mut repeat, "later", 60_000));
        assert_eq!(repeat.seen_ms.len(), 1, "what the window has passed by is forgotten");
    }
}
