//! Changes of webhooks, each called within a transaction of the writer's.

use imgserve_base::job::JobId;
use rusqlite::{Connection, Row, params};

use super::rows::{integer, number, prepare};
use super::trouble::Trouble;
use crate::store::Notice;

pub(super) fn insert(db: &Connection, notice: &Notice) -> Result<(), Trouble> {
    let sql = "INSERT INTO notices (id, job, url, body, created_at_ms, due_at_ms, attempt) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)";
    prepare(db, sql)?.execute(params![
        notice.id,
        notice.job.as_bytes(),
        notice.url,
        notice.body,
        integer(notice.created_ms),
        notice.attempt,
    ])?;
    Ok(())
}

/// Those due first go first; and when the next may be claimable.
pub(super) fn claim(
    db: &Connection,
    count: usize,
    now_ms: u64,
    lease_until_ms: u64,
) -> Result<(Vec<Notice>, Option<u64>), Trouble> {
    let now = integer(now_ms);
    prepare(db, "UPDATE notices SET lease_until_ms = NULL WHERE lease_until_ms < ?1")?.execute([now])?;
    let sql = "UPDATE notices SET attempt = attempt + 1, lease_until_ms = ?1 WHERE rowid IN (SELECT rowid FROM notices \
               WHERE lease_until_ms IS NULL AND due_at_ms <= ?2 ORDER BY due_at_ms LIMIT ?3) \
               RETURNING id, job, url, body, created_at_ms, attempt, due_at_ms";
    let mut statement = prepare(db, sql)?;
    let values = params![integer(lease_until_ms), now, integer(count as u64)];
    let rows = statement.query_map(values, |row| Ok((row.get::<_, i64>(6)?, read(row)?)))?;
    let mut taken = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    taken.sort_by_key(|(due, _)| *due);
    let sql = "SELECT min(t) FROM (SELECT min(due_at_ms) AS t FROM notices WHERE lease_until_ms IS NULL AND \
               due_at_ms > ?1 UNION ALL SELECT min(lease_until_ms) + 1 FROM notices WHERE lease_until_ms IS NOT NULL)";
    let next: Option<i64> = prepare(db, sql)?.query_row([now], |row| row.get(0))?;
    Ok((taken.into_iter().map(|(_, notice)| notice).collect(), next.map(number)))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        id: row.get(0)?,
        job: JobId::from_bytes(row.get(1)?),
        url: row.get(2)?,
        body: row.get(3)?,
        created_ms: number(row.get(4)?),
        attempt: row.get(5)?,
    })
}

/// What a try that is not the current one says is passed over.
pub(super) fn end(db: &Connection, id: &str, attempt: u32, again_at_ms: Option<u64>) -> Result<(), Trouble> {
    let current = "id = ?1 AND attempt = ?2 AND lease_until_ms IS NOT NULL";
    match again_at_ms {
        None => {
            prepare(db, &format!("DELETE FROM notices WHERE {current}"))?.execute(params![id, attempt])?
        }
        Some(at) => {
            prepare(db, &format!("UPDATE notices SET lease_until_ms = NULL, due_at_ms = ?3 WHERE {current}"))?
                .execute(params![id, attempt, integer(at)])?
        }
    };
    Ok(())
}

/// Tries that are not the current ones are passed over.
pub(super) fn put_off(db: &Connection, claims: &[(String, u32)], due_at_ms: u64) -> Result<(), Trouble> {
    let sql = "UPDATE notices SET lease_until_ms = NULL, attempt = attempt - 1, due_at_ms = ?3 \
               WHERE id = ?1 AND attempt = ?2 AND lease_until_ms IS NOT NULL";
    let mut statement = prepare(db, sql)?;
    for (id, attempt) in claims {
        statement.execute(params![id, attempt, integer(due_at_ms)])?;
    }
    Ok(())
}
