//! Places for transfers: how many may be under way at once, with one server, with all of one machine and for one client. Who has
//! to wait for a server that is full holds nothing meanwhile, and nobody who wants another one waits behind it. Local files have
//! places of their own. Clients take turns for them, and none has more than are left: there are twice as many as one of them may
//! have.

mod waiting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::{Clock, Counts, Turn, may_have_more};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::peer::Server;
use waiting::{Alike, Number, Waiter, Waiting};

/// How long who needs several servers at once waits for all of them to have room, before one place more than usual is his.
const SEVERAL_PATIENCE: Duration = Duration::from_secs(5);

/// Why nobody waits in vain.
const GIVEN: &str = "who waits is given a place, or goes himself";

/// What a place is for. Each kind has as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// Fetching a source.
    Source,
    /// Storing a placeholder while a client waits for its reply; or what is shown instead when its job is refused.
    Placeholder,
    /// Making results, and storing them: what bounds the results that are held. Whatever else an accepted job stores.
    Result,
}

impl PlaceKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Source, Self::Placeholder, Self::Result];

    /// Its name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Placeholder => "placeholder",
            Self::Result => "result",
        }
    }
}

/// How many places there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// For one client while there is no other. In all there are twice as many.
    pub most: usize,
    /// With one server. With all servers of one machine (its other ports and names) twice as many.
    pub per_server: usize,
    /// For one client, whether there are others or not.
    pub per_client: usize,
}

/// Who wants a place, and for what.
#[derive(Clone, Debug)]
pub struct Asks {
    /// What for.
    pub kind: PlaceKind,
    /// With which servers; with none, it is for local files alone.
    pub servers: Vec<Server>,
    /// On which machines those are: their names, until they are located.
    pub(super) machines: Vec<Arc<str>>,
    /// Whose turn it is to be.
    pub turn: Turn,
}

impl Asks {
    /// A place of this kind with these servers, each of which counts once.
    pub fn new(kind: PlaceKind, servers: impl IntoIterator<Item = Server>, turn: &Turn) -> Self {
        let (mut distinct, mut machines) = (Vec::new(), Vec::new());
        for server in servers {
            if !machines.contains(server.host()) {
                machines.push(Arc::clone(server.host()));
            }
            if !distinct.contains(&server) {
                distinct.push(server);
            }
        }
        Self { kind, servers: distinct, machines, turn: turn.clone() }
    }

    fn is_local(&self) -> bool {
        self.servers.is_empty()
    }
}

/// What is under way, and who waits. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

/// A place; somebody else's when it is dropped.
#[derive(Debug)]
pub struct Place {
    asks: Asks,
    /// Whether its turn was waited for.
    in_turn: bool,
    places: Arc<Shared>,
}

impl Place {
    /// Gives it back as if it had not been: nothing was done with it.
    pub fn give_up(self) {
        if self.in_turn {
            self.places.lock().of(self.asks.kind).clock.refund(&self.asks.turn.flow, 0);
        }
    }
}

/// How many places of one kind are taken, and how many are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacesNow {
    /// Taken by transfers over the network.
    pub network: usize,
    /// Taken by those of local files.
    pub local: usize,
    /// Waited for.
    pub waiting: usize,
    /// Not had in time, since the start.
    pub refused: u64,
}

#[derive(Debug)]
struct Shared {
    limits: PlaceLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: HashMap<PlaceKind, Taken>,
    waiting: Waiting,
    refused: HashMap<PlaceKind, u64>,
}

#[derive(Debug, Default)]
struct Taken {
    network: usize,
    local: usize,
    servers: Counts<Server>,
    machines: Counts<Arc<str>>,
    /// By whether they are for local files, and by whose they are.
    flows: Counts<(bool, Arc<str>)>,
    /// Whose turn it is.
    clock: Clock,
}

