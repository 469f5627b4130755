//! The names of what `/metrics` says, and how it is written: `OpenMetrics` 1.0. Public: names and meanings stay.
//!
//! Values of labels are names of the configuration and words of ours, so there are never more of them than somebody wrote down.

use std::fmt::{Display, Write as _};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the agent starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A label, and always 1.
    Info,
    /// 1 at the word that is true, 0 at the others; the word's label has the metric's name.
    StateSet,
}

impl Kind {
    /// The word in the text.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
        }
    }

    /// What follows the name where the value stands.
    fn suffix(self) -> &'static str {
        match self {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::StateSet => "",
        }
    }
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without `_total` and `_info`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $labels:tt $help:literal)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };
        )+
        /// All of them, in the order of the text.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    BUILD Info "tidegate_build" ["version"] "The agent that runs."
    UPTIME Gauge "tidegate_uptime_seconds" [] "Since the agent started."
    MEMORY Gauge "tidegate_process_resident_memory_bytes" [] "Memory that the kernel says the process has."
    CLOCK_TRUSTED Gauge "tidegate_clock_trusted" [] "1: the clock has been set by a source that can be trusted."
    CHECKS Gauge "tidegate_checks" ["verdict"] "What the agent's checks of itself say: how many are ok, warning, fault."
    JOURNAL_BYTES Gauge "tidegate_journal_bytes" [] "What the journal takes on disk."
    JOURNAL_MAX Gauge "tidegate_journal_max_bytes" [] "What it may take."
    JOURNAL_HEAD Gauge "tidegate_journal_head_position" [] "The first position that is not durable yet."
    JOURNAL_TAIL Gauge "tidegate_journal_tail_position" [] "The first position that is kept."
    JOURNAL_AT_RISK Gauge "tidegate_journal_at_risk_readings" [] "What would be lost if power went now."
    JOURNAL_DEGRADED Gauge "tidegate_journal_degraded" [] "1: the journal can not be written, readings are kept in memory."
    JOURNAL_COMMIT Gauge "tidegate_journal_commit_seconds" [] "How long the last commit took."
    JOURNAL_COMMITTED Counter "tidegate_journal_committed_records" [] "Records made durable."
    JOURNAL_DROPPED Counter "tidegate_journal_dropped_records" [] "Records lost or thinned: the budget was spent, or the disk was away for too long."
    INSTRUMENT_STATE StateSet "tidegate_instrument_state" ["instrument"] "What an instrument does: up, silent, garbled, down."
    INSTRUMENT_READINGS Counter "tidegate_instrument_readings" ["instrument"] "Readings taken."
    INSTRUMENT_LAST Gauge "tidegate_instrument_last_reading_timestamp_seconds" ["instrument"] "When the last reading was taken, since 1970."
    FRAMES_REFUSED Counter "tidegate_instrument_frames_refused" ["instrument"] "Frames that were no reading."
    POLLS_FAILED Counter "tidegate_instrument_polls_failed" ["instrument"] "Questions that nothing answered."
    POLLS_SKIPPED Counter "tidegate_instrument_polls_skipped" ["instrument"] "Questions that were due while the line was still at the one before."
    OVERRUN Counter "tidegate_instrument_overrun_readings" ["instrument"] "Readings dropped because the journal could not keep up."
    VALUE Gauge "tidegate_value" ["instrument", "quantity", "unit"] "The last value of a quantity, if it is a number."
    SINK_STATE StateSet "tidegate_sink_state" ["sink"] "What a sink does: ok, holding, retrying, spent, failed."
    SINK_LAG Gauge "tidegate_sink_lag_records" ["sink"] "Records that a sink lacks."
    SINK_LAG_AGE Gauge "tidegate_sink_lag_seconds" ["sink"] "Age of the oldest of them."
    SINK_DELIVERED Counter "tidegate_sink_delivered_records" ["sink"] "Records that the far side has confirmed."
    SINK_QUARANTINED Counter "tidegate_sink_quarantined_batches" ["sink"] "Batches set aside, because the far side refused them for good."
    SINK_LAST Gauge "tidegate_sink_last_success_timestamp_seconds" ["sink"] "When the far side last said yes, since 1970."
    CERTIFICATE Gauge "tidegate_sink_certificate_left_seconds" ["sink"] "Until the device's certificate expires; below zero: since."
}

/// The text, as it grows.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn begin(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        self.put(format_args!("# TYPE {name} {}\n# HELP {name} {help}\n", kind.as_str()));
    }

    /// A sample, the values of its labels in the metric's order.
    pub fn sample(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        self.line(metric, metric.labels.iter().copied().zip(labels.iter().copied()), value);
    }

    /// The samples of a state set: which of `words` is true.
    pub fn states(&mut self, metric: &Metric, label: &str, words: &[&str], now: &str) {
        for word in words {
            let labels = metric.labels.iter().copied().zip([label]).chain([(metric.name, *word)]);
            self.line(metric, labels, u8::from(*word == now));
        }
    }

    /// A metric that has one sample and no labels.
    pub fn one(&mut self, metric: &Metric, value: impl Display) {
        self.begin(metric);
        self.sample(metric, &[], value);
    }

    /// The whole text.
    pub fn end(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }

    fn line<'l>(&mut self, metric: &Metric, labels: impl Iterator<Item = (&'l str, &'l str)>, value: impl Display) {
        self.put(format_args!("{}{}", metric.name, metric.kind.suffix()));
        let mut open = '{';
        for (name, label) in labels {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.put(format_args!("{open}{name}=\"{escaped}\""));
            open = ',';
        }
        let close = if open == ',' { "}" } else { "" };
        self.put(format_args!("{close} {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_types_escapes_and_end() {
        let mut text = Exposition::default();
        text.one(&UPTIME, 5);
        text.begin(&VALUE);
        text.sample(&VALUE, &["do-4", "oxygen", "a\"b\\c\nd"], 7.25);
        text.begin(&SINK_STATE);
        text.states(&SINK_STATE, "lake", &["ok", "failed"], "ok");
        text.begin(&BUILD);
        text.sample(&BUILD, &["1"], 1);
        let text = text.end();
        for line in [
            "# TYPE tidegate_uptime_seconds gauge",
            "tidegate_uptime_seconds 5",
            "tidegate_value{instrument=\"do-4\",quantity=\"oxygen\",unit=\"a\\\"b\\\\c\\nd\"} 7.25",
            "tidegate_sink_state{sink=\"lake\",tidegate_sink_state=\"ok\"} 1",
            "tidegate_sink_state{sink=\"lake\",tidegate_sink_state=\"failed\"} 0",
            "tidegate_build_info{version=\"1\"} 1",
        ] {
            assert!(text.lines().any(|held| held == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
    }

    /// The operator's table is this one.
    #[test]
    fn the_manual_lists_all_of_them_and_no_other() {
        let manual = include_str!("../../../docs/OPERATIONS.md");
        let held: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `tidegate_")).collect();
        let wanted: Vec<String> = ALL
            .iter()
            .map(|Metric { name, kind, labels, help }| {
                let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
                format!("| `{name}{}` | {} | {labels} | {help} |", kind.suffix(), kind.as_str())
            })
            .collect();
        assert_eq!(held, wanted);
    }
}
