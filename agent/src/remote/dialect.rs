//! The words of a broker, whichever it is: what is subscribed to, what a message comes to, and how things are said. No I/O.

use tokio::time::Instant;

use super::executions::Executions;
use super::orders::{self, Answer, Order, Reply};
use super::report::Report;
use super::shadow::Shadow;
use super::topics::Topics;
use crate::config::{Config, MqttProfile, RemoteConfig, SinkKind};
use crate::link::{Heard, Message};

/// What a broker's message comes to.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// This is the configuration that is wanted, as it was written.
    Desired(Vec<u8>),
    /// A configuration is wanted that is larger than any message may be.
    TooLarge {
        /// So large.
        bytes: usize,
    },
    /// This has to be asked first.
    Ask(Message),
    /// This is to be done.
    Order(Result<Order, orders::Unread>),
}

/// The words of a broker.
pub enum Dialect {
    Topics(Topics),
    AwsIot(Box<Shadow>, Executions),
}

impl Dialect {
    pub fn of(config: &Config, remote: &RemoteConfig) -> Option<Self> {
        let sink = config.sinks.iter().find(|sink| sink.id == remote.via)?;
        let SinkKind::Mqtt(mqtt) = &sink.kind else { return None };
        Some(match mqtt.profile {
            MqttProfile::Generic => Self::Topics(Topics::below(&mqtt.beside)),
            MqttProfile::AwsIot => {
                let thing = config.device.id.as_str();
                Self::AwsIot(Box::new(Shadow::of(thing)), Executions::of(thing))
            }
        })
    }

    pub fn subscriptions(&self, remote: &RemoteConfig) -> Vec<String> {
        match self {
            Self::Topics(topics) => topics.subscriptions(remote),
            Self::AwsIot(shadow, executions) => {
                let shadow = remote.config.then(|| shadow.subscriptions());
                let executions = remote.commands.then(|| executions.subscriptions());
                shadow.into_iter().chain(executions).flatten().collect()
            }
        }
    }

    pub fn hear(&mut self, heard: Heard) -> Vec<Said> {
        match self {
            Self::Topics(topics) => topics.hear(heard),
            Self::AwsIot(shadow, executions) => {
                let mut said = executions.hear(&heard);
                said.extend(shadow.hear(heard));
                said
            }
        }
    }

    pub fn report(&mut self, report: &Report) -> Message {
        match self {
            Self::Topics(topics) => topics.report(report),
            Self::AwsIot(shadow, _) => shadow.report(report),
        }
    }

    /// When something has to be asked again.
    pub fn due(&self) -> Option<Instant> {
        match self {
            Self::Topics(_) => None,
            Self::AwsIot(shadow, _) => shadow.due(),
        }
    }

    pub fn wake(&mut self) -> Vec<Said> {
        match self {
            Self::Topics(_) => Vec::new(),
            Self::AwsIot(shadow, _) => shadow.wake(),
        }
    }

    pub fn answer(&self, id: &str, reply: Reply, answer: &Answer) -> Message {
        match self {
            Self::Topics(topics) => topics.answer(id, answer),
            Self::AwsIot(_, executions) => executions.answer(id, reply, answer),
        }
    }
}
