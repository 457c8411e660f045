//! One attempt at a job: the source, a worker, the results over the placeholders, and what the journal is told. What
//! fails for good puts the "Image Processing failed" placeholder there; what may succeed later is tried again.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::fair::Turn;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{Output, OutputState, Phase, Record, now_ms};
use imgserve_journal::{Ending, JournalError};
use imgserve_transfer::{Asks, PartMark, Place, SourceUrl};
use imgserve_worker::{Prepared, Task, TaskOutput};
use tokio::sync::OwnedSemaphorePermit;

use super::direct::warnings;
use super::generation::Generation;
use super::intake::{self, Held, Wish};
use super::live::{Running, Stage};
use super::order::{Order, Recipe};
use super::retry::{Decision, MAX_LOST, SUSPECT, random};
use super::service::Service;
use super::settings::Settings;
use super::store::{self, Kind};
use super::turns;
use super::warm::{Supply, Warmth};
use crate::metrics::Direction;
use crate::registry::Needs;

/// How long an accepted job waits for its turn to fetch its source again: past any queue that drains.
pub(super) const TURN_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How long what is needed for a run is kept while the source is fetched once more.
const UNUSED: Duration = Duration::from_secs(2);
/// How long somebody who cancels a job waits for its end to be shown at its destinations before it is told.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);
/// Pause after the journal could not be written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// An attempt at a job.
pub(super) struct Attempt {
    pub(super) service: Arc<Service>,
    pub(super) generation: Arc<Generation>,
    pub(super) settings: Arc<Settings>,
    pub(super) record: Record,
    pub(super) running: Arc<Running>,
    pub(super) turn: Turn,
    pub(super) supply: Supply,
    began: Instant,
    stored_bytes: u64,
    /// Whether leavings of an attempt of which nobody knows how it ended may be at the destinations.
    pub(super) cold: bool,
}

/// What a run needs beside its source.
struct Leave {
    place: Place,
    /// Of a job that the server may have died of: no other one runs.
    alone: Option<OwnedSemaphorePermit>,
}

/// Why an attempt does not come to its end.
pub(super) enum Stop {
    /// Somebody cancelled the job.
    Cancelled,
    /// The server stops: the job goes on at its next start.
    Server,
    /// Too many wait for the same servers as it: others are to have their turn.
    PutOff,
    /// It may be another node's by now.
    Lost,
    /// It failed, and with it all outputs that wait.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Attempt {
    pub(super) fn new(
        service: Arc<Service>,
        mut record: Record,
        running: Arc<Running>,
        turn: Turn,
        warmth: Warmth,
    ) -> Self {
        let Warmth { supply, generation, settings, placeholder, cold } = warmth;
        if placeholder > Duration::ZERO {
            record.took(Phase::Placeholder, placeholder);
        }
        let began = Instant::now();
        Self { service, generation, settings, record, running, turn, supply, began, stored_bytes: 0, cold }
    }

    /// Runs to the end and has it written down. An attempt that breaks off by a mistake of ours has failed like any other.
    pub(super) async fn run_to_end(self, order: Order) {
        let (service, record, running) =
            (Arc::clone(&self.service), self.record.clone(), Arc::clone(&self.running));
        let turn = self.turn.clone();
        let (id, attempt, known) = (record.id, record.attempt, order.clone());
        if let Err(broken_off) = tokio::spawn(self.run(order)).await {
            let fault =
                Fault::new(FaultKind::OperationFailed, format!("the attempt broke off: {broken_off}"));
            tracing::error!(job = %id, "{fault}");
            // What it had stored and written down stays so.
            let record = service.journal().get(id).await.ok().flatten().unwrap_or(record);
            let warmth = Warmth::none(service.generation(), service.settings());
            let again = Self::new(Arc::clone(&service), record, running, turn, warmth);
            Box::pin(again.failed(fault.retried(Retry::Worker), &known)).await;
        }
        service.over(id, attempt);
    }

