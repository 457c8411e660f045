//! The server's side of the workers: one supervisor per process, which hands it tasks, enforces the deadline by
//! killing it, and replaces it at once when it dies. A death fails the one task that caused it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind, Retry, chain};
use imgserve_base::units::MIB;
use imgserve_config::{Codec, Limits, OperationSettings, Plugins, Workers};
use tokio::sync::oneshot;

use super::assignment::{Assignment, End, death_fault, late_fault, perform};
use super::budget::Budget;
use super::child::{Child, SpawnError};
use super::compile;
use super::payload::Payload;
use super::protocol::{Loaded, Made, Placeholder, Prepared, Registered, Reply, Request, Setup, Task};
use super::queue::{Queue, Role};
use super::sandbox;
use super::wire::Blame;
use crate::plugin::{Artifact, TimeLimit, Usage};

/// How long to wait before a worker that cannot be started is tried again.
const RESPAWN_DELAY: Duration = Duration::from_secs(1);

/// How often plugins' files are marked as used.
const KEEP_FILES: Duration = Duration::from_secs(24 * 3600);

/// How long a short task may wait for a worker.
const SHORT_PATIENCE: Duration = Duration::from_secs(30);

/// What a pool needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The program whose command `worker` is a worker: imgserve itself.
    pub program: PathBuf,
    /// Operation name → plugin; pipelines are none of the workers' business.
    pub operations: Vec<(String, OperationSettings)>,
    /// Where compiled plugins lie.
    pub cache_dir: PathBuf,
    /// `[plugins]`.
    pub plugins: Plugins,
    /// `[workers]`.
    pub workers: Workers,
    /// `[limits]`.
    pub limits: Limits,
    /// `[codec]`.
    pub codec: Codec,
}

/// Counters of a pool.
#[derive(Debug, Default)]
pub struct Stats {
    /// Workers that are ready or busy.
    pub alive: AtomicUsize,
    /// Workers that are busy.
    pub busy: AtomicUsize,
    /// Workers that died and were replaced.
    pub restarts: AtomicU64,
}

/// A task that is done.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// What its operations took.
    pub usage: Usage,
    /// What is wrong with the part of the source that it shows.
    pub damage: Option<String>,
    /// The encoded result.
    pub bytes: Bytes,
    /// The source's digest, of a direct call on a file.
    pub digest: Option<u128>,
    /// What the worker took for the plan, where that was part of the request, in microseconds of wall time.
    pub plan_us: u64,
    /// What the worker took for the whole run that it is of, in microseconds of wall time: from when it had read the
    /// request, and made such a plan, until it wrote the results.
    pub work_us: u64,
}

/// What became of a direct call.
#[derive(Clone, Debug)]
pub enum DirectOutcome {
    /// It is done.
    Done(TaskOutput),
    /// It takes more memory than may be taken without asking, or has a result that its format cannot hold: nothing but
    /// the plan was made.
    Planned(Prepared),
}

/// A generation of workers, all with the same plugins. Ends when dropped, after the tasks it has.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    loaded: Vec<Loaded>,
}

#[derive(Debug)]
struct Shared {
    config: PoolConfig,
    operations: Vec<Registered>,
    queue: Queue<Assignment>,
    /// What a task may take of the memory budget without planning first, in bytes: if all workers that take such tasks do
    /// so at once, it is just enough.
    unplanned: u64,
    stats: Arc<Stats>,
}

