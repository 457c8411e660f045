//! One request of a worker, from when it is sent until its answer: the deadline, progress, cancelling, and what is said of a
//! worker that is lost over it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use imgserve_base::fair::{Flow, SMALL};
use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio::sync::oneshot;

use super::death::{Death, Way};
use super::payload::Payload;
use super::protocol::{Reply, Request};
use super::wire::{Blame, Event, Lost, Wire};
use crate::plugin::TimeLimit;

/// A request on its way to a worker.
pub(super) struct Assignment {
    pub(super) request: Request,
    pub(super) payload: Payload,
    pub(super) deadline: TimeLimit,
    pub(super) progress: Option<Arc<dyn Fn(f32) + Send + Sync>>,
    /// Whose turn it is, and what it has cost, of a task that waits for one.
    pub(super) paid: Option<(Flow, u64)>,
    /// Whether a worker was already lost over it before it could begin.
    pub(super) again: bool,
    /// Closed when nobody waits for the outcome any more.
    pub(super) outcome: oneshot::Sender<Result<(Reply, Bytes), Fault>>,
}

impl Assignment {
    /// A direct call of which nobody knows what it takes is to take no more than a small one, `bytes` and its source.
    pub(super) fn keep_small(&mut self, bytes: u64) {
        let length = self.payload.length();
        if let Request::Direct { within, most_pixels, .. } = &mut self.request {
            (*within, *most_pixels) = (bytes.max(length), Some(SMALL));
        }
    }
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assignment").field("request", &self.request).finish_non_exhaustive()
    }
}

/// Why a worker has to be replaced.
#[derive(Debug)]
pub(super) enum End {
    /// It ended while it had nothing to do, or before it could begin.
    Idle(Option<Assignment>),
    /// It died of the task.
    Task(Assignment, Blame),
    /// The task was not done in time, while the plugin of this operation ran.
    Late(Assignment, Option<String>),
    /// It went on with a task that nobody waits for any more.
    Deaf,
}

/// Has a worker answer a request; gives why the worker has to be replaced, if it has. A request that nobody waits for any
/// more is cancelled, and the worker free again as soon as it gives up, or replaced when it does not. `large` is told when
/// the worker finds out that the task is a large one.
pub(super) async fn perform(
    wire: &mut Wire,
    mut assignment: Assignment,
    mut large: impl FnMut(),
) -> Option<End> {
    let started = Instant::now();
    let report = |done| {
        if let Some(progress) = &assignment.progress {
            progress(done);
        }
    };
    report(0.0);
    let mut blame = Blame::default();
    let hear = |event| match event {
        Event::Progress(done) => report(done),
        Event::Large => large(),
        event => blame.hear(&event),
    };
    let cancelled = assignment.outcome.closed();
    let asked = wire.ask(&assignment.request, &assignment.payload, cancelled, hear);
    match tokio::time::timeout(assignment.deadline.time, asked).await {
        Ok(Ok(outcome)) => {
            let ms = started.elapsed().as_millis() as u64;
            tracing::debug!(ms, cancelled = assignment.outcome.is_closed(), "task done");
            // Nobody waits for the outcome of a task that was cancelled.
            let _ = assignment.outcome.send(Ok(outcome));
            None
        }
        Ok(Err(Lost::Under)) => Some(End::Task(assignment, blame)),
        // Gone before it could begin, which can happen once by chance; twice, and the task itself kills workers.
        Ok(Err(Lost::Before)) if !assignment.again => {
            Some(End::Idle(Some(Assignment { again: true, ..assignment })))
        }
        Ok(Err(Lost::Before)) => Some(End::Task(assignment, blame)),
        Ok(Err(Lost::Deaf)) => Some(End::Deaf),
        Err(_) => Some(End::Late(assignment, blame.culprit)),
    }
}

/// Why a task's worker is gone: of what it did itself, or of what a plugin did in it.
pub(super) fn death_fault(death: &Death, limit_mb: u64, culprit: Option<&str>) -> Fault {
    if death.reading && death.way.is_crash() {
        let text = format!("the source cannot be read: the worker died while it read it ({death})");
        return Fault::new(FaultKind::UnreadableSource, text).retried(Retry::Worker);
    }
    match (death.way, culprit) {
        (Way::OutOfMemory, culprit) => {
            let text =
                format!("the worker ran out of memory ([workers] memory_limit_mb = {limit_mb}): {death}");
            let fault = Fault::new(FaultKind::LimitExceeded, text);
            culprit.map_or(fault.clone(), |operation| fault.blamed_on(operation))
        }
        (Way::PluginLate, Some(operation)) => {
            ended_by(operation, FaultKind::PluginTimedOut, death).retried(Retry::Never)
        }
        // Only what is built in has a time limit and no culprit: what it was given is to blame.
        (Way::PluginLate, None) => {
            let text = format!("the work was not done in time, and its worker was ended ({death})");
            Fault::new(FaultKind::LimitExceeded, text)
        }
        (Way::Aborted | Way::Signal(_) | Way::Exit(_) | Way::Killed | Way::Unknown, Some(operation)) => {
            ended_by(operation, FaultKind::PluginTrapped, death).retried(Retry::Worker)
        }
        (_, None) => {
            let text = format!("the worker died ({death})");
            Fault::new(FaultKind::OperationFailed, text).retried(Retry::Worker)
        }
    }
}

fn ended_by(operation: &str, kind: FaultKind, death: &Death) -> Fault {
    let text = format!("the plugin of `{operation}` ended its worker ({death})");
    Fault::new(kind, text).blamed_on(operation)
}

/// Why a task's worker was killed.
pub(super) fn late_fault(limit: TimeLimit, culprit: Option<&str>) -> Fault {
    let text = format!("{limit}; the worker was killed");
    match culprit {
        None => Fault::new(FaultKind::LimitExceeded, text),
        Some(operation) => {
            let text = format!("the plugin of `{operation}` was {text}");
            Fault::new(FaultKind::PluginTimedOut, text).blamed_on(operation)
        }
    }
}
