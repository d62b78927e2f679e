//! The loop on the real clock: takes what is due, runs it concurrently, sleeps until the next thing is due.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Engine;
use super::queue::Task;
use crate::domain::id::{EffectId, OrderNo};

/// Longest sleep, so that a clock that jumps is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// How long tasks under way may take to end when the program stops. What does not end is in doubt at the next
/// start, and looked up then.
const DRAIN_MAX: Duration = Duration::from_secs(6);

impl Engine {
    /// Runs until `stop` says so, then lets what is under way end.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        self.inner.stopping.send_replace(false);
        while !*stop.borrow() {
            self.take_over_clock().await;
            let due = self.with_queue(|queue| queue.take_due(self.now()));
            let is_idle = due.is_empty();
            for task in due {
                let engine = self.clone();
                tasks.spawn(async move { engine.run_guarded(task).await });
            }
            if !is_idle {
                continue;
            }
            let wait = self.wait_time(!tasks.is_empty());
            tokio::select! {
                _ = stop.changed() => {}
                () = self.inner.wake.notified() => {}
                _ = tasks.join_next(), if !tasks.is_empty() => {}
                () = self.inner.parts.clock.sleep(wait) => {}
            }
        }
        self.inner.stopping.send_replace(true);
        let drain = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = drain => {}
            () = self.inner.parts.clock.sleep(DRAIN_MAX) => {
                tracing::warn!("some calls did not end in time; they are looked up at the next start");
            }
        }
    }

    fn wait_time(&self, has_running: bool) -> Duration {
        let now = self.now();
        match self.with_queue(|queue| queue.next_due()) {
            // Due, yet not taken: its order or lane is busy, and the end of that wakes us.
            Some(due_at) if due_at <= now && has_running => SLEEP_MAX,
            Some(due_at) => {
                Duration::try_from(due_at.duration_since(now)).unwrap_or(Duration::ZERO).min(SLEEP_MAX)
            }
            None => SLEEP_MAX,
        }
    }

    /// Runs a task so that even a panic leaves nothing marked as running.
    async fn run_guarded(&self, task: Task) {
        let guard = RunGuard { engine: self.clone(), task: Some(Running::of(&task)) };
        self.run_task(task).await;
        guard.disarm();
    }
}

enum Running {
    Effect(EffectId, OrderNo),
    Job(crate::domain::id::ConnectionId, super::jobs::Job),
}

impl Running {
    fn of(task: &Task) -> Self {
        match task {
            Task::Effect(effect) => Self::Effect(effect.id, effect.order_no),
            Task::Job(connection, job) => Self::Job(*connection, *job),
        }
    }
}

struct RunGuard {
    engine: Engine,
    task: Option<Running>,
}

impl RunGuard {
    fn disarm(mut self) {
        self.task = None;
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let now = self.engine.now();
        match self.task.take() {
            None => {}
            Some(Running::Effect(id, order_no)) => {
                tracing::error!(
                    effect.id = id.0,
                    order.no = order_no.0,
                    "a task broke off; it is tried again"
                );
                self.engine.with_queue(|queue| {
                    queue.effect_done(id);
                    queue.order_done(order_no);
                });
            }
            Some(Running::Job(connection, job)) => {
                tracing::error!(connection.id = connection.0, ?job, "a job broke off; it is tried again");
                let due_at = super::retry::later(now, super::retry::BACKOFF_MAX);
                self.engine.with_queue(|queue| queue.job_done(connection, job, due_at, true));
            }
        }
    }
}
