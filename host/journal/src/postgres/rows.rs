//! Jobs as rows of the database, and what became of statements.

use imgserve_base::job::{JobId, OnNode};
use tokio_postgres::Row as Found;
use uuid::Uuid;

pub(super) use crate::rows::{Row, integer, number, text};

/// The columns of a [`Row`] of a job that has not ended, in its order. When it is due is told by how long it is until then.
macro_rules! waiting {
    () => {
        "id, state, attempt, due_at_ms - imgserve_now_ms(), NULL::bigint, record, operation, client, priority, \
         accepted_at_ms, held_why, coalesce((SELECT name FROM imgserve_nodes AS known WHERE known.id = node), node::text), \
         place <> ''"
    };
}
/// The same of one that has ended.
macro_rules! finished {
    () => {
        "id, state, attempt, due_at_ms - imgserve_now_ms(), finished_at_ms, record, operation, client, priority, \
         accepted_at_ms, NULL::text, coalesce((SELECT name FROM imgserve_nodes AS known WHERE known.id = node), node::text), \
         place <> ''"
    };
}
pub(super) use {finished, waiting};

/// How many columns that are.
pub(super) const WIDTH: usize = 13;

/// Reads a job, by a process whose clock shows `now_ms`.
pub(super) fn read(row: &Found, now_ms: u64) -> Row {
    Row {
        id: job(row.get(0)),
        state: row.get(1),
        attempt: count(row.get(2)),
        due_at_ms: moment(row.get(3), now_ms),
        finished_at_ms: row.get(4),
        story: row.get(5),
        operation: row.get(6),
        client: row.get(7),
        priority: row.get(8),
        accepted_at_ms: row.get(9),
        held_why: row.get(10),
        node: Some(OnNode { name: row.get(11), stays: row.get(12) }),
    }
}

/// A moment that is so far off, by a clock that shows `now_ms`.
pub(super) fn moment(off_ms: i64, now_ms: u64) -> u64 {
    now_ms.saturating_add_signed(off_ms)
}

/// How far a moment is off, by a clock that shows `now_ms`.
pub(super) fn off(moment: u64, now_ms: u64) -> i64 {
    integer(moment).saturating_sub(integer(now_ms))
}

pub(super) fn uuid(id: JobId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(super) fn job(id: Uuid) -> JobId {
    JobId::from_bytes(*id.as_bytes())
}

/// Of attempts.
pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
