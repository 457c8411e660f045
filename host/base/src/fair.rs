//! Turns between clients: start-time fair queueing (Goyal, Vin and Cheng 1996). Each client is a flow that has its own virtual
//! time, which goes on by what its turns cost, divided by its weight; whose time is the earliest is next. A flow that asks for
//! nothing saves up nothing. Within a flow priority decides, then who came first. What there is to be had, and how much of it
//! is free, is its users' to know.
//!
//! # Layout
//! - [`Clock`]: the flows' times, for who keeps the waiting elsewhere
//! - [`Lines`]: those who wait, in lines by flow
//! - [`Counts`]: how many of something each has

mod counts;
mod lines;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

pub use counts::Counts;
pub use lines::{Lines, Ticket};

/// A task of at most so many pixels is small: there is a reserve of everything for those.
pub const SMALL: u64 = 4_000_000;
/// What a turn costs at least, in pixels: everything has its fetch, its process's attention and its store.
pub const FLOOR: u64 = 250_000;
/// The largest weight.
pub const MAX_WEIGHT: u32 = 1000;
/// So many flows are remembered without a look at which of them matter no more.
const FLOWS: usize = 64;

/// A client, as turns are given. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    name: Arc<str>,
    weight: u32,
}

impl Flow {
    /// The flow of this name, which has `weight` turns to one of others; from 1 to [`MAX_WEIGHT`].
    pub fn new(name: impl Into<Arc<str>>, weight: u32) -> Self {
        Self { name: name.into(), weight: weight.clamp(1, MAX_WEIGHT) }
    }

    /// What tells it from others.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What this costs, in its virtual time.
    fn spent(&self, cost: u64) -> u128 {
        u128::from(cost) * u128::from(MAX_WEIGHT) / u128::from(self.weight)
    }
}

impl Default for Flow {
    /// Where there is one client only.
    fn default() -> Self {
        Self::new("", 1)
    }
}

/// What somebody waits for a turn with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Whose turn it is to be.
    pub flow: Flow,
    /// Of one flow's, the highest goes first.
    pub rank: i64,
    /// What it is planned to cost, in pixels of source and results; 0 where nobody knows.
    pub cost: u64,
}

impl Turn {
    /// Whether there is a reserve for it.
    pub fn is_small(&self) -> bool {
        (1..=SMALL).contains(&self.cost)
    }
}

/// Whether who has so much of something may have more, where so much of it is left: nobody has more than is left, so that whoever
/// comes finds some. One alone has half of all.
pub fn may_have_more(own: usize, left: usize) -> bool {
    own < left
}

/// How many more these may be.
pub fn may_have(own: usize, left: usize) -> usize {
    left.saturating_sub(own).div_ceil(2)
}

/// What of an address tells one owner from another: of IPv6 the first half, as whoever has one has all of the other half.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::from([a, b, c, d, 0, 0, 0, 0]).into()
        }
        v4 => v4,
    }
}

/// The flows' virtual times.
#[derive(Debug, Default)]
pub struct Clock {
    now: u128,
    /// Of flows that are ahead of `now`.
    flows: HashMap<Arc<str>, u128>,
    /// How many flows there may be before those behind are looked for.
    most: usize,
}

impl Clock {
    /// When the last turn began: none begins before that.
    pub fn now(&self) -> u128 {
        self.now
    }

    /// When a flow's next turn begins: the earliest of all is next.
    pub fn start(&self, flow: &str) -> u128 {
        self.flows.get(flow).copied().unwrap_or_default().max(self.now)
    }

    /// A flow has its turn.
    pub fn turn(&mut self, flow: &Flow, cost: u64) {
        self.now = self.start(&flow.name);
        self.charge(flow, cost.max(FLOOR));
        if self.flows.len() > self.most.max(FLOWS) {
            let now = self.now;
            self.flows.retain(|_, time| *time > now);
            self.most = 2 * self.flows.len();
        }
    }

    /// A turn has cost so much more than was planned.
    pub fn charge(&mut self, flow: &Flow, cost: u64) {
        let time = self.start(&flow.name);
        self.flows.insert(Arc::clone(&flow.name), time + flow.spent(cost));
    }

