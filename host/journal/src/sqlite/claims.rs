//! Which jobs are handed out: the clients take turns, and of each client's jobs those of higher priority go first, then those
//! due first. A claim names its indexes: without one it would look at all jobs, and is refused instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use imgserve_base::fair::{Clock, Flow, may_have_more};
use imgserve_base::job::{JobState, Priority};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{ROW, Row, WIDTH, from_states, integer, number, prepare};
use super::trouble::Trouble;
use crate::store::{Room, rank};

/// Highest first.
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// What a claimed job is.
const CLAIMED: JobState = JobState::Running;

/// How many flows are looked for at once.
const FLOWS_AT_ONCE: usize = 64;

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

/// A flow of which jobs are due.
struct Waiting {
    flow: Flow,
    /// How many of its jobs are under way.
    under_way: usize,
}

/// A claim in the making.
struct Claiming<'c> {
    db: &'c Connection,
    room: &'c Room,
    now_ms: u64,
    lease_until_ms: u64,
    clock: &'c mut Clock,
    taken: Vec<Taken>,
    /// Whether a flow has as much as it may, and perhaps more to do.
    held_back: bool,
    /// Those whose turn comes later, the earliest first.
    later: BinaryHeap<Later>,
    flows: Vec<Waiting>,
}

/// When a flow's turn comes, and which flow it is.
type Later = Reverse<(u128, usize)>;

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
        let mut claiming = Claiming {
            db,
            room,
            now_ms,
            lease_until_ms,
            clock: &mut clock,
            taken: Vec::new(),
            held_back: false,
            later: BinaryHeap::new(),
            flows: Vec::new(),
        };
        claiming.those_who_are_next()?;
        claiming.those_who_are_later()?;
        let Claiming { taken, held_back, .. } = claiming;
        let full = taken.len() >= room.free || held_back;
        Ok(Found { taken, full, next_due_ms: next_due(db, now_ms)? })
    }
}

impl Claiming<'_> {
    fn is_full(&self) -> bool {
        self.taken.len() >= self.room.free
    }

    /// Those before whose turn there is no other's have it as they are found: there may be very many.
    fn those_who_are_next(&mut self) -> rusqlite::Result<()> {
        let mut from = String::new();
        while !self.is_full() {
            let names = due_flows(self.db, &from, self.now_ms)?;
            let Some(last) = names.last() else { return Ok(()) };
            // What comes right after it.
            from = format!("{last}\0");
            for name in names {
                if self.is_full() {
                    return Ok(());
                }
                let (index, start) = (self.add(&name), self.clock.start(&name));
                if start > self.clock.now() {
                    self.later.push(Reverse((start, index)));
                } else {
                    self.turn(index)?;
                }
            }
        }
        Ok(())
    }

    fn those_who_are_later(&mut self) -> rusqlite::Result<()> {
        while !self.is_full()
            && let Some(Reverse((_, index))) = self.later.pop()
        {
            self.turn(index)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str) -> usize {
        let under_way = self.room.under_way.get(name).copied().unwrap_or_default();
        let weight = self.room.weights.get(name).copied().unwrap_or(1);
        self.flows.push(Waiting { under_way, flow: Flow::new(name, weight) });
        self.flows.len() - 1
    }

    /// A flow's turn, unless there is none any more.
    fn turn(&mut self, index: usize) -> rusqlite::Result<()> {
        let (left, Waiting { flow, under_way }) = (self.room.free - self.taken.len(), &mut self.flows[index]);
        if self.room.shared && !may_have_more(*under_way, left) {
            // Less and less is left.
            self.held_back = true;
            return Ok(());
        }
        if let Some(claimed) = claim_one(self.db, flow.name(), self.now_ms, self.lease_until_ms)? {
            self.clock.turn(flow, claimed.cost);
            *under_way += 1;
            self.later.push(Reverse((self.clock.start(flow.name()), index)));
            self.taken.push(claimed);
        }
        Ok(())
    }
}

/// Flows of which jobs are due, by name from this one on, so many at once: found by a few looks at the index each, however many jobs
/// they have.
fn due_flows(db: &Connection, from: &str, now_ms: u64) -> rusqlite::Result<Vec<String>> {
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
