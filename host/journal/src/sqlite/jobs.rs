//! Changes of jobs but for claims, each called within a transaction of the writer's. What a change may not do shows in the
//! number of rows it finds.

use imgserve_base::job::{JobId, JobState, Record, now_ms};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::notices;
use super::read::Kept;
use super::rows::{from_states, integer, prepare};
use super::trouble::Trouble;
use crate::store::{Entry, JournalError, Notice, Receipt, Submitted, rank};

/// A job's story as the caller wants it written, and its text.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) record: Record,
    pub(super) text: String,
}

pub(super) fn submit(db: &Connection, entry: &Entry, text: &str, now_ms: u64) -> Result<Submitted, Trouble> {
    let record = &entry.record;
    if let Some(key) = &entry.key {
        if let Some(receipt) = receipt(db, &key.client.to_string(), &key.key)? {
            return Ok(Submitted::Known(receipt));
        }
        prepare(db, "INSERT INTO idempotency_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            key.client.to_string(),
            key.key,
            key.digest,
            key.receipt,
            record.id.as_bytes(),
            integer(now_ms),
        ])?;
    }
    let sql = "INSERT INTO jobs (id, state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, \
               instructions, record, flow, cost) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    prepare(db, sql)?.execute(params![
        record.id.as_bytes(),
        record.state.as_str(),
        rank(record.priority),
        integer(record.due_at_ms),
        record.attempt,
        record.operation,
        record.client.to_string(),
        integer(record.accepted_at_ms),
        entry.order,
        text,
        entry.flow,
        integer(entry.cost),
    ])?;
    Ok(Submitted::New)
}

pub(super) fn receipt(db: &Connection, client: &str, key: &str) -> rusqlite::Result<Option<Receipt>> {
    let sql = "SELECT digest, receipt FROM idempotency_keys WHERE client = ?1 AND key = ?2";
    let receipt = |row: &rusqlite::Row<'_>| Ok(Receipt { digest: row.get(0)?, receipt: row.get(1)? });
    prepare(db, sql)?.query_row(params![client, key], receipt).optional()
}

/// A job that has gone further was accepted, and stays.
pub(super) fn withdraw(db: &Connection, id: JobId) -> Result<(), Trouble> {
    let sql = "DELETE FROM jobs WHERE id = ?1 AND state = ?2";
    if prepare(db, sql)?.execute(params![id.as_bytes(), JobState::Accepting.as_str()])? == 1 {
        prepare(db, "DELETE FROM idempotency_keys WHERE job = ?1")?.execute([id.as_bytes()])?;
    }
    Ok(())
}

pub(super) fn release(db: &Connection, id: JobId) -> Result<(), Trouble> {
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Accepting);
    let sql = format!("UPDATE jobs SET state = ?2 WHERE id = ?1 AND {from}");
    prepare(db, &sql)?.execute(params![id.as_bytes(), next.as_str()])?;
    Ok(())
}

/// Attempts that are not the current ones are passed over.
pub(super) fn heartbeat(
    db: &Connection,
    attempts: &[(JobId, u32)],
    lease_until_ms: u64,
) -> Result<(), Trouble> {
    let sql = "UPDATE jobs SET lease_until_ms = ?3 WHERE id = ?1 AND attempt = ?2 AND state = 'running'";
    let mut statement = prepare(db, sql)?;
    for (id, attempt) in attempts {
        statement.execute(params![id.as_bytes(), attempt, integer(lease_until_ms)])?;
    }
    Ok(())
}

pub(super) fn save(db: &Connection, written: &Written) -> Result<(), Trouble> {
    let sql = "UPDATE jobs SET record = ?3 WHERE id = ?1 AND attempt = ?2 AND state = 'running'";
    let Written { record, text } = written;
    let changed = prepare(db, sql)?.execute(params![record.id.as_bytes(), record.attempt, text])?;
    current(changed, record)
}

/// What a job is planned to be; `save` with the order and the cost.
pub(super) fn plan(db: &Connection, written: &Written, order: &str, cost: u64) -> Result<(), Trouble> {
    let sql = "UPDATE jobs SET record = ?3, instructions = ?4, cost = ?5 \
               WHERE id = ?1 AND attempt = ?2 AND state = 'running'";
    let Written { record, text } = written;
    let values = params![record.id.as_bytes(), record.attempt, text, order, integer(cost)];
    current(prepare(db, sql)?.execute(values)?, record)
}

/// Ends an attempt, and with it the job.
pub(super) fn end(db: &Connection, written: &Written, notice: Option<&Notice>) -> Result<(), Trouble> {
    let Written { record, text } = written;
    let from = from_states(record.state, |state| state == JobState::Running && record.state.is_final());
    let sql = format!(
        "UPDATE jobs SET state = ?3, finished_at_ms = ?4, record = ?5, lease_until_ms = NULL \
         WHERE id = ?1 AND attempt = ?2 AND {from}"
    );
    let changed = prepare(db, &sql)?.execute(params![
        record.id.as_bytes(),
        record.attempt,
        record.state.as_str(),
        finished_at(record),
        text,
    ])?;
    current(changed, record)?;
    notice.map_or(Ok(()), |notice| notices::insert(db, notice))
}

