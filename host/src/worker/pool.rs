//! The server's side of the workers: one supervisor per process, which hands it tasks, enforces the deadline by
//! killing it, and replaces it at once when it dies. A death fails the one task that caused it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::budget::Budget;
use super::child::{Child, Event, SpawnError};
use super::compile;
use super::protocol::{Loaded, Placeholder, Prepared, Registered, Reply, Request, Setup, Task};
use super::queue::{Queue, Role};
use super::sandbox;
use crate::config::{Limits, Operation, Plugins, Workers};
use crate::fault::{Fault, FaultKind, Retry, chain};
use crate::plugin::{Artifact, LATE, Usage};

/// How long to wait before a worker that cannot be started is tried again.
const RESPAWN_DELAY: Duration = Duration::from_secs(1);

/// How often plugins' files are marked as used.
const KEEP_FILES: Duration = Duration::from_secs(24 * 3600);

/// How long a short task may wait for a worker.
const SHORT_PATIENCE: Duration = Duration::from_secs(30);

/// What a pool needs to know.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    /// The program whose command `worker` is a worker: imgserve itself.
    pub program: PathBuf,
    /// Operation name → plugin; pipelines are none of the workers' business.
    pub operations: Vec<(String, Operation)>,
    /// Where compiled plugins lie.
    pub cache_dir: PathBuf,
    /// `[plugins]`.
    pub plugins: Plugins,
    /// `[workers]`.
    pub workers: Workers,
    /// `[limits]`.
    pub limits: Limits,
}

/// Counters of a pool.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Workers that are ready or busy.
    pub alive: AtomicUsize,
    /// Workers that are busy.
    pub busy: AtomicUsize,
    /// Workers that died and were replaced.
    pub restarts: AtomicU64,
}

/// A task that is done.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// What sandboxed plugins took for it.
    pub usage: Usage,
    /// The encoded result.
    pub bytes: Bytes,
}

/// A generation of workers, all with the same plugins. Ends when dropped, after the tasks it has.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    loaded: Vec<Loaded>,
}

#[derive(Debug)]
struct Shared {
    config: PoolConfig,
    operations: Vec<Registered>,
    queue: Queue<Assignment>,
    stats: Arc<Stats>,
}

/// A task on its way to a worker.
struct Assignment {
    request: Request,
    payload: Bytes,
    deadline: Deadline,
    progress: Option<Arc<dyn Fn(f32) + Send + Sync>>,
    /// Whether a worker was already lost over it before it could begin.
    again: bool,
    outcome: oneshot::Sender<Result<(Reply, Bytes), Fault>>,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assignment").field("request", &self.request).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    limit: Duration,
    key: &'static str,
}

impl Pool {
    /// Has plugin files made ready and starts the workers; returns when the first one has loaded all plugins.
    ///
    /// # Errors
    /// The fault for which it could not.
    pub(crate) async fn start(
        config: PoolConfig,
        budget: Arc<Budget>,
        stats: Arc<Stats>,
    ) -> Result<Self, Fault> {
        let operations = compile::compile(&config).await?;
        let shared = Arc::new(Shared { config, operations, queue: Queue::new(budget), stats });
        let cores = sandbox::cores();
        let count = match shared.config.workers.count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let slots = (0..count).map(|slot| Slot {
            role: Role::General,
            core: shared.config.workers.pin.then(|| cores.get(slot % cores.len().max(1)).copied()).flatten(),
        });
        // One more than cores, free to run on any, for short tasks alone.
        let mut slots = slots.chain([Slot { role: Role::Express, core: None }]);
        let first_slot = slots.next().expect("there is at least the express worker");
        let first = shared.spawn(first_slot, false).await.map_err(|error| spawn_fault(&error))?;
        let loaded = first.loaded.clone();
        if !first.unenforced.is_empty() {
            tracing::warn!(
                "workers run without: {}: this system cannot enforce it",
                first.unenforced.join("; ")
            );
        }
        tokio::spawn(supervise(Arc::clone(&shared), first_slot, Some(first)));
        for slot in slots {
            tokio::spawn(supervise(Arc::clone(&shared), slot, None));
        }
        tokio::spawn(keep_files(Arc::downgrade(&shared)));
        Ok(Self { shared, loaded })
    }

