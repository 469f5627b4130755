//! `init`, `steps` and `events` of `[instrument.*.protocol]`: the conversation with an instrument that is talked to.

use std::time::Duration;

use instruments::{AnswerSpec, Mechanics, PollSpec, StepSpec};

use super::section::{Misfit, Section};
use super::value::{choice, duration, integer, millis, text, texts};

/// How long a step waits where nothing is written: the slowest Atlas circuit takes 900 ms.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// The longest that an instrument may take.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(60);

const RETRIES_MAX: i64 = 10;

/// What an event means.
#[derive(Clone, Copy)]
enum Meaning {
    Restart,
}

const MEANINGS: &[(&str, Meaning)] = &[("restart-init", Meaning::Restart)];

/// The mechanics of a protocol in frames: `is_asked` where its type is `poll`.
pub(super) fn read(section: &Section<'_>, is_asked: bool) -> Option<Mechanics> {
    let init = read_steps(section, "init");
    let restarts = read_events(section);
    let mut steps = Vec::new();
    if is_asked {
        steps = read_steps(section, "steps");
        if steps.is_empty() {
            let misfit = Misfit::new(format!("`steps` is missing in [{}]", section.path()));
            section
                .refuse("steps", misfit.help("steps = [ { send = \"R\\r\", until = '^\\*OK$', timeout = \"1s\" } ]"));
        }
    } else if section.has("steps") {
        let misfit = Misfit::new("an instrument that talks by itself has no steps");
        section.refuse("steps", misfit.help("type = \"poll\", or say it once in `init`"));
        section.get("steps", |_| Ok(()));
    }
    if !restarts.is_empty() && init.is_empty() {
        section.refuse("events", Misfit::new("there is no `init` to say again after a restart"));
    }
    let steps: Option<Vec<StepSpec>> = steps.into_iter().collect();
    let init: Option<Vec<StepSpec>> = init.into_iter().collect();
    let (steps, init) = (steps?, init?);
    if steps.is_empty() && init.is_empty() {
        return (!is_asked).then_some(Mechanics::Stream);
    }
    Some(Mechanics::Poll(PollSpec { init, steps, restarts }))
}

fn read_steps(section: &Section<'_>, key: &str) -> Vec<Option<StepSpec>> {
    section.list(key).iter().map(read_step).collect()
}

fn read_step(section: &Section<'_>) -> Option<StepSpec> {
    let send = section.require("send", text);
    let (expect, until) = (section.get("expect", text), section.get("until", text));
    let fail = section.get("fail", text);
    let timeout = section.get("timeout", duration(Duration::from_millis(1)..=TIMEOUT_MAX)).unwrap_or(TIMEOUT_DEFAULT);
    let retries = section.get("retries", integer(0..=RETRIES_MAX)).unwrap_or(1);
    let pause = section.get("pause", duration(Duration::ZERO..=TIMEOUT_MAX)).unwrap_or_default();
    section.finish();
    let answer = match (expect, until) {
        (None, None) => AnswerSpec::Any,
        (Some(pattern), None) => AnswerSpec::Expect(pattern),
        (None, Some(pattern)) => AnswerSpec::Until(pattern),
        (Some(_), Some(_)) => {
            let misfit = Misfit::new("a step has `expect` or `until`, not both");
            section.refuse("until", misfit.help("`expect` is a line of data, `until` ends them and is none"));
            return None;
        }
    };
    let (timeout_ms, pause_ms) = (millis(timeout), millis(pause));
    Some(StepSpec { send: send?.into_bytes(), answer, fail, timeout_ms, retries, pause_ms })
}

fn read_events(section: &Section<'_>) -> Vec<String> {
    let Some(events) = section.section("events") else { return Vec::new() };
    let patterns = section.get("events", texts).unwrap_or_default().into_keys();
    let meant = patterns.filter_map(|pattern| {
        let Meaning::Restart = events.get(&pattern, choice(MEANINGS))?;
        Some(pattern)
    });
    meant.collect()
}
