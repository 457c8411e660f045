//! What clients and operators do with jobs that are there: look at them, list them, wait for them, cancel them, have them
//! tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::clock::steady_ms;
use imgserve_base::fair::Turn;
use imgserve_base::fault::Fault;
use imgserve_base::job::{Client, JobId, JobState, OutputState, Record, now_ms};
use imgserve_base::lease::Lease;
use imgserve_journal::{Filter, Shared};
use imgserve_transfer::PartMark;
use serde_json::Value;
use tokio::sync::watch;

use super::asked::Asked;
use super::order::Order;
use super::service::Service;
use super::store::{self, Kind};
use super::stored;
use super::story::{self, Webhook};
use super::turns;

/// How long a cancelled attempt is waited for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a job is looked at again that is between two states.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a job is looked at that nobody has told anything new of.
const LOOK: Duration = Duration::from_secs(5);
/// The same for one that another node has in hand.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(200);
/// Where nodes share a journal, how a job was cancelled is shown within so many milliseconds or not at all.
const SHOWN_WITHIN_MS: u64 = 10_000;

/// What was asked of a job that is watched: its order is not read each time.
#[derive(Debug, Default)]
pub(crate) struct Known(Option<Asked>);

/// What came of a wish.
#[derive(Debug)]
pub(crate) enum Wish {
    /// It is so now; the job's story.
    Granted(Value),
    /// The job's state does not allow it; its story.
    Refused(Value),
    /// There is no such job.
    Unknown,
}

impl Service {
    /// A job's record; only of `client`, if one is named.
    ///
    /// # Errors
    /// That the journal cannot be read; the same for all functions here.
    async fn record(&self, id: JobId, client: Option<&Client>) -> Result<Option<Record>, Fault> {
        let record = self.journal().get(id).await.map_err(|error| self.journal_fault(&error))?;
        Ok(record.filter(|record| client.is_none_or(|client| *client == record.client)))
    }

    /// A job's story with all that there is to tell.
    async fn tell(&self, record: &Record) -> Value {
        self.tell_again(record, &mut Known::default()).await
    }

    /// The same, with what is known from the last time.
    async fn tell_again(&self, record: &Record, known: &mut Known) -> Value {
        if known.0.as_ref().is_none_or(|asked| !asked.is_planned()) {
            known.0 = self.asked(record).await;
        }
        let webhook =
            match record.notify && record.state.is_final() {
                false => Webhook::Waiting,
                // What cannot be asked just now is told as not known yet.
                true => self.journal().notice(record.id).await.map_or(Webhook::Waiting, |notice| {
                    notice.map_or(Webhook::Delivered, Webhook::Undelivered)
                }),
            };
        story::tell(record, self.live().get(record.id).as_deref(), known.0.as_ref(), webhook)
    }

    /// What its order asks for; none where that is not for this program to read.
    async fn asked(&self, record: &Record) -> Option<Asked> {
        let order = match record.is_foreign() {
            true => None,
            false => self.journal().order(record.id).await.ok().flatten(),
        };
        let order = stored::read_order(&order?, record.outputs.len()).ok()?;
        Some(Asked::of(&order, record, &self.generation().registry))
    }

    /// A job's story and whether it has ended; only of `client`, if one is named.
    pub(crate) async fn job(
        &self,
        id: JobId,
        client: Option<&Client>,
    ) -> Result<Option<(Value, bool)>, Fault> {
        self.job_again(id, client, &mut Known::default()).await
    }

    /// The same for who asks again and again.
    pub(crate) async fn job_again(
        &self,
        id: JobId,
        client: Option<&Client>,
        known: &mut Known,
    ) -> Result<Option<(Value, bool)>, Fault> {
        let record = self.record(id, client).await?;
        match record {
            Some(record) => Ok(Some((self.tell_again(&record, known).await, record.state.is_final()))),
            None => Ok(None),
        }
    }

    /// Stories, the newest first.
    pub(crate) async fn jobs(&self, filter: Filter) -> Result<Vec<Value>, Fault> {
        let records = self.journal().list(filter).await.map_err(|error| self.journal_fault(&error))?;
        let tell = |record: &Record| {
            story::tell(record, self.live().get(record.id).as_deref(), None, Webhook::Waiting)
        };
        Ok(records.iter().map(tell).collect())
    }

