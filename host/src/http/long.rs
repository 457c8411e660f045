//! Places for answers that take long, waits and events: half of all connections, so that others find one. One client has no
//! more of them than are left, so that whoever comes finds some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places. Clones are the same ones.
#[derive(Clone, Debug)]
pub(super) struct LongAnswers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: usize,
    /// How many each client has, by its flow.
    taken: Mutex<HashMap<String, usize>>,
}

/// A place, held for as long as the answer takes.
#[derive(Debug)]
pub(super) struct LongPlace {
    of: LongAnswers,
    flow: String,
}

impl LongAnswers {
    pub(super) fn new(max_connections: usize) -> Self {
        Self(Arc::new(Inner { places: max_connections.div_ceil(2), taken: Mutex::default() }))
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client, if one is free and it has no more than are left.
    pub(super) fn place(&self, flow: &str) -> Option<LongPlace> {
        let mut taken = self.taken();
        let left = self.0.places.saturating_sub(taken.values().sum());
        if taken.get(flow).copied().unwrap_or_default() >= left {
            return None;
        }
        *taken.entry(flow.to_owned()).or_default() += 1;
        Some(LongPlace { of: self.clone(), flow: flow.to_owned() })
    }
}

impl Drop for LongPlace {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some(own) = taken.get_mut(&self.flow) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_places_to_others() {
        let long = LongAnswers::new(15);
        let take = |flow: &str| (0..20).map_while(|_| long.place(flow)).collect::<Vec<_>>();
        let greedy = take("a");
        assert_eq!((greedy.len(), take("b").len()), (4, 2));
        let others: Vec<_> = ["b", "c", "d"].iter().filter_map(|flow| long.place(flow)).collect();
        assert_eq!(others.len(), 3);
        assert!(long.place("e").is_some());
        drop((greedy, others));
        assert!(long.taken().is_empty());
        assert!(LongAnswers::new(1).place("a").is_some());
    }
}
