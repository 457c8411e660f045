//! What all jobs share: the current generation, the transfers, the journal, and the bounds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{JobId, Phase, Record, now_ms};
use imgserve_config::Config;
use imgserve_journal::{Journal, JournalError};
use imgserve_transfer::Transfer;
use imgserve_worker::{Budget, Stats};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::direct::Direct;
use super::dispatch::{self, Warm};
use super::generation::Generation;
use super::intake::Gate;
use super::live::Live;
use super::notify;
use super::queue::Queue;
use super::retry::Policy;
use crate::access::Keys;
use crate::metrics::{self, Metrics, Snapshot};

/// Seconds after which a client should try again when the journal cannot be written.
const JOURNAL_RETRY_S: u64 = 30;

/// The whole machinery behind the API.
#[derive(Debug)]
pub(crate) struct Service {
    program: PathBuf,
    generation: ArcSwap<Generation>,
    settings: ArcSwap<Settings>,
    keys: ArcSwap<Keys>,
    /// What a reload may not change halfway: one at a time.
    reloading: tokio::sync::Mutex<()>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) queue: Queue,
    pub(super) live: Live,
    pub(super) warm: Warm,
    pub(super) keys_in_use: Locks,
    /// Cancelled jobs at whose destinations that is being shown, by id.
    pub(super) showing: Locks,
    /// Jobs during which the server has ended again and again run one at a time.
    pub(super) suspects: Semaphore,
    /// Placeholders being stored: apart from results, so that slow destinations delay no reply.
    pub(super) placeholders: Semaphore,
    /// Jobs that run or whose result is being stored: what bounds the results held in memory.
    pub(super) results: Semaphore,
    pub(super) direct: Direct,
    /// Attempts that may be under way at once.
    pub(super) window: usize,
    pub(super) keep_finished: usize,
    /// Acceptances under way.
    pub(super) tasks: TaskTracker,
    /// Attempts under way, and webhooks.
    pub(super) attempts: TaskTracker,
    /// There may be a job to claim.
    pub(super) woken: Notify,
    /// How often it was said so, and how often the dispatcher has heard it.
    pub(super) asked: AtomicU64,
    pub(super) seen: AtomicU64,
    /// There may be a webhook to send.
    pub(super) wake_notices: Notify,
    /// Something is over: a stop looks whether all is.
    pub(super) idle: Notify,
    /// More jobs wait than there was room for.
    pub(super) backlog: AtomicBool,
    /// When the next job that waits for its time is due, in milliseconds since 1970; `u64::MAX` for none.
    pub(super) next_due_ms: AtomicU64,
    /// Whether a job has ended since it was last looked which to forget.
    pub(super) ended: AtomicBool,
    /// Attempts under way are given back.
    pub(super) stopping: CancellationToken,
    pub(crate) metrics: Metrics,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
}

/// What a reload replaces beside the generation.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) transfer: Transfer,
    pub(super) gate: Gate,
    /// What one worker may take, in bytes.
    pub(super) memory_limit: u64,
    pub(super) retry: Policy,
    pub(super) webhooks: notify::Settings,
}

/// How the server is doing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overview {
    /// Jobs accepted and not finished.
    pub(crate) jobs: usize,
    /// Attempts at jobs under way.
    pub(crate) running: usize,
    /// Direct calls under way.
    pub(crate) calls: usize,
    /// Tasks waiting for a worker: probing, planning, drawing.
    pub(crate) waiting_short: usize,
    /// Tasks waiting for a worker: running.
    pub(crate) waiting_long: usize,
    /// Worker processes that are ready or busy.
    pub(crate) workers: usize,
    /// Worker processes that are busy.
    pub(crate) workers_busy: usize,
    /// Worker processes that died and were replaced.
    pub(crate) worker_restarts: u64,
    /// Estimated memory of all running tasks, in bytes.
    pub(crate) memory_used_bytes: u64,
    /// Whether new jobs are taken.
    pub(crate) accepting: bool,
    /// Why the journal takes nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) journal_error: Option<String>,
}

