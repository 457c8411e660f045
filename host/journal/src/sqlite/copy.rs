//! All of a file's journal, to be copied from or to.

use std::path::Path;

use imgserve_base::lock::Lock;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::trouble::verdict;
use super::{file, schema};
use crate::copy::{AT_ONCE, Copies, Job, Key, Notice, Part, Portion, moment, off};
use crate::store::{JournalError, NEVER_MS};
use crate::story;

/// A journal that nobody works on.
pub(crate) struct Copying {
    connection: Connection,
    part: Part,
    /// The row behind which the next portion begins.
    after: i64,
    _lock: Lock,
}

impl Copying {
    /// Opens it, as its server does.
    ///
    /// # Errors
    /// As of that.
    pub(crate) fn open(path: &Path, reader: &str) -> Result<Self, JournalError> {
        let lock = file::take(path)?;
        let connection = schema::open(path, &story::reader(reader))?;
        Ok(Self { connection, part: Part::Jobs, after: 0, _lock: lock })
    }

    fn rows<T>(
        &mut self,
        sql: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let rows = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![self.after, AT_ONCE as i64], |row| {
                Ok((row.get::<_, i64>(0)?, read(row)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let found = rows().map_err(|error| verdict(&error))?;
        self.after = found.last().map_or(self.after, |(row, _)| *row);
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }

    fn goes_on(&mut self, found: usize, next: Part) {
        if found < AT_ONCE {
            (self.part, self.after) = (next, 0);
        }
    }

    fn change(&mut self, portion: &Portion) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction()?;
        let mut new = 0;
        match portion {
            Portion::Jobs(jobs) => {
                for job in jobs {
                    new += put_job(&transaction, job)?;
                }
            }
            Portion::Keys(keys) => {
                for key in keys {
                    new += put_key(&transaction, key)?;
                }
            }
            Portion::Notices(notices) => {
                for notice in notices {
                    new += put_notice(&transaction, notice)?;
                }
            }
            Portion::Nothing => {}
        }
        transaction.commit()?;
        Ok(new)
    }
}

impl Copies for Copying {
    fn next(&mut self) -> Result<Portion, JournalError> {
        loop {
            match self.part {
                Part::Finished | Part::Jobs => {
                    let jobs = self.rows(
                        "SELECT rowid, id, state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, \
                         finished_at_ms, flow, cost, held_by, held_why, instructions, record FROM jobs \
                         WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
                        read_job,
                    )?;
                    self.goes_on(jobs.len(), Part::Keys);
                    if !jobs.is_empty() {
                        return Ok(Portion::Jobs(jobs));
                    }
                }
                Part::Keys => {
                    let keys = self.rows(
                        "SELECT rowid, client, key, digest, receipt, job, created_at_ms FROM idempotency_keys \
                         WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
                        read_key,
                    )?;
                    self.goes_on(keys.len(), Part::Notices);
                    if !keys.is_empty() {
                        return Ok(Portion::Keys(keys));
                    }
                }
                Part::Notices => {
                    let notices = self.rows(
                        "SELECT rowid, id, job, url, body, created_at_ms, due_at_ms, attempt, flow FROM notices \
                         WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
                        read_notice,
                    )?;
                    self.goes_on(notices.len(), Part::End);
                    if !notices.is_empty() {
                        return Ok(Portion::Notices(notices));
                    }
                }
                Part::End => return Ok(Portion::Nothing),
            }
        }
    }

    fn take(&mut self, portion: &Portion) -> Result<u64, JournalError> {
        self.change(portion).map(|new| new as u64).map_err(|error| verdict(&error))
    }
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: uuid(row, 1)?,
        state: row.get(2)?,
        priority: row.get(3)?,
        due_off_ms: off(row.get(4)?),
        attempt: row.get(5)?,
        operation: row.get(6)?,
        client: row.get(7)?,
        accepted_at_ms: row.get(8)?,
        finished_at_ms: row.get(9)?,
        flow: row.get(10)?,
        cost: row.get(11)?,
        held_by: row.get(12)?,
        held_why: row.get(13)?,
        order: row.get(14)?,
        record: row.get(15)?,
    })
}

fn put_job(db: &Connection, job: &Job) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO jobs (id, state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, finished_at_ms, \
         flow, cost, held_by, held_why, instructions, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        job.id.as_bytes(),
        job.state,
        job.priority,
        moment(job.due_off_ms),
        job.attempt,
        job.operation,
        job.client,
        job.accepted_at_ms,
        job.finished_at_ms,
        job.flow,
        job.cost,
        job.held_by,
        job.held_why,
        job.order,
        job.record,
    ])
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        client: row.get(1)?,
        key: row.get(2)?,
        digest: row.get(3)?,
        receipt: row.get(4)?,
        job: uuid(row, 5)?,
        created_off_ms: off(row.get(6)?),
    })
}

fn put_key(db: &Connection, key: &Key) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO idempotency_keys (client, key, digest, receipt, job, created_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        key.client,
        key.key,
        key.digest,
        key.receipt,
        key.job.as_bytes(),
        moment(key.created_off_ms)
    ])
}

fn read_notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    let due_at_ms: i64 = row.get(6)?;
    Ok(Notice {
        id: row.get(1)?,
        job: uuid(row, 2)?,
        url: row.get(3)?,
        body: row.get(4)?,
        created_off_ms: off(row.get(5)?),
        due_off_ms: (due_at_ms < NEVER_MS as i64).then(|| off(due_at_ms)),
        attempt: row.get(7)?,
        flow: row.get(8)?,
    })
}

fn put_notice(db: &Connection, notice: &Notice) -> rusqlite::Result<usize> {
    let due_at_ms = notice.due_off_ms.map_or(NEVER_MS as i64, moment);
    db.prepare_cached(
        "INSERT OR IGNORE INTO notices (id, job, url, body, created_at_ms, due_at_ms, attempt, flow) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        notice.id,
        notice.job.as_bytes(),
        notice.url,
        notice.body,
        moment(notice.created_off_ms),
        due_at_ms,
        notice.attempt,
        notice.flow,
    ])
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}
