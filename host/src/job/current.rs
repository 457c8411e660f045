//! What is in force: operations and their workers, settings, keys. A reload swaps them; jobs under way go on with what they
//! began with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use imgserve_base::fault::Fault;
use imgserve_config::Config;
use imgserve_transfer::Transfer;
use imgserve_worker::{Budget, Stats};
use tokio::sync::Mutex;

use super::generation::Generation;
use super::intake::Gate;
use super::settings::Settings;
use crate::access::Keys;

/// What new jobs begin with.
#[derive(Debug)]
pub(super) struct Current {
    /// imgserve itself, whose command `worker` the workers are.
    program: PathBuf,
    generation: ArcSwap<Generation>,
    settings: ArcSwap<Settings>,
    keys: ArcSwap<Keys>,
    /// What a reload may not change halfway: one at a time.
    reloading: Mutex<()>,
    /// Shared by the workers of all generations.
    budget: Arc<Budget>,
    stats: Arc<Stats>,
}

/// How the workers are doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkersNow {
    /// Tasks waiting for a worker of the current generation: short and long ones.
    pub(super) waiting: (usize, usize),
    /// Worker processes that are ready or busy.
    pub(super) alive: usize,
    /// Worker processes that are busy.
    pub(super) busy: usize,
    /// Worker processes that died and were replaced.
    pub(super) restarts: u64,
    /// Estimated memory of all running tasks, in bytes.
    pub(super) memory_used_bytes: u64,
}

impl Current {
    /// Starts the workers.
    ///
    /// # Errors
    /// The fault for which an operation cannot be set up.
    pub(super) async fn start(config: &Config, program: PathBuf, transfer: Transfer) -> Result<Self, Fault> {
        let budget = Budget::new(config.memory_budget());
        let stats = Arc::new(Stats::default());
        let generation = Generation::start(config, &program, Arc::clone(&budget), Arc::clone(&stats)).await?;
        Ok(Self {
            program,
            generation: ArcSwap::new(generation),
            settings: ArcSwap::from_pointee(Settings::new(config, transfer, &Gate::new(config))),
            keys: ArcSwap::from_pointee(Keys::new(&config.access)),
            reloading: Mutex::new(()),
            budget,
            stats,
        })
    }

    /// Swaps in what `config` says. What bounds all generations together (memory for sources and tasks) stays as it was.
    /// `announce` hears of the new generation before any job does.
    ///
    /// # Errors
    /// The fault for which the new generation cannot be started; the old one goes on.
    pub(super) async fn reload(
        &self,
        config: &Config,
        transfer: Transfer,
        announce: impl FnOnce(&Generation),
    ) -> Result<(), Fault> {
        let _one = self.reloading.lock().await;
        let (budget, stats) = (Arc::clone(&self.budget), Arc::clone(&self.stats));
        let generation = Generation::start(config, &self.program, budget, stats).await?;
        let before = self.settings();
        let settings = Settings::new(config, transfer.counting_on(&before.transfer), &before.gate);
        self.settings.store(Arc::new(settings));
        announce(&generation);
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

    pub(super) fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    pub(super) fn workers(&self) -> WorkersNow {
        WorkersNow {
            waiting: self.generation.load().pool.waiting(),
            alive: self.stats.alive.load(Ordering::Relaxed),
            busy: self.stats.busy.load(Ordering::Relaxed),
            restarts: self.stats.restarts.load(Ordering::Relaxed),
            memory_used_bytes: self.budget.used(),
        }
    }
}
