//! What may be claimed: looked up without a lock, flow by flow, in the indexes' order. Where another session keeps the database from
//! clearing away what is dead, what was claimed still stands in the indexes: then only now and then it is looked at all of them,
//! and in between at what has come since.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Row as Found;
use uuid::Uuid;

use super::claims::HEAD_START;
use super::rows::{integer, number};
use super::value::{Value, values};
use crate::clock::ms;

/// How many flows are looked for at once.
const FLOWS_AT_ONCE: usize = 64;
/// Of more flows nothing is known.
const MOST_FLOWS: usize = 1024;
/// A look at all there is that takes the database so long, in milliseconds, is slow; after so many one after another it rests.
const SLOW_MS: i64 = 5;
const SLOW_LOOKS: u32 = 3;
/// For how many times as long as it took, and how long at most.
const REST: u32 = 50;
const LONGEST_REST: Duration = Duration::from_secs(5);
/// How much later than it is due a job may become claimable, in milliseconds, and be found by the next look; any other is by the next
/// at all there is. Its placeholders are stored in this time, mostly.
const LATE_MS: i64 = 2000;

/// The ranks of priorities, the highest first.
const RANKS: [i64; 3] = [2, 1, 0];
/// Before all times.
const EVER: i64 = -i64::MAX;

/// The best jobs of one flow at one place, of which there may be very many: one priority after the other, so that the index leads
/// to those that are due, however many wait for a later time before them.
macro_rules! best {
    ($flow:literal, $most:literal, $place:literal, $node:literal, $head_start:literal, [$high:literal, $normal:literal, $low:literal]) => {
        concat!(
            "(SELECT id, cost, priority, due_at_ms FROM (",
            best!(@ 2, $high, $flow, $most, $place, $node, $head_start),
            " UNION ALL ",
            best!(@ 1, $normal, $flow, $most, $place, $node, $head_start),
            " UNION ALL ",
            best!(@ 0, $low, $flow, $most, $place, $node, $head_start),
            ") AS all_of_them LIMIT ",
            $most,
            ")"
        )
    };
    (@ $priority:literal, $since:literal, $flow:literal, $most:literal, $place:literal, $node:literal, $head_start:literal) => {
        concat!(
            "(SELECT id, cost, priority, due_at_ms FROM imgserve_jobs WHERE state = 'accepted' AND held_by IS NULL AND place = ",
            $place,
            " AND flow = ",
            $flow,
            " AND priority = ",
            $priority,
            " AND due_at_ms >= ",
            $since,
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
macro_rules! all {
    ($from:literal) => {
        concat!(
            "WITH RECURSIVE flows (flow) AS (SELECT (SELECT min(flow) FROM imgserve_jobs \
             WHERE state = 'accepted' AND held_by IS NULL AND place = $4::text AND flow ",
            $from,
            " $1::text) UNION ALL SELECT (SELECT min(job.flow) FROM imgserve_jobs AS job WHERE state = 'accepted' \
             AND held_by IS NULL AND place = $4::text AND job.flow > flows.flow) FROM flows WHERE flows.flow IS NOT NULL), \
             due AS MATERIALIZED (SELECT flows.flow FROM flows, LATERAL ",
            best!("flows.flow", "1", "$4::text", "$5::uuid", "$6::bigint", ["$7::bigint", "$7::bigint", "$7::bigint"]),
            " AS one WHERE flows.flow IS NOT NULL LIMIT $2::bigint) \
             SELECT due.flow, best.id, best.cost, best.priority, best.due_at_ms FROM due, LATERAL ",
            best!("due.flow", "$3::bigint", "$4::text", "$5::uuid", "$6::bigint", ["$7::bigint", "$7::bigint", "$7::bigint"]),
            " AS best"
        )
    };
}
const FIRST: &str = all!(">=");
const AFTER: &str = all!(">");
/// The same of flows that are known.
const KNOWN: &str = concat!(
    "SELECT known.flow, best.id, best.cost, best.priority, best.due_at_ms \
     FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS known (flow, high, normal, low), LATERAL ",
    best!(
        "known.flow",
        "$5::bigint",
        "$6::text",
        "$7::uuid",
        "$8::bigint",
        ["known.high", "known.normal", "known.low"]
    ),
    " AS best"
);
const LOOK_AT: &str = best!(
    "$1::text",
    "$2::bigint",
    "$3::text",
    "$4::uuid",
    "$5::bigint",
    ["$6::bigint", "$7::bigint", "$8::bigint"]
);

/// A job that may be claimed; the order is that in which they are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    rank: Reverse<i64>,
    due_at_ms: i64,
    pub(super) id: Uuid,
    pub(super) cost: u64,
}

impl Due {
    fn read(row: &Found, from: usize) -> Self {
        Self {
            rank: Reverse(row.get(from + 2)),
            due_at_ms: row.get(from + 3),
            id: row.get(from),
            cost: number(row.get(from + 1)),
        }
    }
}

/// The best jobs of a flow that are known, the best one last.
#[derive(Debug, Default)]
pub(super) struct Best {
    pub(super) next: Vec<Due>,
    /// Whether there may be more behind them.
    pub(super) more: bool,
}

impl Best {
    /// Of what was found at each place, `most` at each; those that are `chosen` already are none.
    fn of(places: &[Vec<Due>; 2], most: usize, chosen: &[Uuid]) -> Self {
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

/// From which due time on a flow's jobs are at one place, of each rank.
type Since = [i64; 3];

/// What earlier claims have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Flows of which jobs may wait: from when on those that any node may do, and those that this one alone can.
    flows: BTreeMap<Arc<str>, [Since; 2]>,
    /// Before this no lease ends.
    leases: i64,
    /// How many looks at all there is were slow, one after another.
    slow: u32,
    /// When the next one is.
    rests_until: Option<Instant>,
}

/// A look at all there is, or at what has come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    All,
    New,
}

/// A statement and what it is asked with.
pub(super) type Asked = (&'static str, Vec<Value>);

impl Seen {
    /// Jobs of these flows have come.
    pub(super) fn has_come(&mut self, flows: impl IntoIterator<Item = Arc<str>>) {
        if self.flows.len() > MOST_FLOWS {
            self.flows.clear();
            self.look_at_all();
        }
        for flow in flows {
            self.flows.entry(flow).or_insert([[EVER; 3]; 2]);
        }
    }

    /// Which look is next.
    pub(super) fn next(&self) -> Look {
        let rests = self.rests_for().is_some_and(|rest| !rest.is_zero());
        if rests && self.flows.len() <= FLOWS_AT_ONCE { Look::New } else { Look::All }
    }

    /// For how much longer it is not looked at all there is.
    pub(super) fn rests_for(&self) -> Option<Duration> {
        self.rests_until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// From when on leases may have ended.
    pub(super) fn leases_since(&self, look: Look) -> i64 {
        match look {
            Look::All => EVER,
            Look::New => self.leases,
        }
    }

    /// Before now no lease ends any more, or some that have ended are left.
    pub(super) fn freed(&mut self, now: i64, all: bool) {
        if all {
            self.leases = now - LATE_MS;
        }
    }

    /// Some of what was found is older than what has come since: all is looked at next.
    pub(super) fn look_at_all(&mut self) {
        self.rests_until = None;
    }

    /// A look at all there is took the database so long.
    pub(super) fn took(&mut self, took_ms: i64) {
        self.slow = if took_ms < SLOW_MS { 0 } else { self.slow + 1 };
        self.rests_until = None;
        if self.slow >= SLOW_LOOKS {
            self.rest(Duration::from_millis(number(took_ms)).saturating_mul(REST).min(LONGEST_REST));
        }
    }

    pub(super) fn rest(&mut self, rest: Duration) {
        self.rests_until = Some(Instant::now() + rest);
    }

    /// What the look at a place asks for: of flows behind the last one, if there is one, so many jobs each at most.
    fn asks(&self, (look, last): (Look, Option<&str>), most: usize, node: Uuid, at: usize) -> Asked {
        let (place, head_start) = (place(node, at), integer(ms(HEAD_START)));
        if look == Look::All {
            let sql = if last.is_some() { AFTER } else { FIRST };
            let (from, at_once) = (last.unwrap_or_default().to_owned(), FLOWS_AT_ONCE as i64);
            return (sql, values![from, at_once, most as i64, place, node, head_start, EVER]);
        }
        let flows: Vec<String> = self.flows.keys().map(ToString::to_string).collect();
        let since = |rank: usize| -> Vec<i64> { self.flows.values().map(|since| since[at][rank]).collect() };
        let [high, normal, low] = [0, 1, 2].map(since);
        (KNOWN, values![flows, high, normal, low, most as i64, place, node, head_start])
    }

    /// The look at both places.
    pub(super) fn asks_at_both(&self, asks: (Look, Option<&str>), most: usize, node: Uuid) -> [Asked; 2] {
        [0, 1].map(|at| self.asks(asks, most, node, at))
    }

    /// The same for the best jobs of one flow.
    pub(super) fn asks_of_one(&self, look: Look, flow: &str, most: usize, node: Uuid) -> [Asked; 2] {
        let known = self.flows.get(flow).filter(|_| look == Look::New).copied().unwrap_or([[EVER; 3]; 2]);
        [0, 1].map(|at| {
            let ([high, normal, low], head_start) = (known[at], integer(ms(HEAD_START)));
            let (flow, place) = (flow.to_owned(), place(node, at));
            (LOOK_AT, values![flow, most as i64, place, node, head_start, high, normal, low])
        })
    }

    /// Nothing waited at all when a look began at `now`.
    pub(super) fn is_nothing(&mut self, now: i64) {
        self.note(&BTreeMap::new(), 1, now, true);
    }

    /// What was found by a look that began at `now`, at most so many jobs of each flow; of all flows, or of some.
    fn note(&mut self, found: &BTreeMap<Arc<str>, [Vec<Due>; 2]>, most: usize, now: i64, of_all: bool) {
        // Who comes later than this is due later.
        let edge = now - integer(ms(HEAD_START)) - LATE_MS;
        if of_all {
            if self.flows.len() > FLOWS_AT_ONCE {
                self.flows.retain(|flow, _| found.contains_key(flow));
            }
            let others = self.flows.iter_mut().filter(|(flow, _)| !found.contains_key(*flow));
            others.for_each(|(_, since)| *since = [[edge; 3]; 2]);
        }
        for (flow, places) in found {
            let known = self.flows.entry(Arc::clone(flow)).or_insert([[EVER; 3]; 2]);
            for (since, due) in known.iter_mut().zip(places) {
                for (since, rank) in since.iter_mut().zip(RANKS) {
                    match due.iter().filter(|due| due.rank.0 == rank).map(|due| due.due_at_ms).min() {
                        Some(first) => *since = first.min(edge),
                        // It was not looked for; nothing has come before what was seen then.
                        None if due.len() >= most => {}
                        None => *since = edge,
                    }
                }
            }
        }
    }
}

/// Where jobs are: those that any node may do, and those that this one alone can.
fn place(node: Uuid, at: usize) -> String {
    if at == 0 { String::new() } else { node.to_string() }
}

/// Flows of which jobs are due, by name.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) known: BTreeMap<Arc<str>, Best>,
    /// Whether there may be others behind the last one.
    pub(super) more: bool,
}

impl Flows {
    pub(super) fn none() -> Self {
        Self { known: BTreeMap::new(), more: false }
    }
}

impl Seen {
    /// What a look at both places has given that began at `now`; what was missed is none of it.
    pub(super) fn found(
        &mut self,
        (look, last): (Look, Option<&str>),
        places: [&[Found]; 2],
        (most, missed): (usize, &[Uuid]),
        now: i64,
    ) -> Flows {
        let mut flows = BTreeMap::<Arc<str>, [Vec<Due>; 2]>::new();
        for (at, rows) in places.iter().enumerate() {
            for row in *rows {
                flows.entry(row.get::<_, &str>(0).into()).or_default()[at].push(Due::read(row, 1));
            }
        }
        let cut: Vec<&[Found]> =
            places.into_iter().filter(|rows| count_flows(rows) >= FLOWS_AT_ONCE).collect();
        let more = look == Look::All && !cut.is_empty();
        if most > 0 {
            self.note(&flows, most, now, last.is_none() && !more);
        }
        // Of a place that has more flows than are found at once, those behind the last one are not known.
        let last_known = cut.iter().filter_map(|rows| rows.last().map(|row| row.get::<_, String>(0))).min();
        let is_known = |flow: &str| !more || last_known.as_ref().is_none_or(|last| flow <= last.as_str());
        let flows = flows.into_iter().filter(|(flow, _)| is_known(flow));
        Flows { known: flows.map(|(flow, places)| (flow, Best::of(&places, most, missed))).collect(), more }
    }
}

/// Of rows that are sorted by them.
fn count_flows(rows: &[Found]) -> usize {
    rows.chunk_by(|a, b| a.get::<_, &str>(0) == b.get::<_, &str>(0)).count()
}

/// The best jobs of one flow, as they were found at both places, at most so many at each; those that are `chosen` already are none.
pub(super) fn best_of(places: [&[Found]; 2], most: usize, chosen: &[Uuid]) -> Best {
    Best::of(&places.map(|rows| rows.iter().map(|row| Due::read(row, 0)).collect()), most, chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const EDGE: i64 = NOW - 500 - LATE_MS;

    fn due(rank: i64, due_at_ms: i64) -> Due {
        Due { rank: Reverse(rank), due_at_ms, id: Uuid::now_v7(), cost: 1 }
    }

    fn found(flow: &str, anywhere: Vec<Due>, here: Vec<Due>) -> BTreeMap<Arc<str>, [Vec<Due>; 2]> {
        [(flow.into(), [anywhere, here])].into()
    }

    #[test]
    fn looks_rest_once_some_are_slow_one_after_another_and_no_longer_when_one_is_not() {
        let mut seen = Seen::default();
        for took in [SLOW_MS, 100, SLOW_MS - 1, 100, 100] {
            seen.took(took);
            assert_eq!(seen.next(), Look::All, "{took}");
        }
        seen.took(100);
        assert_eq!((seen.next(), seen.leases_since(Look::New)), (Look::New, 0));
        assert!(seen.rests_for().is_some_and(|rest| rest > Duration::from_secs(4) && rest <= LONGEST_REST));
        seen.look_at_all();
        assert_eq!(seen.next(), Look::All);
        seen.took(1_000_000);
        assert!(seen.rests_for().is_some_and(|rest| rest <= LONGEST_REST));
        seen.has_come((0..=FLOWS_AT_ONCE).map(|flow| flow.to_string().into()));
        assert_eq!(seen.next(), Look::All, "more flows than are looked for at once");
        seen.note(&found("1", vec![due(1, NOW)], Vec::new()), 9, NOW, true);
        assert_eq!((seen.next(), seen.flows.len()), (Look::New, 1));
        seen.took(0);
        assert_eq!(seen.next(), Look::All);
    }

    #[test]
    fn nothing_that_waits_is_before_what_was_found_or_may_still_come() {
        let mut seen = Seen::default();
        seen.has_come(["a".into(), "b".into()]);
        assert_eq!(seen.flows["a"], [[EVER; 3]; 2]);
        let waits = vec![due(2, NOW - 9), due(1, NOW - 90_000), due(1, NOW - 80_000)];
        seen.note(&found("a", waits.clone(), Vec::new()), 9, NOW, true);
        assert_eq!(seen.flows["a"], [[EDGE, NOW - 90_000, EDGE], [EDGE; 3]]);
        assert_eq!(seen.flows["b"], [[EDGE; 3]; 2], "it has none");
        let first = found("a", waits[..1].to_vec(), vec![due(0, NOW - 70_000)]);
        seen.note(&first, 1, NOW, true);
        let known = [[EDGE, NOW - 90_000, EDGE], [EDGE, EDGE, NOW - 70_000]];
        assert_eq!(seen.flows["a"], known, "others were not looked for");
        seen.note(&found("c", waits, Vec::new()), 9, NOW, false);
        assert_eq!(seen.flows["b"], [[EDGE; 3]; 2]);
        seen.has_come(["b".into()]);
        assert_eq!(seen.flows["b"], [[EDGE; 3]; 2], "it is known");
        (0..MOST_FLOWS - 2).for_each(|flow| seen.has_come([flow.to_string().into()]));
        seen.rest(LONGEST_REST);
        seen.has_come(["a".into()]);
        assert_eq!((seen.flows.len(), seen.next()), (1, Look::All));
    }
}
