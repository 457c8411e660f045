//! How jobs stand in rows, and from which states a change may lead, as SQL.

use imgserve_base::job::{JobId, JobState};
use rusqlite::{CachedStatement, Connection};

pub(super) use crate::rows::{Row, integer, number, text};

/// The columns of a [`Row`], in its order.
pub(super) const ROW: &str = "id, state, attempt, due_at_ms, finished_at_ms, record, operation, client, priority, \
                              accepted_at_ms, held_why";
/// How many they are.
pub(super) const WIDTH: usize = 11;

impl Row {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: JobId::from_bytes(row.get(0)?),
            state: row.get(1)?,
            attempt: row.get(2)?,
            due_at_ms: number(row.get(3)?),
            finished_at_ms: row.get(4)?,
            story: row.get(5)?,
            operation: row.get(6)?,
            client: row.get(7)?,
            priority: row.get(8)?,
            accepted_at_ms: row.get(9)?,
            held_why: row.get(10)?,
            // There is one alone.
            node: None,
        })
    }
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
