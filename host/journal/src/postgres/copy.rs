//! All of a database's journal, to be copied from or to.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio_postgres::Row as Found;
use uuid::Uuid;

use super::address::Address;
use super::link::Link;
use super::node::Node;
use super::read::SUM_UP;
use super::shared::ALIVE_MS;
use super::trouble::Trouble;
use super::value::{Value, values};
use super::{address_of, prepare, runtime};
use crate::Opening;
use crate::copy::{AT_ONCE, Copies, Job, Key, Notice, Part, Portion, has_files};
use crate::store::JournalError;

/// What jobs of either table are read as; of one that has not ended.
macro_rules! job {
    ($finished:literal, $held_by:literal, $held_why:literal) => {
        concat!(
            "id, state, priority, due_at_ms - imgserve_now_ms(), attempt, operation, client, accepted_at_ms, ",
            $finished,
            ", flow, cost, ",
            $held_by,
            ", ",
            $held_why,
            ", instructions, record"
        )
    };
}
const FINISHED: &str = concat!(
    "SELECT ",
    job!("finished_at_ms", "NULL::text", "NULL::text"),
    ", came FROM imgserve_finished WHERE came > $1 ORDER BY came LIMIT $2::bigint"
);
const JOBS: &str = concat!(
    "SELECT ",
    job!("NULL::bigint", "held_by", "held_why"),
    " FROM imgserve_jobs WHERE id > $1 ORDER BY id LIMIT $2::bigint"
);
const KEYS: &str = "SELECT client, key, digest, receipt, job, created_at_ms - imgserve_now_ms() FROM imgserve_keys \
     WHERE (client, key) > ($1, $2) ORDER BY client, key LIMIT $3::bigint";
const NOTICES: &str = "SELECT id, job, url, body, created_at_ms - imgserve_now_ms(), \
     CASE WHEN due_at_ms < 9223372036854775807 THEN due_at_ms - imgserve_now_ms() END, attempt, flow \
     FROM imgserve_notices WHERE id > $1 ORDER BY id LIMIT $2::bigint";

const PUT_FINISHED: &str = "WITH made AS (INSERT INTO imgserve_finished (id, came, node, place, state, priority, due_at_ms, attempt, \
     operation, client, accepted_at_ms, finished_at_ms, flow, cost, instructions, record) \
     SELECT $1, nextval('imgserve_came'), $2, $3, $4, $5, imgserve_now_ms() + $6::bigint, $7, $8, $9, $10, $11, $12, $13, $14, $15 \
     WHERE NOT EXISTS (SELECT FROM imgserve_jobs WHERE id = $1) ON CONFLICT (id) DO NOTHING RETURNING state), \
     counted AS (INSERT INTO imgserve_changes (state, client, jobs) SELECT state, '', 1 FROM made) SELECT true FROM made";
const PUT_JOB: &str = "WITH made AS (INSERT INTO imgserve_jobs (id, node, place, state, priority, due_at_ms, later, attempt, \
     operation, client, accepted_at_ms, held_by, held_why, flow, cost, instructions, record) \
     SELECT $1, $2, $3, 'accepted', $4, imgserve_now_ms() + $5::bigint, $5::bigint > 0, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 \
     WHERE NOT EXISTS (SELECT FROM imgserve_finished WHERE id = $1) ON CONFLICT (id) DO NOTHING RETURNING client, held_by), \
     counted AS (INSERT INTO imgserve_changes (state, client, jobs) SELECT '', client, 1 FROM made WHERE held_by IS NULL) \
     SELECT true FROM made";
const PUT_KEY: &str = "INSERT INTO imgserve_keys (client, key, digest, receipt, job, created_at_ms) \
     VALUES ($1, $2, $3, $4, $5, imgserve_now_ms() + $6::bigint) ON CONFLICT (client, key) DO NOTHING RETURNING true";
const PUT_NOTICE: &str = "INSERT INTO imgserve_notices (id, job, url, body, created_at_ms, due_at_ms, attempt, flow) \
     VALUES ($1, $2, $3, $4, imgserve_now_ms() + $5::bigint, \
     coalesce(imgserve_now_ms() + $6::bigint, 9223372036854775807), $7, $8) ON CONFLICT (id) DO NOTHING RETURNING true";

