//! What happens before the reply: check, fetch the first bytes, plan, make the job durable, store the placeholders. Only
//! then is the job runnable, so that a late placeholder can never overwrite a result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::clock::steady_ms;
use imgserve_base::fair::Turn;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::format::{Sniff, sniff};
use imgserve_base::job::{Client, JobId, JobState, Output, Phase, Record, now_ms};
use imgserve_base::lease::Lease;
use imgserve_journal::{Entry, IdempotencyKey, JournalError, Receipt, Submitted, rank};
use imgserve_transfer::{PartMark, Place, SourceUrl};
use imgserve_worker::{Placeholder, Prepared};
use sha2::{Digest as _, Sha256};

use super::generation::Generation;
use super::intake::{self, Head, Held, Intake, REPLY_PATIENCE, Wish};
use super::leases;
use super::order::{Accepted, Order, Planned, Recipe};
use super::queue::Coming;
use super::request::{self, Request};
use super::retry::{AcceptPauses, random};
use super::service::Service;
use super::settings::Settings;
use super::store::{self, Kind};
use super::stored;
use super::stores::Wants;
use super::turns;
use super::wanted::Wanted;
use super::warm::{Supply, Warmth};
use crate::access::StoreRights;
use crate::registry::{Needs, Reading};

/// The bytes of a source that planning is first tried with; four times as many each further time.
const FIRST_LOOK: usize = 16 << 10;

/// How often another node's job is taken for a request's whose idempotency key it has, and then is refused.
const TRIES: usize = 3;

/// Pause between attempts to forget a job that was refused.
const WITHDRAW_PAUSE: Duration = Duration::from_secs(1);

/// A request for a job.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) client: Client,
    /// What it may do with stores.
    pub(crate) stores: StoreRights,
    /// Whose turn it is in.
    pub(crate) flow: String,
    pub(crate) body: Bytes,
    pub(crate) api: Api,
    /// As the client sent it.
    pub(crate) idempotency_key: Option<String>,
    /// Whether it is to be taken before anything is fetched for it, whatever the body says.
    pub(crate) at_once: bool,
}

/// Which members a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// 0.2's four.
    Compat,
    /// Those of `POST /v1/jobs`.
    V1,
}

