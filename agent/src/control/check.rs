//! What a technician would look at, one thing a check, in the order of cause and effect: what is wrong further down is often
//! only what is wrong further up.
//!
//! [`of_status`] judges what the agent says of itself. It needs nothing else, so that `doctor`, the web page and `top` show
//! the same verdicts in the same words; what takes a look at the machine itself is `doctor`'s.

use serde::{Deserialize, Serialize};

use super::status::{CERTIFICATE_DAYS_MIN, InstrumentStatus, SinkStatus, Status, TlsStatus};
use model::Clock as Trust;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and a person should look at it.
    Warning,
    /// It does not work.
    Fault,
}

impl Verdict {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Fault => "fault",
        }
    }
}

/// Where on the way from the probe to the lake, in the order in which one depends on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The program and its service.
    Program,
    /// What it was told.
    Configuration,
    /// The board: power, memory.
    Board,
    /// The serial lines.
    Port,
    /// What is on them.
    Instrument,
    /// Time.
    Clock,
    /// The disk.
    Disk,
    /// What is kept.
    Journal,
    /// Names and routes.
    Network,
    /// MQTT.
    Broker,
    /// A lake: S3 or a folder.
    Store,
}

impl Area {
    /// All of them, in order.
    pub const ALL: [Area; 11] = [
        Area::Program,
        Area::Configuration,
        Area::Board,
        Area::Port,
        Area::Instrument,
        Area::Clock,
        Area::Disk,
        Area::Journal,
        Area::Network,
        Area::Broker,
        Area::Store,
    ];

    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Area::Program => "program",
            Area::Configuration => "configuration",
            Area::Board => "board",
            Area::Port => "port",
            Area::Instrument => "instrument",
            Area::Clock => "clock",
            Area::Disk => "disk",
            Area::Journal => "journal",
            Area::Network => "network",
            Area::Broker => "broker",
            Area::Store => "store",
        }
    }
}

/// One thing that was looked at. Public (`doctor --json`): names and meanings stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Where.
    pub area: Area,
    /// What was looked at, for scripts: `port-rights`, `clock-set`.
    pub check: String,
    /// Which one, where there are several: a port, an instrument's, a sink's name.
    pub of: Option<String>,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen: the evidence, in one line.
    pub seen: String,
    /// What to do about it, in one line.
    pub fix: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(area: Area, check: &str, seen: impl Into<String>) -> Self {
        let (check, seen) = (check.to_owned(), seen.into());
        Self { area, check, of: None, verdict: Verdict::Ok, seen, fix: None }
    }

    /// Something to look at.
    pub fn warning(area: Area, check: &str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, fix: Some(fix.into()), ..Self::ok(area, check, seen) }
    }

    /// Something that does not work.
    pub fn fault(area: Area, check: &str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fault, fix: Some(fix.into()), ..Self::ok(area, check, seen) }
    }

    /// Of this one.
    #[must_use]
    pub fn of(mut self, name: impl Into<String>) -> Self {
        self.of = Some(name.into());
        self
    }
}

/// Seconds as a person reads them.
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Of a journal's budget this share may be used before a sink that lags makes it lose the oldest.
const JOURNAL_FULL_PERCENT: u64 = 90;
/// A sink that lacks what is older than this is worth a look, though it says that all is well.
const LAG_MAX_S: u64 = 3_600;

/// The verdicts on what the agent says of itself, in the order of [`Area`].
pub fn of_status(status: &Status) -> Vec<Check> {
    let mut checks = vec![configuration(status)];
    checks.extend(status.instruments.iter().map(|instrument| of_instrument(instrument).of(&instrument.id)));
    checks.push(clock(status));
    checks.extend(journal(status));
    for sink in &status.sinks {
        checks.extend(of_sink(sink).into_iter().map(|check| check.of(&sink.id)));
    }
    checks.sort_by_key(|check| check.area);
    checks
}

fn configuration(status: &Status) -> Check {
    const NAME: &str = "config-revision";
    let config = &status.config;
    let last = config.last.as_ref().filter(|last| last.status == "rejected" || last.status == "rolled-back");
    if let Some(last) = last {
        let why = if last.errors.is_empty() { String::new() } else { format!(": {}", last.errors.join("; ")) };
        let seen = format!("revision {} was {}{why}", last.revision, last.status);
        return Check::warning(Area::Configuration, NAME, seen, "mend the revision and publish it under a new name");
    }
    let seen = config.revision.as_ref().map(|revision| format!("revision {revision} is in force"));
    Check::ok(Area::Configuration, NAME, seen.unwrap_or_else(|| "the files are in force".to_owned()))
}

