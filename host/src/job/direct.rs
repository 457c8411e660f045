//! Operations called directly: the client waits, and gets the result itself. Nothing is journaled: a call that breaks off
//! has left nothing behind, and who still wants the result calls again.
//!
//! # Layout
//! - this file: from a checked call and its source to the result
//! - `call`: what a client asks for, checked; what the source's bytes make of it
//! - `render`: sources that are named by URL; identical renders at the same time are computed once

mod call;
mod render;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::call::Checked;
use super::intake::{Held, REPLY_PATIENCE, Room, permit};
use super::service::{Service, Settings};
use crate::config::Config;
use crate::fault::{Fault, FaultKind, Retry};
use crate::job::record::Priority;
use crate::journal::rank;
use crate::metrics::Phase;
use crate::worker::{Outcome, Prepared, Task};

pub(crate) use self::call::Call;
pub(crate) use self::render::{Answer, Render};

/// How long a call waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(5);
/// The bytes of a source that planning is first tried with; four times as many each further time.
const FIRST_LOOK: usize = 16 << 10;
/// A larger result keeps its call's place until the client has taken it, so that slow clients cannot pile them up.
const LARGE_RESULT: usize = 1 << 20;

/// What bounds direct calls, and the renders under way.
#[derive(Debug)]
pub(super) struct Direct {
    slots: Arc<Semaphore>,
    renders: Arc<render::Renders>,
    /// Calls whose clients wait.
    pub(super) calls: TaskTracker,
}

impl Direct {
    /// As many calls at once as there may be transfers: a call is one, seen from the client.
    pub(super) fn new(config: &Config) -> Self {
        let slots = Arc::new(Semaphore::new(config.transfer.max_transfers));
        Self { slots, renders: Arc::default(), calls: TaskTracker::new() }
    }
}

/// An image that a client sends along.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The bytes, and their share of the memory for sources.
    pub(crate) held: Held,
    /// Its file name, if it has one.
    pub(crate) name: Option<String>,
}

/// What a direct call gives.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The result.
    pub(crate) bytes: Bytes,
    /// What it is.
    pub(crate) media_type: String,
    /// Arguments that nobody knows.
    pub(crate) unknown_arguments: Vec<String>,
    /// How long its parts took.
    pub(crate) timings: Timings,
}

/// How long the parts of a direct call took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timings {
    /// Fetching the source, where it was named by URL.
    pub(crate) fetch: Option<Duration>,
    /// Reading the header and planning.
    pub(crate) plan: Duration,
    /// Waiting for a worker.
    pub(crate) queue: Duration,
    /// In the worker, as it has measured it: decode, run, encode.
    pub(crate) work: Duration,
}

impl Service {
    /// Room for an image of `announced` bytes that a client is about to send; for the largest that may come when nobody
    /// knows how large it is.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`] when so much may not be sent; [`FaultKind::Busy`].
    pub(crate) async fn room(&self, announced: Option<u64>) -> Result<Room, Fault> {
        self.settings().gate.room(announced).await
    }

    /// Runs an operation on an image that the client has sent. Dropped, it is not run any more.
    ///
    /// # Errors
    /// The fault for which there is no result.
    pub(crate) async fn operate(&self, call: &Call, sent: Sent) -> Result<Product, Fault> {
        self.operate_once(call, sent).await.inspect_err(|fault| self.refused(fault))
    }

    async fn operate_once(&self, call: &Call, sent: Sent) -> Result<Product, Fault> {
        let _counted = self.counted()?;
        let checked = Checked::new(call, self.generation())?;
        checked.admit()?;
        let task = checked.task(&sent.held, sent.name.as_deref())?;
        self.perform(&checked, task, sent.held, Timings::default()).await
    }

    /// Counts a call among what a stop waits for.
    fn counted(&self) -> Result<TaskTrackerToken, Fault> {
        let token = self.direct.calls.token();
        match self.direct.calls.is_closed() {
            true => Err(Fault::new(FaultKind::Busy, "the server is stopping").retried(Retry::Later)),
            false => Ok(token),
        }
    }

