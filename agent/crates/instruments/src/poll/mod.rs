//! The mechanics of an instrument that is talked to in lines: `init` once, `steps` at each turn.
//!
//! 1. `init` runs when the port was opened and after each frame that matches a `restart-init` event; until it has
//!    run to its end no step does, and each turn tries it again.
//! 2. In a turn, a frame ends its step if it is the one that was waited for; any other is data. So a line that the
//!    instrument streams between command and answer (Atlas EZO, `C,1`) is a reading and disturbs nothing.
//! 3. Outside a turn frames are looked at for restarts only: on a shared line they are somebody else's, or too late.
//!    An instrument without `steps` talks by itself, and all that it says is data.
//! 4. A question that was given up may still be answered: no other is asked before that is past ([`crate::late`]).

mod spec;

use model::Stamp;
use regex::bytes::RegexSet;

pub use spec::{AnswerSpec, PollSpec, StepSpec};

use crate::frame::{Framed, Framer};
use crate::late::Owed;
use crate::note::{End, Ignored};
use crate::output::Output;
use crate::protocol::{Protocol, Step, Turn};
use crate::refusal::Refusal;
use crate::spec::SpecError;
use crate::stream::Reader;
use spec::{Answer, Exchange, List};

/// An instrument that is talked to.
#[derive(Debug)]
pub struct Poll {
    framer: Framer,
    talk: Talk,
}

/// All but the framer, whose frames are read while it is borrowed.
#[derive(Debug)]
struct Talk {
    reader: Reader,
    restarts: RegexSet,
    init: Vec<Exchange>,
    steps: Vec<Exchange>,
    must_init: bool,
    state: State,
    owed: Owed<Question>,
}

/// A step: its list and its place in it.
type Question = (List, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No turn.
    Listening,
    /// A question is to go out, not before a time.
    Due { question: Question, tries: u32, not_before_mono_ms: u64 },
    /// It is on its way out.
    Sending { question: Question, tries: u32 },
    /// It is out.
    Asked { question: Question, tries: u32, until_mono_ms: u64 },
    /// It was answered.
    Answered { question: Question },
    /// The turn is over, and this came of it.
    Over(Turn),
}

impl Poll {
    pub(crate) fn try_new(spec: &PollSpec, framer: Framer, reader: Reader) -> Result<Self, SpecError> {
        let (init, steps) = (spec::exchanges(&spec.init, List::Init)?, spec::exchanges(&spec.steps, List::Steps)?);
        let longest = init.iter().chain(&steps).map(|exchange| exchange.timeout_ms).max().unwrap_or(0);
        let talk = Talk {
            reader,
            restarts: spec::restarts(&spec.restarts)?,
            must_init: !init.is_empty(),
            init,
            steps,
            state: State::Listening,
            owed: Owed::new(longest),
        };
        Ok(Self { framer, talk })
    }
}

impl Protocol for Poll {
    fn begin(&mut self, now_mono_ms: u64) {
        self.talk.begin(now_mono_ms);
    }

    fn wants_turn(&self) -> bool {
        self.talk.must_init && self.talk.state == State::Listening
    }

    fn next(&mut self, now_mono_ms: u64) -> Step {
        self.talk.next(now_mono_ms)
    }

    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output) {
        let mut rest = bytes;
        loop {
            let (used, framed) = self.framer.push(rest, at);
            rest = &rest[used..];
            let Some(framed) = framed else { break };
            let is_whole = framed.fault.is_none() && self.talk.reader.check.verify(framed.bytes).is_ok();
            // A guess at a frame that its check denies was none.
            if is_whole || !framed.is_guess {
                self.talk.take(framed, out);
            }
            self.framer.settle(is_whole);
        }
        out.counts.bytes_skipped += self.framer.take_skipped();
    }

    fn resync(&mut self) {
        self.framer.resync(self.talk.reader.check.torn_frames());
    }
}

impl Talk {
    fn exchange(&self, (list, index): Question) -> Option<&Exchange> {
        match list {
            List::Init => self.init.get(index),
            List::Steps => self.steps.get(index),
        }
    }

    fn begin(&mut self, now_mono_ms: u64) {
        let list = if self.must_init { List::Init } else { List::Steps };
        self.ask((list, 0), now_mono_ms);
    }

    /// This question is next, or the one after the list's last.
    fn ask(&mut self, question: Question, not_before_mono_ms: u64) {
        self.state = match self.exchange(question) {
            Some(_) => State::Due { question, tries: 0, not_before_mono_ms },
            None if question.0 == List::Init && !self.steps.is_empty() => {
                self.must_init = false;
                State::Due { question: (List::Steps, 0), tries: 0, not_before_mono_ms }
            }
            None => {
                self.must_init &= question.0 != List::Init;
                State::Over(Turn::Answered)
            }
        };
    }