impl Pool {
    /// Has plugin files made ready and starts the workers; returns when the first one has loaded all plugins.
    ///
    /// # Errors
    /// The fault for which it could not.
    pub async fn start(config: PoolConfig, budget: Arc<Budget>, stats: Arc<Stats>) -> Result<Self, Fault> {
        let operations =
            compile::compile(&config.program, &config.operations, &config.cache_dir, &config.plugins).await?;
        let cores = sandbox::cores();
        let count = match config.workers.count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let unplanned = (budget.total() / count as u64).min(config.workers.memory_limit_mb * MIB);
        let shared = Arc::new(Shared { config, operations, queue: Queue::new(budget), unplanned, stats });
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
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// Probes and plans on a source's first bytes, and draws the placeholder if one is wanted; none when they do not
    /// suffice.
    ///
    /// # Errors
    /// The operation's refusal, or the fault of a worker that died or hung over it.
    pub async fn prepare(
        &self,
        task: Task,
        head: Bytes,
        complete: bool,
        draw: bool,
    ) -> Result<Option<(Prepared, Bytes)>, Fault> {
        let time_ms = self.shared.config.workers.prepare_timeout_ms;
        match self.short(Request::Prepare { task, complete, draw, time_ms }, head).await? {
            (Reply::NeedMore, _) => Ok(None),
            (Reply::Prepared(prepared), placeholder) => Ok(Some((prepared, placeholder))),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Draws a placeholder.
    ///
    /// # Errors
    /// The fault of a worker that died or hung over it.
    pub async fn draw(&self, placeholder: Placeholder) -> Result<Bytes, Fault> {
        match self.short(Request::Draw(placeholder), Bytes::new()).await? {
            (Reply::Drawn, bytes) => Ok(bytes),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Decodes a source once, then runs and encodes for each task; gives as many outcomes as there are tasks.
    /// `peak_bytes` of memory is admitted first; of what waits for that, a higher `priority` goes first. Dropped, it is
    /// cancelled.
    ///
    /// # Errors
    /// That the source cannot be read, or the fault of a worker that died or hung over it. What one task does wrong is its
    /// own outcome.
    pub async fn run(
        &self,
        tasks: Vec<Task>,
        source: Bytes,
        peak_bytes: u64,
        priority: i64,
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<Vec<Result<TaskOutput, Fault>>, Fault> {
        let count = tasks.len();
        // Each has the time that it would have alone.
        let time_ms = self.shared.config.workers.run_timeout_ms.saturating_mul(count as u64);
        let request = Request::Run { tasks, time_ms };
        match self.long(request, time_ms, source.into(), (priority, peak_bytes), progress).await? {
            (Reply::Done { results, plan_us, work_us, .. }, bytes) if results.len() == count => {
                outcomes(results, bytes, (plan_us, work_us), None)
            }
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Plans and runs a task in one go, unless it takes more memory than may be taken unplanned. Dropped, it is cancelled.
    /// Of a source that only the worker reads, the outcome has the digest.
    ///
    /// # Errors
    /// As of [`Self::prepare`] and [`Self::run`].
    pub async fn direct(
        &self,
        task: Task,
        source: Payload,
        priority: i64,
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<DirectOutcome, Fault> {
        let time_ms = self.shared.config.workers.run_timeout_ms;
        let (limit_mb, length) = (self.shared.config.workers.memory_limit_mb, source.length());
        if length > limit_mb * MIB {
            let need = length / MIB;
            let text = format!("the source alone has {need} MiB ([workers] memory_limit_mb = {limit_mb})");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        let within = self.shared.unplanned.max(length);
        let digest = matches!(source, Payload::File { .. });
        let plan_ms = self.shared.config.workers.prepare_timeout_ms;
        let request = Request::Direct { task, within, digest, plan_ms, time_ms };
        match self.long(request, time_ms, source, (priority, within), progress).await? {
            (Reply::Prepared(prepared), _) => Ok(DirectOutcome::Planned(prepared)),
            (Reply::Done { results, digest, plan_us, work_us, .. }, bytes) if results.len() == 1 => {
                let mut outcomes = outcomes(results, bytes, (plan_us, work_us), digest)?;
                let outcome = outcomes.pop().expect("there is one result");
                outcome.map(DirectOutcome::Done)
            }
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// A request that waits for `bytes` of the memory budget.
    async fn long(
        &self,
        request: Request,
        time_ms: u64,
        payload: Payload,
        (priority, bytes): (i64, u64),
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<(Reply, Bytes), Fault> {
        let time = Duration::from_millis(time_ms);
        let deadline = TimeLimit { time, key: "[workers] run_timeout_ms" };
        let (sender, outcome) = oneshot::channel();
        let progress = Some(progress);
        let assignment = Assignment { request, payload, deadline, progress, again: false, outcome: sender };
        let _forgotten = Forgotten(&self.shared);
        self.shared.queue.push_long(priority, bytes, assignment);
        self.outcome(outcome).await
    }

    /// Tasks waiting for a worker, short and long.
    pub fn waiting(&self) -> (usize, usize) {
        self.shared.queue.len()
    }

    async fn short(&self, request: Request, payload: Bytes) -> Result<(Reply, Bytes), Fault> {
        let time = Duration::from_millis(self.shared.config.workers.prepare_timeout_ms);
        let deadline = TimeLimit { time, key: "[workers] prepare_timeout_ms" };
        let (sender, outcome) = oneshot::channel();
        let payload = payload.into();
        let assignment =
            Assignment { request, payload, deadline, progress: None, again: false, outcome: sender };
        self.shared.queue.push_short(assignment);
        // Somebody waits for the reply: a queue that does not move must not hold them for ever.
        match tokio::time::timeout(time + SHORT_PATIENCE, self.outcome(outcome)).await {
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

/// When a run is given up, its task, with the source that it holds, does not wait for its turn.
struct Forgotten<'a>(&'a Shared);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.queue.forget(|assignment| assignment.outcome.is_closed());
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
            memory_limit: self.config.workers.memory_limit_mb * MIB,
            limits: self.config.limits.clone(),
            codec: self.config.codec,
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
        if !matches!(end, End::Deaf) {
            shared.stats.restarts.fetch_add(1, Ordering::Relaxed);
        }
        match end {
            // Nothing is wrong with it: its client hung up, and it is told so by being killed.
            End::Deaf => {
                tracing::debug!(worker = pid, "killed: nobody waits any more for what it works on");
                drop(child);
            }
            End::Idle(assignment) => {
                tracing::warn!("idle worker ended ({}); replacing it", child.death(false).await);
                again = assignment;
            }
            End::Task(assignment, Blame { culprit, late }) => {
                let limit_mb = shared.config.workers.memory_limit_mb;
                let fault = death_fault(&child.death(late).await, limit_mb, culprit.as_deref());
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
        let end = perform(child.for_task(), assignment).await;
        shared.stats.busy.fetch_sub(1, Ordering::Relaxed);
        if end.is_some() {
            return end;
        }
    }
}

fn spawn_fault(error: &SpawnError) -> Fault {
    Fault::of(FaultKind::OperationFailed, error)
}

fn unexpected(reply: Reply) -> Fault {
    Fault::new(FaultKind::OperationFailed, format!("the worker gave an answer out of turn: {reply:?}"))
}

/// Each task's result, cut out of what the worker sent without being copied.
fn outcomes(
    results: Vec<Result<Made, Fault>>,
    mut bytes: Bytes,
    (plan_us, work_us): (u64, u64),
    digest: Option<u128>,
) -> Result<Vec<Result<TaskOutput, Fault>>, Fault> {
    let announced = results.iter().flatten().map(|made| made.bytes).fold(0, u64::saturating_add);
    if announced != bytes.len() as u64 {
        let text = format!("the worker announced {announced} bytes and sent {}", bytes.len());
        return Err(Fault::new(FaultKind::OperationFailed, text));
    }
    let mut outcome = |Made { width, height, usage, damage, bytes: length }| {
        let bytes = bytes.split_to(length as usize);
        TaskOutput { width, height, usage, damage, bytes, digest, plan_us, work_us }
    };
    Ok(results.into_iter().map(|result| result.map(&mut outcome)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(bytes: u64) -> Result<Made, Fault> {
        Ok(Made { width: 1, height: 1, bytes, usage: Usage::default(), damage: None })
    }

    #[test]
    fn results_are_cut_out_of_the_payload() {
        let (payload, fault) =
            (Bytes::from(b"onethree".to_vec()), Fault::new(FaultKind::InvalidArgument, "no"));
        let results = vec![made(3), Err(fault.clone()), made(0), made(5)];
        let cut = outcomes(results, payload.clone(), (0, 7), None).unwrap();
        assert_eq!(cut[1].as_ref().unwrap_err(), &fault);
        let bytes: Vec<&Bytes> = cut.iter().flatten().map(|outcome| &outcome.bytes).collect();
        assert_eq!(bytes, ["one", "", "three"]);
        assert_eq!(bytes[2].as_ptr(), payload[3..].as_ptr(), "copied");
        assert!(cut.iter().flatten().all(|outcome| outcome.work_us == 7));
    }

    #[test]
    fn a_worker_that_lies_about_lengths_is_not_believed() {
        for lengths in [vec![made(9)], vec![made(3)], vec![made(u64::MAX), made(9)], vec![]] {
            let fault = outcomes(lengths, Bytes::from_static(b"onethree"), (0, 0), None).unwrap_err();
            assert!(fault.text.contains("and sent 8"), "{fault}");
        }
    }
}