    async fn run(mut self, mut order: Order) {
        let made_up = self.make_up(&mut order).await;
        let worked = match made_up {
            Ok(()) => self.work(&order).await,
            Err(stop) => Err(stop),
        };
        let Err(stop) = worked else { return self.end(&order).await };
        match stop {
            Stop::Server => {
                let claim = vec![(self.record.id, self.record.attempt)];
                imgserve_base::crash::point("job-before-give-back");
                if let Err(error) = self.service.journal().give_back(claim).await {
                    tracing::warn!(job = %self.record.id, "left to the next start: {error}");
                }
                imgserve_base::crash::point("job-after-give-back");
            }
            Stop::PutOff => {
                let claim = vec![(self.record.id, self.record.attempt)];
                let pause = self.service.turns().parking().pause();
                if let Err(error) = self.service.journal().put_off(claim, pause).await {
                    tracing::warn!(job = %self.record.id, "left until its lease is over: {error}");
                }
                self.service.wakeups().ask();
            }
            Stop::Cancelled => self.cancelled(&order).await,
            Stop::Lost => self.lost(),
            Stop::Fault(fault) => Box::pin(self.failed(fault, &order)).await,
        }
    }

    /// All outputs that wait. One of several that fails for good is noted, and the others go on.
    async fn work(&mut self, order: &Order) -> Result<(), Stop> {
        if self.record.lost() >= MAX_LOST {
            let text = format!("given up: the server ended {} times while the job ran", self.record.lost());
            return Err(Fault::new(FaultKind::OperationFailed, text).into());
        }
        let held = self.fetch(order).await?;
        let queued = Instant::now();
        // The place from before the run until the results are stored: no more results than turns are ever held.
        let (held, Leave { place: _place, alone }) = self.leave(order, held).await?;
        // With what is stored already: how the source is decoded depends on all outputs, and so would the results depend
        // on when the server was killed.
        let made = |index: &usize| {
            matches!(self.record.outputs[*index].state, OutputState::Waiting | OutputState::Stored)
        };
        let indexes: Vec<usize> = (0..self.record.outputs.len()).filter(made).collect();
        let outcomes = self.results(order, &indexes, held, queued).await?;
        drop(alone);
        let waits = |(index, _): &(usize, _)| self.record.outputs[*index].state == OutputState::Waiting;
        let waiting = indexes.into_iter().zip(outcomes).filter(waits).collect();
        self.store(order, waiting).await
    }

    async fn fetch(&mut self, order: &Order) -> Result<Held, Stop> {
        let (service, running) = (Arc::clone(&self.service), Arc::clone(&self.running));
        let held = tokio::select! {
            biased;
            stop = stopped(&service, &running) => return Err(stop),
            held = self.source(order) => held?,
        };
        self.record.took(Phase::Fetch, self.began.elapsed());
        if matches!(order.source, SourceUrl::Store(_)) {
            self.record.source_tag.clone_from(&held.version.tag);
        }
        service.tally().metrics().moved(Direction::Fetched, held.bytes.len() as u64);
        service.live().enter(self.record.id, &running, Stage::Queued);
        Ok(held)
    }

