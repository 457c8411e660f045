//! What all jobs share, put together of parts with an interface of their own each; how the server is doing; how it stops.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use imgserve_base::clock::steady_ms;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{Client, JobId};
use imgserve_cache::Cache;
use imgserve_config::Config;
use imgserve_journal::{Journal, JournalError};
use imgserve_transfer::Transfer;
use serde::Serialize;

use super::current::{Current, WorkersNow};
use super::direct::Renders;
use super::generation::Generation;
use super::leases::Leases;
use super::lifecycle::Lifecycle;
use super::live::Live;
use super::locks::Locks;
use super::queue::{Coming, Queue, Refusal, too_many};
use super::settings::Settings;
use super::tally::Tally;
use super::turns::Turns;
use super::wakeups::Wakeups;
use super::warm::Warm;
use crate::access::Keys;
use crate::metrics::Snapshot;

/// Seconds after which a client should try again when the journal cannot be written.
const JOURNAL_RETRY_S: u64 = 30;

/// How often it is counted whether there is room for a job, where others are faster every time.
const COUNTS: usize = 50;

/// The whole machinery behind the API.
#[derive(Debug)]
pub(crate) struct Service {
    current: Current,
    journal: Arc<dyn Journal>,
    leases: Leases,
    queue: Queue,
    turns: Turns,
    wakeups: Wakeups,
    warm: Warm,
    live: Live,
    renders: Arc<Renders>,
    cache: Option<Arc<Cache>>,
    locks: Locks,
    tally: Tally,
    lifecycle: Lifecycle,
    /// Why the last reload took nothing in, if so.
    refused_config: ArcSwapOption<String>,
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
    /// Places for transfers over the network that are taken.
    pub(crate) transfers: usize,
    /// Transfers that wait for a place.
    pub(crate) transfers_waiting: usize,
    /// Whether new jobs are taken.
    pub(crate) accepting: bool,
    /// Why the journal takes nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) journal_error: Option<String>,
    /// Why the last reload took nothing in, if so: what is in force is older than the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_error: Option<String>,
}

impl Service {
    /// With nothing under way yet.
    pub(super) fn new(
        config: &Config,
        current: Current,
        journal: Arc<dyn Journal>,
        cache: Option<Arc<Cache>>,
    ) -> Self {
        let tally = Tally::new();
        tally.metrics().operations(current.generation().registry.names());
        let turns = Turns::new(current.settings().gate.places().clone());
        let leases = Leases::new(Duration::from_secs(config.jobs.lease_s), journal.shared().is_some());
        Self {
            current,
            journal,
            leases,
            queue: Queue::new(config.limits.max_queue, config.queue_per_key()),
            turns,
            wakeups: Wakeups::new(),
            warm: Warm::default(),
            live: Live::default(),
            renders: Arc::default(),
            cache,
            locks: Locks::default(),
            tally,
            lifecycle: Lifecycle::new(),
            refused_config: ArcSwapOption::empty(),
        }
    }

    /// Swaps in the operations, workers, keys, access rules and transfer settings of `config`. Jobs under way finish as
    /// they began. What bounds all generations together (queue, transfers at once, memory for sources and tasks) stays as
    /// it was at the start.
    ///
    /// # Errors
    /// The fault for which the new generation cannot be started; the old one goes on.
    pub(crate) async fn reload(&self, config: &Config, transfer: Transfer) -> Result<(), Fault> {
        let announce = |generation: &Generation| self.tally.metrics().operations(generation.registry.names());
        self.current.reload(config, transfer, announce).await
    }

    /// Notes how a reload went: why the configuration was refused, if it was.
    pub(crate) fn reloaded(&self, error: Option<&str>) {
        self.tally.metrics().configured(error.is_none());
        self.refused_config.store(error.map(|text| Arc::new(text.to_owned())));
    }

