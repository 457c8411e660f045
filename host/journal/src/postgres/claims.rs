//! Which jobs are handed out. What may be taken is looked up without a lock, flow by flow; what is chosen of it is then claimed at
//! once, and what another node was faster with is passed over, so that nobody waits for anybody. A job that waits alone is claimed
//! as it is looked for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fair::{Clock, Flow, may_have_more};
use tokio_postgres::Row as Found;
use uuid::Uuid;

use super::link::Link;
use super::look::{Asked, Best, Flows, Look, Seen, best_of};
use super::rows::{self, integer, number, waiting};
use super::trouble::Trouble;
use super::value::{Value, values};
use crate::clock::ms;
use crate::rows::Taken;
use crate::store::Room;
use crate::turns::{Claiming, Step};

/// How often a claim looks again where others were faster.
const LOOKS: usize = 4;
/// How many jobs are freed at once whose lease has ended.
const FREED: i64 = 1000;
/// How many jobs of a flow are asked for beside those that were chosen, where other nodes claim the same ones: some at first, twice as
/// many each time that was not enough, so many at most; and one less each time it was.
const SPARE: usize = 8;
const MOST_SPARE: usize = 64;

/// What came of a claim.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// In their turns.
    pub(super) taken: Vec<Taken>,
    /// Whether more may be due.
    pub(super) full: bool,
    /// In how long the next one may be claimable.
    pub(super) next_due: Option<Duration>,
}

/// What one claim leaves to the next.
#[derive(Debug)]
pub(super) struct Turns {
    /// Whose turn it is.
    clock: Clock,
    seen: Seen,
    /// Whether the last claim found one job, or none.
    few: bool,
    /// How many jobs of a flow the next claim asks for beside those that it chooses.
    spare: usize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { clock: Clock::default(), seen: Seen::default(), few: true, spare: 0 }
    }
}

impl Turns {
    /// So long it is not looked at all there is.
    #[cfg(test)]
    pub(super) fn rest(&mut self, rest: Duration) {
        self.seen.rest(rest);
    }
}

/// For how long a job is offered to the node that has taken it in, or tried it last, before any other may have it: that one has its
/// source. Longer than it takes to be claimed where there is room.
pub const HEAD_START: Duration = Duration::from_millis(500);

/// Jobs whose lease has ended wait again: what their attempt says later is stale. So do those whose node has ended while it was
/// accepting them. Gives how many there are, and what time it was.
const FREE: &str = "WITH gone AS (SELECT id FROM imgserve_jobs WHERE lease_until_ms >= $1::bigint \
     AND lease_until_ms < imgserve_now_ms() ORDER BY lease_until_ms LIMIT $2::bigint FOR UPDATE SKIP LOCKED), \
     freed AS (UPDATE imgserve_jobs AS job SET state = 'accepted', lease_until_ms = NULL FROM gone WHERE job.id = gone.id \
     RETURNING true) SELECT count(*), imgserve_now_ms() FROM freed";

/// Claims those that are `mine`.
macro_rules! claim {
    ($mine:literal) => {
        concat!(
            "WITH ",
            $mine,
            ") UPDATE imgserve_jobs SET state = 'running', attempt = attempt + 1, node = $2::uuid, later = false, \
             lease_until_ms = imgserve_now_ms() + $3::bigint FROM mine WHERE id = mine RETURNING ",
            waiting!(),
            ", instructions, flow, cost"
        )
    };
}

/// What another node has claimed meanwhile is not ours. So written, jobs are found by their ids and by nothing else, whatever the
/// database takes their number for.
const CLAIM: &str = claim!(
    "mine AS (SELECT id AS mine FROM imgserve_jobs WHERE id = ANY($1::uuid[]) AND state || '' = 'accepted' \
     AND held_by IS NULL AND due_at_ms + 0 <= imgserve_now_ms() FOR UPDATE SKIP LOCKED"
);

/// The same of some more jobs than are wanted: of each flow, whose jobs stand after one another, the first ones that no other node has.
const CLAIM_OF: &str = claim!(
    "mine AS (SELECT one.id AS mine FROM unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS flow (first, last, most), \
     LATERAL (SELECT id FROM imgserve_jobs WHERE id = ANY(($1::uuid[])[flow.first::int:flow.last::int]) \
     AND state || '' = 'accepted' AND held_by IS NULL AND due_at_ms + 0 <= imgserve_now_ms() \
     ORDER BY array_position($1::uuid[], id) LIMIT flow.most FOR UPDATE SKIP LOCKED) AS one"
);