    /// What the run needs beside its source. Nothing of it is held while the rest is waited for.
    async fn leave(&mut self, order: &Order, mut held: Held) -> Result<(Held, Leave), Stop> {
        let (service, running) = (Arc::clone(&self.service), Arc::clone(&self.running));
        let waiting = self.record.outputs.iter().map(|output| output.state == OutputState::Waiting);
        let destinations = order.recipes.iter().zip(waiting).filter(|(_, waits)| *waits);
        let asks = turns::results(destinations.map(|(recipe, _)| &recipe.destination), &self.turn);
        let asks = self.settings.transfer.located(asks).await;
        loop {
            if let Some(leave) = self.try_leave(&asks) {
                return Ok((held, leave));
            }
            // Meanwhile the source's memory is there for others.
            let kept = Warmth {
                supply: Supply::Here(held),
                ..Warmth::none(Arc::clone(&self.generation), Arc::clone(&self.settings))
            };
            service.warm().keep(self.record.id, kept);
            let leave = tokio::select! {
                stop = stopped(&service, &running) => Err(stop),
                leave = self.wait_for_leave(&asks) => leave,
            };
            self.supply = service.warm().take(self.record.id).map_or(Supply::Again(None), |kept| kept.supply);
            let leave = leave?;
            let (again, leave) = tokio::select! {
                stop = stopped(&service, &running) => return Err(stop),
                again = self.source_within(order, leave) => again?,
            };
            match leave {
                Some(leave) => return Ok((again, leave)),
                None => held = again,
            }
        }
    }

    fn is_suspect(&self) -> bool {
        self.record.lost() >= SUSPECT
    }

    fn try_leave(&self, asks: &Asks) -> Option<Leave> {
        let turns = self.service.turns();
        let place = turns.try_result(asks)?;
        let alone = if self.is_suspect() { Some(turns.try_suspect()?) } else { None };
        Some(Leave { place, alone })
    }

    async fn wait_for_leave(&self, asks: &Asks) -> Result<Leave, Stop> {
        let turns = self.service.turns();
        loop {
            let place = parked(&self.service, &self.running, turns.result(asks)).await?;
            if !self.is_suspect() {
                return Ok(Leave { place, alone: None });
            }
            if let Some(alone) = turns.try_suspect() {
                return Ok(Leave { place, alone: Some(alone) });
            }
            place.give_up();
            let alone = parked(&self.service, &self.running, turns.suspect()).await?;
            if let Some(place) = turns.try_result(asks) {
                return Ok(Leave { place, alone: Some(alone) });
            }
        }
    }

    /// The source, which is fetched again where others needed its memory: others need the leave, too, if that takes long.
    async fn source_within(&mut self, order: &Order, leave: Leave) -> Result<(Held, Option<Leave>), Stop> {
        let source = self.source(order);
        tokio::pin!(source);
        match tokio::time::timeout(UNUSED, &mut source).await {
            Ok(held) => Ok((held?, Some(leave))),
            Err(_) => {
                drop(leave);
                Ok((source.await?, None))
            }
        }
    }

    async fn source(&mut self, order: &Order) -> Result<Held, Stop> {
        let expected = match std::mem::replace(&mut self.supply, Supply::Again(None)) {
            Supply::Here(held) => return Ok(held),
            Supply::Coming(intake) => {
                let expected = intake.size_hint();
                match intake.finish().await? {
                    Some(held) => return Ok(held),
                    None => expected,
                }
            }
            Supply::Again(expected) => expected,
        };
        let (service, source) = (Arc::clone(&self.service), &order.source);
        let Settings { transfer, gate, .. } = &*self.settings;
        let mut wish = Wish::new(self.turn.clone(), TURN_PATIENCE).expecting(expected);
        loop {
            let place = gate.place(transfer, (source, &self.turn), TURN_PATIENCE);
            let place = parked(&service, &self.running, place).await??;
            let short = || service.warm().cool();
            if let Some(held) = intake::fetch(transfer, source, (gate, place), &mut wish, short).await? {
                return Ok(held);
            }
        }
    }

