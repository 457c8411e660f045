//! Those who wait for a turn, in lines by flow: a line for small and one for large ones each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Clock, Flow, Turn};

/// Place within a flow: by rank, highest first, and by when they came.
type Place = (Reverse<i64>, u64);

/// Those who wait, each with a `T`.
#[derive(Debug)]
pub struct Lines<T> {
    clock: Clock,
    /// Of flows of whom somebody waits.
    flows: HashMap<Arc<str>, Line<T>>,
    /// How many have come.
    came: u64,
}

#[derive(Debug)]
struct Line<T> {
    flow: Flow,
    small: BTreeMap<Place, (u64, T)>,
    large: BTreeMap<Place, (u64, T)>,
}

/// Who waits: where in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    flow: Arc<str>,
    small: bool,
    place: Place,
}

impl Ticket {
    /// Whether it stands in the line for small ones.
    pub fn is_small(&self) -> bool {
        self.small
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { clock: Clock::default(), flows: HashMap::new(), came: 0 }
    }
}

impl<T> Line<T> {
    fn of(&mut self, small: bool) -> &mut BTreeMap<Place, (u64, T)> {
        if small { &mut self.small } else { &mut self.large }
    }

    /// The first one's place, and whether it is a small one.
    fn first(&self, small_only: bool) -> Option<(Place, bool)> {
        let small = self.small.first_key_value().map(|(place, _)| (*place, true));
        let large = self.large.first_key_value().filter(|_| !small_only).map(|(place, _)| (*place, false));
        small.into_iter().chain(large).min()
    }
}

impl<T> Lines<T> {
    /// Somebody comes; `small` says in which line it is to stand.
    pub fn push(&mut self, turn: &Turn, small: bool, item: T) -> Ticket {
        self.came += 1;
        let place = (Reverse(turn.rank), self.came);
        let name = turn.flow.name();
        let line = self.flows.entry(Arc::clone(name)).or_insert_with(|| Line {
            flow: turn.flow.clone(),
            small: BTreeMap::new(),
            large: BTreeMap::new(),
        });
        // A reload may have changed its weight.
        line.flow = turn.flow.clone();
        line.of(small).insert(place, (turn.cost, item));
        Ticket { flow: Arc::clone(name), small, place }
    }

    /// Whose turn it is; with `small_only` among the small ones.
    pub fn first(&self, small_only: bool) -> Option<Ticket> {
        self.first_of(small_only, |_| true)
    }

    /// The same among the flows of which this is true.
    pub fn first_of(&self, small_only: bool, among: impl Fn(&str) -> bool) -> Option<Ticket> {
        let flows = self.flows.values().filter(|line| among(line.flow.name()));
        let firsts = flows.filter_map(|line| {
            let (place, small) = line.first(small_only)?;
            // Of flows at the same time who came first is next, whatever its priority is within its flow.
            Some(((self.clock.start(line.flow.name()), place.1), line, place, small))
        });
        let (_, line, place, small) = firsts.min_by_key(|(order, ..)| *order)?;
        Some(Ticket { flow: Arc::clone(line.flow.name()), small, place })
    }

    /// Who waits with this ticket.
    pub fn get(&self, ticket: &Ticket) -> Option<&T> {
        let line = self.flows.get(&ticket.flow)?;
        let line = if ticket.small { &line.small } else { &line.large };
        line.get(&ticket.place).map(|(_, item)| item)
    }

    /// Has its turn now; none when it does not wait any more.
    pub fn take(&mut self, ticket: &Ticket) -> Option<T> {
        let flow = self.flows.get(&ticket.flow)?.flow.clone();
        let (cost, item) = self.leave(ticket)?;
        self.clock.turn(&flow, cost);
        Some(item)
    }

