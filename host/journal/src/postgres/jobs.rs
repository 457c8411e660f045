//! Changes of jobs but for claims, each one statement. What a change may not do shows in that it finds no row. Which state may
//! follow which stands in the statements, as `JobState::may_become` has it: a test compares them.

use std::time::Duration;

use imgserve_base::job::{JobId, JobState, Record, now_ms};
use uuid::Uuid;

use super::change::Sql;
use super::rows::{integer, off, uuid};
use super::value::values;
use crate::clock::ms;
use crate::store::{Entry, Notice, rank};

const SUBMIT: &str = "WITH taken AS (\
     INSERT INTO imgserve_keys (client, key, digest, receipt, job, created_at_ms) \
     SELECT $14::text, $15::text, $16::bytea, $17::text, $1::uuid, imgserve_now_ms() WHERE $15::text IS NOT NULL \
     ON CONFLICT (client, key) DO NOTHING RETURNING 1), \
     made AS (\
     INSERT INTO imgserve_jobs (id, node, place, state, priority, due_at_ms, later, lease_until_ms, attempt, operation, client, \
     accepted_at_ms, flow, cost, instructions, record) \
     SELECT $1::uuid, $2::uuid, CASE WHEN $19::boolean THEN $2::uuid::text ELSE '' END, $3::text, $4::bigint, \
     imgserve_now_ms() + $5::bigint, $5::bigint > 0, imgserve_now_ms() + $6::bigint, $7::bigint, $8::text, $9::text, \
     $10::bigint, $11::text, $12::bigint, $13::text, $18::text WHERE $15::text IS NULL OR EXISTS (SELECT FROM taken) \
     ON CONFLICT (id) DO NOTHING RETURNING client), \
     counted AS (INSERT INTO imgserve_changes (state, client, jobs) SELECT '', client, 1 FROM made) \
     SELECT true FROM made";
const SUBMITTED: &str = "SELECT true FROM imgserve_jobs WHERE id = $1";

/// Takes a job in, unless its idempotency key is in use; it is this node's to accept for so long. Then how it is seen that it was.
pub(super) fn submit(
    entry: &Entry,
    text: String,
    (node, lease): (Uuid, Duration),
    clock_ms: u64,
) -> (Sql, Sql) {
    let (record, key) = (&entry.record, entry.key.as_ref());
    let lease = (record.state == JobState::Accepting).then_some(integer(ms(lease)));
    let values = values![
        uuid(record.id),
        node,
        record.state.as_str(),
        rank(record.priority),
        off(record.due_at_ms, clock_ms),
        lease,
        i64::from(record.attempt),
        record.operation.clone(),
        record.client.to_string(),
        integer(record.accepted_at_ms),
        entry.flow.clone(),
        integer(entry.cost),
        entry.order.clone(),
        key.map(|key| key.client.to_string()),
        key.map(|key| key.key.clone()),
        key.map(|key| key.digest.to_vec()),
        key.map(|key| key.receipt.clone()),
        text,
        entry.stays,
    ];
    (Sql::new(SUBMIT, values), Sql::new(SUBMITTED, values![uuid(record.id)]))
}

/// A job that has gone further was accepted, and stays.
pub(super) fn withdraw(id: JobId) -> Sql {
    let sql = "WITH gone AS (DELETE FROM imgserve_jobs WHERE id = $1 AND state = 'accepting' RETURNING id, client), \
               counted AS (INSERT INTO imgserve_changes (state, client, jobs) SELECT '', client, -1 FROM gone) \
               DELETE FROM imgserve_keys USING gone WHERE job = gone.id";
    Sql::new(sql, values![uuid(id)])
}

pub(super) fn release(id: JobId) -> Sql {
    let sql = "UPDATE imgserve_jobs SET state = 'accepted', lease_until_ms = NULL WHERE id = $1 AND state = 'accepting'";
    Sql::new(sql, values![uuid(id)])
}

/// Attempts that are not the current ones are passed over.
pub(super) fn heartbeat(attempts: &[(JobId, u32)], accepting: Vec<Uuid>, lease: Duration) -> Sql {
    let sql = "UPDATE imgserve_jobs AS job SET lease_until_ms = imgserve_now_ms() + $3::bigint \
               FROM unnest($1::uuid[], $2::bigint[]) AS known (id, attempt) WHERE job.id = known.id \
               AND (job.state = 'running' AND job.attempt = known.attempt OR job.state = 'accepting' AND known.attempt < 0) \
               RETURNING job.id, CASE job.state WHEN 'running' THEN job.attempt ELSE 0 END";
    let (mut ids, mut numbers) = split(attempts);
    numbers.extend(accepting.iter().map(|_| -1));
    ids.extend(accepting);
    Sql::new(sql, values![ids, numbers, integer(ms(lease))])
}