impl Service {
    /// Starts the workers, takes up what the journal holds, and begins to run it; `program` is imgserve itself, whose
    /// command `worker` the workers are.
    ///
    /// # Errors
    /// The fault for which an operation, the transfers or the journal cannot be set up.
    pub(crate) async fn start(
        config: &Config,
        program: PathBuf,
        transfer: Transfer,
        journal: Arc<dyn Journal>,
    ) -> Result<Arc<Self>, Fault> {
        let budget = Budget::new(config.memory_budget());
        let stats = Arc::new(Stats::default());
        let generation = Generation::start(config, &program, Arc::clone(&budget), Arc::clone(&stats)).await?;
        let transfers = config.transfer.max_transfers;
        let service = Arc::new(Self {
            program,
            generation: ArcSwap::new(generation),
            settings: ArcSwap::from_pointee(Settings::new(config, transfer, Gate::new(config))),
            keys: ArcSwap::from_pointee(Keys::new(&config.access)),
            reloading: tokio::sync::Mutex::new(()),
            journal,
            queue: Queue::new(config.limits.max_queue, config.queue_per_key()),
            live: Live::default(),
            warm: Warm::default(),
            keys_in_use: Locks::default(),
            showing: Locks::default(),
            suspects: Semaphore::new(1),
            placeholders: Semaphore::new(transfers),
            results: Semaphore::new(transfers),
            // Twice: while the results of some are stored, the sources of others are fetched.
            window: transfers.saturating_mul(2),
            keep_finished: config.jobs.max_finished,
            direct: Direct::new(config),
            tasks: TaskTracker::new(),
            attempts: TaskTracker::new(),
            woken: Notify::new(),
            asked: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            wake_notices: Notify::new(),
            idle: Notify::new(),
            backlog: AtomicBool::new(false),
            next_due_ms: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(true),
            stopping: CancellationToken::new(),
            metrics: Metrics::new(),
            budget,
            stats,
        });
        service.metrics.operations(service.generation().registry.names());
        service.take_up().await?;
        tokio::spawn(dispatch::dispatch(Arc::clone(&service)));
        tokio::spawn(dispatch::keep_house(Arc::clone(&service)));
        tokio::spawn(notify::deliver(Arc::clone(&service)));
        Ok(service)
    }

    /// Counts in what the journal holds.
    async fn take_up(&self) -> Result<(), Fault> {
        let counts = self.journal.counts().await.map_err(|error| self.journal_fault(&error))?;
        for (client, jobs) in &counts.unfinished {
            self.queue.restore(client, *jobs as usize);
        }
        let (jobs, notices) = (self.queue.len(), counts.notices);
        if jobs > 0 || notices > 0 {
            tracing::info!(jobs, webhooks = notices, "going on with what was left unfinished");
        }
        Ok(())
    }

