//! Puts the service together, takes up what the journal holds, and sets going what runs by itself.

use std::path::PathBuf;
use std::sync::Arc;

use imgserve_base::fault::Fault;
use imgserve_config::Config;
use imgserve_journal::Journal;
use imgserve_transfer::Transfer;

use super::current::Current;
use super::dispatch;
use super::notify;
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
    ) -> Result<Arc<Self>, Fault> {
        let current = Current::start(config, program, transfer).await?;
        let service = Arc::new(Self::new(config, current, journal));
        service.take_up().await?;
        tokio::spawn(dispatch::dispatch(Arc::clone(&service)));
        tokio::spawn(dispatch::keep_house(Arc::clone(&service), config.jobs.max_finished));
        tokio::spawn(notify::deliver(Arc::clone(&service)));
        Ok(service)
    }

    /// Counts in what the journal holds.
    async fn take_up(&self) -> Result<(), Fault> {
        let counts = self.journal().counts().await.map_err(|error| self.journal_fault(&error))?;
        for (client, jobs) in &counts.unfinished {
            self.queue().restore(client, *jobs as usize);
        }
        let (jobs, notices) = (self.queue().len(), counts.notices);
        if jobs > 0 || notices > 0 {
            tracing::info!(jobs, webhooks = notices, "going on with what was left unfinished");
        }
        Ok(())
    }
}