    /// Waits no more, without having had its turn.
    pub fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        self.leave(ticket).map(|(_, item)| item)
    }

    fn leave(&mut self, ticket: &Ticket) -> Option<(u64, T)> {
        let line = self.flows.get_mut(&ticket.flow)?;
        let left = line.of(ticket.small).remove(&ticket.place)?;
        if line.small.is_empty() && line.large.is_empty() {
            self.flows.remove(&ticket.flow);
        }
        Some(left)
    }

    /// A turn that was planned to cost so much came to nothing.
    pub fn refund(&mut self, flow: &Flow, cost: u64) {
        self.clock.refund(flow, cost);
    }

    /// A turn has cost so much more than was planned.
    pub fn charge(&mut self, flow: &Flow, cost: u64) {
        self.clock.charge(flow, cost);
    }

    /// Lets only those wait on of whom this is true; how many go.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> usize {
        let before = self.len();
        for line in self.flows.values_mut() {
            line.small.retain(|_, (_, item)| keep(item));
            line.large.retain(|_, (_, item)| keep(item));
        }
        self.flows.retain(|_, line| !line.small.is_empty() || !line.large.is_empty());
        before - self.len()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.flows.values().map(|line| line.small.len() + line.large.len()).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// All who wait.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.flows
            .values()
            .flat_map(|line| line.small.values().chain(line.large.values()))
            .map(|(_, item)| item)
    }

    /// All of whom this is true, each with when its turn comes.
    fn among(&self, among: impl Fn(&T) -> bool) -> impl Iterator<Item = ((u128, Place), Ticket)> {
        let lines = self.flows.values();
        let lines = lines.flat_map(|line| [(line, &line.small, true), (line, &line.large, false)]);
        lines.flat_map(move |(line, waiting, small)| {
            let start = self.clock.start(line.flow.name());
            let those = waiting.iter().filter(|(_, (_, item))| among(item));
            let ticket = |place| Ticket { flow: Arc::clone(line.flow.name()), small, place };
            those.map(|(place, _)| ((start, *place), ticket(*place))).collect::<Vec<_>>()
        })
    }

    /// Whose turn comes first, of those of whom this is true: whoever stands before it in its line.
    pub fn next_of(&self, among: impl Fn(&T) -> bool) -> Option<Ticket> {
        self.among(among).min_by_key(|(order, _)| *order).map(|(_, ticket)| ticket)
    }

    /// Whose turn comes last, of those of whom this is true.
    pub fn last_of(&self, among: impl Fn(&T) -> bool) -> Option<Ticket> {
        self.among(among).max_by_key(|(order, _)| *order).map(|(_, ticket)| ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SMALL;
    use super::*;

    fn turn(flow: &str, rank: i64, cost: u64) -> Turn {
        Turn { flow: Flow::new(flow, 1), rank, cost }
    }

    fn all<T>(lines: &mut Lines<T>) -> Vec<T> {
        std::iter::from_fn(|| lines.first(false).and_then(|ticket| lines.take(&ticket))).collect()
    }

    #[test]
    fn priority_orders_a_clients_own_and_no_others() {
        let mut lines = Lines::default();
        for (flow, rank, item) in
            [("a", 0, "a low"), ("a", 2, "a high"), ("a", 1, "a"), ("b", 0, "b low"), ("b", 1, "b")]
        {
            lines.push(&turn(flow, rank, 1), true, item);
        }
        assert_eq!(all(&mut lines), ["a high", "b", "a", "b low", "a low"]);
        assert!(lines.is_empty());
    }

    #[test]
    fn small_ones_can_be_asked_for_and_large_ones_keep_their_place() {
        let mut lines = Lines::default();
        lines.push(&turn("a", 1, 9 * SMALL), false, "large");
        lines.push(&turn("a", 1, 1), true, "small");
        let small = lines.first(true).unwrap();
        assert!(small.is_small() && lines.get(&small) == Some(&"small"));
        let last = lines.last_of(|_| true).unwrap();
        assert_eq!(lines.last_of(|item| *item == "large").and_then(|last| lines.get(&last)), Some(&"large"));
        assert_eq!(lines.next_of(|item| *item == "small"), Some(small.clone()));
        assert_eq!((lines.take(&small), lines.take(&small)), (Some("small"), None));
        assert_eq!(lines.get(&last), None, "who came last was last");
        assert!(lines.first(true).is_none());
        assert_eq!(all(&mut lines), ["large"]);
    }

    #[test]
    fn flows_that_may_not_have_more_are_passed_over() {
        let mut lines = Lines::default();
        lines.push(&turn("a", 0, 1), true, 'a');
        lines.push(&turn("b", 0, 1), true, 'b');
        let first = lines.first_of(false, |flow| flow != "a").unwrap();
        assert_eq!((lines.take(&first), lines.first_of(false, |flow| flow != "a")), (Some('b'), None));
    }

    #[test]
    fn who_goes_without_a_turn_pays_nothing() {
        let mut lines = Lines::default();
        let gone = lines.push(&turn("a", 0, u64::MAX), false, 0);
        lines.push(&turn("a", 0, 1), true, 1);
        lines.push(&turn("b", 0, 1), true, 2);
        assert_eq!(lines.remove(&gone), Some(0));
        assert_eq!(lines.retain(|item| *item != 9), 0);
        assert_eq!(
            (lines.iter().count(), lines.first(false).and_then(|first| lines.take(&first))),
            (2, Some(1))
        );
        assert_eq!((lines.retain(|item| *item != 2), lines.len()), (1, 0));
    }
}