/// The only job that waits, if this node may have it: then there is nothing to choose.
const ONLY: &str = claim!(
    "waits AS MATERIALIZED ((SELECT id FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = '' \
     ORDER BY flow, priority, due_at_ms, id LIMIT 2) UNION ALL \
     (SELECT id FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = $2::uuid::text \
     ORDER BY flow, priority, due_at_ms, id LIMIT 2)), \
     mine AS (SELECT id AS mine FROM imgserve_jobs WHERE id = (SELECT (array_agg(id))[1] FROM waits HAVING count(*) = 1) \
     AND state || '' = 'accepted' AND held_by IS NULL AND due_at_ms + 0 <= imgserve_now_ms() \
     AND (node = $2::uuid OR due_at_ms + 0 <= imgserve_now_ms() - $4::bigint) AND flow || '' <> ALL ($1::text[]) FOR UPDATE SKIP LOCKED"
);

/// What time it is.
const NOW: &str = "SELECT imgserve_now_ms()";

/// In how long a job becomes due that this node may have, or a lease ends, if that is asked; then whether any job waits, and
/// what time it is now that this is found out.
const NEXT: &str = "SELECT min(due) - imgserve_now_ms(), $2::boolean AND (\
     (SELECT true FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = '' \
     ORDER BY flow, priority, due_at_ms, id LIMIT 1) IS NOT NULL OR \
     (SELECT true FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = $1::text \
     ORDER BY flow, priority, due_at_ms, id LIMIT 1) IS NOT NULL), \
     imgserve_now_ms() + (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::bigint FROM (\
     (SELECT due_at_ms AS due FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND later AND place = '' \
     AND due_at_ms > imgserve_now_ms() ORDER BY due_at_ms LIMIT 1) UNION ALL \
     (SELECT due_at_ms FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND later AND place = $1::text \
     AND due_at_ms > imgserve_now_ms() ORDER BY due_at_ms LIMIT 1) UNION ALL \
     (SELECT lease_until_ms + 1 FROM imgserve_jobs WHERE $2::boolean AND lease_until_ms IS NOT NULL \
     ORDER BY lease_until_ms LIMIT 1)) AS next";

/// Jobs that wait for a later time than any pause that begins now could end wait so long; those that were never tried wait for none.
pub(super) const BRING_FORWARD: &str = "UPDATE imgserve_jobs SET due_at_ms = \
     CASE attempt WHEN 0 THEN imgserve_now_ms() ELSE imgserve_now_ms() + $1::bigint END \
     WHERE state = 'accepted' AND held_by IS NULL AND later AND due_at_ms > imgserve_now_ms() \
     AND (attempt = 0 OR due_at_ms > imgserve_now_ms() + $1::bigint)";

/// Hands out as many jobs as there is room for, to this node; `now_ms` is what its clock shows, and `come` are the flows of which it has
/// taken jobs in since.
pub(super) async fn claim(
    link: &mut Link,
    (turns, come): (&mut Turns, impl IntoIterator<Item = Arc<str>>),
    room: &Room,
    (node, lease): (Uuid, Duration),
    now_ms: u64,
) -> Result<Handed, Trouble> {
    let Turns { clock, seen, few, spare } = turns;
    seen.has_come(come);
    let look = seen.next();
    let (next_due, has_heard, missed) = (None, false, Vec::new());
    let mut claiming =
        Claimer { link, seen, look, spare: *spare, node, lease, now_ms, next_due, has_heard, missed };
    let (mut handed, mut room) = (Handed::default(), room.clone());
    if std::mem::take(few) && look == Look::All && room.free > 0 {
        let (taken, waits) = claiming.only(&room).await?;
        if let Some(taken) = taken {
            let weight = room.weights.get(taken.flow.as_str()).copied().unwrap_or(1);
            clock.turn(&Flow::new(taken.flow.as_str(), weight), taken.cost);
            now_has(&mut room, &taken);
            handed.taken.push(taken);
        }
        if !waits {
            (*few, handed.full, handed.next_due) = (true, room.free == 0, claiming.next_due());
            return Ok(handed);
        }
    }
    for _ in 0..LOOKS {
        let flows = claiming.look(&room).await?;
        let (chosen, full) = claiming.choose(clock, &room, flows).await?;
        let found = claiming.take(&chosen).await?;
        handed.full = full;
        let missed = found.len() < chosen.turns.len();
        found.iter().for_each(|taken| now_has(&mut room, taken));
        claiming.miss(&chosen, &found);
        *spare = claiming.spare;
        handed.taken.extend(found);
        if !missed {
            *few = handed.taken.len() < 2;
            handed.next_due = claiming.next_due();
            return Ok(handed);
        }
    }
    // Others are faster all the time; there may be more.
    handed.next_due = Some(Duration::ZERO);
    Ok(handed)
}

