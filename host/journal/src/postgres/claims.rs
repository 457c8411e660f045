//! Which jobs are handed out. What may be taken is looked up without a lock, flow by flow; what is chosen of it is then claimed at
//! once, and what another node was faster with is passed over, so that nobody waits for anybody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fair::Clock;
use tokio_postgres::Row as Found;
use uuid::Uuid;

use super::change::values;
use super::link::{Link, Value};
use super::rows::{self, integer, number, waiting};
use super::trouble::Trouble;
use crate::clock::ms;
use crate::rows::Taken;
use crate::store::Room;
use crate::turns::{Claiming, Step};

/// How many flows are looked for at once.
const FLOWS_AT_ONCE: i64 = 64;
/// How often a claim looks again where others were faster.
const LOOKS: usize = 4;

/// What came of a claim.
#[derive(Debug)]
pub(super) struct Handed {
    /// In their turns.
    pub(super) taken: Vec<Taken>,
    /// Whether more may be due.
    pub(super) full: bool,
    /// In how long the next one may be claimable.
    pub(super) next_due: Option<Duration>,
}

/// Jobs whose lease has ended wait again: what their attempt says later is stale. So do those whose node has ended while it was
/// accepting them.
const FREE: &str = "WITH gone AS (SELECT id FROM imgserve_jobs WHERE lease_until_ms < imgserve_now_ms() \
     ORDER BY lease_until_ms LIMIT 1000 FOR UPDATE SKIP LOCKED) \
     UPDATE imgserve_jobs AS job SET state = 'accepted', lease_until_ms = NULL FROM gone WHERE job.id = gone.id";

/// For how long a job is offered to the node that has taken it in, or tried it last, before any other may have it: that one has its
/// source. Longer than it takes to be claimed where there is room.
pub const HEAD_START: Duration = Duration::from_millis(500);

/// The best jobs of one flow at one place, of which there may be very many: one priority after the other, so that the index leads
/// to those that are due, however many wait for a later time before them.
macro_rules! best {
    ($flow:literal, $most:literal, $place:literal, $node:literal, $head_start:literal) => {
        concat!(
            "(SELECT id, cost, priority, due_at_ms FROM (",
            best!(@ 2, $flow, $most, $place, $node, $head_start),
            " UNION ALL ",
            best!(@ 1, $flow, $most, $place, $node, $head_start),
            " UNION ALL ",
            best!(@ 0, $flow, $most, $place, $node, $head_start),
            ") AS all_of_them LIMIT ",
            $most,
            ")"
        )
    };
    (@ $priority:literal, $flow:literal, $most:literal, $place:literal, $node:literal, $head_start:literal) => {
        concat!(
            "(SELECT id, cost, priority, due_at_ms FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = ",
            $place,
            " AND flow = ",
            $flow,
            " AND priority = ",
            $priority,
            " AND due_at_ms <= imgserve_now_ms() AND (node = ",
            $node,
            " OR due_at_ms <= imgserve_now_ms() - ",
            $head_start,
            ") ORDER BY due_at_ms, id LIMIT ",
            $most,
            ")"
        )
    };
}

/// Flows of which jobs are due at one place, by name from the first that is `$from` on, found by a few looks at the index each,
/// however many jobs they have; and the best jobs of each.
macro_rules! look {
    ($from:literal) => {
        concat!(
            "WITH RECURSIVE flows (flow) AS (SELECT (SELECT min(flow) FROM imgserve_jobs \
             WHERE state = 'accepted' AND held_by IS NULL AND place = $4::text AND flow ",
            $from,
            " $1::text) UNION ALL SELECT (SELECT min(job.flow) FROM imgserve_jobs AS job WHERE state = 'accepted' \
             AND held_by IS NULL AND place = $4::text AND job.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL), \
             due AS MATERIALIZED (SELECT flows.flow FROM flows, LATERAL ",
            best!("flows.flow", "1", "$4::text", "$5::uuid", "$6::bigint"),
            " AS one WHERE flows.flow IS NOT NULL LIMIT $2::bigint) \
             SELECT due.flow, best.id, best.cost, best.priority, best.due_at_ms FROM due, LATERAL ",
            best!("due.flow", "$3::bigint", "$4::text", "$5::uuid", "$6::bigint"),
            " AS best"
        )
    };
}
const FIRST: &str = look!(">=");
const AFTER: &str = look!(">");
const LOOK_AT: &str = best!("$1::text", "$2::bigint", "$3::text", "$4::uuid", "$5::bigint");

