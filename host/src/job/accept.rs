//! What happens before the reply: check, fetch the first bytes, plan, record the job, store the placeholder. Only then
//! is the job runnable, so that a late placeholder can never overwrite a result.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::generation::Generation;
use super::intake::{self, Head, Held, Intake, REPLY_PATIENCE};
use super::request::{self, Order};
use super::run::{Job, Supply};
use super::service::{Service, Settings};
use super::state::{JobId, JobState, Output, Phase, Record, now_ms};
use crate::fault::{Fault, FaultKind};
use crate::transfer::{Destination, SourceUrl};
use crate::worker::Prepared;

/// The bytes of a source that planning is first tried with; four times as many each further time.
const FIRST_LOOK: usize = 16 << 10;

/// An accepted job, as the client is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: JobId,
    /// `dstURL` after substitution.
    pub(crate) destination: String,
    /// Arguments that nobody knows.
    pub(crate) unknown_arguments: Vec<String>,
}

impl Service {
    /// Accepts a request: when this returns, the placeholder is at its destination and the job will run.
    ///
    /// # Errors
    /// The fault for which it is refused; nothing of it remains.
    pub(crate) async fn accept(self: &Arc<Self>, body: &[u8]) -> Result<Accepted, Fault> {
        let object = request::parse(body)?;
        let generation = self.generation();
        let order = request::check(&object, &generation.registry)?;
        // Counted before looking, so that a stop which begins meanwhile waits for this one.
        let _counted = self.tasks.token();
        if self.tasks.is_closed() {
            return Err(Fault::new(FaultKind::Busy, "the server is stopping"));
        }
        let Ok(slot) = Arc::clone(&self.queue).try_acquire_owned() else {
            return Err(Fault::new(FaultKind::Busy, "the queue is full ([limits] max_queue)"));
        };
        // Not before there is room for it: an operation is tried again by one job, which must then come to its end.
        generation.registry.admit(&order.task.steps)?;
        let acceptance =
            Acceptance { service: Arc::clone(self), generation, settings: self.settings(), order };
        // Counted and run by itself: neither a client that hangs up nor a stop leaves a job half accepted.
        let task = self.tasks.spawn(async move { acceptance.accept(slot).await });
        task.await
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::OperationFailed, "acceptance was broken off")))
    }
}

struct Acceptance {
    service: Arc<Service>,
    generation: Arc<Generation>,
    settings: Arc<Settings>,
    order: Order,
}

impl Acceptance {
    async fn accept(self, slot: tokio::sync::OwnedSemaphorePermit) -> Result<Accepted, Fault> {
        let started = Instant::now();
        let (prepared, placeholder, supply) = self.prepare().await?;
        let (destination_url, destination) = self
            .order
            .destination_for(prepared.width, prepared.height)
            .map_err(|error| Fault::of(FaultKind::DestinationUnavailable, &error))?;
        let id = JobId::new();
        let mut record = self.record(id, &prepared, &destination);
        record.took(Phase::Plan, started.elapsed());
        let journal = &self.service.journal;
        journal.submit(record);

        let storing = Instant::now();
        let job = Job {
            id,
            order: self.order,
            destination,
            prepared,
            supply,
            service: Arc::clone(&self.service),
            generation: self.generation,
            settings: self.settings,
            _slot: slot,
        };
        if let Err(fault) = job.store_placeholder(placeholder).await {
            journal.withdraw(id);
            return Err(fault);
        }
        journal.update(id, |record| record.took(Phase::Placeholder, storing.elapsed()));
        journal.advance(id, JobState::Accepted);
        let unknown_arguments = job.order.unknown_arguments.clone();
        self.service.tasks.spawn(job.run_to_end());
        Ok(Accepted { id, destination: destination_url, unknown_arguments })
    }

    fn record(&self, id: JobId, prepared: &Prepared, destination: &Destination) -> Record {
        let source =
            SourceUrl::parse(&self.order.source).map_or_else(|_| String::new(), |url| url.to_string());
        Record {
            id,
            state: JobState::Accepting,
            operation: self.order.operation.clone(),
            source,
            destination: destination.to_string(),
            accepted_at_ms: now_ms(),
            finished_at_ms: None,
            progress: 0.0,
            timings: Default::default(),
            output: Output {
                width: prepared.width,
                height: prepared.height,
                format: self.order.format_name().to_owned(),
                bytes: None,
            },
            error: None,
        }
    }

    /// Plans on the source's first bytes, as few as suffice.
    async fn prepare(&self) -> Result<(Prepared, Bytes, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let mut intake = Intake::start(transfer, &self.order.source, gate).await?;
        let mut wanted = FIRST_LOOK;
        loop {
            let (head, complete) = match intake.head(wanted).await {
                Head::Part(head) => (head, false),
                Head::Whole(head) => (head, true),
                Head::Short(head) => match self.plan(head, false).await? {
                    Some((prepared, placeholder)) => return Ok((prepared, placeholder, Supply::Again)),
                    None => return self.prepare_whole().await,
                },
                Head::Failed => {
                    intake.finish().await?;
                    return Err(Fault::new(FaultKind::SourceUnavailable, "the source broke off"));
                }
            };
            wanted = head.len().max(wanted).saturating_mul(4);
            if let Some((prepared, placeholder)) = self.plan(head, complete).await? {
                return Ok((prepared, placeholder, Supply::Coming(intake.planned())));
            }
        }
    }

    /// The source must be read whole to be planned, and memory is short: waits for its turn, though not for long.
    async fn prepare_whole(&self) -> Result<(Prepared, Bytes, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let held: Held = intake::fetch_whole(transfer, &self.order.source, gate, REPLY_PATIENCE).await?;
        match self.plan(held.bytes.clone(), true).await? {
            Some((prepared, placeholder)) => Ok((prepared, placeholder, Supply::Here(held))),
            None => Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")),
        }
    }

    async fn plan(&self, head: Bytes, complete: bool) -> Result<Option<(Prepared, Bytes)>, Fault> {
        let task = self.order.task.clone();
        let planned = self.generation.pool.prepare(task, head, complete).await.inspect_err(|fault| {
            self.generation.registry.note(&self.order.task.steps, Err(fault));
        })?;
        if planned.is_none() && complete {
            return Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions"));
        }
        Ok(planned)
    }
}
