//! The task table: every task has a name, stands here, and ends when it is told to. No domain logic.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use crate::telemetry::beats::Beats;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

/// Tasks that start and stop together; each can also be ended by itself.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<()>,
    running: HashMap<Id, Running>,
    /// One that ended without having been told to, while another was waited for.
    lost: Option<String>,
    stop: CancellationToken,
    beats: Beats,
}

#[derive(Debug)]
struct Running {
    name: String,
    stop: CancellationToken,
    abort: AbortHandle,
}

impl Tasks {
    /// An empty table, whose tasks are seen to beat.
    pub fn new(beats: Beats) -> Self {
        Self { beats, ..Self::default() }
    }

    /// Starts a task under a name such as `bus:rs485`; it gets the token that is cancelled when it is to end.
    pub fn spawn<F>(&mut self, name: String, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.child_token();
        let span = info_span!("task", name = %name);
        let task = self.beats.clone().watched(name.clone(), task(stop.clone()));
        let abort = self.set.spawn(task.instrument(span));
        self.running.insert(abort.id(), Running { name, stop, abort });
    }

    /// Tells one task to end and waits for that; what has not ended after `limit` is aborted, as in [`Tasks::drain`].
    pub async fn retire(&mut self, name: &str, limit: Duration) {
        let Some((&id, task)) = self.running.iter().find(|(_, task)| task.name == name) else { return };
        let (stop, abort) = (task.stop.clone(), task.abort.clone());
        stop.cancel();
        let late = tokio::time::sleep(limit);
        tokio::pin!(late);
        while self.running.contains_key(&id) {
            tokio::select! {
                () = &mut late, if !abort.is_finished() => {
                    warn!(task = name, limit_s = limit.as_secs(), "did not end in time and is cut short");
                    abort.abort();
                    late.as_mut().reset(tokio::time::Instant::now() + limit);
                }
                Some(ended) = self.set.join_next_with_id() => {
                    let ended = match ended {
                        Ok((ended, ())) => ended,
                        Err(error) => error.id(),
                    };
                    let task = self.running.remove(&ended);
                    if ended != id {
                        self.lost = task.map(|task| task.name);
                    }
                }
            }
        }
    }

    /// Waits for a task that ends without having been told to: a defect, as every loop here is for ever.
    pub async fn ended(&mut self) -> String {
        if let Some(name) = self.lost.take() {
            return name;
        }
        match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => self.name(id),
            Some(Err(error)) => {
                error!(%error, "task failed");
                self.name(error.id())
            }
            None => std::future::pending().await,
        }
    }

    fn name(&mut self, id: Id) -> String {
        self.running.remove(&id).map(|task| task.name).unwrap_or_default()
    }

    /// Tells all tasks to end and waits for them; what has not ended after `limit` is aborted. Nothing relies on
    /// a task having ended well: a kill at any instant is as good.
    pub async fn drain(mut self, limit: Duration) {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                match ended {
                    Ok((id, ())) => debug!(task = self.name(id), "ended"),
                    Err(error) => error!(%error, "task failed"),
                }
            }
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            warn!(limit_s = limit.as_secs(), "some tasks did not end in time and were cut short");
        }
    }
}
