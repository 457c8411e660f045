//! What happens after the reply: the rest of the source, a worker, the result over the placeholder. A failure puts the
//! "Image Processing failed" placeholder there and is recorded.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::generation::Generation;
use super::intake::{self, Held, Intake};
use super::request::Order;
use super::service::{Service, Settings};
use super::state::{JobId, JobState, Phase};
use crate::fault::{Fault, FaultKind};
use crate::transfer::Destination;
use crate::worker::{Placeholder, Prepared};

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

    /// Stores `bytes` at the destination.
    pub(super) async fn store(&self, bytes: Bytes) -> Result<(), Fault> {
        let stopping = |_| Fault::new(FaultKind::Busy, "the server is stopping");
        let _permit = self.service.stores.acquire().await.map_err(stopping)?;
        let field = self.order.field.as_deref();
        self.settings
            .transfer
            .store(&self.destination, bytes, &self.order.media_type, field)
            .await
            .map_err(|error| intake::transfer_fault(FaultKind::DestinationUnavailable, &error))
    }

    async fn work(&mut self, accepted: Instant) -> Result<u64, Fault> {
        let held = self.source().await?;
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
        let peak_bytes = self.prepared.peak_bytes.saturating_add(held.bytes.len() as u64);
        let task = self.order.task.clone();
        let ran = self.generation.pool.run(task, held.bytes.clone(), peak_bytes, Arc::new(report)).await;
        drop(held);
        let done = Instant::now();
        let (width, height, result) = ran?;
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
                let Settings { transfer, gate } = &*self.settings;
                intake::fetch_whole(transfer, &self.order.source, gate).await
            }
        }
    }

    fn succeed(self, bytes: u64, accepted: Instant) {
        self.service.journal.advance(self.id, JobState::Succeeded);
        tracing::info!(
            job = %self.id,
            operation = %self.order.task.operation,
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
            operation = %self.order.task.operation,
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