    /// Swaps in the operations, workers, keys, access rules and transfer settings of `config`. Jobs under way finish as they
    /// began. What bounds
    /// all generations together (queue, transfers at once, memory for sources and tasks) stays as it was at the start.
    ///
    /// # Errors
    /// The fault for which the new generation cannot be started; the old one goes on.
    pub(crate) async fn reload(&self, config: &Config, transfer: Transfer) -> Result<(), Fault> {
        let _one = self.reloading.lock().await;
        let (budget, stats) = (Arc::clone(&self.budget), Arc::clone(&self.stats));
        let generation = Generation::start(config, &self.program, budget, stats).await?;
        let gate = self.settings().gate.clone();
        self.settings.store(Arc::new(Settings::new(config, transfer, gate)));
        self.metrics.operations(generation.registry.names());
        self.generation.store(generation);
        let keys = Keys::new(&config.access);
        if keys.are_none() && !self.keys.load().are_none() {
            tracing::warn!(
                "the last API key was taken away: everyone who reaches the port may do everything now"
            );
        }
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// The generation that new jobs begin with.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// How the server is doing.
    pub(crate) fn overview(&self) -> Overview {
        let (waiting_short, waiting_long) = self.generation.load().pool.waiting();
        let health = self.journal.health();
        let broken = health.broken.map(|text| JournalError::Broken { text }.to_string());
        let journal_error = broken.or(health.unwritable);
        Overview {
            jobs: self.queue.len(),
            running: self.live.len(),
            calls: self.direct.calls.len(),
            waiting_short,
            waiting_long,
            workers: self.stats.alive.load(Ordering::Relaxed),
            workers_busy: self.stats.busy.load(Ordering::Relaxed),
            worker_restarts: self.stats.restarts.load(Ordering::Relaxed),
            memory_used_bytes: self.budget.used(),
            accepting: !self.tasks.is_closed() && !self.queue.is_full() && journal_error.is_none(),
            journal_error,
        }
    }

    /// Everything that is counted, in Prometheus' text format.
    pub(crate) async fn exposition(&self) -> String {
        // What the journal cannot tell must not hide that it cannot.
        let counts = self.journal.counts().await.unwrap_or_default();
        let Overview {
            waiting_short,
            waiting_long,
            workers,
            workers_busy,
            worker_restarts,
            memory_used_bytes,
            ..
        } = self.overview();
        self.metrics.render(&Snapshot {
            jobs: counts.states.iter().map(|(state, jobs)| (state.as_str(), *jobs)).collect(),
            workers,
            workers_busy,
            worker_restarts,
            waiting_short,
            waiting_long,
            memory_used_bytes,
            journal: self.journal.health(),
            undelivered_webhooks: counts.notices,
        })
    }

    /// Counts a request that came no further than its key: its key is `unknown`, or not good for it.
    pub(crate) fn denied(&self, unknown: bool) {
        let denial = if unknown { metrics::Denial::Unauthorized } else { metrics::Denial::Forbidden };
        self.metrics.denied(denial);
    }

    /// Counts a request that is refused.
    pub(super) fn refused(&self, fault: &Fault) {
        self.metrics.refused(fault.kind.as_str());
        if let Some(operation) = &fault.operation {
            self.metrics.plugin_failed(operation, fault.kind.as_str());
        }
    }

    /// The fault of a request that the journal cannot serve.
    pub(super) fn journal_fault(&self, error: &JournalError) -> Fault {
        match error {
            // The journal itself has said so, once.
            JournalError::Unwritable { .. } | JournalError::Broken { .. } => tracing::debug!("{error}"),
            _ => tracing::error!("{error}"),
        }
        let fault = Fault::of(FaultKind::JournalUnavailable, error).retried(Retry::Later);
        Fault { retry_after_s: Some(JOURNAL_RETRY_S), ..fault }
    }

    /// Counts a job that has ended, and writes the one line of the log that says what became of it.
    pub(super) fn tell_end(&self, record: &Record, bytes: u64) {
        self.count_end(record, bytes);
        let took = record.finished_at_ms.unwrap_or_default().saturating_sub(record.accepted_at_ms);
        let phase = |phase| record.timings.get(&phase).copied().unwrap_or_default();
        let destinations: Vec<&str> =
            record.outputs.iter().map(|output| output.destination.as_str()).collect();
        let error = record.error().map(|fault| format!("; {}: {fault}", fault.kind)).unwrap_or_default();
        tracing::info!(
            job = %record.id,
            state = record.state.as_str(),
            operation = %record.operation,
            client = %record.client,
            source = %record.source,
            destination = %destinations.join(" "),
            attempts = record.attempt,
            bytes,
            ms = took,
            fetch_ms = phase(Phase::Fetch),
            queue_ms = phase(Phase::Queue),
            work_ms = phase(Phase::Work),
            store_ms = phase(Phase::Store),
            "{}{error}",
            record.state.as_str(),
        );
    }

    fn count_end(&self, record: &Record, bytes: u64) {
        self.metrics.ended(&record.operation, record.state);
        self.metrics.moved(metrics::Direction::Stored, bytes);
        for (phase, ms) in &record.timings {
            self.metrics.took(*phase, Duration::from_secs_f64(ms / 1e3));
        }
        for fault in record.outputs.iter().filter_map(|output| output.error.as_ref()) {
            if let Some(operation) = &fault.operation {
                self.metrics.plugin_failed(operation, fault.kind.as_str());
            }
        }
    }

    /// There may be a job to claim.
    pub(super) fn wake(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.woken.notify_one();
    }

    /// An attempt is over, and the journal knows.
    pub(super) fn over(&self, id: JobId, attempt: u32) {
        self.live.end(id, attempt);
        if self.backlog.load(Ordering::Acquire) {
            self.wake();
        }
        self.idle.notify_waiters();
    }

    /// Resolves when the server stops: nobody is to be kept waiting any more.
    pub(crate) async fn stopped(&self) {
        self.stopping.cancelled().await;
    }

    /// Takes no new jobs and calls.
    pub(crate) fn close(&self) {
        self.tasks.close();
        self.direct.calls.close();
    }

    /// Waits until no accepted job is left that could end within `limit`; false when that takes longer.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        let end_ms = now_ms() + limit.as_millis() as u64;
        let drained = async {
            self.tasks.wait().await;
            self.direct.calls.wait().await;
            loop {
                let changed = self.idle.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let backlog = self.backlog.load(Ordering::Acquire)
                    || self.asked.load(Ordering::Acquire) != self.seen.load(Ordering::Acquire);
                let due = self.next_due_ms.load(Ordering::Acquire) <= end_ms;
                if self.queue.len() == 0 || (self.live.len() == 0 && !backlog && !due) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, drained).await.is_ok()
    }

    /// Gives back what is under way, but for results that are being stored: for those it waits up to `limit`. Returns how
    /// many accepted jobs are left to the next start.
    pub(crate) async fn stop(&self, limit: Duration) -> usize {
        self.stopping.cancel();
        self.attempts.close();
        let _ = tokio::time::timeout(limit, async {
            self.tasks.wait().await;
            self.attempts.wait().await;
        })
        .await;
        self.queue.len()
    }
}

impl Settings {
    fn new(config: &Config, transfer: Transfer, gate: Gate) -> Self {
        Self {
            transfer,
            gate: gate.for_sources_up_to(config.limits.max_source_mb << 20),
            memory_limit: config.workers.memory_limit_mb << 20,
            retry: Policy {
                max_attempts: config.jobs.max_attempts,
                max_pause: Duration::from_secs(config.jobs.max_retry_pause_s),
            },
            webhooks: notify::Settings::new(&config.webhooks),
        }
    }
}

/// Locks by name: those who hold the same one go one after the other.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<(String, String), Weak<Lock>>>);

type Lock = tokio::sync::Mutex<()>;

impl Locks {
    /// The lock of this name.
    pub(super) fn of(&self, name: (String, String)) -> Arc<Lock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(name, Arc::downgrade(&lock));
        lock
    }
}