impl Places {
    /// Places of each kind.
    pub fn new(limits: PlaceLimits) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::default() }))
    }

    /// A place, if there is one at once.
    pub fn try_take(&self, asks: &Asks) -> Option<Place> {
        self.0.try_take(&mut self.0.lock(), asks)
    }

    /// A place, if there is one within `patience`; who gets none is counted.
    pub async fn take_within(&self, asks: &Asks, patience: Duration) -> Option<Place> {
        let place = tokio::time::timeout(patience, self.take(asks)).await.ok();
        if place.is_none() {
            *self.0.lock().refused.entry(asks.kind).or_default() += 1;
        }
        place
    }

    /// A place, as soon as there is one.
    pub async fn take(&self, asks: &Asks) -> Place {
        let (given, mut place) = oneshot::channel();
        let number = {
            let mut state = self.0.lock();
            // Looked for and waited for in one: none becomes free in between, and those who wait need not be looked through.
            if let Some(place) = self.0.try_take(&mut state, asks) {
                return place;
            }
            state.waiting.push(Waiter { since: Instant::now(), asks: asks.clone(), given })
        };
        let _leaves = Leaves { places: &self.0, asks, number };
        if asks.servers.len() > 1 {
            // Nobody may come or go at the time from which on one more is his.
            match tokio::time::timeout(SEVERAL_PATIENCE, &mut place).await {
                Ok(place) => return place.expect(GIVEN),
                Err(_) => self.0.share_out(),
            }
        }
        place.await.expect(GIVEN)
    }

    /// What is taken and waited for, by kind.
    pub fn now(&self) -> [(PlaceKind, PlacesNow); 3] {
        let state = self.0.lock();
        PlaceKind::ALL.map(|kind| {
            let (network, local) =
                state.taken.get(&kind).map_or((0, 0), |taken| (taken.network, taken.local));
            let waiting = state.waiting.count(kind);
            let refused = state.refused.get(&kind).copied().unwrap_or_default();
            (kind, PlacesNow { network, local, waiting, refused })
        })
    }

    /// How many places there are.
    pub fn limits(&self) -> PlaceLimits {
        self.0.limits
    }
}

/// Who waits no more is not given a place.
struct Leaves<'p> {
    places: &'p Shared,
    asks: &'p Asks,
    number: Number,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.places.lock().waiting.remove(self.asks, self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().count(&self.asks, -1);
        self.places.share_out();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(self: &Arc<Self>, state: &mut State, asks: &Asks) -> Option<Place> {
        state.has_room(&self.limits, asks).then(|| {
            state.count(asks, 1);
            Place { asks: asks.clone(), in_turn: false, places: Arc::clone(self) }
        })
    }

    /// Gives what is free to those who wait.
    fn share_out(self: &Arc<Self>) {
        loop {
            // Given outside of the lock: who has gone meanwhile gives it back at once.
            let next = {
                let mut state = self.lock();
                let Some(waiter) = state.next(&self.limits) else { return };
                state.count(&waiter.asks, 1);
                // A place costs the same for whatever it is.
                state.of(waiter.asks.kind).clock.turn(&waiter.asks.turn.flow, 0);
                waiter
            };
            let place = Place { asks: next.asks, in_turn: true, places: Arc::clone(self) };
            let _gone = next.given.send(place);
        }
    }
}

impl State {
    fn of(&mut self, kind: PlaceKind) -> &mut Taken {
        self.taken.entry(kind).or_default()
    }

    /// Of those for whom there is room, the one whose turn it is; he waits no more.
    fn next(&mut self, limits: &PlaceLimits) -> Option<Waiter> {
        let start = |asks: &Asks| {
            self.taken.get(&asks.kind).map_or(0, |taken| taken.clock.start(asks.turn.flow.name()))
        };
        let firsts = self.waiting.lines().filter_map(|alike| self.first(limits, alike));
        // Priority decides within a client only.
        let next = firsts.min_by_key(|(number, asks)| (start(asks), *number));
        let (number, asks) = next.map(|(number, asks)| (number, asks.clone()))?;
        self.waiting.remove(&asks, number)
    }

