//! Which jobs are handed out: of each flow's jobs those of higher priority go first, then those due first; whose turn it is
//! `crate::turns` says. A claim names its indexes: without one it would look at all jobs, and is refused instead.

use std::sync::{Arc, Mutex, PoisonError};

use imgserve_base::fair::Clock;
use imgserve_base::job::{JobState, Priority};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{ROW, Row, WIDTH, from_states, integer, number, prepare};
use super::trouble::Trouble;
use crate::rows::Taken;
use crate::store::{Room, rank};
use crate::turns::{Claiming, Step};

/// Highest first.
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// What a claimed job is.
const CLAIMED: JobState = JobState::Running;

/// How many flows are looked for at once.
const FLOWS_AT_ONCE: usize = 64;

/// What came of a claim.
#[derive(Debug)]
pub(super) struct Found {
    /// In their turns.
    pub(super) taken: Vec<Taken>,
    /// Whether more may be due.
    pub(super) full: bool,
    /// When the next one may be claimable.
    pub(super) next_due_ms: Option<u64>,
}

/// Whose turn it is, from one claim to the next. What a restart forgets of it is a turn at most.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Clock>);

impl Turns {
    /// Hands out as many jobs as there is room for.
    pub(super) fn claim(
        &self,
        db: &Connection,
        room: &Room,
        now_ms: u64,
        lease_until_ms: u64,
    ) -> Result<Found, Trouble> {
        free_expired(db, now_ms)?;
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut claiming = Claiming::new(room, &mut clock);
        let mut taken = Vec::new();
        loop {
            match claiming.step() {
                Step::Flows(last) => claiming.flows(due_flows(db, last.as_deref(), now_ms)?),
                Step::Job(flow) => {
                    let job = claim_one(db, &flow, now_ms, lease_until_ms)?;
                    claiming.job(job.as_ref().map(|job| job.cost));
                    taken.extend(job);
                }
                Step::Done => break,
            }
        }
        Ok(Found { taken, full: claiming.is_full(), next_due_ms: next_due(db, now_ms)? })
    }
}

/// Flows of which jobs are due, by name from the first after this one on, so many at once: found by a few looks at the index each,
/// however many jobs they have.
fn due_flows(db: &Connection, last: Option<&str>, now_ms: u64) -> rusqlite::Result<Vec<Arc<str>>> {
    // What comes right after it.
    let from = last.map(|last| format!("{last}\0")).unwrap_or_default();
    let waits = format!("{} AND held_by IS NULL", from_states(JobState::Running, |_| true));
    let next = format!("SELECT min(flow) FROM jobs INDEXED BY jobs_claimable WHERE {waits}");
    let priorities = PRIORITIES.map(|priority| rank(priority).to_string()).join(", ");
    let sql = format!(
        "WITH RECURSIVE flows(flow) AS (SELECT ({next} AND flow >= ?1) UNION ALL \
         SELECT ({next} AND jobs.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL) \
         SELECT flow FROM flows WHERE flow IS NOT NULL AND EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_claimable \
         WHERE {waits} AND jobs.flow = flows.flow AND priority IN ({priorities}) AND due_at_ms <= ?2) LIMIT {FLOWS_AT_ONCE}"
    );
    prepare(db, &sql)?.query_map(params![from, integer(now_ms)], |row| row.get(0))?.collect()
}

/// Jobs whose lease has ended wait again: what their attempt says later is stale.
fn free_expired(db: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    let next = JobState::Accepted;
    let from = from_states(next, |state| state == JobState::Running);
    let sql = format!(
        "UPDATE jobs INDEXED BY jobs_leased SET state = ?2, lease_until_ms = NULL \
         WHERE {from} AND lease_until_ms < ?1"
    );
    prepare(db, &sql)?.execute(params![integer(now_ms), next.as_str()])?;
    Ok(())
}

/// The best of a flow's jobs that are due. One priority at a time: then the index leads to the due ones, however many wait
/// for a later time before them.
fn claim_one(
    db: &Connection,
    flow: &str,
    now_ms: u64,
    lease_until_ms: u64,
) -> rusqlite::Result<Option<Taken>> {
    let mut statement = prepare(db, &claim_sql())?;
    for priority in PRIORITIES {
        let values =
            params![CLAIMED.as_str(), integer(lease_until_ms), flow, rank(priority), integer(now_ms)];
        let taken = |row: &rusqlite::Row<'_>| {
            Ok(Taken {
                row: Row::read(row)?,
                order: row.get(WIDTH)?,
                flow: row.get(WIDTH + 1)?,
                cost: number(row.get(WIDTH + 2)?),
            })
        };
        if let Some(taken) = statement.query_row(values, taken).optional()? {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

pub(super) fn claim_sql() -> String {
    let from = from_states(CLAIMED, |_| true);
    format!(
        "UPDATE jobs SET state = ?1, attempt = attempt + 1, lease_until_ms = ?2 WHERE rowid = (SELECT rowid FROM \
         jobs INDEXED BY jobs_claimable WHERE {from} AND held_by IS NULL AND flow = ?3 AND priority = ?4 \
         AND due_at_ms <= ?5 ORDER BY due_at_ms, id LIMIT 1) \
         RETURNING {ROW}, instructions, flow, cost"
    )
}

/// When a job becomes due, or a lease ends.
fn next_due(db: &Connection, now_ms: u64) -> rusqlite::Result<Option<u64>> {
    let waits = from_states(JobState::Running, |_| true);
    let sql = format!(
        "SELECT min(due_at_ms) FROM jobs INDEXED BY jobs_due WHERE {waits} AND held_by IS NULL AND due_at_ms > ?1"
    );
    let due = prepare(db, &sql)?.query_row([integer(now_ms)], |row| row.get::<_, Option<i64>>(0))?;
    let sql = "SELECT min(lease_until_ms) + 1 FROM jobs INDEXED BY jobs_leased WHERE state = 'running'";
    let ends = prepare(db, sql)?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok(due.into_iter().chain(ends).min().map(number))
}

/// Jobs that wait for a later time than `latest_ms` wait for that one; those that were never tried wait for none.
pub(super) fn bring_forward(db: &Connection, now_ms: u64, latest_ms: u64) -> Result<(), Trouble> {
    let waits = from_states(JobState::Running, |_| true);
    let sql = format!(
        "UPDATE jobs INDEXED BY jobs_due SET due_at_ms = CASE attempt WHEN 0 THEN ?1 ELSE ?2 END \
         WHERE {waits} AND held_by IS NULL AND due_at_ms > ?1 AND (attempt = 0 OR due_at_ms > ?2)"
    );
    prepare(db, &sql)?.execute(params![integer(now_ms), integer(latest_ms)])?;
    Ok(())
}
