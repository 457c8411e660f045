//! What is asked of the journal, and what is forgotten.

use imgserve_base::job::{Client, JobId, JobState};
use tokio_postgres::Row as Found;

use super::link::Link;
use super::rows::{self, Row, finished, integer, number, uuid, waiting};
use super::trouble::Trouble;
use super::value::{Value, values};
use crate::store::{Counts, Filter, Receipt};

/// How many rows are forgotten at once.
const FORGOTTEN_AT_ONCE: usize = 500;

pub(super) async fn order(link: &mut Link, id: JobId) -> Result<Option<String>, Trouble> {
    let sql = "SELECT instructions FROM imgserve_jobs WHERE id = $1 \
               UNION ALL SELECT instructions FROM imgserve_finished WHERE id = $1";
    Ok(link.query(sql, &values![uuid(id)]).await?.first().map(|row| row.get(0)))
}

pub(super) async fn job(link: &mut Link, id: JobId, now_ms: u64) -> Result<Option<Row>, Trouble> {
    const JOB: &str = concat!(
        "SELECT ",
        waiting!(),
        " FROM imgserve_jobs WHERE id = $1 UNION ALL SELECT ",
        finished!(),
        " FROM imgserve_finished WHERE id = $1"
    );
    Ok(link.query(JOB, &values![uuid(id)]).await?.first().map(|row| rows::read(row, now_ms)))
}

/// Which are asked for, and the newest of them first.
macro_rules! filtered {
    () => {
        concat!(
            " AND id < $1::uuid AND ($2::text IS NULL OR client = $2) AND ($3::text IS NULL OR operation = $3) \
             AND ($4::text IS NULL OR replace(id::text, '-', '') LIKE $4 || '%' OR replace(id::text, '-', '') LIKE '%' || $4) \
             ORDER BY id DESC LIMIT $5::bigint"
        )
    };
}

