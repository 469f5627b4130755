//! A status that says whether to believe a value: a scale in overload prints `+0000.00 G E`, a dead probe 0.0 mg/L.
//!
//! Flags never delete: a status that is not listed leaves the value as it was said and marks it [`Standing::Bad`].
//! Where the instrument says by its status that it has no value at all (what it prints there is a filler, as in a scale's
//! overload), that status belongs into `missing`: then there is nothing to keep.

use super::{holds, parse_number};

/// A status (`good = { field, values, suspect, missing }`). Texts are compared as those of
/// [`crate::FieldSpec::missing`]: trimmed, and as numbers where both are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSpec {
    /// Where the decoder finds it.
    pub field: String,
    /// With these the value is good.
    pub values: Vec<String>,
    /// With these it is a value, and doubtful: a weight that has not settled.
    pub suspect: Vec<String>,
    /// With these there is no value, whatever is printed.
    pub missing: Vec<String>,
}

/// What a status makes of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    #[default]
    Good,
    /// The instrument itself doubts it.
    Suspect,
    /// The instrument itself says that it is none to be believed.
    Bad,
}

/// What a status says, [`Standing`] and one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Of(Standing),
    Missing,
}

impl Verdict {
    /// As the value of a sample, so that a status travels as any field does.
    pub fn code(self) -> f64 {
        match self {
            Verdict::Of(Standing::Good) => 0.0,
            Verdict::Of(Standing::Suspect) => 1.0,
            Verdict::Missing => 2.0,
            Verdict::Of(Standing::Bad) => 3.0,
        }
    }

    pub fn of_code(code: f64) -> Self {
        match code {
            ..0.5 => Verdict::Of(Standing::Good),
            ..1.5 => Verdict::Of(Standing::Suspect),
            ..2.5 => Verdict::Missing,
            _ => Verdict::Of(Standing::Bad),
        }
    }
}

/// A status as it is looked up.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    words: Vec<(Verdict, Vec<Vec<u8>>, Vec<f64>)>,
}

impl Status {
    pub fn new(spec: &StatusSpec) -> Self {
        let lists = [
            (Verdict::Of(Standing::Good), &spec.values),
            (Verdict::Of(Standing::Suspect), &spec.suspect),
            (Verdict::Missing, &spec.missing),
        ];
        let words = lists.map(|(verdict, list)| {
            let texts: Vec<_> = list.iter().map(|text| text.trim().as_bytes().to_vec()).collect();
            let numbers = texts.iter().filter_map(|text| parse_number(text)).collect();
            (verdict, texts, numbers)
        });
        Self { words: words.into() }
    }

    pub fn standing(&self, text: &[u8]) -> Verdict {
        let exact = self.words.iter().find(|(_, texts, _)| texts.iter().any(|known| known == text));
        match (exact, parse_number(text)) {
            (Some((verdict, ..)), _) => *verdict,
            (None, Some(number)) => self.standing_of(number),
            (None, None) => Verdict::Of(Standing::Bad),
        }
    }

    pub fn standing_of(&self, number: f64) -> Verdict {
        let found = self.words.iter().find(|(.., numbers)| holds(numbers, number));
        found.map_or(Verdict::Of(Standing::Bad), |(verdict, ..)| *verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_nobody_listed_is_bad() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let spec = StatusSpec {
            field: "st".to_owned(),
            values: list(&["S", "00"]),
            suspect: list(&["U", ""]),
            missing: list(&["E"]),
        };
        let status = Status::new(&spec);
        for (text, verdict) in [
            ("S", Verdict::Of(Standing::Good)),
            ("0", Verdict::Of(Standing::Good)),
            ("U", Verdict::Of(Standing::Suspect)),
            ("", Verdict::Of(Standing::Suspect)),
            ("E", Verdict::Missing),
            ("s", Verdict::Of(Standing::Bad)),
            ("01", Verdict::Of(Standing::Bad)),
        ] {
            assert_eq!(status.standing(text.as_bytes()), verdict, "{text:?}");
            assert_eq!(Verdict::of_code(verdict.code()), verdict);
        }
        assert_eq!(status.standing_of(0.0), Verdict::Of(Standing::Good));
    }
}