    /// Has a worker make the results of the outputs at `indexes`.
    async fn results(
        &mut self,
        order: &Order,
        indexes: &[usize],
        held: Held,
        queued: Instant,
    ) -> Result<Vec<Result<TaskOutput, Fault>>, Stop> {
        let tasks: Vec<Task> = indexes.iter().map(|index| order.recipes[*index].task.clone()).collect();
        let prepared: Vec<Prepared> =
            indexes.iter().map(|index| order.recipes[*index].prepared.clone()).collect();
        let together = Prepared::together(&prepared);
        let peak_bytes = self.settings.peak_bytes(together, held.bytes.len())?;
        let worker = Arc::new(OnceLock::new());
        let report = {
            let (service, id) = (Arc::clone(&self.service), self.record.id);
            let (running, worker) = (Arc::clone(&self.running), Arc::clone(&worker));
            move |done| {
                if worker.set(Instant::now()).is_ok() {
                    service.live().enter(id, &running, Stage::Working);
                }
                service.live().progress(id, &running, done);
            }
        };
        let source = held.bytes.clone();
        let work = self.generation.pool.run(tasks, source, peak_bytes, &self.turn, Arc::new(report));
        let ran = tokio::select! {
            biased;
            stop = stopped(&self.service, &self.running) => return Err(stop),
            ran = work => ran,
        };
        drop(held);
        let done = Instant::now();
        let worker = worker.get().copied().unwrap_or(done);
        self.record.took(Phase::Queue, worker - queued);
        self.record.took(Phase::Work, done - worker);
        self.note(order, indexes, &ran);
        Ok(ran?)
    }

    /// What the breakers learn of it.
    fn note(&self, order: &Order, indexes: &[usize], ran: &Result<Vec<Result<TaskOutput, Fault>>, Fault>) {
        let registry = &self.generation.registry;
        match ran {
            Ok(outcomes) => {
                for (index, outcome) in indexes.iter().zip(outcomes) {
                    let Recipe { task, prepared, .. } = &order.recipes[*index];
                    let needs = Needs::of(task).reading(prepared.source_format);
                    registry.note(&needs, outcome.as_ref().map(|_| ()));
                }
            }
            Err(fault) => registry.blame(fault),
        }
    }

    /// Stores results, each as soon as the one before it is stored, and has each written down.
    async fn store(
        &mut self,
        order: &Order,
        outcomes: Vec<(usize, Result<TaskOutput, Fault>)>,
    ) -> Result<(), Stop> {
        self.service.live().enter(self.record.id, &self.running, Stage::Storing);
        let began = Instant::now();
        let count = outcomes.len();
        let mut again = None;
        for (place, (index, outcome)) in outcomes.into_iter().enumerate() {
            // A cancelled job stores nothing more; what is being stored is let be.
            if self.running.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let running = Arc::clone(&self.running);
            let stored = tokio::select! {
                biased;
                () = running.lost() => return Err(Stop::Lost),
                stored = self.store_one(order, index, outcome) => stored,
            };
            match stored {
                Ok(()) if place + 1 < count => self.save().await,
                Ok(()) => {}
                Err(fault) if fault.retry == Retry::Never => {
                    let output = &mut self.record.outputs[index];
                    (output.state, output.error) = (OutputState::Failed, Some(fault));
                }
                Err(fault) => again = Some(fault),
            }
        }
        self.record.took(Phase::Store, began.elapsed());
        again.map_or(Ok(()), |fault| Err(Stop::Fault(fault)))
    }

    async fn store_one(
        &mut self,
        order: &Order,
        index: usize,
        outcome: Result<TaskOutput, Fault>,
    ) -> Result<(), Fault> {
        let TaskOutput { width, height, bytes, damage, unconverted, left_out, .. } = outcome?;
        let Prepared { width: planned_width, height: planned_height, .. } = order.recipes[index].prepared;
        if (width, height) != (planned_width, planned_height) {
            let text = format!(
                "the result is {width}x{height} and was planned {planned_width}x{planned_height}: the source changed \
                 meanwhile"
            );
            return Err(Fault::new(FaultKind::OperationFailed, text));
        }
        let length = bytes.len() as u64;
        imgserve_base::crash::point("job-before-store");
        self.put(order, index, Kind::Result, bytes).await?;
        imgserve_base::crash::point("job-after-store");
        self.stored_bytes += length;
        let warnings = warnings(damage.as_deref(), unconverted.as_deref(), &left_out);
        warnings.iter().for_each(|warning| tracing::warn!(job = %self.record.id, "{warning}"));
        let output = &mut self.record.outputs[index];
        (output.state, output.bytes, output.error) = (OutputState::Stored, Some(length), None);
        output.warnings = warnings;
        Ok(())
    }