    fn next(&mut self, now_mono_ms: u64) -> Step {
        if let State::Answered { question } = self.state {
            let pause_ms = self.exchange(question).map_or(0, |exchange| exchange.pause_ms);
            self.ask((question.0, question.1 + 1), now_mono_ms + pause_ms);
        }
        match self.state {
            State::Listening | State::Answered { .. } => Step::Idle { until_mono_ms: None },
            State::Due { question, tries, not_before_mono_ms } => {
                let forbidden = self.owed.forbids(question, now_mono_ms, |_| true);
                let until_mono_ms = not_before_mono_ms.max(forbidden.unwrap_or(0));
                if now_mono_ms < until_mono_ms {
                    return Step::Pause { until_mono_ms };
                }
                self.state = State::Sending { question, tries };
                let send = self.exchange(question).map(|exchange| exchange.send.clone()).unwrap_or_default();
                if send.is_empty() { self.next(now_mono_ms) } else { Step::Send(send) }
            }
            State::Sending { question, tries } => self.sent(question, tries, now_mono_ms),
            State::Asked { question, tries, until_mono_ms } if now_mono_ms >= until_mono_ms => {
                let retries = self.exchange(question).map_or(0, |exchange| exchange.retries);
                self.state = if tries < retries {
                    State::Due { question, tries: tries + 1, not_before_mono_ms: now_mono_ms }
                } else {
                    State::Over(Turn::Silent)
                };
                self.next(now_mono_ms)
            }
            State::Asked { until_mono_ms, .. } => Step::Wait { until_mono_ms },
            State::Over(turn) => {
                self.state = State::Listening;
                Step::Done(turn)
            }
        }
    }

    fn sent(&mut self, question: Question, tries: u32, now_mono_ms: u64) -> Step {
        let Some(exchange) = self.exchange(question) else { return Step::Idle { until_mono_ms: None } };
        if matches!(exchange.answer, Answer::Nothing) {
            self.state = State::Answered { question };
            return self.next(now_mono_ms);
        }
        let until_mono_ms = now_mono_ms.saturating_add(exchange.timeout_ms);
        self.owed.asked(question, now_mono_ms);
        self.state = State::Asked { question, tries, until_mono_ms };
        Step::Wait { until_mono_ms }
    }

    fn take(&mut self, framed: Framed<'_>, out: &mut Output) {
        if self.restarts.is_match(framed.bytes) {
            self.reader.pass_over(&framed, Ignored::Restart, out);
            self.must_init = !self.init.is_empty();
            if self.state != State::Listening {
                self.state = State::Over(Turn::Answered);
            }
            return;
        }
        match self.state {
            State::Asked { question, .. } | State::Sending { question, .. } => self.answer(question, framed, out),
            _ if self.steps.is_empty() => {
                self.reader.take(framed, out);
            }
            _ => self.reader.pass_over(&framed, Ignored::NotAsked, out),
        }
    }

    /// A frame in answer to `question`, or one that came between.
    fn answer(&mut self, question: Question, framed: Framed<'_>, out: &mut Output) {
        let Some(exchange) = self.exchange(question) else { return };
        if exchange.fail.as_ref().is_some_and(|fail| fail.is_match(framed.bytes)) {
            out.counts.frames += 1;
            self.reader.tell(&framed, End::Refused(Refusal::Denied), out);
            out.refuse(framed.at, Refusal::Denied, framed.bytes, framed.len);
            self.owed.answered(question);
            self.state = State::Over(Turn::Refused);
            return;
        }
        let takes_any = matches!(exchange.answer, Answer::Any);
        let (is_answer, is_data) = match &exchange.answer {
            Answer::Nothing => (false, false),
            Answer::Any => (true, true),
            Answer::Expect(pattern) => (pattern.is_match(framed.bytes), true),
            Answer::Until(pattern) => {
                let is_end = pattern.is_match(framed.bytes);
                (is_end, !is_end)
            }
        };
        // What is said while the instrument is set up is no measurement, unless it talks by itself.
        let is_data = is_data && (question.0 == List::Steps || (self.steps.is_empty() && !is_answer));
        let mut says_nothing = false;
        if is_data {
            let ignored = out.counts.ignored;
            self.reader.take(framed, out);
            says_nothing = out.counts.ignored > ignored;
        } else {
            self.reader.pass_over(&framed, if is_answer { Ignored::Answer } else { Ignored::SetUp }, out);
        }
        let waits_on = says_nothing && takes_any;
        if is_answer && !waits_on {
            self.owed.answered(question);
            self.state = State::Answered { question };
        }
    }
}