impl Service {
    /// Accepts a request: when this returns, the job is durable, the placeholders are at their destinations and the job
    /// will run.
    ///
    /// # Errors
    /// The fault for which it is refused; nothing of it remains.
    pub(crate) async fn accept(self: &Arc<Self>, submission: Submission) -> Result<Accepted, Fault> {
        let counted = self.lifecycle().acceptance()?;
        let service = Arc::clone(self);
        // Run by itself: neither a client that hangs up nor a stop leaves a job half accepted.
        let task = tokio::spawn(async move {
            let accepted = Box::pin(service.accept_once(submission)).await;
            match &accepted {
                Ok(accepted) if accepted.replayed => {}
                Ok(_) => service.tally().metrics().accepted(),
                Err(fault) => service.tally().refused(fault),
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
        let _alone = self.locks().key(&submission.client, &key).await;
        let key = IdempotencyKey { client: submission.client.clone(), key, digest, receipt: String::new() };
        for _ in 1..TRIES {
            let accepted = self.accept_known(submission.clone(), key.clone()).await?;
            if !accepted.replayed || self.is_accepted(&key, accepted.id).await {
                return Ok(accepted);
            }
        }
        self.accept_known(submission, key).await
    }

    /// The job of this key, or else a new one.
    async fn accept_known(
        self: &Arc<Self>,
        submission: Submission,
        key: IdempotencyKey,
    ) -> Result<Accepted, Fault> {
        let known = self.journal().receipt(&key.client, &key.key).await;
        match known.map_err(|error| self.journal_fault(&error))? {
            Some(receipt) => replayed(&receipt, &key.digest),
            None => self.accept_new(submission, Some(key)).await,
        }
    }

    async fn accept_new(
        self: &Arc<Self>,
        submission: Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Accepted, Fault> {
        let reading = match submission.api {
            Api::Compat => Reading::ToTheLetter,
            Api::V1 => Reading::AsMeant,
        };
        let object = request::parse(&submission.body, reading)?;
        let (generation, settings) = (self.generation(), self.settings());
        let wanted = match submission.api {
            Api::Compat => Wanted::compat(&object, &generation.registry)?,
            Api::V1 => Wanted::v1(&object, &generation.registry, settings.webhooks.can_sign())?,
        };
        let (client, rights) = (&submission.client, &submission.stores);
        Wants { client, rights, transfer: &settings.transfer }.check(&wanted)?;
        let coming = Mutex::new(Some(self.enter(&submission.client).await?));
        let client = submission.client.clone();
        let (began, at_once) = (Instant::now(), submission.at_once || wanted.at_once);
        let flow = self.flow(&submission.flow);
        let turn = Turn { flow, rank: rank(wanted.priority), cost: 0 };
        let acceptance = Acceptance {
            service: Arc::clone(self),
            generation,
            settings,
            wanted,
            client,
            turn,
            began,
            coming,
            codecs_asked: AtomicBool::new(false),
        };
        let accepted = match at_once {
            true => acceptance.take(object, key).await,
            false => acceptance.accept(key).await,
        };
        if !matches!(&accepted, Ok(accepted) if !accepted.replayed) {
            self.queue().leave(&submission.client);
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
    stored::read_receipt(&receipt.receipt).map_err(|error| {
        let text = format!("the receipt of this Idempotency-Key is not for this program to read: {error}");
        Fault::new(FaultKind::JournalUnavailable, text)
    })
}

/// The fault of an output, named by where that stands in the request. What is wrong with the source itself is no output's.
fn placed(fault: Fault, request: &Request) -> Fault {
    use FaultKind::{InvalidSvg, SourceUnavailable, UnreadableSource};
    let of_source = matches!(fault.kind, UnreadableSource | InvalidSvg | SourceUnavailable);
    if of_source || request.at.is_empty() { fault } else { fault.at(&request.at) }
}

pub(super) struct Acceptance {
    pub(super) service: Arc<Service>,
    pub(super) generation: Arc<Generation>,
    pub(super) settings: Arc<Settings>,
    pub(super) wanted: Wanted,
    pub(super) client: Client,
    /// Whose turn it is in; what the job costs is known once it is planned.
    pub(super) turn: Turn,
    /// When the request came.
    pub(super) began: Instant,
    /// Until the job is in the journal; none of one that is there.
    pub(super) coming: Mutex<Option<Coming>>,
    /// Whether the codecs that it needs have been asked.
    pub(super) codecs_asked: AtomicBool,
}

/// The outputs of a job: how each is made, its part of the story, and where the client is told that it goes.
pub(super) struct Outputs {
    pub(super) recipes: Vec<Recipe>,
    pub(super) outputs: Vec<Output>,
    destinations: Vec<String>,
}

/// The plan of an output, and its placeholder.
pub(super) type Plan = (Prepared, Bytes);

impl Acceptance {
    /// Makes the job durable, with what it is planned to cost; an earlier one's answer, if the idempotency key is that one's.
    pub(super) async fn submit(
        &self,
        (record, cost): (Record, u64),
        order: &Order,
        accepted: &Accepted,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<Accepted>, Fault> {
        imgserve_base::crash::point("accept-before-submit");
        let receipt = |key| IdempotencyKey { receipt: stored::receipt_text(accepted), ..key };
        let stays = self.stays(&record, order);
        let (order, flow) = (stored::order_text(order), self.turn.flow.name().to_string());
        let entry = Entry { record, order, flow, cost, key: key.map(receipt), stays };
        let digest = entry.key.as_ref().map(|key| key.digest);
        let submitted = self.service.journal().submit(entry).await;
        match submitted.map_err(|error| self.service.journal_fault(&error))? {
            Submitted::New => {
                let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner).take();
                coming.into_iter().for_each(Coming::arrives);
            }
            Submitted::Known(receipt) => {
                return replayed(&receipt, &digest.unwrap_or_default()).map(Some);
            }
        }
        imgserve_base::crash::point("accept-after-submit");
        Ok(None)
    }

    /// Whether no other node can do the job, as it reads or writes files that this one alone is known to see.
    fn stays(&self, record: &Record, order: &Order) -> bool {
        let is_file = |output: &Output| output.destination.starts_with("file:");
        let has_files = order.source.is_local() || record.outputs.iter().any(is_file);
        has_files && !self.settings.shared_files
    }

    async fn accept(self, key: Option<IdempotencyKey>) -> Result<Accepted, Fault> {
        // Not before there is room for it: an operation is tried again by one job, which must then come to its end.
        self.generation.registry.admit(&self.needs().operations())?;
        let started = Instant::now();
        let source = intake::understood(self.wanted.source())?;
        let (planned, supply) = self.patient(|| self.prepare_in_turn(&source)).await?;
        let (prepared, placeholders): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
        let cost = Prepared::pixels_together(&prepared);
        let Outputs { recipes, outputs, destinations } = self.outputs(prepared)?;
        let (notify, unknown_arguments) = (self.wanted.notify.clone(), self.wanted.unknown_arguments());
        let order = Order { source, recipes, notify, left: None, unknown_arguments };
        let mut record = self.record(&order.source, outputs);
        let id = record.id;
        let accepted = self.accepted(id, destinations);
        record.took(Phase::Plan, started.elapsed());

        let lease = Lease::until(self.service.leases().until_ms());
        if let Some(replayed) = self.submit((record, cost), &order, &accepted, key).await? {
            return Ok(replayed);
        }

        // A job that will not begin soon holds no memory meanwhile.
        let supply = if self.service.may_begin(&self.turn.flow) { supply } else { supply.again() };
        // Kept before it is needed, so that others have its memory while a destination has no place.
        let (generation, settings) = (Arc::clone(&self.generation), Arc::clone(&self.settings));
        let warmth = Warmth { supply, generation, settings, placeholder: Duration::ZERO, cold: false };
        self.service.warm().keep(id, warmth);
        let storing = Instant::now();
        let cancelled = self.service.live().accept(id, lease.clone());
        let mut lost = false;
        let stored = tokio::select! {
            biased;
            // Another node may do it by now: its result must not be stored over.
            () = leases::over(&lease) => {
                lost = true;
                Ok(())
            }
            stored = self.store_placeholders((id, &lease), &order, placeholders) => stored,
            // Whoever wants it cancelled does so as soon as it waits; its client is told where to look.
            () = cancelled.cancelled() => Ok(()),
        };
        self.service.live().accepted(id);
        if let Err(fault) = stored {
            drop(self.service.warm().take(id));
            imgserve_base::crash::point("accept-before-withdraw");
            self.withdraw(id).await;
            imgserve_base::crash::point("accept-after-withdraw");
            return Err(fault);
        }
        imgserve_base::crash::point("accept-after-placeholder");
        self.service.warm().placeholder_took(id, storing.elapsed());
        self.service.journal().release(id);
        if !cancelled.is_cancelled() {
            self.service.wakeups().ask();
        }
        if lost {
            // The client is told when something stands there, be it the result.
            drop(self.service.outcome(id, REPLY_PATIENCE).await);
        }
        imgserve_base::crash::point("accept-after-release");
        Ok(accepted)
    }

    /// What the plans make of the outputs.
    pub(super) fn outputs(&self, prepared: Vec<Prepared>) -> Result<Outputs, Fault> {
        let requests = &self.wanted.requests;
        let planned =
            requests.iter().zip(prepared).map(|(request, prepared)| Planned::new(request, prepared));
        let (mut recipes, mut outputs, mut destinations) = (Vec::new(), Vec::new(), Vec::new());
        for Planned { recipe, output, destination } in planned.collect::<Result<Vec<_>, _>>()? {
            if destinations.contains(&destination) {
                let text = format!("two outputs would go to {}", output.destination);
                return Err(Fault::new(FaultKind::InvalidArgument, text));
            }
            recipes.push(recipe);
            outputs.push(output);
            destinations.push(destination);
        }
        Ok(Outputs { recipes, outputs, destinations })
    }

    /// The story of a new job.
    pub(super) fn record(&self, source: &SourceUrl, outputs: Vec<Output>) -> Record {
        let now = now_ms();
        Record {
            id: JobId::generate(),
            state: JobState::Accepting,
            operation: self
                .wanted
                .requests
                .first()
                .map(|request| request.operation.clone())
                .unwrap_or_default(),
            client: self.client.clone(),
            priority: self.wanted.priority,
            source: source.to_string(),
            source_tag: None,
            outputs,
            accepted_at_ms: now,
            due_at_ms: steady_ms(),
            finished_at_ms: None,
            attempt: 0,
            attempts: Vec::new(),
            timings: Default::default(),
            notify: self.wanted.notify.is_some(),
            fresh: Default::default(),
            held: None,
            node: None,
        }
    }

    /// What the client is told of it.
    pub(super) fn accepted(&self, id: JobId, destinations: Vec<String>) -> Accepted {
        let unknown_arguments = self.wanted.unknown_arguments();
        Accepted { id, destinations, unknown_arguments, replayed: false }
    }

    /// Forgets the job; where the journal cannot be written just now, as soon as it can.
    async fn withdraw(&self, id: JobId) {
        let Err(error) = self.service.journal().withdraw(id).await else { return };
        tracing::error!(job = %id, "it was refused, and is not forgotten yet: {error}");
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            while let Err(JournalError::Unwritable { .. }) = service.journal().withdraw(id).await {
                tokio::select! {
                    () = service.lifecycle().stopping() => return,
                    () = tokio::time::sleep(WITHDRAW_PAUSE) => {}
                }
            }
        });
    }

    /// A client waits for these. When one cannot be stored, those before it must not say for ever that they are being
    /// processed.
    async fn store_placeholders(
        &self,
        (id, lease): (JobId, &Lease),
        order: &Order,
        placeholders: Vec<Bytes>,
    ) -> Result<(), Fault> {
        if !self.wanted.placeholder {
            return Ok(());
        }
        let mut patience = REPLY_PATIENCE;
        for (index, (recipe, placeholder)) in order.recipes.iter().zip(placeholders).enumerate() {
            let mark = store::mark(id, index, 0, Kind::Placeholder, false);
            let mark = PartMark { lease: lease.clone(), ..mark };
            let stored = async {
                let waited = Instant::now();
                let turns = self.service.turns();
                let transfer = &self.settings.transfer.on_behalf_of(&self.turn.flow);
                let asks = transfer.located(turns::placeholder(&recipe.destination, &self.turn)).await;
                let _turn = turns.placeholder(&asks, patience).await?;
                patience = patience.saturating_sub(waited.elapsed());
                self.patient(|| {
                    store::store(transfer, recipe, (Kind::Placeholder, placeholder.clone()), &mark)
                })
                .await
            };
            if let Err(fault) = stored.await {
                self.show_refused(id, order, index).await;
                return Err(fault);
            }
        }
        Ok(())
    }

    async fn show_refused(&self, id: JobId, order: &Order, stored: usize) {
        for (index, recipe) in order.recipes.iter().enumerate().take(stored) {
            let shown = async {
                let turns = self.service.turns();
                let transfer = &self.settings.transfer.on_behalf_of(&self.turn.flow);
                let asks = transfer.located(turns::placeholder(&recipe.destination, &self.turn)).await;
                let _turn = turns.placeholder(&asks, REPLY_PATIENCE).await?;
                let mark = store::mark(id, index, 0, Kind::Failure, false);
                store::failure(&self.generation, transfer, recipe, &mark).await
            };
            if let Err(fault) = shown.await {
                tracing::warn!(job = %id, "that it was refused cannot be shown: {fault}");
            }
        }
    }

    /// Tries again what another server's trouble kept from being done, as long as the client is likely to wait for it.
    async fn patient<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let mut pauses = AcceptPauses::default();
        loop {
            let fault = match attempt().await {
                Err(fault) if fault.retry == Retry::Remote => fault,
                done => return done,
            };
            let Some(pause) = pauses.next(self.began.elapsed(), &fault, random()) else { return Err(fault) };
            self.service.tally().retried(&fault);
            tokio::time::sleep(pause).await;
        }
    }

    async fn prepare_in_turn(&self, source: &SourceUrl) -> Result<(Vec<Plan>, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let place = gate.place(transfer, (source, &self.turn), REPLY_PATIENCE).await?;
        self.prepare(source, place).await
    }

    /// Plans all outputs on the source's first bytes, as few as suffice.
    pub(super) async fn prepare(
        &self,
        source: &SourceUrl,
        place: Place,
    ) -> Result<(Vec<Plan>, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let mut intake = Intake::start(transfer, source, gate, &self.turn, place).await?;
        let mut wanted = FIRST_LOOK;
        loop {
            let (head, complete) = match intake.head(wanted).await {
                Head::Part(head) => (head, false),
                Head::Whole(head) => (head, true),
                Head::Short(head) => match self.plan_all(head, false).await? {
                    Some(planned) => return Ok((planned, Supply::Coming(intake).again())),
                    None => return self.prepare_whole(source, intake.size_hint()).await,
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
    async fn prepare_whole(
        &self,
        source: &SourceUrl,
        expected: Option<u64>,
    ) -> Result<(Vec<Plan>, Supply), Fault> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let wish = Wish::new(self.turn.clone(), REPLY_PATIENCE).expecting(expected).again();
        let short = || self.service.warm().cool();
        let held: Held = intake::fetch_within(transfer, source, gate, wish, short).await?;
        match self.plan_all(held.bytes.clone(), true).await? {
            Some(planned) => Ok((planned, Supply::Here(held))),
            None => Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")),
        }
    }

    /// What its tasks need beside the reading of its source.
    pub(super) fn needs(&self) -> Needs<'_> {
        Needs::of_all(self.wanted.requests.iter().map(|request| &request.task))
    }

    /// Refuses what needs a codec that has failed too often of late, once it is known what the source is. Of a codec that is to be
    /// tried again this is the try: it is asked once, however often more of the source has to be looked at.
    fn admit_codecs(&self, head: &[u8], complete: bool) -> Result<(), Fault> {
        let source = match sniff(head) {
            Sniff::Is(format) => Some(format),
            Sniff::Open if !complete => return Ok(()),
            Sniff::Open | Sniff::Unknown => None,
        };
        if self.codecs_asked.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.generation.registry.admit(&self.needs().codecs().reading(source))
    }

    async fn plan_all(&self, head: Bytes, complete: bool) -> Result<Option<Vec<Plan>>, Fault> {
        self.admit_codecs(&head, complete)?;
        let requests = &self.wanted.requests;
        // One placeholder is drawn with its plan. Of several none is before it is known that they are not too much together.
        let alone = requests.len() == 1;
        let (mut plans, mut placeholders) = (Vec::with_capacity(requests.len()), Vec::new());
        for request in requests {
            let planned = self.plan(request, head.clone(), complete, alone).await;
            let Some((plan, placeholder)) = planned.map_err(|fault| placed(fault, request))? else {
                return Ok(None);
            };
            plans.push(plan);
            placeholders.push(placeholder);
        }
        self.settings.check_together(&plans, head.len())?;
        if !alone {
            for ((request, plan), placeholder) in requests.iter().zip(&plans).zip(&mut placeholders) {
                *placeholder = self.draw(request, plan).await?;
            }
        }
        Ok(Some(plans.into_iter().zip(placeholders).collect()))
    }

    /// The placeholder of a plan; nothing for a result that is no image.
    async fn draw(&self, request: &Request, plan: &Prepared) -> Result<Bytes, Fault> {
        let Some(format) = request.of_format(plan.source_format).task.format else { return Ok(Bytes::new()) };
        let Prepared { width, height, .. } = *plan;
        let placeholder = Placeholder { width, height, format, failed: false };
        let drawn = self.generation.pool.draw(&self.turn.flow, placeholder).await;
        drawn.inspect_err(|fault| self.generation.registry.blame(fault))
    }

    async fn plan(
        &self,
        request: &Request,
        head: Bytes,
        complete: bool,
        draw: bool,
    ) -> Result<Option<Plan>, Fault> {
        let Some(request) = request.of_bytes(&head, complete)? else { return Ok(None) };
        let plan = async || {
            let planned = self
                .generation
                .pool
                .prepare(&self.turn.flow, request.task.clone(), head.clone(), complete, draw)
                .await;
            planned.inspect_err(|fault| self.generation.registry.blame(fault))
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
