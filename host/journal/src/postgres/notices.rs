//! Webhooks: claimed like jobs, of the flow first that waits longest.

use std::time::Duration;

use imgserve_base::fair::may_have;
use imgserve_base::job::JobId;
use tokio_postgres::Row as Found;
use uuid::Uuid;

use super::change::Sql;
use super::link::Link;
use super::rows::{count, integer, job, moment, number, uuid};
use super::trouble::Trouble;
use super::value::values;
use crate::clock::ms;
use crate::store::{ClaimedNotice, Delivery, Notice, Room, Undelivered};

const FREE: &str = "WITH gone AS (SELECT id FROM imgserve_notices WHERE lease_until_ms < imgserve_now_ms() \
     ORDER BY lease_until_ms LIMIT 1000 FOR UPDATE SKIP LOCKED) \
     UPDATE imgserve_notices AS notice SET lease_until_ms = NULL FROM gone WHERE notice.id = gone.id";

/// Of each flow the first ones that are due, the flow that waits longest first: a few looks at the index for each that waits at all,
/// however many they have. Nothing where nothing is due, which is what is found mostly.
const LOOK: &str = "WITH RECURSIVE any_due AS MATERIALIZED (SELECT EXISTS (SELECT FROM imgserve_notices \
     WHERE lease_until_ms IS NULL AND due_at_ms < 9223372036854775807 AND due_at_ms <= imgserve_now_ms()) AS is_due), \
     flows (flow) AS (SELECT (SELECT min(flow) FROM imgserve_notices WHERE lease_until_ms IS NULL \
     AND due_at_ms < 9223372036854775807) WHERE (SELECT is_due FROM any_due) \
     UNION ALL SELECT (SELECT min(notice.flow) FROM imgserve_notices AS notice WHERE lease_until_ms IS NULL \
     AND due_at_ms < 9223372036854775807 AND notice.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL) \
     SELECT flows.flow, due.id, due.due_at_ms, first_value(due.due_at_ms) OVER (PARTITION BY flows.flow ORDER BY due.due_at_ms) \
     FROM flows, LATERAL (SELECT id, due_at_ms FROM imgserve_notices AS notice WHERE lease_until_ms IS NULL \
     AND due_at_ms < 9223372036854775807 AND notice.flow = flows.flow AND due_at_ms <= imgserve_now_ms() \
     ORDER BY due_at_ms LIMIT $1::bigint) AS due \
     WHERE flows.flow IS NOT NULL ORDER BY 4, 1, 3";

const CLAIM: &str = "WITH mine AS (SELECT id AS mine FROM imgserve_notices WHERE id = ANY($1::text[]) \
     AND lease_until_ms IS NULL AND due_at_ms <= imgserve_now_ms() FOR UPDATE SKIP LOCKED) \
     UPDATE imgserve_notices SET attempt = attempt + 1, node = $2, lease_until_ms = imgserve_now_ms() + $3::bigint \
     FROM mine WHERE id = mine RETURNING id, job, url, body, created_at_ms - imgserve_now_ms(), attempt, flow";

const NEXT: &str = "SELECT min(due) - imgserve_now_ms() FROM (\
     (SELECT due_at_ms AS due FROM imgserve_notices WHERE lease_until_ms IS NULL AND due_at_ms < 9223372036854775807 \
     AND due_at_ms > imgserve_now_ms() ORDER BY due_at_ms LIMIT 1) UNION ALL \
     (SELECT lease_until_ms + 1 FROM imgserve_notices WHERE lease_until_ms IS NOT NULL ORDER BY lease_until_ms LIMIT 1)) AS next";

/// Webhooks that wait for a later time than any pause that begins now could end wait so long, those that were never tried for
/// none, and none was first due after now, or before 2025, when no imgserve kept webhooks: that is the time of a clock that was
/// not set. Else it would be too old for another try.
pub(super) const BRING_FORWARD: &str = "UPDATE imgserve_notices SET \
     due_at_ms = least(due_at_ms, CASE attempt WHEN 0 THEN imgserve_now_ms() ELSE imgserve_now_ms() + $1::bigint END), \
     created_at_ms = CASE WHEN created_at_ms < least(1735689600000, imgserve_now_ms()) THEN imgserve_now_ms() \
     ELSE least(created_at_ms, imgserve_now_ms()) END \
     WHERE due_at_ms < 9223372036854775807 AND (due_at_ms > imgserve_now_ms() + $1::bigint \
     OR created_at_ms > imgserve_now_ms() OR created_at_ms < least(1735689600000, imgserve_now_ms()))";