    /// Tells of every change of a job.
    pub(crate) fn watch(&self, id: JobId) -> watch::Receiver<()> {
        self.live().watch(id)
    }

    /// A job's story when it has ended, or none when it has not within `limit`.
    pub(crate) async fn outcome(&self, id: JobId, limit: Duration) -> Result<Option<Value>, Fault> {
        let mut changes = self.watch(id);
        let ended = async {
            loop {
                match self.record(id, None).await? {
                    Some(record) if record.state.is_final() => return Ok(Some(self.tell(&record).await)),
                    Some(_) => {
                        let _ = tokio::time::timeout(LOOK, changes.changed()).await;
                        // Progress is told often, and the journal is asked each time.
                        tokio::time::sleep(PAUSE).await;
                    }
                    None => return Ok(None),
                }
            }
        };
        tokio::select! {
            ended = ended => ended,
            () = tokio::time::sleep(limit) => Ok(None),
            () = self.stopped() => Ok(None),
        }
    }

    /// Ends a job with what is stored: nothing more is.
    pub(crate) async fn cancel(self: &Arc<Self>, id: JobId, client: Option<&Client>) -> Result<Wish, Fault> {
        let (end, mut asked) = (Instant::now() + CANCEL_PATIENCE, false);
        loop {
            let Some(record) = self.record(id, client).await? else { return Ok(Wish::Unknown) };
            match record.state {
                // Its story is another program's, and must not be written over; its webhook is that program's to send.
                _ if record.is_foreign() || (record.held.is_some() && record.notify) => {
                    return Ok(Wish::Refused(self.tell(&record).await));
                }
                JobState::Cancelled => return Ok(Wish::Granted(self.tell(&record).await)),
                JobState::Succeeded | JobState::Failed => return Ok(Wish::Refused(self.tell(&record).await)),
                // Its store takes long, or the journal does: it will end as it ends.
                JobState::Accepting | JobState::Running if Instant::now() > end => {
                    return Ok(Wish::Refused(self.tell(&record).await));
                }
                JobState::Accepting | JobState::Running if self.is_elsewhere(id) => {
                    if !std::mem::replace(&mut asked, true) {
                        self.cancel_elsewhere(id).await?;
                    }
                    self.next_change(id).await;
                }
                // Its placeholder must not come after what is shown instead of it: storing it is given up first.
                JobState::Accepting => {
                    self.live().cancel_accepting(id);
                    tokio::time::sleep(PAUSE).await;
                }
                JobState::Running => self.cancel_running(id).await,
                JobState::Accepted => {
                    if let Some(story) = self.cancel_waiting(record).await? {
                        return Ok(Wish::Granted(story));
                    }
                }
            }
        }
    }

    /// Waits until something of a job may have changed that another node has in hand.
    async fn next_change(&self, id: JobId) {
        let mut changes = self.watch(id);
        let _ = tokio::time::timeout(LOOK_ELSEWHERE, changes.changed()).await;
    }

