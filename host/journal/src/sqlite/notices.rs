//! Changes of webhooks, each called within a transaction of the writer's.

use imgserve_base::fair::may_have;
use imgserve_base::job::JobId;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::rows::{integer, number, prepare};
use super::trouble::Trouble;
use crate::store::{ClaimedNotice, NEVER_MS, Notice, Room, Undelivered};

/// In whose turn it is the job tells, which is there when it ends.
pub(super) fn insert(db: &Connection, notice: &Notice) -> Result<(), Trouble> {
    let sql = "INSERT INTO notices (id, job, url, body, created_at_ms, due_at_ms, attempt, flow) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, coalesce((SELECT flow FROM jobs WHERE id = ?2), ''))";
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

/// 2025-01-01, before the first imgserve that keeps webhooks: an earlier time is that of a machine whose clock was not set yet.
const UNSET_MS: u64 = 1_735_689_600_000;

/// Those that can be claimed, as their index has them.
const CLAIMABLE: &str = "notices INDEXED BY notices_claimable WHERE lease_until_ms IS NULL \
                         AND due_at_ms < 9223372036854775807";

/// As many as there is room for, of each flow as many as it may have and those due first; and when the next may be claimable.
pub(super) fn claim(
    db: &Connection,
    room: &Room,
    now_ms: u64,
    lease_until_ms: u64,
) -> Result<(Vec<ClaimedNotice>, Option<u64>), Trouble> {
    let now = integer(now_ms);
    prepare(db, "UPDATE notices SET lease_until_ms = NULL WHERE lease_until_ms < ?1")?.execute([now])?;
    let (mut taken, mut left) = (Vec::new(), room.free);
    for flow in due_flows(db, now)? {
        let under_way = room.under_way.get(flow.as_str()).copied().unwrap_or_default();
        let most = if room.shared { may_have(under_way, left) } else { left };
        let before = taken.len();
        claim_of(db, &flow, most, (now, integer(lease_until_ms)), &mut taken)?;
        left -= taken.len() - before;
    }
    let sql = "SELECT min(t) FROM (SELECT min(due_at_ms) AS t FROM notices WHERE lease_until_ms IS NULL AND \
               due_at_ms > ?1 AND due_at_ms < ?2 UNION ALL SELECT min(lease_until_ms) + 1 FROM notices WHERE lease_until_ms IS NOT NULL)";
    let next: Option<i64> = prepare(db, sql)?.query_row([now, integer(NEVER_MS)], |row| row.get(0))?;
    Ok((taken, next.map(number)))
}

/// Flows of which webhooks are due, the one that waits longest first: a few looks at the index for each that waits at all, however
/// many they have. None where nothing is due, which is what is found mostly.
fn due_flows(db: &Connection, now: i64) -> rusqlite::Result<Vec<String>> {
    let due = "SELECT EXISTS (SELECT 1 FROM notices INDEXED BY notices_due WHERE lease_until_ms IS NULL AND due_at_ms <= ?1)";
    if !prepare(db, due)?.query_row([now], |row| row.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "WITH RECURSIVE flows(flow) AS (SELECT (SELECT min(flow) FROM {CLAIMABLE}) UNION ALL \
         SELECT (SELECT min(flow) FROM {CLAIMABLE} AND notices.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL), \
         firsts(flow, due) AS (SELECT flow, (SELECT min(due_at_ms) FROM {CLAIMABLE} AND notices.flow = flows.flow) \
         FROM flows WHERE flow IS NOT NULL) \
         SELECT flow FROM firsts WHERE due <= ?1 ORDER BY due, flow"
    );
    prepare(db, &sql)?.query_map([now], |row| row.get(0))?.collect()
}

/// Claims so many of a flow's.
fn claim_of(
    db: &Connection,
    flow: &str,
    most: usize,
    (now, lease_until): (i64, i64),
    taken: &mut Vec<ClaimedNotice>,
) -> rusqlite::Result<()> {
    if most == 0 {
        return Ok(());
    }
    let sql = format!(
        "UPDATE notices SET attempt = attempt + 1, lease_until_ms = ?1 WHERE rowid IN (SELECT rowid FROM {CLAIMABLE} \
         AND flow = ?2 AND due_at_ms <= ?3 ORDER BY due_at_ms LIMIT ?4) \
         RETURNING id, job, url, body, created_at_ms, attempt, due_at_ms"
    );
    let mut statement = prepare(db, &sql)?;
    let values = params![lease_until, flow, now, integer(most as u64)];
    let rows = statement.query_map(values, |row| Ok((row.get::<_, i64>(6)?, read(row)?)))?;
    let mut claimed = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    claimed.sort_by_key(|(due, _)| *due);
    taken.extend(claimed.into_iter().map(|(_, notice)| ClaimedNotice { notice, flow: flow.to_owned() }));
    Ok(())
}

/// Webhooks that wait for a later time than `latest_ms` wait for that one, those that were never tried for none, and none was
/// first due after `now_ms`, or at a time that no clock shows which was ever set: else it would be too old for another try.
pub(super) fn bring_forward(db: &Connection, now_ms: u64, latest_ms: u64) -> Result<(), Trouble> {
    let sql = "UPDATE notices SET due_at_ms = min(due_at_ms, CASE attempt WHEN 0 THEN ?1 ELSE ?2 END), \
               created_at_ms = CASE WHEN created_at_ms < ?4 THEN ?1 ELSE min(created_at_ms, ?1) END \
               WHERE due_at_ms < ?3 AND (due_at_ms > ?2 OR created_at_ms > ?1 OR created_at_ms < ?4)";
    let unset = UNSET_MS.min(now_ms);
    // What was given up stays so.
    let values = params![integer(now_ms), integer(latest_ms), integer(NEVER_MS), integer(unset)];
    prepare(db, sql)?.execute(values)?;
    Ok(())
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

/// The last one about a job, if it is not delivered.
pub(super) fn of_job(db: &Connection, job: JobId) -> rusqlite::Result<Option<Undelivered>> {
    let sql = "SELECT attempt, due_at_ms FROM notices WHERE job = ?1 ORDER BY rowid DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let due_ms = number(row.get(1)?);
        Ok(Undelivered { attempt: row.get(0)?, due_ms: (due_ms < NEVER_MS).then_some(due_ms) })
    };
    prepare(db, sql)?.query_row([job.as_bytes()], read).optional()
}

/// Forgets those that were given up of the jobs whose ids this query gives.
pub(super) fn forget_of(db: &Connection, jobs: &str, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM notices INDEXED BY notices_by_job WHERE job IN ({jobs}) AND lease_until_ms IS NULL \
         AND due_at_ms = {NEVER_MS}"
    );
    prepare(db, &sql)?.execute(values)?;
    Ok(())
}

/// How many are not delivered, but for those that were given up.
pub(super) fn count(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM notices INDEXED BY notices_due WHERE lease_until_ms IS NULL AND due_at_ms < ?1) \
               + (SELECT count(*) FROM notices INDEXED BY notices_leased WHERE lease_until_ms IS NOT NULL)";
    prepare(db, sql)?.query_row([integer(NEVER_MS)], |row| row.get(0)).map(number)
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
    if again_at_ms == Some(NEVER_MS) {
        // It stays for as long as its job, which may be gone.
        let sql = "DELETE FROM notices WHERE id = ?1 AND lease_until_ms IS NULL AND due_at_ms = ?2 \
                   AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = notices.job)";
        prepare(db, sql)?.execute(params![id, integer(NEVER_MS)])?;
    }
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