/// A job that is claimed takes room.
fn now_has(room: &mut Room, taken: &Taken) {
    room.free -= 1;
    *room.under_way.entry(taken.flow.as_str().into()).or_default() += 1;
}

/// What a claim asks for.
#[derive(Debug, Default)]
struct Chosen {
    /// In their turns; or those of each flow after one another, where there are more than are wanted.
    jobs: Vec<Uuid>,
    /// Whose turns they are: as many jobs are wanted.
    turns: Vec<Arc<str>>,
    /// Where there are more, each flow's.
    parts: Vec<Part>,
}

/// Jobs of one flow, of which some are wanted.
#[derive(Debug)]
struct Part {
    /// Which of those that are asked for.
    jobs: Range<usize>,
    wanted: usize,
}

impl Chosen {
    /// Jobs chosen in their turns, whose flows' these are, and up to so many more of each that are known: other nodes, which look at
    /// the same ones, may have those.
    fn of(chosen: Vec<Uuid>, turns: Vec<Arc<str>>, known: &HashMap<Arc<str>, Best>, spare: usize) -> Self {
        if spare == 0 {
            return Self { jobs: chosen, turns, parts: Vec::new() };
        }
        let mut flows = BTreeMap::<&Arc<str>, Vec<Uuid>>::new();
        for (job, flow) in chosen.into_iter().zip(&turns) {
            flows.entry(flow).or_default().push(job);
        }
        let (mut jobs, mut parts) = (Vec::new(), Vec::new());
        for (flow, own) in flows {
            let (first, wanted) = (jobs.len(), own.len());
            jobs.extend(own);
            let others = known.get(flow).map_or(&[][..], |best| &best.next);
            jobs.extend(others.iter().rev().take(spare).map(|due| due.id));
            parts.push(Part { jobs: first..jobs.len(), wanted });
        }
        Self { jobs, turns, parts }
    }

    /// Those that others have, now that some were found: of what was asked for beside them nobody knows.
    fn without(&self, found: impl Fn(&Uuid) -> bool) -> Vec<Uuid> {
        let left = |jobs: &[Uuid]| jobs.iter().filter(|id| !found(id)).copied().collect::<Vec<_>>();
        if self.parts.is_empty() {
            return left(&self.jobs);
        }
        let others = self.parts.iter().flat_map(|Part { jobs, wanted }| {
            let own = &self.jobs[jobs.clone()];
            let enough = own.iter().filter(|id| found(id)).count() == *wanted;
            let asked = if enough { own.iter().rposition(&found).map_or(0, |at| at + 1) } else { own.len() };
            left(&own[..asked])
        });
        others.collect()
    }
}

/// A claim under way.
struct Claimer<'c> {
    link: &'c mut Link,
    seen: &'c mut Seen,
    look: Look,
    /// How many jobs of a flow are asked for beside those that are chosen.
    spare: usize,
    node: Uuid,
    lease: Duration,
    now_ms: u64,
    /// In how long there may be more, once the database has told.
    next_due: Option<Duration>,
    has_heard: bool,
    /// What others were faster with: until they have said so on disk it is found again.
    missed: Vec<Uuid>,
}

