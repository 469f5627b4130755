//! The agent as one more instrument, `tidegate`: how it is, as readings, so that a fleet is looked at where its oxygen is.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{InstrumentId, Quality, QuantityId, Reading, Record, Series, Tags, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::config::AGENT_INSTRUMENT;
use crate::record::Inbox;
use crate::telemetry::health::Health;
use crate::telemetry::process;

/// One thing about the agent: quantity, UCUM unit, tag, value.
type Fact = (&'static str, &'static str, Option<(&'static str, String)>, f64);

/// Takes the agent's own readings every so often, until told to stop. `journal_bytes` and `head` say what the journal
/// holds and how many records there have been.
pub async fn run(
    every: Duration,
    health: Arc<Health>,
    journal: impl Fn() -> (u64, u64) + Send + 'static,
    (inbox, clock): (Inbox, Clock),
    stop: CancellationToken,
) {
    let started_ms = clock.mono_ms();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let stamp = clock.stamp();
        let uptime_s = float(stamp.mono_ms.saturating_sub(started_ms)) / 1_000.0;
        let facts = facts(&health, journal(), uptime_s);
        let readings = facts.into_iter().filter_map(|(quantity, unit, tag, value)| {
            let tags: Tags = tag.into_iter().map(|(name, word)| (name.to_owned(), word)).collect();
            let (instrument, quantity) =
                (InstrumentId::try_new(AGENT_INSTRUMENT).ok()?, QuantityId::try_new(quantity).ok()?);
            let series = Arc::new(Series { instrument, quantity, unit: unit.to_owned(), tags });
            Some(Record::Reading(Reading {
                stamp,
                series,
                value: Value::Number(value),
                quality: Quality::NotEvaluated,
            }))
        });
        // What can not be taken in now is not worth a gap: the next one says how it is.
        if inbox.offer(readings.collect()).is_err() {
            warn!("no room for the agent's own readings");
        }
    }
}

fn facts(health: &Health, (journal_bytes, head): (u64, u64), uptime_s: f64) -> Vec<Fact> {
    let count = |counter: &std::sync::atomic::AtomicU64| float(counter.load(Ordering::Relaxed));
    let mut facts: Vec<Fact> = vec![
        ("uptime", "s", None, uptime_s),
        ("journal_bytes", "By", None, float(journal_bytes)),
        ("records_dropped", "1", None, count(&health.journal.dropped_total)),
    ];
    facts.extend(process::resident_bytes().map(|bytes| ("memory", "By", None, float(bytes))));
    facts.extend(temperature().map(|celsius| ("board_temperature", "Cel", None, celsius)));
    for instrument in health.instruments.get() {
        let tag = || Some(("of", instrument.id.to_string()));
        facts.push(("frames_refused", "1", tag(), count(&instrument.frames_refused_total)));
    }
    for sink in health.sinks.get() {
        facts.push(("lag", "1", Some(("of", sink.id.to_string())), float(sink.lag(head))));
    }
    facts
}

/// The processor's, in thousandths of a degree (kernel documentation, `sysfs-class-thermal`); not every board has one.
fn temperature() -> Option<f64> {
    let text = fs::read_to_string("/sys/class/thermal/thermal_zone0/temp").ok()?;
    text.trim().parse::<f64>().ok().map(|thousandths| thousandths / 1_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
