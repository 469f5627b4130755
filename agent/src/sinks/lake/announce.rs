//! Each manifest line, published as soon as its object is in the lake, so that a consumer hears of it without asking.
//!
//! The lines stand in the ledger, and how far they were said stands beside it: what a broker has not confirmed is said
//! again after an outage, a restart, or a crash, in order. A consumer tells by `prev` whether one is missing, and by the
//! key that he has one already. The lake waits for none of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::ledger::{Ledger, Unsaid};
use crate::sinks::mqtt::beside::{Beside, Turn};

/// The topic's last level.
const TOPIC: &str = "manifest";
/// Media type of a line.
const KIND: &str = "application/json";

/// The sink's side: where its ledger is told of, once it is open and whenever it has a new line.
pub type News = watch::Sender<Option<Arc<Mutex<Ledger>>>>;

/// Publishes the lines that were not yet, then waits for more, until told to stop.
pub async fn run(mut beside: Beside, mut news: watch::Receiver<Option<Arc<Mutex<Ledger>>>>, stop: CancellationToken) {
    let publish = async {
        loop {
            let ledger = news.borrow_and_update().clone();
            if let Some(ledger) = ledger {
                say_all(&mut beside, &ledger).await;
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = publish => {}
        // What is not said by now is said after the next start.
        () = stop.cancelled() => {}
    }
}

async fn say_all(beside: &mut Beside, ledger: &Mutex<Ledger>) {
    loop {
        let line = match block_in_place(|| lock(ledger).unsaid()) {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return warn!(%error, "the local disk does not give manifest lines to announce"),
        };
        let Unsaid { text, .. } = &line;
        // One that the broker never takes is in the lake's manifest all the same.
        beside.publish(TOPIC, text.clone().into_bytes(), KIND, Turn::Queued).await;
        if let Err(error) = block_in_place(|| lock(ledger).note_said(&line)) {
            warn!(%error, "the local disk does not note what was announced, it may be said again");
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