/// Gives back what a node has claimed and does not have under way: the answer to that claim was lost.
pub(super) fn forgotten(node: Uuid, attempts: &[(JobId, u32)]) -> Sql {
    let sql = "UPDATE imgserve_jobs SET state = 'accepted', attempt = attempt - 1, lease_until_ms = NULL \
               WHERE lease_until_ms IS NOT NULL AND state = 'running' AND node = $1 AND id <> ALL ($2::uuid[])";
    let (ids, _) = split(attempts);
    Sql::new(sql, values![node, ids])
}

/// What a job is planned to be; `save` with the order and the cost.
pub(super) fn plan(record: &Record, text: String, order: String, cost: u64) -> Sql {
    let sql = "UPDATE imgserve_jobs SET record = $3, instructions = $4, cost = $5 \
               WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING true";
    Sql::new(sql, values![uuid(record.id), i64::from(record.attempt), text, order, integer(cost)])
}

pub(super) fn save(record: &Record, text: String) -> Sql {
    let sql = "UPDATE imgserve_jobs SET record = $3 WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING true";
    Sql::new(sql, values![uuid(record.id), i64::from(record.attempt), text])
}

/// What a job that ends takes along.
macro_rules! end {
    ($which:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM imgserve_jobs WHERE id = $1 AND ",
            $which,
            " RETURNING id, came, node, priority, due_at_ms, attempt, operation, client, accepted_at_ms, flow, cost, \
             instructions, place, held_by), \
             kept AS (INSERT INTO imgserve_finished (id, came, node, place, state, priority, due_at_ms, attempt, operation, client, \
             accepted_at_ms, finished_at_ms, flow, cost, instructions, record) \
             SELECT id, came, node, place, $3::text, priority, due_at_ms, attempt, operation, client, accepted_at_ms, $4::bigint, \
             flow, cost, instructions, $5::text FROM gone RETURNING true), \
             told AS (INSERT INTO imgserve_notices (id, job, url, body, created_at_ms, due_at_ms, attempt, flow) \
             SELECT $6::text, id, $7::text, $8::text, imgserve_now_ms() + $9::bigint, imgserve_now_ms() + $9::bigint, \
             $10::bigint, flow FROM gone WHERE $6::text IS NOT NULL), \
             counted AS (INSERT INTO imgserve_changes (state, client, jobs) \
             SELECT '', client, -1 FROM gone WHERE held_by IS NULL UNION ALL SELECT $3::text, '', 1 FROM gone) \
             SELECT true FROM kept"
        )
    };
}
const END: &str = end!("attempt = $2::bigint AND state = 'running'");
const CANCEL: &str = end!("attempt = $2::bigint AND state IN ('accepting', 'accepted')");
const ENDED: &str = "SELECT true FROM imgserve_finished WHERE id = $1 AND attempt = $2 AND state = $3";

/// Ends an attempt, and with it the job. Then how it is seen that it was.
pub(super) fn end(record: &Record, text: String, notice: Option<&Notice>, clock_ms: u64) -> (Sql, Sql) {
    ended(END, record, text, notice, clock_ms)
}

/// Ends a job that nobody has claimed.
pub(super) fn cancel(record: &Record, text: String, notice: Option<&Notice>, clock_ms: u64) -> (Sql, Sql) {
    ended(CANCEL, record, text, notice, clock_ms)
}

fn ended(
    sql: &'static str,
    record: &Record,
    text: String,
    notice: Option<&Notice>,
    clock_ms: u64,
) -> (Sql, Sql) {
    let (id, attempt, state) = (uuid(record.id), i64::from(record.attempt), record.state.as_str());
    let values = values![
        id,
        attempt,
        state,
        integer(record.finished_at_ms.unwrap_or_else(now_ms)),
        text,
        notice.map(|notice| notice.id.clone()),
        notice.map(|notice| notice.url.clone()),
        notice.map(|notice| notice.body.clone()),
        notice.map(|notice| off(notice.created_ms, clock_ms)),
        notice.map(|notice| i64::from(notice.attempt)),
    ];
    (Sql::new(sql, values), Sql::new(ENDED, values![id, attempt, state]))
}

/// Ends an attempt; there will be another. Then how it is seen that it was.
pub(super) fn again(record: &Record, text: String, pause: Duration) -> (Sql, Sql) {
    let sql = "UPDATE imgserve_jobs SET state = 'accepted', due_at_ms = imgserve_now_ms() + $3::bigint, later = true, \
               record = $4, lease_until_ms = NULL WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING true";
    let made = "SELECT true FROM imgserve_jobs WHERE id = $1 AND (attempt > $2 OR attempt = $2 AND state = 'accepted')";
    let (id, attempt) = (uuid(record.id), i64::from(record.attempt));
    (Sql::new(sql, values![id, attempt, integer(ms(pause)), text]), Sql::new(made, values![id, attempt]))
}

