//! The server's side of the workers: one supervisor per process, which hands it tasks, enforces the deadline by
//! killing it, and replaces it at once when it dies. A death fails the one task that caused it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::fair::{FLOOR, Flow, Turn};
use imgserve_base::fault::{Fault, FaultKind, Retry, chain};
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_config::{Codec, CodecSettings, Limits, OperationSettings, PluginKind, Plugins, Workers};
use imgserve_sdk::InputKind;
use tokio::sync::oneshot;

use super::assignment::{Assignment, End, death_fault, late_fault, perform};
use super::budget::Budget;
use super::child::{Child, SpawnError};
use super::codecs::formats_of;
use super::compile;
use super::output::{TaskOutput, outcomes};
use super::payload::Payload;
use super::protocol::{
    Loaded, LoadedCodec, Placeholder, Prepared, Registered, RegisteredCodec, Reply, Request, Setup, Task,
};
use super::queue::{Place, Queue, Role, Wanted};
use super::sandbox;
use super::wire::Blame;
use crate::plugin::{Artifact, TimeLimit};

/// How long to wait before a worker that cannot be started is tried again.
const RESPAWN_DELAY: Duration = Duration::from_secs(1);

/// How often plugins' files are marked as used.
const KEEP_FILES: Duration = Duration::from_secs(24 * 3600);

/// How long a short task may wait for a worker.
const SHORT_PATIENCE: Duration = Duration::from_secs(30);

/// A longer source of a direct call is taken for a large one before anybody has looked at it, in bytes.
const SMALL_SOURCE: u64 = 4 * MIB;

/// What a small direct call may take of the memory that is in reserve, in bytes, the source included.
const SMALL_BYTES: u64 = 128 * MIB;

/// A millisecond of a worker is worth so many pixels: what takes longer than its pixels is paid for all the same.
const PIXELS_PER_MS: u64 = 50_000;

/// What a pool needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The program whose command `worker` is a worker: imgserve itself.
    pub program: PathBuf,
    /// Operation name → plugin; pipelines are none of the workers' business.
    pub operations: Vec<(String, OperationSettings)>,
    /// Codecs that are plugins, by their sections' names.
    pub codecs: Vec<(String, CodecSettings)>,
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
    codecs: Vec<LoadedCodec>,
    /// The formats of these codecs.
    formats: Vec<Format>,
    /// Operations whose time can be told by the pixels: built-in ones that take pixels.
    predictable: HashSet<String>,
}

#[derive(Debug)]
struct Shared {
    config: PoolConfig,
    operations: Vec<Registered>,
    codecs: Vec<RegisteredCodec>,
    queue: Queue<Assignment>,
    /// What a task may take of the memory budget without planning first, in bytes: if all workers that take such tasks do
    /// so at once, it is just enough.
    unplanned: u64,
    /// The same of what is in reserve for small ones.
    unplanned_small: u64,
    stats: Arc<Stats>,
}

impl Pool {
    /// Has plugin files made ready and starts the workers; returns when the first one has loaded all plugins.
    ///
    /// # Errors
    /// The fault for which it could not.
    pub async fn start(config: PoolConfig, budget: Arc<Budget>, stats: Arc<Stats>) -> Result<Self, Fault> {
        let (operations, codecs) = compile::compile(&config).await?;
        let cores = sandbox::cores();
        let count = match config.workers.count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let unplanned = (budget.general() / count as u64).min(config.workers.memory_limit_mb * MIB);
        let unplanned_small = budget.reserve().min(SMALL_BYTES).min(unplanned);
        let queue = Queue::new(budget);
        let shared =
            Arc::new(Shared { config, operations, codecs, queue, unplanned, unplanned_small, stats });
        let slots = (0..count).map(|slot| Slot {
            role: Role::General,
            core: shared.config.workers.pin.then(|| cores.get(slot % cores.len().max(1)).copied()).flatten(),
        });
        // One more than cores, free to run on any, for short tasks, and for small ones beside large ones.
        let mut slots = slots.chain([Slot { role: Role::Express, core: None }]);
        let first_slot = slots.next().expect("there is at least the express worker");
        let first = shared.spawn(first_slot, false).await.map_err(|error| spawn_fault(&error))?;
        let (loaded, codecs) = (first.loaded.clone(), first.codecs.clone());
        // Known here before a worker speaks of them.
        let formats = formats_known(&codecs)?;
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
        let predictable = predictable(&shared.config.operations, &loaded);
        Ok(Self { shared, loaded, codecs, formats, predictable })
    }

