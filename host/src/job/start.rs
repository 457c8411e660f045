//! Puts the service together, takes up what the journal holds, and sets going what runs by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fault::Fault;
use imgserve_cache::Cache;
use imgserve_config::Config;
use imgserve_journal::{Journal, JournalError};
use imgserve_transfer::Transfer;
use imgserve_worker::{Budget, Stats};

use super::current::Current;
use super::dispatch;
use super::generation::Generation;
use super::nodes;
use super::notify::{self, LAST_PAUSE};
use super::service::Service;

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
        cache: Option<Arc<Cache>>,
    ) -> Result<Arc<Self>, Fault> {
        let current = Current::start(config, program, transfer).await?;
        let service = Arc::new(Self::new(config, current, journal, cache));
        service.take_up(Duration::from_secs(config.jobs.max_retry_pause_s)).await?;
        tokio::spawn(dispatch::dispatch(Arc::clone(&service)));
        tokio::spawn(dispatch::keep_house(Arc::clone(&service)));
        tokio::spawn(notify::deliver(Arc::clone(&service)));
        tokio::spawn(nodes::keep_up(Arc::clone(&service)));
        Ok(service)
    }

    /// Sets up the operations as a start and a reload do, with one worker, and lets go of them. Returns how many there are.
    ///
    /// # Errors
    /// The fault for which an operation cannot be set up.
    pub(crate) async fn check(config: &Config, program: &Path) -> Result<usize, Fault> {
        let mut config = config.clone();
        config.workers.count = 1;
        let budget = Budget::new(config.memory_budget());
        let generation = Generation::start(&config, program, budget, Arc::new(Stats::default())).await?;
        Ok(generation.registry.iter().count())
    }

    /// Counts in what the journal holds.
    async fn take_up(&self, max_pause: Duration) -> Result<(), Fault> {
        // Written by another process, perhaps before the machine's clock was set back.
        let forward = self.journal().bring_forward(max_pause, LAST_PAUSE);
        match forward.await {
            // The journal says so itself; a server whose disk is full or read-only comes up, and tells its clients.
            Ok(()) | Err(JournalError::Unwritable { .. }) => {}
            Err(error) => return Err(self.journal_fault(&error)),
        }
        let counts = self.journal().counts().await.map_err(|error| self.journal_fault(&error))?;
        match self.journal().shared() {
            // There may be others already: the first look tells.
            Some(_) => self.queue().counted(counts.unfinished, 1),
            None => counts
                .unfinished
                .iter()
                .for_each(|(client, jobs)| self.queue().restore(client, *jobs as usize)),
        }
        let (jobs, notices) = (self.queue().len(), counts.notices);
        if jobs > 0 || notices > 0 {
            tracing::info!(jobs, webhooks = notices, "going on with what was left unfinished");
        }
        Ok(())
    }
}
