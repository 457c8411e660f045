//! What happens before the reply: check, fetch the first bytes, plan, make the job durable, store the placeholders. Only
//! then is the job runnable, so that a late placeholder can never overwrite a result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{JobId, JobState, Phase, Record, now_ms};
use imgserve_journal::{Entry, IdempotencyKey, JournalError, Receipt, Submitted};
use imgserve_transfer::SourceUrl;
use imgserve_worker::Prepared;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::dispatch::Warmth;
use super::generation::Generation;
use super::instructions::{Instructions, Output};
use super::intake::{self, Head, Held, Intake, REPLY_PATIENCE};
use super::request::{self, Order};
use super::run::Supply;
use super::service::{Service, Settings};
use super::store::{self, Kind};
use super::wanted::Wanted;

/// The bytes of a source that planning is first tried with; four times as many each further time.
const FIRST_LOOK: usize = 16 << 10;

/// Pause between attempts to forget a job that was refused.
const WITHDRAW_PAUSE: Duration = Duration::from_secs(1);

/// A request for a job.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The API key's name, or "".
    pub(crate) client: String,
    pub(crate) body: Bytes,
    pub(crate) api: Api,
    /// As the client sent it.
    pub(crate) idempotency_key: Option<String>,
}

/// Which members a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// 0.2's four.
    Compat,
    /// Those of `POST /v1/jobs`.
    V1,
}

/// An accepted job, as the client is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) id: JobId,
    /// `dstURL` of each output, after substitution.
    pub(crate) destinations: Vec<String>,
    /// Arguments that nobody knows.
    pub(crate) unknown_arguments: Vec<String>,
    /// Whether the job was there already, by its idempotency key.
    #[serde(skip)]
    pub(crate) replayed: bool,
}

impl Service {
    /// Accepts a request: when this returns, the job is durable, the placeholders are at their destinations and the job
    /// will run.
    ///
    /// # Errors
    /// The fault for which it is refused; nothing of it remains.
    pub(crate) async fn accept(self: &Arc<Self>, submission: Submission) -> Result<Accepted, Fault> {
        // Counted before looking, so that a stop which begins meanwhile waits for this one.
        let counted = self.tasks.token();
        if self.tasks.is_closed() {
            return Err(Fault::new(FaultKind::Busy, "the server is stopping").retried(Retry::Later));
        }
        let service = Arc::clone(self);
        // Run by itself: neither a client that hangs up nor a stop leaves a job half accepted.
        let task = tokio::spawn(async move {
            let accepted = service.accept_once(submission).await;
            match &accepted {
                Ok(accepted) if accepted.replayed => {}
                Ok(_) => service.metrics.accepted(),
                Err(fault) => service.refused(fault),
            }
            drop(counted);
            accepted
        });
        task.await
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::OperationFailed, "acceptance was broken off")))
    }

    /// Requests with the same idempotency key wait for each other.
    async fn accept_once(self: &Arc<Self>, submission: Submission) -> Result<Accepted, Fault> {
        let Some(key) = submission.idempotency_key.clone() else {
            return self.accept_new(submission, None).await;
        };
        let digest: [u8; 32] = Sha256::digest(&submission.body).into();
        let one = self.keys_in_use.of((submission.client.clone(), key.clone()));
        let _alone = one.lock().await;
        let known = self.journal.receipt(&submission.client, &key).await;
        if let Some(receipt) = known.map_err(|error| self.journal_fault(&error))? {
            return replayed(&receipt, &digest);
        }
        let client = submission.client.clone();
        let key = IdempotencyKey { client, key, digest, receipt: String::new() };
        self.accept_new(submission, Some(key)).await
    }

    async fn accept_new(
        self: &Arc<Self>,
        submission: Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Accepted, Fault> {
        let object = request::parse(&submission.body)?;
        let (generation, settings) = (self.generation(), self.settings());
        let wanted = match submission.api {
            Api::Compat => Wanted::compat(&object, &generation.registry)?,
            Api::V1 => Wanted::v1(&object, &generation.registry, settings.webhooks.can_sign())?,
        };
        self.queue.enter(&submission.client)?;
        let client = submission.client.clone();
        let acceptance = Acceptance { service: Arc::clone(self), generation, settings, wanted, client };
        let accepted = acceptance.accept(key).await;
        if !matches!(&accepted, Ok(accepted) if !accepted.replayed) {
            self.queue.leave(&submission.client);
        }
        accepted
    }
}

