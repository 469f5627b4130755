//! An order's way from being heard to the last word about it.

use model::{Event, EventKind, Record};
use tokio::task::block_in_place;
use tracing::{debug, info, warn};

use super::Task;
use super::commands::{self, Done};
use super::orders::{self, Answer, Order, Reply};

/// Orders that are carried out at once.
const DOING_MAX: usize = 8;

impl Task {
    /// What was to wait until all had been said is done now.
    pub(super) async fn sent(&mut self) {
        if self.outbox.is_empty()
            && let Some(request) = self.then.take()
            && self.requests.send(request).await.is_err()
        {
            debug!("the agent ends already");
        }
    }

    /// Something is to be done, once.
    pub(super) fn order(&mut self, order: Result<Order, orders::Unread>) {
        let order = match order {
            Ok(order) => order,
            Err(unread) => {
                warn!(id = unread.id, error = unread.error, "an order can not be read");
                let answer = Answer::Failed { error: unread.error };
                return self.post(self.dialect.answer(&unread.id, unread.reply, &answer));
            }
        };
        if let Some(answer) = self.ledger.answer(&order.id, order.reply).cloned() {
            // It came twice: what is said of it is said again.
            return self.post(self.dialect.answer(&order.id, order.reply, &answer));
        }
        if let Some(error) = self.refusal(&order) {
            return self.conclude(&order, &Answer::Failed { error });
        }
        info!(id = order.id, command = order.command, "told from afar");
        if let Err(error) = block_in_place(|| self.ledger.put_down(&order, &Answer::Running)) {
            // Not known to be done, it would be done again.
            let error = format!("it can not be put down on this device: {error}");
            return self.post(self.dialect.answer(&order.id, order.reply, &Answer::Failed { error }));
        }
        self.post(self.dialect.answer(&order.id, order.reply, &Answer::Accepted));
        if order.reply == Reply::Topic {
            self.post(self.dialect.answer(&order.id, order.reply, &Answer::Running));
        }
        let hands = self.hands.clone();
        self.doing.push(Box::pin(async move {
            let work = commands::obey(hands, order.command.clone(), order.args.clone());
            let limit = commands::timeout(&order.command);
            let done = match tokio::time::timeout(limit, work).await {
                Ok(done) => done,
                Err(_) => Err(format!("it took longer than {} s", limit.as_secs())),
            };
            (order, done)
        }));
    }

    /// Words, where an order is not begun at all.
    fn refusal(&self, order: &Order) -> Option<String> {
        if self.doing.len() >= DOING_MAX {
            return Some(format!("{DOING_MAX} orders are being carried out already"));
        }
        let expires = order.expires?;
        let now = self.hands.clock.stamp();
        if now.clock == model::Clock::Untrusted {
            return Some("the clock is not set yet: whether it has expired can not be told".to_owned());
        }
        (expires <= now.time).then(|| format!("it has expired at {expires}"))
    }

    pub(super) fn done(&mut self, order: &Order, done: Result<Done, String>) {
        let answer = match done {
            Ok(Done { result, then, loud_until }) => {
                self.then = then.or(self.then.take());
                self.loud_until = loud_until.or(self.loud_until);
                Answer::Succeeded { result }
            }
            Err(error) => Answer::Failed { error },
        };
        self.conclude(order, &answer);
    }

    /// The last word about an order: in the ledger, in the journal, and to who gave it.
    fn conclude(&mut self, order: &Order, answer: &Answer) {
        if let Err(error) = block_in_place(|| self.ledger.put_down(order, answer)) {
            warn!(%error, "what became of an order can not be put down");
        }
        let event = Event::new(self.hands.clock.stamp(), EventKind::Command)
            .with("id", order.id.as_str())
            .with("command", order.command.as_str())
            .with("status", answer.as_str());
        let event = match answer {
            Answer::Failed { error } => {
                warn!(id = order.id, command = order.command, error, "an order failed");
                event.with("error", error.as_str())
            }
            _ => event,
        };
        if self.inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the event of an order");
        }
        self.post(self.dialect.answer(&order.id, order.reply, answer));
    }

    /// What an agent that is no more had begun: it was told to end, or it ended by itself.
    pub(super) fn conclude_unfinished(&mut self) {
        for order in self.ledger.unfinished() {
            // It was the update that ended the agent, or that can not be kept from it.
            if order.command == commands::UPDATE {
                let hands = self.hands.clone();
                self.doing.push(Box::pin(async move {
                    let done = hands.await_update().await;
                    (order, done)
                }));
                continue;
            }
            let error = "the agent ended before it was done".to_owned();
            self.conclude(&order, &Answer::Failed { error });
        }
    }
}
