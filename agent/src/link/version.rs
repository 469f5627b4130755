//! Which version of MQTT the next connection speaks: 5 first, 3.1.1 where the broker wants it.
//!
//! A broker that does not know MQTT 5 may say so (CONNACK 0x84, or 0x01 in the words of 3.1.1), and its word holds for
//! the run. Others close the connection over a CONNECT that they can not read, or wait in silence for the rest of it,
//! and so does a line that dies at the wrong moment. That alone is a guess: 3.1.1 is tried next, and 5 again after that,
//! until 3.1.1 alone has worked so often that the line can not be to blame. A broker that took 5 in this run is not
//! doubted without its word.

use crate::config::MqttVersion;

/// So often in a row 5 must have got no answer and 3.1.1 its connection, before 5 is not tried any more. A line cuts
/// where it likes; three times just there, and never in the attempt that follows, it does not.
const GUESSES_MAX: u32 = 3;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 5.
    V5,
    /// 3.1.1.
    V4,
}

impl Version {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V5 => "5",
            Version::V4 => "3.1.1",
        }
    }
}

/// What an attempt to connect tells of the version it spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The broker took the connection.
    Taken,
    /// It does not speak that version, and said so.
    Refused,
    /// It was reached, and did not answer.
    None,
    /// Nothing: it was not reached, or had other reasons to refuse.
    OffTopic,
}

/// The choice, for all connections of a run.
#[derive(Debug)]
pub struct Versions {
    configured: MqttVersion,
    next: Version,
    /// Whether it took 5 once.
    has_taken_5: bool,
    /// How often in a row it took 3.1.1 after it had not answered 5.
    guesses: u32,
}

impl Versions {
    /// Nothing is known yet.
    pub fn new(configured: MqttVersion) -> Self {
        let next = if configured == MqttVersion::V4 { Version::V4 } else { Version::V5 };
        Self { configured, next, has_taken_5: false, guesses: 0 }
    }

    /// What the next connection speaks.
    pub fn next(&self) -> Version {
        self.next
    }

    /// Learns from a connection that has ended or did not come to be.
    pub fn learn(&mut self, answer: Answer) {
        if self.configured != MqttVersion::Auto {
            return;
        }
        let is_known = self.guesses >= GUESSES_MAX;
        self.next = match (self.next, answer) {
            (Version::V5, Answer::Taken) => {
                (self.has_taken_5, self.guesses) = (true, 0);
                Version::V5
            }
            (Version::V5, Answer::Refused) => {
                (self.has_taken_5, self.guesses) = (false, GUESSES_MAX);
                Version::V4
            }
            (Version::V5, Answer::None) if !self.has_taken_5 => Version::V4,
            (Version::V5, Answer::None | Answer::OffTopic) => Version::V5,
            (Version::V4, Answer::Taken | Answer::OffTopic) if is_known => Version::V4,
            (Version::V4, Answer::Taken) => {
                self.guesses += 1;
                if self.guesses >= GUESSES_MAX { Version::V4 } else { Version::V5 }
            }
            (Version::V4, Answer::Refused | Answer::None | Answer::OffTopic) => {
                self.guesses = 0;
                Version::V5
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn after(versions: &mut Versions, answer: Answer) -> Version {
        versions.learn(answer);
        versions.next()
    }

    #[test]
    fn a_broker_that_refuses_5_by_its_word_gets_3_1_1_for_the_run() {
        let mut versions = Versions::new(MqttVersion::Auto);
        assert_eq!(versions.next(), Version::V5);
        assert_eq!(after(&mut versions, Answer::Refused), Version::V4);
        assert_eq!(after(&mut versions, Answer::Taken), Version::V4);
        assert_eq!(
            after(&mut versions, Answer::OffTopic),
            Version::V4,
            "a broker that is away says nothing of versions"
        );
        assert_eq!(after(&mut versions, Answer::Taken), Version::V4);
        assert_eq!(after(&mut versions, Answer::None), Version::V5, "it may be another broker now");
        assert_eq!(after(&mut versions, Answer::Taken), Version::V5);
    }

    #[test]
    fn a_line_that_is_cut_before_the_answer_does_not_lead_to_3_1_1_for_ever() {
        let mut versions = Versions::new(MqttVersion::Auto);
        assert_eq!(after(&mut versions, Answer::None), Version::V4);
        assert_eq!(after(&mut versions, Answer::None), Version::V5, "3.1.1 did not work either");
        assert_eq!(after(&mut versions, Answer::None), Version::V4);
        assert_eq!(after(&mut versions, Answer::Taken), Version::V5, "3.1.1 works, and 5 gets its chance");
        assert_eq!(after(&mut versions, Answer::Taken), Version::V5);
        for _ in 0..10 {
            assert_eq!(after(&mut versions, Answer::None), Version::V5, "it took 5, the line is to blame");
        }
        assert_eq!(after(&mut versions, Answer::Refused), Version::V4, "unless the broker says so");
    }

    #[test]
    fn a_broker_that_never_answers_5_and_always_takes_3_1_1_is_believed_in_the_end() {
        let mut versions = Versions::new(MqttVersion::Auto);
        for _ in 1..GUESSES_MAX {
            assert_eq!(after(&mut versions, Answer::None), Version::V4);
            assert_eq!(after(&mut versions, Answer::Taken), Version::V5);
        }
        assert_eq!(after(&mut versions, Answer::None), Version::V4);
        assert_eq!(after(&mut versions, Answer::Taken), Version::V4);
        assert_eq!(after(&mut versions, Answer::OffTopic), Version::V4);
    }

    #[test]
    fn what_is_configured_stays() {
        for (configured, version) in [(MqttVersion::V5, Version::V5), (MqttVersion::V4, Version::V4)] {
            let mut versions = Versions::new(configured);
            for answer in [Answer::None, Answer::Refused, Answer::OffTopic, Answer::Taken] {
                assert_eq!(after(&mut versions, answer), version);
            }
        }
    }
}
