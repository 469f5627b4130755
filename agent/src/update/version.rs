//! Which of two versions is the newer one: three numbers, and what stands before a release (Semantic Versioning, item 11).

use std::cmp::Ordering;

/// Longest version.
const VERSION_BYTES_MAX: usize = 64;

/// A version: `1.4.0`, `1.4.0-rc.2`, `1.4.0+build`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<'a> {
    numbers: [u64; 3],
    before: Option<&'a str>,
}

impl<'a> Version<'a> {
    /// Reads one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        if text.len() > VERSION_BYTES_MAX || !text.chars().all(is_word) {
            return None;
        }
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, before) = text.split_once('-').map_or((text, None), |(numbers, before)| (numbers, Some(before)));
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { numbers, before })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before, other.before) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(ours), Some(theirs)) => words(ours).cmp(words(theirs)),
        })
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Numbers are less than words, and each is compared with its like.
fn words(before: &str) -> impl Iterator<Item = (bool, u64, &str)> {
    before.split('.').map(|word| match word.parse() {
        Ok(number) => (false, number, ""),
        Err(_) => (true, 0, word),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_specification() {
        let rising = ["0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11"];
        let rising = [&rising[..], &["1.0.0-rc.1", "1.0.0", "1.0.10", "1.2.0"]].concat();
        for pair in rising.windows(2) {
            assert!(Version::parse(pair[0]) < Version::parse(pair[1]), "{pair:?}");
        }
        assert_eq!(Version::parse("1.0.0+a"), Version::parse("1.0.0+b"));
        for bad in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.3 ", &"1.2.3-".repeat(40)] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }
}