    /// Writes down that one of several outputs is stored. Not being able to costs no more than storing it again.
    pub(super) async fn save(&self) {
        imgserve_base::crash::point("job-before-save");
        if let Err(error) = self.service.journal().save(self.record.clone()).await {
            tracing::warn!(job = %self.record.id, "{error}");
        }
        imgserve_base::crash::point("job-after-save");
    }

    /// Whoever looks at the destination after the job has failed finds the failure there.
    async fn store_failure(&self, order: &Order, index: usize) {
        // A job that could not even be planned has nothing to show.
        let Some(recipe) = order.recipes.get(index) else { return };
        let asks = turns::results([&recipe.destination], &self.turn);
        let asks = self.settings.transfer.located(asks).await;
        // Where too many wait it counts as under way: those of its client's that fail do not pile up.
        let waits = self.service.park(&self.running);
        let _place = self.service.turns().result(&asks).await;
        drop(waits);
        let mark = self.mark(index, Kind::Failure);
        let transfer = self.settings.transfer.on_behalf_of(&self.turn.flow);
        let shown = store::failure(&self.generation, &transfer, recipe, &mark);
        if let Err(fault) = shown.await {
            let destination = &self.record.outputs[index].destination;
            tracing::warn!(job = %self.record.id, destination, "the failure cannot be shown there: {fault}");
        }
    }

    async fn put(&self, order: &Order, index: usize, kind: Kind, bytes: Bytes) -> Result<(), Fault> {
        let mark = self.mark(index, kind);
        let transfer = self.settings.transfer.on_behalf_of(&self.turn.flow);
        store::store(&transfer, &order.recipes[index], (kind, bytes), &mark).await
    }

    /// What marks the file of an output until it is whole.
    fn mark(&self, index: usize, kind: Kind) -> PartMark {
        let mark = store::mark(self.record.id, index, self.record.attempt, kind, self.cold);
        PartMark { lease: self.running.lease().clone(), ..mark }
    }

    /// Another node does it again, or has done it.
    fn lost(&self) {
        let attempt = self.record.attempt;
        tracing::warn!(job = %self.record.id, attempt, "given up: its lease is over, and it may be another node's by now");
        // What of it still waits here may be claimed again.
        self.service.wakeups().ask();
    }

    async fn cancelled(mut self, order: &Order) {
        self.record.cancel_waiting();
        self.end(order).await;
    }

    /// The attempt has failed with all outputs that wait: they are tried again, or have failed for good.
    async fn failed(mut self, fault: Fault, order: &Order) {
        // Whoever cancels a job does not want it tried again.
        if self.running.is_cancelled() {
            return self.cancelled(order).await;
        }
        let decision = self.settings.retry.decide(&fault, self.record.failures(), random());
        let number = self.record.attempt;
        self.record.failed(now_ms(), fault.clone());
        match decision {
            Decision::Again(pause) => {
                let (id, kind, ms) = (self.record.id, fault.kind, pause.as_millis() as u64);
                tracing::info!(job = %id, attempt = number, %kind, "trying again in {ms} ms: {fault}");
                self.service.tally().retried(&fault);
                imgserve_base::crash::point("job-before-again");
                write_down(&self.service, self.record, Ending::Again(pause)).await;
                imgserve_base::crash::point("job-after-again");
                self.service.wakeups().ask();
            }
            Decision::Final => {
                self.record.fail_waiting(&fault);
                self.end(order).await;
            }
        }
    }