/// Ends an attempt; there will be another.
pub(super) fn again(db: &Connection, written: &Written, due_at_ms: u64) -> Result<(), Trouble> {
    let Written { record, text } = written;
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Running);
    let sql = format!(
        "UPDATE jobs SET state = ?3, due_at_ms = ?4, record = ?5, lease_until_ms = NULL \
         WHERE id = ?1 AND attempt = ?2 AND {from}"
    );
    let values = params![record.id.as_bytes(), record.attempt, next.as_str(), integer(due_at_ms), text];
    current(prepare(db, &sql)?.execute(values)?, record)
}

/// Attempts that are not the current ones are passed over.
pub(super) fn give_back(db: &Connection, attempts: &[(JobId, u32)]) -> Result<(), Trouble> {
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Running);
    let sql = format!(
        "UPDATE jobs SET state = ?3, attempt = attempt - 1, lease_until_ms = NULL \
         WHERE id = ?1 AND attempt = ?2 AND {from}"
    );
    let mut statement = prepare(db, &sql)?;
    for (id, attempt) in attempts {
        statement.execute(params![id.as_bytes(), attempt, next.as_str()])?;
    }
    Ok(())
}

/// As [`give_back`], and not due before this time.
pub(super) fn put_off(db: &Connection, attempts: &[(JobId, u32)], due_at_ms: u64) -> Result<(), Trouble> {
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Running);
    let sql = format!(
        "UPDATE jobs SET state = ?3, attempt = attempt - 1, lease_until_ms = NULL, due_at_ms = ?4 \
         WHERE id = ?1 AND attempt = ?2 AND {from}"
    );
    let mut statement = prepare(db, &sql)?;
    for (id, attempt) in attempts {
        statement.execute(params![id.as_bytes(), attempt, next.as_str(), integer(due_at_ms)])?;
    }
    Ok(())
}

/// As [`give_back`], and offered to no program that calls itself `reader` again.
pub(super) fn hold(
    db: &Connection,
    (id, attempt): (JobId, u32),
    reader: &str,
    why: &str,
) -> Result<(), Trouble> {
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Running);
    let sql = format!(
        "UPDATE jobs SET state = ?3, attempt = attempt - 1, lease_until_ms = NULL, held_by = ?4, held_why = ?5 \
         WHERE id = ?1 AND attempt = ?2 AND {from}"
    );
    prepare(db, &sql)?.execute(params![id.as_bytes(), attempt, next.as_str(), reader, why])?;
    Ok(())
}

/// A job that is claimed is its attempt's to end.
pub(super) fn cancel(db: &Connection, written: &Written, notice: Option<&Notice>) -> Result<bool, Trouble> {
    let Written { record, text } = written;
    let from = from_states(record.state, |state| state != JobState::Running && record.state.is_final());
    let sql = format!(
        "UPDATE jobs SET state = ?2, finished_at_ms = ?3, record = ?4, held_by = NULL, held_why = NULL \
         WHERE id = ?1 AND {from}"
    );
    let values = params![record.id.as_bytes(), record.state.as_str(), finished_at(record), text];
    let changed = prepare(db, &sql)?.execute(values)? == 1;
    if let Some(notice) = notice.filter(|_| changed) {
        notices::insert(db, notice)?;
    }
    Ok(changed)
}

pub(super) fn replay(db: &Connection, written: &Written) -> Result<bool, Trouble> {
    let Written { record, text } = written;
    let next = JobState::Accepted;
    let from = from_states(next, JobState::is_final);
    let sql = format!(
        "UPDATE jobs SET state = ?2, priority = ?3, due_at_ms = ?4, attempt = ?5, record = ?6, finished_at_ms = NULL \
         WHERE id = ?1 AND {from}"
    );
    let changed = prepare(db, &sql)?.execute(params![
        record.id.as_bytes(),
        next.as_str(),
        rank(record.priority),
        integer(record.due_at_ms),
        record.attempt,
        text,
    ])?;
    Ok(changed == 1)
}

/// Forgets up to `count` finished jobs that are not among the kept ones; how many it were.
pub(super) fn forget(db: &Connection, kept: Kept, count: usize) -> Result<usize, Trouble> {
    let those = "FROM jobs WHERE finished_at_ms IS NOT NULL AND (finished_at_ms, id) < (?1, ?2) AND rowid < ?4 \
                 ORDER BY finished_at_ms, id LIMIT ?3";
    let values = params![kept.ended.0, kept.ended.1.as_bytes(), integer(count as u64), kept.row];
    notices::forget_of(db, &format!("SELECT id {those}"), values)?;
    Ok(prepare(db, &format!("DELETE FROM jobs WHERE rowid IN (SELECT rowid {those})"))?.execute(values)?)
}

/// Forgets up to `count` idempotency keys from before this time; how many it were.
pub(super) fn forget_keys(db: &Connection, before_ms: u64, count: usize) -> Result<usize, Trouble> {
    let sql = "DELETE FROM idempotency_keys WHERE rowid IN (SELECT rowid FROM idempotency_keys \
               WHERE created_at_ms < ?1 ORDER BY created_at_ms LIMIT ?2)";
    Ok(prepare(db, sql)?.execute(params![integer(before_ms), integer(count as u64)])?)
}

fn finished_at(record: &Record) -> i64 {
    integer(record.finished_at_ms.unwrap_or_else(now_ms))
}

fn current(changed: usize, record: &Record) -> Result<(), Trouble> {
    match changed {
        1 => Ok(()),
        _ => Err(Trouble::Refused(JournalError::Stale { id: record.id, attempt: record.attempt })),
    }
}
