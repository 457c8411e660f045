//! One request of a worker, from when it is sent until its answer: the deadline, progress, cancelling, and what is said of a
//! worker that is lost over it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio::sync::oneshot;

use super::payload::Payload;
use super::protocol::{Reply, Request};
use super::wire::{Event, Lost, Wire};
use crate::plugin::LATE;

/// A request on its way to a worker.
pub(super) struct Assignment {
    pub(super) request: Request,
    pub(super) payload: Payload,
    pub(super) deadline: Deadline,
    pub(super) progress: Option<Arc<dyn Fn(f32) + Send + Sync>>,
    /// Whether a worker was already lost over it before it could begin.
    pub(super) again: bool,
    /// Closed when nobody waits for the outcome any more.
    pub(super) outcome: oneshot::Sender<Result<(Reply, Bytes), Fault>>,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assignment").field("request", &self.request).finish_non_exhaustive()
    }
}

/// How long a request may take, and what says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) limit: Duration,
    pub(super) key: &'static str,
}

/// Why a worker has to be replaced.
#[derive(Debug)]
pub(super) enum End {
    /// It ended while it had nothing to do, or before it could begin.
    Idle(Option<Assignment>),
    /// It died of the task, while the plugin of this operation ran.
    Task(Assignment, Option<String>),
    /// The task was not done in time.
    Late(Assignment, Option<String>),
}

/// Has a worker answer a request; gives why the worker has to be replaced, if it has. A request that nobody waits for any
/// more is cancelled, and the worker free again as soon as it gives up.
pub(super) async fn perform(wire: &mut Wire, mut assignment: Assignment) -> Option<End> {
    let started = Instant::now();
    let report = |done| {
        if let Some(progress) = &assignment.progress {
            progress(done);
        }
    };
    report(0.0);
    let mut culprit = None;
    let hear = |event| match event {
        Event::Progress(done) => report(done),
        Event::Calls(operation) => culprit = operation,
    };
    let cancelled = assignment.outcome.closed();
    let asked = wire.ask(&assignment.request, &assignment.payload, cancelled, hear);
    match tokio::time::timeout(assignment.deadline.limit, asked).await {
        Ok(Ok(outcome)) => {
            let ms = started.elapsed().as_millis() as u64;
            tracing::debug!(ms, cancelled = assignment.outcome.is_closed(), "task done");
            // Nobody waits for the outcome of a task that was cancelled.
            let _ = assignment.outcome.send(Ok(outcome));
            None
        }
        Ok(Err(Lost::Under)) => Some(End::Task(assignment, culprit)),
        // Gone before it could begin, which can happen once by chance; twice, and the task itself kills workers.
        Ok(Err(Lost::Before)) if !assignment.again => {
            Some(End::Idle(Some(Assignment { again: true, ..assignment })))
        }
        Ok(Err(Lost::Before)) => Some(End::Task(assignment, culprit)),
        Err(_) => Some(End::Late(assignment, culprit)),
    }
}

/// Why a task's worker is gone: of what it did itself, or of what a plugin did in it.
pub(super) fn death_fault(obituary: &str, limit_mb: u64, culprit: Option<&str>) -> Fault {
    // What the Rust runtime says before it aborts; the one sign of RLIMIT_DATA that a process can give.
    if obituary.contains("memory allocation of") {
        let text =
            format!("the worker ran out of memory ([workers] memory_limit_mb = {limit_mb}): {obituary}");
        let fault = Fault::new(FaultKind::LimitExceeded, text);
        return culprit.map_or(fault.clone(), |operation| fault.blamed_on(operation));
    }
    let Some(operation) = culprit else {
        let fault = Fault::new(FaultKind::OperationFailed, format!("the worker died ({obituary})"));
        return fault.retried(Retry::Worker);
    };
    // What a worker says of itself when a plugin's time is over.
    let late = obituary.contains(LATE);
    let kind = if late { FaultKind::PluginTimedOut } else { FaultKind::PluginTrapped };
    let text = format!("the plugin of `{operation}` ended its worker ({obituary})");
    let retry = if late { Retry::Never } else { Retry::Worker };
    Fault::new(kind, text).blamed_on(operation).retried(retry)
}

/// Why a task's worker was killed.
pub(super) fn late_fault(Deadline { limit, key }: Deadline, culprit: Option<&str>) -> Fault {
    let text = format!("not done after {} ms ({key}); the worker was killed", limit.as_millis());
    match culprit {
        None => Fault::new(FaultKind::LimitExceeded, text),
        Some(operation) => {
            let text = format!("the plugin of `{operation}` was {text}");
            Fault::new(FaultKind::PluginTimedOut, text).blamed_on(operation)
        }
    }
}