/// Attempts that are not the current ones are passed over.
pub(super) fn give_back(attempts: &[(JobId, u32)]) -> Sql {
    let sql = "UPDATE imgserve_jobs AS job SET state = 'accepted', attempt = job.attempt - 1, lease_until_ms = NULL \
               FROM unnest($1::uuid[], $2::bigint[]) AS known (id, attempt) \
               WHERE job.id = known.id AND job.attempt = known.attempt AND state = 'running'";
    let (ids, numbers) = split(attempts);
    Sql::new(sql, values![ids, numbers])
}

/// As [`give_back`], and not due before this pause is over.
pub(super) fn put_off(attempts: &[(JobId, u32)], pause: Duration) -> Sql {
    let sql = "UPDATE imgserve_jobs AS job SET state = 'accepted', attempt = job.attempt - 1, lease_until_ms = NULL, \
               due_at_ms = imgserve_now_ms() + $3::bigint, later = true \
               FROM unnest($1::uuid[], $2::bigint[]) AS known (id, attempt) \
               WHERE job.id = known.id AND job.attempt = known.attempt AND state = 'running'";
    let (ids, numbers) = split(attempts);
    Sql::new(sql, values![ids, numbers, integer(ms(pause))])
}

/// As [`give_back`], and offered to no program that calls itself `reader` again.
pub(super) fn hold((id, attempt): (JobId, u32), reader: &str, why: &str) -> Sql {
    let sql = "WITH held AS (UPDATE imgserve_jobs SET state = 'accepted', attempt = attempt - 1, lease_until_ms = NULL, \
               held_by = $3, held_why = $4 WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING client) \
               INSERT INTO imgserve_changes (state, client, jobs) SELECT '', client, -1 FROM held";
    // What the database does not take must not keep a job from being held.
    let why = why.replace('\0', "");
    Sql::new(sql, values![uuid(id), i64::from(attempt), reader.to_owned(), why])
}

/// Has the node that has it in hand cancel it, as soon as that one sees it.
pub(super) fn ask_to_cancel(id: JobId) -> Sql {
    let sql = "UPDATE imgserve_jobs SET cancel = true WHERE id = $1 AND state IN ('accepting', 'running') RETURNING true";
    Sql::new(sql, values![uuid(id)])
}

/// Has a job that failed or was cancelled wait again. Then how it is seen that it does.
pub(super) fn replay(record: &Record, text: String, node: Uuid, clock_ms: u64) -> (Sql, Sql) {
    let sql = "WITH back AS (DELETE FROM imgserve_finished WHERE id = $1 AND state IN ('failed', 'cancelled') \
               RETURNING id, came, place, state, operation, client, accepted_at_ms, flow, cost, instructions), \
               made AS (INSERT INTO imgserve_jobs (id, came, node, place, state, priority, due_at_ms, later, attempt, operation, \
               client, accepted_at_ms, flow, cost, instructions, record) \
               SELECT id, came, $2::uuid, place, 'accepted', $3::bigint, imgserve_now_ms() + $4::bigint, $4::bigint > 0, \
               $5::bigint, operation, client, accepted_at_ms, flow, cost, instructions, $6::text FROM back RETURNING true), \
               counted AS (INSERT INTO imgserve_changes (state, client, jobs) \
               SELECT '', client, 1 FROM back UNION ALL SELECT state, '', -1 FROM back) \
               SELECT true FROM made";
    let made = "SELECT true FROM imgserve_jobs WHERE id = $1 AND attempt >= $2";
    let (id, attempt) = (uuid(record.id), i64::from(record.attempt));
    let values = values![id, node, rank(record.priority), off(record.due_at_ms, clock_ms), attempt, text];
    (Sql::new(sql, values), Sql::new(made, values![id, attempt]))
}

fn split(attempts: &[(JobId, u32)]) -> (Vec<Uuid>, Vec<i64>) {
    attempts.iter().map(|(id, attempt)| (uuid(*id), i64::from(*attempt))).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_the_rules() {
        let before = |next: JobState| {
            JobState::ALL.into_iter().filter(move |state| state.may_become(next)).collect::<Vec<_>>()
        };
        use JobState::{Accepted, Accepting, Cancelled, Failed, Running, Succeeded};
        assert_eq!(before(Running), [Accepted]);
        assert_eq!(before(Accepted), [Accepting, Running, Failed, Cancelled]);
        assert_eq!((before(Succeeded), before(Failed)), (vec![Running], vec![Running]));
        assert_eq!(before(Cancelled), [Accepting, Accepted, Running]);
    }
}