impl Claimer<'_> {
    /// Of what was asked for others may have what was not found; and if that is not as much as was wanted, more is to be asked for.
    fn miss(&mut self, chosen: &Chosen, found: &[Taken]) {
        self.missed.extend(chosen.without(|id| found.iter().any(|taken| rows::uuid(taken.row.id) == *id)));
        self.spare = match found.len() < chosen.turns.len() {
            true => (2 * self.spare).clamp(SPARE, MOST_SPARE),
            false => self.spare.saturating_sub(1),
        };
    }

    /// Claims the only job that waits, if there is one alone. Whether others do.
    async fn only(&mut self, room: &Room) -> Result<(Option<Taken>, bool), Trouble> {
        let (lease, head_start) = (integer(ms(self.lease)), integer(ms(HEAD_START)));
        let asked = [
            (ONLY, values![full_flows(room), self.node, lease, head_start]),
            self.asks_to_free(),
            self.asks_for_next(),
        ];
        let [taken, freed, next] = each(self.together(&asked).await?);
        self.hear_next(&next);
        let began = self.hear_freed(&freed, next.first().map(|row| row.get(2)));
        let taken = taken.first().map(|row| read(row, self.now_ms));
        self.seen.has_come(taken.iter().map(|taken| taken.flow.as_str().into()));
        let waits = next.first().is_none_or(|row| row.get(1));
        if !waits {
            self.seen.is_nothing(began);
        }
        Ok((taken, waits))
    }

    /// Looks for flows of which jobs are due, and their best ones. Jobs are freed before whose lease has ended.
    async fn look(&mut self, room: &Room) -> Result<Flows, Trouble> {
        let (asks, most) = ((self.look, None), most(room.free) + self.missed.len() + self.spare);
        let [anywhere, here] = self.seen.asks_at_both(asks, most, self.node);
        let asked = [self.asks_to_free(), anywhere, here, (NOW, Vec::new())];
        let [freed, anywhere, here, now] = each(self.together(&asked).await?);
        let began = self.hear_freed(&freed, now.first().map(|row| row.get(0)));
        Ok(self.seen.found(asks, [&anywhere, &here], (most, &self.missed), began))
    }

    /// Chooses jobs in their turns; whether more may be due.
    async fn choose(
        &mut self,
        clock: &mut Clock,
        room: &Room,
        found: Flows,
    ) -> Result<(Chosen, bool), Trouble> {
        if room.free == 0 {
            return Ok((Chosen::default(), true));
        }
        let mut claiming = Claiming::new(room, clock);
        let (mut known, mut chosen) = (HashMap::<Arc<str>, Best>::new(), Vec::new());
        let mut turns = Vec::new();
        let (mut found, mut more) = (Some(found), true);
        loop {
            match claiming.step() {
                Step::Flows(last) => {
                    let next = match found.take() {
                        Some(found) => found,
                        None if more => self.look_after(last, room.free).await?,
                        None => Flows::none(),
                    };
                    more = next.more;
                    claiming.flows(next.known.keys().cloned());
                    known.extend(next.known);
                }
                Step::Job(flow) => {
                    let best = known.entry(Arc::clone(&flow)).or_default();
                    if best.next.is_empty() && best.more {
                        *best = self.look_at(&flow, room.free, &chosen).await?;
                    }
                    let job = best.next.pop();
                    claiming.job(job.map(|job| job.cost));
                    if let Some(job) = job {
                        chosen.push(job.id);
                        turns.push(flow);
                    }
                }
                Step::Done => break,
            }
        }
        Ok((Chosen::of(chosen, turns, &known, self.spare), claiming.is_full()))
    }

    /// Flows behind the last one.
    async fn look_after(&mut self, last: Option<Arc<str>>, free: usize) -> Result<Flows, Trouble> {
        let (last, most) = (last.unwrap_or_default(), most(free) + self.missed.len());
        let asks = (self.look, Some(&*last));
        let [anywhere, here] = self.seen.asks_at_both(asks, most, self.node);
        let answers = self.together(&[(NOW, Vec::new()), anywhere, here]).await?;
        let [now, anywhere, here] = each(answers);
        let now = now.first().map_or(0, |row| row.get(0));
        Ok(self.seen.found(asks, [&anywhere, &here], (most, &self.missed), now))
    }

    /// The best of a flow's that are not chosen yet.
    async fn look_at(&mut self, flow: &str, free: usize, chosen: &[Uuid]) -> Result<Best, Trouble> {
        let gone = [chosen, &self.missed].concat();
        let most = gone.len() + free;
        let asked = self.seen.asks_of_one(self.look, flow, most, self.node);
        let [anywhere, here] = each(self.together(&asked).await?);
        Ok(best_of([&anywhere, &here], most, &gone))
    }

    /// Claims what was chosen, as far as it is still there.
    async fn take(&mut self, chosen: &Chosen) -> Result<Vec<Taken>, Trouble> {
        if chosen.turns.is_empty() && self.has_heard {
            return Ok(Vec::new());
        }
        let (jobs, lease) = (chosen.jobs.clone(), integer(ms(self.lease)));
        let claim = if chosen.parts.is_empty() {
            (CLAIM, values![jobs, self.node, lease])
        } else {
            // The database counts from 1, and the last one is within.
            let each = |number: fn(&Part) -> usize| -> Vec<i64> {
                chosen.parts.iter().map(|part| number(part) as i64).collect()
            };
            let (first, last) = (each(|part| part.jobs.start + 1), each(|part| part.jobs.end));
            (CLAIM_OF, values![jobs, self.node, lease, first, last, each(|part| part.wanted)])
        };
        let next = self.asks_for_next();
        let asked = if chosen.turns.is_empty() { vec![next] } else { vec![claim, next] };
        let mut answers = self.together(&asked).await?;
        self.hear_next(&answers.pop().unwrap_or_default());
        let claimed = answers.pop().unwrap_or_default();
        let order: HashMap<Uuid, usize> = chosen.jobs.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let mut taken: Vec<Taken> = claimed.iter().map(|row| read(row, self.now_ms)).collect();
        taken.sort_by_key(|taken| order.get(&rows::uuid(taken.row.id)).copied());
        let mut of_flows = HashMap::<String, VecDeque<Taken>>::new();
        for taken in taken {
            of_flows.entry(taken.flow.clone()).or_default().push_back(taken);
        }
        Ok(chosen.turns.iter().filter_map(|flow| of_flows.get_mut(&**flow)?.pop_front()).collect())
    }

    async fn together(&mut self, asked: &[Asked]) -> Result<Vec<Vec<Found>>, Trouble> {
        let statements: Vec<(&'static str, &[Value])> =
            asked.iter().map(|(sql, values)| (*sql, values.as_slice())).collect();
        self.link.together(&statements).await
    }

    fn asks_to_free(&self) -> Asked {
        (FREE, values![self.seen.leases_since(self.look), FREED])
    }

    /// Jobs were freed, and then it was looked until now. When that began.
    fn hear_freed(&mut self, freed: &[Found], now: Option<i64>) -> i64 {
        let (freed, began): (i64, i64) = freed.first().map_or((0, 0), |row| (row.get(0), row.get(1)));
        self.seen.freed(began, freed < FREED);
        match self.look {
            Look::All => self.seen.took(now.unwrap_or(began) - began),
            Look::New if freed > 0 => self.seen.look_at_all(),
            Look::New => {}
        }
        began
    }

    fn asks_for_next(&self) -> Asked {
        (NEXT, values![self.node.to_string(), self.look == Look::All])
    }

    fn hear_next(&mut self, rows: &[Found]) {
        let next = rows.first().and_then(|row| row.get::<_, Option<i64>>(0));
        self.has_heard = true;
        self.next_due = next.map(|next| Duration::from_millis(number(next)));
    }

    /// In how long there may be more: at the next look at all there is, where this was none.
    fn next_due(&self) -> Option<Duration> {
        let all = (self.look == Look::New).then(|| self.seen.rests_for().unwrap_or_default());
        self.next_due.into_iter().chain(all).min()
    }
}