    /// A turn that was planned to cost so much came to nothing.
    pub fn refund(&mut self, flow: &Flow, cost: u64) {
        if let Some(time) = self.flows.get_mut(&flow.name) {
            *time = time.saturating_sub(flow.spent(cost.max(FLOOR)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many turns among flows that always want one of this cost.
    fn turns(clock: &mut Clock, wanting: &[(Flow, u64)], count: usize) -> Vec<usize> {
        let mut had = vec![0; wanting.len()];
        for _ in 0..count {
            let next = (0..wanting.len()).min_by_key(|index| clock.start(&wanting[*index].0.name)).unwrap();
            clock.turn(&wanting[next].0, wanting[next].1);
            had[next] += 1;
        }
        had
    }

    #[test]
    fn flows_have_turns_by_what_they_cost_and_by_weight() {
        let wants = |name: &str, weight, cost| (Flow::new(name, weight), cost);
        for (wanting, had) in [
            ([wants("a", 1, 1_000_000), wants("b", 1, 1_000_000)], [50, 50]),
            ([wants("a", 1, 24_000_000), wants("b", 1, 1_000_000)], [4, 96]),
            ([wants("a", 1, 1_000_000), wants("b", 3, 1_000_000)], [25, 75]),
            // What costs next to nothing costs something all the same.
            ([wants("a", 1, 0), wants("b", 1, FLOOR)], [50, 50]),
            // Weights out of range are as good as the nearest in range.
            ([wants("a", 0, 1_000_000), wants("b", 1, 1_000_000)], [50, 50]),
        ] {
            assert_eq!(turns(&mut Clock::default(), &wanting, 100), had, "{wanting:?}");
        }
    }

    #[test]
    fn who_asks_for_nothing_saves_up_nothing_and_who_comes_is_next() {
        let (a, b) = (Flow::new("a", 1), Flow::new("b", 1));
        let mut clock = Clock::default();
        (0..10_000).for_each(|_| clock.turn(&a, 24_000_000));
        assert!(clock.start("b") < clock.start("a"), "a newcomer waits for more than what runs");
        let had = turns(&mut clock, &[(a, 24_000_000), (b, 24_000_000)], 100);
        assert!(had[1].abs_diff(had[0]) <= 1, "{had:?}: 10,000 turns are made up for");
    }

    #[test]
    fn what_costs_more_than_planned_is_paid_for_afterwards() {
        let (a, b) = (Flow::new("a", 1), Flow::new("b", 1));
        let mut clock = Clock::default();
        clock.turn(&a, FLOOR);
        clock.charge(&a, 100 * FLOOR);
        let had = turns(&mut clock, &[(a, FLOOR), (b, FLOOR)], 100);
        assert_eq!(had, [0, 100]);
    }

    #[test]
    fn a_turn_that_comes_to_nothing_costs_nothing() {
        let (a, b) = (Flow::new("a", 1), Flow::new("b", 1));
        let mut clock = Clock::default();
        for _ in 0..100 {
            clock.turn(&a, 24_000_000);
            clock.refund(&a, 24_000_000);
            clock.turn(&a, 0);
            clock.refund(&a, 0);
        }
        let had = turns(&mut clock, &[(a, FLOOR), (b, FLOOR)], 100);
        assert!(had[1].abs_diff(had[0]) <= 1, "{had:?}");
    }

    #[test]
    fn who_may_have_more_may_have_so_many_one_after_the_other() {
        for (own, left) in (0_usize..9).flat_map(|own| (0_usize..9).map(move |left| (own, left))) {
            let more = (0..).find(|more| !may_have_more(own + more, left.saturating_sub(*more)));
            assert_eq!(Some(may_have(own, left)), more, "{own} of {left}");
        }
    }

    #[test]
    fn flows_that_matter_no_more_are_forgotten() {
        let mut clock = Clock::default();
        for number in 0..100_000 {
            clock.turn(&Flow::new(number.to_string(), 1), FLOOR);
            clock.turn(&Flow::new("always", MAX_WEIGHT), FLOOR);
        }
        // Each newcomer is a turn ahead of `now`, which goes on by little.
        assert!(clock.flows.len() < 3000, "{} flows are remembered", clock.flows.len());
    }
}
