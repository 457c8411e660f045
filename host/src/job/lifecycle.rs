//! What is under way, and the two steps of a stop: nothing new is taken, then what is under way is given back.

use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What a stop waits for.
#[derive(Debug)]
pub(super) struct Lifecycle {
    acceptances: TaskTracker,
    /// Direct calls, whose clients wait.
    calls: TaskTracker,
    /// Attempts, and what is shown of jobs that were cancelled.
    attempts: TaskTracker,
    /// Attempts under way are given back.
    stopping: CancellationToken,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            acceptances: TaskTracker::new(),
            calls: TaskTracker::new(),
            attempts: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Counts an acceptance until what is returned is dropped.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when no more are taken; the same for [`Self::call`].
    pub(super) fn acceptance(&self) -> Result<TaskTrackerToken, Fault> {
        counted(&self.acceptances)
    }

    /// Counts a direct call until what is returned is dropped.
    pub(super) fn call(&self) -> Result<TaskTrackerToken, Fault> {
        counted(&self.calls)
    }

    /// Direct calls under way.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Runs what a stop waits for.
    pub(super) fn spawn(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        self.attempts.spawn(attempt);
    }

    /// Takes no new jobs and calls.
    pub(super) fn close(&self) {
        self.acceptances.close();
        self.calls.close();
    }

    /// Whether new ones are taken.
    pub(super) fn is_open(&self) -> bool {
        !self.acceptances.is_closed()
    }

    /// Waits, once closed, until whoever has come before is answered.
    pub(super) async fn answered(&self) {
        self.acceptances.wait().await;
        self.calls.wait().await;
    }

    /// Has attempts under way given back, and waits up to `limit` for what cannot be.
    pub(super) async fn stop(&self, limit: Duration) {
        self.stopping.cancel();
        self.attempts.close();
        let _ = tokio::time::timeout(limit, async {
            self.acceptances.wait().await;
            self.attempts.wait().await;
        })
        .await;
    }

    /// Resolves when the server stops.
    pub(super) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether the server stops.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }
}

fn counted(tracker: &TaskTracker) -> Result<TaskTrackerToken, Fault> {
    // Counted before looking, so that a stop which begins meanwhile waits for this one.
    let token = tracker.token();
    match tracker.is_closed() {
        true => Err(Fault::new(FaultKind::Busy, "the server is stopping").retried(Retry::Later)),
        false => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_let_in_after_the_close_and_who_was_is_waited_for() {
        let lifecycle = Lifecycle::new();
        let call = lifecycle.call().unwrap();
        lifecycle.close();
        assert!(!lifecycle.is_open() && lifecycle.calls() == 1);
        assert_eq!(lifecycle.acceptance().unwrap_err().kind, FaultKind::Busy);
        assert_eq!(lifecycle.call().unwrap_err().kind, FaultKind::Busy);
        assert!(tokio::time::timeout(Duration::ZERO, lifecycle.answered()).await.is_err());
        drop(call);
        lifecycle.answered().await;
    }

    #[tokio::test]
    async fn a_stop_waits_for_attempts_that_give_back() {
        let lifecycle = Lifecycle::new();
        let token = lifecycle.stopping.clone();
        let (given, back) = tokio::sync::oneshot::channel();
        lifecycle.spawn(async move {
            token.cancelled().await;
            let _ = given.send(());
        });
        lifecycle.close();
        lifecycle.stop(Duration::from_secs(10)).await;
        assert!(lifecycle.is_stopping() && back.await.is_ok());
    }
}
