//! A job as stores have it, read in a transaction and understood outside of it.

use imgserve_base::job::{Client, Held, JobId, JobState, OnNode, Priority, Record};

use crate::store::{Claim, JournalError, rank};
use crate::story::{self, Told};

/// A job as it is stored.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: JobId,
    pub(crate) state: String,
    pub(crate) attempt: u32,
    /// By this process's clock.
    pub(crate) due_at_ms: u64,
    pub(crate) finished_at_ms: Option<i64>,
    pub(crate) story: String,
    pub(crate) operation: String,
    pub(crate) client: String,
    pub(crate) priority: i64,
    pub(crate) accepted_at_ms: i64,
    pub(crate) held_why: Option<String>,
    pub(crate) node: Option<OnNode>,
}

impl Row {
    /// Whose job it is.
    pub(crate) fn client(&self) -> Client {
        Client::parse(&self.client)
    }

    /// The record. Of a story that cannot be read it is what the columns tell, and says so.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], naming the job: a column holds what no program wrote.
    pub(crate) fn record(self) -> Result<Record, JournalError> {
        let id = self.id;
        let unreadable = |text: String| JournalError::Unreadable { text: format!("job {id}: {text}") };
        let state = JobState::parse(&self.state)
            .ok_or_else(|| unreadable(format!("its state is `{}`", self.state)))?;
        let client = self.client();
        let priority = Priority::ALL.into_iter().find(|priority| rank(*priority) == self.priority);
        let (told, unread) = match story::read(&self.story) {
            Ok(told) => (told, None),
            Err(error) => (Told::default(), Some(Held { why: error.to_string(), story: true })),
        };
        Ok(Record {
            id,
            state,
            operation: self.operation,
            client,
            priority: priority.ok_or_else(|| unreadable(format!("its priority is {}", self.priority)))?,
            source: told.source,
            source_tag: told.source_tag,
            outputs: told.outputs,
            accepted_at_ms: number(self.accepted_at_ms),
            due_at_ms: self.due_at_ms,
            finished_at_ms: self.finished_at_ms.map(number),
            attempt: self.attempt,
            attempts: told.attempts,
            timings: told.timings,
            notify: told.notify,
            fresh: told.fresh,
            held: unread.or(self.held_why.map(|why| Held { why, story: false })),
            node: self.node,
        })
    }
}

/// A record's story as it is stored.
pub(crate) fn text(record: &Record) -> Result<String, JournalError> {
    story::text(record).map_err(|error| JournalError::Unwritable { text: error.to_string() })
}

/// Stores' integers are signed.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or_default()
}

/// A claimed job, as a store has it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) row: Row,
    pub(crate) order: String,
    pub(crate) flow: String,
    pub(crate) cost: u64,
}

/// What is handed out of what was claimed; and whose jobs are not, of which `hold` is told, as their stories cannot be read.
pub(crate) fn handed_out(
    taken: Vec<Taken>,
    mut hold: impl FnMut(JobId, u32, String),
) -> (Vec<Claim>, Vec<Client>) {
    let (mut claims, mut held) = (Vec::with_capacity(taken.len()), Vec::new());
    for Taken { row, order, flow, cost } in taken {
        let (id, attempt, client) = (row.id, row.attempt, row.client());
        let why = match row.record() {
            Ok(Record { held: Some(Held { why, story: true }), .. }) => why,
            Ok(record) => {
                claims.push(Claim { record, order, flow, cost });
                continue;
            }
            Err(error) => error.to_string(),
        };
        hold(id, attempt, why);
        held.push(client);
    }
    (claims, held)
}