/// What another node has claimed meanwhile is not ours. So written, jobs are found by their ids and by nothing else, whatever the
/// database takes their number for.
const CLAIM: &str = concat!(
    "WITH mine AS (SELECT id AS mine FROM imgserve_jobs WHERE id = ANY($1::uuid[]) AND state || '' = 'accepted' \
     AND held_by IS NULL AND due_at_ms + 0 <= imgserve_now_ms() FOR UPDATE SKIP LOCKED) \
     UPDATE imgserve_jobs SET state = 'running', attempt = attempt + 1, node = $2, later = false, \
     lease_until_ms = imgserve_now_ms() + $3::bigint FROM mine WHERE id = mine RETURNING ",
    waiting!(),
    ", instructions, flow, cost"
);

/// In how long a job becomes due that this node may have, or a lease ends.
const NEXT: &str = "SELECT min(due) - imgserve_now_ms() FROM (\
     (SELECT due_at_ms AS due FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND later AND place = '' \
     AND due_at_ms > imgserve_now_ms() ORDER BY due_at_ms LIMIT 1) UNION ALL \
     (SELECT due_at_ms FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND later AND place = $1::text \
     AND due_at_ms > imgserve_now_ms() ORDER BY due_at_ms LIMIT 1) UNION ALL \
     (SELECT lease_until_ms + 1 FROM imgserve_jobs WHERE lease_until_ms IS NOT NULL ORDER BY lease_until_ms LIMIT 1)) AS next";

/// Jobs that wait for a later time than any pause that begins now could end wait so long; those that were never tried wait for none.
pub(super) const BRING_FORWARD: &str = "UPDATE imgserve_jobs SET due_at_ms = \
     CASE attempt WHEN 0 THEN imgserve_now_ms() ELSE imgserve_now_ms() + $1::bigint END \
     WHERE state = 'accepted' AND held_by IS NULL AND later AND due_at_ms > imgserve_now_ms() \
     AND (attempt = 0 OR due_at_ms > imgserve_now_ms() + $1::bigint)";

/// Hands out as many jobs as there is room for, to this node; `now_ms` is what its clock shows.
pub(super) async fn claim(
    link: &mut Link,
    clock: &mut Clock,
    room: &Room,
    (node, lease): (Uuid, Duration),
    now_ms: u64,
) -> Result<Handed, Trouble> {
    let mut handed = Handed { taken: Vec::new(), full: false, next_due: None };
    let mut room = room.clone();
    for look in 1..=LOOKS {
        let (chosen, full) = choose(link, clock, &room, (node, look == 1)).await?;
        let (found, next) = take(link, &chosen, node, lease, now_ms).await?;
        (handed.full, handed.next_due) = (full, next);
        let missed = chosen.len() - found.len();
        room.free -= found.len();
        for taken in &found {
            *room.under_way.entry(taken.flow.as_str().into()).or_default() += 1;
        }
        handed.taken.extend(found);
        if missed == 0 {
            return Ok(handed);
        }
    }
    // Others are faster all the time; there may be more.
    handed.next_due = Some(Duration::ZERO);
    Ok(handed)
}

/// Chooses jobs in their turns; whether more may be due.
async fn choose(
    link: &mut Link,
    clock: &mut Clock,
    room: &Room,
    (node, first): (Uuid, bool),
) -> Result<(Vec<Uuid>, bool), Trouble> {
    if room.free == 0 {
        return Ok((Vec::new(), true));
    }
    let mut claiming = Claiming::new(room, clock);
    let mut known = HashMap::<Arc<str>, Best>::new();
    let (mut chosen, mut free_first) = (Vec::new(), first);
    loop {
        match claiming.step() {
            Step::Flows(last) => {
                let found = look(link, last, room.free, (node, std::mem::take(&mut free_first))).await?;
                claiming.flows(found.keys().cloned());
                known.extend(found);
            }
            Step::Job(flow) => {
                let best = known.entry(Arc::clone(&flow)).or_default();
                if best.next.is_empty() && best.more {
                    *best = look_at(link, &flow, room.free, (node, &chosen)).await?;
                }
                let job = best.next.pop();
                claiming.job(job.map(|job| job.cost));
                chosen.extend(job.map(|job| job.id));
            }
            Step::Done => break,
        }
    }
    Ok((chosen, claiming.is_full()))
}

/// A job that may be claimed; the order is that in which they are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    rank: Reverse<i64>,
    due_at_ms: i64,
    id: Uuid,
    cost: u64,
}

/// The best jobs of a flow that are known, the best one last.
#[derive(Debug, Default)]
struct Best {
    next: Vec<Due>,
    /// Whether there may be more behind them.
    more: bool,
}

impl Best {
    /// Of what was found at each place, `most` at each; those that are `chosen` already are none.
    fn of(places: &[Vec<Due>], most: usize, chosen: &[Uuid]) -> Self {
        let chosen: HashSet<&Uuid> = chosen.iter().collect();
        let more = places.iter().any(|found| found.len() >= most);
        let mut next: Vec<Due> = places.iter().flatten().copied().collect();
        next.sort_unstable();
        // What is behind the last of a place that has more is not known.
        next.truncate(if more { most } else { next.len() });
        next.retain(|due| !chosen.contains(&due.id));
        next.reverse();
        Self { next, more }
    }
}

