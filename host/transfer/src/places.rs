//! Places for transfers: how many may be under way at once, in all, with one server and for one client. Who has to wait for a
//! server that is full holds nothing meanwhile, and nobody who wants another one waits behind it. Local files have places of
//! their own. Where clients take turns for them, none has more than are left, and there are twice as many, so that whoever comes finds
//! some.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::{Clock, Turn};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::peer::Server;

/// How long who needs several servers at once waits for all of them to have room, before one place more than usual is his.
const SEVERAL_PATIENCE: Duration = Duration::from_secs(5);

/// What a place is for. Each kind has as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// Fetching a source.
    Source,
    /// Storing a placeholder, which a client waits for; or the picture of a failure.
    Placeholder,
    /// Making results, and storing them: what bounds the results that are held.
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
    /// In all; where clients take turns, for one of them.
    pub most: usize,
    /// With one server. With all servers of one host (its other ports) twice as many.
    pub per_server: usize,
    /// For one client.
    pub per_client: usize,
}

/// Who wants a place, and for what.
#[derive(Clone, Debug)]
pub struct Asks {
    /// What for.
    pub kind: PlaceKind,
    /// With which servers; with none, it is for local files alone.
    pub servers: Vec<Server>,
    /// For whom; nobody in particular has no share to keep to.
    pub client: Option<Arc<str>>,
    /// Whose turn it is to be, where clients take turns.
    pub turn: Option<Turn>,
}

impl Asks {
    /// A place of this kind with these servers, each of which counts once.
    pub fn new(kind: PlaceKind, servers: impl IntoIterator<Item = Server>, client: Option<Arc<str>>) -> Self {
        let mut distinct = Vec::new();
        for server in servers {
            if !distinct.contains(&server) {
                distinct.push(server);
            }
        }
        Self { kind, servers: distinct, client, turn: None }
    }