/// As many as there is room for, of each flow as many as it may have and those due first; and in how long there may be more.
pub(super) async fn claim(
    link: &mut Link,
    room: &Room,
    (node, lease): (Uuid, Duration),
    now_ms: u64,
) -> Result<(Vec<ClaimedNotice>, Option<Duration>), Trouble> {
    let most = values![integer(room.free as u64)];
    let found = link.together(&[(FREE, &[]), (LOOK, &most)]).await?.pop().unwrap_or_default();
    let chosen = choose(&found, room);
    let values = values![chosen.clone(), node, integer(ms(lease))];
    let mut answers = match chosen.is_empty() {
        true => vec![Vec::new(), link.query(NEXT, &[]).await?],
        false => link.together(&[(CLAIM, &values), (NEXT, &[])]).await?,
    };
    let next =
        answers.pop().and_then(|rows| rows.first().and_then(|row: &Found| row.get::<_, Option<i64>>(0)));
    let mut claimed: Vec<_> = answers.pop().unwrap_or_default().iter().map(|row| read(row, now_ms)).collect();
    claimed.sort_by_key(|claimed| chosen.iter().position(|id| *id == claimed.notice.id));
    // What others were faster with says nothing of what is behind it.
    let next = if claimed.len() < chosen.len() { Some(0) } else { next };
    Ok((claimed, next.map(|next| Duration::from_millis(number(next)))))
}

/// Of those that are due, each flow's after the other's.
fn choose(found: &[Found], room: &Room) -> Vec<String> {
    let (mut chosen, mut left) = (Vec::new(), room.free);
    for of_flow in found.chunk_by(|a, b| a.get::<_, &str>(0) == b.get::<_, &str>(0)) {
        let under_way = of_flow.first().and_then(|row| room.under_way.get(row.get::<_, &str>(0)));
        let most = if room.shared { may_have(under_way.copied().unwrap_or_default(), left) } else { left };
        let before = chosen.len();
        chosen.extend(of_flow.iter().take(most).map(|row| row.get::<_, String>(1)));
        left -= chosen.len() - before;
    }
    chosen
}

fn read(row: &Found, now_ms: u64) -> ClaimedNotice {
    let notice = Notice {
        id: row.get(0),
        job: job(row.get(1)),
        url: row.get(2),
        body: row.get(3),
        created_ms: moment(row.get(4), now_ms),
        attempt: count(row.get(5)),
    };
    ClaimedNotice { notice, flow: row.get(6) }
}

/// What a try that is not the current one says is passed over.
pub(super) fn end(id: String, attempt: u32, delivery: Delivery) -> Sql {
    const DELIVERED: &str =
        "DELETE FROM imgserve_notices WHERE id = $1 AND attempt = $2 AND lease_until_ms IS NOT NULL";
    const AGAIN: &str = "UPDATE imgserve_notices SET lease_until_ms = NULL, due_at_ms = imgserve_now_ms() + $3::bigint \
         WHERE id = $1 AND attempt = $2 AND lease_until_ms IS NOT NULL";
    // It stays for as long as its job, which may be gone.
    const GIVEN_UP: &str = "WITH stays AS (UPDATE imgserve_notices AS notice SET lease_until_ms = NULL, \
         due_at_ms = 9223372036854775807 WHERE id = $1 AND attempt = $2 AND lease_until_ms IS NOT NULL \
         AND EXISTS (SELECT FROM imgserve_finished WHERE imgserve_finished.id = notice.job \
         UNION ALL SELECT FROM imgserve_jobs WHERE imgserve_jobs.id = notice.job) RETURNING id) \
         DELETE FROM imgserve_notices WHERE id = $1 AND attempt = $2 AND lease_until_ms IS NOT NULL \
         AND NOT EXISTS (SELECT FROM stays)";
    let attempt = i64::from(attempt);
    match delivery {
        Delivery::Delivered => Sql::new(DELIVERED, values![id, attempt]),
        Delivery::Again(pause) => Sql::new(AGAIN, values![id, attempt, integer(ms(pause))]),
        Delivery::GivenUp => Sql::new(GIVEN_UP, values![id, attempt]),
    }
}

/// Tries that are not the current ones are passed over.
pub(super) fn put_off(claims: Vec<(String, u32)>, pause: Duration) -> Sql {
    let sql = "UPDATE imgserve_notices AS notice SET lease_until_ms = NULL, attempt = notice.attempt - 1, \
               due_at_ms = imgserve_now_ms() + $3::bigint FROM unnest($1::text[], $2::bigint[]) AS known (id, attempt) \
               WHERE notice.id = known.id AND notice.attempt = known.attempt AND lease_until_ms IS NOT NULL";
    let (ids, attempts): (Vec<String>, Vec<i64>) =
        claims.into_iter().map(|(id, attempt)| (id, i64::from(attempt))).unzip();
    Sql::new(sql, values![ids, attempts, integer(ms(pause))])
}

/// The last one about a job, if it is not delivered.
pub(super) async fn of_job(link: &mut Link, id: JobId, now_ms: u64) -> Result<Option<Undelivered>, Trouble> {
    let sql = "SELECT attempt, CASE WHEN due_at_ms < 9223372036854775807 THEN due_at_ms - imgserve_now_ms() END \
               FROM imgserve_notices WHERE job = $1 ORDER BY came DESC LIMIT 1";
    let rows = link.query(sql, &values![uuid(id)]).await?;
    Ok(rows.first().map(|row| Undelivered {
        attempt: count(row.get(0)),
        due_ms: row.get::<_, Option<i64>>(1).map(|off| moment(off, now_ms)),
    }))
}
