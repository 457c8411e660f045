//! How jobs stand in rows, and from which states a change may lead, as SQL.

use imgserve_base::job::{Client, Held, JobId, JobState, Priority, Record};

use crate::store::{JournalError, rank};
use rusqlite::{CachedStatement, Connection};

use crate::story::{self, Told};

/// The columns of a [`Row`], in its order.
pub(super) const ROW: &str = "id, state, attempt, due_at_ms, finished_at_ms, record, operation, client, priority, \
                              accepted_at_ms, held_why";
/// How many they are.
pub(super) const WIDTH: usize = 11;

/// A job as it is stored. Read in the transaction, understood outside of it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: JobId,
    state: String,
    pub(super) attempt: u32,
    pub(super) due_at_ms: i64,
    finished_at_ms: Option<i64>,
    story: String,
    operation: String,
    client: String,
    priority: i64,
    accepted_at_ms: i64,
    held_why: Option<String>,
}

impl Row {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: JobId::from_bytes(row.get(0)?),
            state: row.get(1)?,
            attempt: row.get(2)?,
            due_at_ms: row.get(3)?,
            finished_at_ms: row.get(4)?,
            story: row.get(5)?,
            operation: row.get(6)?,
            client: row.get(7)?,
            priority: row.get(8)?,
            accepted_at_ms: row.get(9)?,
            held_why: row.get(10)?,
        })
    }

    /// Whose job it is.
    pub(super) fn client(&self) -> Client {
        Client::parse(&self.client)
    }

    /// The record. Of a story that cannot be read it is what the columns tell, and says so.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], naming the job: a column holds what no program wrote.
    pub(super) fn record(self) -> Result<Record, JournalError> {
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
            outputs: told.outputs,
            accepted_at_ms: number(self.accepted_at_ms),
            due_at_ms: number(self.due_at_ms),
            finished_at_ms: self.finished_at_ms.map(number),
            attempt: self.attempt,
            attempts: told.attempts,
            timings: told.timings,
            notify: told.notify,
            fresh: told.fresh,
            held: unread.or(self.held_why.map(|why| Held { why, story: false })),
        })
    }
}

/// A record's story as it is stored.
pub(super) fn text(record: &Record) -> Result<String, JournalError> {
    story::text(record).map_err(|error| JournalError::Unwritable { text: error.to_string() })
}

/// Which of the rows may become `next`, as a condition: those in a state that `which` takes and from which the job's
/// rules lead there. Where none does, the condition is never true.
pub(super) fn from_states(next: JobState, which: impl Fn(JobState) -> bool) -> String {
    let states: Vec<_> = JobState::ALL
        .into_iter()
        .filter(|state| state.may_become(next) && which(*state))
        .map(|state| format!("'{}'", state.as_str()))
        .collect();
    match &states[..] {
        // So written it is what a partial index is made for.
        [state] => format!("state = {state}"),
        _ => format!("state IN ({})", states.join(", ")),
    }
}

/// SQLite's integers are signed.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or_default()
}

/// A statement, made once for a connection.
pub(super) fn prepare<'a>(db: &'a Connection, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
    db.prepare_cached(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_the_rules() {
        assert_eq!(from_states(JobState::Running, |_| true), "state = 'accepted'");
        assert_eq!(
            from_states(JobState::Accepted, |state| !state.is_final()),
            "state IN ('accepting', 'running')"
        );
        assert_eq!(from_states(JobState::Succeeded, |state| state != JobState::Running), "state IN ()");
    }
}