/// Flows of which jobs are due, by name, with their best ones: those that any node may do, and those that this one alone can.
async fn look(
    link: &mut Link,
    last: Option<Arc<str>>,
    free: usize,
    (node, free_first): (Uuid, bool),
) -> Result<BTreeMap<Arc<str>, Best>, Trouble> {
    // Each flow's share, roughly, where there are many; and all of it where there is one.
    let most = free.min(32);
    let look = if last.is_some() { AFTER } else { FIRST };
    let from = last.map(|last| last.to_string()).unwrap_or_default();
    let at = |place: String| {
        values![from.clone(), FLOWS_AT_ONCE, most as i64, place, node, integer(ms(HEAD_START))]
    };
    let (anywhere, here) = (at(String::new()), at(node.to_string()));
    let mut statements: Vec<(&'static str, &[Value])> = Vec::new();
    if free_first {
        statements.push((FREE, &[]));
    }
    statements.extend([(look, &*anywhere), (look, &*here)]);
    let answers = link.together(&statements).await?;
    let places = &answers[answers.len() - 2..];
    let mut flows = BTreeMap::<Arc<str>, [Vec<Due>; 2]>::new();
    for (place, rows) in places.iter().enumerate() {
        for row in rows {
            flows.entry(row.get::<_, &str>(0).into()).or_default()[place].push(due(row, 1));
        }
    }
    // Of a place that has more flows than are found at once, those behind the last one are not known.
    let last_known = places.iter().filter(|rows| count_flows(rows) >= FLOWS_AT_ONCE as usize);
    let last_known = last_known.filter_map(|rows| rows.last().map(|row| row.get::<_, String>(0))).min();
    let is_known = |flow: &str| last_known.as_ref().is_none_or(|last| flow <= last.as_str());
    let flows = flows.into_iter().filter(|(flow, _)| is_known(flow));
    Ok(flows.map(|(flow, places)| (flow, Best::of(&places, most, &[]))).collect())
}

/// Of rows that are sorted by them.
fn count_flows(rows: &[Found]) -> usize {
    rows.chunk_by(|a, b| a.get::<_, &str>(0) == b.get::<_, &str>(0)).count()
}

/// The best of a flow's that are not chosen yet.
async fn look_at(
    link: &mut Link,
    flow: &str,
    free: usize,
    (node, chosen): (Uuid, &[Uuid]),
) -> Result<Best, Trouble> {
    let most = chosen.len() + free;
    let at = |place: String| values![flow.to_owned(), most as i64, place, node, integer(ms(HEAD_START))];
    let (anywhere, here) = (at(String::new()), at(node.to_string()));
    let answers = link.together(&[(LOOK_AT, &*anywhere), (LOOK_AT, &*here)]).await?;
    let places: Vec<Vec<Due>> =
        answers.iter().map(|rows| rows.iter().map(|row| due(row, 0)).collect()).collect();
    Ok(Best::of(&places, most, chosen))
}

fn due(row: &Found, from: usize) -> Due {
    Due {
        rank: Reverse(row.get(from + 2)),
        due_at_ms: row.get(from + 3),
        id: row.get(from),
        cost: number(row.get(from + 1)),
    }
}

/// Claims what was chosen, as far as it is still there; and in how long there may be more.
async fn take(
    link: &mut Link,
    chosen: &[Uuid],
    node: Uuid,
    lease: Duration,
    now_ms: u64,
) -> Result<(Vec<Taken>, Option<Duration>), Trouble> {
    let values = values![chosen.to_vec(), node, integer(ms(lease))];
    let next = values![node.to_string()];
    let mut answers = match chosen.is_empty() {
        true => vec![Vec::new(), link.query(NEXT, &next).await?],
        false => link.together(&[(CLAIM, &*values), (NEXT, &*next)]).await?,
    };
    let next =
        answers.pop().and_then(|rows| rows.first().and_then(|row: &Found| row.get::<_, Option<i64>>(0)));
    let order: HashMap<Uuid, usize> = chosen.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut taken: Vec<Taken> =
        answers.pop().unwrap_or_default().iter().map(|row| read(row, now_ms)).collect();
    taken.sort_by_key(|taken| order.get(&rows::uuid(taken.row.id)).copied());
    Ok((taken, next.map(|next| Duration::from_millis(number(next)))))
}

fn read(row: &Found, now_ms: u64) -> Taken {
    Taken {
        row: rows::read(row, now_ms),
        order: row.get(rows::WIDTH),
        flow: row.get(rows::WIDTH + 1),
        cost: number(row.get(rows::WIDTH + 2)),
    }
}
