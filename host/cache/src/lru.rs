//! What was used last, and what all of it costs: a map whose values stand in the order of their use. Knows neither files nor limits.

use std::collections::HashMap;
use std::hash::Hash;

/// No slot.
const NONE: u32 = u32::MAX;

/// A map in the order of use.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    found: HashMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    /// Slots that hold nothing.
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    cost: u64,
}

#[derive(Debug)]
struct Slot<K, V> {
    /// None in a free slot.
    held: Option<(K, V)>,
    cost: u64,
    newer: u32,
    older: u32,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        let (found, slots, free) = (HashMap::new(), Vec::new(), Vec::new());
        Self { found, slots, free, newest: NONE, oldest: NONE, cost: 0 }
    }
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// What all of them cost.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// A value, without using it.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        let slot = self.slots.get(*self.found.get(key)? as usize)?;
        slot.held.as_ref().map(|(_, value)| value)
    }

    /// A value, which is used now.
    pub(crate) fn used(&mut self, key: &K) -> Option<&V> {
        let at = *self.found.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        self.slots[at as usize].held.as_ref().map(|(_, value)| value)
    }

    /// Puts a value in, used now, instead of what was there.
    pub(crate) fn put(&mut self, key: K, value: V, cost: u64) {
        self.remove(&key);
        let slot = Slot { held: Some((key, value)), cost, newer: NONE, older: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.found.insert(key, at);
        self.cost += cost;
        self.link(at);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.found.remove(key)?;
        self.unlink(at);
        self.free.push(at);
        let slot = &mut self.slots[at as usize];
        self.cost -= slot.cost;
        slot.held.take().map(|(_, value)| value)
    }

    /// Takes out what has not been used for longest.
    pub(crate) fn pop(&mut self) -> Option<(K, V)> {
        let (key, _) = self.slots.get(self.oldest as usize)?.held.as_ref()?;
        let key = *key;
        self.remove(&key).map(|value| (key, value))
    }

    /// Keys in the order of use, the last used first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut at = self.newest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = slot.older;
            slot.held.as_ref().map(|(key, value)| (key, value))
        })
    }

    /// Some of them in no order, `count` places from place `from` on; none once there are no more places. Whoever goes through all
    /// of them so need not keep others waiting meanwhile.
    pub(crate) fn some(&self, from: usize, count: usize) -> Option<impl Iterator<Item = (&K, &V)>> {
        let places =
            self.slots.get(from..self.slots.len().min(from + count)).filter(|some| !some.is_empty())?;
        Some(places.iter().filter_map(|slot| slot.held.as_ref()).map(|(key, value)| (key, value)))
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (NONE, before);
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut lru = Lru::default();
        for key in 0..4 {
            lru.put(key, key * 10, 1);
        }
        assert_eq!(lru.used(&0), Some(&0));
        assert_eq!((lru.peek(&1), lru.peek(&9)), (Some(&10), None));
        lru.put(2, 21, 5);
        assert_eq!((lru.len(), lru.cost()), (4, 8));
        assert_eq!(lru.newest().map(|(key, _)| *key).collect::<Vec<_>>(), [2, 0, 3, 1]);
        assert_eq!(std::iter::from_fn(|| lru.pop()).collect::<Vec<_>>(), [(1, 10), (3, 30), (0, 0), (2, 21)]);
        assert_eq!((lru.len(), lru.cost(), lru.newest().count()), (0, 0, 0));
        assert!(lru.pop().is_none());
    }

    proptest! {
        /// Beside a list that is kept in order by moving everything.
        #[test]
        fn it_does_as_a_plain_list_does(steps in proptest::collection::vec((0..4_u8, 0..8_u8, 0..9_u64), 0..200)) {
            let (mut lru, mut list) = (Lru::default(), Vec::<(u8, u64)>::new());
            for (what, key, cost) in steps {
                let place = list.iter().position(|(known, _)| *known == key);
                match what {
                    0 => {
                        lru.put(key, cost, cost);
                        place.map(|place| list.remove(place));
                        list.push((key, cost));
                    }
                    1 => {
                        prop_assert_eq!(lru.used(&key).copied(), place.map(|place| list[place].1));
                        let moved = place.map(|place| list.remove(place));
                        list.extend(moved);
                    }
                    2 => prop_assert_eq!(lru.remove(&key), place.map(|place| list.remove(place).1)),
                    _ => prop_assert_eq!(lru.pop(), (!list.is_empty()).then(|| list.remove(0))),
                }
                let order: Vec<_> = lru.newest().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(&order, &list.iter().rev().copied().collect::<Vec<_>>());
                prop_assert_eq!(lru.cost(), list.iter().map(|(_, cost)| cost).sum::<u64>());
                let mut all = Vec::new();
                for from in (0..).step_by(3) {
                    let Some(some) = lru.some(from, 3) else { break };
                    all.extend(some.map(|(key, _)| *key));
                }
                prop_assert_eq!(all.len(), list.len());
            }
        }
    }
}