/// The answer to a request whose idempotency key is in use.
fn replayed(receipt: &Receipt, digest: &[u8; 32]) -> Result<Accepted, Fault> {
    if receipt.digest != *digest {
        let text = "this Idempotency-Key was used for another request: take a new key for a new job";
        return Err(Fault::new(FaultKind::KeyReused, text));
    }
    let accepted: Result<Accepted, _> = serde_json::from_str(&receipt.receipt);
    accepted.map(|accepted| Accepted { replayed: true, ..accepted }).map_err(|error| {
        Fault::new(FaultKind::JournalUnavailable, format!("the journal's receipt cannot be read: {error}"))
    })
}

struct Acceptance {
    service: Arc<Service>,
    generation: Arc<Generation>,
    settings: Arc<Settings>,
    wanted: Wanted,
    client: String,
}

/// An output that is planned, and its placeholder.
type Planned = (Prepared, Bytes);

impl Acceptance {
    async fn accept(self, key: Option<IdempotencyKey>) -> Result<Accepted, Fault> {
        // Not before there is room for it: an operation is tried again by one job, which must then come to its end.
        for order in &self.wanted.orders {
            self.generation.registry.admit(&order.task.steps)?;
        }
        let started = Instant::now();
        let (planned, supply) = self.prepare().await?;
        let (prepared, placeholders): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
        let (mut record, instructions, accepted) = self.job(prepared)?;
        let id = record.id;
        record.took(Phase::Plan, started.elapsed());

        imgserve_base::crash::point("accept-before-submit");
        let receipt = |key| IdempotencyKey { receipt: json(&accepted), ..key };
        let entry = Entry { record, order: instructions.to_text(), key: key.map(receipt) };
        let digest = entry.key.as_ref().map(|key| key.digest);
        match self.service.journal.submit(entry).await.map_err(|error| self.service.journal_fault(&error))? {
            Submitted::New => {}
            Submitted::Known(receipt) => return replayed(&receipt, &digest.unwrap_or_default()),
        }
        imgserve_base::crash::point("accept-after-submit");

        let storing = Instant::now();
        if let Err(fault) = self.store_placeholders(id, &instructions, placeholders).await {
            imgserve_base::crash::point("accept-before-withdraw");
            self.withdraw(id).await;
            imgserve_base::crash::point("accept-after-withdraw");
            return Err(fault);
        }
        imgserve_base::crash::point("accept-after-placeholder");
        let placeholder = storing.elapsed();
        let warmth =
            Warmth { supply, generation: self.generation, settings: self.settings, placeholder, cold: false };
        self.service.warm.keep(id, warmth);
        self.service.journal.release(id);
        self.service.wake();
        imgserve_base::crash::point("accept-after-release");
        Ok(accepted)
    }

    /// The job as the journal keeps it, and as the client is told of it.
    fn job(&self, prepared: Vec<Prepared>) -> Result<(Record, Instructions, Accepted), Fault> {
        let orders = &self.wanted.orders;
        let planned = orders.iter().zip(prepared).map(|(order, prepared)| Output::new(order, prepared));
        let (outputs, parts): (Vec<_>, Vec<_>) = planned.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let source = self.wanted.source();
        let mut destinations: Vec<String> = Vec::with_capacity(outputs.len());
        for output in &outputs {
            let (text, _) = output.destination(source)?;
            if destinations.contains(&text) {
                let text = format!("two outputs would go to {}", parts[destinations.len()].destination);
                return Err(Fault::new(FaultKind::InvalidArgument, text));
            }
            destinations.push(text);
        }
        let (id, now) = (JobId::generate(), now_ms());
        let record = Record {
            id,
            state: JobState::Accepting,
            operation: orders.first().map(|order| order.operation.clone()).unwrap_or_default(),
            client: self.client.clone(),
            priority: self.wanted.priority,
            source: SourceUrl::parse(source).map_or_else(|_| String::new(), |url| url.to_string()),
            parts,
            accepted_at_ms: now,
            due_at_ms: now,
            finished_at_ms: None,
            attempt: 0,
            attempts: Vec::new(),
            timings: Default::default(),
            notify: self.wanted.notify_url.is_some(),
            fresh: Default::default(),
        };
        let notify_url = self.wanted.notify_url.clone();
        let instructions = Instructions { source: source.to_owned(), outputs, notify_url };
        let unknown_arguments = orders.iter().flat_map(|order| order.unknown_arguments.clone()).collect();
        Ok((record, instructions, Accepted { id, destinations, unknown_arguments, replayed: false }))
    }

