//! Those who wait for a place, in lines: one for each client and kind of place, and in each line those together who want the same
//! servers. There is room for all of those or for none, so that what becomes free is given away by a look at the first of
//! each, however many wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::peer::Server;
use super::{Asks, Place, PlaceKind};

/// Who came before has a lower one.
pub(super) type Number = u64;

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) since: Instant,
    pub(super) asks: Asks,
    pub(super) given: oneshot::Sender<Place>,
}

/// What for, whether for local files, and whose.
type Line = (PlaceKind, bool, Arc<str>);

/// With which servers, on which machines.
type Where = (Vec<Server>, Vec<Arc<str>>);

/// What is urgent goes first, then who came first.
type Order = (Reverse<i64>, Number);

/// Those of a line who want the same; one at least.
pub(super) type Alike = BTreeMap<Order, Waiter>;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    came: Number,
    lines: HashMap<Line, HashMap<Where, Alike>>,
}

impl Waiting {
    /// Somebody waits from now on, by this number.
    pub(super) fn push(&mut self, waiter: Waiter) -> Number {
        self.came += 1;
        let (line, place) = (line(&waiter.asks), place(&waiter.asks));
        let alike = self.lines.entry(line).or_default().entry(place).or_default();
        alike.insert(order(&waiter.asks, self.came), waiter);
        self.came
    }

    /// Who asked for this and came by that number waits no more.
    pub(super) fn remove(&mut self, asks: &Asks, number: Number) -> Option<Waiter> {
        let (line, place) = (line(asks), place(asks));
        let places = self.lines.get_mut(&line)?;
        let alike = places.get_mut(&place)?;
        let waiter = alike.remove(&order(asks, number));
        if alike.is_empty() {
            places.remove(&place);
        }
        if places.is_empty() {
            self.lines.remove(&line);
        }
        waiter
    }

    /// Each line's, by who wants the same.
    pub(super) fn lines(&self) -> impl Iterator<Item = impl Iterator<Item = &Alike>> {
        self.lines.values().map(HashMap::values)
    }

    /// How many wait for this kind.
    pub(super) fn count(&self, kind: PlaceKind) -> usize {
        let lines = self.lines.iter().filter(|((of, ..), _)| *of == kind);
        lines.flat_map(|(_, places)| places.values()).map(BTreeMap::len).sum()
    }
}

fn line(asks: &Asks) -> Line {
    (asks.kind, asks.is_local(), Arc::clone(asks.turn.flow.name()))
}

fn place(asks: &Asks) -> Where {
    (asks.servers.clone(), asks.machines.clone())
}

fn order(asks: &Asks, number: Number) -> Order {
    (Reverse(asks.turn.rank), number)
}