    /// No output waits any more: shows it where there is no result, and has the end written down.
    async fn end(self, order: &Order) {
        let (service, id, attempt) = (&self.service, self.record.id, self.record.attempt);
        let without = |output: &Output| matches!(output.state, OutputState::Failed | OutputState::Cancelled);
        let indexes: Vec<usize> =
            (0..self.record.outputs.len()).filter(|index| without(&self.record.outputs[*index])).collect();
        // A stale attempt must not show its failure over the result of another.
        if !indexes.is_empty()
            && let Err(error @ JournalError::Stale { .. }) = service.journal().save(self.record.clone()).await
        {
            return tracing::warn!(job = %id, "its end is another attempt's to tell: {error}");
        }
        let shown = async {
            for index in indexes {
                self.store_failure(order, index).await;
            }
        };
        tokio::pin!(shown);
        // Also where it had failed before somebody cancelled it.
        let long_enough = async {
            self.running.cancelled().await;
            tokio::time::sleep(SHOWN_WITHIN).await;
        };
        let running = Arc::clone(&self.running);
        let is_shown = tokio::select! {
            biased;
            () = running.lost() => return self.lost(),
            () = shown.as_mut() => true,
            () = long_enough => false,
        };
        // Held until it is shown: who has it tried again waits for that, or it would come after the new result.
        let _showing = if is_shown { None } else { Some(service.locks().shown(id).await) };
        if self.write_end(order).await && !is_shown {
            // The destination takes long: that is nobody's to wait for, and holds nothing but its place in the line.
            service.over(id, attempt);
            if let Some(_one) = service.shows(id, &self.turn) {
                shown.await;
            }
        }
    }

    /// Whether it is this attempt's to tell the end, which is then written down.
    async fn write_end(&self, order: &Order) -> bool {
        let mut record = self.record.clone();
        if let Err(illegal) = record.end(now_ms()) {
            tracing::warn!(job = %record.id, "its end is told already: {illegal}");
            return false;
        }
        self.service.tally().ended(&record, self.stored_bytes);
        let notice = self.service.notice(&record, Some(order));
        imgserve_base::crash::point("job-before-end");
        write_down(&self.service, record, Ending::Ended(notice)).await;
        imgserve_base::crash::point("job-after-end");
        true
    }
}

/// Resolves when an attempt is not to go on.
pub(super) async fn stopped(service: &Service, running: &Running) -> Stop {
    tokio::select! {
        () = service.lifecycle().stopping() => Stop::Server,
        () = running.lost() => Stop::Lost,
        () = running.cancelled() => Stop::Cancelled,
    }
}

/// Waits for a place. Who has to wait for it keeps no other attempt from beginning, of its own client's neither.
pub(super) async fn parked<T>(
    service: &Service,
    running: &Running,
    place: impl Future<Output = T>,
) -> Result<T, Stop> {
    tokio::pin!(place);
    tokio::select! {
        biased;
        place = &mut place => return Ok(place),
        () = std::future::ready(()) => {}
    }
    let _waits = service.park(running).ok_or(Stop::PutOff)?;
    let place = place.await;
    service.turns().parking().moved(running.flow());
    Ok(place)
}

/// Has an attempt's end written down, however long that takes: as long as it is not, nobody else does the job.
async fn write_down(service: &Service, record: Record, ending: Ending) {
    let (id, client) = (record.id, record.client.clone());
    let mut told = false;
    loop {
        match service.journal().end(record.clone(), ending.clone()).await {
            Ok(()) => break,
            Err(error @ JournalError::Unwritable { .. }) if !service.lifecycle().is_stopping() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(job = %id, "its end is not written down yet: {error}");
                }
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
            // It will be done again after the next start, with the same result.
            Err(error) => return tracing::error!(job = %id, "its end is not written down: {error}"),
        }
    }
    if let Ending::Ended(notice) = &ending {
        if notice.is_some() {
            service.wakeups().ask_to_notify();
        }
        service.queue().leave(&client);
        service.tally().written_down();
    }
}