    /// The generation that new jobs begin with.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.current.generation()
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.current.keys()
    }

    /// The settings that new jobs begin with.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.current.settings()
    }

    pub(super) fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    /// How leases are given.
    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The places of accepted jobs.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Takes a place of an accepted job, which where nodes share a journal may take counting how many there are.
    ///
    /// # Errors
    /// As of [`Queue::enter`].
    pub(super) async fn enter(self: &Arc<Self>, client: &Client) -> Result<Coming, Fault> {
        for _ in 0..COUNTS {
            match self.queue.enter(client) {
                Ok(()) => return Ok(Coming::new(Arc::clone(self), client.clone())),
                Err(Refusal::Full(fault)) => return Err(fault),
                Err(Refusal::Uncounted(count)) => self.count_again(count).await?,
            }
        }
        Err(too_many())
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(super) fn wakeups(&self) -> &Wakeups {
        &self.wakeups
    }

    /// Accepted jobs that have not begun.
    pub(super) fn warm(&self) -> &Warm {
        &self.warm
    }

    /// Jobs under way.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Renders under way.
    pub(super) fn renders(&self) -> &Arc<Renders> {
        &self.renders
    }

    /// Results that are kept, if they are.
    pub(crate) fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// How the server is doing.
    pub(crate) fn overview(&self) -> Overview {
        let workers = self.current.workers();
        let WorkersNow { waiting: (waiting_short, waiting_long), alive, busy, restarts, .. } = workers;
        let health = self.journal.health();
        let broken = health.broken.map(|text| JournalError::Broken { text }.to_string());
        let journal_error = broken.or(health.unwritable);
        let transfers = self.turns.places().now();
        Overview {
            jobs: self.queue.len(),
            running: self.live.len(),
            calls: self.lifecycle.calls(),
            waiting_short,
            waiting_long,
            workers: alive,
            workers_busy: busy,
            worker_restarts: restarts,
            memory_used_bytes: workers.memory_used_bytes,
            transfers: transfers.iter().map(|(_, now)| now.network).sum(),
            transfers_waiting: transfers.iter().map(|(_, now)| now.waiting).sum(),
            accepting: self.lifecycle.is_open() && !self.queue.is_full() && journal_error.is_none(),
            journal_error,
            config_error: self.refused_config.load().as_deref().cloned(),
        }
    }

    /// Everything that is counted, in Prometheus' text format.
    pub(crate) async fn exposition(&self) -> String {
        // What the journal cannot tell must not hide that it cannot.
        let counts = self.journal.counts().await.unwrap_or_default();
        let workers = self.current.workers();
        let WorkersNow { waiting: (waiting_short, waiting_long), alive, busy, restarts, .. } = workers;
        self.tally.metrics().render(&Snapshot {
            jobs: counts.states.iter().map(|(state, jobs)| (state.as_str(), *jobs)).collect(),
            workers: alive,
            workers_busy: busy,
            worker_restarts: restarts,
            waiting_short,
            waiting_long,
            memory_used_bytes: workers.memory_used_bytes,
            transfers: self.turns.places().now().to_vec(),
            transfers_too_slow: self.settings().transfer.too_slow(),
            journal: self.journal.health(),
            undelivered_webhooks: counts.notices,
            cache: self.cache.as_ref().map(|cache| cache.figures()),
            node: self.journal.shared().map(|shared| (shared.name().to_owned(), shared.others() + 1)),
        })
    }

    /// Counts a request that was refused before it was a job's or a call's, by its `kind`.
    pub(crate) fn refused(&self, kind: &'static str) {
        self.tally.metrics().refused(kind);
    }

    /// The kinds of such that are counted from zero.
    pub(crate) fn refusals(&self, kinds: impl Iterator<Item = &'static str>) {
        self.tally.metrics().refusals(kinds);
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

    /// An attempt is over, and the journal knows.
    pub(super) fn over(&self, id: JobId, attempt: u32) {
        self.live.end(id, attempt);
        self.wakeups.over();
    }

    /// Resolves when the server stops: nobody is to be kept waiting any more.
    pub(crate) async fn stopped(&self) {
        self.lifecycle.stopping().await;
    }

    /// Takes no new jobs and calls.
    pub(crate) fn close(&self) {
        self.lifecycle.close();
    }

    /// Waits until no accepted job is left that could end within `limit`; false when that takes longer.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        let end_ms = steady_ms() + limit.as_millis() as u64;
        let done = || {
            // In this order: a job is claimed first and under way then.
            let nothing = self.wakeups.nothing_until(end_ms);
            self.queue.len() == 0 || (self.live.len() == 0 && nothing)
        };
        let drained = async {
            self.lifecycle.answered().await;
            self.wakeups.until(done).await;
        };
        tokio::time::timeout(limit, drained).await.is_ok()
    }

    /// Gives back what is under way, but for results that are being stored: for those it waits up to `limit`. Returns how
    /// many accepted jobs are left to the next start.
    pub(crate) async fn stop(&self, limit: Duration) -> usize {
        self.lifecycle.stop(limit).await;
        if let Some(cache) = self.cache.clone() {
            let written = tokio::task::spawn_blocking(move || cache.settle());
            let _ = tokio::time::timeout(limit, written).await;
        }
        self.queue.len()
    }
}
