//! What clients and operators do with jobs that are there: look at them, list them, wait for them, cancel them, have them
//! tried again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::instructions::Instructions;
use super::record::{JobId, JobState, PartState, Record, now_ms};
use super::service::Service;
use super::store::{self, Kind};
use super::story;
use crate::fault::Fault;
use crate::journal::Filter;
use crate::worker::Placeholder;

/// How long a cancelled attempt is waited for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a job that is being accepted is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How often a job is looked at that nobody has told anything new of.
const LOOK: Duration = Duration::from_secs(5);

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
    async fn record(&self, id: JobId, client: Option<&str>) -> Result<Option<Record>, Fault> {
        let record = self.journal.get(id).await.map_err(|error| self.journal_fault(&error))?;
        Ok(record.filter(|record| client.is_none_or(|client| client == record.client)))
    }

    fn tell(&self, record: &Record) -> Value {
        story::tell(record, self.live.get(record.id).as_deref())
    }

    /// A job's story and whether it has ended; only of `client`, if one is named.
    pub(crate) async fn job(&self, id: JobId, client: Option<&str>) -> Result<Option<(Value, bool)>, Fault> {
        let record = self.record(id, client).await?;
        Ok(record.map(|record| (self.tell(&record), record.state.is_final())))
    }

    /// Stories, the newest first.
    pub(crate) async fn jobs(&self, filter: Filter) -> Result<Vec<Value>, Fault> {
        let records = self.journal.list(filter).await.map_err(|error| self.journal_fault(&error))?;
        Ok(records.iter().map(|record| self.tell(record)).collect())
    }

    /// Tells of every change of a job.
    pub(crate) fn watch(&self, id: JobId) -> watch::Receiver<()> {
        self.live.watch(id)
    }

    /// A job's story when it has ended, or none when it has not within `limit`.
    pub(crate) async fn outcome(&self, id: JobId, limit: Duration) -> Result<Option<Value>, Fault> {
        let mut changes = self.watch(id);
        let ended = async {
            loop {
                match self.job(id, None).await? {
                    Some((story, true)) => return Ok(Some(story)),
                    Some(_) => {
                        let _ = tokio::time::timeout(LOOK, changes.changed()).await;
                    }
                    None => return Ok(None),
                }
            }
        };
        tokio::time::timeout(limit, ended).await.unwrap_or(Ok(None))
    }

    /// Ends a job with what is stored: nothing more is.
    pub(crate) async fn cancel(self: &Arc<Self>, id: JobId, client: Option<&str>) -> Result<Wish, Fault> {
        loop {
            let Some(record) = self.record(id, client).await? else { return Ok(Wish::Unknown) };
            match record.state {
                JobState::Cancelled => return Ok(Wish::Granted(self.tell(&record))),
                JobState::Succeeded | JobState::Failed => return Ok(Wish::Refused(self.tell(&record))),
                // Its placeholder must not come after what is shown instead of it.
                JobState::Accepting => tokio::time::sleep(ACCEPT_PAUSE).await,
                JobState::Running => return self.cancel_running(record).await,
                JobState::Accepted => {
                    if let Some(story) = self.cancel_waiting(record).await? {
                        return Ok(Wish::Granted(story));
                    }
                }
            }
        }
    }

    async fn cancel_running(&self, record: Record) -> Result<Wish, Fault> {
        if let Some(running) = self.live.get(record.id) {
            running.cancel.cancel();
        }
        let ended = self.outcome(record.id, CANCEL_PATIENCE).await?;
        Ok(match ended {
            Some(story) if story["state"] == JobState::Cancelled.as_str() => Wish::Granted(story),
            Some(story) => Wish::Refused(story),
            // Its store takes long; it will end as it ends.
            None => Wish::Refused(self.tell(&record)),
        })
    }

    /// None when the job does not wait any more.
    async fn cancel_waiting(self: &Arc<Self>, mut record: Record) -> Result<Option<Value>, Fault> {
        let order = self.journal.order(record.id).await.map_err(|error| self.journal_fault(&error))?;
        let instructions = order.and_then(|order| Instructions::parse(&order, &record).ok());
        for part in record.parts.iter_mut().filter(|part| part.state == PartState::Waiting) {
            part.state = PartState::Cancelled;
        }
        // Whatever has failed already: it was not to be decided yet.
        (record.state, record.finished_at_ms) = (JobState::Cancelled, Some(now_ms()));
        let notice = self.notice(&record, instructions.as_ref());
        crate::crash::point("job-before-cancel");
        let cancelled = self.journal.cancel(record.clone(), notice).await;
        crate::crash::point("job-after-cancel");
        if !cancelled.map_err(|error| self.journal_fault(&error))? {
            return Ok(None);
        }
        drop(self.warm.take(record.id));
        self.queue.leave(&record.client);
        self.tell_end(&record, 0);
        self.live.changed(record.id);
        self.wake_notices.notify_one();
        let story = self.tell(&record);
        if let Some(instructions) = instructions {
            let service = Arc::clone(self);
            self.attempts.spawn(async move { service.show_cancelled(&record, &instructions).await });
        }
        Ok(Some(story))
    }

    /// A placeholder that says "being processed" would be wrong from now on.
    async fn show_cancelled(&self, record: &Record, instructions: &Instructions) {
        let (generation, settings) = (self.generation(), self.settings());
        for (index, (output, part)) in instructions.outputs.iter().zip(&record.parts).enumerate() {
            let Some(format) = output.task.format.filter(|_| part.state == PartState::Cancelled) else {
                continue;
            };
            let (width, height) = (output.prepared.width, output.prepared.height);
            let mark = store::mark(record.id, index, record.attempt + 1, Kind::Failure, false);
            let shown = async {
                let bytes = generation.pool.draw(Placeholder { width, height, format, failed: true }).await?;
                store::store(&settings.transfer, &instructions.source, output, bytes, &mark).await
            };
            if let Err(fault) = shown.await {
                tracing::warn!(job = %record.id, "that it was cancelled cannot be shown: {fault}");
            }
        }
    }

    /// Has a job that failed or was cancelled tried again, as if it were new; its story so far stays.
    pub(crate) async fn retry(&self, id: JobId, client: Option<&str>) -> Result<Wish, Fault> {
        let Some(mut record) = self.record(id, client).await? else { return Ok(Wish::Unknown) };
        if !record.state.may_become(JobState::Accepted) || !record.state.is_final() {
            return Ok(Wish::Refused(self.tell(&record)));
        }
        for part in &mut record.parts {
            if part.state != PartState::Stored {
                (part.state, part.error) = (PartState::Waiting, None);
            }
        }
        (record.state, record.finished_at_ms, record.due_at_ms) = (JobState::Accepted, None, now_ms());
        (record.fresh.attempt, record.fresh.failures) = (record.attempt, record.attempts.len());
        crate::crash::point("job-before-replay");
        let replayed = self.journal.replay(record.clone()).await;
        crate::crash::point("job-after-replay");
        if !replayed.map_err(|error| self.journal_fault(&error))? {
            return Ok(Wish::Refused(self.tell(&record)));
        }
        self.queue.restore(&record.client, 1);
        tracing::info!(job = %id, "tried again, as it was asked for");
        self.live.changed(id);
        self.wake.notify_one();
        Ok(Wish::Granted(self.tell(&record)))
    }
}