/// What each statement has given; nothing for those that were not asked.
fn each<const N: usize>(answers: Vec<Vec<Found>>) -> [Vec<Found>; N] {
    let mut answers = answers.into_iter();
    [(); N].map(|()| answers.next().unwrap_or_default())
}

/// Each flow's share of what is free, roughly, where there are many; and all of it where there is one.
fn most(free: usize) -> usize {
    free.min(32)
}

/// Flows that have as much under way as they may.
fn full_flows(room: &Room) -> Vec<String> {
    let full = room.under_way.iter().filter(|(_, own)| room.shared && !may_have_more(**own, room.free));
    full.map(|(flow, _)| flow.to_string()).collect()
}

fn read(row: &Found, now_ms: u64) -> Taken {
    Taken {
        row: rows::read(row, now_ms),
        order: row.get(rows::WIDTH),
        flow: row.get(rows::WIDTH + 1),
        cost: number(row.get(rows::WIDTH + 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_behind_what_was_found_may_still_be_had() {
        let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
        let parts = vec![Part { jobs: 0..3, wanted: 2 }, Part { jobs: 3..6, wanted: 2 }];
        let chosen = Chosen { jobs: ids.clone(), turns: vec!["ada".into(); 4], parts };
        let without = |found: &[usize]| {
            let missed = chosen.without(|id| found.iter().any(|at| ids[*at] == *id));
            missed.iter().map(|id| ids.iter().position(|one| one == id).unwrap()).collect::<Vec<_>>()
        };
        assert!(without(&[0, 1, 3, 4]).is_empty());
        assert_eq!(without(&[1, 2, 4]), [0, 3, 5]);
        let few = Chosen { jobs: ids[..3].to_vec(), turns: vec!["ada".into(); 3], parts: Vec::new() };
        assert_eq!(few.without(|id| *id == ids[1]), [ids[0], ids[2]]);
    }
}