    /// The same, in this turn.
    pub fn in_turn(self, turn: &Turn) -> Self {
        Self { turn: Some(turn.clone()), ..self }
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
    places: Arc<Shared>,
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
    /// In the order they came.
    waiting: Vec<Waiter>,
    came: u64,
    /// Whose turn it is, of those who take turns.
    clock: Clock,
    refused: HashMap<PlaceKind, u64>,
}

#[derive(Debug, Default)]
struct Taken {
    network: usize,
    local: usize,
    servers: HashMap<Server, usize>,
    hosts: HashMap<Arc<str>, usize>,
    clients: HashMap<Arc<str>, usize>,
    /// By those who take turns: whether they are for local files, and whose they are.
    flows: HashMap<(bool, Arc<str>), usize>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    since: Instant,
    asks: Asks,
    given: oneshot::Sender<Place>,
}

impl Places {
    /// Places of each kind.
    pub fn new(limits: PlaceLimits) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::default() }))
    }

    /// A place, if there is one at once.
    pub fn try_take(&self, asks: &Asks) -> Option<Place> {
        let mut state = self.0.lock();
        state.has_room(&self.0.limits, asks, 0).then(|| {
            state.count(asks, 1);
            Place { asks: asks.clone(), places: Arc::clone(&self.0) }
        })
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
        if let Some(place) = self.try_take(asks) {
            return place;
        }
        let (given, place) = oneshot::channel();
        let number = {
            let mut state = self.0.lock();
            state.came += 1;
            let waiter = Waiter { number: state.came, since: Instant::now(), asks: asks.clone(), given };
            state.waiting.push(waiter);
            state.came
        };
        let _leaves = Leaves { places: &self.0, number };
        // One may have become free since it was looked for.
        self.0.share_out();
        place.await.expect("who waits is given a place, or goes himself")
    }

    /// What is taken and waited for, by kind.
    pub fn now(&self) -> [(PlaceKind, PlacesNow); 3] {
        let state = self.0.lock();
        PlaceKind::ALL.map(|kind| {
            let (network, local) =
                state.taken.get(&kind).map_or((0, 0), |taken| (taken.network, taken.local));
            let waiting = state.waiting.iter().filter(|waiter| waiter.asks.kind == kind).count();
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
    number: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.places.lock().waiting.retain(|waiter| waiter.number != self.number);
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

    /// Gives what is free to those who wait.
    fn share_out(self: &Arc<Self>) {
        loop {
            // Given outside of the lock: who has gone meanwhile gives it back at once.
            let next = {
                let mut state = self.lock();
                let Some(index) = state.next(&self.limits) else { return };
                let waiter = state.waiting.remove(index);
                state.count(&waiter.asks, 1);
                if let Some(turn) = &waiter.asks.turn {
                    // A place costs the same for whatever it is.
                    state.clock.turn(&turn.flow, 0);
                }
                waiter
            };
            let place = Place { asks: next.asks, places: Arc::clone(self) };
            let _gone = next.given.send(place);
        }
    }
}

impl State {
    /// Of those for whom there is room, the one whose client has least, or whose turn it is; of such the first that came.
    fn next(&self, limits: &PlaceLimits) -> Option<usize> {
        let fits = self.waiting.iter().enumerate().filter(|(_, waiter)| {
            let several = waiter.asks.servers.len() > 1 && waiter.since.elapsed() > SEVERAL_PATIENCE;
            self.has_room(limits, &waiter.asks, usize::from(several))
        });
        // Who takes turns does not compete with who takes none: they are of different kinds.
        let (mut least, mut firsts) = (None, HashMap::new());
        for (index, waiter) in fits {
            match &waiter.asks.turn {
                None => least = least.into_iter().chain([(self.of_client(&waiter.asks), index)]).min(),
                Some(turn) => {
                    let first = (Reverse(turn.rank), index);
                    let known = firsts.entry(turn.flow.name()).or_insert(first);
                    *known = first.min(*known);
                }
            }
        }
        // Priority decides within a client only.
        let firsts = firsts.into_iter().map(|(flow, (_, index))| (self.clock.start(flow), index));
        least.map(|(_, index)| index).or_else(|| firsts.min().map(|(_, index)| index))
    }

    fn of_client(&self, asks: &Asks) -> usize {
        let client = asks.client.as_ref();
        client.and_then(|client| self.taken.get(&asks.kind)?.clients.get(client)).copied().unwrap_or_default()
    }

    /// Whether there is room, with `more` places with each server than usual.
    fn has_room(&self, limits: &PlaceLimits, asks: &Asks, more: usize) -> bool {
        let Some(taken) = self.taken.get(&asks.kind) else { return true };
        if asks.is_local() {
            return has_left(limits, taken, asks);
        }
        let of_server = |server: &Server| taken.servers.get(server).copied().unwrap_or_default();
        let of_host = |server: &Server| taken.hosts.get(server.host()).copied().unwrap_or_default();
        let has_room = |server: &Server| {
            of_server(server) < limits.per_server + more && of_host(server) < limits.per_server * 2 + more
        };
        let in_share = asks.client.is_none() || self.of_client(asks) < limits.per_client;
        has_left(limits, taken, asks) && in_share && asks.servers.iter().all(has_room)
    }

    fn count(&mut self, asks: &Asks, by: isize) {
        let taken = self.taken.entry(asks.kind).or_default();
        if let Some(turn) = &asks.turn {
            add(&mut taken.flows, &(asks.is_local(), Arc::clone(turn.flow.name())), by);
        }
        if asks.is_local() {
            taken.local = taken.local.saturating_add_signed(by);
            return;
        }
        taken.network = taken.network.saturating_add_signed(by);
        for server in &asks.servers {
            add(&mut taken.servers, server, by);
            add(&mut taken.hosts, server.host(), by);
        }
        if let Some(client) = &asks.client {
            add(&mut taken.clients, client, by);
        }
    }
}

/// Whether there is a place, whoever the server is. Who takes turns has no more than are left, of twice as many.
fn has_left(limits: &PlaceLimits, taken: &Taken, asks: &Asks) -> bool {
    let used = if asks.is_local() { taken.local } else { taken.network };
    match &asks.turn {
        None => used < limits.most,
        Some(turn) => {
            let own = taken.flows.get(&(asks.is_local(), Arc::clone(turn.flow.name())));
            own.copied().unwrap_or_default() < limits.most.saturating_mul(2).saturating_sub(used)
        }
    }
}

/// Nothing is kept of whom nothing is counted.
fn add<N: Clone + Eq + Hash>(counts: &mut HashMap<N, usize>, name: &N, by: isize) {
    let count = counts.entry(name.clone()).or_default();
    *count = count.saturating_add_signed(by);
    if *count == 0 {
        counts.remove(name);
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

    fn asks(servers: &[&str], client: &str) -> Asks {
        let client = (!client.is_empty()).then(|| client.into());
        Asks::new(PlaceKind::Source, servers.iter().map(|name| server(name)), client)
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
    async fn a_client_has_its_share_and_who_has_least_goes_first() {
        let places = places(3, 3, 2);
        let mut ann = vec![places.take(&asks(&["a"], "ann")).await, places.take(&asks(&["b"], "ann")).await];
        assert!(places.try_take(&asks(&["c"], "ann")).is_none());
        let bob = places.take(&asks(&["a"], "bob")).await;
        let first = waits(&places, &asks(&["d"], "ann")).await;
        let second = waits(&places, &asks(&["d"], "cid")).await;
        ann.pop();
        let cid = second.await.unwrap();
        assert_eq!(cid.asks.client.as_deref(), Some("cid"));
        tokio::task::yield_now().await;
        assert!(!first.is_finished(), "who has a place already waits for who has none");
        drop(bob);
        first.await.unwrap();
        let nobody = waits(&places, &asks(&["e"], "")).await;
        ann.clear();
        nobody.await.unwrap();
    }

    #[tokio::test]
    async fn who_takes_turns_has_no_more_than_are_left_and_weight_and_priority_decide() {
        let places = places(4, 9, 9);
        let of = |servers: &[&str], flow: &str, weight, rank| {
            let turn = Turn { flow: Flow::new(flow, weight), rank, cost: 0 };
            Asks { kind: PlaceKind::Result, ..asks(servers, "") }.in_turn(&turn)
        };
        let take = |flow: &str, rank| places.try_take(&of(&["a"], flow, 1, rank));
        let mut many: Vec<_> = (0..9).map_while(|_| take("many", 0)).collect();
        assert_eq!(many.len(), 4);
        assert!(places.try_take(&of(&[], "many", 1, 0)).is_some(), "a local file takes none of them");
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
        assert!(places.0.lock().taken[&PlaceKind::Result].flows.is_empty(), "nothing is kept of them");
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
