//! What happens after the reply: the rest of the source, a worker, the result over the placeholder. A failure puts the
//! "Image Processing failed" placeholder there and is recorded.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::generation::Generation;
use super::intake::{self, Held, Intake, REPLY_PATIENCE};
use super::request::Order;
use super::service::{Service, Settings};
use super::state::{JobId, JobState, Phase};
use crate::fault::{Fault, FaultKind};
use crate::transfer::Destination;
use crate::worker::{Outcome, Placeholder, Prepared};

/// How long an accepted job waits for its turn to fetch its source again: past any queue that drains.
const TURN_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Where the source comes from.
#[derive(Debug)]
pub(super) enum Supply {
    /// It is being fetched since the request came.
    Coming(Intake),
    /// It is here.
    Here(Held),
    /// Memory was short: it is fetched again.
    Again,
}

/// An accepted job.
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) order: Order,
    pub(super) destination: Destination,
    pub(super) prepared: Prepared,
    pub(super) supply: Supply,
    pub(super) service: Arc<Service>,
    pub(super) generation: Arc<Generation>,
    pub(super) settings: Arc<Settings>,
    pub(super) _slot: tokio::sync::OwnedSemaphorePermit,
}

impl Job {
    /// Runs to the end and records it.
    pub(super) async fn run(mut self) {
        let accepted = Instant::now();
        match self.work(accepted).await {
            Ok(bytes) => self.succeed(bytes, accepted),
            Err(fault) => self.fail(fault, accepted).await,
        }
    }

    /// The same, and a job that breaks off by a mistake of ours has failed like any other.
    pub(super) async fn run_to_end(self) {
        let (service, id) = (Arc::clone(&self.service), self.id);
        if let Err(broken_off) = tokio::spawn(self.run()).await {
            let fault = Fault::new(FaultKind::OperationFailed, format!("the job broke off: {broken_off}"));
            tracing::error!(job = %id, "{fault}");
            service.journal.fail(id, fault);
        }
    }

    /// Stores the placeholder, which a client waits for.
    pub(super) async fn store_placeholder(&self, bytes: Bytes) -> Result<(), Fault> {
        let acquired = tokio::time::timeout(REPLY_PATIENCE, self.service.placeholders.acquire()).await;
        let Ok(Ok(_permit)) = acquired else {
            return Err(Fault::new(FaultKind::Busy, "too much is under way ([transfer] max_transfers)"));
        };
        self.store(bytes).await
    }

    async fn store(&self, bytes: Bytes) -> Result<(), Fault> {
        let field = self.order.field.as_deref();
        self.settings
            .transfer
            .store(&self.destination, bytes, &self.order.media_type, field)
            .await
            .map_err(|error| intake::transfer_fault(FaultKind::DestinationUnavailable, &error))
    }

    async fn work(&mut self, accepted: Instant) -> Result<u64, Fault> {
        let held = self.source().await?;
        let service = Arc::clone(&self.service);
        // From before the run until the result is stored: no more results than permits are ever held.
        let stopping = |_| Fault::new(FaultKind::Busy, "the server is stopping");
        let _permit = service.results.acquire().await.map_err(stopping)?;
        let began = Arc::new(OnceLock::new());
        let report = {
            let (service, id, began) = (Arc::clone(&self.service), self.id, Arc::clone(&began));
            move |done| {
                if began.set(Instant::now()).is_ok() {
                    service.journal.advance(id, JobState::Running);
                }
                service.journal.update(id, |record| record.progress = done);
            }
        };
        let own_bytes = self.prepared.own_bytes.saturating_add(held.bytes.len() as u64);
        let peak_bytes = own_bytes.saturating_add(self.prepared.guest_bytes);
        if own_bytes > self.settings.memory_limit {
            let (need, have) = (own_bytes >> 20, self.settings.memory_limit >> 20);
            let text = format!("the work would take about {need} MiB ([workers] memory_limit_mb = {have})");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        let task = self.order.task.clone();
        let ran = self.generation.pool.run(task, held.bytes.clone(), peak_bytes, Arc::new(report)).await;
        drop(held);
        let done = Instant::now();
        let registry = &self.generation.registry;
        registry.note(&self.order.task.steps, ran.as_ref().map(|_| ()));
        let Outcome { width, height, bytes: result, .. } = ran?;
        if (width, height) != (self.prepared.width, self.prepared.height) {
            let text = format!(
                "the result is {width}x{height} and was planned {}x{}: the source changed meanwhile",
                self.prepared.width, self.prepared.height
            );
            return Err(Fault::new(FaultKind::OperationFailed, text));
        }
        let bytes = result.len() as u64;
        self.store(result).await?;
        let began = began.get().copied().unwrap_or(done);
        self.service.journal.update(self.id, |record| {
            record.took(Phase::Queue, began - accepted);
            record.took(Phase::Work, done - began);
            record.took(Phase::Store, done.elapsed());
            record.output.bytes = Some(bytes);
        });
        Ok(bytes)
    }

    async fn source(&mut self) -> Result<Held, Fault> {
        let arrived = match std::mem::replace(&mut self.supply, Supply::Again) {
            Supply::Here(held) => Some(held),
            Supply::Coming(intake) => intake.finish().await?,
            Supply::Again => None,
        };
        match arrived {
            Some(held) => Ok(held),
            None => {
                let Settings { transfer, gate, .. } = &*self.settings;
                intake::fetch_whole(transfer, &self.order.source, gate, TURN_PATIENCE).await
            }
        }
    }

    fn succeed(self, bytes: u64, accepted: Instant) {
        self.service.journal.advance(self.id, JobState::Succeeded);
        tracing::info!(
            job = %self.id,
            operation = %self.order.operation,
            destination = %self.destination,
            width = self.prepared.width,
            height = self.prepared.height,
            bytes,
            ms = accepted.elapsed().as_millis() as u64,
            "succeeded"
        );
    }

    async fn fail(self, fault: Fault, accepted: Instant) {
        // Whoever looks at the destination after the job has failed finds the failure there.
        if let Err(fault) = self.store_failure().await {
            tracing::warn!(job = %self.id, "the failed job's placeholder cannot be stored: {fault}");
        }
        tracing::warn!(
            job = %self.id,
            operation = %self.order.operation,
            destination = %self.destination,
            kind = %fault.kind,
            ms = accepted.elapsed().as_millis() as u64,
            "failed: {fault}"
        );
        self.service.journal.fail(self.id, fault);
    }

    async fn store_failure(&self) -> Result<(), Fault> {
        let Some(format) = self.order.task.format else { return Ok(()) };
        let Prepared { width, height, .. } = self.prepared;
        let placeholder = Placeholder { width, height, format, failed: true };
        let bytes = self.generation.pool.draw(placeholder).await?;
        self.store(bytes).await
    }
}