    /// Of a line, the first for whom there is room.
    fn first<'w>(
        &'w self,
        limits: &PlaceLimits,
        line: impl Iterator<Item = &'w Alike>,
    ) -> Option<(Number, &'w Asks)> {
        let mut line = line.filter_map(|alike| Some((alike.values().next()?, alike))).peekable();
        let (any, _) = line.peek()?;
        if !self.is_left(limits, &any.asks) {
            return None;
        }
        let fits = line.filter_map(|(first, alike)| {
            let has_room = |more| self.has_room_there(limits, &first.asks, more);
            if has_room(0) {
                return alike.iter().next();
            }
            let several = first.asks.servers.len() > 1 && has_room(1);
            several.then(|| alike.iter().find(|(_, waiter)| waiter.since.elapsed() >= SEVERAL_PATIENCE))?
        });
        fits.min_by_key(|(order, _)| **order).map(|((_, number), waiter)| (*number, &waiter.asks))
    }

    fn has_room(&self, limits: &PlaceLimits, asks: &Asks) -> bool {
        self.is_left(limits, asks) && self.has_room_there(limits, asks, 0)
    }

    /// Whether there is a place for this client, whoever the servers are.
    fn is_left(&self, limits: &PlaceLimits, asks: &Asks) -> bool {
        let Some(taken) = self.taken.get(&asks.kind) else { return true };
        let (used, most) = match asks.is_local() {
            true => (taken.local, usize::MAX),
            false => (taken.network, limits.per_client),
        };
        let own = taken.flows.of(&(asks.is_local(), Arc::clone(asks.turn.flow.name())));
        own < most && may_have_more(own, limits.most.saturating_mul(2).saturating_sub(used))
    }

    /// Whether there is one with these servers, whoever the client is, if `more` than usual may be had with each.
    fn has_room_there(&self, limits: &PlaceLimits, asks: &Asks, more: usize) -> bool {
        let Some(taken) = self.taken.get(&asks.kind) else { return true };
        let on_server = |server: &Server| taken.servers.of(server) < limits.per_server + more;
        let on_machine = |machine: &Arc<str>| taken.machines.of(machine) < limits.per_server * 2 + more;
        asks.servers.iter().all(on_server) && asks.machines.iter().all(on_machine)
    }

    fn count(&mut self, asks: &Asks, by: isize) {
        let taken = self.of(asks.kind);
        taken.flows.add(&(asks.is_local(), Arc::clone(asks.turn.flow.name())), by);
        if asks.is_local() {
            taken.local = taken.local.saturating_add_signed(by);
            return;
        }
        taken.network = taken.network.saturating_add_signed(by);
        asks.servers.iter().for_each(|server| taken.servers.add(server, by));
        asks.machines.iter().for_each(|machine| taken.machines.add(machine, by));
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;

    use super::*;
    use crate::SourceUrl;

    fn server(name: &str) -> Server {
        SourceUrl::parse(&format!("http://{name}/")).unwrap().server().unwrap()
    }

    fn asks(servers: &[&str], flow: &str) -> Asks {
        let turn = Turn { flow: Flow::new(flow, 1), ..Turn::default() };
        Asks::new(PlaceKind::Source, servers.iter().map(|name| server(name)), &turn)
    }

    fn places(most: usize, per_server: usize, per_client: usize) -> Places {
        Places::new(PlaceLimits { most, per_server, per_client })
    }

    async fn waits(places: &Places, asks: &Asks) -> tokio::task::JoinHandle<Place> {
        let (places, asks) = (places.clone(), asks.clone());
        let waits = tokio::spawn(async move { places.take(&asks).await });
        tokio::task::yield_now().await;
        waits
    }

    #[tokio::test]
    async fn a_full_server_keeps_nobody_from_another_one() {
        let places = places(4, 2, 4);
        let full = [places.take(&asks(&["a"], "")).await, places.take(&asks(&["a"], "")).await];
        let behind = waits(&places, &asks(&["a"], "")).await;
        assert!(places.try_take(&asks(&["a"], "")).is_none() && !behind.is_finished());
        let other = places.try_take(&asks(&["b"], "")).expect("b has room");
        // Another port of the same host has a share of its own, though not without end.
        let (port, _more) =
            (places.try_take(&asks(&["b:81"], "")).unwrap(), places.try_take(&asks(&["c"], "")));
        assert!(places.try_take(&asks(&["c"], "")).is_none(), "all are taken");
        assert!(places.try_take(&asks(&[], "")).is_some(), "a local file takes none of them");
        drop((other, port));
        drop(full);
        assert_eq!(behind.await.unwrap().asks.servers, [server("a")]);
    }

    #[tokio::test]
    async fn the_ports_of_a_host_together_have_twice_its_share() {
        let places = places(100, 2, 100);
        let taken: Vec<_> =
            (1..9).filter_map(|port| places.try_take(&asks(&[&format!("a:{port}")], ""))).collect();
        assert_eq!(taken.len(), 4);
    }

    #[tokio::test]
    async fn the_names_of_an_address_together_have_no_more_than_one_has() {
        let places = places(100, 2, 100);
        let of = |name: &str| Asks { machines: vec!["192.0.2.1".into()], ..asks(&[name], "") };
        let taken: Vec<_> =
            (1..9).filter_map(|number| places.try_take(&of(&format!("{number}.example")))).collect();
        assert_eq!(taken.len(), 4);
        assert!(places.try_take(&asks(&["elsewhere.example"], "")).is_some());
        drop(taken);
        assert!(places.try_take(&of("9.example")).is_some());
    }

    #[tokio::test]
    async fn whatever_a_place_is_for_no_client_has_more_than_are_left_and_who_comes_finds_some() {
        for kind in PlaceKind::ALL {
            // Over the network, and for local files.
            for servers in [&["a"][..], &[]] {
                let places = places(4, 9, 9);
                let take = |flow: &str| places.try_take(&Asks { kind, ..asks(servers, flow) });
                let many: Vec<_> = (0..9).map_while(|_| take("many")).collect();
                assert_eq!(many.len(), 4, "{kind:?} {servers:?}");
                let few: Vec<_> = (0..9).map_while(|_| take("few")).collect();
                assert_eq!(few.len(), 2);
                assert!(take("other").is_some() && take("many").is_none());
            }
        }
    }

    #[tokio::test]
    async fn a_client_has_its_share_where_there_is_no_other_either() {
        let places = places(4, 9, 2);
        let _had =
            [places.try_take(&asks(&["a"], "ann")).unwrap(), places.try_take(&asks(&["b"], "ann")).unwrap()];
        assert!(places.try_take(&asks(&["c"], "ann")).is_none());
        assert!(places.try_take(&asks(&["c"], "bob")).is_some());
    }

    #[tokio::test]
    async fn clients_take_turns_and_weight_and_priority_decide() {
        let places = places(4, 9, 9);
        let of = |servers: &[&str], flow: &str, weight, rank| {
            let turn = Turn { flow: Flow::new(flow, weight), rank, cost: 0 };
            Asks { turn, ..asks(servers, "") }
        };
        let take = |flow: &str, rank| places.try_take(&of(&["a"], flow, 1, rank));
        let mut many: Vec<_> = (0..9).map_while(|_| take("many", 0)).collect();
        let few = [take("few", 0).unwrap(), take("few", 0).unwrap()];
        let last = take("other", 0).unwrap();
        assert!(take("few", 0).is_none(), "one is left, for who has none");
        let (low, high) = (
            waits(&places, &of(&["b"], "many", 1, 0)).await,
            waits(&places, &of(&["b"], "many", 1, 2)).await,
        );
        let other = waits(&places, &of(&["b"], "few", 1, 9)).await;
        drop(many.split_off(1));
        let (high, other) = (high.await.unwrap(), other.await.unwrap());
        assert!(!low.is_finished(), "its client has had a turn, and what is urgent went first");
        drop(few);
        drop((low.await.unwrap(), last, high, other, many));
        assert!(places.0.lock().taken[&PlaceKind::Source].flows.is_empty(), "nothing is kept of them");
    }

    #[tokio::test]
    async fn who_leaves_takes_no_place_and_waits_no_more() {
        let places = places(1, 1, 1);
        let place = places.take(&asks(&["a"], "")).await;
        let (leaves, stays) =
            (waits(&places, &asks(&["a"], "")).await, waits(&places, &asks(&["b"], "")).await);
        let source = |places: &Places| places.now()[0].1;
        assert_eq!(source(&places), PlacesNow { network: 1, local: 0, waiting: 2, refused: 0 });
        leaves.abort();
        assert!(leaves.await.is_err());
        assert_eq!(source(&places).waiting, 1);
        drop(place);
        let place = stays.await.unwrap();
        assert!(places.take_within(&asks(&["a"], ""), Duration::from_millis(1)).await.is_none());
        assert_eq!(source(&places), PlacesNow { network: 1, local: 0, waiting: 0, refused: 1 });
        drop(place);
        assert!(places.0.lock().taken[&PlaceKind::Source].servers.is_empty(), "nothing is kept of them");
    }

    #[tokio::test]
    async fn who_came_first_is_first_whichever_server_he_wants() {
        let places = places(9, 9, 1);
        let taken = places.take(&asks(&["a"], "")).await;
        let mut waiting = Vec::new();
        for server in ["b", "c", "d", "e"] {
            waiting.push(waits(&places, &asks(&[server], "")).await);
        }
        drop(taken);
        for _ in 0..4 {
            tokio::task::yield_now().await;
            let first = waiting.remove(0);
            assert!(first.is_finished() && waiting.iter().all(|other| !other.is_finished()));
            drop(first.await.unwrap());
        }
    }

    #[tokio::test]
    async fn of_those_who_want_the_same_one_is_looked_at_however_many_wait() {
        let places = places(9, 1, 9);
        let taken = places.take(&asks(&["a"], "")).await;
        let mut waiting = Vec::new();
        for _ in 0..100 {
            waiting.push(waits(&places, &asks(&["a"], "")).await);
        }
        let looked_at = || places.0.lock().waiting.lines().flatten().count();
        assert_eq!((looked_at(), places.now()[0].1.waiting), (1, 100));
        drop(taken);
        // Each goes when the one before has gone.
        for behind in waiting {
            drop(behind.await.unwrap());
        }
        assert_eq!(looked_at(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_several_at_once_is_not_passed_over_for_ever() {
        let places = places(9, 1, 9);
        let (mut a, _b) = (places.take(&asks(&["a"], "")).await, places.take(&asks(&["b"], "")).await);
        let both = waits(&places, &asks(&["a", "b"], "")).await;
        // One of them is busy whenever the other one has room.
        let next = waits(&places, &asks(&["a"], "")).await;
        drop(a);
        a = next.await.unwrap();
        tokio::time::advance(SEVERAL_PATIENCE * 2).await;
        let next = waits(&places, &asks(&["a"], "")).await;
        drop(a);
        both.await.unwrap();
        next.await.unwrap();
    }
}
