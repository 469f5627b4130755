//! The task table: every task has a name, stands here, and ends when it is told to. No domain logic.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use crate::telemetry::beats::Beats;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

/// Tasks that start and stop together.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, String>,
    stop: CancellationToken,
    beats: Beats,
}

impl Tasks {
    /// An empty table, whose tasks are seen to beat.
    pub fn new(beats: Beats) -> Self {
        Self { beats, ..Self::default() }
    }

    /// Cancelled when the tasks of this table are to end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task under a name such as `bus:rs485`.
    pub fn spawn(&mut self, name: String, task: impl Future<Output = ()> + Send + 'static) {
        let span = info_span!("task", name = %name);
        let task = self.beats.clone().watched(name.clone(), task);
        let id = self.set.spawn(task.instrument(span)).id();
        self.names.insert(id, name);
    }

    /// Waits for a task that ends without having been told to: a defect, as every loop here is for ever.
    pub async fn ended(&mut self) -> String {
        match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => self.name(id),
            Some(Err(error)) => {
                error!(%error, "task failed");
                self.name(error.id())
            }
            None => std::future::pending().await,
        }
    }

    fn name(&self, id: Id) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }

    /// Tells all tasks to end and waits for them; what has not ended after `limit` is aborted. Nothing relies on
    /// a task having ended well: a kill at any instant is as good.
    pub async fn drain(mut self, limit: Duration) {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                match ended {
                    Ok((id, ())) => debug!(task = self.names.get(&id).map_or("", String::as_str), "ended"),
                    Err(error) => error!(%error, "task failed"),
                }
            }
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            warn!(limit_s = limit.as_secs(), "some tasks did not end in time and were cut short");
        }
    }
}