    /// Plans and runs a task, when it is its turn.
    async fn perform(
        &self,
        checked: &Checked,
        mut task: Task,
        source: Held,
        mut timings: Timings,
    ) -> Result<Product, Fault> {
        let slot = permit(&self.direct.slots, 1, TURN_PATIENCE, "[transfer] max_transfers").await?;
        let began = Instant::now();
        let prepared = plan(checked, &task, &source.bytes).await?;
        timings.plan = began.elapsed();
        checked.settle_format(&mut task, &prepared);
        let media_type = checked.media_type(&task);
        let peak_bytes =
            self.settings().peak_bytes((prepared.own_bytes, prepared.guest_bytes), source.bytes.len())?;
        let result = run(checked, task, source.bytes.clone(), peak_bytes, &mut timings).await?;
        self.metrics.took(Phase::Plan, timings.plan);
        self.metrics.took(Phase::Queue, timings.queue);
        self.metrics.took(Phase::Work, timings.work);
        let bytes = kept(result.bytes, slot);
        Ok(Product { bytes, media_type, unknown_arguments: checked.unknown_arguments.clone(), timings })
    }
}

impl Settings {
    /// What a planned run may take in all, in bytes, its source included: of the worker's own and of its plugins' memory.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`] when no worker may take so much.
    pub(super) fn peak_bytes(
        &self,
        (own_bytes, guest_bytes): (u64, u64),
        source_bytes: usize,
    ) -> Result<u64, Fault> {
        let own_bytes = own_bytes.saturating_add(source_bytes as u64);
        if own_bytes > self.memory_limit {
            let (need, have) = (own_bytes >> 20, self.memory_limit >> 20);
            let text = format!("the work would take about {need} MiB ([workers] memory_limit_mb = {have})");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok(own_bytes.saturating_add(guest_bytes))
    }
}

/// Plans on as few of the source's first bytes as suffice: they all have to go to the worker.
async fn plan(checked: &Checked, task: &Task, source: &Bytes) -> Result<Prepared, Fault> {
    let mut look = FIRST_LOOK;
    loop {
        let head = source.slice(..source.len().min(look));
        let complete = head.len() == source.len();
        // What the format can hold is `settle_format`'s to see to, and the run's.
        let task = Task { format: None, ..task.clone() };
        let planned = checked.generation.pool.prepare(task, head, complete, false).await;
        match planned.inspect_err(|fault| checked.note(Err(fault)))? {
            Some((prepared, _)) => return Ok(prepared),
            None if complete => {
                let text = "the source ends before its dimensions";
                return Err(Fault::new(FaultKind::UnreadableSource, text));
            }
            None => look = look.saturating_mul(4),
        }
    }
}

/// Has a worker run the task; gives up when none begins with it in time.
async fn run(
    checked: &Checked,
    task: Task,
    source: Bytes,
    peak_bytes: u64,
    timings: &mut Timings,
) -> Result<Outcome, Fault> {
    let queued = Instant::now();
    let began = Arc::new(OnceLock::new());
    let report = {
        let began = Arc::clone(&began);
        move |_| {
            let _ = began.set(Instant::now());
        }
    };
    // They take turns with the jobs: neither keeps the other from being done.
    let rank = rank(Priority::Normal);
    let ran = {
        let running = checked.generation.pool.run(vec![task], source, peak_bytes, rank, Arc::new(report));
        tokio::pin!(running);
        tokio::select! {
            ran = &mut running => ran,
            () = tokio::time::sleep(REPLY_PATIENCE) => match began.get() {
                Some(_) => running.await,
                None => Err(Fault::new(FaultKind::Busy, "no worker was free in time").retried(Retry::Later)),
            },
        }
    };
    let ran = ran.and_then(|outcomes| {
        let broken = || Err(Fault::new(FaultKind::OperationFailed, "the worker gave no result"));
        outcomes.into_iter().next().unwrap_or_else(broken)
    });
    checked.note(ran.as_ref().map(|_| ()));
    timings.queue = began.get().copied().unwrap_or(queued) - queued;
    timings.work = ran.as_ref().map(|ran| Duration::from_micros(ran.work_us)).unwrap_or_default();
    ran
}

/// A large result keeps the call's place for as long as it is held.
fn kept(bytes: Bytes, slot: OwnedSemaphorePermit) -> Bytes {
    struct Kept {
        bytes: Bytes,
        _slot: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    if bytes.len() <= LARGE_RESULT {
        return bytes;
    }
    Bytes::from_owner(Kept { bytes, _slot: slot })
}