fn of_instrument(instrument: &InstrumentStatus) -> Check {
    const NAME: &str = "instrument-heard";
    let InstrumentStatus { id, bus, .. } = instrument;
    let error = instrument.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    match instrument.state.as_str() {
        "up" => {
            let seen =
                format!("{} readings, {} frames refused", instrument.readings_total, instrument.frames_refused_total);
            Check::ok(Area::Instrument, NAME, seen)
        }
        "silent" => {
            let seen = format!("the port of {bus} is open and nothing comes{error}");
            let fix =
                format!("power, cable, A and B exchanged, address? `tidegate sniff {bus}`, `tidegate probe {id}`");
            Check::fault(Area::Instrument, NAME, seen, fix)
        }
        "garbled" => {
            let rate = instrument.frames_refused_per_min;
            let seen = format!("bytes come and none of them decodes, {rate} frames refused in the last minute{error}");
            let fix = format!("a wrong baud rate or profile? `tidegate sniff {bus}` shows the bytes");
            Check::fault(Area::Instrument, NAME, seen, fix)
        }
        state => {
            let seen = format!("{state}: the port of {bus} can not be used{error}");
            Check::fault(Area::Instrument, NAME, seen, "is it plugged in? `tidegate ports` lists what is there")
        }
    }
}

fn clock(status: &Status) -> Check {
    const NAME: &str = "clock-trust";
    match status.clock.state {
        Trust::Synced => Check::ok(Area::Clock, NAME, "set by a source that can be trusted"),
        Trust::Corrected => Check::ok(Area::Clock, NAME, "times are put right from the boot's clock"),
        Trust::Untrusted => Check::warning(
            Area::Clock,
            NAME,
            "nobody has set the clock since the boot: readings wait, or go out as untrusted",
            "let systemd-timesyncd or chrony reach a time server: `timedatectl`",
        ),
    }
}

fn journal(status: &Status) -> Vec<Check> {
    let journal = &status.journal;
    let written = match &journal.error {
        Some(error) => Check::fault(
            Area::Journal,
            "journal-written",
            format!("{}: readings are kept in memory only: {error}", journal.state),
            "free or mend the disk: the agent goes on by itself when it can write",
        ),
        None => Check::ok(
            Area::Journal,
            "journal-written",
            format!(
                "records {} to {}, {} at risk if power went now",
                journal.tail,
                journal.head.saturating_sub(1),
                journal.at_risk_readings
            ),
        ),
    };
    let lost = match journal.dropped_total {
        0 => Check::ok(Area::Journal, "journal-losses", "nothing lost since the start"),
        lost => Check::fault(
            Area::Journal,
            "journal-losses",
            format!("{lost} records lost or thinned since the start, gaps say which"),
            "raise [journal] max_bytes, or mend the sink that lags",
        ),
    };
    let percent = journal.bytes.saturating_mul(100) / journal.bytes_max.max(1);
    let seen = format!("{percent} % of max_bytes used");
    // What is delivered is the first to go when space is short: a full journal is a fault only with a sink that lags.
    let is_lagging = status.sinks.iter().any(|sink| sink.lag_s > LAG_MAX_S);
    let room = if percent >= JOURNAL_FULL_PERCENT && is_lagging {
        let fix = "mend the sink that lags, or raise [journal] max_bytes, before the oldest readings go";
        Check::warning(Area::Journal, "journal-room", seen, fix)
    } else {
        Check::ok(Area::Journal, "journal-room", seen)
    };
    vec![written, lost, room]
}

fn of_sink(sink: &SinkStatus) -> Vec<Check> {
    let area = if sink.r#type == "mqtt" { Area::Broker } else { Area::Store };
    let mut checks = vec![delivery(sink, area)];
    if sink.quarantined_batches > 0 {
        let seen = format!("{} batches set aside: the far side refused them for good", sink.quarantined_batches);
        let fix = format!("`tidegate sinks quarantine ls {}`: what was refused, and why", sink.id);
        checks.push(Check::fault(area, "sink-quarantine", seen, fix));
    }
    checks.extend(sink.tls.as_ref().and_then(|tls| certificate(tls, area)));
    if let Some(given) = &sink.credentials {
        checks.push(match &given.problem {
            Some(problem) => Check::fault(
                area,
                "sink-credentials",
                format!("no fresh credentials: {problem}"),
                "look at the role alias, its policy and the device's certificate",
            ),
            None => Check::ok(area, "sink-credentials", "valid"),
        });
    }
    checks
}

fn delivery(sink: &SinkStatus, area: Area) -> Check {
    const NAME: &str = "sink-delivers";
    let SinkStatus { delivered_total, lag_readings, .. } = sink;
    let age = if *lag_readings > 0 { format!(" ({})", seconds(sink.lag_s)) } else { String::new() };
    let lag = format!("{delivered_total} delivered, {lag_readings} behind{age}");
    let error = sink.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    match sink.state.as_str() {
        "ok" if sink.lag_s > LAG_MAX_S => {
            Check::warning(area, NAME, lag, "it catches up, or its max_rate or budget is too small: look again later")
        }
        "ok" => Check::ok(area, NAME, lag),
        "holding" => Check::warning(
            area,
            NAME,
            "readings wait for the clock to be set",
            "set the clock, or lower [clock] hold_untrusted",
        ),
        "spent" => Check::warning(
            area,
            NAME,
            "the month's budget is spent, alarms alone go",
            "raise the sink's budget, or wait for the month's end",
        ),
        state => Check::fault(
            area,
            NAME,
            format!("{state}, {lag}{error}"),
            "`tidegate doctor` looks at the way there, step by step",
        ),
    }
}