    /// Forgets the job; where the journal cannot be written just now, as soon as it can.
    async fn withdraw(&self, id: JobId) {
        let Err(error) = self.service.journal.withdraw(id).await else { return };
        tracing::error!(job = %id, "it was refused, and is not forgotten yet: {error}");
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            while let Err(JournalError::Unwritable { .. }) = service.journal.withdraw(id).await {
                tokio::select! {
                    () = service.stopping.cancelled() => return,
                    () = tokio::time::sleep(WITHDRAW_PAUSE) => {}
                }
            }
        });
    }

    /// A client waits for these. When one cannot be stored, those before it must not say for ever that they are being
    /// processed.
    async fn store_placeholders(
        &self,
        id: JobId,
        instructions: &Instructions,
        placeholders: Vec<Bytes>,
    ) -> Result<(), Fault> {
        let acquired = tokio::time::timeout(REPLY_PATIENCE, self.service.placeholders.acquire()).await;
        let Ok(Ok(_permit)) = acquired else {
            let text = "too much is under way ([transfer] max_transfers)";
            return Err(Fault::new(FaultKind::Busy, text).retried(Retry::Later));
        };
        for (index, (output, placeholder)) in instructions.outputs.iter().zip(placeholders).enumerate() {
            let mark = store::mark(id, index, 0, Kind::Placeholder, false);
            let (transfer, source) = (&self.settings.transfer, &instructions.source);
            if let Err(fault) = store::store(transfer, source, output, placeholder, &mark).await {
                self.show_refused(id, instructions, index).await;
                return Err(fault);
            }
        }
        Ok(())
    }

    async fn show_refused(&self, id: JobId, instructions: &Instructions, stored: usize) {
        for (index, output) in instructions.outputs.iter().enumerate().take(stored) {
            let shown = store::failure(
                &self.generation,
                &self.settings,
                &instructions.source,
                output,
                (id, index, 0),
            );
            if let Err(fault) = shown.await {
                tracing::warn!(job = %id, "that it was refused cannot be shown: {fault}");
            }
        }
    }

    /// Plans all outputs on the source's first bytes, as few as suffice.
    async fn prepare(&self) -> Result<(Vec<Planned>, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let mut intake = Intake::start(transfer, self.wanted.source(), gate, REPLY_PATIENCE).await?;
        let mut wanted = FIRST_LOOK;
        loop {
            let (head, complete) = match intake.head(wanted).await {
                Head::Part(head) => (head, false),
                Head::Whole(head) => (head, true),
                Head::Short(head) => match self.plan_all(head, false).await? {
                    Some(planned) => return Ok((planned, Supply::Again)),
                    None => return self.prepare_whole().await,
                },
                Head::Failed => {
                    intake.finish().await?;
                    return Err(Fault::new(FaultKind::SourceUnavailable, "the source broke off"));
                }
            };
            wanted = head.len().max(wanted).saturating_mul(4);
            if let Some(planned) = self.plan_all(head, complete).await? {
                return Ok((planned, Supply::Coming(intake.planned())));
            }
        }
    }

    /// The source must be read whole to be planned, and memory is short: waits for its turn, though not for long.
    async fn prepare_whole(&self) -> Result<(Vec<Planned>, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let held: Held = intake::fetch_whole(transfer, self.wanted.source(), gate, REPLY_PATIENCE).await?;
        match self.plan_all(held.bytes.clone(), true).await? {
            Some(planned) => Ok((planned, Supply::Here(held))),
            None => Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")),
        }
    }

    async fn plan_all(&self, head: Bytes, complete: bool) -> Result<Option<Vec<Planned>>, Fault> {
        let mut all = Vec::with_capacity(self.wanted.orders.len());
        for order in &self.wanted.orders {
            match self.plan(order, head.clone(), complete).await? {
                Some(planned) => all.push(planned),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    async fn plan(&self, order: &Order, head: Bytes, complete: bool) -> Result<Option<Planned>, Fault> {
        let plan = async || {
            let planned =
                self.generation.pool.prepare(order.task.clone(), head.clone(), complete, true).await;
            planned.inspect_err(|fault| self.generation.registry.note(&order.task.steps, Err(fault)))
        };
        let planned = match plan().await {
            // A worker may die by chance, of what the task before it left or of a kernel short of memory.
            Err(fault) if fault.retry == Retry::Worker => plan().await?,
            planned => planned?,
        };
        if planned.is_none() && complete {
            return Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions"));
        }
        Ok(planned)
    }
}

fn json(accepted: &Accepted) -> String {
    serde_json::to_string(accepted).expect("an acceptance holds nothing that JSON cannot")
}
