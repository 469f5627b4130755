//! Time: whether it can be right, who keeps it, and what a server far away has.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock as Trust, Fact, SinkId};
use tokio::time::timeout;

use super::{Looked, Patient, STEP_LIMIT, Waiting, read};
use crate::clock::{Clock, is_plausible};
use crate::config::proxy::{ProxyConfig, ProxyKind};
use crate::config::tls::TlsConfig;
use crate::config::{Config, SinkKind};
use crate::control::check::{Area, Check};
use crate::link::fetch::{self, Keyring};
use crate::sinks::s3::http_date;
use crate::telemetry::health::SinkHealth;

const AREA: Area = Area::Clock;
/// What keeps the time, as the kernel calls it (15 characters).
const KEEPERS: [&str; 5] = ["systemd-timesyn", "chronyd", "ntpd", "ntpsec", "openntpd"];
/// chronyd is asked at one look and heard at the next.
const CHRONY_TAKES: Duration = Duration::from_millis(200);
/// HTTP has whole seconds, and a slow line adds some.
const SKEW_S_WARNING: u64 = 10;
/// Stores refuse signatures that are further off (`RequestTimeTooSkewed`), and certificates go with the days.
const SKEW_S_FAULT: u64 = 900;
const SET_IT: &str = "let systemd-timesyncd or chrony reach a time server: `timedatectl`";

/// What the machine itself says of its time.
pub fn here(patient: &Patient) -> Looked {
    let now = patient.clock.now();
    let mut checks = vec![if is_plausible(now) {
        Check::ok(AREA, "clock-plausible", format!("it is {now}"))
    } else {
        Check::fault(AREA, "clock-plausible", format!("it can not be {now}"), SET_IT)
    }];
    // The agent knows more, where there is one: it has seen the clock being set.
    if patient.agent.status().is_none() {
        checks.push(trust(&patient.clock));
    }
    checks.push(match keeper(patient) {
        Some(name) => Check::ok(AREA, "clock-service", format!("{name} runs")),
        None => Check::warning(
            AREA,
            "clock-service",
            "nothing that sets the clock runs here",
            "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true",
        ),
    });
    checks.push(battery(patient));
    checks
}

fn trust(clock: &Clock) -> Check {
    const NAME: &str = "clock-trust";
    for attempt in 0..2 {
        if let Some(event) = clock.look()
            && clock.trust() == Trust::Synced
        {
            let by = match event.facts.get("said_by") {
                Some(Fact::Text(by)) => by.as_str(),
                _ => "",
            };
            return Check::ok(AREA, NAME, format!("set by a source that can be trusted ({by})"));
        }
        if attempt == 0 {
            std::thread::sleep(CHRONY_TAKES);
        }
    }
    Check::warning(AREA, NAME, "nobody says that the clock has been set since the boot", SET_IT)
}

fn keeper(patient: &Patient) -> Option<String> {
    let processes = std::fs::read_dir(patient.at("/proc")).ok()?;
    let names = processes.filter_map(|process| read(&process.ok()?.path().join("comm")));
    names.into_iter().find(|name| KEEPERS.contains(&name.as_str()))
}

/// A clock that a power cut does not stop.
fn battery(patient: &Patient) -> Check {
    const NAME: &str = "clock-battery";
    let rtc = "/sys/class/rtc/rtc0";
    let Some(year) = patient.read(&format!("{rtc}/date")).and_then(|date| date.split('-').next()?.parse::<i32>().ok())
    else {
        return Check::ok(
            AREA,
            NAME,
            "no clock with a battery: after a power cut the time comes from the network alone",
        );
    };
    let name = patient.read(&format!("{rtc}/name")).unwrap_or_default();
    if year < 2026 {
        let seen = format!("the clock with the battery ({name}) says {year}");
        return Check::warning(AREA, NAME, seen, "a new battery, then `sudo hwclock --systohc`");
    }
    Check::ok(AREA, NAME, format!("{name} keeps it over a power cut"))
}

/// What servers say that it is.
pub fn skews(patient: &Patient) -> Vec<Waiting<'_>> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let mut asked: Vec<String> = Vec::new();
    let mut waiting: Vec<Waiting<'_>> = Vec::new();
    for (url, proxy) in servers(config) {
        if !asked.contains(&url) {
            asked.push(url.clone());
            waiting
                .push(Box::pin(async move { skew(&patient.clock, &url, proxy.as_ref()).await.into_iter().collect() }));
        }
    }
    waiting
}

/// Of the stores: a broker says nothing of its clock.
fn servers(config: &Config) -> Vec<(String, Option<ProxyConfig>)> {
    let of = |kind: &SinkKind| match kind {
        SinkKind::S3(s3) => {
            let url = s3.endpoint.clone().unwrap_or_else(|| super::network::aws(&s3.region));
            // The SDK knows this kind alone, and so does who asks here.
            let proxy = s3.proxy.clone().filter(|proxy| proxy.kind == ProxyKind::Http);
            Some((url, proxy))
        }
        SinkKind::Mqtt(_) | SinkKind::File(_) => None,
    };
    config.sinks.iter().filter_map(|sink| of(&sink.kind)).collect()
}

/// Nothing where it does not answer: that is the network's.
async fn skew(clock: &Clock, url: &str, proxy: Option<&ProxyConfig>) -> Option<Check> {
    const NAME: &str = "clock-skew";
    let nobodys = Arc::new(SinkHealth::new(SinkId::try_new("doctor").expect("a name"), "s3"));
    let mut keyring = Keyring::new(TlsConfig::default(), clock.clone(), nobodys);
    let asked = fetch::open(&mut keyring, url, proxy, ("the server", "endpoint"), 0);
    let coming = timeout(STEP_LIMIT, asked).await.ok()?.ok()?;
    let theirs = coming.date.as_deref().and_then(http_date)?;
    let ahead_ms = clock.now().as_millis().saturating_sub(theirs.as_millis());
    let seconds = ahead_ms.unsigned_abs() / 1_000;
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let seen = format!("{seconds} s {way} {url}");
    Some(match seconds {
        SKEW_S_FAULT.. => Check::fault(AREA, NAME, format!("{seen}: signatures and certificates fail"), SET_IT),
        SKEW_S_WARNING.. => Check::warning(AREA, NAME, seen, SET_IT),
        _ => Check::ok(AREA, NAME, seen),
    })
}