    /// The codecs that are plugins.
    pub fn codecs(&self) -> &[LoadedCodec] {
        &self.codecs
    }

    /// The formats that these read.
    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// The operations whose plugins are loaded.
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// Probes and plans on a source's first bytes, and draws the placeholder if one is wanted; none when they do not
    /// suffice. `flow` is who waits for it.
    ///
    /// # Errors
    /// The operation's refusal, or the fault of a worker that died or hung over it.
    pub async fn prepare(
        &self,
        flow: &Flow,
        task: Task,
        head: Bytes,
        complete: bool,
        draw: bool,
    ) -> Result<Option<(Prepared, Bytes)>, Fault> {
        self.check_format(task.format)?;
        let time_ms = self.shared.config.workers.prepare_timeout_ms;
        match self.short(flow, Request::Prepare { task, complete, draw, time_ms }, head).await? {
            (Reply::NeedMore, _) => Ok(None),
            (Reply::Prepared(prepared), placeholder) => Ok(Some((prepared, placeholder))),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Draws a placeholder.
    ///
    /// # Errors
    /// The fault of a worker that died or hung over it.
    pub async fn draw(&self, flow: &Flow, placeholder: Placeholder) -> Result<Bytes, Fault> {
        self.check_format(Some(placeholder.format))?;
        match self.short(flow, Request::Draw(placeholder), Bytes::new()).await? {
            (Reply::Drawn, bytes) => Ok(bytes),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Decodes a source once, then runs and encodes for each task; gives as many outcomes as there are tasks.
    /// `peak_bytes` of memory is admitted first; what waits goes on as `turn` says. Dropped, it is cancelled.
    ///
    /// # Errors
    /// That the source cannot be read, or the fault of a worker that died or hung over it. What one task does wrong is its
    /// own outcome.
    pub async fn run(
        &self,
        tasks: Vec<Task>,
        source: Bytes,
        peak_bytes: u64,
        turn: &Turn,
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<Vec<Result<TaskOutput, Fault>>, Fault> {
        tasks.iter().try_for_each(|task| self.check_format(task.format))?;
        let count = tasks.len();
        // Each has the time that it would have alone.
        let time_ms = self.shared.config.workers.run_timeout_ms.saturating_mul(count as u64);
        let small = turn.is_small() && self.is_predictable(&tasks);
        let wanted = Wanted { general: peak_bytes, reserve: small.then_some(peak_bytes) };
        let request = Request::Run { tasks, time_ms };
        match self.long(request, time_ms, source.into(), (turn, wanted), progress).await? {
            (Reply::Done { results, plan_us, work_us, .. }, bytes) if results.len() == count => {
                outcomes(results, bytes, (plan_us, work_us), None)
            }
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Plans and runs a task in one go, unless it takes more than may be taken unplanned. Dropped, it is cancelled. Of a
    /// source that only the worker reads, the outcome has the digest.
    ///
    /// # Errors
    /// As of [`Self::prepare`] and [`Self::run`].
    pub async fn direct(
        &self,
        task: Task,
        source: Payload,
        (flow, rank): (&Flow, i64),
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<DirectOutcome, Fault> {
        self.check_format(task.format)?;
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
        let small = length <= SMALL_SOURCE && self.is_predictable(std::slice::from_ref(&task));
        let reserve = small.then_some(self.shared.unplanned_small.max(length));
        // Nobody knows its pixels; as many as bytes is right of what is hard to compress.
        let turn = Turn { flow: flow.clone(), rank, cost: length.max(FLOOR) };
        let request = Request::Direct { task, within, most_pixels: None, digest, plan_ms, time_ms };
        let wanted = Wanted { general: within, reserve };
        match self.long(request, time_ms, source, (&turn, wanted), progress).await? {
            (Reply::Prepared(prepared), _) => Ok(DirectOutcome::Planned(prepared)),
            (Reply::Done { results, digest, plan_us, work_us, .. }, bytes) if results.len() == 1 => {
                let mut outcomes = outcomes(results, bytes, (plan_us, work_us), digest)?;
                let outcome = outcomes.pop().expect("there is one result");
                outcome.map(DirectOutcome::Done)
            }
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Refuses a result in a format whose codec these workers have not: a job may have been accepted by others, which had it.
    fn check_format(&self, format: Option<Format>) -> Result<(), Fault> {
        match format {
            Some(format @ Format::Plugged(_)) if !self.formats.contains(&format) => {
                let text = format!("no codec of [codecs] writes {format} any more");
                Err(Fault::new(FaultKind::OperationFailed, text))
            }
            _ => Ok(()),
        }
    }

    /// A request that waits for its turn, and what it wants of the memory budget.
    async fn long(
        &self,
        request: Request,
        time_ms: u64,
        payload: Payload,
        (turn, wanted): (&Turn, Wanted),
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<(Reply, Bytes), Fault> {
        let deadline = TimeLimit::to_run(time_ms);
        let (sender, outcome) = oneshot::channel();
        let progress = Some(progress);
        let paid = Some((turn.flow.clone(), turn.cost));
        let assignment =
            Assignment { request, payload, deadline, progress, paid, again: false, outcome: sender };
        let _forgotten = Forgotten(&self.shared);
        self.shared.queue.push_long(turn, wanted, assignment);
        self.outcome(outcome).await
    }

    /// Tasks waiting for a worker, short and long.
    pub fn waiting(&self) -> (usize, usize) {
        self.shared.queue.len()
    }

    /// Whether the time that tasks take can be told by their pixels.
    fn is_predictable(&self, tasks: &[Task]) -> bool {
        let mut steps = tasks.iter().flat_map(|task| &task.steps);
        steps.all(|step| self.predictable.contains(&step.operation))
    }

    async fn short(&self, flow: &Flow, request: Request, payload: Bytes) -> Result<(Reply, Bytes), Fault> {
        let deadline = TimeLimit::to_prepare(self.shared.config.workers.prepare_timeout_ms);
        let (sender, outcome) = oneshot::channel();
        let payload = payload.into();
        let assignment = Assignment {
            request,
            payload,
            deadline,
            progress: None,
            paid: None,
            again: false,
            outcome: sender,
        };
        self.shared.queue.push_short(flow, assignment);
        // Somebody waits for the reply: a queue that does not move must not hold them for ever.
        match tokio::time::timeout(deadline.time + SHORT_PATIENCE, self.outcome(outcome)).await {
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
            codecs: self.codecs.clone(),
            core: slot.core,
            memory_limit: self.config.workers.memory_limit_mb * MIB,
            limits: self.config.limits.clone(),
            codec: self.config.codec.clone(),
            guest_size: self.config.plugins.guest_size,
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
        let codecs = shared.codecs.iter().map(|codec| codec.artifact.clone());
        let artifacts: Vec<_> = artifacts.chain(codecs).collect();
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
        let (mut assignment, mut place) = match first.take() {
            Some(assignment) => (assignment, Place::default()),
            None => tokio::select! {
                taken = shared.queue.take(role) => taken?,
                () = child.ended() => return Some(End::Idle(None)),
            },
        };
        // Nobody waits for the outcome any more: the client or the job is gone.
        if assignment.outcome.is_closed() {
            continue;
        }
        if place.is_reserve() {
            assignment.keep_small(shared.unplanned_small);
        }
        let (paid, began) = (assignment.paid.clone(), Instant::now());
        shared.stats.busy.fetch_add(1, Ordering::Relaxed);
        let end = perform(child.for_task(), assignment, || place.is_large()).await;
        shared.stats.busy.fetch_sub(1, Ordering::Relaxed);
        if let Some((flow, paid)) = paid {
            let cost = (began.elapsed().as_millis() as u64).saturating_mul(PIXELS_PER_MS);
            shared.queue.charge(&flow, cost.saturating_sub(paid));
        }
        if end.is_some() {
            return end;
        }
    }
}

/// The operations whose time can be told by the pixels: not what a plugin does, nor a drawing.
fn predictable(operations: &[(String, OperationSettings)], loaded: &[Loaded]) -> HashSet<String> {
    let builtin = |name: &str| {
        let settings = operations.iter().find(|(known, _)| known == name);
        settings.is_some_and(|(_, settings)| settings.kind == PluginKind::Builtin)
    };
    let takes_pixels = |loaded: &&Loaded| matches!(loaded.description.input, InputKind::Pixels { .. });
    let names = loaded.iter().filter(takes_pixels).map(|loaded| loaded.name.clone());
    names.filter(|name| builtin(name)).collect()
}

/// The formats that codecs read, from now on known in this process.
fn formats_known(codecs: &[LoadedCodec]) -> Result<Vec<Format>, Fault> {
    let mut known = Vec::new();
    for LoadedCodec { name, description, .. } in codecs {
        // A worker has found them usable; they are its words all the same.
        let formats = formats_of(description)
            .map_err(|text| Fault::new(FaultKind::OperationFailed, format!("codec `{name}`: {text}")))?;
        known.extend(formats);
    }
    Ok(known)
}

fn spawn_fault(error: &SpawnError) -> Fault {
    Fault::of(FaultKind::OperationFailed, error)
}

fn unexpected(reply: Reply) -> Fault {
    Fault::new(FaultKind::OperationFailed, format!("the worker gave an answer out of turn: {reply:?}"))
}

#[cfg(test)]
mod tests {
    use imgserve_base::format::{Declared, DeclaredWritten, declared};
    use imgserve_base::kept::Kept;
    use imgserve_config::Config;

    use super::*;

    /// One without workers, whose codecs read these formats: what it does not refuse is never answered.
    fn pool(formats: Vec<Format>) -> Pool {
        let config = Config::parse("").unwrap();
        let (workers, limits, codec) = (config.workers.clone(), config.limits.clone(), config.codec.clone());
        let config = PoolConfig {
            program: PathBuf::new(),
            operations: Vec::new(),
            codecs: Vec::new(),
            cache_dir: PathBuf::new(),
            plugins: config.plugins,
            workers,
            limits,
            codec,
        };
        let (queue, stats) = (Queue::new(Budget::new(1 << 30)), Arc::default());
        let (unplanned, unplanned_small) = (0, 0);
        let (operations, codecs) = (Vec::new(), Vec::new());
        let shared = Shared { config, operations, codecs, queue, unplanned, unplanned_small, stats };
        let (loaded, codecs, predictable) = (Vec::new(), Vec::new(), HashSet::new());
        Pool { shared: Arc::new(shared), loaded, codecs, formats, predictable }
    }

    fn task(format: Format) -> Task {
        let (steps, extension, kept) = (Vec::new(), "png".to_owned(), Kept::default());
        Task { steps, extension, format: Some(format), quality: 80, kept, seed: 0 }
    }

    /// What four ways to have something written in this format are answered with; none where a worker would have to answer.
    async fn answers(pool: &Pool, format: Format) -> [Option<String>; 4] {
        async fn told<T>(asked: impl Future<Output = Result<T, Fault>>) -> Option<String> {
            let answered = tokio::time::timeout(Duration::from_millis(20), asked).await;
            answered.ok()?.err().map(|fault| fault.text)
        }
        let flow = Flow::new("", 1);
        let turn = Turn { flow: flow.clone(), rank: 0, cost: 0 };
        let nobody: Arc<dyn Fn(f32) + Send + Sync> = Arc::new(|_| {});
        let placeholder = Placeholder { width: 1, height: 1, format, failed: false };
        let (png, other) = (task(Format::Png), task(format));
        [
            told(pool.prepare(&flow, other.clone(), Bytes::new(), true, true)).await,
            told(pool.draw(&flow, placeholder)).await,
            told(pool.run(vec![png, other.clone()], Bytes::new(), 0, &turn, Arc::clone(&nobody))).await,
            told(pool.direct(other, Bytes::new().into(), (&flow, 0), nobody)).await,
        ]
    }

    #[tokio::test]
    async fn a_format_whose_codec_is_gone_is_refused_before_a_worker_hears_of_it() {
        let written = DeclaredWritten { max_side: 9, alpha: false, bits: 8, lossy: true };
        let gone = declared(Declared {
            name: "testgone".to_owned(),
            media_types: vec!["image/x-testgone".to_owned()],
            extensions: vec!["testgone".to_owned()],
            magic: vec![(0, b"gone".to_vec())],
            written: Some(written),
        })
        .unwrap();
        let refused = Some("no codec of [codecs] writes testgone any more".to_owned());
        assert_eq!(answers(&pool(Vec::new()), gone).await, [(); 4].map(|()| refused.clone()));
        assert_eq!(answers(&pool(vec![gone]), gone).await, [const { None }; 4]);
        assert_eq!(answers(&pool(Vec::new()), Format::Png).await, [const { None }; 4]);
    }
}
