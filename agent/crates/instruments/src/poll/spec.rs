//! What the configuration says of a conversation, and the patterns made of it.

use regex::bytes::{Regex, RegexSet};

use crate::limits::{RETRIES_MAX, SEND_BYTES_MAX, STEPS_MAX, TIMEOUT_MS_MAX};
use crate::pattern::{compile, compile_set};
use crate::spec::{Fault, Place, SpecError};

/// A conversation (`type = "poll"`, and `type = "stream"` with `init`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollSpec {
    /// Said when the port was opened and when the instrument has restarted.
    pub init: Vec<StepSpec>,
    /// Said at each turn. None: the instrument talks by itself, and all that it says is data.
    pub steps: Vec<StepSpec>,
    /// Patterns of frames by which the instrument says that it has restarted (`events = { '...' = "restart-init" }`).
    pub restarts: Vec<String>,
}

/// One thing to say, and what is said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSpec {
    /// What is sent; may be nothing where only an answer is waited for.
    pub send: Vec<u8>,
    /// What must come then.
    pub answer: AnswerSpec,
    /// Pattern of the frame by which the instrument refuses.
    pub fail: Option<String>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// How often it is said again when nothing comes.
    pub retries: u32,
    /// What passes before the next step, in milliseconds.
    pub pause_ms: u64,
}

/// What a step waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AnswerSpec {
    /// In `steps` one frame of data; in `init` nothing.
    #[default]
    Any,
    /// One frame that matches; in `steps` it is data.
    Expect(String),
    /// Frames of data up to one that matches and is none.
    Until(String),
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Exchange {
    pub send: Vec<u8>,
    pub answer: Answer,
    pub fail: Option<Regex>,
    pub timeout_ms: u64,
    pub retries: u32,
    pub pause_ms: u64,
}

#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Any,
    Expect(Regex),
    Until(Regex),
}

/// Which list a step stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Init,
    Steps,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            List::Init => "init",
            List::Steps => "steps",
        }
    }
}

pub(super) fn exchanges(specs: &[StepSpec], list: List) -> Result<Vec<Exchange>, SpecError> {
    let place = Place::Key(list.key());
    let in_range = |max: usize, found: usize| {
        if found <= max { Ok(()) } else { Err(place.fault(Fault::OutOfRange { min: 0, max, found })) }
    };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let compile = |pattern: &str| compile(pattern).map_err(|fault| place.fault(fault));
    in_range(STEPS_MAX, specs.len())?;
    let exchange = |spec: &StepSpec| {
        in_range(SEND_BYTES_MAX, spec.send.len())?;
        in_range(size(TIMEOUT_MS_MAX), size(spec.timeout_ms))?;
        in_range(size(TIMEOUT_MS_MAX), size(spec.pause_ms))?;
        in_range(size(RETRIES_MAX.into()), size(spec.retries.into()))?;
        let answer = match (&spec.answer, list) {
            (AnswerSpec::Any, List::Init) => Answer::Nothing,
            (AnswerSpec::Any, List::Steps) => Answer::Any,
            (AnswerSpec::Expect(pattern), _) => Answer::Expect(compile(pattern)?),
            (AnswerSpec::Until(pattern), _) => Answer::Until(compile(pattern)?),
        };
        Ok(Exchange {
            send: spec.send.clone(),
            answer,
            fail: spec.fail.as_deref().map(compile).transpose()?,
            timeout_ms: spec.timeout_ms,
            retries: spec.retries,
            pause_ms: spec.pause_ms,
        })
    };
    specs.iter().map(exchange).collect()
}

pub(super) fn restarts(patterns: &[String]) -> Result<RegexSet, SpecError> {
    compile_set(patterns, "events", |_| Place::Key("events"))
}
