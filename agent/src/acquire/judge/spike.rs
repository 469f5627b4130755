//! The spike test of QARTOD (test 6 of the manual), made at once.
//!
//! The manual flags the value before the newest, by its two neighbours. Here a reading is durable a second after it was
//! heard and is never held back to see what follows, so each value is judged by what came before it:
//!
//! | the value before | this value | |
//! |---|---|---|
//! | was no suspect | is further from it than the threshold | suspect; the value before is the *base* |
//! | was one | is near the base again | pass: the spike is over |
//! | was one | is near the value before | pass: it was a step, and this confirms the new level |
//! | was one | is neither | suspect |
//!
//! So a spike is flagged as the manual flags it. The first value of a step is flagged too, which the manual, knowing what
//! follows, would pass: the price of not waiting.

/// The test of one quantity.
#[derive(Debug)]
pub struct Spike {
    threshold: f64,
    before: Option<Before>,
}

/// The value before.
#[derive(Debug, Clone, Copy)]
struct Before {
    value: f64,
    /// What it is a suspect against.
    base: Option<f64>,
}

/// What is thought of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// There is nothing before it to compare with.
    None,
    Pass,
    Suspect,
}

impl Spike {
    /// A test with nothing before it.
    pub fn new(threshold: f64) -> Self {
        Self { threshold, before: None }
    }

    /// Takes a value that could be one.
    pub fn take(&mut self, value: f64) -> Opinion {
        let Some(Before { value: before, base }) = self.before else {
            self.before = Some(Before { value, base: None });
            return Opinion::None;
        };
        let is_near = |other: f64| (value - other).abs() <= self.threshold;
        let base = if is_near(before) || base.is_some_and(is_near) { None } else { Some(base.unwrap_or(before)) };
        self.before = Some(Before { value, base });
        if base.is_some() { Opinion::Suspect } else { Opinion::Pass }
    }

    /// The next value has no neighbour before it.
    pub fn forget(&mut self) {
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.` for a value that passes, `!` for a suspect, `-` for one that has nothing before it.
    fn opinions(values: &[f64]) -> String {
        let mut spike = Spike::new(3.0);
        let mark = |value: &f64| match spike.take(*value) {
            Opinion::None => '-',
            Opinion::Pass => '.',
            Opinion::Suspect => '!',
        };
        values.iter().map(mark).collect()
    }

    #[test]
    fn a_spike_is_flagged_and_what_follows_it_is_not() {
        assert_eq!(opinions(&[8.0, 8.1, 14.0, 8.2, 8.1]), "-.!..");
        assert_eq!(opinions(&[8.0, 2.0, 8.0, 2.0, 8.0]), "-!.!.", "one after the other");
        assert_eq!(opinions(&[8.0, 11.0, 5.0]), "-.!", "a change of the threshold is none yet");
    }

    #[test]
    fn a_step_costs_its_first_value() {
        assert_eq!(opinions(&[8.0, 14.0, 14.1, 14.0, 8.0, 8.1]), "-!..!.");
    }

    #[test]
    fn while_values_jump_about_none_is_believed() {
        assert_eq!(opinions(&[8.0, 14.0, 20.0, 2.0, 26.0, 8.5, 8.4]), "-!!!!..", "until one is near the base");
        assert_eq!(opinions(&[8.0, 14.0, 20.0, 26.0, 26.5, 20.0]), "-!!!.!", "or near the one before it");
    }

    #[test]
    fn a_lost_line_begins_anew() {
        let mut spike = Spike::new(3.0);
        spike.take(8.0);
        spike.forget();
        assert_eq!(spike.take(80.0), Opinion::None);
    }
}
