//! Which jobs are handed out: the clients take turns, and of each client's jobs those of higher priority go first, then those
//! due first. A claim names its indexes: without one it would look at all jobs, and is refused instead.

use std::sync::{Mutex, PoisonError};

use imgserve_base::fair::{Clock, Flow};
use imgserve_base::job::{JobState, Priority};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{ROW, Row, WIDTH, from_states, integer, number, prepare};
use super::trouble::Trouble;
use crate::store::{Room, rank};

/// Highest first.
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// A claimed job.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) row: Row,
    pub(super) order: String,
    pub(super) flow: String,
    pub(super) cost: u64,
}

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

/// A flow of which jobs may be due.
struct Waiting {
    flow: Flow,
    /// How many of its jobs are under way.
    under_way: usize,
}

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
        let mut waiting = waiting(db, room)?;
        let (mut taken, mut held_back) = (Vec::new(), false);
        while taken.len() < room.free {
            let left = room.free - taken.len();
            let allowed = |flow: &&mut Waiting| !room.shared || flow.under_way < left;
            held_back |= waiting.iter_mut().any(|flow| !allowed(&flow));
            let next = waiting.iter_mut().filter(allowed).min_by_key(|waits| clock.start(waits.flow.name()));
            let Some(next) = next else { break };
            match claim_one(db, next.flow.name(), now_ms, lease_until_ms)? {
                Some(claimed) => {
                    clock.turn(&next.flow, claimed.cost);
                    next.under_way += 1;
                    taken.push(claimed);
                }
                None => {
                    let none_due = next.flow.clone();
                    waiting.retain(|waits| waits.flow != none_due);
                }
            }
        }
        let full = taken.len() >= room.free || (held_back && !waiting.is_empty());
        Ok(Found { taken, full, next_due_ms: next_due(db, now_ms)? })
    }
}

/// The flows of which a job waits: found by one look at the index each, however many jobs they have.
fn waiting(db: &Connection, room: &Room) -> rusqlite::Result<Vec<Waiting>> {
    let waits = from_states(JobState::Running, |_| true);
    let next =
        format!("SELECT min(flow) FROM jobs INDEXED BY jobs_claimable WHERE {waits} AND held_by IS NULL");
    let sql = format!(
        "WITH RECURSIVE flows(flow) AS (SELECT ({next}) UNION ALL \
         SELECT ({next} AND jobs.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL) \
         SELECT flow FROM flows WHERE flow IS NOT NULL"
    );
    let mut statement = prepare(db, &sql)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names
        .map(|name| {
            let name = name?;
            let under_way = room.under_way.get(name.as_str()).copied().unwrap_or_default();
            let weight = room.weights.get(name.as_str()).copied().unwrap_or(1);
            Ok(Waiting { under_way, flow: Flow::new(name, weight) })
        })
        .collect()
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
    let next = JobState::Running;
    let from = from_states(next, |_| true);
    let sql = format!(
        "UPDATE jobs SET state = ?1, attempt = attempt + 1, lease_until_ms = ?2 WHERE rowid = (SELECT rowid FROM \
         jobs INDEXED BY jobs_claimable WHERE {from} AND held_by IS NULL AND flow = ?3 AND priority = ?4 \
         AND due_at_ms <= ?5 ORDER BY due_at_ms, id LIMIT 1) \
         RETURNING {ROW}, instructions, flow, cost"
    );
    let mut statement = prepare(db, &sql)?;
    for priority in PRIORITIES {
        let values = params![next.as_str(), integer(lease_until_ms), flow, rank(priority), integer(now_ms)];
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
