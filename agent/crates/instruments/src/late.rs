//! Late answers: what was asked, was given up, and may still be answered.
//!
//! Neither Modbus RTU nor SDI-12 nor a line of text says which question it answers. A client that gives up on one
//! question and asks another takes the late answer to the first for the answer to the second, and from then on is one
//! off for ever: a temperature is filed as oxygen, with a good checksum. The rule here: while an answer is owed,
//! nothing is asked whose answer could be mistaken for it. The same question may be asked again: whichever answer comes
//! first, it is an answer to that question.

/// How long an answer that is owed is waited for before it is believed lost, in timeouts of the instrument.
const LATE_TIMEOUTS: u64 = 10;

/// The same, at least and at most, in milliseconds: a gateway that queues, and a person who waits.
const LATE_MS: (u64, u64) = (2_000, 30_000);

/// Most questions whose answers are owed at once; at the limit nothing new is asked before one is past.
const OWED_MAX: usize = 32;

/// The answers that are owed, by question.
#[derive(Debug, Clone)]
pub(crate) struct Owed<Q> {
    late_ms: u64,
    debts: Vec<Debt<Q>>,
}

#[derive(Debug, Clone)]
struct Debt<Q> {
    question: Q,
    count: u32,
    until_mono_ms: u64,
}

impl<Q: PartialEq + Copy> Owed<Q> {
    pub fn new(timeout_ms: u64) -> Self {
        let late_ms = timeout_ms.saturating_mul(LATE_TIMEOUTS).clamp(LATE_MS.0, LATE_MS.1);
        Self { late_ms, debts: Vec::new() }
    }

    /// This question went out.
    pub fn asked(&mut self, question: Q, now_mono_ms: u64) {
        let until_mono_ms = now_mono_ms.saturating_add(self.late_ms);
        self.debts.retain(|debt| debt.until_mono_ms > now_mono_ms);
        match self.debts.iter_mut().find(|debt| debt.question == question) {
            Some(debt) => {
                debt.count = debt.count.saturating_add(1);
                debt.until_mono_ms = until_mono_ms;
            }
            None => self.debts.push(Debt { question, count: 1, until_mono_ms }),
        }
    }

    /// An answer to the question came.
    pub fn answered(&mut self, question: Q) {
        if let Some(debt) = self.debts.iter_mut().find(|debt| debt.question == question) {
            debt.count -= 1;
        }
        self.debts.retain(|debt| debt.count > 0);
    }

    /// The questions whose answers may still come.
    pub fn questions(&self) -> impl Iterator<Item = Q> {
        self.debts.iter().map(|debt| debt.question)
    }

    /// How many answers may still come.
    pub fn count(&self) -> u32 {
        self.debts.iter().map(|debt| debt.count).sum()
    }

    /// Until when `question` must not be asked; `may_mistake` tells whether its answer looks like that of another.
    pub fn forbids(&self, question: Q, now_mono_ms: u64, may_mistake: impl Fn(Q) -> bool) -> Option<u64> {
        let open = || self.debts.iter().filter(|debt| debt.until_mono_ms > now_mono_ms);
        let is_full = open().count() >= OWED_MAX;
        let others = open().filter(|debt| debt.question != question && (is_full || may_mistake(debt.question)));
        others.map(|debt| debt.until_mono_ms).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_can_be_mistaken_is_asked_while_an_answer_is_owed() {
        let mut owed = Owed::new(100);
        owed.asked("oxygen", 0);
        owed.asked("oxygen", 500);
        assert_eq!(owed.forbids("oxygen", 600, |_| true), None, "the same may be asked again");
        assert_eq!(owed.forbids("salinity", 600, |_| true), Some(2_500));
        assert_eq!(owed.forbids("serial number", 600, |_| false), None, "it looks different");
        owed.answered("oxygen");
        assert_eq!(owed.forbids("salinity", 600, |_| true), Some(2_500), "there were two questions");
        owed.answered("oxygen");
        assert_eq!(owed.forbids("salinity", 600, |_| true), None);
        owed.asked("oxygen", 700);
        assert_eq!(owed.forbids("salinity", 2_700, |_| true), None, "lost");
    }
}
