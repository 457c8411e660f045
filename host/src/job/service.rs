//! What all jobs share: the current generation, the transfers, the job store, and the bounds.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::generation::Generation;
use super::intake::Gate;
use super::state::{JobId, Record};
use crate::config::Config;
use crate::fault::Fault;
use crate::journal::memory::Journal;
use crate::transfer::Transfer;
use crate::worker::{Budget, Stats};

/// The whole machinery behind the API.
#[derive(Debug)]
pub(crate) struct Service {
    program: PathBuf,
    generation: ArcSwap<Generation>,
    /// What a reload may not change halfway: one at a time.
    reloading: tokio::sync::Mutex<()>,
    pub(super) settings: Mutex<Arc<Settings>>,
    pub(super) journal: Journal,
    /// One permit for each job that is accepted and not finished.
    pub(super) queue: Arc<Semaphore>,
    /// Placeholders being stored: apart from results, so that slow destinations delay no reply.
    pub(super) placeholders: Semaphore,
    /// Jobs that run or whose result is being stored: what bounds the results held in memory.
    pub(super) results: Semaphore,
    pub(super) tasks: TaskTracker,
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
}

/// How the server is doing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overview {
    /// Jobs accepted and not finished.
    pub(crate) jobs: usize,
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
}

impl Service {
    /// Starts the workers; `program` is imgserve itself, whose command `worker` they are.
    ///
    /// # Errors
    /// The fault for which an operation or the transfers cannot be set up.
    pub(crate) async fn start(
        config: &Config,
        program: PathBuf,
        transfer: Transfer,
    ) -> Result<Arc<Self>, Fault> {
        let budget = Budget::new(config.memory_budget());
        let stats = Arc::new(Stats::default());
        let generation = Generation::start(config, &program, Arc::clone(&budget), Arc::clone(&stats)).await?;
        Ok(Arc::new(Self {
            program,
            generation: ArcSwap::new(generation),
            reloading: tokio::sync::Mutex::new(()),
            settings: Mutex::new(Arc::new(Settings::new(config, transfer, Gate::new(config)))),
            journal: Journal::new(config.jobs.max_finished),
            queue: Arc::new(Semaphore::new(config.limits.max_queue)),
            placeholders: Semaphore::new(config.transfer.max_transfers),
            results: Semaphore::new(config.transfer.max_transfers),
            tasks: TaskTracker::new(),
            budget,
            stats,
        }))
    }

    /// Swaps in the operations, workers, access rules and transfer settings of `config`. Jobs under way finish as they
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
        let settings = Arc::new(Settings::new(config, transfer, gate));
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.generation.store(generation);
        Ok(())
    }

    /// The generation that new jobs begin with.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The record of a job.
    pub(crate) fn job(&self, id: JobId) -> Option<Record> {
        self.journal.get(id)
    }

    /// Ids and destinations of the jobs that have not ended.
    pub(crate) fn unfinished(&self) -> Vec<(JobId, String)> {
        self.journal.unfinished()
    }

    /// How the server is doing.
    pub(crate) fn overview(&self) -> Overview {
        let (waiting_short, waiting_long) = self.generation.load().pool.waiting();
        Overview {
            jobs: self.tasks.len(),
            waiting_short,
            waiting_long,
            workers: self.stats.alive.load(Ordering::Relaxed),
            workers_busy: self.stats.busy.load(Ordering::Relaxed),
            worker_restarts: self.stats.restarts.load(Ordering::Relaxed),
            memory_used_bytes: self.budget.used(),
            accepting: !self.tasks.is_closed() && self.queue.available_permits() > 0,
        }
    }

    /// Takes no new jobs and waits until the accepted ones are finished; false when that takes longer than `limit`.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

impl Settings {
    fn new(config: &Config, transfer: Transfer, gate: Gate) -> Self {
        let memory_limit = config.workers.memory_limit_mb << 20;
        Self { transfer, gate: gate.for_sources_up_to(config.limits.max_source_mb << 20), memory_limit }
    }
}
