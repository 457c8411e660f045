//! How jobs stand in rows, and from which states a change may lead, as SQL.

use imgserve_base::job::{JobId, JobState, Record};
use rusqlite::Row;

use super::super::JournalError;

/// The columns of a [`Story`], in its order.
pub(super) const STORY: &str = "id, state, attempt, due_at_ms, finished_at_ms, record";

/// A job's story as it is stored. Read in the transaction, understood outside of it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) id: JobId,
    state: String,
    attempt: u32,
    pub(super) due_at_ms: i64,
    finished_at_ms: Option<i64>,
    record: String,
}

impl Story {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: JobId::from_bytes(row.get(0)?),
            state: row.get(1)?,
            attempt: row.get(2)?,
            due_at_ms: row.get(3)?,
            finished_at_ms: row.get(4)?,
            record: row.get(5)?,
        })
    }

    /// The record; where a column differs from it, the column is right.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`], naming the job.
    pub(super) fn record(&self) -> Result<Record, JournalError> {
        let unreadable = |text: String| JournalError::Unreadable { text: format!("job {}: {text}", self.id) };
        let mut record: Record =
            serde_json::from_str(&self.record).map_err(|error| unreadable(error.to_string()))?;
        record.id = self.id;
        record.state = JobState::parse(&self.state)
            .ok_or_else(|| unreadable(format!("its state is `{}`", self.state)))?;
        record.attempt = self.attempt;
        record.due_at_ms = number(self.due_at_ms);
        record.finished_at_ms = self.finished_at_ms.map(number);
        Ok(record)
    }
}

/// A record as it is stored.
pub(super) fn text(record: &Record) -> Result<String, JournalError> {
    serde_json::to_string(record).map_err(|error| JournalError::Unwritable { text: error.to_string() })
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