/// A journal that nobody works on.
pub(crate) struct Copying {
    runtime: Runtime,
    link: Link,
    address: Arc<Address>,
    node: Node,
    shared_files: bool,
    part: Part,
    /// Behind which the next portion begins: what came last, an id, a key.
    after: (i64, Uuid, String, String),
}

impl Copying {
    /// Opens it, as its server does.
    ///
    /// # Errors
    /// As of that; [`JournalError::InUse`] where a server uses it.
    pub(crate) fn open(opening: &Opening, shared_files: bool) -> Result<Self, JournalError> {
        const ALIVE: &str = "SELECT count(*) FROM imgserve_nodes WHERE NOT has_ended AND seen_at_ms > imgserve_now_ms() - $1::bigint";
        let address = Arc::new(address_of(opening)?);
        let database = &opening.database;
        let node = Node::take(&database.node_file, &database.node_name, address.shown())?;
        let runtime = runtime(&address)?;
        let link = runtime.block_on(async {
            let mut link = Link::open(&address).await?;
            prepare(&mut link, &address, database.migrate).await?;
            let alive =
                link.query(ALIVE, &values![ALIVE_MS]).await.map_err(|trouble| trouble.unreadable())?;
            match alive.first().map_or(0, |row| row.get::<_, i64>(0)) {
                0 => Ok(link),
                _ => Err(JournalError::InUse { journal: address.shown().to_owned() }),
            }
        })?;
        let after = (i64::MIN, Uuid::nil(), String::new(), String::new());
        Ok(Self { runtime, link, address, node, shared_files, part: Part::Finished, after })
    }

    fn rows(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Found>, JournalError> {
        let rows = wait(&self.runtime, self.link.query(sql, &values));
        rows.map_err(|trouble| trouble.unreadable())
    }

    fn goes_on(&mut self, found: usize, next: Part) {
        if found < AT_ONCE {
            self.part = next;
            self.after = (i64::MIN, Uuid::nil(), String::new(), String::new());
        }
    }

    /// The statement that takes a job in, with its values.
    fn put_job(&self, job: &Job) -> (&'static str, Vec<Value>) {
        let place = match has_files(&job.record) && !self.shared_files {
            true => self.node.id.to_string(),
            false => String::new(),
        };
        let Job { id, priority, due_off_ms, attempt, accepted_at_ms, cost, .. } = *job;
        let (operation, client, flow) = (job.operation.clone(), job.client.clone(), job.flow.clone());
        let (order, record, node) = (job.order.clone(), job.record.clone(), self.node.id);
        match job.finished_at_ms {
            Some(finished) => {
                let state = job.state.clone();
                let values = values![
                    id,
                    node,
                    place,
                    state,
                    priority,
                    due_off_ms,
                    attempt,
                    operation,
                    client,
                    accepted_at_ms,
                    finished,
                    flow,
                    cost,
                    order,
                    record,
                ];
                (PUT_FINISHED, values)
            }
            None => {
                let (by, why) = (job.held_by.clone(), job.held_why.clone());
                let values = values![
                    id,
                    node,
                    place,
                    priority,
                    due_off_ms,
                    attempt,
                    operation,
                    client,
                    accepted_at_ms,
                    by,
                    why,
                    flow,
                    cost,
                    order,
                    record,
                ];
                (PUT_JOB, values)
            }
        }
    }
}

impl Copies for Copying {
    fn next(&mut self) -> Result<Portion, JournalError> {
        let most = AT_ONCE as i64;
        loop {
            let (came, id, first, second) = self.after.clone();
            match self.part {
                Part::Finished => {
                    let rows = self.rows(FINISHED, values![came, most])?;
                    self.after.0 = rows.last().map_or(came, |row| row.get(15));
                    self.goes_on(rows.len(), Part::Jobs);
                    if !rows.is_empty() {
                        return Ok(Portion::Jobs(rows.iter().map(read_job).collect()));
                    }
                }
                Part::Jobs => {
                    let rows = self.rows(JOBS, values![id, most])?;
                    self.after.1 = rows.last().map_or(id, |row| row.get(0));
                    self.goes_on(rows.len(), Part::Keys);
                    if !rows.is_empty() {
                        return Ok(Portion::Jobs(rows.iter().map(read_job).map(waits).collect()));
                    }
                }
                Part::Keys => {
                    let rows = self.rows(KEYS, values![first, second, most])?;
                    if let Some(last) = rows.last() {
                        (self.after.2, self.after.3) = (last.get(0), last.get(1));
                    }
                    self.goes_on(rows.len(), Part::Notices);
                    if !rows.is_empty() {
                        return Ok(Portion::Keys(rows.iter().map(read_key).collect()));
                    }
                }
                Part::Notices => {
                    let rows = self.rows(NOTICES, values![first, most])?;
                    if let Some(last) = rows.last() {
                        self.after.2 = last.get(0);
                    }
                    self.goes_on(rows.len(), Part::End);
                    if !rows.is_empty() {
                        return Ok(Portion::Notices(rows.iter().map(read_notice).collect()));
                    }
                }
                Part::End => return Ok(Portion::Nothing),
            }
        }
    }