    /// Tells the attempt, and gives it time to end.
    async fn cancel_running(&self, id: JobId) {
        let mut changes = self.watch(id);
        // It may be about to begin, or just over.
        let Some(running) = self.live().get(id) else { return tokio::time::sleep(PAUSE).await };
        running.cancel();
        drop(running);
        let ended = async { while self.live().get(id).is_some() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(CANCEL_PATIENCE, ended).await;
    }

    /// None when the job does not wait any more.
    async fn cancel_waiting(self: &Arc<Self>, mut record: Record) -> Result<Option<Value>, Fault> {
        let order = self.journal().order(record.id).await.map_err(|error| self.journal_fault(&error))?;
        let order = order.and_then(|order| stored::read_order(&order, record.outputs.len()).ok());
        let has_place = record.held.is_none();
        if record.cancel(now_ms()).is_err() {
            return Ok(None);
        }
        let notice = self.notice(&record, order.as_ref());
        // Held until it is shown: who has it tried again waits for that, or it would come after the new result.
        let showing = self.locks().shown(record.id).await;
        imgserve_base::crash::point("job-before-cancel");
        let cancelled = self.journal().cancel(record.clone(), notice).await;
        imgserve_base::crash::point("job-after-cancel");
        if !cancelled.map_err(|error| self.journal_fault(&error))? {
            return Ok(None);
        }
        drop(self.warm().take(record.id));
        if has_place {
            self.queue().leave(&record.client);
        }
        self.tally().ended(&record, 0);
        self.live().changed(record.id);
        self.wakeups().ask_to_notify();
        let story = self.tell(&record).await;
        if let Some(order) = order {
            let service = Arc::clone(self);
            self.lifecycle().spawn(async move {
                service.show_cancelled(&record, &order).await;
                drop(showing);
            });
        }
        Ok(Some(story))
    }

    /// A placeholder that says "being processed" would be wrong from now on.
    async fn show_cancelled(&self, record: &Record, order: &Order) {
        let generation = self.generation();
        // The journal does not tell in whose turn it was accepted, where there are no keys.
        let turn = Turn { flow: self.flow(&record.client.to_string()), ..Turn::default() };
        let transfer = self.settings().transfer.on_behalf_of(&turn.flow);
        let Some(_one) = self.shows(record.id, &turn) else { return };
        // Then another node may have it tried again.
        let lease = match self.journal().shared() {
            Some(_) => Lease::until(steady_ms() + SHOWN_WITHIN_MS),
            None => Lease::endless(),
        };
        for (index, (recipe, output)) in order.recipes.iter().zip(&record.outputs).enumerate() {
            if output.state != OutputState::Cancelled {
                continue;
            }
            let asks = transfer.located(turns::results([&recipe.destination], &turn)).await;
            let _turn = self.turns().result(&asks).await;
            // Of what attempts before have left nobody will look for anything again.
            let mark = store::mark(record.id, index, record.attempt + 1, Kind::Failure, true);
            let mark = PartMark { lease: lease.clone(), ..mark };
            let shown = store::failure(&generation, &transfer, recipe, &mark);
            if let Err(fault) = shown.await {
                tracing::warn!(job = %record.id, "that it was cancelled cannot be shown: {fault}");
            }
        }
    }

    /// For how long another node may still show how a job has ended: its result must not come before that.
    fn still_shown_ms(&self, record: &Record) -> u64 {
        let own = self.journal().shared().map(Shared::name);
        let ended_ms = record.finished_at_ms.unwrap_or_default();
        match &record.node {
            Some(node) if Some(node.name.as_str()) != own => {
                (ended_ms + SHOWN_WITHIN_MS).saturating_sub(now_ms()).min(SHOWN_WITHIN_MS)
            }
            _ => 0,
        }
    }

    /// Has a job that failed or was cancelled tried again, as if it were new; its story so far stays.
    pub(crate) async fn retry(self: &Arc<Self>, id: JobId, client: Option<&Client>) -> Result<Wish, Fault> {
        let Some(mut record) = self.record(id, client).await? else { return Ok(Wish::Unknown) };
        if record.is_foreign() || !record.state.may_be_replayed() {
            return Ok(Wish::Refused(self.tell(&record).await));
        }
        let Ok(_shown) = tokio::time::timeout(CANCEL_PATIENCE, self.locks().shown(id)).await else {
            return Ok(Wish::Refused(self.tell(&record).await));
        };
        if record.replay(steady_ms() + self.still_shown_ms(&record)).is_err() {
            return Ok(Wish::Refused(self.tell(&record).await));
        }
        let coming = self.enter(&record.client).await?;
        imgserve_base::crash::point("job-before-replay");
        let replayed = self.journal().replay(record.clone()).await;
        imgserve_base::crash::point("job-after-replay");
        match &replayed {
            Ok(true) => coming.arrives(),
            _ => self.queue().leave(&record.client),
        }
        if !replayed.map_err(|error| self.journal_fault(&error))? {
            return Ok(Wish::Refused(self.tell(&record).await));
        }
        tracing::info!(job = %id, "tried again, as it was asked for");
        self.live().changed(id);
        self.wakeups().ask();
        Ok(Wish::Granted(self.tell(&record).await))
    }
}