fn certificate(tls: &TlsStatus, area: Area) -> Option<Check> {
    const NAME: &str = "sink-certificate";
    if let Some(problem) = &tls.problem {
        let fix = "mend the files that [sink.NAME.tls] names, or run `tidegate provision`";
        return Some(Check::fault(area, NAME, format!("certificate or key can not be used: {problem}"), fix));
    }
    let (end, days) = (tls.not_after?, tls.days_left?);
    Some(match days {
        ..0 => Check::fault(area, NAME, format!("it expired on {}", end.day()), "`tidegate provision` fetches another"),
        0..CERTIFICATE_DAYS_MIN => {
            let seen = format!("it expires on {}, in {days} days", end.day());
            Check::warning(area, NAME, seen, "`tidegate provision` fetches another")
        }
        _ => Check::ok(area, NAME, format!("valid until {}, {days} days from now", end.day())),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A status in which all is well, with one change.
    fn with(pointer: &str, value: Value) -> Vec<Check> {
        let mut status = json!({
            "version": "0.1.0", "device": "gw-1", "site": "farm", "epoch": "e", "uptime_s": 60,
            "config": {"revision": "r1", "hash": "h", "last": {"revision": "r1", "status": "applied", "errors": []}},
            "clock": {"state": "synced"},
            "journal": {"state": "ok", "error": null, "head": 9, "tail": 1, "bytes": 95, "bytes_max": 100,
                "at_risk_readings": 0, "dropped_total": 0},
            "instruments": [{"id": "do", "bus": "pond", "state": "up", "last_reading_at": null, "readings_total": 8,
                "frames_refused_total": 0, "polls_failed_total": 0, "polls_skipped_total": 0, "readings_overrun_total": 0,
                "last_error": null, "values": {}}],
            "sinks": [{"id": "lake", "type": "s3", "state": "ok", "lag_readings": 0, "lag_s": 0, "delivered_total": 8,
                "quarantined_batches": 0, "last_success_at": null, "last_error": null,
                "tls": {"not_before": null, "not_after": "2027-01-01T00:00:00Z", "days_left": 60, "broker_not_after": null,
                    "broker_days_left": null, "version": null, "alpn": null, "is_resumed": false, "problem": null},
                "credentials": {"not_after": null, "problem": null}}],
        });
        if !pointer.is_empty() {
            *status.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        }
        of_status(&serde_json::from_value(status).expect("a status"))
    }

    #[test]
    fn each_thing_that_can_be_wrong_in_a_status_is_one_check_with_a_fix() {
        let well = with("", Value::Null);
        assert!(well.iter().all(|check| check.verdict == Verdict::Ok && check.fix.is_none()), "{well:#?}");
        assert!(well.is_sorted_by_key(|check| check.area));
        for (pointer, value, name, verdict) in [
            ("/config/last/status", json!("rolled-back"), "config-revision", Verdict::Warning),
            ("/instruments/0/state", json!("silent"), "instrument-heard", Verdict::Fault),
            ("/instruments/0/state", json!("garbled"), "instrument-heard", Verdict::Fault),
            ("/instruments/0/state", json!("down"), "instrument-heard", Verdict::Fault),
            ("/clock/state", json!("untrusted"), "clock-trust", Verdict::Warning),
            ("/journal/error", json!("No space left on device"), "journal-written", Verdict::Fault),
            ("/journal/dropped_total", json!(3), "journal-losses", Verdict::Fault),
            ("/sinks/0/state", json!("retrying"), "sink-delivers", Verdict::Fault),
            ("/sinks/0/state", json!("failed"), "sink-delivers", Verdict::Fault),
            ("/sinks/0/state", json!("holding"), "sink-delivers", Verdict::Warning),
            ("/sinks/0/state", json!("spent"), "sink-delivers", Verdict::Warning),
            ("/sinks/0/quarantined_batches", json!(1), "sink-quarantine", Verdict::Fault),
            ("/sinks/0/tls/days_left", json!(-1), "sink-certificate", Verdict::Fault),
            ("/sinks/0/tls/days_left", json!(3), "sink-certificate", Verdict::Warning),
            ("/sinks/0/tls/problem", json!("no key"), "sink-certificate", Verdict::Fault),
            ("/sinks/0/credentials/problem", json!("403"), "sink-credentials", Verdict::Fault),
        ] {
            let wrong: Vec<Check> =
                with(pointer, value).into_iter().filter(|check| check.verdict != Verdict::Ok).collect();
            assert_eq!(wrong.len(), 1, "{pointer}: {wrong:#?}");
            assert_eq!((wrong[0].check.as_str(), wrong[0].verdict), (name, verdict));
            assert!(wrong[0].fix.is_some(), "{name}");
        }
        let lagging = with("/sinks/0/lag_s", json!(7_200));
        let wrong: Vec<&str> = lagging
            .iter()
            .filter(|check| check.verdict == Verdict::Warning)
            .map(|check| check.check.as_str())
            .collect();
        assert_eq!(wrong, ["journal-room", "sink-delivers"], "a full journal matters where a sink lags");
    }
}