    fn take(&mut self, portion: &Portion) -> Result<u64, JournalError> {
        let puts: Vec<(&'static str, Vec<Value>)> = match portion {
            Portion::Jobs(jobs) => jobs.iter().map(|job| self.put_job(job)).collect(),
            Portion::Keys(keys) => keys.iter().map(put_key).collect(),
            Portion::Notices(notices) => notices.iter().map(put_notice).collect(),
            Portion::Nothing => return Ok(0),
        };
        let statements: Vec<(&'static str, &[Value])> =
            puts.iter().map(|(sql, values)| (*sql, &**values)).collect();
        let taken = wait(&self.runtime, self.link.in_transaction(&statements));
        let taken = taken.map_err(|trouble| trouble.unwritable())?;
        // Else the first server would have to do that for all of them.
        let summed_up = wait(&self.runtime, self.link.query(SUM_UP, &[]));
        summed_up.map_err(|trouble| trouble.unwritable())?;
        Ok(taken.iter().filter(|rows| !rows.is_empty()).count() as u64)
    }
}

/// Its node has ended: what it had in hand waits.
fn waits(job: Job) -> Job {
    Job { state: "accepted".to_owned(), ..job }
}

fn wait<T>(runtime: &Runtime, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    runtime.block_on(work)
}

fn read_job(row: &Found) -> Job {
    Job {
        id: row.get(0),
        state: row.get(1),
        priority: row.get(2),
        due_off_ms: row.get(3),
        attempt: row.get(4),
        operation: row.get(5),
        client: row.get(6),
        accepted_at_ms: row.get(7),
        finished_at_ms: row.get(8),
        flow: row.get(9),
        cost: row.get(10),
        held_by: row.get(11),
        held_why: row.get(12),
        order: row.get(13),
        record: row.get(14),
    }
}

fn read_key(row: &Found) -> Key {
    Key {
        client: row.get(0),
        key: row.get(1),
        digest: row.get(2),
        receipt: row.get(3),
        job: row.get(4),
        created_off_ms: row.get(5),
    }
}

fn put_key(key: &Key) -> (&'static str, Vec<Value>) {
    let Key { client, key, digest, receipt, job, created_off_ms } = key.clone();
    (PUT_KEY, values![client, key, digest, receipt, job, created_off_ms])
}

fn read_notice(row: &Found) -> Notice {
    Notice {
        id: row.get(0),
        job: row.get(1),
        url: row.get(2),
        body: row.get(3),
        created_off_ms: row.get(4),
        due_off_ms: row.get(5),
        attempt: row.get(6),
        flow: row.get(7),
    }
}

fn put_notice(notice: &Notice) -> (&'static str, Vec<Value>) {
    let Notice { id, job, url, body, created_off_ms, due_off_ms, attempt, flow } = notice.clone();
    (PUT_NOTICE, values![id, job, url, body, created_off_ms, due_off_ms, attempt, flow])
}

impl std::fmt::Debug for Copying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copying").field("address", &self.address.shown()).finish_non_exhaustive()
    }
}