/// The newest of those that are asked for. Of jobs that are claimed or being accepted there are few; those that wait stand in the
/// order of their ids; and of each final state an index gives them in order.
pub(super) async fn list(link: &mut Link, filter: &Filter, now_ms: u64) -> Result<Vec<Row>, Trouble> {
    const LEASED: &str = concat!(
        "SELECT ",
        waiting!(),
        " FROM (SELECT * FROM imgserve_jobs WHERE lease_until_ms IS NOT NULL OFFSET 0) AS leased WHERE state = ANY($6::text[])",
        filtered!()
    );
    const WAITING: &str =
        concat!("SELECT ", waiting!(), " FROM imgserve_jobs WHERE state = 'accepted'", filtered!());
    const FINISHED: &str =
        concat!("SELECT ", finished!(), " FROM imgserve_finished WHERE state = $6::text", filtered!());
    let before = filter.before.map_or([0xff; 16], |id| *id.as_bytes());
    let common = || -> Vec<Value> {
        values![
            uuid::Uuid::from_bytes(before),
            filter.client.as_ref().map(Client::to_string),
            filter.operation.clone(),
            filter.id.clone(),
            integer(filter.limit as u64),
        ]
    };
    let wanted = |state: &JobState| filter.states.is_empty() || filter.states.contains(state);
    let leased = [JobState::Accepting, JobState::Running].into_iter().filter(wanted);
    let leased: Vec<&str> = leased.map(JobState::as_str).collect();
    let mut asked: Vec<(&'static str, Vec<Value>)> = Vec::new();
    if !leased.is_empty() {
        let mut values = common();
        values.extend(values![leased]);
        asked.push((LEASED, values));
    }
    if wanted(&JobState::Accepted) {
        asked.push((WAITING, common()));
    }
    for state in JobState::ALL.into_iter().filter(|state| state.is_final()).filter(wanted) {
        let mut values = common();
        values.extend(values![state.as_str()]);
        asked.push((FINISHED, values));
    }
    let statements: Vec<_> = asked.iter().map(|(sql, values)| (*sql, &**values)).collect();
    // One snapshot, so that a job which changes its state meanwhile is in the list once.
    let answers = link.in_snapshot(&statements).await?;
    let mut found: Vec<Row> = answers.iter().flatten().map(|row| rows::read(row, now_ms)).collect();
    found.sort_by_key(|row| std::cmp::Reverse(row.id));
    found.truncate(filter.limit);
    Ok(found)
}

/// What is counted as it changes: as it was summed up last, and what has changed since.
pub(super) const TOTALS: &str = "SELECT state, client, sum(jobs)::bigint FROM (SELECT state, client, jobs FROM imgserve_counts \
     UNION ALL SELECT state, client, jobs FROM imgserve_changes) AS all_of_them GROUP BY state, client";

/// Sums up what has changed, so many changes at once. One node at a time: another one leaves it to that.
pub(super) const SUM_UP: &str = "WITH gone AS (DELETE FROM imgserve_changes WHERE ctid = ANY (ARRAY(\
     SELECT ctid FROM imgserve_changes \
     WHERE (SELECT pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext('imgserve counts'))) \
     LIMIT 50000)) RETURNING state, client, jobs), \
     sums AS (SELECT state, client, sum(jobs)::bigint AS jobs FROM gone GROUP BY state, client) \
     INSERT INTO imgserve_counts SELECT state, client, jobs FROM sums ON CONFLICT (state, client) \
     DO UPDATE SET jobs = imgserve_counts.jobs + excluded.jobs";

/// Counts few rows, whatever waits and has ended: those that some node has in hand, and those that are held.
pub(super) async fn counts(link: &mut Link) -> Result<Counts, Trouble> {
    const LEASED: &str = "SELECT state, count(*) FROM (SELECT state FROM imgserve_jobs WHERE lease_until_ms IS NOT NULL OFFSET 0) \
         AS leased GROUP BY state";
    const HELD: &str = "SELECT count(*) FROM imgserve_jobs WHERE held_by IS NOT NULL";
    const NOTICES: &str = "SELECT count(*) FROM imgserve_notices WHERE due_at_ms < 9223372036854775807";
    let answers = link.in_snapshot(&[(TOTALS, &[]), (LEASED, &[]), (HELD, &[]), (NOTICES, &[])]).await?;
    let [totals, leased, held, notices] = answers.as_slice() else { return Ok(Counts::default()) };
    let only = |rows: &[Found]| rows.first().map_or(0, |row| number(row.get(0)));
    let mut counts = Counts { states: JobState::ALL.map(|state| (state, 0)).to_vec(), ..Counts::default() };
    leased.iter().for_each(|row| add(&mut counts, row.get(0), row.get(1)));
    totals.iter().for_each(|row| add(&mut counts, row.get(0), row.get(2)));
    counts.unfinished = unfinished(totals);
    counts.notices = only(notices);
    let all: u64 = counts.unfinished.iter().map(|(_, jobs)| jobs).sum();
    let in_hand: u64 = leased.iter().map(|row| number(row.get(1))).sum();
    let waiting = (all + only(held)).saturating_sub(in_hand);
    add(&mut counts, JobState::Accepted.as_str(), integer(waiting));
    Ok(counts)
}

/// The unfinished ones of what [`TOTALS`] gives.
pub(super) fn unfinished(totals: &[Found]) -> Vec<(Client, u64)> {
    let of_clients = totals.iter().filter(|row| row.get::<_, &str>(0).is_empty());
    let counted = of_clients.map(|row| (Client::parse(row.get(1)), number(row.get(2))));
    counted.filter(|(_, jobs)| *jobs > 0).collect()
}

fn add(counts: &mut Counts, state: &str, jobs: i64) {
    if let Some((_, sum)) = counts.states.iter_mut().find(|(known, _)| known.as_str() == state) {
        *sum += number(jobs);
    }
}

pub(super) async fn receipt(link: &mut Link, client: &str, key: &str) -> Result<Option<Receipt>, Trouble> {
    let sql = "SELECT digest, receipt FROM imgserve_keys WHERE client = $1 AND key = $2";
    let rows = link.query(sql, &values![client.to_owned(), key.to_owned()]).await?;
    let read = |row: &Found| {
        let digest = row.get::<_, &[u8]>(0).try_into().unwrap_or([0; 32]);
        Receipt { digest, receipt: row.get(1) }
    };
    Ok(rows.first().map(read))
}

/// For how long a node is known that is not there any more: until then its jobs are told to be its own by its name.
const NODE_AGE_MS: i64 = 30 * 24 * 3600 * 1000;

/// Forgets finished jobs but the last `keep` that have ended, by the wall's clock, and the last `keep` that came; and keys older
/// than this. In portions, so that others do not wait for it; by one node at a time: another one leaves it to that.
pub(super) async fn prune(link: &mut Link, keep: usize, key_age_ms: u64) -> Result<(), Trouble> {
    const JOBS: &str = "WITH gone AS (DELETE FROM imgserve_finished WHERE id IN (SELECT id FROM imgserve_finished \
         WHERE (SELECT pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext('imgserve prune'))) \
         AND (finished_at_ms, id) < ($1::bigint, $2::uuid) AND (finished_at_ms, id) > ($5::bigint, $6::uuid) AND came < $3::bigint \
         ORDER BY finished_at_ms, id LIMIT $4::bigint) RETURNING id, state, finished_at_ms), \
         counted AS (INSERT INTO imgserve_changes (state, client, jobs) SELECT state, '', -count(*) FROM gone GROUP BY state), \
         told AS (DELETE FROM imgserve_notices USING gone WHERE job = gone.id AND lease_until_ms IS NULL \
         AND due_at_ms = 9223372036854775807) SELECT finished_at_ms, id FROM gone";
    const KEYS: &str = "DELETE FROM imgserve_keys WHERE (client, key) IN (SELECT client, key FROM imgserve_keys \
         WHERE (SELECT pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext('imgserve prune'))) \
         AND created_at_ms < imgserve_now_ms() - $1::bigint ORDER BY created_at_ms LIMIT $2::bigint) RETURNING true";
    const NODES: &str = "DELETE FROM imgserve_nodes WHERE seen_at_ms < imgserve_now_ms() - $1::bigint";
    let most = FORGOTTEN_AT_ONCE as i64;
    if let Some((ended, came)) = kept(link, keep).await? {
        // A portion begins where the one before it has ended, and does not walk over what that has left dead.
        let mut after: Ended = (i64::MIN, uuid::Uuid::nil());
        loop {
            let gone = link.query(JOBS, &values![ended.0, ended.1, came, most, after.0, after.1]).await?;
            after = gone.iter().map(|row| (row.get(0), row.get(1))).max().unwrap_or(after);
            if gone.len() < FORGOTTEN_AT_ONCE {
                break;
            }
        }
    }
    while link.query(KEYS, &values![integer(key_age_ms), most]).await?.len() == FORGOTTEN_AT_ONCE {}
    link.query(NODES, &values![NODE_AGE_MS]).await.map(drop)
}

/// From where on a finished job is kept, by when it ended and its id.
type Ended = (i64, uuid::Uuid);

/// From where on all finished jobs are kept, by when they have ended and by when they came; none when there are no more than that.
async fn kept(link: &mut Link, keep: usize) -> Result<Option<(Ended, i64)>, Trouble> {
    const BY_END: &str = "SELECT finished_at_ms, id FROM imgserve_finished ORDER BY finished_at_ms DESC, id DESC \
                          LIMIT 1 OFFSET $1::bigint";
    const BY_COMING: &str = "SELECT came FROM imgserve_finished ORDER BY came DESC LIMIT 1 OFFSET $1::bigint";
    let Some(before) = keep.checked_sub(1) else {
        return Ok(Some(((i64::MAX, uuid::Uuid::max()), i64::MAX)));
    };
    let before = values![integer(before as u64)];
    let answers = link.in_snapshot(&[(BY_END, &before), (BY_COMING, &before)]).await?;
    let [ended, came] = answers.as_slice() else { return Ok(None) };
    let ended = ended.first().map(|row| (row.get(0), row.get(1)));
    Ok(ended.zip(came.first().map(|row| row.get(0))))
}