    /// The operations whose plugins are loaded.
    pub(crate) fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// Probes, plans and draws the placeholder from a source's first bytes; none when they do not suffice.
    ///
    /// # Errors
    /// The operation's refusal, or the fault of a worker that died or hung over it.
    pub(crate) async fn prepare(
        &self,
        mut task: Task,
        head: Bytes,
        complete: bool,
    ) -> Result<Option<(Prepared, Bytes)>, Fault> {
        task.time_ms = self.shared.config.workers.prepare_timeout_ms;
        match self.short(Request::Prepare { task, complete }, head).await? {
            (Reply::NeedMore, _) => Ok(None),
            (Reply::Prepared(prepared), placeholder) => Ok(Some((prepared, placeholder))),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Draws a placeholder.
    ///
    /// # Errors
    /// The fault of a worker that died or hung over it.
    pub(crate) async fn draw(&self, placeholder: Placeholder) -> Result<Bytes, Fault> {
        match self.short(Request::Draw(placeholder), Bytes::new()).await? {
            (Reply::Done { .. }, bytes) => Ok(bytes),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Decodes, runs and encodes. `peak_bytes` is admitted first.
    ///
    /// # Errors
    /// The operation's failure, or the fault of a worker that died or hung over it.
    pub(crate) async fn run(
        &self,
        mut task: Task,
        source: Bytes,
        peak_bytes: u64,
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<Outcome, Fault> {
        task.time_ms = self.shared.config.workers.run_timeout_ms;
        let limit = Duration::from_millis(task.time_ms);
        let deadline = Deadline { limit, key: "[workers] run_timeout_ms" };
        let (sender, outcome) = oneshot::channel();
        let assignment = Assignment {
            request: Request::Run(task),
            payload: source,
            deadline,
            progress: Some(progress),
            again: false,
            outcome: sender,
        };
        self.shared.queue.push_long(peak_bytes, assignment);
        match self.outcome(outcome).await? {
            (Reply::Done { width, height, usage }, bytes) => Ok(Outcome { width, height, usage, bytes }),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Tasks waiting for a worker, short and long.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.shared.queue.len()
    }

    async fn short(&self, request: Request, payload: Bytes) -> Result<(Reply, Bytes), Fault> {
        let limit = Duration::from_millis(self.shared.config.workers.prepare_timeout_ms);
        let deadline = Deadline { limit, key: "[workers] prepare_timeout_ms" };
        let (sender, outcome) = oneshot::channel();
        let assignment =
            Assignment { request, payload, deadline, progress: None, again: false, outcome: sender };
        self.shared.queue.push_short(assignment);
        // Somebody waits for the reply: a queue that does not move must not hold them for ever.
        match tokio::time::timeout(limit + SHORT_PATIENCE, self.outcome(outcome)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::new(FaultKind::Busy, "no worker was free in time").retried(Retry::Later)),
        }
    }

    async fn outcome(
        &self,
        outcome: oneshot::Receiver<Result<(Reply, Bytes), Fault>>,
    ) -> Result<(Reply, Bytes), Fault> {
        match outcome.await {
            Ok(Ok((Reply::Refused(fault), _))) => Err(fault),
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::new(FaultKind::Busy, "the server is stopping").retried(Retry::Later)),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    role: Role,
    core: Option<usize>,
}

impl Shared {
    async fn spawn(&self, slot: Slot, lenient: bool) -> Result<Child, SpawnError> {
        let setup = Setup {
            operations: self.operations.clone(),
            core: slot.core,
            memory_limit: self.config.workers.memory_limit_mb << 20,
            limits: self.config.limits.clone(),
            lenient,
        };
        Child::start(&self.config.program, &setup).await
    }
}

/// Marks the plugins' files as used for as long as there are workers: what is not used for a month is removed.
async fn keep_files(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(KEEP_FILES).await;
        let Some(shared) = shared.upgrade() else { return };
        let artifacts = shared.operations.iter().filter_map(|operation| operation.artifact.clone());
        let artifacts: Vec<_> = artifacts.collect();
        // A file that is gone shows when a worker wants it.
        let _ = tokio::task::spawn_blocking(move || artifacts.iter().for_each(Artifact::mark_used)).await;
    }
}

/// Keeps one worker running and busy until the queue is closed and empty.
async fn supervise(shared: Arc<Shared>, slot: Slot, mut ready: Option<Child>) {
    // A task that its worker was gone for before it began goes to the next worker.
    let mut again = None;
    loop {
        let mut child = match ready.take() {
            Some(child) => child,
            None => match shared.spawn(slot, true).await {
                Ok(child) => child,
                // Nobody needs it any more.
                Err(_) if shared.queue.is_done() => return,
                Err(error) => {
                    tracing::error!("{}; trying again in {} s", chain(&error), RESPAWN_DELAY.as_secs());
                    tokio::time::sleep(RESPAWN_DELAY).await;
                    continue;
                }
            },
        };
        shared.stats.alive.fetch_add(1, Ordering::Relaxed);
        let end = serve(&shared, slot.role, &mut child, again.take()).await;
        shared.stats.alive.fetch_sub(1, Ordering::Relaxed);
        let Some((pid, end)) = end.map(|end| (child.id(), end)) else { return };
        shared.stats.restarts.fetch_add(1, Ordering::Relaxed);
        match end {
            End::Idle(assignment) => {
                tracing::warn!("idle worker ended ({}); replacing it", child.obituary().await);
                again = assignment;
            }
            End::Task(assignment, culprit) => {
                let limit_mb = shared.config.workers.memory_limit_mb;
                let fault = death_fault(&child.obituary().await, limit_mb, culprit.as_deref());
                tracing::warn!(worker = pid, "{fault}; replacing it");
                let _ = assignment.outcome.send(Err(fault));
            }
            End::Late(assignment, culprit) => {
                drop(child);
                let fault = late_fault(assignment.deadline, culprit.as_deref());
                tracing::warn!(worker = pid, "{fault}");
                let _ = assignment.outcome.send(Err(fault));
            }
        }
    }
}

/// Why a worker has to be replaced.
enum End {
    /// It ended while it had nothing to do, or before it could begin.
    Idle(Option<Assignment>),
    /// It died of the task, while the plugin of this operation ran.
    Task(Assignment, Option<String>),
    /// The task was not done in time.
    Late(Assignment, Option<String>),
}

/// Hands one worker its tasks; none when there will be no more.
async fn serve(shared: &Shared, role: Role, child: &mut Child, mut first: Option<Assignment>) -> Option<End> {
    loop {
        let (assignment, _share) = match first.take() {
            Some(assignment) => (assignment, None),
            None => tokio::select! {
                taken = shared.queue.take(role) => taken?,
                () = child.ended() => return Some(End::Idle(None)),
            },
        };
        // Nobody waits for the outcome any more: the client or the job is gone.
        if assignment.outcome.is_closed() {
            continue;
        }
        shared.stats.busy.fetch_add(1, Ordering::Relaxed);
        let end = perform(child, assignment).await;
        shared.stats.busy.fetch_sub(1, Ordering::Relaxed);
        if end.is_some() {
            return end;
        }
    }
}

async fn perform(child: &mut Child, assignment: Assignment) -> Option<End> {
    let started = Instant::now();
    let report = |done| {
        if let Some(progress) = &assignment.progress {
            progress(done);
        }
    };
    report(0.0);
    let mut culprit = None;
    let exchange = async {
        let sent = child.send(&assignment.request, &assignment.payload).await;
        if sent.is_err() {
            return Err(false);
        }
        let hear = |event| match event {
            Event::Progress(done) => report(done),
            Event::Calls(operation) => culprit = operation,
        };
        child.receive(hear).await.map_err(|_| true)
    };
    match tokio::time::timeout(assignment.deadline.limit, exchange).await {
        Ok(Ok(outcome)) => {
            tracing::debug!(ms = started.elapsed().as_millis() as u64, "task done");
            let _ = assignment.outcome.send(Ok(outcome));
            None
        }
        Ok(Err(true)) => Some(End::Task(assignment, culprit)),
        // Gone before it could begin, which can happen once by chance; twice, and the task itself kills workers.
        Ok(Err(false)) if !assignment.again => {
            Some(End::Idle(Some(Assignment { again: true, ..assignment })))
        }
        Ok(Err(false)) => Some(End::Task(assignment, culprit)),
        Err(_) => Some(End::Late(assignment, culprit)),
    }
}

/// Why a task's worker is gone: of what it did itself, or of what a plugin did in it.
fn death_fault(obituary: &str, limit_mb: u64, culprit: Option<&str>) -> Fault {
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

fn late_fault(Deadline { limit, key }: Deadline, culprit: Option<&str>) -> Fault {
    let text = format!("not done after {} ms ({key}); the worker was killed", limit.as_millis());
    match culprit {
        None => Fault::new(FaultKind::LimitExceeded, text),
        Some(operation) => {
            let text = format!("the plugin of `{operation}` was {text}");
            Fault::new(FaultKind::PluginTimedOut, text).blamed_on(operation)
        }
    }
}

fn spawn_fault(error: &SpawnError) -> Fault {
    Fault::of(FaultKind::OperationFailed, error)
}

fn unexpected(reply: Reply) -> Fault {
    Fault::new(FaultKind::OperationFailed, format!("the worker gave an answer out of turn: {reply:?}"))
}
