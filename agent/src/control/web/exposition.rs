//! `/metrics`: what the agent says of itself, for a scraper. The names are `telemetry/metrics`'.

use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Clock as Trust, Timestamp};

use crate::control::check::{Check, Verdict};
use crate::control::status::{InstrumentStatus, SinkStatus, Status};
use crate::telemetry::health::{Health, InstrumentState, JournalHealth, SinkState};
use crate::telemetry::metrics::{self, Exposition, Metric};
use crate::telemetry::process;

/// What an instrument can do.
const INSTRUMENT_STATES: [&str; 4] = [
    InstrumentState::Up.as_str(),
    InstrumentState::Silent.as_str(),
    InstrumentState::Garbled.as_str(),
    InstrumentState::Down.as_str(),
];
/// What a sink can do.
const SINK_STATES: [&str; 5] = [
    SinkState::Ok.as_str(),
    "holding",
    SinkState::Retrying.as_str(),
    SinkState::Spent.as_str(),
    SinkState::Failed.as_str(),
];

/// The whole text.
pub fn text(status: &Status, checks: &[Check], health: &Health, now: Timestamp) -> String {
    let mut text = Exposition::default();
    text.begin(&metrics::BUILD);
    text.sample(&metrics::BUILD, &[&status.version], 1);
    text.one(&metrics::UPTIME, status.uptime_s);
    text.begin(&metrics::MEMORY);
    if let Some(bytes) = process::resident_bytes() {
        text.sample(&metrics::MEMORY, &[], bytes);
    }
    text.one(&metrics::CLOCK_TRUSTED, u8::from(status.clock.state != Trust::Untrusted));
    text.begin(&metrics::CHECKS);
    for verdict in [Verdict::Ok, Verdict::Warning, Verdict::Fault] {
        let count = checks.iter().filter(|check| check.verdict == verdict).count();
        text.sample(&metrics::CHECKS, &[verdict.as_str()], count);
    }
    journal(&mut text, status, &health.journal);
    instruments(&mut text, &status.instruments);
    sinks(&mut text, &status.sinks, now);
    text.end()
}

fn journal(text: &mut Exposition, status: &Status, health: &JournalHealth) {
    let journal = &status.journal;
    text.one(&metrics::JOURNAL_BYTES, journal.bytes);
    text.one(&metrics::JOURNAL_MAX, journal.bytes_max);
    text.one(&metrics::JOURNAL_HEAD, journal.head);
    text.one(&metrics::JOURNAL_TAIL, journal.tail);
    text.one(&metrics::JOURNAL_AT_RISK, journal.at_risk_readings);
    text.one(&metrics::JOURNAL_DEGRADED, u8::from(journal.error.is_some()));
    let commit = Duration::from_millis(health.last_commit_ms.load(Ordering::Relaxed));
    text.one(&metrics::JOURNAL_COMMIT, commit.as_secs_f64());
    text.one(&metrics::JOURNAL_COMMITTED, health.committed_total.load(Ordering::Relaxed));
    text.one(&metrics::JOURNAL_DROPPED, journal.dropped_total);
}

fn instruments(text: &mut Exposition, instruments: &[InstrumentStatus]) {
    text.begin(&metrics::INSTRUMENT_STATE);
    for instrument in instruments {
        text.states(&metrics::INSTRUMENT_STATE, &instrument.id, &INSTRUMENT_STATES, &instrument.state);
    }
    let mut count = |metric: &Metric, of: fn(&InstrumentStatus) -> u64| {
        text.begin(metric);
        for instrument in instruments {
            text.sample(metric, &[&instrument.id], of(instrument));
        }
    };
    count(&metrics::INSTRUMENT_READINGS, |instrument| instrument.readings_total);
    count(&metrics::FRAMES_REFUSED, |instrument| instrument.frames_refused_total);
    count(&metrics::POLLS_FAILED, |instrument| instrument.polls_failed_total);
    count(&metrics::POLLS_SKIPPED, |instrument| instrument.polls_skipped_total);
    count(&metrics::OVERRUN, |instrument| instrument.readings_overrun_total);
    text.begin(&metrics::INSTRUMENT_LAST);
    for instrument in instruments {
        if let Some(at) = instrument.last_reading_at {
            text.sample(&metrics::INSTRUMENT_LAST, &[&instrument.id], seconds(at.as_millis()));
        }
    }
    text.begin(&metrics::VALUE);
    for instrument in instruments {
        for (quantity, last) in &instrument.values {
            if let Some(number) = last.value.as_f64().filter(|number| number.is_finite()) {
                text.sample(&metrics::VALUE, &[&instrument.id, quantity, &last.unit], number);
            }
        }
    }
}

fn sinks(text: &mut Exposition, sinks: &[SinkStatus], now: Timestamp) {
    text.begin(&metrics::SINK_STATE);
    for sink in sinks {
        text.states(&metrics::SINK_STATE, &sink.id, &SINK_STATES, &sink.state);
    }
    let mut count = |metric: &Metric, of: fn(&SinkStatus) -> u64| {
        text.begin(metric);
        for sink in sinks {
            text.sample(metric, &[&sink.id], of(sink));
        }
    };
    count(&metrics::SINK_LAG, |sink| sink.lag_readings);
    count(&metrics::SINK_LAG_AGE, |sink| sink.lag_s);
    count(&metrics::SINK_DELIVERED, |sink| sink.delivered_total);
    count(&metrics::SINK_QUARANTINED, |sink| sink.quarantined_batches);
    text.begin(&metrics::SINK_LAST);
    for sink in sinks {
        if let Some(at) = sink.last_success_at {
            text.sample(&metrics::SINK_LAST, &[&sink.id], seconds(at.as_millis()));
        }
    }
    text.begin(&metrics::CERTIFICATE);
    for sink in sinks {
        if let Some(end) = sink.tls.as_ref().and_then(|tls| tls.not_after) {
            let left = end.as_millis().saturating_sub(now.as_millis());
            text.sample(&metrics::CERTIFICATE, &[&sink.id], seconds(left));
        }
    }
}

/// Milliseconds as seconds, exactly.
fn seconds(millis: i64) -> String {
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    format!("{sign}{}.{:03}", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        assert_eq!([seconds(1_500), seconds(-250), seconds(0)], ["1.500", "-0.250", "0.000"]);
    }
}
